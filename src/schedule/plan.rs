//! What planned events mean: how many replicas of which service, from when to when, why, and what that costs.
//!
//! A pure function. Each service on an event's way is raised its own start-up time, and a margin, before the first
//! participants come. Events that overlap add up; a floor that somebody names is no less than that. The cost of a day is
//! bounded: what comes first is granted first, and what is cut down says so.

mod needs;
mod segments;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::Planned;
use super::iso;
use super::kinds::{Kind, kind_of};
use super::settings::Settings;
use crate::analyse::Demand;
use crate::guard::Floor;
use crate::model::{Origin, ServiceId, Time};

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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In the order of their starts.
    pub events: Vec<Raised>,
    /// What is held, as events that overlap add up and as far as a day may cost: by service, one after the other.
    pub floors: Vec<Step>,
    /// Replica-hours beyond what runs usually, by day (UTC), those that were spent already among them.
    pub replica_hours: BTreeMap<String, f64>,
}

/// An event and what it raises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    #[serde(flatten)]
    pub event: Planned,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Participants that it is planned for: those that its source tells, else those of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_for: Option<u32>,
    pub raises: Vec<Raise>,
    /// Why it raises nothing, or less than it asks for, and what was taken for granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What one event asks for at a service, were there no other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raise {
    pub service: String,
    /// Beside what runs usually: the whole that the service is to have.
    pub replicas: u32,
    /// What runs usually; None where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<u32>,
    #[serde(with = "iso")]
    pub from: Time,
    #[serde(with = "iso")]
    pub until: Time,
    pub because: String,
}

/// A stretch of time in which a service is held at so many replicas, by the same events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub service: ServiceId,
    pub origin: Origin,
    pub replicas: u32,
    #[serde(with = "iso")]
    pub from: Time,
    #[serde(with = "iso")]
    pub until: Time,
    /// The events that ask for it, by their ids.
    pub events: Vec<String>,
}

impl Step {
    /// As the guard takes it.
    pub fn floor(&self) -> Floor {
        let Step { service, origin, replicas, from, until, events: _ } = self.clone();
        Floor { service, origin, replicas, from, until }
    }

    pub fn holds(&self, now: Time) -> bool {
        self.from <= now && now < self.until
    }
}

const DAY_S: i64 = 86_400;

/// What begins and has no length, such as a quiz that opens, loads for so long: those who wait for it come within minutes, and
/// stay for a while.
const LASTS_UNKNOWN: Duration = Duration::from_secs(30 * 60);

/// Events that raise something, of the time that is looked at: a large university's busiest week. Plans are made between two ticks,
/// and what events come to grows with the square of those that overlap.
const RAISING_MAX: usize = 1_000;

pub fn plan(inputs: &Inputs<'_>) -> Plan {
    let mut raised: Vec<Raised> = Vec::new();
    let mut raising = 0;
    let mut wanted: BTreeMap<String, Vec<segments::Want>> = BTreeMap::new();
    for event in inputs.events {
        let index = raised.len();
        let kind = kind_of(inputs.kinds, event);
        let mut one = Raised {
            event: event.clone(),
            kind: kind.map(|kind| kind.name.clone()),
            planned_for: event.participants.or_else(|| kind.and_then(|kind| kind.participants)),
            raises: Vec::new(),
            notes: Vec::new(),
        };
        let lasts = lasts(event, kind);
        if !event.meets(inputs.from, inputs.until) && event.starts + lasts < inputs.from {
            continue;
        }
        match needs::of(event, kind, inputs) {
            Ok(needs::Asked { needs, .. }) if raising >= RAISING_MAX && !needs.is_empty() => one.notes.push(format!(
                "{RAISING_MAX} events before it raise something, and no more are planned at once; it is once some of them are over"
            )),
            Ok(needs::Asked { needs, notes }) => {
                raising += usize::from(!needs.is_empty());
                one.notes = notes;
                one.notes.extend(of_its_length(event, kind).filter(|_| !needs.is_empty()));
                let early = kind.map_or(Duration::ZERO, |kind| kind.early);
                for (service, need) in needs {
                    let from = event.starts - early - lead(&service, inputs);
                    let until = event.starts + lasts;
                    wanted.entry(service).or_default().push(segments::Want { event: index, from, until, need });
                }
            }
            Err(note) => one.notes.push(note),
        }
        raised.push(one);
    }
    wanted.values_mut().for_each(|wants| segments::coarsen(wants));
    let segments = segments::granted(&wanted, inputs);
    let mut cut: BTreeSet<(usize, &str)> = BTreeSet::new();
    for segment in &segments.all {
        for want in segment.wants.iter().map(|&at| &wanted[&segment.service][at]) {
            let one = &mut raised[want.event];
            if !one.raises.iter().any(|raise| raise.service == segment.service) {
                let usual = segments::Usual::of(&segment.service, inputs);
                one.raises.push(Raise {
                    service: segment.service.clone(),
                    replicas: usual.with([&want.need].into_iter()),
                    usual: usual.known(),
                    from: want.from,
                    until: want.until,
                    because: want.need.because.clone(),
                });
            }
            // Of many stretches in which it is cut the first is told.
            if let Some(note) = segment.cut.as_ref().filter(|_| cut.insert((want.event, &segment.service))) {
                one.notes.push(note.clone());
            }
        }
    }
    let floors = segments.steps(|event| &raised[event].event);
    let replica_hours = segments.spent.iter().map(|(day, hours)| (date(*day), *hours)).collect();
    Plan { events: raised, floors, replica_hours }
}

/// How long its load lasts.
fn lasts(event: &Planned, kind: Option<&Kind>) -> Duration {
    let to_end = match length(event) {
        Duration::ZERO => LASTS_UNKNOWN,
        length => length,
    };
    kind.and_then(|kind| kind.lasts).unwrap_or(to_end)
}

fn length(event: &Planned) -> Duration {
    Duration::from_nanos(event.ends.nanos_since(event.starts).max(0) as u64) // not negative
}

/// What was taken for granted of how long the load of an event lasts; None where somebody says, or nobody could.
pub fn of_its_length(event: &Planned, kind: Option<&Kind>) -> Option<String> {
    let kind = kind.filter(|kind| kind.lasts.is_none())?;
    let (length, name) = (length(event), &kind.name);
    if length.is_zero() {
        let minutes = LASTS_UNKNOWN.as_secs() / 60;
        Some(format!(
            "it has no length: its load is taken to last {minutes} min; schedule.kinds.{name}.lasts says how long it does"
        ))
    } else if length.as_secs() >= DAY_S as u64 {
        Some(format!(
            "it lasts a day or longer, and what it raises does so for a day; schedule.kinds.{name}.lasts says how long its load lasts"
        ))
    } else {
        None
    }
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
