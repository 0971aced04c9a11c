//! The permit: the only thing `act` takes, and only `guard` makes.

use serde::Serialize;

use crate::model::{InterventionRecord, ServiceId, Time};

/// A guarded change of one workload. The fields are readable by all and settable by `guard` alone, so no
/// script and no shortcut reaches a cluster around policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Permit {
    pub(in crate::guard) change: Change,
    /// The version of the workload this was decided on; the cluster refuses when it has moved on.
    pub(in crate::guard) resource_version: u64,
    pub(in crate::guard) decision: String,
    pub(in crate::guard) valid_until: Time,
}

/// What is to change. Absolute values, so that doing it twice is doing it once.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Set replicas and, in the same write, record the intervention on the object.
    Scale { service: ServiceId, from: u32, to: u32, record: InterventionRecord },
    /// The intervention has come to its end: remove its record, leave the replicas.
    Close { service: ServiceId, intervention: String },
}

impl Permit {
    pub fn change(&self) -> &Change {
        &self.change
    }

    pub fn service(&self) -> &ServiceId {
        match &self.change {
            Change::Scale { service, .. } | Change::Close { service, .. } => service,
        }
    }

    pub fn resource_version(&self) -> u64 {
        self.resource_version
    }

    /// Id of the decision that led here; `headroom explain` takes it.
    pub fn decision(&self) -> &str {
        &self.decision
    }

    /// After this event time the permit is stale and must not be used.
    pub fn valid_until(&self) -> Time {
        self.valid_until
    }
}
