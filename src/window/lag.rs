//! How late spans arrive: the lag between a span's end and its receipt, learnt from the spans themselves.
//!
//! SDK batches, the Collector and the network put one to three seconds between the end of a span and its
//! receipt. The instant `now - lag` is our watermark: a quantile rather than the least over sources, since
//! one quiet or stuck source would hold back the least for everybody, exactly when a burst needs an answer.

use crate::model::Time;

/// Width of a histogram cell: a tenth of the fastest tick.
const CELL_NS: i64 = 100_000_000;
/// Cells up to 30 s; anything later is late, not lagging.
const CELLS: usize = 300;
/// Share of spans the watermark waits for. The rest is counted as late.
const QUANTILE: f64 = 0.99;
/// Before enough spans were seen: SDK default batches (up to 5 s in old SDKs, 1 s common) plus a Collector.
const DEFAULT_NS: i64 = 2_500_000_000;
/// Never less: batches of an SDK are seldom flushed faster.
const LEAST_NS: i64 = 200_000_000;
/// Spans that make a quantile; also the number at which old counts are halved, so that the lag of the
/// last few thousand spans decides.
const ENOUGH: u64 = 200;
const HALVE_AT: u64 = 20_000;

pub(super) struct ArrivalLag {
    cells: [u64; CELLS],
    total: u64,
}

impl Default for ArrivalLag {
    fn default() -> ArrivalLag {
        ArrivalLag { cells: [0; CELLS], total: 0 }
    }
}

impl ArrivalLag {
    pub fn record(&mut self, received_at: Time, end: Time) {
        let cell = (received_at.nanos_since(end).max(0) / CELL_NS) as usize;
        self.cells[cell.min(CELLS - 1)] += 1;
        self.total += 1;
        if self.total >= HALVE_AT {
            self.total = 0;
            for cell in &mut self.cells {
                *cell /= 2;
                self.total += *cell;
            }
        }
    }

    /// The lag that all but 1 % of spans stay under, in nanoseconds.
    pub fn quantile_ns(&self) -> i64 {
        if self.total < ENOUGH {
            return DEFAULT_NS;
        }
        let wanted = (self.total as f64 * QUANTILE).ceil() as u64;
        let mut seen = 0;
        for (cell, count) in self.cells.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return ((cell as i64 + 1) * CELL_NS).max(LEAST_NS);
            }
        }
        CELLS as i64 * CELL_NS
    }
}
