//! Lines that are JSON objects, under the names that servers give by default. The first name of a list that is there is taken.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

const TIMES: [&str; 8] = ["time", "timestamp", "@timestamp", "time_iso8601", "time_local", "start_time", "ts", "msec"];
const METHODS: [&str; 3] = ["method", "request_method", "http_method"];
const PATHS: [&str; 5] = ["path", "uri", "request_uri", "url", "request"];
const STATUSES: [&str; 3] = ["status", "response_code", "status_code"];

/// As far as it is told: texts of the line, or their own where they were escaped.
#[derive(Default)]
pub(super) struct Line<'l> {
    pub time: Option<Cow<'l, str>>,
    pub method: Option<Cow<'l, str>>,
    /// A path, or a whole request line.
    pub path: Option<Cow<'l, str>>,
    pub status: Option<Cow<'l, str>>,
}

/// A text or a number, as text.
struct Scalar<'l>(Option<Cow<'l, str>>);

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar<'de>, D::Error> {
        struct OfScalar;
        impl<'de> Visitor<'de> for OfScalar {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar(None))
            }

            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar(None))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar(None))
            }
        }
        deserializer.deserialize_any(OfScalar)
    }
}

struct Key<'l>(Cow<'l, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key<'de>, D::Error> {
        Scalar::deserialize(deserializer).map(|scalar| Key(scalar.0.unwrap_or_default()))
    }
}

impl<'de> Deserialize<'de> for Line<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Line<'de>, D::Error> {
        struct OfLine;
        impl<'de> Visitor<'de> for OfLine {
            type Value = Line<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line<'de>, A::Error> {
                let mut line = Line::default();
                let mut best = [usize::MAX; 4];
                while let Some(Key(key)) = map.next_key()? {
                    let rank = |names: &[&str]| names.iter().position(|name| *name == key);
                    let ranks = [rank(&TIMES), rank(&METHODS), rank(&PATHS), rank(&STATUSES)];
                    let Some((field, rank)) =
                        ranks.iter().enumerate().find_map(|(at, rank)| rank.map(|rank| (at, rank)))
                    else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    let Scalar(Some(value)) = map.next_value()? else { continue };
                    if rank < best[field] {
                        best[field] = rank;
                        *[&mut line.time, &mut line.method, &mut line.path, &mut line.status][field] = Some(value);
                    }
                }
                Ok(line)
            }
        }
        deserializer.deserialize_map(OfLine)
    }
}
