//! The permit: the only thing `act` takes, and only `guard` makes.

use serde::Serialize;

use crate::action::Change;
use crate::model::{ClockStep, DecisionId, ServiceId, Time};

/// A guarded change of one workload. The fields are readable by all and settable by `guard` alone, so no
/// script and no shortcut reaches a cluster around policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Permit {
    pub(in crate::guard) change: Change,
    /// The version of the workload this was decided on; the cluster refuses when it has moved on.
    pub(in crate::guard) resource_version: u64,
    pub(in crate::guard) decision: DecisionId,
    pub(in crate::guard) valid_until: Time,
}

impl Permit {
    /// All clocks stepped while its answer is awaited.
    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all([&mut self.valid_until]);
    }

    pub fn change(&self) -> &Change {
        &self.change
    }

    pub fn service(&self) -> &ServiceId {
        self.change.service()
    }

    pub fn resource_version(&self) -> u64 {
        self.resource_version
    }

    /// The decision that led here; `headroom explain` takes its id.
    pub fn decision(&self) -> DecisionId {
        self.decision
    }

    /// After this event time the permit is stale and must not be used.
    pub fn valid_until(&self) -> Time {
        self.valid_until
    }
}
