//! Calls by the second in which they ended, and how fast their starts advanced meanwhile.

use std::collections::BTreeMap;

use super::rates::{self, Rate};
use crate::analyse::rollup::started::Ended;
use crate::analyse::rollup::window_totals::ServiceSecond;

/// Parts of the calls by sojourn, each taken for a queue of its own.
const PARTS: usize = 10;
/// Calls of a second below which it has no such parts.
const CALLS_MIN: f64 = 3.0;
/// The slope can come near one (nothing that started lately has ended); beyond this it is a guess.
const SLOPE_MAX: f64 = 0.9;
/// Half the width of a bucket of durations, as a share.
const HALF_BUCKET: f64 = 0.024;
/// Calls in one queue wait for the same: however many there are, the mean of their sojourn is known to this share.
const SHARED_WAIT: f64 = 0.02;
/// Where the parts' slopes differ by so much, as a standard deviation, that much of it may be another mix of calls: half of them
/// that take a second longer at once have the slope of a burst for a second.
const MIXED: f64 = 0.7;
/// A load that nothing is known of but how much of it ended may be twice that, or half (standard deviation of the logarithm).
const UNSEEN: f64 = 0.7;

/// What ended before a second.
#[derive(Clone)]
pub(super) struct Ends<'a> {
    rows: &'a [ServiceSecond],
    until: i64,
    /// By second; of those in which enough ended. Shared by all that look further back.
    sojourns: std::rc::Rc<BTreeMap<i64, Sojourns>>,
}

/// How long the calls took that ended in a second.
#[derive(Clone, Copy, Debug)]
struct Sojourns {
    /// In the middle of each part, in seconds.
    parts: [f64; PARTS],
    /// Of their mean, squared.
    variance: f64,
}

impl Sojourns {
    /// From calls in order of their sojourn.
    fn of(calls: &[&Ended]) -> Option<Sojourns> {
        let all: f64 = calls.iter().map(|e| e.calls as f64).sum();
        if all < CALLS_MIN {
            return None;
        }
        let sum = |of: &dyn Fn(f64) -> f64| calls.iter().map(|e| e.calls as f64 * of(e.sojourn_s)).sum::<f64>();
        let mean = sum(&|s| s) / all;
        let spread = sum(&|s| (s - mean).powi(2)) / all;
        let mut parts = [0.0; PARTS];
        let (mut part, mut seen) = (0, 0.0);
        let place = |part: usize| (part as f64 + 0.5) / PARTS as f64 * all;
        for call in calls {
            let count = call.calls as f64;
            while part < PARTS && place(part) <= seen + count {
                let within = (place(part) - seen) / count; // 0 to 1, evenly over the bucket
                parts[part] = call.sojourn_s * (1.0 + HALF_BUCKET * (2.0 * within - 1.0));
                part += 1;
            }
            seen += count;
        }
        Some(Sojourns { parts, variance: spread / all + (SHARED_WAIT * mean).powi(2) })
    }
}

/// How many more started than ended, over a stretch.
#[derive(Clone, Copy, Debug)]
struct Factor {
    times: f64,
    /// Of its logarithm.
    variance: f64,
}

impl<'a> Ends<'a> {
    /// `ended` in the order of the sojourn within each second; none where calls do not take long.
    pub fn new(rows: &'a [ServiceSecond], until: i64, ended: &[Ended]) -> Ends<'a> {
        let mut by_second: BTreeMap<i64, Vec<&Ended>> = BTreeMap::new();
        for one in ended.iter().filter(|one| one.second < until && one.sojourn_s > 0.0) {
            by_second.entry(one.second).or_default().push(one);
        }
        let sojourns = by_second.into_iter().filter_map(|(second, mut calls)| {
            calls.sort_by(|a, b| a.sojourn_s.total_cmp(&b.sojourn_s));
            Some((second, Sojourns::of(&calls)?))
        });
        Ends { rows, until, sojourns: std::rc::Rc::new(sojourns.collect()) }
    }

    /// As it was so many seconds ago.
    pub fn before(&self, seconds: i64) -> Ends<'a> {
        Ends { until: self.until - seconds, ..self.clone() }
    }

    fn sum(&self, seconds: i64, of: impl Fn(&ServiceSecond) -> i64) -> f64 {
        let stretch = self.until - seconds..self.until;
        self.rows.iter().filter(|row| stretch.contains(&row.second)).map(of).sum::<i64>() as f64
    }

    /// Calls refused, as a rate: they start and end at once.
    pub fn refused(&self, seconds: i64) -> Rate {
        Rate::counted(self.sum(seconds, |row| row.sums.refused), seconds as f64, 0.0)
    }

    /// All that ended, whether or not waiting grew.
    pub fn counted(&self, seconds: i64) -> Rate {
        let ended = |row: &ServiceSecond| row.sums.requests + row.sums.refused + row.sums.gave_up;
        Rate::counted(self.sum(seconds, ended), seconds as f64, 0.0)
    }

    /// Calls that arrived a second, over the starts of what ended in so many seconds.
    pub fn rate(&self, seconds: i64) -> Rate {
        let counted = self.counted(seconds);
        let Some(factor) = self.factor(seconds) else { return counted };
        // Starts advance from the middle of one second to the middle of another: between them lie half of what ended in
        // these, and all in between.
        let taken = |row: &ServiceSecond| row.sums.requests + row.sums.gave_up;
        let between = (self.sum(seconds, taken) + self.before(1).sum(seconds, taken)) / 2.0;
        let ended = Rate::counted(between, seconds as f64, 0.0);
        let variance = ended.variance + factor.variance;
        let started = Rate { per_s: ended.per_s * factor.times, variance, ..ended }.and(self.refused(seconds));
        let age_s = if factor.times > 1.0 { self.sojourn_s(1) } else { 0.0 };
        Rate { age_s, ..started }
    }

    /// The longest of these stretches that no shorter one contradicts, weighed with what was counted over it.
    pub fn likely_rate(&self, stretches: &[i64]) -> Rate {
        let rates: Vec<Rate> = stretches.iter().map(|seconds| self.rate(*seconds)).collect();
        let rate = rates::longest(&rates);
        let counted = self.counted(rate.seconds as i64);
        if rate.per_s == counted.per_s { rate } else { rate.weighed_with(Rate { variance: UNSEEN * UNSEEN, ..counted }) }
    }

    fn factor(&self, seconds: i64) -> Option<Factor> {
        let last = self.sojourns.get(&(self.until - 1))?;
        let first = self.sojourns.get(&(self.until - 1 - seconds))?;
        let slopes: Vec<f64> = last
            .parts
            .iter()
            .zip(first.parts)
            .map(|(last, first)| ((last - first) / seconds as f64).clamp(-SLOPE_MAX, SLOPE_MAX))
            .collect();
        let mean = |of: &dyn Fn(f64) -> f64| slopes.iter().map(|slope| of(*slope)).sum::<f64>() / PARTS as f64;
        let times = mean(&|slope| 1.0 / (1.0 - slope));
        let steepness = mean(&|slope| 1.0 / (1.0 - slope).powi(2)) / times;
        let usual = mean(&|slope| slope);
        let spread = mean(&|slope| (slope - usual).powi(2));
        let error = (last.variance + first.variance + MIXED * MIXED * spread) / (seconds * seconds) as f64;
        Some(Factor { times, variance: error * steepness * steepness })
    }

    /// Mean sojourn of what ended in so many seconds.
    pub fn sojourn_s(&self, seconds: i64) -> f64 {
        self.mean_s(seconds, |row| row.sums.sojourn_ns)
    }

    /// By how much it grew over them.
    pub fn growth_s(&self, seconds: i64) -> f64 {
        self.growth_of(seconds, |row| row.sums.sojourn_ns)
    }

    /// … and the part of it that lies inside the service's own spans.
    pub fn hold_growth_s(&self, seconds: i64) -> f64 {
        self.growth_of(seconds, |row| row.sums.sojourn_ns - row.sums.wait_ns)
    }

    fn mean_s(&self, seconds: i64, of: impl Fn(&ServiceSecond) -> i64) -> f64 {
        let calls = self.sum(seconds, |row| row.sums.requests + row.sums.gave_up);
        self.sum(seconds, of) / 1e9 / calls.max(1.0)
    }

    /// Of a mean, between the halves of the stretch, carried on to its whole length. Zero where a half has no call.
    fn growth_of(&self, seconds: i64, of: impl Fn(&ServiceSecond) -> i64) -> f64 {
        let half = seconds / 2;
        let calls = |ends: &Ends<'_>| ends.sum(half, |row| row.sums.requests + row.sums.gave_up);
        let earlier = self.before(half);
        if calls(self) == 0.0 || calls(&earlier) == 0.0 {
            return 0.0;
        }
        2.0 * (self.mean_s(half, &of) - earlier.mean_s(half, &of))
    }
}
