//! A route that splits the requests to a service among versions of it, as its owner lets headroom see it.

use serde::{Deserialize, Serialize};

/// Its name, its backends and the bounds that its owner sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// For people and records: `HTTPRoute shop/content`.
    pub name: String,
    /// In the order of the route.
    pub backends: Vec<Backend>,
    /// Of the object that it is: a controller's word on a route is no change of the workload.
    #[serde(default)]
    pub resource_version: u64,
    /// The most that one step moves, as a share of all requests of the route.
    pub step_max: f64,
    /// The share that a backend keeps at least.
    pub least_share: f64,
    /// Why its weights may not be moved now; None when they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// One of those that a route splits requests among.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// As the route names it.
    pub name: String,
    /// `service.version` of the spans of its pods.
    pub version: String,
    /// Its part of the sum of all weights.
    pub weight: u32,
}

impl Route {
    pub fn weights(&self) -> Vec<u32> {
        self.backends.iter().map(|backend| backend.weight).collect()
    }

    /// The sum of all weights.
    pub fn total(&self) -> u64 {
        self.backends.iter().map(|backend| u64::from(backend.weight)).sum()
    }

    /// The share of requests that goes to a version, 0 to 1.
    pub fn share_of(&self, version: &str) -> f64 {
        let of = self.backends.iter().filter(|backend| backend.version == version);
        of.map(|backend| f64::from(backend.weight)).sum::<f64>() / (self.total() as f64).max(1.0)
    }
}
