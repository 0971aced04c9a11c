//! Metrics in the OpenMetrics text format. Names are `headroom_<station>_<what>_<unit>`; labels come from
//! closed sets alone, never from telemetry, so that no sender can grow them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
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

use super::act_metrics::ActMetrics;
use super::receive_metrics::ReceiveMetrics;
use super::sql_metrics::SqlMetrics;
use super::{Api, Refusal, Snapshot, Spans};
use crate::analyse::SightLevel;
use crate::guard::Outcome;
use crate::journal::{Entry, What};
use crate::receive;
use crate::sql::Counters;

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
    window_admitted_share: Gauge<f64, std::sync::atomic::AtomicU64>,
    window_admitted_spans: Counter,
    window_shed_spans: Counter,
    window_late_spans: Counter,
    window_duplicate_spans: Counter,
    window_surplus_spans: Counter,
    window_evicted_spans: Counter,
    window_partial_traces: Counter,
    analyse_spans_without_parent: Counter,
    analyse_incomplete_services: Gauge,
    window_spans: Gauge,
    window_bytes: Gauge,
    window_open_traces: Gauge,
    process_resident_bytes: Gauge,
    findings_delay: Histogram,
    analyse_blind: Gauge,
    analyse_seen_share: Gauge<f64, AtomicU64>,
    analyse_partial: Gauge,
    analyse_bottlenecks: Gauge,
    analyse_silent_failures: Gauge,
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
        // Tenths up to two ticks; later than that something is wrong, and how much matters less.
        let delay_buckets = (1..=20).map(|tenth| f64::from(tenth) / 10.0).chain([3.0, 5.0, 10.0, 30.0]);
        let mut metrics = Metrics {
            registry: Registry::default(),
            receive_spans: Counter::default(),
            receive_batches: Counter::default(),
            engine_ticks: Counter::default(),
            engine_tick_duration: Histogram::new(tick_buckets),
            engine_ticks_skipped: Counter::default(),
            window_watermark_lag: Gauge::default(),
            window_admitted_share: Gauge::default(),
            window_admitted_spans: Counter::default(),
            window_shed_spans: Counter::default(),
            window_late_spans: Counter::default(),
            window_duplicate_spans: Counter::default(),
            window_surplus_spans: Counter::default(),
            window_evicted_spans: Counter::default(),
            window_partial_traces: Counter::default(),
            analyse_spans_without_parent: Counter::default(),
            analyse_incomplete_services: Gauge::default(),
            window_spans: Gauge::default(),
            window_bytes: Gauge::default(),
            window_open_traces: Gauge::default(),
            process_resident_bytes: Gauge::default(),
            findings_delay: Histogram::new(delay_buckets),
            analyse_blind: Gauge::default(),
            analyse_seen_share: Gauge::default(),
            analyse_partial: Gauge::default(),
            analyse_bottlenecks: Gauge::default(),
            analyse_silent_failures: Gauge::default(),
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
            engine_ticks_skipped: "Ticks skipped because the one before took too long",
            window_admitted_share: "Share of the spans received lately that was admitted; 1 while nothing is shed",
            window_admitted_spans: "Spans admitted",
            window_shed_spans: "Spans of whole traces that were shed because more came than may be analysed",
            window_late_spans: "Spans that came after their trace was closed",
            window_duplicate_spans: "Spans that came twice",
            window_surplus_spans: "Spans past what one trace may have",
            window_evicted_spans: "Spans that were analysed and are no longer in the table",
            window_partial_traces: "Traces closed without a root: a sender lost it, or it never came",
            analyse_spans_without_parent: "Spans whose parent never came: a sender lost it",
            analyse_incomplete_services: "Services with incomplete telemetry",
            window_spans: "Spans in the table",
            window_bytes: "Arrow memory of the table",
            window_open_traces: "Traces that are not closed yet",
            process_resident_bytes: "Resident memory of the process",
            analyse_blind: "1 while no spans arrive, or none in which a request can be followed, so that nothing is known of now",
            analyse_seen_share: "Share of traces that are seen whole; 0 while blind",
            analyse_partial: "1 while a part of what happens is not seen",
            analyse_bottlenecks: "Endpoints (root spans) with a bottleneck now",
            analyse_silent_failures: "Services that fail with high probability while no objective is missed",
            analyse_entries_missed: "Endpoints (root spans) that miss their objective now",
            decide_rule_failures: "Rules that failed to load or, once at each tick, to run, and were skipped",
            decide_rule_loads: "Reloads of the rules",
            guard_paused: "1 while paused",
            guard_decisions: "Decisions by their outcome",
            act_changes: "Permitted changes by their outcome in the cluster",
            act_polls: "Readings of the cluster's state",
            verify_interventions_open: "Interventions that have not ended",
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
            "findings_delay",
            "From the receipt of a request to the findings that know all of its spans",
            Unit::Seconds,
            self.findings_delay.clone(),
        );
        registry.register_with_unit(
            "window_watermark_lag",
            "How far the time up to which telemetry is complete lies behind now",
            Unit::Seconds,
            self.window_watermark_lag.clone(),
        );
    }

    /// Calls of the API server too, where there is one.
    pub fn with_api_server(mut self) -> Metrics {
        self.registry.sub_registry_with_prefix("headroom").register_collector(Box::new(ActMetrics));
        self
    }

    /// What became of people's statements, and what the tables take that are kept for them.
    pub fn with_sql(mut self, counters: Arc<Counters>, shelf_bytes: Arc<AtomicU64>) -> Metrics {
        let registry = self.registry.sub_registry_with_prefix("headroom");
        registry.register_collector(Box::new(SqlMetrics { counters, shelf_bytes }));
        self
    }

    /// The receivers' counters beside those of the other stations.
    pub fn with_receivers(mut self, counters: Arc<receive::Counters>) -> Metrics {
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

    /// Ticks that were due while another took long.
    pub fn ticks_skipped(&self, skipped: u64) {
        self.engine_ticks_skipped.inc_by(skipped);
    }

    pub fn tick(&self, duration: Duration, snapshot: &Snapshot) {
        let findings = &snapshot.findings;
        self.engine_ticks.inc();
        self.engine_tick_duration.observe(duration.as_secs_f64());
        // Before the first span there is no watermark to lag behind.
        let lag = if findings.complete_to.0 > 0 { snapshot.at.seconds_since(findings.complete_to) } else { 0.0 };
        self.window_watermark_lag.set(lag);
        self.analyse_blind.set(i64::from(findings.blind));
        self.analyse_incomplete_services.set(findings.missing_parents.len() as i64);
        self.analyse_seen_share.set(findings.sight.share);
        self.analyse_partial.set(i64::from(findings.sight.level == SightLevel::Partial));
        self.analyse_bottlenecks.set(findings.bottlenecks.len() as i64);
        self.analyse_silent_failures.set(findings.silent_failures.len() as i64);
        self.analyse_entries_missed.set(findings.entries.iter().filter(|entry| entry.missed).count() as i64);
        self.guard_paused.set(i64::from(snapshot.pauses.all().is_some()));
        rise(&self.decide_rule_failures, snapshot.rule_failures);
        self.spans(&snapshot.spans);
        let open = snapshot.interventions.iter().filter(|report| !report.stage.is_end()).count();
        self.verify_interventions_open.set(open as i64);
    }

    fn spans(&self, spans: &Spans) {
        rise(&self.window_admitted_spans, spans.admitted);
        rise(&self.window_shed_spans, spans.shed);
        rise(&self.window_late_spans, spans.late);
        rise(&self.window_duplicate_spans, spans.duplicate);
        rise(&self.window_surplus_spans, spans.surplus);
        rise(&self.window_evicted_spans, spans.evicted);
        rise(&self.window_partial_traces, spans.partial_traces);
        rise(&self.analyse_spans_without_parent, spans.without_parent);
        let set = |gauge: &Gauge, to: u64| _ = gauge.set(i64::try_from(to).unwrap_or(i64::MAX));
        set(&self.window_spans, spans.held);
        set(&self.window_bytes, spans.held_bytes);
        set(&self.window_open_traces, spans.open_traces);
        set(&self.process_resident_bytes, spans.resident_bytes);
        self.window_admitted_share.set(spans.admitted_share);
    }

    /// From the receipt of requests to the findings that know them.
    pub fn delays(&self, delays: &[Duration]) {
        delays.iter().for_each(|delay| self.findings_delay.observe(delay.as_secs_f64()));
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

/// Brings a counter to a count that somebody else keeps.
fn rise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

pub async fn metrics(State(api): State<Api>) -> Result<impl IntoResponse, Refusal> {
    let mut body = String::new();
    text::encode(&mut body, &api.metrics.registry)
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), "report it as a bug"))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], body))
}
