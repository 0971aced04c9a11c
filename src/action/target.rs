//! What an action is aimed at.

use crate::model::ServiceId;

/// Routes will be a target once something shapes traffic; a variant that nothing builds would only pretend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// All pods of a service.
    Workload(ServiceId),
    /// One of them.
    Pod { service: ServiceId, pod: String },
    /// The least replicas of a workload, for a time.
    Floor(ServiceId),
}

impl Target {
    pub fn service(&self) -> &ServiceId {
        match self {
            Target::Workload(service) | Target::Pod { service, .. } | Target::Floor(service) => service,
        }
    }

    /// What tells two targets of one service apart: the pod's name; empty for the workload as a whole.
    pub fn part(&self) -> &str {
        match self {
            Target::Workload(_) | Target::Floor(_) => "",
            Target::Pod { pod, .. } => pod,
        }
    }
}
