//! What the engine's thread publishes at each tick: immutable, shared by whoever reads it.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::History;
use crate::analyse::{Findings, PodsWithSpans};
use crate::config::Mode;
use crate::model::Time;
use crate::verify::InterventionReport;

#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counts ticks; 0 before the first. Names the state that an answer was made from.
    pub tick: u64,
    pub at: Time,
    pub mode: Mode,
    /// Who paused it and why; None while it acts.
    pub paused: Option<String>,
    pub findings: Findings,
    /// Which pods each service's spans came from.
    pub pods: PodsWithSpans,
    pub interventions: Vec<InterventionReport>,
    pub tables: Vec<Table>,
    pub history: History,
}

/// A table as SQL sees it. Cloning shares its columns.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: &'static str,
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
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
