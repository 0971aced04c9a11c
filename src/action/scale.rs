//! Scaling: more or fewer replicas.
//!
//! Promise: scaled out, waiting and blame at the target fall; scaled in, the load is carried all the same. A scale-out
//! without effect is given back by a scale-in to what was there before.

use serde::{Deserialize, Serialize};

use super::call::NEED_UNKNOWN;
use super::{
    Action, Argument, Call, Change, ChangeSpec, Criterion, DoneSpec, Limits, Pace, Request, Sight, Slot, Spec, Step,
    Target,
};
use crate::model::cluster::replicas;
use crate::model::{InterventionRecord, ServiceId, Time, Workload};

/// Scalings are recorded without details; this is how 0.1.0 names them where it does.
pub(super) const KIND: &str = "scaled";

/// `scale_out(service).to(n)`
pub(super) static SCALE_OUT: Call = Call {
    name: "scale_out",
    argument: Argument::Nothing,
    takes_replicas: true,
    build: |Request { service, to, cooldown_s, .. }| {
        Ok(Action::ScaleOut(ScaleOut { service, to: to.ok_or(NEED_UNKNOWN)?, cooldown_s }))
    },
};

/// `scale_in(service).to(n)`
pub(super) static SCALE_IN: Call = Call {
    name: "scale_in",
    argument: Argument::Nothing,
    takes_replicas: true,
    build: |Request { service, to, stabilisation_s, .. }| {
        Ok(Action::ScaleIn(ScaleIn { service, to: to.ok_or(NEED_UNKNOWN)?, stabilisation_s }))
    },
};

/// More replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleOut {
    pub service: ServiceId,
    pub to: u32,
    #[serde(default)]
    pub cooldown_s: Option<f64>,
}

/// Fewer replicas; the guard applies stabilisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleIn {
    pub service: ServiceId,
    pub to: u32,
    #[serde(default)]
    pub stabilisation_s: Option<f64>,
}

impl Spec for ScaleOut {
    fn name(&self) -> &'static str {
        "scale_out"
    }

    fn service(&self) -> &ServiceId {
        &self.service
    }

    fn target(&self) -> Target {
        Target::Workload(self.service.clone())
    }

    fn describe(&self) -> String {
        format!("scale {} out to {}", self.service, replicas(self.to))
    }

    fn preference(&self) -> (u8, u32) {
        (3, self.to)
    }

    fn slot(&self) -> Option<Slot> {
        Some(Slot::Replicas)
    }

    fn sight(&self) -> Sight {
        Sight::Arriving
    }

    fn pace(&self) -> Pace {
        Pace::Out { cooldown_s: self.cooldown_s }
    }

    fn replicas_asked(&self) -> Option<u32> {
        Some(self.to)
    }

    fn need(&self) -> Option<u32> {
        Some(self.to)
    }

    fn is_moot(&self, workload: &Workload) -> bool {
        self.to <= workload.replicas
    }

    fn change(&self, _: &Workload, step: Step, record: InterventionRecord, _: &Limits) -> Option<Change> {
        Some(scaled(&self.service, step, record))
    }
}

impl Spec for ScaleIn {
    fn name(&self) -> &'static str {
        "scale_in"
    }

    fn service(&self) -> &ServiceId {
        &self.service
    }

    fn target(&self) -> Target {
        Target::Workload(self.service.clone())
    }

    fn describe(&self) -> String {
        format!("scale {} in to {}", self.service, replicas(self.to))
    }

    fn preference(&self) -> (u8, u32) {
        (0, self.to)
    }

    fn slot(&self) -> Option<Slot> {
        Some(Slot::Replicas)
    }

    fn sight(&self) -> Sight {
        Sight::OfTarget
    }

    fn pace(&self) -> Pace {
        Pace::In { stabilisation_s: self.stabilisation_s }
    }

    fn replicas_asked(&self) -> Option<u32> {
        Some(self.to)
    }

    fn is_moot(&self, workload: &Workload) -> bool {
        self.to >= workload.replicas
    }

    fn change(&self, _: &Workload, step: Step, record: InterventionRecord, _: &Limits) -> Option<Change> {
        Some(scaled(&self.service, step, record))
    }
}

pub(super) fn scaled(service: &ServiceId, Step { from, to }: Step, record: InterventionRecord) -> Change {
    Change::Scale(Scaling { service: service.clone(), from, to, record })
}

/// The write: replicas and the record of the intervention together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    pub service: ServiceId,
    pub from: u32,
    pub to: u32,
    pub record: InterventionRecord,
}

impl ChangeSpec for Scaling {
    fn record(&self) -> &InterventionRecord {
        &self.record
    }

    fn from(&self) -> u32 {
        self.from
    }

    fn describe(&self) -> String {
        format!("{} to {}", self.from, replicas(self.to))
    }

    fn under_way(&self, at: Time) -> String {
        format!("{} to {}, written to the cluster at {at}; its pods are coming", self.from, replicas(self.to))
    }
}

/// Of a record without details.
pub(super) struct Scaled;

impl DoneSpec for Scaled {
    fn slot(&self) -> Slot {
        Slot::Replicas
    }

    fn criterion(&self, record: &InterventionRecord) -> Criterion {
        if record.replicas_after > record.replicas_before { Criterion::LessWaiting } else { Criterion::LoadIsCarried }
    }

    fn describe(&self, record: &InterventionRecord) -> String {
        format!("{} to {}", record.replicas_before, replicas(record.replicas_after))
    }

    fn at_stake(&self, record: &InterventionRecord, _: u32) -> u32 {
        record.replicas_before.saturating_sub(record.replicas_after)
    }

    fn give_back(&self, service: &ServiceId, record: &InterventionRecord) -> Option<(Action, String)> {
        let because = format!("{} had no effect on {service}, and all is calm: it is given back", record.id);
        Some((to_before(service, record), because))
    }

    fn is_return(&self, record: &InterventionRecord) -> bool {
        record.replicas_after < record.replicas_before
    }
}

/// Back to the replicas that were there before.
pub(super) fn to_before(service: &ServiceId, record: &InterventionRecord) -> Action {
    let (service, to) = (service.clone(), record.replicas_before);
    Action::ScaleIn(ScaleIn { service, to, stabilisation_s: None })
}
