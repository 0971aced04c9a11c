//! The protobuf wire format, read without copying: every read is bounds-checked and every input has an answer.
//!
//! Reads what prost accepts as prost does (the differential test holds the two equal): varints of at most ten bytes,
//! groups only as unknown fields, and [`DEPTH_MAX`] messages inside one another. What prost would refuse a whole request
//! for is left out, where the end of the part it lies in is known.
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use super::meter;
use crate::model::Utf8;

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
    #[error("a group does not end where it should")]
    Group,
    #[error("messages are nested deeper than {DEPTH_MAX}")]
    TooDeep,
}

/// A field's number and wire type, as they stand before its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u32);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const GROUP_START: u32 = 3;
const GROUP_END: u32 = 4;
const FIXED32: u32 = 5;

impl Key {
    /// No field has it: numbers start at 1.
    pub const END: Key = Key(0);

    pub const fn varint(number: u32) -> Key {
        Key(number << 3 | VARINT)
    }

    pub const fn fixed64(number: u32) -> Key {
        Key(number << 3 | FIXED64)
    }

    pub const fn fixed32(number: u32) -> Key {
        Key(number << 3 | FIXED32)
    }

    /// Of bytes, text or a message.
    pub const fn bytes(number: u32) -> Key {
        Key(number << 3 | BYTES)
    }

    pub const fn number(self) -> u32 {
        self.0 >> 3
    }

    const fn wire_type(self) -> u32 {
        self.0 & 7
    }
}

/// Reads one message: a key, then the content it announces, and so on. The common forms are inlined, whatever the
/// compiler thinks of it: a call costs more than most of these reads.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub const fn new(message: &'a [u8]) -> Reader<'a> {
        Reader { rest: message }
    }

    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes not read yet.
    pub const fn len(&self) -> usize {
        self.rest.len()
    }

    /// The next field's key, or [`Key::END`] where the message ends.
    #[inline(always)]
    pub fn key(&mut self) -> Result<Key, WireError> {
        match self.rest {
            // Numbers up to 15 take one byte, and those are all that columns are made of.
            [first @ 0x08..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(Key(u32::from(*first)))
            }
            [] => Ok(Key::END),
            _ => self.long_key(),
        }
    }

    #[inline(never)]
    fn long_key(&mut self) -> Result<Key, WireError> {
        let key = Key(u32::try_from(self.varint()?).map_err(|_| WireError::Key)?);
        if key.number() == 0 { Err(WireError::Key) } else { Ok(key) }
    }

    #[inline(always)]
    pub fn varint(&mut self) -> Result<u64, WireError> {
        match self.rest {
            [byte @ 0..0x80, rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, WireError> {
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

    #[inline(always)]
    pub fn fixed64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline(always)]
    pub fn fixed32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline(always)]
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A text; one that is not UTF-8 is replaced and counted.
    #[inline(always)]
    pub fn text(&mut self) -> Result<Utf8<'a>, WireError> {
        self.bytes().map(text_of)
    }

    /// A message inside this one, and the depth left for messages inside that.
    #[inline(always)]
    pub fn message(&mut self, depth: u32) -> Result<(Reader<'a>, u32), WireError> {
        let bytes = self.bytes()?;
        let left = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
        Ok((Reader::new(bytes), left))
    }

    /// Each field in turn, by its key, until the message ends.
    #[inline(always)]
    pub fn each(
        mut self,
        mut read: impl FnMut(&mut Reader<'a>, Key) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        loop {
            match self.key()? {
                Key::END => return Ok(()),
                key => read(&mut self, key)?,
            }
        }
    }

    /// Leaves out a field nobody knows; of a group, everything up to its end.
    pub fn skip(&mut self, key: Key, depth: u32) -> Result<(), WireError> {
        let left = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
        match key.wire_type() {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            BYTES => self.bytes().map(drop),
            FIXED32 => self.array::<4>().map(drop),
            GROUP_START => loop {
                let inner = self.key()?;
                if inner == Key::END {
                    return Err(WireError::Truncated);
                }
                if inner.wire_type() == GROUP_END {
                    return if inner.number() == key.number() { Ok(()) } else { Err(WireError::Group) };
                }
                self.skip(inner, left)?;
            },
            GROUP_END => Err(WireError::Group),
            _ => Err(WireError::Key),
        }
    }
}

/// Bytes as text; what is not UTF-8 is replaced and counted.
#[inline(always)]
pub fn text_of(bytes: &[u8]) -> Utf8<'_> {
    Utf8::new(bytes).unwrap_or_else(|| {
        meter::mended();
        Utf8::REPLACED
    })
}

/// What is wrong inside a message whose end is known spoils no more than that message: it is left out and counted.
#[inline(always)]
pub fn spare(read: Result<(), WireError>) {
    if read.is_err() {
        meter::left_out();
    }
}

/// What a declared field of a message must look like on the wire.
pub enum Shape {
    Varint,
    Fixed32,
    Fixed64,
    Bytes,
    Text,
    Message(&'static Declaration),
}

impl Shape {
    const fn wire_type(&self) -> u32 {
        match self {
            Shape::Varint => VARINT,
            Shape::Fixed32 => FIXED32,
            Shape::Fixed64 => FIXED64,
            Shape::Bytes | Shape::Text | Shape::Message(_) => BYTES,
        }
    }
}

/// The fields of a message type, for the parts whose content is not kept but must still be valid.
pub struct Declaration(pub &'static [(u32, Shape)]);

impl Declaration {
    /// Checks a whole message.
    pub fn check(&'static self, message: Reader<'_>, depth: u32) -> Result<(), WireError> {
        message.each(|message, key| self.check_field(key, message, depth))
    }

    /// Checks the field of `message` whose key was just read. One of another wire type than its declaration's is passed over.
    pub fn check_field(&'static self, key: Key, message: &mut Reader<'_>, depth: u32) -> Result<(), WireError> {
        let Some((_, shape)) = self.0.iter().find(|(number, _)| *number == key.number()) else {
            return message.skip(key, depth);
        };
        if shape.wire_type() != key.wire_type() {
            meter::left_out();
            return message.skip(key, depth);
        }
        match shape {
            Shape::Varint => message.varint().map(drop),
            Shape::Fixed32 => message.array::<4>().map(drop),
            Shape::Fixed64 => message.fixed64().map(drop),
            Shape::Bytes => message.bytes().map(drop),
            Shape::Text => message.text().map(drop),
            Shape::Message(declaration) => {
                let (inner, left) = message.message(depth)?;
                spare(declaration.check(inner, left));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<u32>, WireError> {
        let mut numbers = Vec::new();
        Reader::new(bytes).each(|reader, key| {
            numbers.push(key.number());
            reader.skip(key, DEPTH_MAX)
        })?;
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
