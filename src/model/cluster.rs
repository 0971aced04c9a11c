//! What a cluster says of itself: workloads, their pods, and the interventions recorded on them.
//!
//! This is an *input* of the engine (`Event::Cluster`) and the type that both implementations of
//! `act::Cluster` fill. Only workloads that opted in are in it.

use serde::{Deserialize, Serialize};

use super::intervention::one_or_many;
use super::{InterventionId, InterventionRecord, Route, ServiceId, Time};

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
    /// The bounds that its owner sets at opt-in. `guard` combines them with everything else that bounds it.
    pub min_replicas: u32,
    pub max_replicas: u32,
    /// The autoscaler that runs on it; None where headroom alone moves its replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaler: Option<Autoscaler>,
    /// Optimistic concurrency: an action names the version it was decided on (`metadata.resourceVersion`).
    pub resource_version: u64,
    pub pods: Vec<Pod>,
    /// The open interventions recorded on the object itself, at most one of each kind, so that a crash of headroom
    /// forgets nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty", alias = "intervention", deserialize_with = "one_or_many")]
    pub interventions: Vec<InterventionRecord>,
    /// Why it may not be changed now, although it opted in; None when it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
    #[serde(default, skip_serializing_if = "Terms::is_default")]
    pub terms: Terms,
    /// Routes that split its requests among versions, and whose owners let their weights be moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
}

/// An autoscaler that owns the replicas of a workload: headroom moves its minimum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Autoscaler {
    /// For people: `HorizontalPodAutoscaler shop/auth`.
    pub name: String,
    /// What it keeps of its own accord, without the floor that headroom raised.
    pub min_replicas: u32,
    /// None where it states none.
    pub max_replicas: Option<u32>,
}

/// What its owner and the cluster allow, beside the bounds of its replicas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// The most replicas that one step adds; None where the owner sets none.
    pub step_max: Option<u32>,
    /// Of targets that together want more than the budget has, the higher goes first.
    pub priority: i32,
    /// What the cluster can bear now: quotas, room on its nodes.
    pub ceilings: Vec<Ceiling>,
    /// What each replica takes of something that bears only so much.
    pub connections: Vec<Connections>,
    /// What users are promised of it, in place of or beside what the configuration says.
    pub objectives: Vec<Promise>,
    /// Why none of its pods may be taken away now; None where one may.
    #[serde(alias = "undisturbable")]
    pub eviction_blocked_by: Option<String>,
    /// Its pods may be resized in place.
    pub resizable: bool,
    /// Requests may be turned away at the front door so that it can serve the others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shapeable: bool,
}

impl Terms {
    fn is_default(&self) -> bool {
        *self == Terms::default()
    }
}

/// So many replicas at most, and why. The words hold nothing that changes while the number stays the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    pub replicas: u32,
    pub reason: String,
}

/// Connections that replicas hold to something that bears only so many: a database, a broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    pub to: String,
    pub per_replica: u32,
    /// What it bears of all that connect to it.
    pub max: u32,
}

/// An objective that a workload's owner states: of one entry operation, or of all that begin at the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// `service operation` of the root span; None: all entry operations of the service.
    pub entry: Option<String>,
    pub latency_ns: i64,
    pub quantile: f64,
    pub errors: f64,
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

    pub fn route(&self, name: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.name == name)
    }

    /// The record of this intervention, where it stands on the object.
    pub fn record_of(&self, intervention: InterventionId) -> Option<&InterventionRecord> {
        self.interventions.iter().find(|record| record.id == intervention)
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

/// For people: `1 replica`, `9 replicas`.
pub fn replicas(n: u32) -> String {
    if n == 1 { "1 replica".into() } else { format!("{n} replicas") }
}
