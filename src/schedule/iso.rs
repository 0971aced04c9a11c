//! Times as people and programs read them, `2026-11-30T09:00:00.000Z`. What an earlier version kept in nanoseconds is read too.

use serde::{Deserialize, Deserializer, Serializer};

use crate::model::Time;

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Nanos(i64),
}

pub fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    match Written::deserialize(deserializer)? {
        Written::Nanos(nanos) => Ok(Time(nanos)),
        Written::Text(text) => {
            Time::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no time in UTC")))
        }
    }
}

/// Of what may have no time yet.
pub mod option {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::Time;

    #[derive(Deserialize)]
    struct At(#[serde(with = "super")] Time);

    pub fn serialize<S: Serializer>(time: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
        Ok(Option::<At>::deserialize(deserializer)?.map(|At(time)| time))
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Both {
        #[serde(with = "super")]
        at: Time,
        #[serde(default, with = "super::option")]
        perhaps: Option<Time>,
    }

    #[test]
    fn times_are_written_as_text_and_read_as_either() {
        let at = Time::parse("2026-11-30T09:00").unwrap();
        let both = Both { at, perhaps: Some(at) };
        let written = serde_json::to_value(&both).unwrap();
        assert_eq!(
            written,
            serde_json::json!({"at": "2026-11-30T09:00:00.000Z", "perhaps": "2026-11-30T09:00:00.000Z"})
        );
        assert_eq!(serde_json::from_value::<Both>(written).unwrap(), both);
        let kept = serde_json::json!({"at": at.0, "perhaps": null});
        assert_eq!(serde_json::from_value::<Both>(kept).unwrap(), Both { at, perhaps: None });
        assert!(serde_json::from_value::<Both>(serde_json::json!({"at": "nine"})).is_err());
    }
}
