//! What kind of thing stands at each place of a file, before anything is read of it: where a section is expected and a text
//! stands, that place alone is wrong, and the rest is read all the same.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

#[derive(Clone, Debug, PartialEq)]
pub enum Outline {
    /// Left empty, or `null`.
    Nothing,
    Text,
    List(Vec<Outline>),
    /// Keys as they are written, repetitions included.
    Section(Vec<(String, Outline)>),
}

impl Outline {
    /// For people, after 'is'.
    pub fn in_words(&self) -> &'static str {
        match self {
            Outline::Nothing => "empty",
            Outline::Text => "a single value",
            Outline::List(_) => "a list",
            Outline::Section(_) => "a section of keys",
        }
    }
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Outline, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Outline;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E: Error>(self) -> Result<Outline, E> {
        Ok(Outline::Nothing)
    }

    fn visit_none<E: Error>(self) -> Result<Outline, E> {
        Ok(Outline::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Outline, D::Error> {
        Outline::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Outline, E> {
        Ok(Outline::Text)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Outline, E> {
        Ok(Outline::Text)
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Outline, E> {
        Ok(Outline::Text)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Outline, E> {
        Ok(Outline::Text)
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Outline, E> {
        Ok(Outline::Text)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Outline, E> {
        Ok(Outline::Text)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Outline, E> {
        Ok(Outline::Text)
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Outline, E> {
        Ok(Outline::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Outline, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element()? {
            all.push(one);
        }
        Ok(Outline::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outline, A::Error> {
        let mut all = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            all.push((name, map.next_value()?));
        }
        Ok(Outline::Section(all))
    }
}
