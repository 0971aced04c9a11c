//! One line of the journal: an input that is not a span, or a step that was taken. `replay` reads the
//! inputs back, `explain` the steps.

use serde::{Deserialize, Serialize};

use crate::action::Change;
use crate::analyse::{Findings, Learnt};
use crate::decide::RuleSource;
use crate::guard::{ActError, Decision, Floor};
use crate::model::{ClockStep, ClusterState, DecisionId, ServiceId, Time};
use crate::verify::InterventionReport;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Time,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    // Inputs: with the spans they reproduce every decision.
    /// headroom started; `config` is the checked configuration the engine ran with, as JSON.
    Started {
        version: String,
        config: serde_json::Value,
        rules: Vec<RuleSource>,
    },
    /// One batch was ingested; `at` is `received_at`. The spans themselves are kept elsewhere, in the same order.
    Ingested {
        spans: u64,
    },
    /// The engine ticked.
    Ticked,
    /// What the cluster said, when it differs from what it said before.
    Cluster {
        state: ClusterState,
    },
    /// The cluster was read again and said the same: only the instant it spoke of moved on, and `verify` goes by it.
    ClusterUnchanged {
        state_at: Time,
    },
    /// Rules were loaded anew.
    Rules {
        rules: Vec<RuleSource>,
    },
    Paused {
        by: String,
    },
    Resumed {
        by: String,
    },
    /// What was learnt before was taken over: the whole of it, so that a replay needs no other file.
    Learnt {
        learnt: Learnt,
    },
    /// The floors that schedules, forecasts and people hold from here on: all of them.
    Floors {
        floors: Vec<Floor>,
    },
    /// All clocks stepped; the entries after this one are stamped by the new time.
    ClockStepped {
        seconds: ClockStep,
    },
    /// A permitted change came back from the cluster.
    Acted {
        decision: DecisionId,
        change: Change,
        error: Option<ActError>,
    },

    // Steps: what came of it.
    /// The bottlenecks changed (service or verdict), or who is surely at fault without one; the findings behind it.
    Found {
        findings: Findings,
    },
    Decided {
        decision: Decision,
    },
    /// A rule failed and was skipped. This and the next two are written when they begin, and not again while they go on.
    RuleFailed {
        rule: String,
        error: String,
    },
    /// A wish of a rule came to nothing, for a reason that is no error.
    RuleSkipped {
        rule: String,
        service: ServiceId,
        reason: String,
    },
    /// What a rule wrote with `print` or `debug`.
    RulePrinted {
        rule: String,
        text: String,
    },
    /// The tick's queries failed; nothing was decided.
    AnalysisFailed {
        error: String,
    },
    /// An intervention changed its state.
    Intervention {
        report: InterventionReport,
    },
    /// The journal could not be written for a while, and what no longer fitted in memory was lost: a replay
    /// across this line is not exact.
    Gap {
        dropped: u64,
    },
}

impl Entry {
    pub fn is_input(&self) -> bool {
        use What::*;
        matches!(
            self.what,
            Started { .. }
                | Ingested { .. }
                | Ticked
                | Cluster { .. }
                | ClusterUnchanged { .. }
                | Rules { .. }
                | Paused { .. }
                | Resumed { .. }
                | Learnt { .. }
                | ClockStepped { .. }
                | Floors { .. }
                | Acted { .. }
        )
    }
}
