//! Spans in time: slices of the `spans` table bounded by age and by bytes, traces assembled from them,
//! and the instant up to which telemetry is complete.
//!
//! Event time only. `now` and `received_at` come in as parameters; nothing here reads a clock.
//! A span arrives once, as a row of a slice; everything else refers to it by [`RowRef`].

mod admission;
mod assembly;
mod lag;
mod merge;
mod slices;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{SpanBatch, SpanRow, Time, is_fresh};

use admission::Admission;
pub use admission::AdmissionCounters;
use assembly::{Arrived, Assembly};
pub use assembly::{AssembledTrace, AssemblyCounters};
use lag::ArrivalLag;
pub use slices::RowRef;
use slices::Slices;

/// Bounds of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Spans older than this are forgotten. Long enough to see a burst and the healthy time before it.
    pub duration: Duration,
    /// Arrow bytes of all slices together; the oldest that are analysed go first.
    pub bytes_max: usize,
    /// Spans a second that are taken in; of more, whole traces are shed. None takes what comes.
    pub spans_per_second: Option<u64>,
    /// A trace whose root has not come by then is analysed as what it is: partial.
    pub trace_idle: Duration,
    /// Spans of one trace past this number are counted, not assembled: one runaway trace must not hold the rest up.
    pub trace_spans_max: usize,
    /// Open traces past this number: the oldest is closed as it stands.
    pub open_traces_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            duration: Duration::from_secs(120),
            bytes_max: 512 << 20,
            spans_per_second: None,
            // Longer than the client timeouts one meets at an edge (1 to 5 s) and the late spans after them.
            trace_idle: Duration::from_secs(10),
            trace_spans_max: 10_000,
            open_traces_max: 1_000_000,
        }
    }
}

/// What the window has seen and let go, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub spans: u64,
    pub admission: AdmissionCounters,
    pub assembly: AssemblyCounters,
    pub slices_evicted: u64,
    /// Spans in them: analysed and counted, no longer in the table.
    pub spans_evicted: u64,
}

pub struct Window {
    config: Config,
    slices: Slices,
    admission: Admission,
    assembly: Assembly,
    lag: ArrivalLag,
    spans: u64,
    last_received: Option<Time>,
}

impl Window {
    pub fn new(config: Config) -> Window {
        Window {
            slices: Slices::default(),
            admission: Admission::default(),
            assembly: Assembly::default(),
            lag: ArrivalLag::default(),
            spans: 0,
            last_received: None,
            config,
        }
    }

    /// Whether a batch can be taken now. It cannot when the bytes allowed are full of what is not analysed yet, and when
    /// it tells of the past while of the present more comes than can be taken: its sender keeps it.
    pub fn has_room(&self, received_at: Time, batch: &SpanBatch) -> bool {
        let full = self.slices.bytes() > self.config.bytes_max;
        let old = self.admission.is_shedding() && !is_fresh(received_at, batch);
        !full && !old
    }

    /// Takes one batch, or the part of it that is [admitted](Config::spans_per_second). Rows that repeat a span already
    /// held are dropped and counted.
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
        let first = self.slices.next_row();
        let columns = batch.columns();
        let mut newest = Time::MIN;
        let mut open = 0;
        for row in 0..batch.len() {
            // A source ahead of its receiver is clamped: the future must not open the present's traces early.
            let end = columns.end(row).min(received_at);
            newest = newest.max(end);
            self.lag.record(received_at, end);
            let span = Arrived {
                trace: columns.trace_id(row),
                span: columns.span_id(row),
                is_root: columns.is_root(row),
                end,
            };
            open += usize::from(self.assembly.add(&self.config, &span, RowRef(first + row as u64)));
        }
        self.slices.push(batch, newest, open);
        self.slices.evict(Time::MIN, self.config.bytes_max);
    }

    /// Takes one batch without looking into it: it can be queried, and nothing is assembled of it.
    pub fn keep(&mut self, received_at: Time, batch: SpanBatch) {
        if batch.is_empty() {
            return;
        }
        self.spans += batch.len() as u64;
        self.last_received = Some(self.last_received.map_or(received_at, |last| last.max(received_at)));
        self.slices.push(batch, received_at, 0);
        self.slices.evict(Time::MIN, self.config.bytes_max);
    }

    /// Forgets what is older than the window; all that [keeping](Window::keep) needs.
    pub fn forget(&mut self, now: Time) {
        self.slices.evict(now - self.config.duration, self.config.bytes_max);
    }

    /// Forgets what is older than the window, and returns the traces that are complete at `now`, oldest first.
    pub fn advance(&mut self, now: Time) -> Vec<AssembledTrace> {
        let complete_to = self.complete_to(now);
        // Before closing: what closes now is still to be read.
        self.slices.evict(now - self.config.duration, self.config.bytes_max);
        let closed = self.assembly.close(&self.config, complete_to);
        for trace in &closed {
            self.slices.settle(trace.spans.iter().copied());
        }
        closed
    }

    /// Arrow bytes that the slices may have from now on. Only slices that are analysed go for it, so that what is
    /// found and decided does not depend on it.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.config.bytes_max = bytes_max;
        self.slices.evict(Time::MIN, bytes_max);
    }

    /// Event time up to which all but a few late spans have arrived: `now` less the lag that spans show.
    pub fn complete_to(&self, now: Time) -> Time {
        Time(now.0.saturating_sub(self.lag.quantile_ns()))
    }

    /// When a span was last received; None before the first.
    pub fn last_received(&self) -> Option<Time> {
        self.last_received
    }

    /// The spans these references stand for; those whose slice has been evicted are left out.
    pub fn rows<'a>(&'a self, rows: &'a [RowRef]) -> impl Iterator<Item = SpanRow<'a>> {
        self.slices.rows(rows)
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

    pub fn bytes(&self) -> usize {
        self.slices.bytes()
    }
}

#[cfg(test)]
mod tests;
