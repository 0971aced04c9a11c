//! Arrivals under saturation, estimated from spans that are only sent when they end.
//!
//! Once a service saturates, counting its spans gives its throughput, not its arrivals. But requests that end
//! a second apart started closer together than a second when waiting grows, and the rate at which they
//! *started* is the rate at which they arrived: with mean sojourn `T` of those that end at `e`, starts advance
//! by `de - dT`, so arrivals = throughput / (1 - dT/de), which is throughput x (1 + dT/ds) with the slope over
//! start time. Exact for a FIFO queue; a good account of processor sharing in the mean.

use crate::analyse::rollup::window_totals::ServiceSecond;
use crate::analyse::statistics::trend::{Stretches, trend_per_s2};
use crate::analyse::thresholds::load::arrivals::{
    DEVIATIONS, FIT_SECONDS, JUMP_SECONDS, RISE_MIN, SLOPE_MAX, TREND_FACTOR_MAX,
};

/// Arrivals a second at one service.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Arrivals {
    /// Requests served a second (ended, not refused).
    pub throughput_per_s: f64,
    /// Requests served in the best second, less the deviation that chance gives it.
    pub best_per_s: f64,
    /// With those refused: what was counted, and nothing estimated. Calls that were given up are left out, because a
    /// service mostly works on and serves them as well, and each would count twice.
    pub counted_per_s: f64,
    /// So many were counted: noise is that of what was counted, whatever each stands for.
    pub counted: f64,
    /// Requests that arrived a second, for the start times described.
    pub per_s: f64,
    /// Those that ended later had clearly waited longer.
    pub waiting_grows: bool,
    /// Growth of that rate, per second of time; zero unless it clearly grows.
    pub trend_per_s2: f64,
    /// Mean sojourn of those that ended last, in seconds: how old the description is on top of the lag.
    pub sojourn_s: f64,
    /// Length of the stretch described, in seconds.
    pub stretch_s: f64,
}

impl Arrivals {
    /// Estimates from consecutive complete seconds, oldest first; `until` is the first second not complete.
    /// Seconds without a row had no request.
    pub fn estimate(rows: &[ServiceSecond], until: i64) -> Arrivals {
        let steady = rate(&last_seconds(rows, until, FIT_SECONDS));
        let jumped = rate(&last_seconds(rows, until, JUMP_SECONDS));
        let clearly_more = jumped.per_s - steady.per_s > DEVIATIONS * (jumped.per_s / jumped.stretch_s).sqrt();
        let now = if clearly_more { jumped } else { steady };
        let before = rate(&last_seconds(rows, until - FIT_SECONDS as i64, FIT_SECONDS));
        // Two disjoint stretches: what lies between their starts is their distance less what waiting grew by.
        let distance = steady.stretch_s;
        let apart_s = (distance - (steady.sojourn_s - before.sojourn_s)).max(distance / 4.0);
        let rates = Stretches { before_per_s: before.per_s, now_per_s: steady.per_s, seconds: distance, apart_s };
        let earlier = rate(&last_seconds(rows, until - JUMP_SECONDS as i64, JUMP_SECONDS));
        let within = (jumped.per_s - earlier.per_s) / JUMP_SECONDS as f64;
        // From nothing to something is a start, and tells no slope.
        let trend_per_s2 = if before.per_s > 0.0 { trend_per_s2(rates, within) } else { 0.0 };
        Arrivals { trend_per_s2, ..now }
    }

    /// The same, when each request that was counted stands for `weight` of them.
    pub fn weighted(self, weight: f64) -> Arrivals {
        Arrivals {
            throughput_per_s: self.throughput_per_s * weight,
            best_per_s: self.best_per_s * weight,
            counted_per_s: self.counted_per_s * weight,
            per_s: self.per_s * weight,
            trend_per_s2: self.trend_per_s2 * weight,
            ..self
        }
    }

    /// The rate expected `ahead_s` after the last complete second. The estimate speaks of the middle of its
    /// stretch, and of the starts of what ended there.
    pub fn ahead(&self, ahead_s: f64) -> f64 {
        let age_s = self.sojourn_s + self.stretch_s / 2.0;
        let grown = self.per_s + self.trend_per_s2 * (ahead_s + age_s);
        grown.min(self.per_s * TREND_FACTOR_MAX)
    }
}

fn last_seconds(rows: &[ServiceSecond], until: i64, count: usize) -> Vec<ServiceSecond> {
    let from = until - count as i64;
    (from..until)
        .map(|second| {
            let found = rows.iter().find(|r| r.second == second);
            found.copied().unwrap_or(ServiceSecond { second, ..ServiceSecond::default() })
        })
        .collect()
}

fn rate(rows: &[ServiceSecond]) -> Arrivals {
    let ended = |r: &ServiceSecond| (r.sums.requests + r.sums.gave_up) as f64;
    let seconds = rows.len().max(1) as f64;
    let total: f64 = rows.iter().map(ended).sum();
    let refused: f64 = rows.iter().map(|r| r.sums.refused as f64).sum();
    let sojourn = |r: &ServiceSecond| r.sums.sojourn_ns as f64 / 1e9 / ended(r).max(1.0);
    // Least squares of mean sojourn over the second of the end, weighted by requests.
    let mean_second: f64 = rows.iter().map(|r| ended(r) * r.second as f64).sum::<f64>() / total.max(1.0);
    let mean_sojourn: f64 = rows.iter().map(|r| ended(r) * sojourn(r)).sum::<f64>() / total.max(1.0);
    let (mut covariance, mut variance) = (0.0, 0.0);
    for r in rows {
        let x = r.second as f64 - mean_second;
        covariance += ended(r) * x * (sojourn(r) - mean_sojourn);
        variance += ended(r) * x * x;
    }
    let slope = if variance > 0.0 { covariance / variance } else { 0.0 };
    let clear = slope * seconds > RISE_MIN * mean_sojourn;
    let slope = if clear { slope.clamp(0.0, SLOPE_MAX) } else { 0.0 };
    let served: f64 = rows.iter().map(|r| r.sums.requests as f64).sum();
    let best = rows.iter().map(|r| r.sums.requests as f64).fold(0.0, f64::max);
    Arrivals {
        throughput_per_s: served / seconds,
        best_per_s: best - best.sqrt(),
        counted_per_s: (served + refused) / seconds,
        counted: served + refused,
        per_s: (total / (1.0 - slope) + refused) / seconds,
        waiting_grows: slope > 0.0,
        trend_per_s2: 0.0,
        stretch_s: seconds,
        sojourn_s: rows.iter().rev().find(|r| ended(r) > 0.0).map_or(0.0, sojourn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::HealthSums;

    /// A FIFO queue with one server of `capacity` a second fed at `arrivals(t)` a second from an empty start,
    /// as fluid: what its spans say, second by second.
    fn fluid(capacity: f64, arrivals: impl Fn(f64) -> f64, seconds: i64) -> Vec<ServiceSecond> {
        const STEPS: i64 = 1000;
        let mut rows: Vec<ServiceSecond> =
            (0..seconds).map(|second| ServiceSecond { second, ..ServiceSecond::default() }).collect();
        let mut free_at = 0.0_f64;
        let mut carry = 0.0;
        for step in 0..seconds * STEPS {
            let at = step as f64 / STEPS as f64;
            carry += arrivals(at) / STEPS as f64;
            while carry >= 1.0 {
                carry -= 1.0;
                free_at = free_at.max(at) + 1.0 / capacity;
                if let Some(row) = rows.get_mut(free_at as usize) {
                    row.sums.requests += 1;
                    row.sums.sojourn_ns += ((free_at - at) * 1e9) as i64;
                }
            }
        }
        rows
    }

    #[track_caller]
    fn check(capacity: f64, rate: f64) {
        let rows = fluid(capacity, |t| if t < 5.0 { capacity / 2.0 } else { rate }, 12);
        for until in 7..=12 {
            let found = Arrivals::estimate(&rows, until);
            assert!((found.per_s / rate - 1.0).abs() < 0.2, "{found:?} at {until} s for {rate}");
            assert!(found.waiting_grows, "{found:?} at {until} s for {rate}");
        }
        let found = Arrivals::estimate(&rows, 10);
        assert!((found.per_s / rate - 1.0).abs() < 0.1, "{found:?} for {rate}");
        assert!(found.throughput_per_s <= capacity * 1.01);
    }

    #[test]
    fn a_steady_overload_is_seen_behind_the_throughput() {
        check(706.0, 1414.0);
        check(706.0, 2140.0);
        check(706.0, 2702.0);
    }

    #[test]
    fn without_saturation_arrivals_are_throughput() {
        let rows = fluid(1000.0, |_| 500.0, 10);
        let found = Arrivals::estimate(&rows, 10);
        assert!((found.per_s - 500.0).abs() < 10.0 && found.trend_per_s2 == 0.0 && !found.waiting_grows, "{found:?}");
    }

    #[test]
    fn refused_and_given_up_calls_count_as_arrivals() {
        let sums = HealthSums { requests: 100, refused: 300, gave_up: 50, sojourn_ns: 150, ..HealthSums::default() };
        let rows: Vec<_> = (0..4).map(|second| ServiceSecond { second, sums }).collect();
        assert_eq!(Arrivals::estimate(&rows, 4).per_s, 450.0);
    }

    #[test]
    fn a_ramp_shows_its_trend() {
        let rows = fluid(10_000.0, |t| 100.0 + 50.0 * t, 12);
        let found = Arrivals::estimate(&rows, 12);
        assert!((found.trend_per_s2 - 50.0).abs() < 10.0, "{found:?}");
        assert!(found.ahead(3.0) > found.per_s);
    }

    #[test]
    fn a_jump_is_carried_on_no_longer_than_it_lasts() {
        let rows = fluid(10_000.0, |t| if t < 6.0 { 100.0 } else { 500.0 }, 12);
        let found = Arrivals::estimate(&rows, 10);
        assert!(found.ahead(3.0) < 520.0, "four seconds after the jump: {found:?}");
    }

    #[test]
    fn no_spans_no_arrivals() {
        assert_eq!(Arrivals::estimate(&[], 10), Arrivals { stretch_s: FIT_SECONDS as f64, ..Arrivals::default() });
    }
}
