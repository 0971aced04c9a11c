//! Where on an object an intervention stands, and which one takes whose place.

use super::Done;
use crate::model::{InterventionId, InterventionRecord, Workload};

/// The part of an object that an action changes. An object carries one open intervention for each slot, of rates one for
/// each entry operation and of weights one for each route ([`Place`]): a further one for the same place takes that of the one before, any other stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// The replicas, or the floor of an autoscaler.
    Replicas,
    /// Which pods there are.
    Pods,
    /// The CPU of its pods.
    Cpu,
    /// What is let in of the requests that cross it.
    Traffic,
    /// The rate of an entry operation that begins at it.
    Rate,
    /// How a route splits its requests among versions.
    Weight,
}

impl Slot {
    pub const ALL: [Slot; 6] = [Slot::Replicas, Slot::Pods, Slot::Cpu, Slot::Traffic, Slot::Rate, Slot::Weight];

    pub const fn as_str(self) -> &'static str {
        match self {
            Slot::Replicas => "replicas",
            Slot::Pods => "pods",
            Slot::Cpu => "cpu",
            Slot::Traffic => "traffic",
            Slot::Rate => "rate",
            Slot::Weight => "weight",
        }
    }

    /// The slot that a record stands in; None for one of a kind that this version does not know.
    pub fn of(record: &InterventionRecord) -> Option<Slot> {
        Done::of(record).map(|done| done.slot())
    }

    /// It stands on a route, and not on what the replicas stand on.
    pub const fn is_of_routes(self) -> bool {
        matches!(self, Slot::Weight)
    }

    /// The version of what it stands on: routes count as one.
    pub fn version(self, workload: &Workload) -> u64 {
        match self.is_of_routes() {
            true => workload.routes.iter().map(|route| route.resource_version).max().unwrap_or_default(),
            false => workload.resource_version,
        }
    }

    /// The open intervention of this slot.
    pub fn open(self, workload: &Workload) -> Option<&InterventionRecord> {
        workload.interventions.iter().find(|record| Slot::of(record) == Some(self))
    }
}

/// Where a record stands among those of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub slot: Slot,
    /// What tells apart records of one slot that hold side by side: the entry operation whose rate is limited, the route
    /// whose weights are moved, else empty.
    pub part: String,
}

impl Place {
    /// None for a record of a kind that this version does not know.
    pub fn of(record: &InterventionRecord) -> Option<Place> {
        Done::of(record).map(|done| done.place())
    }
}

/// Puts a record among those of an object, in the place of the one that stands where it does.
pub fn put(records: &mut Vec<InterventionRecord>, record: InterventionRecord) {
    let place = Place::of(&record);
    records.retain(|other| place.is_none() || Place::of(other) != place);
    records.push(record);
    records.sort_by_cached_key(Place::of);
}

/// Takes the record of one intervention out; whether it was there.
pub fn remove(records: &mut Vec<InterventionRecord>, id: InterventionId) -> bool {
    let before = records.len();
    records.retain(|record| record.id != id);
    records.len() < before
}
