//! Spans in time: slices of the `spans` table bounded by age and by bytes, traces assembled from them,
//! and the instant up to which telemetry is complete.
//!
//! Event time only. `now` and `received_at` come in as parameters; nothing here reads a clock.
//! A span arrives once, as a row of a slice; everything else refers to it by [`RowRef`].

mod assembly;
mod lag;
mod slices;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{SpanBatch, SpanRow, Time};

use assembly::Assembly;
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
    /// Arrow bytes of all slices together; the oldest go first.
    pub bytes_max: usize,
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
    pub assembly: AssemblyCounters,
    pub slices_evicted: u64,
}

pub struct Window {
    config: Config,
    slices: Slices,
    assembly: Assembly,
    lag: ArrivalLag,
    spans: u64,
    last_received: Option<Time>,
}

impl Window {
    pub fn new(config: Config) -> Window {
        Window {
            slices: Slices::default(),
            assembly: Assembly::default(),
            lag: ArrivalLag::default(),
            spans: 0,
            last_received: None,
            config,
        }
    }

    /// Takes one batch. Rows that repeat a span already held are dropped and counted.
    pub fn ingest(&mut self, received_at: Time, batch: SpanBatch) {
        if batch.is_empty() {
            return;
        }
        self.spans += batch.len() as u64;
        self.last_received = Some(self.last_received.map_or(received_at, |last| last.max(received_at)));
        let slice = self.slices.next_id();
        let columns = batch.columns();
        let mut newest = Time::MIN;
        for row in 0..batch.len() {
            let span = columns.row(row);
            // A source ahead of its receiver is clamped: the future must not open the present's traces early.
            let end = span.end().min(received_at);
            newest = newest.max(end);
            self.lag.record(received_at, end);
            self.assembly.add(&self.config, &span, end, RowRef { slice, row: row as u32 });
        }
        self.slices.push(batch, newest);
    }

    /// Takes one batch without looking into it: it can be queried, and nothing is assembled of it.
    pub fn keep(&mut self, received_at: Time, batch: SpanBatch) {
        if batch.is_empty() {
            return;
        }
        self.spans += batch.len() as u64;
        self.last_received = Some(self.last_received.map_or(received_at, |last| last.max(received_at)));
        self.slices.push(batch, received_at);
    }

    /// Forgets what is older than the window; all that [keeping](Window::keep) needs.
    pub fn forget(&mut self, now: Time) {
        self.slices.evict(now - self.config.duration, self.config.bytes_max);
    }

    /// Forgets what is older than the window, and returns the traces that are complete at `now`, oldest first.
    pub fn advance(&mut self, now: Time) -> Vec<AssembledTrace> {
        let complete_to = self.complete_to(now);
        let closed = self.assembly.close(&self.config, complete_to);
        self.slices.evict(now - self.config.duration, self.config.bytes_max);
        closed
    }

    /// Event time up to which all but a few late spans have arrived: `now` less the lag that spans show.
    pub fn complete_to(&self, now: Time) -> Time {
        Time(now.0.saturating_sub(self.lag.quantile_ns()))
    }

    /// When a span was last received; None before the first.
    pub fn last_received(&self) -> Option<Time> {
        self.last_received
    }

    /// The span a reference stands for; None when its slice has been evicted.
    pub fn row(&self, at: RowRef) -> Option<SpanRow<'_>> {
        self.slices.row(at)
    }

    pub fn batches(&self) -> impl Iterator<Item = &SpanBatch> {
        self.slices.batches()
    }

    pub fn counters(&self) -> Counters {
        Counters { spans: self.spans, assembly: self.assembly.counters(), slices_evicted: self.slices.evicted() }
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
