//! How late spans arrive: the lag between a span's end and its receipt, learnt from the spans themselves.
//!
//! SDK batches, the Collector and the network put one to three seconds between the end of a span and its
//! receipt. The instant `now - lag` is our watermark: a quantile rather than the least over sources, since
//! one quiet or stuck source would hold back the least for everybody, exactly when a burst needs an answer.

use std::time::Duration;

use crate::model::{FRESH, Time};

/// Width of a histogram cell: a tenth of the fastest tick.
const CELL_NS: i64 = 100_000_000;
/// Cells up to 30 s; anything later is late, not lagging.
const CELLS: usize = 300;
/// Share of spans the watermark waits for. The rest is counted as late.
const QUANTILE: f64 = 0.99;
/// While at least this share of the spans is fresh, the watermark waits for those alone: a Collector that sends its
/// queue again must not hold back the present. Where hardly any is, the pipeline is slow (tail sampling waits up to
/// half a minute), and its lag is learnt.
const FRESH_SHARE: f64 = 0.05;
const FRESH_CELLS: usize = (FRESH.as_nanos() as i64 / CELL_NS) as usize;
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

    /// The lag that all but 1 % of spans stay under.
    pub fn quantile(&self) -> Duration {
        Duration::from_nanos(self.quantile_ns().unsigned_abs())
    }

    /// The lag that all but 1 % of spans stay under, in nanoseconds.
    fn quantile_ns(&self) -> i64 {
        if self.total < ENOUGH {
            return DEFAULT_NS;
        }
        let fresh: u64 = self.cells[..FRESH_CELLS].iter().sum();
        let counted = if fresh as f64 >= self.total as f64 * FRESH_SHARE { fresh } else { self.total };
        let wanted = (counted as f64 * QUANTILE).ceil() as u64;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The lag after `n` spans of each of these, in seconds.
    fn lag_s(spans: &[(u64, i64)]) -> f64 {
        let mut lag = ArrivalLag::default();
        for &(n, late_ms) in spans {
            (0..n).for_each(|_| lag.record(Time(late_ms * 1_000_000), Time(0)));
        }
        lag.quantile_ns() as f64 / 1e9
    }

    #[test]
    fn a_queue_sent_again_does_not_hold_back_the_present() {
        assert_eq!(lag_s(&[(1_000, 430)]), 0.5);
        assert_eq!(lag_s(&[(1_000, 430), (9_000, 25_000)]), 0.5);
    }

    #[test]
    fn a_slow_pipeline_is_waited_for() {
        assert_eq!(lag_s(&[(20, 430), (5_000, 15_000)]), 15.1);
    }
}
