//! JSON that is read whatever stands there: a value of another type than the expected is left out and counted.
//!
//! A visitor of serde is told what it finds, so each of these takes everything and says itself what it has no use for.
//! Letters that are none are replaced before, in one place, so that every string is text by then.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::meter;

/// A document as text: bytes that are not UTF-8 and halves of surrogate pairs become U+FFFD.
pub fn text_of(document: &[u8]) -> Cow<'_, str> {
    let text = match std::str::from_utf8(document) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let invalid = document.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
            (0..invalid).for_each(|_| meter::mended());
            String::from_utf8_lossy(document)
        }
    };
    match whole_surrogates(&text) {
        Some(mended) => Cow::Owned(mended),
        None => text,
    }
}

/// The text with `\ufffd` for each escaped half of a surrogate pair that stands alone; None where there is none.
fn whole_surrogates(text: &str) -> Option<String> {
    let mut mended = String::new();
    let mut copied = 0;
    let mut at = 0;
    let bytes = text.as_bytes();
    while let Some(found) = text[at..].find('\\') {
        at += found;
        match (unit(bytes, at), unit(bytes, at + ESCAPE_BYTES)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => at += 2 * ESCAPE_BYTES,
            (Some(0xd800..0xe000), _) => {
                meter::mended();
                mended.push_str(&text[copied..at]);
                mended.push_str("\\ufffd");
                at += ESCAPE_BYTES;
                copied = at;
            }
            (Some(_), _) => at += ESCAPE_BYTES,
            // An escape of one letter, which may be the backslash itself.
            (None, _) => at = text.ceil_char_boundary((at + 2).min(text.len())),
        }
    }
    (copied > 0).then(|| mended + &text[copied..])
}

/// `\uXXXX`
const ESCAPE_BYTES: usize = 6;

/// The UTF-16 unit that is escaped at this place.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + ESCAPE_BYTES)?.strip_prefix(b"\\u")?;
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    digits.iter().try_fold(0, |unit, next| Some(unit << 4 | digit(next)? as u16)) // a digit is below 16
}

/// A value that is no object and no list.
pub enum Scalar<'a> {
    Text(Cow<'a, str>),
    Int(i128),
    Double(f64),
    Bool(bool),
}

/// What is made of an object, or of a scalar.
pub trait Readable<'de>: Sized {
    /// None of a scalar that it cannot be.
    fn of_scalar(_: Scalar<'de>) -> Option<Self> {
        None
    }

    /// None where an object is nothing of the kind.
    fn of_object<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        pass_over(map)
    }
}

fn pass_over<'de, T, A: MapAccess<'de>>(mut map: A) -> Result<Option<T>, A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(None)
}

/// A value; None where there is null, nothing, or another type, which is counted.
#[derive(Clone, Copy)]
pub struct Maybe<T>(pub Option<T>);

impl<T> Default for Maybe<T> {
    fn default() -> Maybe<T> {
        Maybe(None)
    }
}

impl Maybe<Text<'_>> {
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", |text| &*text.0)
    }
}

impl<'de, T: Readable<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Maybe<T>, D::Error> {
        struct Any<T>(PhantomData<T>);
        impl<'de, T: Readable<'de>> Visitor<'de> for Any<T> {
            type Value = Option<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_bool<E>(self, truth: bool) -> Result<Option<T>, E> {
                Ok(counted(T::of_scalar(Scalar::Bool(truth))))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Option<T>, E> {
                Ok(counted(T::of_scalar(Scalar::Int(number.into()))))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Option<T>, E> {
                Ok(counted(T::of_scalar(Scalar::Int(number.into()))))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Option<T>, E> {
                Ok(counted(T::of_scalar(Scalar::Double(number))))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Option<T>, E> {
                Ok(counted(T::of_scalar(Scalar::Text(Cow::Borrowed(text)))))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Option<T>, E> {
                if !meter::pay(text.len()) {
                    return Err(E::custom("too large"));
                }
                Ok(counted(T::of_scalar(Scalar::Text(Cow::Owned(text.to_owned())))))
            }
            fn visit_unit<E>(self) -> Result<Option<T>, E> {
                Ok(None)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Option<T>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(counted(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
                Ok(counted(T::of_object(map)?))
            }
        }
        deserializer.deserialize_any(Any(PhantomData)).map(Maybe)
    }
}

fn counted<T>(read: Option<T>) -> Option<T> {
    if read.is_none() {
        meter::left_out();
    }
    read
}

/// Objects of a list; those elements that are none are left out, and so is what is no list.
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List(Vec::new())
    }
}

/// What elements become is paid for before they are there; twice, as a list that grows is copied.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T>, D::Error> {
        struct Any<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Any<T> {
            type Value = Vec<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_unit<E>(self) -> Result<Vec<T>, E> {
                Ok(Vec::new())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element::<Maybe<Object<T>>>()? {
                    let Some(Object(element)) = element.0 else { continue };
                    if !meter::pay(2 * size_of::<T>()) {
                        return Err(A::Error::custom("too large"));
                    }
                    elements.push(element);
                }
                Ok(elements)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
                Ok(counted(pass_over(map)?).unwrap_or_default())
            }
            fn visit_bool<E>(self, _: bool) -> Result<Vec<T>, E> {
                Ok(counted(None).unwrap_or_default())
            }
            fn visit_i64<E>(self, _: i64) -> Result<Vec<T>, E> {
                Ok(counted(None).unwrap_or_default())
            }
            fn visit_u64<E>(self, _: u64) -> Result<Vec<T>, E> {
                Ok(counted(None).unwrap_or_default())
            }
            fn visit_f64<E>(self, _: f64) -> Result<Vec<T>, E> {
                Ok(counted(None).unwrap_or_default())
            }
            fn visit_str<E>(self, _: &str) -> Result<Vec<T>, E> {
                Ok(counted(None).unwrap_or_default())
            }
        }
        deserializer.deserialize_any(Any(PhantomData)).map(List)
    }
}

/// A struct, read of an object alone.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Readable<'de> for Object<T> {
    fn of_object<A: MapAccess<'de>>(map: A) -> Result<Option<Object<T>>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|object| Some(Object(object)))
    }
}

/// The fields of an object whose names are not known beforehand, in order.
pub struct Named<'a, T>(pub Vec<(Text<'a>, T)>);

impl<'de: 'a, 'a, T: Readable<'de>> Readable<'de> for Named<'a, T> {
    fn of_object<A: MapAccess<'de>>(mut map: A) -> Result<Option<Named<'a, T>>, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<Maybe<Text<'de>>, Maybe<T>>()? {
            if !meter::pay(2 * size_of::<(Text<'de>, T)>()) {
                return Err(A::Error::custom("too large"));
            }
            fields.extend(name.0.zip(value.0));
        }
        Ok(Some(Named(fields)))
    }
}

/// A string, borrowed unless it has escapes.
#[derive(Clone, Default)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Readable<'de> for Text<'a> {
    fn of_scalar(scalar: Scalar<'de>) -> Option<Text<'a>> {
        if let Scalar::Text(text) = scalar { Some(Text(text)) } else { None }
    }
}

impl<'de> Readable<'de> for bool {
    fn of_scalar(scalar: Scalar<'de>) -> Option<bool> {
        if let Scalar::Bool(truth) = scalar { Some(truth) } else { None }
    }
}

/// The longest id kept, one byte more than a trace id has: longer ones are as wrong.
const ID_BYTES_MAX: usize = 17;

/// An id: bytes in hex, in either case, or in base64 as protobuf's own JSON has it. What is neither is no id, which the
/// span is rejected for.
#[derive(Clone, Copy, Default)]
pub struct Id {
    bytes: [u8; ID_BYTES_MAX],
    length: usize,
}

impl Id {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn of(bytes: &[u8]) -> Id {
        let mut id = Id { length: bytes.len().min(ID_BYTES_MAX), ..Id::default() };
        id.bytes[..id.length].copy_from_slice(&bytes[..id.length]);
        id
    }

    fn parse(text: &str) -> Id {
        let mut id = Id { length: (text.len() / 2).min(ID_BYTES_MAX), ..Id::default() };
        let head = text.as_bytes().get(..2 * id.length).unwrap_or_default();
        if text.len().is_multiple_of(2) && hex::decode_to_slice(head, &mut id.bytes[..id.length]).is_ok() {
            return id;
        }
        // 16 and 8 bytes in base64, which end in padding: no length of hex.
        match text.len() {
            24 | 12 => STANDARD.decode(text).map_or_else(|_| Id::default(), |bytes| Id::of(&bytes)),
            _ => Id::default(),
        }
    }
}

impl<'de> Readable<'de> for Id {
    fn of_scalar(scalar: Scalar<'de>) -> Option<Id> {
        if let Scalar::Text(text) = scalar { Some(Id::parse(&text)) } else { None }
    }
}

/// A 64-bit integer: a string as ProtoJSON writes it, or a number as people do.
#[derive(Clone, Copy, Default)]
pub struct Integer<T>(pub T);

impl<'de, T: TryFrom<i128> + std::str::FromStr> Readable<'de> for Integer<T> {
    fn of_scalar(scalar: Scalar<'de>) -> Option<Integer<T>> {
        let exact = |number: i128| T::try_from(number).ok().map(Integer);
        match scalar {
            Scalar::Int(number) => exact(number),
            // 1.5e9 is an integer too; what is past 128 bits saturates, and does not fit 64.
            Scalar::Double(number) if number.fract() == 0.0 => exact(number as i128),
            Scalar::Text(text) => text.parse().ok().map(Integer),
            Scalar::Double(_) | Scalar::Bool(_) => None,
        }
    }
}

/// A double: a number, or a string such as "NaN" or "Infinity".
#[derive(Clone, Copy)]
pub struct Number(pub f64);

impl<'de> Readable<'de> for Number {
    fn of_scalar(scalar: Scalar<'de>) -> Option<Number> {
        match scalar {
            Scalar::Double(number) => Some(Number(number)),
            Scalar::Int(number) => Some(Number(number as f64)),
            Scalar::Text(text) => text.parse().ok().map(Number),
            Scalar::Bool(_) => None,
        }
    }
}

/// A span kind or status code, as its number or its name.
#[derive(Clone, Copy, Default)]
pub struct Enumeration(pub i64);

/// The names of the two enumerations that are read, with their numbers; they do not overlap.
const ENUMERATION_NAMES: [(&str, i64); 9] = [
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
    ("STATUS_CODE_UNSET", 0),
    ("STATUS_CODE_OK", 1),
    ("STATUS_CODE_ERROR", 2),
];

impl<'de> Readable<'de> for Enumeration {
    fn of_scalar(scalar: Scalar<'de>) -> Option<Enumeration> {
        match scalar {
            // Past 64 bits it is unspecified, as any unknown number.
            Scalar::Int(number) => Some(Enumeration(i64::try_from(number).unwrap_or(0))),
            // A name of a later version is unspecified, as an unknown number is.
            Scalar::Text(name) => {
                let known = ENUMERATION_NAMES.iter().find(|(known, _)| *known == name);
                Some(Enumeration(known.map_or_else(|| name.parse().unwrap_or(0), |(_, number)| *number)))
            }
            Scalar::Double(_) | Scalar::Bool(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_are_none_are_replaced_and_others_stay() {
        let mended = |document: &[u8]| {
            let (text, repairs, _) = meter::metered(usize::MAX, || text_of(document).into_owned());
            (text, repairs.broken)
        };
        assert_eq!(mended(br#"a\ud83d\ude00b\u00e9\\ud800"#), (r#"a\ud83d\ude00b\u00e9\\ud800"#.to_owned(), 0));
        assert_eq!(
            mended(br#"a\ud83db\ude00\ud800\ud83d\ude00"#),
            (r#"a\ufffdb\ufffd\ufffd\ud83d\ude00"#.to_owned(), 3)
        );
        assert_eq!(mended(b"caf\xe9 \xffx"), ("caf\u{fffd} \u{fffd}x".to_owned(), 2));
        assert_eq!(mended("\\é\\".as_bytes()), ("\\é\\".to_owned(), 0));
    }

    #[test]
    fn an_id_is_hex_or_base64_or_none() {
        let id = |text: &str| hex::encode(Id::parse(text).bytes());
        assert_eq!(id("0AF7651916cd43dd"), "0af7651916cd43dd");
        assert_eq!(id("kMGSz9OslK8PId22bK1KJw=="), "90c192cfd3ac94af0f21ddb66cad4a27");
        assert_eq!(id("8owQXR+xfCM="), "f28c105d1fb17c23");
        assert_eq!(["xyz", "ab?", "zzzzzzzzzzzzzzzz", "é"].map(id), [""; 4]);
    }
}
