//! What an action is aimed at.

use crate::model::ServiceId;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// All pods of a service.
    Workload(ServiceId),
    /// One of them.
    Pod { service: ServiceId, pod: String },
    /// The least replicas of a workload, for a time.
    Floor(ServiceId),
    /// One operation that users call at the service, by its name; empty: all requests that cross it.
    Route { service: ServiceId, route: String },
}

impl Target {
    pub fn service(&self) -> &ServiceId {
        match self {
            Target::Workload(service)
            | Target::Pod { service, .. }
            | Target::Floor(service)
            | Target::Route { service, .. } => service,
        }
    }

    /// What tells two targets of one service apart: the name of the pod or the route; empty for the workload as a whole.
    pub fn part(&self) -> &str {
        match self {
            Target::Workload(_) | Target::Floor(_) => "",
            Target::Pod { pod, .. } => pod,
            Target::Route { route, .. } if route.is_empty() => "all requests",
            Target::Route { route, .. } => route,
        }
    }
}
