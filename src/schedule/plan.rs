//! What planned events mean: how many replicas of which service, from when to when, why, and what that costs.
//!
//! A pure function. Each service on an event's way is raised its own start-up time, and a margin, before the first
//! participants come. Events that overlap add up; a floor that somebody names is no less than that. The cost of a day is
//! bounded: what comes first is granted first, and what is cut down says so.

mod needs;
mod segments;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::event::Planned;
use super::kinds::{Kind, kind_of};
use super::settings::Settings;
use crate::analyse::Demand;
use crate::guard::Floor;
use crate::model::{ServiceId, Time};

pub use needs::Learned;

/// All that a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub settings: &'a Settings,
    pub kinds: &'a [Kind],
    pub events: &'a [Planned],
    pub demand: &'a Demand,
    /// What participants of a kind were seen to load, where its mapping does not say.
    pub learned: &'a Learned,
    /// What is looked at.
    pub from: Time,
    pub until: Time,
    /// Replica-hours that events have cost already, by day (UTC).
    pub spent: &'a BTreeMap<i64, f64>,
}

/// What the events come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// In the order of their starts.
    pub events: Vec<Raised>,
    pub floors: Vec<Floor>,
    /// Replica-hours beyond what runs usually, by day (UTC), those that were spent already among them.
    pub replica_hours: BTreeMap<String, f64>,
}

/// An event and what it raises.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Raised {
    #[serde(flatten)]
    pub event: Planned,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    pub raises: Vec<Raise>,
    /// Why it raises nothing, or less than it asks for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One service, raised for one event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Raise {
    pub service: String,
    /// The most that the service is raised to while this event lasts, other events among its reasons.
    pub replicas: u32,
    /// What runs usually.
    pub usual: u32,
    pub from: Time,
    pub until: Time,
    pub because: String,
}

const DAY_S: i64 = 86_400;

pub fn plan(inputs: &Inputs<'_>) -> Plan {
    let mut raised: Vec<Raised> = Vec::new();
    let mut wanted: BTreeMap<String, Vec<segments::Want>> = BTreeMap::new();
    for event in inputs.events {
        let index = raised.len();
        let kind = kind_of(inputs.kinds, event);
        let mut one = Raised {
            event: event.clone(),
            kind: kind.map(|kind| kind.name.clone()),
            raises: Vec::new(),
            notes: Vec::new(),
        };
        let lasts = lasts(event, kind);
        if !event.meets(inputs.from, inputs.until) && event.starts + lasts < inputs.from {
            continue;
        }
        match needs::of(event, kind, inputs) {
            Ok(needs) => {
                let early = kind.map_or(Duration::ZERO, |kind| kind.early);
                for (service, need) in needs {
                    let from = event.starts - early - lead(&service, inputs);
                    let until = event.starts + lasts;
                    one.notes.extend(need.note.clone());
                    wanted.entry(service).or_default().push(segments::Want { event: index, from, until, need });
                }
            }
            Err(note) => one.notes.push(note),
        }
        raised.push(one);
    }
    let segments = segments::granted(&wanted, inputs);
    for segment in &segments.all {
        let usual = segment.usual;
        for want in segment.wants.iter().map(|&at| &wanted[&segment.service][at]) {
            let one = &mut raised[want.event];
            match one.raises.iter_mut().find(|raise| raise.service == segment.service) {
                Some(raise) => raise.replicas = raise.replicas.max(segment.replicas),
                None => one.raises.push(Raise {
                    service: segment.service.clone(),
                    replicas: segment.replicas,
                    usual,
                    from: want.from,
                    until: want.until,
                    because: want.need.because.clone(),
                }),
            }
            if let Some(note) = segment.cut.as_ref().filter(|note| !one.notes.contains(note)) {
                one.notes.push(note.clone());
            }
        }
    }
    let floors = segments.floors(|event| &raised[event].event);
    let replica_hours = segments.spent.iter().map(|(day, hours)| (date(*day), *hours)).collect();
    Plan { events: raised, floors, replica_hours }
}

/// How long its load lasts.
fn lasts(event: &Planned, kind: Option<&Kind>) -> Duration {
    let to_end = Duration::from_nanos(event.ends.nanos_since(event.starts).max(0) as u64); // not negative
    kind.and_then(|kind| kind.lasts).unwrap_or(to_end)
}

/// How long before it is needed a service is raised: what its own pods take to start, and a margin.
pub fn lead(service: &str, inputs: &Inputs<'_>) -> Duration {
    let known = needs::service(inputs.demand, service).and_then(|(_, known)| known.start_s);
    let start = known.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    start.unwrap_or(inputs.settings.start_unknown) + inputs.settings.margin
}

fn date(day: i64) -> String {
    Time::from_secs(day * DAY_S).to_string()[..10].to_owned()
}

/// The service as the cluster and telemetry name it.
fn id(name: &str) -> ServiceId {
    ServiceId::from(name)
}

#[cfg(test)]
mod tests;
