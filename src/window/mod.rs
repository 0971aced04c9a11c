//! Spans in time: slices of the `spans` table bounded by age and by bytes, traces assembled from them,
//! and the instant up to which telemetry is complete.
//!
//! Event time only. `now` and `received_at` come in as parameters; nothing here reads a clock.
//! A span arrives once and goes two ways: as a row into the table, which is for people, and as a [`Span`] into its trace.

mod admission;
mod assembly;
mod clocks;
mod lag;
mod merge;
mod root_grace;
mod slices;

use std::collections::BTreeMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::model::setting::{Kind, Setting};
use crate::model::{ClockStep, Declared, Names, Span, SpanBatch, Symbol, Symbols, Text, Time, TimeUnit, is_fresh};
use crate::settings;

use admission::Admission;
pub use admission::AdmissionCounters;
pub use assembly::{AssembledTrace, AssemblyCounters, Beginning};
use assembly::{Assembly, Ended};
pub use clocks::Clock;
use clocks::Clocks;
use lag::ArrivalLag;
use slices::Slices;

/// Bounds of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Spans older than this are forgotten. Long enough to see a burst and the healthy time before it.
    pub duration: Duration,
    /// Arrow bytes of all slices, and what open traces take: the oldest slices go first.
    pub bytes_max: usize,
    /// Spans a second that are taken in; of more, whole traces are shed. None takes what comes.
    pub spans_per_second: Option<u64>,
    /// Which traces are shed depends on it: chosen anew at each start, so that no sender can choose ids that are taken, and
    /// kept in the journal with the rest.
    pub seed: u64,
    /// A trace whose root has not come by then, and that does not begin where traces usually begin without one, is analysed
    /// as what it is: partial.
    pub trace_idle: Duration,
    /// Spans of one trace past this number are counted, not assembled: one runaway trace must not hold the rest up.
    pub trace_spans_max: usize,
    /// Open traces past this number: the oldest is closed as it stands.
    pub open_traces_max: usize,
    /// What the operator says of operations: their names, and the kind of work they are. The first that matches holds.
    pub operations: Vec<Declared>,
    /// Services that are proxies of the workloads beside them: names, in which `*` stands for any text. Those that share a pod
    /// with their workload need not be named.
    pub sidecars: Vec<String>,
}

impl Config {
    /// What an operator may set; operations and sidecars stand elsewhere, and how many spans a second are taken in is a matter of the whole process (`limits`).
    pub const SETTINGS: &'static [Setting<Config>] = settings![Config;
        duration: Kind::seconds(10, 86_400), "spans and what came of them are kept this long";
        bytes_max as "memory": Kind::bytes(16 << 20, 1 << 40), "what they may take; the oldest go first";
        // Below a second no trace would be whole.
        trace_idle: Kind::seconds(1, 3_600), "a trace without its root is analysed once no span of it came for so long";
        trace_spans_max: Kind::count(100, 10_000_000), "spans of one trace; the rest is counted";
        open_traces_max: Kind::count(1_000, 100_000_000), "traces under way; past it the oldest is closed as it stands";
    ];
}

impl Default for Config {
    fn default() -> Config {
        Config {
            duration: Duration::from_secs(120),
            bytes_max: 512 << 20,
            seed: 0,
            spans_per_second: None,
            // Longer than the client timeouts one meets at an edge (1 to 5 s) and the late spans after them.
            trace_idle: Duration::from_secs(10),
            trace_spans_max: 10_000,
            open_traces_max: 1_000_000,
            operations: Vec::new(),
            sidecars: Vec::new(),
        }
    }
}

/// Beyond the lag that all but a hundredth of the spans stay under.
const WAITED: Duration = Duration::from_secs(1);

/// What the window has seen and let go, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub spans: u64,
    pub admission: AdmissionCounters,
    pub assembly: AssemblyCounters,
    pub slices_evicted: u64,
    /// Spans in them: counted, in a trace or analysed, no longer in the table.
    pub spans_evicted: u64,
}

pub struct Window {
    config: Config,
    slices: Slices,
    admission: Admission,
    assembly: Assembly,
    symbols: Symbols,
    names: Names,
    lag: ArrivalLag,
    /// As it was when traces were last closed.
    usual_lag: Duration,
    clocks: Clocks,
    /// Spans whose times are in another unit than nanoseconds, by service: they are in no trace.
    misdated: HashMap<(Symbol, TimeUnit), u64, RandomState>,
    spans: u64,
    last_received: Option<Time>,
}

impl Window {
    pub fn new(config: Config) -> Window {
        Window {
            slices: Slices::default(),
            admission: Admission::new(config.seed),
            assembly: Assembly::default(),
            symbols: Symbols::default(),
            names: Names::new(config.operations.clone(), config.sidecars.clone()),
            lag: ArrivalLag::default(),
            usual_lag: ArrivalLag::default().quantile(),
            clocks: Clocks::default(),
            misdated: HashMap::default(),
            spans: 0,
            last_received: None,
            config,
        }
    }

    /// Whether a batch can be taken now. It cannot when open traces alone fill the bytes allowed, and when it tells of
    /// the past while the present leaves no capacity: its sender keeps it.
    pub fn has_room(&self, received_at: Time, batch: &SpanBatch) -> bool {
        let full = self.assembly.bytes() > self.config.bytes_max;
        let may_come =
            is_fresh(received_at, batch) || self.admission.has_room_for_past(self.config.spans_per_second, received_at);
        !full && may_come
    }

    /// Takes one batch, or the part of it that is [admitted](Config::spans_per_second).
    pub fn ingest(&mut self, received_at: Time, batch: SpanBatch) {
        if batch.is_empty() {
            return;
        }
        self.spans += batch.len() as u64;
        self.last_received = Some(self.last_received.map_or(received_at, |last| last.max(received_at)));
        let (admission, assembly) = (&mut self.admission, &self.assembly);
        let batch = admission.admit(self.config.spans_per_second, received_at, batch, |trace| assembly.is_open(trace));
        if batch.is_empty() {
            return;
        }
        // What ended longer ago than spans take to come has waited somewhere, or its clock is behind. When its trace ended is
        // not known then, and it waits as if that was now: else the spans that come beside it would be late.
        let waited_since = received_at - self.usual_lag - WAITED;
        let (mut newest, lag, clocks) = (Time::MIN, &mut self.lag, &self.clocks);
        let misdated = &mut self.misdated;
        let spans = batch.spans(&mut self.symbols, &mut self.names).filter_map(|(trace, mut span)| {
            if let Some(unit) = TimeUnit::of(span.end(), received_at) {
                *misdated.entry((span.service, unit)).or_default() += 1;
                return None;
            }
            let is_timed = clocks.correct(&mut span);
            // A source ahead of its receiver is clamped: the future must not open the present's traces early.
            let end = span.end().min(received_at);
            newest = newest.max(end);
            if is_timed {
                lag.record(received_at, end);
            }
            let ended = match is_timed {
                true if end >= waited_since => Ended::At(end),
                true => Ended::At(received_at),
                false => Ended::Before(received_at),
            };
            Some((trace, span, ended))
        });
        self.assembly.add(&self.config, received_at, spans);
        self.slices.push(batch, newest);
        self.evict(Time::MIN);
    }

    fn evict(&mut self, older_than: Time) {
        self.slices.evict(older_than, self.config.bytes_max.saturating_sub(self.assembly.bytes()));
    }

    /// Takes one batch without looking into it: it can be queried, and nothing is assembled of it.
    pub fn keep(&mut self, received_at: Time, batch: SpanBatch) {
        if batch.is_empty() {
            return;
        }
        self.spans += batch.len() as u64;
        self.last_received = Some(self.last_received.map_or(received_at, |last| last.max(received_at)));
        self.slices.push(batch, received_at);
        self.evict(Time::MIN);
    }

    /// Forgets what is older than the window.
    pub fn forget(&mut self, now: Time) {
        self.evict(now - self.config.duration);
    }

    /// The traces that are complete at `now` and were not before, oldest first. `begins` says of the first span of a trace
    /// whose root has not come where the trace begins.
    pub fn close(&mut self, now: Time, mut begins: impl FnMut(&Span, &Symbols) -> Beginning) -> Vec<AssembledTrace> {
        let complete_to = self.complete_to(now);
        self.usual_lag = self.lag.quantile();
        let symbols = &self.symbols;
        self.assembly.close(&self.config, complete_to, |span| begins(span, symbols))
    }

    /// Takes back traces that are analysed, for their memory, and how many of their spans repeated another.
    pub fn recycle(&mut self, traces: Vec<AssembledTrace>, repeated: usize) {
        self.assembly.recycle(traces, repeated);
    }

    /// The texts of the spans in traces.
    pub fn symbols(&mut self) -> &mut Symbols {
        &mut self.symbols
    }

    /// Forgets the texts that no open trace has. Symbols handed out before stand for `_other` from then on.
    pub fn renew_symbols(&mut self) {
        let mut fresh = self.symbols.next_generation();
        self.assembly.translate(&self.symbols, &mut fresh);
        self.symbols = fresh;
        self.clocks.renew(&mut self.symbols);
    }

    /// Spans since the last call whose times are in another unit than nanoseconds, by service.
    pub fn take_misdated(&mut self) -> BTreeMap<(Text, TimeUnit), u64> {
        let mut named = BTreeMap::new();
        for ((service, unit), count) in self.misdated.drain() {
            *named.entry((self.symbols.text(service).clone(), unit)).or_default() += count;
        }
        named
    }

    /// Hosts (service and pod) whose clocks are off, from now on. How late spans come is learnt anew, as it was learnt from
    /// their times too.
    pub fn set_clocks(&mut self, clocks: BTreeMap<[Text; 2], Clock>) {
        self.clocks.set(clocks, &mut self.symbols);
        self.lag = ArrivalLag::default();
    }

    /// Bytes that the window may have from now on. Slices go for it, which nothing that is found or decided depends on.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.config.bytes_max = bytes_max;
        self.evict(Time::MIN);
    }

    /// Event time up to which all but a few late spans have arrived: `now` less the lag that spans show.
    pub fn complete_to(&self, now: Time) -> Time {
        now - self.lag.quantile()
    }

    /// Event time up to which requests are analysed: where roots never come, it takes a moment more until it is known that
    /// they do not.
    pub fn analysed_to(&self, now: Time) -> Time {
        let complete_to = self.complete_to(now);
        complete_to - self.assembly.root_delay(complete_to)
    }

    /// All clocks stepped: what is held moves with them. How late spans come is learnt anew, as those that came between
    /// the step and its notice tell nothing of it.
    pub fn step_clock(&mut self, step: ClockStep) {
        self.slices.step_clock(step);
        self.admission.step_clock(step);
        self.assembly.step_clock(step);
        self.lag = ArrivalLag::default();
        step.move_all(&mut self.last_received);
    }

    /// When a span was last received; None before the first.
    pub fn last_received(&self) -> Option<Time> {
        self.last_received
    }

    /// The share of the spans received lately that was taken in, 0 to 1.
    pub fn admitted_share(&self) -> f64 {
        self.admission.share()
    }

    pub fn batches(&self) -> impl Iterator<Item = &SpanBatch> {
        self.slices.batches()
    }

    pub fn counters(&self) -> Counters {
        Counters {
            spans: self.spans,
            admission: self.admission.counters(),
            assembly: self.assembly.counters(),
            slices_evicted: self.slices.evicted(),
            spans_evicted: self.slices.evicted_rows(),
        }
    }

    /// Spans held.
    pub fn held(&self) -> usize {
        self.slices.spans()
    }

    pub fn open_traces(&self) -> usize {
        self.assembly.open()
    }

    /// Open traces whose root has not come for longer than roots take.
    pub fn waiting_traces(&self) -> usize {
        self.assembly.waiting()
    }

    /// Arrow bytes of the table.
    pub fn bytes(&self) -> usize {
        self.slices.bytes()
    }
}

#[cfg(test)]
mod tests;
