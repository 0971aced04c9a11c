//! The permit: the only thing `act` takes, and only `guard` makes.

use serde::Serialize;

use crate::model::{ClockStep, InterventionRecord, ServiceId, Time};

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
    /// Take a pod away through the eviction API, and record that on the workload before.
    RestartPod { service: ServiceId, pod: String, created_at: Time, record: InterventionRecord },
    /// Give every pod so many times the CPU of its template, recorded on the workload before; 1 is as the template says.
    ResizeCpu { service: ServiceId, factor: f64, record: InterventionRecord },
    /// The intervention has come to its end: remove its record, leave the replicas.
    Close { service: ServiceId, intervention: String },
}

impl Change {
    pub fn service(&self) -> &ServiceId {
        match self {
            Change::Scale { service, .. }
            | Change::RestartPod { service, .. }
            | Change::ResizeCpu { service, .. }
            | Change::Close { service, .. } => service,
        }
    }

    /// What is written on the object beside; None where a record is taken off.
    pub fn record(&self) -> Option<&InterventionRecord> {
        match self {
            Change::Scale { record, .. } | Change::RestartPod { record, .. } | Change::ResizeCpu { record, .. } => {
                Some(record)
            }
            Change::Close { .. } => None,
        }
    }

    /// What it does where it scales nothing and closes nothing, in the past: `pod auth-1 was restarted`.
    pub fn deed(&self) -> Option<String> {
        match self {
            Change::RestartPod { pod, .. } => Some(format!("pod {pod} was restarted")),
            Change::ResizeCpu { factor, .. } if *factor <= 1.0 => {
                Some("its pods have the CPU of their template again".into())
            }
            Change::ResizeCpu { factor, .. } => Some(format!("its pods were lent {factor} times their CPU")),
            Change::Scale { .. } | Change::Close { .. } => None,
        }
    }
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

    /// Id of the decision that led here; `headroom explain` takes it.
    pub fn decision(&self) -> &str {
        &self.decision
    }

    /// After this event time the permit is stale and must not be used.
    pub fn valid_until(&self) -> Time {
        self.valid_until
    }
}
