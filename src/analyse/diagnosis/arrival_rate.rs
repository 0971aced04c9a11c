//! Arrivals of a service, from spans that are only sent when they end.
//!
//! What ends in a second is what arrives only while waiting neither grows nor shrinks. So calls are counted by the time
//! at which they *started*: all that started before what ends now, are seen. That is a count, whatever the queue. Where
//! waiting grows, its slope tells of more: with mean sojourn `T` of the calls that end at `e`, starts advance by `de - dT`, so
//! throughput / (1 - dT/de) arrive, behind a queue as behind shared processors. A slope is noise where little is counted
//! and nonsense where a backlog drains, so it only adds to counts, within bounds.

use crate::analyse::rollup::started::{Ended, Started};
use crate::analyse::rollup::window_totals::ServiceSecond;
use crate::analyse::statistics::interval::{BOUNDS, Interval};

/// The slope can come near one (nothing that started lately has ended); beyond this the estimate is a guess.
const SLOPE_MAX: f64 = 0.9;
/// A slope whose rise over the stretch is below this share of the mean sojourn is noise.
const RISE_MIN: f64 = 0.2;
/// Calls may have arrived this many times as often as they were counted, on the word of a slope alone. Less, and a queue
/// of patient callers is ordered for in many steps; more, and one noisy slope orders for all.
const SLOPE_SUPPORT: f64 = 2.0;
/// Shared processors do at most so many times what ends: more is the word of one noisy slope.
const SHARED_MAX: f64 = 2.5;
/// What a slope adds may be this many times as much: where processors are shared, small requests end first, and the rest
/// shows late.
const DOUBT: f64 = 1.6;
/// Seconds that a rate is the mean of: enough for a line, short enough for a burst …
const SECONDS: i64 = 4;
/// … and fewer, where these clearly tell of more: a load that jumped a second ago is not to be averaged with the calm
/// before.
const JUMP_SECONDS: [i64; 2] = [2, 1];
/// Standard deviations of Poisson noise that a jump or a trend must stand clear of.
const DEVIATIONS: f64 = 3.0;
/// Beside chance, rates within seconds and the times of a histogram differ by so much, as a share (standard deviation).
const DRIFT: f64 = 0.05;
/// The share of the calls ending now that must have started after a time for that time to count as complete.
const COMPLETE: f64 = 0.9;
/// A sojourn that falls by this share within the stretch means that a backlog drains: more ends than arrives.
const DRAINS: f64 = 0.1;
/// … if it falls by this much at least.
const DRAINS_S: f64 = 0.1;
/// The share of calls that nobody answers above which a slope says nothing: who gives up bounds what can be waited.
const UNANSWERED: f64 = 0.1;
/// A trend is believed up to this factor per look ahead: in the few seconds of lag a load seldom grows by more, and one
/// that levels off meanwhile is overshot by no more.
const TREND_FACTOR_MAX: f64 = 1.3;

/// Arrivals a second at one service.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Arrivals {
    /// Requests served a second (ended, not refused).
    pub throughput_per_s: f64,
    /// Requests served in the best second, less the deviation that chance gives it.
    pub best_per_s: f64,
    /// With those refused: what was counted, and nothing estimated. Calls that were given up are left out: who repeats
    /// them makes more of the same load.
    pub counted_per_s: f64,
    /// So many were counted: noise is that of what was counted, whatever each stands for.
    pub counted: f64,
    /// Calls that arrived a second, for the start times described: answered or not.
    pub per_s: Interval,
    /// Growth of that rate, per second of time; zero unless it clearly grows.
    pub trend_per_s2: f64,
    /// How long before the last complete second the stretch described ended.
    pub age_s: f64,
    /// Length of the stretch described, in seconds.
    pub stretch_s: f64,
    /// A backlog drains: more ends than arrives.
    pub drains: bool,
    /// What its processors would end a second, over what they do: while more and more requests share them, a part of their
    /// work is in requests that have not ended.
    pub shared_factor: f64,
}

/// What the seconds of a stretch say, by the time at which calls ended.
#[derive(Clone, Copy, Debug, Default)]
struct ByEnd {
    served: f64,
    refused: f64,
    gave_up: f64,
    seconds: f64,
    /// Growth of the mean sojourn, in seconds per second.
    slope: Slope,
    /// … and of its part inside the service's own spans.
    hold_slope: f64,
    sojourn_s: f64,
}

impl ByEnd {
    fn of(rows: &[ServiceSecond]) -> ByEnd {
        let sum = |of: fn(&ServiceSecond) -> i64| rows.iter().map(of).sum::<i64>() as f64;
        let all = rows.iter().map(ended).sum::<f64>();
        let hold_s = |r: &ServiceSecond| (r.sums.sojourn_ns - r.sums.wait_ns) as f64 / 1e9 / ended(r).max(1.0);
        ByEnd {
            served: sum(|r| r.sums.requests),
            refused: sum(|r| r.sums.refused),
            gave_up: sum(|r| r.sums.gave_up),
            seconds: rows.len().max(1) as f64,
            slope: Slope::of(rows, |r| r.sums.sojourn_ns as f64 / 1e9 / ended(r).max(1.0)),
            hold_slope: Slope::of(rows, hold_s).rise,
            sojourn_s: sum(|r| r.sums.sojourn_ns) / 1e9 / all.max(1.0),
        }
    }

    fn calls(&self) -> f64 {
        self.served + self.refused + self.gave_up
    }

    fn per_s(&self) -> f64 {
        self.calls() / self.seconds
    }

    /// The sojourn falls clearly.
    fn drains(&self) -> bool {
        -self.slope.rise * self.seconds > DRAINS_S.max(DRAINS * self.sojourn_s)
    }

    /// What growing waiting says beyond what ended; one where it says nothing.
    fn slope_factors(&self) -> Interval {
        let is_clear = self.slope.rise * self.seconds > RISE_MIN * self.sojourn_s;
        if !is_clear || self.refused + self.gave_up > UNANSWERED * self.calls() {
            return Interval::exactly(1.0);
        }
        let factor = |slope: f64| 1.0 / (1.0 - slope.clamp(0.0, SLOPE_MAX));
        let Slope { rise, error } = self.slope;
        let middle = factor(rise);
        let high = factor(rise + BOUNDS * error).max(1.0 + DOUBT * (middle - 1.0));
        Interval { low: 1.0, middle, high }
    }
}

fn ended(row: &ServiceSecond) -> f64 {
    (row.sums.requests + row.sums.gave_up) as f64
}

#[derive(Clone, Copy, Debug, Default)]
struct Slope {
    rise: f64,
    /// Its standard error.
    error: f64,
}

impl Slope {
    /// Least squares over the second of the end, weighted by calls.
    fn of(rows: &[ServiceSecond], value: impl Fn(&ServiceSecond) -> f64) -> Slope {
        let total: f64 = rows.iter().map(ended).sum();
        let mean_second: f64 = rows.iter().map(|r| ended(r) * r.second as f64).sum::<f64>() / total.max(1.0);
        let mean: f64 = rows.iter().map(|r| ended(r) * value(r)).sum::<f64>() / total.max(1.0);
        let x = |r: &ServiceSecond| r.second as f64 - mean_second;
        let sum = |of: &dyn Fn(&ServiceSecond) -> f64| rows.iter().map(|r| ended(r) * of(r)).sum::<f64>();
        let variance = sum(&|r| x(r) * x(r));
        if variance == 0.0 {
            return Slope::default();
        }
        let rise = sum(&|r| x(r) * (value(r) - mean)) / variance;
        let rest = sum(&|r| (value(r) - mean - rise * x(r)).powi(2));
        let free = rows.len().saturating_sub(2).max(1) as f64;
        Slope { rise, error: (rest / free / variance).sqrt() }
    }
}

/// A count over a stretch.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    calls: f64,
    seconds: f64,
    /// How long before the last complete second the stretch ends.
    age_s: f64,
}

impl Counted {
    fn per_s(self) -> f64 {
        self.calls / self.seconds
    }

    fn bounds(self) -> Interval {
        Interval::of_count(self.calls, DRIFT).times(1.0 / self.seconds)
    }

    /// Of stretches that end together, the shorter where it clearly tells of more.
    fn latest(count: impl Fn(i64) -> Counted) -> Counted {
        let clearly_more = |short: Counted, long: Counted| {
            short.per_s() - long.per_s() > DEVIATIONS * (short.per_s().max(1.0) / short.seconds).sqrt()
        };
        JUMP_SECONDS.into_iter().fold(count(SECONDS), |longer, seconds| {
            let shorter = count(seconds);
            if clearly_more(shorter, longer) { shorter } else { longer }
        })
    }

    /// Growth up to now, per second of time: clear of Poisson noise over two whole stretches, and no more than between
    /// the halves of the last one, as one that levels off is not to be carried on.
    fn trend(count: impl Fn(i64, i64) -> Counted) -> f64 {
        let growth = |seconds: i64| {
            let (now, before) = (count(0, seconds), count(seconds, seconds));
            let noise = (now.per_s() / now.seconds + before.per_s() / before.seconds).sqrt();
            (now.per_s() - before.per_s(), noise, before.calls)
        };
        let (all, noise, before) = growth(SECONDS);
        let (lately, ..) = growth(SECONDS / 2);
        if before == 0.0 || all <= DEVIATIONS * noise {
            return 0.0;
        }
        (all / SECONDS as f64).min(lately / (SECONDS / 2) as f64).max(0.0)
    }
}

impl Arrivals {
    /// Estimates from consecutive complete seconds, oldest first; `until` is the first second not complete. Seconds
    /// without a row had no request. `ended` is asked for where calls take long: then those that end are not those that
    /// start. `has_grown` where pods came lately, which work off what waited for the others.
    pub fn estimate(rows: &[ServiceSecond], until: i64, ended: Option<&[Ended]>, has_grown: bool) -> Arrivals {
        let last = |to: i64, seconds: i64| last_seconds(rows, to, seconds);
        let steady = ByEnd::of(&last(until, SECONDS));
        let drains = has_grown || steady.drains();
        let by_end = |to: i64, seconds: i64| {
            let of = ByEnd::of(&last(to, seconds));
            Counted { calls: of.calls(), seconds: of.seconds, age_s: 0.0 }
        };
        let ending = Counted::latest(|seconds| by_end(until, seconds));
        let seconds = SECONDS as f64;
        let mut of = Arrivals {
            throughput_per_s: steady.served / seconds,
            best_per_s: best(&last(until, SECONDS)),
            counted_per_s: (steady.served + steady.refused) / seconds,
            counted: steady.served + steady.refused,
            per_s: ending.bounds(),
            trend_per_s2: Counted::trend(|ago, seconds| by_end(until - ago, seconds)),
            age_s: 0.0,
            stretch_s: ending.seconds,
            drains,
            shared_factor: shared_factor(steady.hold_slope),
        };
        let started = ended.and_then(|ended| Started::of(ended, until, COMPLETE));
        if let Some(started) = &started {
            let count = |to_s: f64, seconds: i64| Counted {
                calls: started.between(to_s - seconds as f64, to_s),
                seconds: seconds as f64,
                age_s: until as f64 - to_s,
            };
            let to_s = started.complete_to_s;
            let starting = Counted::latest(|seconds| count(to_s, seconds));
            // By the end alone, a load would seem to grow when the first callers give up.
            of.trend_per_s2 = Counted::trend(|ago, seconds| count(to_s - ago as f64, seconds));
            // While a backlog drains more ends than arrives; else nobody ends who did not arrive.
            if drains || starting.per_s() > ending.per_s() {
                (of.age_s, of.stretch_s) = (starting.age_s, starting.seconds);
            }
            of.per_s = if drains { starting.bounds() } else { starting.bounds().at_least(of.per_s) };
        }
        if !drains {
            of.hear_slope(&ByEnd::of(&last(until, ending.seconds.max(2.0) as i64)));
        }
        of
    }

    /// What growing waiting adds, as far as counts bear it out.
    fn hear_slope(&mut self, by_end: &ByEnd) {
        let factors = by_end.slope_factors();
        let of_slope = factors.times(by_end.per_s());
        let most = SLOPE_SUPPORT * self.per_s.middle;
        let told = Interval { low: 0.0, middle: of_slope.middle.min(most), high: of_slope.high.min(DOUBT * most) };
        self.per_s = self.per_s.at_least(told);
    }

    /// The same, when each request that was counted stands for `weight` of them.
    pub fn weighted(self, weight: f64) -> Arrivals {
        Arrivals {
            throughput_per_s: self.throughput_per_s * weight,
            best_per_s: self.best_per_s * weight,
            counted_per_s: self.counted_per_s * weight,
            per_s: self.per_s.times(weight),
            trend_per_s2: self.trend_per_s2 * weight,
            ..self
        }
    }

    /// The rate expected `ahead_s` after the last complete second. The estimate speaks of the middle of its stretch.
    pub fn ahead(&self, ahead_s: f64) -> Interval {
        let Interval { low, middle, high } = self.per_s;
        let grown = |rate: f64| {
            let grows = self.trend_per_s2 * (ahead_s + self.age_s + self.stretch_s / 2.0);
            (rate + grows).min(rate * TREND_FACTOR_MAX)
        };
        // A trend may end at any time: what is sure has arrived.
        Interval { low, middle: grown(middle), high: grown(high) }
    }
}

/// With a load of (1 + r) times what they can do, shared processors end the share (1 + r) exp(-r) of what they do, and the
/// sojourn of what ends grows by 1 - exp(-r) a second, where all requests are the same work. Small ones end first, so where
/// they differ by some two fifths more is left in those that have not ended: the tests' queues say by the power of 1.5.
fn shared_factor(hold_slope: f64) -> f64 {
    let left = 1.0 - hold_slope.clamp(0.0, SLOPE_MAX);
    (1.0 / (left * (1.0 - left.ln()))).powf(1.5).min(SHARED_MAX)
}

fn last_seconds(rows: &[ServiceSecond], until: i64, count: i64) -> Vec<ServiceSecond> {
    let from = until - count;
    (from..until)
        .map(|second| {
            let found = rows.iter().find(|r| r.second == second);
            found.copied().unwrap_or(ServiceSecond { second, ..ServiceSecond::default() })
        })
        .collect()
}

fn best(rows: &[ServiceSecond]) -> f64 {
    let best = rows.iter().map(|r| r.sums.requests as f64).fold(0.0, f64::max);
    best - best.sqrt()
}

#[cfg(test)]
mod tests;
