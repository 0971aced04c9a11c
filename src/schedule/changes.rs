//! What a registrar's change means: CloudEvents of the type [`TYPE`], read to planned events.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;

use super::bounds::{LASTS_MAX, shown};
use super::event::{Planned, believable};
use super::settings::Settings;
use crate::model::Time;

/// Of the CloudEvent.
pub const TYPE: &str = "dev.headroom.schedule.changed";

/// The one source that all of them are; what each says of itself is shown.
pub const SOURCE: &str = "webhook";

/// Events in one message. A registrar that moves a faculty sends several.
const EVENTS_MAX: usize = 500;

/// A message, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// Source and id together: twice the same is one message.
    pub id: String,
    pub events: Vec<Planned>,
    /// Fields of its data that mean nothing here, by name.
    pub not_read: BTreeSet<String>,
}

/// Names of fields that are told; a message may hold any number.
const NOT_READ_MAX: usize = 20;

/// As it is sent.
#[derive(Deserialize)]
struct Sent {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    data: Value,
}

/// One course, exam or whatever else is planned. What else its sender says of it is its own.
#[derive(Deserialize)]
struct Course {
    /// The same for the same event wherever it is moved to; a calendar's UID where a calendar has it too.
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    kind: Option<String>,
    starts: String,
    /// Without it, it begins and has no length.
    #[serde(default)]
    ends: Option<String>,
    #[serde(default)]
    participants: Option<i64>,
    #[serde(default)]
    cancelled: bool,
    /// Which word on this event it is; without it the message's time tells.
    #[serde(default)]
    sequence: Option<i64>,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// # Errors
/// Where it is no such message, in one line with its remedy.
pub fn read(message: Value, settings: &Settings) -> Result<Changed, String> {
    let sent: Sent = serde_json::from_value(message).map_err(|error| format!("it is no CloudEvent: {error}"))?;
    if !sent.specversion.starts_with("1.") {
        return Err(format!("specversion {} is not 1.0", shown(&sent.specversion)));
    }
    if sent.kind != TYPE {
        return Err(format!("its type is `{}`; send {TYPE}", shown(&sent.kind)));
    }
    let sent_at = sent.time.as_deref().map(|text| time("time", text)).transpose()?;
    let courses: Vec<Course> = match sent.data {
        Value::Array(_) => serde_json::from_value(sent.data),
        one => serde_json::from_value(one).map(|one| vec![one]),
    }
    .map_err(|error| format!("its data is no event, nor a list of some: {error}"))?;
    if courses.len() > EVENTS_MAX {
        return Err(format!("it has {} events; send {EVENTS_MAX} at most in one message", courses.len()));
    }
    let source = shown(&sent.source);
    let planned = |course: Course| {
        let named = shown(if course.title.is_empty() { &course.id } else { &course.title });
        planned(course, sent_at, &source, settings).map_err(|cause| format!("{named}: {cause}"))
    };
    let not_read =
        courses.iter().flat_map(|course| course.more.keys()).map(|name| shown(name)).take(NOT_READ_MAX).collect();
    let events: Result<Vec<Planned>, String> = courses.into_iter().map(planned).collect();
    Ok(Changed { id: format!("{source} {}", shown(&sent.id)), events: events?, not_read })
}

fn planned(course: Course, sent_at: Option<Time>, source: &str, settings: &Settings) -> Result<Planned, String> {
    let starts = time("starts", &course.starts)?;
    let ends = course.ends.as_deref().map_or(Ok(starts), |ends| time("ends", ends))?;
    if ends < starts {
        return Err("it ends before it begins".into());
    }
    if course.id.trim().is_empty() {
        return Err("its id is empty, so that nobody knows which event it is".into());
    }
    let participants = course.participants.map(|count| believable(count, settings.participants_max)).transpose()?;
    // Milliseconds, so that it stays above the numbers that calendars count changes by.
    let by_time = sent_at.map(|at| at.0 / 1_000_000);
    let revision = course.sequence.or(by_time);
    let revision =
        revision.ok_or("it has neither `time` nor `sequence`, so that late words cannot be told from new ones")?;
    Ok(Planned {
        id: shown(&course.id),
        source: source.to_owned(),
        title: shown(if course.title.is_empty() { &course.id } else { &course.title }),
        categories: course.kind.iter().map(|kind| shown(kind)).collect(),
        starts,
        ends: ends.min(starts + LASTS_MAX),
        participants,
        cancelled: course.cancelled,
        revision,
        floors: BTreeMap::new(),
    })
}

fn time(what: &str, text: &str) -> Result<Time, String> {
    let read = DateTime::parse_from_rfc3339(text).ok().and_then(|at| at.timestamp_nanos_opt());
    read.map(Time)
        .ok_or_else(|| format!("`{what}` is `{}`; write a time such as 2026-11-30T09:00:00+01:00", shown(text)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(data: Value) -> Value {
        json!({
            "specversion": "1.0", "id": "7", "source": "/registrar", "type": TYPE,
            "time": "2026-11-30T08:50:00Z", "datacontenttype": "application/json", "data": data,
        })
    }

    fn course() -> Value {
        json!({
            "id": "algebra@campus", "title": "Algebra", "kind": "exam", "participants": 400,
            "starts": "2026-11-30T10:00:00+01:00", "ends": "2026-11-30T11:30:00+01:00",
        })
    }

    #[test]
    fn a_course_is_known_by_its_id_and_its_words_by_their_time_or_sequence() {
        let changed = read(message(course()), &Settings::default()).unwrap();
        assert_eq!(changed.id, "/registrar 7");
        let event = &changed.events[0];
        assert_eq!((event.id.as_str(), event.participants, event.cancelled), ("algebra@campus", Some(400), false));
        assert_eq!(
            (event.starts, event.ends),
            (Time::parse("2026-11-30T09:00").unwrap(), Time::parse("2026-11-30T10:30").unwrap())
        );
        assert_eq!(event.revision, Time::parse("2026-11-30T08:50").unwrap().0 / 1_000_000);
        let mut numbered = course();
        numbered["sequence"] = 3.into();
        let changed = read(message(json!([numbered, course()])), &Settings::default()).unwrap();
        assert_eq!((changed.events.len(), changed.events[0].revision), (2, 3));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let told = |change: fn(&mut Value)| {
            let mut message = message(course());
            change(&mut message);
            read(message, &Settings::default()).unwrap_err()
        };
        let data = |change: fn(&mut Value)| {
            let mut course = course();
            change(&mut course);
            read(message(course), &Settings::default()).unwrap_err()
        };
        assert!(told(|of| of["type"] = "other".into()).contains("its type is `other`"));
        assert!(told(|of| of["specversion"] = "0.3".into()).contains("0.3"));
        assert!(told(|of| _ = of.as_object_mut().unwrap().remove("id")).contains("missing field `id`"));
        assert!(told(|of| _ = of.as_object_mut().unwrap().remove("time")).contains("neither `time` nor `sequence`"));
        assert!(told(|of| of["data"] = vec![course(); EVENTS_MAX + 1].into()).contains("501 events"));
        assert!(data(|of| of["participants"] = 1_000_000.into()).contains("schedule.participants_max"));
        assert!(data(|of| of["participants"] = (-1).into()).contains("-1 participants cannot come"));
        assert!(data(|of| of["starts"] = "1500-01-01T00:00:00Z".into()).contains("`starts` is"));
        assert!(data(|of| of["ends"] = "2026-11-30T09:00:00+01:00".into()).contains("ends before it begins"));
        assert!(data(|of| of["id"] = " ".into()).contains("its id is empty"));
        assert!(data(|of| _ = of.as_object_mut().unwrap().remove("starts")).contains("missing field `starts`"));
    }

    #[test]
    fn what_a_registrar_says_beside_is_left_alone_and_named() {
        let mut course = course();
        (course["room"], course["seats"]) = ("A1".into(), 900.into());
        course.as_object_mut().unwrap().remove("ends");
        let changed = read(message(json!([course])), &Settings::default()).unwrap();
        assert_eq!(changed.not_read.iter().map(String::as_str).collect::<Vec<_>>(), ["room", "seats"]);
        assert_eq!(changed.events[0].starts, changed.events[0].ends, "it begins, and has no length");
    }
}
