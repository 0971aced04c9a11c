//! What goes into the engine beside spans, and what comes out.

use crate::action::Change;
use crate::analyse::{Learnt, Overrides};
use crate::decide::RuleSource;
use crate::guard::{ActError, Floor, Permit};
use crate::journal::{Entry, Phase};
use crate::model::{ClockStep, ClusterState, DecisionId, Time};
use crate::shape::EntryTraffic;

/// An input that is not a span.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What is running, with the interventions recorded on it.
    Cluster(ClusterState),
    /// The rules were reloaded.
    Rules(Vec<RuleSource>),
    /// The operator's queries were reloaded: all there are now, the rest is as shipped.
    Queries(Overrides),
    /// A rule was given up because of the time it took: in the tick, or before the rules, that come next.
    RuleStopped {
        rule: String,
        during: Phase,
    },
    /// Nothing is done until then, to this service or (None) at all.
    Paused {
        by: String,
        service: Option<String>,
        until: Option<Time>,
    },
    Resumed {
        by: String,
        service: Option<String>,
    },
    /// What an earlier life of headroom, or another replica, had learnt.
    Learnt(Learnt),
    /// All clocks stepped, those of the senders included, and the clock that stamps the inputs follows: what comes after
    /// this is stamped by the new time.
    ClockStepped(ClockStep),
    /// The floors that schedules, forecasts and people hold, in place of those before.
    Floors(Vec<Floor>),
    /// What gateways saw since they were last asked.
    Traffic(Vec<EntryTraffic>),
    /// What became of a permitted change.
    Acted {
        decision: DecisionId,
        change: Change,
        error: Option<ActError>,
    },
}

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append to the journal. Records come before the permits of the same tick: what is done has been written.
    Record(Entry),
    /// Apply to the cluster, and observe the outcome as [`Event::Acted`].
    Apply(Permit),
}
