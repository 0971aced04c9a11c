//! What the engine's thread publishes at each tick: immutable, shared by whoever reads it.

use std::sync::Arc;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::History;
use crate::analyse::{Findings, PodsWithSpans};
use crate::config::Mode;
use crate::engine::{Notice, Tallies};
use crate::model::{ClusterState, Hold, Origin, Pauses, ServiceId, Time};
use crate::schedule::settings::zone_name;
use crate::schedule::{Plan, Problem, Problems, Settings, iso_option};
use crate::sql::Table;
use crate::verify::InterventionReport;

#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counts ticks; 0 before the first. Names the state that an answer was made from.
    pub tick: u64,
    pub at: Time,
    pub mode: Mode,
    /// What is paused, by whom and why.
    pub pauses: Pauses,
    pub findings: Findings,
    /// Which pods each service's spans came from.
    pub pods: PodsWithSpans,
    /// As it was last read: of what opted in.
    pub cluster: ClusterState,
    pub interventions: Vec<InterventionReport>,
    /// Breakers that are open: whose steps, on which service.
    pub breakers: Vec<(Origin, ServiceId)>,
    pub tables: Arc<[Table]>,
    pub history: History,
    pub spans: Spans,
    /// Rules that failed to load or to run, since the start.
    pub rule_failures: u64,
    pub tallies: Tallies,
    /// What people were told of and is not over.
    pub notices: Vec<Notice>,
    /// What is planned, and what could not be read of it.
    pub plan: Arc<Planning>,
}

/// What is planned, and what could not be read of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planning {
    #[serde(default, skip_serializing_if = "Option::is_none", with = "iso_option")]
    pub planned_at: Option<Time>,
    /// In which people read it.
    #[serde(with = "zone_name")]
    pub zone: Tz,
    #[serde(flatten)]
    pub plan: Plan,
    pub replica_hours_a_day: f64,
    pub problems: Vec<Problem>,
    pub problems_left_out: usize,
}

impl Planning {
    pub fn of(planned_at: Option<Time>, plan: Plan, settings: &Settings, problems: &Problems) -> Planning {
        Planning {
            planned_at,
            zone: settings.zone,
            plan,
            replica_hours_a_day: settings.replica_hours_a_day,
            problems: problems.told().to_vec(),
            problems_left_out: problems.more(),
        }
    }
}

impl Default for Planning {
    fn default() -> Planning {
        Planning::of(None, Plan::default(), &Settings::default(), &Problems::default())
    }
}

impl Snapshot {
    /// Whether another replica of headroom leads, and this one watches.
    pub fn follows(&self) -> bool {
        self.cluster.workloads.iter().any(|workload| matches!(workload.held, Some(Hold::Leader { .. })))
    }
}

/// Where the spans are that were received, and what they take. Counts are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spans {
    /// Acknowledged; all of these were admitted or shed.
    pub received: u64,
    pub admitted: u64,
    /// Of whole traces that were left out because more came than may be analysed.
    pub shed: u64,
    /// Of those admitted: came after their trace was closed, twice, or past what one trace may have.
    pub late: u64,
    pub duplicate: u64,
    pub surplus: u64,
    /// Analysed, and no longer in the table.
    pub evicted: u64,
    pub held: u64,
    pub held_bytes: u64,
    pub open_traces: u64,
    /// Closed without a root: its sender lost it, or it never came.
    pub partial_traces: u64,
    /// Whose parent never came: a sender lost it.
    pub without_parent: u64,
    /// The share of the spans received lately that was admitted.
    pub admitted_share: f64,
    pub resident_bytes: u64,
}

/// Whether to send work here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet: what it waits for.
    Starting(&'static str),
    Ready,
    /// No longer: it finishes what it has.
    Draining,
}
