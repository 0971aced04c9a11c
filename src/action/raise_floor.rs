//! Raising a floor: the least replicas of a workload, for a time that a schedule, a forecast or a person names.
//!
//! It is done unseen: a lecture begins whether or not spans arrive. Promise: none but to hold until its end; then the
//! replicas are given back by a scale-in like any other.

use serde::{Deserialize, Serialize};

use super::scale::{scaled, to_before};
use super::{Action, Change, Criterion, DoneSpec, Limits, Pace, Sight, Slot, Spec, Step, Target};
use crate::model::cluster::replicas;
use crate::model::{Details, InterventionRecord, ServiceId, Time, Workload};

pub(super) const KIND: &str = "raised_floor";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RaiseFloor {
    pub service: ServiceId,
    pub to: u32,
    pub until: Time,
}

impl Spec for RaiseFloor {
    fn name(&self) -> &'static str {
        "raise_floor"
    }

    fn service(&self) -> &ServiceId {
        &self.service
    }

    fn target(&self) -> Target {
        Target::Floor(self.service.clone())
    }

    fn describe(&self) -> String {
        format!("hold {} of {} until {}", replicas(self.to), self.service, self.until)
    }

    fn preference(&self) -> (u8, u32) {
        (3, self.to)
    }

    fn slot(&self) -> Option<Slot> {
        Some(Slot::Replicas)
    }

    fn sight(&self) -> Sight {
        Sight::Unneeded
    }

    fn pace(&self) -> Pace {
        Pace::Out { cooldown_s: None }
    }

    fn replicas_asked(&self) -> Option<u32> {
        Some(self.to)
    }

    fn is_moot(&self, workload: &Workload) -> bool {
        self.to <= workload.replicas
    }

    fn change(&self, _: &Workload, step: Step, record: InterventionRecord, _: &Limits) -> Option<Change> {
        let details = RaisedFloor { until: self.until }.write();
        Some(scaled(&self.service, step, InterventionRecord { details, deadline: self.until, ..record }))
    }
}

/// As it is recorded: whoever takes over holds the floor, also before it knows the schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct RaisedFloor {
    pub until: Time,
}

impl RaisedFloor {
    pub(super) fn read(details: &Details) -> Option<RaisedFloor> {
        Some(RaisedFloor { until: Time(details.fields.get("until")?.as_i64()?) })
    }

    fn write(&self) -> Option<Details> {
        let fields = [("until".to_owned(), self.until.0.into())].into_iter().collect();
        Some(Details { kind: KIND.into(), fields })
    }
}

impl DoneSpec for RaisedFloor {
    fn slot(&self) -> Slot {
        Slot::Replicas
    }

    fn criterion(&self, _: &InterventionRecord) -> Criterion {
        Criterion::Held
    }

    fn describe(&self, record: &InterventionRecord) -> String {
        format!("{} held until {}", replicas(record.replicas_after), self.until)
    }

    fn at_stake(&self, _: &InterventionRecord, _: u32) -> u32 {
        0 // added replicas are counted by themselves
    }

    fn give_back(&self, service: &ServiceId, record: &InterventionRecord) -> Option<(Action, String)> {
        let because = format!("{} of {service} were held until {}", replicas(record.replicas_after), self.until);
        Some((to_before(service, record), because))
    }

    fn holds_floor_until(&self, _: &InterventionRecord) -> Option<Time> {
        Some(self.until)
    }
}
