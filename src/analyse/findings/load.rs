//! What is asked of a service whose traffic may be shaped, and what it makes of it.

use serde::{Deserialize, Serialize};

use crate::model::ServiceId;

/// One service over its last complete second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceLoad {
    pub service: ServiceId,
    /// How much longer than in healthy time a request waited or was worked on there, calls to others left out.
    pub queue_ms: f64,
    /// Work done a second: seconds for which its requests hold a worker in healthy time.
    pub served_work_per_s: f64,
    /// What one of its requests holds a worker for in healthy time.
    pub work_ms: f64,
    /// Calls to it that were refused or given up, a second.
    pub turned_away_per_s: f64,
    /// What the requests of each entry operation ask of it, over the fast window.
    pub asked_by: Vec<AskedBy>,
    /// What gateways say of the requests that cross it; None where none reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<Offered>,
}

/// What one request of an entry operation asks of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AskedBy {
    pub entry: String,
    /// Calls to it.
    pub calls: f64,
    /// What these hold a worker for in healthy time.
    pub work_ms: f64,
}

/// Work that came to gateways for a service, and what it can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Offered {
    pub work_per_s: f64,
    /// Of that, what was let in.
    pub admitted_work_per_s: f64,
    /// What it does with the pods that are ready, while work waits; None until that was seen.
    pub knee_work_per_s: Option<f64>,
    /// The queue that is aimed at.
    pub queue_aim_ms: f64,
}

impl Offered {
    /// How many times what it can do is asked of it; None until that is known.
    pub fn factor(&self) -> Option<f64> {
        self.knee_work_per_s.filter(|knee| *knee > 0.0).map(|knee| self.work_per_s / knee)
    }

    /// The share of the work that was turned away at the front door.
    pub fn shed_share(&self) -> f64 {
        if self.work_per_s > 0.0 { (1.0 - self.admitted_work_per_s / self.work_per_s).max(0.0) } else { 0.0 }
    }
}
