//! Everything that bounds the replicas of a workload, combined in one place, with the winner named.
//!
//! Minimums come from the owner or the autoscaler that runs, from the configuration, from floors that a schedule, a
//! forecast or a person set for a time, and from an open intervention that holds one. Maximums come from the owner, the
//! autoscaler and the configuration. The highest minimum and the lowest maximum win; a minimum never exceeds the maximum.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::review::{Context, Guard};
use crate::action::{Action, Done, RaiseFloor, ScaleIn};
use crate::decide::Proposal;
use crate::model::cluster::replicas;
use crate::model::{ClusterState, InterventionId, InterventionRecord, Origin, ServiceId, Time, Workload};

/// The least replicas of a service for a time: an input, which holds whether or not anything is seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    pub service: ServiceId,
    /// A schedule, a forecast or a person, by name.
    pub origin: Origin,
    pub replicas: u32,
    pub from: Time,
    pub until: Time,
}

impl Floor {
    pub(super) fn holds(&self, now: Time) -> bool {
        (self.from..self.until).contains(&now)
    }
}

/// The floors that were told last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Floors {
    told: Vec<Floor>,
    /// Whether any were told in this life: until then a record on an object is all that is known of its floor.
    is_known: bool,
}

impl Floors {
    pub fn new(told: Vec<Floor>) -> Floors {
        Floors { told, is_known: true }
    }

    fn holding<'a>(&'a self, service: &'a ServiceId, now: Time) -> impl Iterator<Item = &'a Floor> {
        self.told.iter().filter(move |floor| floor.service == *service && floor.holds(now))
    }

    /// Whether an intervention holds a floor that nobody asks for any more: its event was cancelled, moved, or needs less.
    pub fn drops(&self, service: &ServiceId, record: &InterventionRecord, now: Time) -> bool {
        let is_floor = Done::of(record).is_some_and(|done| done.holds_floor_until(record).is_some());
        let is_asked_for = || self.holding(service, now).any(|floor| floor.replicas >= record.replicas_after);
        self.is_known && is_floor && !is_asked_for()
    }
}

/// What the configuration says of one service. It narrows what the owner lets, and never widens it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configured {
    pub min_replicas: Option<u32>,
    pub max_replicas: Option<u32>,
}

/// Who set a bound. Of equal bounds the first in this order is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetBy {
    Owner,
    /// By its name for people.
    Autoscaler(String),
    /// By the key below `services`.
    Configuration(String),
    Floor {
        origin: Origin,
        until: Time,
    },
    /// An open intervention holds the floor that it raised, whether or not its origin is known any more.
    Intervention {
        id: InterventionId,
        until: Time,
    },
}

impl SetBy {
    /// It ends by itself, so that resting there is worth a word.
    fn is_for_a_time(&self) -> bool {
        match self {
            SetBy::Owner | SetBy::Autoscaler(_) | SetBy::Configuration(_) => false,
            SetBy::Floor { .. } | SetBy::Intervention { .. } => true,
        }
    }
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetBy::Owner => f.write_str("set by its owner"),
            SetBy::Autoscaler(name) => f.write_str(name),
            SetBy::Configuration(key) => write!(f, "services.{key} of the configuration"),
            SetBy::Floor { origin, until } => write!(f, "{} until {until}", origin.in_words()),
            SetBy::Intervention { id, until } => write!(f, "{id} until {until}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    pub replicas: u32,
    pub by: SetBy,
}

impl Bound {
    pub(super) fn is_for_a_time(&self) -> bool {
        self.by.is_for_a_time()
    }
}

/// The bounds in force: `min.replicas` is at most `max.replicas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub min: Bound,
    pub max: Bound,
}

/// The highest minimum and the lowest maximum, whatever their order. Without any, 0 and no end.
pub fn combine(minimums: &[Bound], maximums: &[Bound]) -> Bounds {
    let none = |replicas| Bound { replicas, by: SetBy::Owner };
    let lowest = |a: &&Bound, b: &&Bound| a.replicas.cmp(&b.replicas).then_with(|| a.by.cmp(&b.by));
    let highest = |a: &&Bound, b: &&Bound| a.replicas.cmp(&b.replicas).then_with(|| b.by.cmp(&a.by));
    let max = maximums.iter().min_by(lowest).cloned().unwrap_or_else(|| none(u32::MAX));
    let min = minimums.iter().max_by(highest).cloned().unwrap_or_else(|| none(0));
    if min.replicas > max.replicas { Bounds { min: max.clone(), max } } else { Bounds { min, max } }
}

/// What bounds this workload now.
pub fn bounds(workload: &Workload, config: &Config, floors: &Floors, now: Time) -> Bounds {
    let bound = |replicas: u32, by: SetBy| Bound { replicas, by };
    // What an autoscaler keeps is its owner's word on the same question, and the one in force.
    let own = match &workload.autoscaler {
        Some(of) => bound(of.min_replicas, SetBy::Autoscaler(of.name.clone())),
        None => bound(workload.min_replicas, SetBy::Owner),
    };
    let mut maximums = vec![bound(workload.max_replicas, SetBy::Owner)];
    if let Some(of) = &workload.autoscaler
        && let Some(max) = of.max_replicas
    {
        maximums.push(bound(max, SetBy::Autoscaler(of.name.clone())));
    }
    let mut minimums = vec![own];
    if let Some((key, of)) = configured(config, &workload.service) {
        let by = || SetBy::Configuration(key.to_owned());
        // Below the owner's minimum it would widen what the owner lets.
        let least = minimums[0].replicas;
        maximums.extend(of.max_replicas.map(|max| bound(max.max(least), by())));
        minimums.extend(of.min_replicas.map(|min| bound(min, by())));
    }
    for floor in floors.holding(&workload.service, now) {
        minimums.push(bound(floor.replicas, SetBy::Floor { origin: floor.origin.clone(), until: floor.until }));
    }
    let held = workload.interventions.iter().filter(|record| !floors.drops(&workload.service, record, now));
    for record in held {
        let until = Done::of(record).and_then(|done| done.holds_floor_until(record)).filter(|until| now < *until);
        minimums.extend(until.map(|until| bound(record.replicas_after, SetBy::Intervention { id: record.id, until })));
    }
    combine(&minimums, &maximums)
}

/// The whole identity goes before the bare name.
fn configured<'a>(config: &'a Config, service: &ServiceId) -> Option<(&'a str, Configured)> {
    let named = |name: &str| config.services.get_key_value(name).map(|(key, of)| (key.as_str(), *of));
    named(service.as_str()).or_else(|| named(service.name()))
}

impl Guard {
    /// The floors in force from now on, in place of those before.
    pub fn set_floors(&mut self, floors: Vec<Floor>) {
        self.floors = Floors::new(floors);
    }

    /// Interventions whose floor nobody asks for any more.
    pub fn dropped(&self, cluster: &ClusterState, now: Time) -> BTreeSet<InterventionId> {
        let of = |workload: &Workload| {
            let dropped =
                workload.interventions.iter().filter(|record| self.floors.drops(&workload.service, record, now));
            dropped.map(|record| record.id).collect::<Vec<_>>()
        };
        cluster.workloads.iter().flat_map(of).collect()
    }

    pub(super) fn bounds(&self, workload: &Workload, now: Time) -> Bounds {
        bounds(workload, &self.config, &self.floors, now)
    }

    /// The same state with the bounds in force in place of those that its owners set: what analysis and rules see.
    pub fn bounded<'a>(&self, cluster: &'a ClusterState, now: Time) -> Cow<'a, ClusterState> {
        let of = |workload: &Workload| {
            let Bounds { min, max } = self.bounds(workload, now);
            (min.replicas, max.replicas)
        };
        let is_same = |workload: &Workload| of(workload) == (workload.min_replicas, workload.max_replicas);
        if cluster.workloads.iter().all(is_same) {
            return Cow::Borrowed(cluster);
        }
        let mut bounded = cluster.clone();
        for workload in &mut bounded.workloads {
            (workload.min_replicas, workload.max_replicas) = of(workload);
        }
        Cow::Owned(bounded)
    }

    /// Proposals to go on giving back what floors raised: one step left more than ran before, and no rule can ask for the rest, as
    /// the need is not known. `proposals` are those of others.
    pub(super) fn return_proposals(&self, proposals: &[Proposal], context: &Context<'_>) -> Vec<Proposal> {
        let of = |workload: &Workload| {
            let memory = self.memories.get(&workload.service)?;
            let lent = memory.returnable(context.now, &self.config).filter(|lent| lent.now == workload.replicas)?;
            // While it is held, its intervention asks for the return.
            let is_open = workload.interventions.iter().any(|record| {
                matches!(Done::of(record), Some(Done::RaisedFloor(_))) && record.replicas_after == workload.replicas
            });
            let is_held = is_open || self.floors.holding(&workload.service, context.now).next().is_some();
            let is_asked =
                proposals.iter().any(|of| of.origin == Origin::GiveBack && *of.service() == workload.service);
            if is_held || is_asked {
                return None;
            }
            let (service, to) = (workload.service.clone(), lent.before);
            let because = format!("a floor that is over raised {service}, of which {to} ran before");
            let action = Action::ScaleIn(ScaleIn { service, to, stabilisation_s: None });
            Some(Proposal { origin: Origin::GiveBack, action, because, verdict: String::new() })
        };
        context.cluster.workloads.iter().filter_map(of).collect()
    }

    /// Proposals to raise what runs to the floors that hold now: of several at one service the highest.
    pub(super) fn floor_proposals(&self, context: &Context<'_>) -> Vec<Proposal> {
        let running = |service: &ServiceId| context.cluster.workload(service.as_str()).map_or(0, |w| w.replicas);
        let holding = self.floors.told.iter().filter(|floor| floor.holds(context.now));
        let mut short: Vec<&Floor> = holding.filter(|floor| floor.replicas > running(&floor.service)).collect();
        short.sort_by(|a, b| {
            let highest_first = b.replicas.cmp(&a.replicas);
            a.service.cmp(&b.service).then(highest_first).then_with(|| a.origin.cmp(&b.origin))
        });
        short.dedup_by(|later, first| later.service == first.service);
        let proposal = |floor: &Floor| {
            let Floor { service, origin, replicas: to, until, .. } = floor.clone();
            let because = format!("{} holds {} until {until}", origin.in_words(), replicas(to));
            let action = Action::RaiseFloor(RaiseFloor { service, to, until });
            Proposal { origin, action, because, verdict: String::new() }
        };
        short.into_iter().map(proposal).collect()
    }
}
