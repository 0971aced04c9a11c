//! What the guard made of a proposal: permitted, observed only, or refused by a named gate.

use std::fmt::{self, Display, Formatter};

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
    /// In `observe` mode: what would be done.
    Observed {
        from: u32,
        to: u32,
        /// The gates that would refuse it in `enforce` mode, in their order; empty: it would be done.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refused_by: Vec<Refusal>,
    },
    /// A message for people; touches nothing.
    Notified,
    Refused {
        gate: Gate,
        reason: String,
    },
}

/// A gate's no, and its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    pub gate: Gate,
    pub reason: String,
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} gate: {}", self.gate.as_str(), self.reason)
    }
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

impl Decision {
    /// What it does to its target, in the infinitive: `scale auth 2 -> 6`, `restart pod auth-1 of auth`.
    pub fn effect(&self) -> String {
        let action = &self.proposal.action;
        match &self.outcome {
            Outcome::Permitted { from, to } | Outcome::Observed { from, to, .. }
                if action.replicas_asked().is_some() =>
            {
                format!("scale {} {from} -> {to}", action.service())
            }
            _ => action.describe(),
        }
    }

    /// Observing: what would be done, and the gates that would refuse it beside; None for what was decided otherwise.
    pub fn would(&self) -> Option<String> {
        let Outcome::Observed { refused_by, .. } = &self.outcome else { return None };
        let refusals: Vec<String> = refused_by.iter().map(ToString::to_string).collect();
        let refused = if refusals.is_empty() { String::new() } else { format!("; refused by {}", refusals.join("; ")) };
        Some(format!("would {}{refused}", self.effect()))
    }
}
