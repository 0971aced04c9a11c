//! A series with what forecasts of it rest on: local time, the same hours of earlier weeks, sums over spans of time, and what
//! events of a kind have brought. Made once for what is known at a time; rows of features are read from it.

use super::calendar::{Calendar, Moment, moments, weeks_before};
use super::events::{EventProfiles, nearest};
use super::quantiles::empirical;
use super::series::Series;

/// How many weeks a season is looked for in: the fourth is a month ago, and habits of a term change within one.
pub(super) const WEEKS: usize = 4;

/// The longest horizon, in weeks: past that a planned event says more than a habit.
pub(super) const HORIZON_WEEKS_MAX: usize = 2;

/// What is added to counts before their logarithm is taken, as a share of the usual: so that a quiet hour weighs little.
const FLOOR_SHARE: f64 = 0.05;

/// And at the least, in requests: between none and one there is no trend.
const FLOOR_REQUESTS: f64 = 0.5;

/// Of one series.
pub(super) struct Frame<'s> {
    pub series: &'s Series,
    pub moments: Vec<Moment>,
    /// The mean of the last four same hours of the week, from one week ago on and from two weeks ago on, with events.
    seasonal: [Vec<f32>; HORIZON_WEEKS_MAX],
    /// What planned events are to bring, and what they may bring, in requests.
    pub expected: Vec<[f32; 2]>,
    /// Whether an event touches a bucket.
    touched: Vec<bool>,
    /// Of each bucket: minutes to the start of the nearest event, and its participants.
    pub near: Vec<[f32; 2]>,
    /// `sums[i]` is over the buckets before `i`: known requests, how many are known, and the seasonal mean where both are.
    sums: Vec<[f64; 4]>,
}

/// Means over a span of buckets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub mean: f64,
    /// The seasonal mean over the same buckets.
    pub seasonal: f64,
    pub known: f64,
}

impl<'s> Frame<'s> {
    /// What events bring is learnt of what lies before `learn_until`.
    pub(super) fn new(series: &'s Series, calendar: &Calendar, learn_until: usize) -> Frame<'s> {
        let ahead = HORIZON_WEEKS_MAX * series.step().a_week() + 1;
        let moments = moments(series, ahead, calendar);
        let touched = EventProfiles::touched(series, ahead, calendar);
        let plain: Vec<Vec<f32>> =
            (1..=HORIZON_WEEKS_MAX).map(|from| seasonal(series, &moments, from, &touched)).collect();
        let profiles = EventProfiles::learn(series, calendar, &plain[0], learn_until);
        let expected = profiles.expected(series, ahead, calendar);
        let with_events =
            |plain: &Vec<f32>| plain.iter().zip(&expected).map(|(plain, more)| plain + more[0]).collect::<Vec<f32>>();
        let seasonal: [Vec<f32>; HORIZON_WEEKS_MAX] = [with_events(&plain[0]), with_events(&plain[1])];
        let mut sums = vec![[0.0; 4]; series.len() + 1];
        for index in 0..series.len() {
            let mut next = sums[index];
            if let Some(value) = series.at(index) {
                next[0] += value;
                next[1] += 1.0;
                let usual = f64::from(seasonal[0][index]);
                if usual.is_finite() {
                    next[2] += usual;
                    next[3] += value;
                }
            }
            sums[index + 1] = next;
        }
        let near = nearest(series, ahead, calendar);
        Frame { series, moments, seasonal, expected, touched, near, sums }
    }

    /// Over the `length` buckets before `end`, as far as there are so many.
    pub(super) fn span(&self, end: usize, length: usize) -> Span {
        let end = end.min(self.series.len());
        let from = end.saturating_sub(length);
        let [sum, known, seasonal, beside] = std::array::from_fn(|part| self.sums[end][part] - self.sums[from][part]);
        let mean = if known > 0.0 { sum / known } else { f64::NAN };
        // Only over what has both, else a week without seasonal mean would look like a surge.
        let seasonal = if beside > 0.0 && seasonal > 0.0 { mean * seasonal / beside } else { f64::NAN };
        Span { mean, seasonal, known }
    }

    /// Requests a bucket in the last month before `origin`.
    pub(super) fn level(&self, origin: usize) -> f64 {
        let mean = self.span(origin, WEEKS * self.series.step().a_week()).mean;
        if mean.is_finite() { mean } else { 0.0 }
    }

    pub(super) fn floor(level: f64) -> f64 {
        FLOOR_SHARE * level + FLOOR_REQUESTS
    }

    /// What was usual for a bucket, as known before `origin`: the seasonal mean, else the usual of all hours.
    pub(super) fn usual(&self, origin: usize, target: usize) -> f64 {
        let weeks = (target - origin) / self.series.step().a_week();
        let usual = self.seasonal[weeks.min(HORIZON_WEEKS_MAX - 1)].get(target).copied().unwrap_or(f32::NAN);
        if usual.is_finite() {
            f64::from(usual)
        } else {
            self.level(origin) + self.expected.get(target).map_or(0.0, |more| f64::from(more[0]))
        }
    }

    /// The same bucket of the `n`th week before, if it was known before `origin`.
    pub(super) fn same_hour(&self, origin: usize, target: usize, n: usize) -> Option<f64> {
        let weeks = (target - origin) / self.series.step().a_week() + n;
        let before = weeks_before(&self.moments, target, weeks, self.series)?;
        if before < origin { self.series.at(before) } else { None }
    }

    /// Whether planned events are to bring something in a bucket.
    pub(super) fn is_planned(&self, target: usize) -> bool {
        self.expected.get(target).is_some_and(|more| more[0] > 0.0)
    }

    /// Whether an event touched the same bucket of one of the last four weeks.
    pub(super) fn was_planned(&self, origin: usize, target: usize) -> bool {
        let first = (target - origin) / self.series.step().a_week() + 1;
        let mut before =
            (first..first + WEEKS).filter_map(|weeks| weeks_before(&self.moments, target, weeks, self.series));
        before.any(|before| self.touched[before])
    }

    /// What came in the same hours of the week: the last four of them, every bucket of each; without those that an event touched, if they are
    /// not wanted.
    pub(super) fn same_hours(&self, origin: usize, target: usize, with_events: bool) -> Vec<f64> {
        let step = self.series.step();
        let into_hour = (self.series.second_of(target).rem_euclid(3_600) / step.seconds()) as usize;
        let mut found = Vec::with_capacity(WEEKS * step.an_hour());
        let first = (target - origin) / step.a_week() + 1;
        let (mut weeks, mut hours) = (first, 0);
        while hours < WEEKS && weeks < first + 2 * WEEKS {
            if let Some(before) = weeks_before(&self.moments, target, weeks, self.series) {
                let begin = before.saturating_sub(into_hour);
                let known = found.len();
                found.extend(
                    (begin..begin + step.an_hour())
                        .filter(|index| *index < origin && (with_events || !self.touched[*index]))
                        .filter_map(|index| self.series.at(index)),
                );
                hours += usize::from(found.len() > known);
            }
            weeks += 1;
        }
        found
    }
}

/// The middle of the last four same buckets of the week, from `first` weeks ago on: a mean would repeat each burst four times. Buckets
/// that an event touched are left out, as what an event brings is another question. NaN where none is known.
fn seasonal(series: &Series, moments: &[Moment], first: usize, touched: &[bool]) -> Vec<f32> {
    let middle = |target: usize| {
        let mut same = [0.0; WEEKS];
        let mut known = 0;
        // A holiday or a hole may have taken a week: up to eight are looked at.
        for weeks in first..first + 2 * WEEKS {
            let Some(before) = weeks_before(moments, target, weeks, series) else { break };
            if let Some(value) = series.at(before).filter(|_| !touched[before]) {
                same[known] = value;
                known += 1;
            }
            if known == WEEKS {
                break;
            }
        }
        let same = &mut same[..known];
        same.sort_by(f64::total_cmp);
        if known == 0 { f32::NAN } else { empirical(same, 0.5) as f32 }
    };
    (0..moments.len()).map(middle).collect()
}
