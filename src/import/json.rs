//! Lines that are JSON objects, under the names that servers give by default. The first name of a list that is there is taken.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

pub(super) const TIMES: [&str; 8] =
    ["time", "timestamp", "@timestamp", "time_iso8601", "time_local", "start_time", "ts", "msec"];
pub(super) const METHODS: [&str; 4] = ["method", "request_method", "http_method", "http.request.method"];
pub(super) const PATHS: [&str; 8] =
    ["path", "uri", "request_uri", "url", "original", "url.path", "url.original", "request"];
pub(super) const STATUSES: [&str; 4] = ["status", "response_code", "status_code", "http.response.status_code"];

/// Objects in which the names stand too, but for that of the time: Caddy has `request`, the Elastic Common Schema `http` and `url`.
const WITHIN: [&str; 4] = ["http", "request", "response", "url"];

/// Places in [`Line::told`].
const TIME: usize = 0;
const METHOD: usize = 1;
const PATH: usize = 2;
const STATUS: usize = 3;

/// Where a name stands in its list, and what it holds.
type Ranked<'l> = (usize, Cow<'l, str>);

/// As far as it is told: texts of the line, or their own where they were escaped.
#[derive(Default)]
pub(super) struct Line<'l> {
    told: [Option<Ranked<'l>>; 4],
}

impl<'l> Line<'l> {
    pub(super) fn time(&self) -> Option<&str> {
        self.of(TIME)
    }

    pub(super) fn method(&self) -> Option<&str> {
        self.of(METHOD)
    }

    /// A path, or a whole request line.
    pub(super) fn path(&self) -> Option<&str> {
        self.of(PATH)
    }

    pub(super) fn status(&self) -> Option<&str> {
        self.of(STATUS)
    }

    fn of(&self, field: usize) -> Option<&str> {
        self.told[field].as_ref().map(|(_, text)| text.as_ref())
    }

    fn tell(&mut self, field: usize, (rank, text): Ranked<'l>) {
        let told = &mut self.told[field];
        if told.as_ref().is_none_or(|(known, _)| rank < *known) {
            *told = Some((rank, text));
        }
    }

    /// What an object within tells. The time of a request there is how long it took.
    fn take_within(&mut self, within: Line<'l>) {
        for (field, told) in within.told.into_iter().enumerate().filter(|(field, _)| *field != TIME) {
            if let Some(told) = told {
                self.tell(field, told);
            }
        }
    }
}

/// A text or a number, as text; or what an object holds.
enum Value<'l> {
    Text(Cow<'l, str>),
    Object(Line<'l>),
    Nothing,
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value<'de>, D::Error> {
        struct OfValue;
        impl<'de> Visitor<'de> for OfValue {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Owned(number.to_string())))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Owned(number.to_string())))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Owned(number.to_string())))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
                Ok(Value::Nothing)
            }

            fn visit_unit<E>(self) -> Result<Value<'de>, E> {
                Ok(Value::Nothing)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value<'de>, A::Error> {
                object(map).map(Value::Object)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value::Nothing)
            }
        }
        deserializer.deserialize_any(OfValue)
    }
}

struct Key<'l>(Cow<'l, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key<'de>, D::Error> {
        Ok(Key(match Value::deserialize(deserializer)? {
            Value::Text(text) => text,
            Value::Object(_) | Value::Nothing => Cow::Borrowed(""),
        }))
    }
}

fn object<'de, A: MapAccess<'de>>(mut map: A) -> Result<Line<'de>, A::Error> {
    let mut line = Line::default();
    while let Some(Key(key)) = map.next_key()? {
        let rank = |names: &[&str]| names.iter().position(|name| *name == key);
        let ranks = [rank(&TIMES), rank(&METHODS), rank(&PATHS), rank(&STATUSES)];
        let field = ranks.iter().enumerate().find_map(|(field, rank)| rank.map(|rank| (field, rank)));
        let is_within = WITHIN.contains(&key.as_ref());
        if field.is_none() && !is_within {
            map.next_value::<IgnoredAny>()?;
            continue;
        }
        match (map.next_value()?, field) {
            (Value::Text(text), Some((field, rank))) => line.tell(field, (rank, text)),
            (Value::Object(within), _) if is_within => line.take_within(within),
            (Value::Text(_) | Value::Object(_) | Value::Nothing, _) => {}
        }
    }
    Ok(line)
}

impl<'de> Deserialize<'de> for Line<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Line<'de>, D::Error> {
        struct OfLine;
        impl<'de> Visitor<'de> for OfLine {
            type Value = Line<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Line<'de>, A::Error> {
                object(map)
            }
        }
        deserializer.deserialize_map(OfLine)
    }
}
