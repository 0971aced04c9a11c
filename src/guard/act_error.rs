//! Why a cluster did not do what a permit allows: the answer comes back to the engine as an event.

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
