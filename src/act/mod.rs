//! The one seam for the outside world: what is running, and apply this permit.
//!
//! Implemented by [`embedded`], the simulated cluster over loopback, and by [`kubernetes`], a Kubernetes API server. Both
//! take a [`Permit`](crate::guard::Permit), which only `guard` can make.

pub mod embedded;
pub mod kubernetes;

use std::future::Future;

use crate::guard::Permit;
use crate::model::ClusterState;

/// Why the cluster did not do it.
#[derive(Clone, Debug, PartialEq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum ActError {
    #[error("the workload of {service} changed since the decision; it is decided anew at the next tick")]
    Conflict { service: String },
    #[error("the cluster knows no workload for {service}; opt it in or map the service to its workload")]
    NotFound { service: String },
    #[error("the permit for {service} is no longer valid; it is decided anew at the next tick")]
    Stale { service: String },
    #[error("the cluster refuses to change {service}: {reason}; change the policy or the bounds of its opt-in")]
    Refused { service: String, reason: String },
    #[error("{leader} leads and {service} is its to change; this replica watches")]
    NotLeader { service: String, leader: String },
    #[error("cannot reach the cluster: {cause}; it is tried again at the next tick")]
    Unreachable { cause: String },
}

/// A place where workloads run.
pub trait Cluster: Send {
    /// What is running now, with the interventions recorded on it.
    fn state(&mut self) -> impl Future<Output = Result<ClusterState, ActError>> + Send;

    /// Apply one permitted change: all of it in one write, or none of it. Applying the same permit twice
    /// is answered by `Conflict`, because the first write moved the resource version.
    fn apply(&mut self, permit: &Permit) -> impl Future<Output = Result<(), ActError>> + Send;

    /// Nothing is applied any more: whoever stands by may take over at once. Takes a few seconds at most.
    fn leave(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
