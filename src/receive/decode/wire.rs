//! The protobuf wire format, read without copying: every read is bounds-checked and every input has an answer.
//!
//! Accepts exactly what prost accepts (the differential test holds the two equal): varints of at most ten bytes,
//! groups only as unknown fields, and [`DEPTH_MAX`] messages inside one another.
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use std::str;

/// Messages inside one another before the input is refused; protobuf's own default limit, which prost keeps too.
pub const DEPTH_MAX: u32 = 100;

/// Why bytes are not a protobuf message of the expected type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the message ends in the middle of a field")]
    Truncated,
    #[error("a varint is longer than 64 bits")]
    Varint,
    #[error("a field key is not valid")]
    Key,
    #[error("field {field} has wire type {found}, not the one of its declaration")]
    WireType { field: u32, found: u8 },
    #[error("a group does not end where it should")]
    Group,
    #[error("the text of field {field} is not UTF-8")]
    Utf8 { field: u32 },
    #[error("messages are nested deeper than {DEPTH_MAX}")]
    TooDeep,
}

/// One field of a message, its payload still in the input.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub number: u32,
    payload: Payload<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    GroupStart,
    GroupEnd,
    Fixed32(u32),
}

impl Payload<'_> {
    fn wire_type(&self) -> u8 {
        match self {
            Payload::Varint(_) => 0,
            Payload::Fixed64(_) => 1,
            Payload::Bytes(_) => 2,
            Payload::GroupStart => 3,
            Payload::GroupEnd => 4,
            Payload::Fixed32(_) => 5,
        }
    }
}

impl<'a> Field<'a> {
    #[cold]
    fn mismatch(&self) -> WireError {
        WireError::WireType { field: self.number, found: self.payload.wire_type() }
    }

    pub fn varint(&self) -> Result<u64, WireError> {
        if let Payload::Varint(value) = self.payload { Ok(value) } else { Err(self.mismatch()) }
    }

    pub fn fixed64(&self) -> Result<u64, WireError> {
        if let Payload::Fixed64(value) = self.payload { Ok(value) } else { Err(self.mismatch()) }
    }

    pub fn fixed32(&self) -> Result<u32, WireError> {
        if let Payload::Fixed32(value) = self.payload { Ok(value) } else { Err(self.mismatch()) }
    }

    pub fn bytes(&self) -> Result<&'a [u8], WireError> {
        if let Payload::Bytes(value) = self.payload { Ok(value) } else { Err(self.mismatch()) }
    }

    pub fn text(&self) -> Result<&'a str, WireError> {
        str::from_utf8(self.bytes()?).map_err(|_| WireError::Utf8 { field: self.number })
    }

    /// The fields of a message inside this one, and the depth left for messages inside that.
    pub fn message(&self, depth: u32) -> Result<(Reader<'a>, u32), WireError> {
        let bytes = self.bytes()?;
        let left = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
        Ok((Reader::new(bytes), left))
    }
}

/// Reads the fields of one message in order.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub const fn new(message: &'a [u8]) -> Reader<'a> {
        Reader { rest: message }
    }

    /// The next field, or None at the end of the message.
    #[inline]
    pub fn next(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| WireError::Key)?;
        let number = key >> 3;
        if number == 0 {
            return Err(WireError::Key);
        }
        let payload = match key & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
                Payload::Bytes(self.take(length)?)
            }
            3 => Payload::GroupStart,
            4 => Payload::GroupEnd,
            5 => Payload::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(WireError::Key),
        };
        Ok(Some(Field { number, payload }))
    }

    /// Leaves out a field nobody knows; of a group, everything up to its end.
    pub fn skip(&mut self, field: &Field<'a>, depth: u32) -> Result<(), WireError> {
        let left = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
        match field.payload {
            Payload::GroupEnd => Err(WireError::Group),
            Payload::GroupStart => loop {
                let inner = self.next()?.ok_or(WireError::Truncated)?;
                if let Payload::GroupEnd = inner.payload {
                    return if inner.number == field.number { Ok(()) } else { Err(WireError::Group) };
                }
                self.skip(&inner, left)?;
            },
            _ => Ok(()),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte holds the 64th bit alone.
            if index == 9 && byte > 1 {
                return Err(WireError::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(WireError::Truncated)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }
}

/// What a declared field of a message must look like on the wire.
#[derive(Clone, Copy)]
pub enum Shape {
    Varint,
    Fixed32,
    Fixed64,
    Bytes,
    Text,
    Message(&'static Declaration),
}

/// The fields of a message type, for the parts whose content is not kept but must still be valid.
pub struct Declaration(pub &'static [(u32, Shape)]);

impl Declaration {
    /// Checks a whole message.
    pub fn check(&'static self, mut message: Reader<'_>, depth: u32) -> Result<(), WireError> {
        while let Some(field) = message.next()? {
            self.check_field(&field, &mut message, depth)?;
        }
        Ok(())
    }

    /// Checks one field that was just read from `message`.
    pub fn check_field<'a>(
        &'static self,
        field: &Field<'a>,
        message: &mut Reader<'a>,
        depth: u32,
    ) -> Result<(), WireError> {
        let Some((_, shape)) = self.0.iter().find(|(number, _)| *number == field.number) else {
            return message.skip(field, depth);
        };
        match shape {
            Shape::Varint => field.varint().map(drop),
            Shape::Fixed32 => field.fixed32().map(drop),
            Shape::Fixed64 => field.fixed64().map(drop),
            Shape::Bytes => field.bytes().map(drop),
            Shape::Text => field.text().map(drop),
            Shape::Message(declaration) => {
                let (inner, left) = field.message(depth)?;
                declaration.check(inner, left)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<u32>, WireError> {
        let mut reader = Reader::new(bytes);
        let mut numbers = Vec::new();
        while let Some(field) = reader.next()? {
            reader.skip(&field, DEPTH_MAX)?;
            numbers.push(field.number);
        }
        Ok(numbers)
    }

    #[test]
    fn varints_have_at_most_64_bits() {
        let read = |bytes: &[u8]| Reader::new(bytes).varint();
        assert_eq!(read(&[0x96, 0x01]), Ok(150));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Ok(u64::MAX));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), Err(WireError::Varint));
        assert_eq!(read(&[0x80, 0x80]), Err(WireError::Truncated));
    }

    #[test]
    fn groups_are_skipped_whole() {
        // Group 1 holds field 2 = 5 and group 3; then field 4 = 7.
        assert_eq!(fields(&[0x0b, 0x10, 5, 0x1b, 0x1c, 0x0c, 0x20, 7]), Ok(vec![1, 4]));
        assert_eq!(fields(&[0x0b, 0x14]), Err(WireError::Group), "another group's end");
        assert_eq!(fields(&[0x0c]), Err(WireError::Group), "an end without a start");
        assert_eq!(fields(&[0x0b, 0x10, 5]), Err(WireError::Truncated));
        assert_eq!(fields(&[0x0b; 200]), Err(WireError::TooDeep));
    }

    #[test]
    fn keys_and_lengths_are_checked() {
        assert_eq!(fields(&[0x00]), Err(WireError::Key), "field number 0");
        assert_eq!(fields(&[0x0f]), Err(WireError::Key), "wire type 7");
        assert_eq!(fields(&[0x0a, 5, 1, 2]), Err(WireError::Truncated));
        assert_eq!(fields(&[0x09, 1, 2, 3]), Err(WireError::Truncated));
    }
}
