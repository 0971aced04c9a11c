//! A shard's part of the work: it takes spans, assembles traces and makes rows of those that close. A process may be one of
//! several shards; one of them leads and judges the portions of all.

use std::time::Duration;

use arrow::array::RecordBatch;

use crate::analyse::{Absorber, Arrived, ClockState, Portion, Reference, SpanCounts};
use crate::model::{ClockStep, SpanBatch, Text, Time};
use crate::window::{self, Clock, Window};

/// How often closed traces are absorbed: so few at a time that their spans and the tables that they are added to stay in
/// the processor's cache, and a request waits for no more than a twentieth of a second's traces.
const ABSORB_EVERY: Duration = Duration::from_millis(50);

pub struct Shard {
    window: Window,
    absorber: Absorber,
    absorbed_at: Time,
    /// Of the clocks that the window corrects.
    clocks_version: u64,
    /// The window's counters when they were last told.
    counted: window::Counters,
}

impl Shard {
    pub fn new(config: window::Config) -> Shard {
        let (window, absorber) = (Window::new(config), Absorber::default());
        Shard { window, absorber, absorbed_at: Time::MIN, clocks_version: 0, counted: window::Counters::default() }
    }

    /// Tells the window which hosts' clocks are off.
    fn follow_clocks(&mut self, reference: &Reference) {
        let clock = |(host, state, ahead_ns): (&[Text; 2], ClockState, i64)| {
            let clock = match state {
                ClockState::Corrected => Clock::Ahead(ahead_ns),
                ClockState::FarOff | ClockState::Varying => Clock::Unusable,
            };
            (host.clone(), clock)
        };
        self.window.set_clocks(reference.clocks.found().map(clock).collect());
        self.clocks_version = reference.clocks.version();
    }

    /// Takes a batch, and absorbs the traces that are closed by now, so that few are left for the tick.
    pub fn ingest(&mut self, received_at: Time, batch: SpanBatch, reference: &Reference) {
        if self.clocks_version != reference.clocks.version() {
            self.follow_clocks(reference);
        }
        self.window.ingest(received_at, batch);
        // By when spans were received, whenever they come to be taken: they may have waited.
        if received_at >= self.absorbed_at + ABSORB_EVERY {
            self.absorb(received_at, reference);
        }
    }

    /// Takes a batch without looking into it.
    pub fn keep(&mut self, received_at: Time, batch: SpanBatch) {
        self.window.keep(received_at, batch);
    }

    pub fn forget(&mut self, now: Time) {
        self.window.forget(now);
    }

    /// This shard's part of a tick. `reference` is the one that [`ingest`](Shard::ingest) was given since the last tick, or
    /// a newer one.
    pub fn take(&mut self, now: Time, reference: &Reference) -> Portion {
        self.window.forget(now);
        self.absorb(now, reference);
        self.take_absorbed(now, reference)
    }

    /// The same of what was absorbed so far, in the midst of a tick.
    pub fn take_absorbed(&mut self, now: Time, reference: &Reference) -> Portion {
        let arrived = Arrived {
            complete_to: self.window.analysed_to(now),
            last_received: self.window.last_received(),
            waiting: self.window.waiting_traces() as u64,
            spans: self.count_spans(),
        };
        let misdated = self.window.take_misdated();
        let symbols = self.window.symbols();
        let portion = self.absorber.take(symbols, reference, arrived, misdated);
        if symbols.is_crowded() {
            // Texts of pods and versions that are gone are forgotten, now that no row is left in symbols.
            self.window.renew_symbols();
        }
        portion
    }

    /// What became of spans since the last call.
    fn count_spans(&mut self) -> SpanCounts {
        let counters = self.window.counters();
        let before = std::mem::replace(&mut self.counted, counters);
        SpanCounts {
            received: counters.spans - before.spans,
            shed: counters.admission.shed - before.admission.shed,
            late: counters.assembly.late_spans - before.assembly.late_spans,
            late_roots: counters.assembly.late_roots - before.assembly.late_roots,
            repeated: counters.assembly.duplicate_spans - before.assembly.duplicate_spans,
            surplus: counters.assembly.surplus_spans - before.assembly.surplus_spans,
        }
    }

    /// All clocks stepped: what is held moves with them. What was absorbed must have been taken.
    pub fn step_clock(&mut self, step: ClockStep) {
        self.window.step_clock(step);
        self.absorber.step_clock(step);
        step.move_all([&mut self.absorbed_at]);
    }

    fn absorb(&mut self, now: Time, reference: &Reference) {
        self.absorbed_at = now;
        let Shard { window, absorber, .. } = self;
        let mut closed = window.close(now, |span, symbols| absorber.begins(span, symbols, reference));
        let symbols = window.symbols();
        let mut repeated = 0;
        for trace in &mut closed {
            repeated += absorber.absorb(now, trace, symbols, reference);
        }
        self.window.recycle(closed, repeated);
    }

    pub fn window(&self) -> &Window {
        &self.window
    }

    pub fn set_window_bytes_max(&mut self, bytes_max: usize) {
        self.window.set_bytes_max(bytes_max);
    }

    /// The table `spans`.
    pub fn spans(&self) -> Vec<RecordBatch> {
        self.window.batches().map(|batch| batch.record_batch().clone()).collect()
    }
}
