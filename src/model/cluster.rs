//! What a cluster says of itself: workloads, their pods, and the interventions recorded on them.
//!
//! This is an *input* of the engine (`Event::Cluster`) and the type that both implementations of
//! `act::Cluster` fill. Only workloads that opted in are in it.

use serde::{Deserialize, Serialize};

use super::{ServiceId, Time};

/// Everything headroom may act on, as one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterState {
    /// When the cluster was in this state, by the cluster's clock.
    pub at: Time,
    /// Sorted by service.
    pub workloads: Vec<Workload>,
}

impl ClusterState {
    pub fn workload(&self, service: &str) -> Option<&Workload> {
        self.workloads.iter().find(|w| w.service.as_str() == service)
    }
}

/// A scalable set of pods that serves one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    pub service: ServiceId,
    /// Replicas wanted now (`spec.replicas`).
    pub replicas: u32,
    /// Bounds set by the owner at opt-in; headroom never leaves them.
    pub min_replicas: u32,
    pub max_replicas: u32,
    /// Optimistic concurrency: an action names the version it was decided on (`metadata.resourceVersion`).
    pub resource_version: u64,
    pub pods: Vec<Pod>,
    /// The obligation recorded on the object itself, so that a crash of headroom forgets nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervention: Option<InterventionRecord>,
    /// Why it may not be changed now, although it opted in; None when it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
}

/// What speaks against changing a workload now. The texts hold nothing that changes from second to second, so that
/// the same hold is said once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Hold {
    /// Another replica of headroom acts; this one watches.
    Leader { leader: String },
    /// Its owner wants to be told what would be done, no more.
    Owner { reason: String },
    /// The cluster's admission refused the last change of it.
    Admission { reason: String },
    /// Another manager undid the last change of it; no more until then.
    Reverted { manager: String, until: Time },
}

impl Workload {
    pub fn ready(&self) -> u32 {
        self.pods.iter().filter(|p| p.ready_at.is_some()).count() as u32
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    pub name: String,
    pub created_at: Time,
    /// None while Pending, pulling its image or not yet passing readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Time>,
}

/// The annotation an intervention leaves on its target: enough to finish it after a crash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterventionRecord {
    pub id: String,
    pub rule: String,
    pub reason: String,
    pub applied_at: Time,
    /// When it must have proved itself.
    pub deadline: Time,
    pub replicas_before: u32,
    pub replicas_after: u32,
    /// Mean waiting for each admitted request at the target when the action was decided, in nanoseconds.
    pub waiting_ns_before: i64,
}
