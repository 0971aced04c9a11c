//! What a scenario's calendar announces, and what of it happens: lectures that are cancelled, moved, not announced, or to
//! which nobody comes. Their participants are traffic beside that of the entries; the announcements are what a calendar
//! would say at each moment, for who plays an operator that has one.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::check::Problems;
use super::{Entry, file};

/// As it is written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct File {
    /// Kinds of events by name.
    pub kinds: IndexMap<String, Kind>,
    pub events: Vec<Event>,
    /// So many times the participants that come are announced: 1 is the truth.
    #[serde(default = "truth")]
    pub announced_factor: f64,
}

fn truth() -> f64 {
    1.0
}

/// What participants of a kind do.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Kind {
    /// Requests a second of each entry operation for each participant, while it holds: `POST /login: 0.05`.
    pub loads: IndexMap<String, f64>,
    /// They come within this, from the event's start.
    #[serde(default = "rise_s")]
    pub rise_s: f64,
    pub hold_s: f64,
    #[serde(default = "fall_s")]
    pub fall_s: f64,
}

fn rise_s() -> f64 {
    20.0
}

fn fall_s() -> f64 {
    30.0
}

/// One event.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Event {
    pub title: String,
    pub kind: String,
    pub at_s: f64,
    /// As it is announced; its load lasts as its kind's does.
    pub lasts_s: f64,
    pub participants: u32,
    /// The registrar says then that it does not take place, and it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_s: Option<f64>,
    /// The registrar says then that it begins at `to_s`, and it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Moved>,
    /// No calendar has it.
    #[serde(default = "yes")]
    pub announced: bool,
    /// It is announced, and nobody comes.
    #[serde(default = "yes")]
    pub comes: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Moved {
    pub said_s: f64,
    pub to_s: f64,
}

fn yes() -> bool {
    true
}

/// Checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calendar {
    pub kinds: Vec<LoadKind>,
    pub events: Vec<Announced>,
}

/// What an operator would write of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadKind {
    pub name: String,
    /// Index of the entry, and requests a second for each participant.
    pub loads: Vec<(usize, f64)>,
    /// From the start of an event until its load is over.
    pub lasts_s: f64,
}

/// An event as calendars have it, and what comes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Announced {
    pub title: String,
    pub kind: String,
    pub at_s: f64,
    pub lasts_s: f64,
    /// Who comes.
    pub participants: u32,
    /// Who is said to come; None where no calendar has it.
    pub announced: Option<u32>,
    pub cancelled_s: Option<f64>,
    /// When it is said, and to when it goes.
    pub moved: Option<(f64, f64)>,
    /// From when to when its participants are there; None where nobody comes.
    pub load_s: Option<(f64, f64)>,
}

/// Traffic of an event's participants at one entry operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::simulate) struct Surge {
    pub at_s: f64,
    pub rise_s: f64,
    pub hold_s: f64,
    pub fall_s: f64,
    /// Requests a second while it holds.
    pub rate: f64,
}

impl Surge {
    pub fn ends_s(&self) -> f64 {
        self.at_s + self.rise_s + self.hold_s + self.fall_s
    }

    pub fn rate(&self, at: f64) -> f64 {
        let level = |from: f64, over: f64| {
            if over > 0.0 { ((at - from) / over).clamp(0.0, 1.0) } else { f64::from(u8::from(at >= from)) }
        };
        let falls = self.at_s + self.rise_s + self.hold_s;
        self.rate * (level(self.at_s, self.rise_s) - level(falls, self.fall_s))
    }
}

/// The calendar, and the traffic of those who come, which is added to the entries.
pub(super) fn check(p: &mut Problems, file: &file::File, entries: &mut [Entry]) -> Calendar {
    let Some(written) = &file.calendar else { return Calendar::default() };
    p.within("calendar.announced_factor", written.announced_factor, 0.0, 1_000.0);
    let kinds: Vec<LoadKind> = written.kinds.iter().map(|(name, of)| kind(p, name, of, entries)).collect();
    let mut events = Vec::new();
    for (index, event) in written.events.iter().enumerate() {
        let path = format!("calendar.events[{index}]");
        let of = p.index(&format!("{path}.kind"), "kind of event", &written.kinds, &event.kind);
        let (Some((_, shape)), Some(checked)) = (written.kinds.get_index(of), kinds.get(of)) else { continue };
        p.within(&format!("{path}.at_s"), event.at_s, 0.0, file.horizon_s);
        p.within(&format!("{path}.lasts_s"), event.lasts_s, 1.0, 86_400.0);
        if let Some(moved) = event.moved {
            p.within(&format!("{path}.moved.said_s"), moved.said_s, 0.0, event.at_s);
            p.within(&format!("{path}.moved.to_s"), moved.to_s, moved.said_s, file.horizon_s);
        }
        if let Some(cancelled_s) = event.cancelled_s {
            p.within(&format!("{path}.cancelled_s"), cancelled_s, 0.0, event.at_s);
        }
        let begins = event.moved.map_or(event.at_s, |moved| moved.to_s);
        let takes_place = event.comes && event.cancelled_s.is_none();
        if takes_place {
            for (entry, per_participant) in &checked.loads {
                let rate = f64::from(event.participants) * per_participant;
                let Kind { rise_s, hold_s, fall_s, .. } = *shape;
                entries[*entry].surges.push(Surge { at_s: begins, rise_s, hold_s, fall_s, rate });
            }
        }
        let announced = (f64::from(event.participants) * written.announced_factor).round() as u32;
        events.push(Announced {
            title: event.title.clone(),
            kind: event.kind.clone(),
            at_s: event.at_s,
            lasts_s: event.lasts_s,
            participants: event.participants,
            announced: event.announced.then_some(announced),
            cancelled_s: event.cancelled_s,
            moved: event.moved.map(|moved| (moved.said_s, moved.to_s)),
            load_s: takes_place.then_some((begins, begins + checked.lasts_s)),
        });
    }
    Calendar { kinds, events }
}

fn kind(p: &mut Problems, name: &str, of: &Kind, entries: &[Entry]) -> LoadKind {
    let path = format!("calendar.kinds.{name}");
    for (key, seconds) in [("rise_s", of.rise_s), ("hold_s", of.hold_s), ("fall_s", of.fall_s)] {
        p.within(&format!("{path}.{key}"), seconds, 0.0, 86_400.0);
    }
    let mut loads = Vec::new();
    for (operation, per) in &of.loads {
        p.within(&format!("{path}.loads.{operation}"), *per, 0.0, 1_000.0);
        match entries.iter().position(|entry| entry.operation == *operation) {
            Some(entry) => loads.push((entry, *per)),
            None => p.add(&format!("{path}.loads"), format!("there is no request class `{operation}` under entries")),
        }
    }
    LoadKind { name: name.to_owned(), loads, lasts_s: of.rise_s + of.hold_s + of.fall_s }
}
