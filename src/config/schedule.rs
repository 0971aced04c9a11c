//! What is planned, and what it means.

use serde_json::{Map, Value, json};

use super::Token;
use super::written::{list, settings, with};
use crate::schedule::{At, Calendar, Kind, Load, Settings};

/// The section `schedule`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    pub station: Settings,
    /// In the order written: an event is of the first that it fits.
    pub kinds: Vec<Kind>,
    pub calendars: Vec<Calendar>,
    /// By which a registrar signs its changes; None: whoever may operate headroom sends them.
    pub webhook: Option<Token>,
}

impl Schedule {
    /// As it is printed.
    pub(super) fn written(&self) -> Value {
        let calendars: Vec<Value> = self.calendars.iter().map(calendar).collect();
        let kinds: Map<String, Value> = self.kinds.iter().map(|of| (of.name.clone(), kind(of))).collect();
        let more = [
            ("zone", json!(self.station.zone.name())),
            ("calendars", if calendars.is_empty() { Value::Null } else { calendars.into() }),
            ("kinds", if kinds.is_empty() { Value::Null } else { kinds.into() }),
        ];
        with(settings(Settings::SETTINGS, &self.station), more)
    }
}

/// An address may hold a token of its own, and is the operator's all the same: what is printed can be read back.
fn calendar(calendar: &Calendar) -> Value {
    let at = match &calendar.at {
        At::File(path) => ("file", json!(path)),
        At::Url(url) => ("url", json!(url)),
    };
    let (zone, participants) = (json!(calendar.zone.name()), json!(calendar.participants));
    with(Map::new(), [("name", json!(calendar.name)), at, ("zone", zone), ("participants", participants)])
}

fn kind(kind: &Kind) -> Value {
    let load = |load: &Load| match load {
        Load::Entry { entry, per_participant } => json!({"entry": entry, "per_participant": per_participant}),
        Load::Service { service, per_replica } => json!({"service": service, "per_replica": per_replica}),
    };
    let loads: Vec<Value> = kind.loads.iter().map(load).collect();
    let loads = if loads.is_empty() { Value::Null } else { loads.into() };
    let matches = list(kind.matches.iter().map(|text| json!(text)));
    with(settings(Kind::SETTINGS, kind), [("match", matches), ("loads", loads)])
}
