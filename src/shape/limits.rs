//! What gateways are told to keep. An empty set lets everything in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::traffic::Level;
use crate::model::{ServiceId, Time};

/// All limits in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// After this nobody renews them any more, and everything is let in.
    pub valid_until: Time,
    pub services: Vec<ServiceLimit>,
    pub routes: Vec<RouteLimit>,
}

impl Limits {
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.routes.is_empty()
    }

    /// The part of one of so many gateways, so that all together keep the whole.
    #[must_use]
    pub fn share(&self, share: f64) -> Limits {
        let mut part = self.clone();
        part.services.iter_mut().for_each(|limit| limit.work_per_s *= share);
        part.routes.iter_mut().for_each(|limit| limit.per_s *= share);
        part
    }
}

/// The work a second that requests may make at one service, the lowest level giving way first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceLimit {
    pub service: ServiceId,
    pub work_per_s: f64,
    /// Of the requests that cross it, the lowest first.
    pub levels: Vec<Level>,
    /// By entry operation. One that is not here does not cross the service, and is let in.
    pub costs: BTreeMap<String, Cost>,
}

/// What one request of an entry operation asks of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub calls: f64,
    /// Seconds for which it holds a worker there, in healthy time.
    pub work_s: f64,
}

/// Requests a second of one entry operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteLimit {
    pub entry: String,
    pub per_s: f64,
}
