//! What is known of an intervention: the border between `verify` and `journal`.

use serde::{Deserialize, Serialize};

use crate::model::{DecisionId, InterventionId, Origin, ServiceId, Time};

/// The life of an intervention, in order; the last four are its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Written to the cluster; its pods are coming.
    Applied,
    /// Pods ready and warm; its effect is being judged.
    Judging,
    /// Blame and waiting at the target fell as promised.
    Verified,
    /// No effect: kept while the objective misses, given back once calm; not repeated for this cause.
    NoEffect,
    /// Returned to what the load needs.
    GivenBack,
    /// A later change of the same target took its place.
    Superseded,
}

impl Stage {
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Applied => "applied",
            Stage::Judging => "judging",
            Stage::Verified => "verified",
            Stage::NoEffect => "no_effect",
            Stage::GivenBack => "given_back",
            Stage::Superseded => "superseded",
        }
    }

    pub const fn is_end(self) -> bool {
        matches!(self, Stage::Verified | Stage::NoEffect | Stage::GivenBack | Stage::Superseded)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterventionReport {
    pub id: InterventionId,
    pub decision: DecisionId,
    #[serde(rename = "rule")]
    pub origin: Origin,
    pub service: ServiceId,
    pub from: u32,
    pub to: u32,
    pub applied_at: Time,
    pub deadline: Time,
    pub stage: Stage,
    /// One sentence: what was measured and what follows.
    pub reason: String,
    /// Mean waiting for each admitted request at the target, before and now, in milliseconds.
    pub waiting_ms_before: f64,
    pub waiting_ms_now: Option<f64>,
    /// Ready pods that receive no spans: long-lived connections pin the load elsewhere.
    pub idle_pods: Vec<String>,
}
