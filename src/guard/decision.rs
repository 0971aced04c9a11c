//! What the guard made of a proposal: permitted, observed only, or refused by a named gate.

use serde::{Deserialize, Serialize};

use super::permit::Permit;
use crate::decide::Proposal;
use crate::model::{DecisionId, Time};

/// The gates a proposal passes, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    Pause,
    OptIn,
    Telemetry,
    Breaker,
    Cooldown,
    Stabilisation,
    Bounds,
    Budget,
    /// The cluster's own policies, heard when a permitted change is first sent as a dry run.
    Admission,
}

impl Gate {
    /// Those that are met before a permit is made.
    pub const ALL: [Gate; 8] = [
        Gate::Pause,
        Gate::OptIn,
        Gate::Telemetry,
        Gate::Breaker,
        Gate::Cooldown,
        Gate::Stabilisation,
        Gate::Bounds,
        Gate::Budget,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Gate::Pause => "pause",
            Gate::OptIn => "opt_in",
            Gate::Telemetry => "telemetry",
            Gate::Breaker => "breaker",
            Gate::Cooldown => "cooldown",
            Gate::Stabilisation => "stabilisation",
            Gate::Bounds => "bounds",
            Gate::Budget => "budget",
            Gate::Admission => "admission",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// In `enforce` mode: goes to the cluster.
    Permitted {
        from: u32,
        to: u32,
    },
    /// In `observe` mode: what would have been done.
    Observed {
        from: u32,
        to: u32,
    },
    /// A message for people; touches nothing.
    Notified,
    Refused {
        gate: Gate,
        reason: String,
    },
}

/// One proposal and what came of it. The permit, if any, travels beside it and is never serialised.
#[derive(Clone, Debug, PartialEq)]
pub struct Reviewed {
    pub decision: Decision,
    pub permit: Option<Permit>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Unique, deterministic: from the event time and a counter.
    pub id: DecisionId,
    pub at: Time,
    pub proposal: Proposal,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Where a gate cut it down, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}
