//! Arrivals of a service, from spans that are only sent when they end.
//!
//! What ends in a second is what arrives only while waiting neither grows nor shrinks. While it grows, starts advance more
//! slowly than ends: with sojourn `T` of the calls that end at `e`, by `de - dT`, so throughput / (1 - dT/de) arrive. That holds
//! for calls that keep their order, as they do in a queue; calls of one size keep it where processors are shared, too. So
//! each tenth of the calls by sojourn is taken for a queue of its own ([`ends`]): a mean would call it growth of
//! all when a few wait ever longer.
//!
//! Growth of waiting is known to an error, and what was counted is not: the estimate lies between both, by how well each is known.
//! While a backlog drains, and while new pods work beside old ones that have one, calls are counted by the time at which
//! they *started* instead, up to the time from which nearly all have ended.

mod ends;
mod rates;

use self::ends::Ends;
use self::rates::Rate;
use crate::analyse::rollup::started::{Ended, Started};
use crate::analyse::rollup::window_totals::ServiceSecond;
use crate::analyse::statistics::interval::Interval;

/// Seconds that throughput is the mean of: enough for a line, short enough for a burst.
const SECONDS: i64 = 4;
/// The stretches that a rate may be taken over. The longest counts that no shorter one contradicts: a load that jumped a second ago
/// is not to be averaged with the calm before, and a steady one need not be told from one second.
const STRETCHES: [i64; 5] = [1, 2, 3, 4, 6];
/// The share of the calls ending now that must have started after a time for that time to count as complete.
const COMPLETE: f64 = 0.9;
/// A sojourn that falls by this share within `SECONDS` means that a backlog drains: more ends than arrives.
const DRAINS: f64 = 0.1;
/// … if it falls by this much at least.
const DRAINS_S: f64 = 0.1;
/// Standard deviations of Poisson noise that a trend must stand clear of.
const DEVIATIONS: f64 = 3.0;
/// A trend is believed up to this factor per look ahead: in the few seconds of lag a load seldom grows by more, and one
/// that levels off meanwhile is overshot by no more.
const TREND_FACTOR_MAX: f64 = 1.3;
/// A slope of the time in service is heard up to this …
const SLOPE_MAX: f64 = 0.9;
/// … and shared processors do at most so many times what ends: more is the word of one noisy slope.
const SHARED_MAX: f64 = 2.5;

/// Whether the pods that were ordered for a service have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scaling {
    /// All came long ago.
    #[default]
    Settled,
    /// Some are on their way, and none came lately.
    Coming,
    /// Some came lately, and work off what waited for the others.
    Came,
}

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

impl Arrivals {
    /// Estimates from consecutive complete seconds, oldest first; `until` is the first second not complete. Seconds
    /// without a row had no request. `ended` is asked for where calls take long: then those that end are not those that
    /// start.
    pub fn estimate(rows: &[ServiceSecond], until: i64, ended: Option<&[Ended]>, scaling: Scaling) -> Arrivals {
        let ends = Ends::new(rows, until, ended.unwrap_or_default());
        let drains =
            scaling == Scaling::Came || -ends.growth_s(SECONDS) > DRAINS_S.max(DRAINS * ends.sojourn_s(SECONDS));
        let started = ended.and_then(|ended| Started::of(ended, until, COMPLETE)).filter(|_| drains);
        let rate = match &started {
            Some(started) => starting(started, &ends, until),
            None if drains => rates::longest(&STRETCHES.map(|seconds| ends.counted(seconds))),
            None => ends.likely_rate(&STRETCHES),
        };
        let recent = last_seconds(rows, until, SECONDS);
        let sum = |of: fn(&ServiceSecond) -> i64| recent.iter().map(of).sum::<i64>() as f64;
        let (served, refused, seconds) = (sum(|r| r.sums.requests), sum(|r| r.sums.refused), SECONDS as f64);
        Arrivals {
            throughput_per_s: served / seconds,
            best_per_s: best(&recent),
            counted_per_s: (served + refused) / seconds,
            counted: served + refused,
            per_s: rate.interval(),
            trend_per_s2: if drains { 0.0 } else { trend(&ends) },
            age_s: rate.age_s,
            stretch_s: rate.seconds,
            drains,
            shared_factor: shared_factor(ends.hold_growth_s(SECONDS) / seconds),
        }
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

/// Calls by their start, up to where nearly all have ended; and at least those that have started and ended since, of which
/// more are to come.
fn starting(started: &Started<'_>, ends: &Ends<'_>, until: i64) -> Rate {
    let count = |to_s: f64, seconds: i64| {
        let calls = started.between(to_s - seconds as f64, to_s);
        Rate::counted(calls, seconds as f64, until as f64 - to_s)
    };
    let refused = ends.refused(SECONDS);
    let complete = rates::longest(&STRETCHES.map(|seconds| count(started.complete_to_s, seconds))).and(refused);
    // In the last second most have not ended even where nobody waits.
    let since = count(until as f64 - 1.0, 2).and(refused);
    if since.per_s > complete.per_s { since } else { complete }
}

/// Growth up to now, per second of time: clear of noise over two whole stretches, and no more than between the halves of the
/// last one, as one that levels off is not to be carried on.
fn trend(ends: &Ends<'_>) -> f64 {
    let growth = |seconds: i64| {
        let (now, before) = (ends.likely_rate(&[seconds]), ends.before(seconds).likely_rate(&[seconds]));
        (now.per_s - before.per_s, now.error().hypot(before.error()), before.per_s)
    };
    let (all, noise, before) = growth(SECONDS);
    let (lately, ..) = growth(SECONDS / 2);
    if before == 0.0 || all <= DEVIATIONS * noise {
        return 0.0;
    }
    (all / SECONDS as f64).min(lately / (SECONDS / 2) as f64).max(0.0)
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
