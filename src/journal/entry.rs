//! One line of the journal: an input that is not a span, or a step that was taken. `replay` reads the
//! inputs back, `explain` the steps.

use serde::{Deserialize, Serialize};

use crate::action::Change;
use crate::analyse::{Findings, Learnt, Overrides};
use crate::decide::RuleSource;
use crate::guard::{ActError, Decision, Floor};
use crate::model::{ClockStep, ClusterState, DecisionId, ServiceId, Time};
use crate::shape::EntryTraffic;
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
    /// The cluster's state, when it differs from the state before.
    Cluster {
        state: ClusterState,
    },
    /// The cluster was read again and is the same: only the instant moved on, which `verify` goes by.
    ClusterUnchanged {
        state_at: Time,
    },
    /// Rules were reloaded.
    Rules {
        rules: Vec<RuleSource>,
    },
    /// The operator's queries were reloaded, by name; one that cannot be planned leaves all as they were.
    Queries {
        queries: Overrides,
    },
    /// A rule was given up because of the time it took; written before the tick, or the rules, of which it was one.
    RuleStopped {
        rule: String,
        during: Phase,
    },
    /// `by` says who and why; one whom no token names is marked as `(claimed)`. None: all services, no end.
    Paused {
        by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Time>,
    },
    Resumed {
        by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
    /// Learnt state was restored: the whole of it, so that a replay needs no other file.
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
    /// What gateways saw since they were last asked.
    Traffic {
        traffic: Vec<EntryTraffic>,
    },
    /// A permitted change came back from the cluster.
    Acted {
        decision: DecisionId,
        change: Change,
        error: Option<ActError>,
    },

    // Steps that followed.
    /// What was paused for a time is over.
    PauseEnded {
        by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
    /// The bottlenecks changed (service or verdict), or the silent failures; the findings behind it.
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
    /// A proposal of a rule was dropped, for a reason that is no error.
    RuleSkipped {
        rule: String,
        service: ServiceId,
        reason: String,
    },
    /// Text that a rule wrote with `print` or `debug`.
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
    /// The journal could not be written for a while, and entries that no longer fitted in memory were lost: a replay across
    /// this line is not exact.
    Gap {
        dropped: u64,
    },
}

/// When a rule was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// As the rules of the start were loaded: this is written after `started`.
    Start,
    Load,
    Tick,
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
                | Queries { .. }
                | RuleStopped { .. }
                | Paused { .. }
                | Resumed { .. }
                | Learnt { .. }
                | ClockStepped { .. }
                | Floors { .. }
                | Traffic { .. }
                | Acted { .. }
        )
    }
}
