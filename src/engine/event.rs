//! What goes into the engine beside spans, and what comes out.

use crate::analyse::Learnt;
use crate::decide::RuleSource;
use crate::guard::ActError;
use crate::guard::{Change, Permit};
use crate::journal::Entry;
use crate::model::{ClockStep, ClusterState};

/// An input that is not a span.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a few a tick, each moved once")]
pub enum Event {
    /// What is running, with the interventions recorded on it.
    Cluster(ClusterState),
    /// The rules were loaded anew.
    Rules(Vec<RuleSource>),
    Paused {
        by: String,
    },
    Resumed {
        by: String,
    },
    /// What an earlier life of headroom, or another replica, had learnt.
    Learnt(Learnt),
    /// All clocks stepped, those of the senders included, and the clock that stamps the inputs follows: what comes after
    /// this is stamped by the new time.
    ClockStepped(ClockStep),
    /// What became of a permitted change.
    Acted {
        decision: String,
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
