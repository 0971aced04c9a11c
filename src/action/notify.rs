//! Telling people. It touches nothing, so it passes no gate, leaves no record and needs no proof.

use serde::{Deserialize, Serialize};

use super::{Action, Argument, Call, Change, Limits, Pace, Request, Sight, Slot, Spec, Step, Target};
use crate::model::{InterventionRecord, ServiceId, Workload};

/// `notify(service, message)`
pub(super) static CALL: Call = Call {
    name: "notify",
    argument: Argument::Text,
    takes_replicas: false,
    build: |Request { service, text, .. }| Ok(Action::Notify(Notify { service, message: text.unwrap_or_default() })),
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notify {
    pub service: ServiceId,
    pub message: String,
}

impl Spec for Notify {
    fn name(&self) -> &'static str {
        "notify"
    }

    fn service(&self) -> &ServiceId {
        &self.service
    }

    fn target(&self) -> Target {
        Target::Workload(self.service.clone())
    }

    fn describe(&self) -> String {
        format!("tell people about {}", self.service)
    }

    fn preference(&self) -> (u8, u32) {
        (0, 0)
    }

    fn slot(&self) -> Option<Slot> {
        None
    }

    fn sight(&self) -> Sight {
        Sight::Unneeded
    }

    fn pace(&self) -> Pace {
        Pace::Return
    }

    fn change(&self, _: &Workload, _: Step, _: InterventionRecord, _: &Limits) -> Option<Change> {
        None
    }
}
