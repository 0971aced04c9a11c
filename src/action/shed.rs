//! Shedding: requests that cross a service are turned away at the front door, the lowest priority first, as far as it
//! cannot serve them. How much that is follows what is measured, tick by tick ([`crate::shape`]); the record says only that,
//! and until when.
//!
//! Own bounds: the owner lets its traffic be shaped. Promise: the queue at the service becomes shorter. Nothing has to be
//! given back: without its record the limit is gone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Action, Argument, Call, Change, ChangeSpec, Criterion, DoneSpec, Limits, Pace, Request, Sight, Slot, Spec, Step,
    Target,
};
use crate::model::{Details, InterventionRecord, ServiceId, Time, Workload};

pub(super) const KIND: &str = "shed";

/// How long requests are shed at most where a rule does not say: as long as most bursts last. It ends before, as soon as the
/// load fits.
pub(super) const LASTING_S: f64 = 300.0;

/// `shed(service).for_duration(…)`
pub(super) static CALL: Call = Call {
    name: "shed",
    argument: Argument::Nothing,
    takes_replicas: false,
    build: |Request { service, lasting_s, .. }| {
        Ok(Action::Shed(Shed { service, lasting_s: lasting_s.unwrap_or(LASTING_S) }))
    },
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shed {
    pub service: ServiceId,
    pub lasting_s: f64,
}

impl Spec for Shed {
    fn name(&self) -> &'static str {
        "shed"
    }

    fn service(&self) -> &ServiceId {
        &self.service
    }

    fn target(&self) -> Target {
        Target::Route { service: self.service.clone(), route: String::new() }
    }

    fn describe(&self) -> String {
        format!("turn away what {} cannot serve, the lowest priority first", self.service)
    }

    /// Pods take half a minute, this takes a second.
    fn preference(&self) -> (u8, u32) {
        (4, 0)
    }

    fn slot(&self) -> Option<Slot> {
        Some(Slot::Traffic)
    }

    fn sight(&self) -> Sight {
        Sight::Arriving
    }

    fn pace(&self) -> Pace {
        Pace::Traffic
    }

    fn is_moot(&self, workload: &Workload) -> bool {
        Slot::Traffic.open(workload).is_some()
    }

    fn owner_objects(&self, workload: &Workload) -> Option<String> {
        owner_objects(workload)
    }

    fn change(&self, _: &Workload, _: Step, record: InterventionRecord, limits: &Limits) -> Option<Change> {
        let deadline = deadline(&record, self.lasting_s, limits);
        let record = InterventionRecord { details: ShedTraffic.write(), deadline, ..record };
        Some(Change::Shed(Shedding { service: self.service.clone(), record }))
    }
}

pub(super) fn owner_objects(workload: &Workload) -> Option<String> {
    (!workload.terms.shapeable).then(|| "its owner does not let its traffic be shaped".into())
}

pub(super) fn deadline(record: &InterventionRecord, lasting_s: f64, limits: &Limits) -> Time {
    let lasting = Duration::try_from_secs_f64(lasting_s).unwrap_or(limits.shape_lasting_max);
    record.applied_at + lasting.min(limits.shape_lasting_max)
}

/// The record that sheds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shedding {
    pub service: ServiceId,
    pub record: InterventionRecord,
}

impl ChangeSpec for Shedding {
    fn record(&self) -> &InterventionRecord {
        &self.record
    }

    fn from(&self) -> u32 {
        self.record.replicas_before
    }

    fn describe(&self) -> String {
        "requests that it cannot serve are turned away at the front door".into()
    }

    fn under_way(&self, _: Time) -> String {
        format!("requests that it cannot serve are turned away, until {} at most", self.record.deadline)
    }
}

/// As it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct ShedTraffic;

impl ShedTraffic {
    fn write(&self) -> Option<Details> {
        Some(Details { kind: KIND.into(), fields: serde_json::Map::new() })
    }
}

impl DoneSpec for ShedTraffic {
    fn slot(&self) -> Slot {
        Slot::Traffic
    }

    fn criterion(&self, _: &InterventionRecord) -> Criterion {
        Criterion::ShorterQueue
    }

    fn describe(&self, _: &InterventionRecord) -> String {
        "requests that it cannot serve turned away".into()
    }

    fn at_stake(&self, _: &InterventionRecord, _: u32) -> u32 {
        0
    }
}
