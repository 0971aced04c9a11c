//! PLACEHOLDER, discarded at the merge: the signatures of the engine and nothing else of it. It records its
//! inputs, finds nothing and decides nothing, so that the shell around it can be built and tested.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::act::ActError;
use crate::analyse::Findings;
use crate::guard::{Change, Permit};
use crate::journal::{Entry, RuleSource, What};
use crate::model::{ClusterState, SpanBatch, Time};
use crate::verify::InterventionReport;

#[derive(Clone, Debug, Default)]
pub struct Settings {}

#[derive(Debug, thiserror::Error)]
#[error("the engine cannot start")]
pub struct Error;

#[derive(Clone, Debug)]
pub enum Event {
    Cluster(ClusterState),
    Rules(Vec<RuleSource>),
    Paused { by: String },
    Resumed { by: String },
    Acted { decision: String, change: Change, error: Option<ActError> },
}

#[derive(Clone, Debug)]
pub enum Effect {
    Apply(Permit),
    Record(Entry),
}

#[derive(Default)]
pub struct Engine {
    findings: Findings,
    records: Vec<Entry>,
    batches: Vec<RecordBatch>,
}

impl Engine {
    pub fn new(_settings: Settings, _rules: Vec<RuleSource>) -> Result<Engine, Error> {
        Ok(Engine::default())
    }

    pub fn ingest(&mut self, received_at: Time, batch: SpanBatch) {
        self.record(received_at, What::Ingested { spans: batch.len() as u64 });
        self.batches.push(batch.record_batch().clone());
    }

    pub fn observe(&mut self, at: Time, event: Event) {
        let what = match event {
            Event::Cluster(state) => What::Cluster { state },
            Event::Rules(rules) => What::Rules { rules },
            Event::Paused { by } => What::Paused { by },
            Event::Resumed { by } => What::Resumed { by },
            Event::Acted { decision, change, error } => What::Acted { decision, change, error },
        };
        self.record(at, what);
    }

    pub fn tick(&mut self, now: Time) -> Vec<Effect> {
        self.findings.at = now;
        self.record(now, What::Ticked);
        self.records.drain(..).map(Effect::Record).collect()
    }

    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    pub fn interventions(&self) -> Vec<InterventionReport> {
        Vec::new()
    }

    pub fn tables(&self) -> Vec<(&'static str, SchemaRef, Vec<RecordBatch>)> {
        vec![("spans", crate::model::spans::schema(), self.batches.clone())]
    }

    fn record(&mut self, at: Time, what: What) {
        self.records.push(Entry { at, what });
    }
}
