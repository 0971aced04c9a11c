//! Metrics in the OpenMetrics text format. Names are `headroom_<station>_<what>_<unit>`; labels come from
//! closed sets alone, never from telemetry, so that no sender can grow them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::receive_metrics::ReceiveMetrics;
use super::{Api, Refusal, Snapshot};
use crate::guard::Outcome;
use crate::journal::{Entry, What};
use crate::receive::Counters;

/// A word from a closed set, as a label's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcomes {
    outcome: Word,
}

/// Every metric of the daemon. The stations' counts come from the journal's entries: what is counted is what
/// was recorded.
pub struct Metrics {
    registry: Registry,
    receive_spans: Counter,
    receive_batches: Counter,
    engine_ticks: Counter,
    engine_tick_duration: Histogram,
    engine_ticks_skipped: Counter,
    window_watermark_lag: Gauge<f64, std::sync::atomic::AtomicU64>,
    analyse_blind: Gauge,
    analyse_bottlenecks: Gauge,
    analyse_entries_missed: Gauge,
    decide_rule_failures: Counter,
    decide_rule_loads: Counter,
    guard_paused: Gauge,
    guard_decisions: Family<Outcomes, Counter>,
    act_changes: Family<Outcomes, Counter>,
    act_polls: Family<Outcomes, Counter>,
    verify_interventions_open: Gauge,
    journal_waiting: Gauge,
    journal_dropped: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        // From a tick of an idle window to one that no longer keeps up with a second.
        let tick_buckets = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
        let mut metrics = Metrics {
            registry: Registry::default(),
            receive_spans: Counter::default(),
            receive_batches: Counter::default(),
            engine_ticks: Counter::default(),
            engine_tick_duration: Histogram::new(tick_buckets),
            engine_ticks_skipped: Counter::default(),
            window_watermark_lag: Gauge::default(),
            analyse_blind: Gauge::default(),
            analyse_bottlenecks: Gauge::default(),
            analyse_entries_missed: Gauge::default(),
            decide_rule_failures: Counter::default(),
            decide_rule_loads: Counter::default(),
            guard_paused: Gauge::default(),
            guard_decisions: Family::default(),
            act_changes: Family::default(),
            act_polls: Family::default(),
            verify_interventions_open: Gauge::default(),
            journal_waiting: Gauge::default(),
            journal_dropped: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("headroom");
        let info = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of headroom", info);
        macro_rules! register {
            ($($field:ident: $help:literal,)*) => {
                $(registry.register(stringify!($field), $help, self.$field.clone());)*
            };
        }
        register! {
            receive_spans: "Spans taken into the window",
            receive_batches: "Batches of spans taken into the window",
            engine_ticks: "Ticks of the engine",
            engine_ticks_skipped: "Ticks left out because the one before took too long",
            analyse_blind: "1 while there are no spans to judge by",
            analyse_bottlenecks: "Entry operations whose bottleneck is named now",
            analyse_entries_missed: "Entry operations that miss their objective now",
            decide_rule_failures: "Evaluations of a rule that failed and were skipped",
            decide_rule_loads: "Times the rules were loaded anew",
            guard_paused: "1 while paused",
            guard_decisions: "Decisions by their outcome",
            act_changes: "Permitted changes by what the cluster made of them",
            act_polls: "Readings of the cluster's state",
            verify_interventions_open: "Interventions that have not come to their end",
            journal_waiting: "Entries that wait because the journal cannot be written",
            journal_dropped: "Entries lost since the start because the journal could not be written",
        }
        registry.register_with_unit(
            "engine_tick_duration",
            "How long a tick takes",
            Unit::Seconds,
            self.engine_tick_duration.clone(),
        );
        registry.register_with_unit(
            "window_watermark_lag",
            "How far the time up to which telemetry is complete lies behind now",
            Unit::Seconds,
            self.window_watermark_lag.clone(),
        );
    }

    /// The receivers' counters beside those of the other stations.
    pub fn with_receivers(mut self, counters: Arc<Counters>) -> Metrics {
        let registry = self.registry.sub_registry_with_prefix("headroom");
        registry.register_collector(Box::new(ReceiveMetrics(counters)));
        self
    }

    /// Count what an entry of the journal tells.
    pub fn count(&self, entry: &Entry) {
        match &entry.what {
            What::Ingested { spans } => {
                self.receive_batches.inc();
                self.receive_spans.inc_by(*spans);
            }
            What::RuleFailed { .. } => _ = self.decide_rule_failures.inc(),
            What::Rules { .. } => _ = self.decide_rule_loads.inc(),
            What::Decided { decision } => {
                let outcome = match decision.outcome {
                    Outcome::Permitted { .. } => "permitted",
                    Outcome::Observed { .. } => "observed",
                    Outcome::Notified => "notified",
                    Outcome::Refused { .. } => "refused",
                };
                self.guard_decisions.get_or_create(&Outcomes { outcome: Word(outcome) }).inc();
            }
            What::Acted { error, .. } => {
                let outcome = Word(if error.is_none() { "done" } else { "failed" });
                self.act_changes.get_or_create(&Outcomes { outcome }).inc();
            }
            _ => {}
        }
    }

    pub fn tick(&self, duration: Duration, skipped: u64, snapshot: &Snapshot) {
        let findings = &snapshot.findings;
        self.engine_ticks.inc();
        self.engine_ticks_skipped.inc_by(skipped);
        self.engine_tick_duration.observe(duration.as_secs_f64());
        // Before the first span there is no watermark to lag behind.
        let lag = if findings.complete_to.0 > 0 { snapshot.at.seconds_since(findings.complete_to) } else { 0.0 };
        self.window_watermark_lag.set(lag);
        self.analyse_blind.set(i64::from(findings.blind));
        self.analyse_bottlenecks.set(findings.bottlenecks.len() as i64);
        self.analyse_entries_missed.set(findings.entries.iter().filter(|entry| entry.missed).count() as i64);
        self.guard_paused.set(i64::from(snapshot.paused.is_some()));
        let open = snapshot.interventions.iter().filter(|report| !report.stage.is_end()).count();
        self.verify_interventions_open.set(open as i64);
    }

    pub fn journal(&self, waiting: usize, dropped: u64) {
        self.journal_waiting.set(waiting as i64);
        self.journal_dropped.set(i64::try_from(dropped).unwrap_or(i64::MAX));
    }

    /// One reading of the cluster's state.
    pub fn poll(&self, answered: bool) {
        let outcome = Word(if answered { "answered" } else { "failed" });
        self.act_polls.get_or_create(&Outcomes { outcome }).inc();
    }
}

pub async fn metrics(State(api): State<Api>) -> Result<impl IntoResponse, Refusal> {
    let mut body = String::new();
    text::encode(&mut body, &api.metrics.registry)
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), "report it as a bug"))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], body))
}
