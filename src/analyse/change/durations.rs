//! Histograms of the logarithm of durations: what a mean of logs and its variance need, mergeable by adding counts.
//!
//! [`crate::analyse::statistics::histogram`] answers quantiles; here equal *ratios* must weigh the same over nine orders of
//! magnitude, so buckets are even in the logarithm, and "no positive duration" is a bucket of its own.

use std::collections::BTreeMap;

/// Sub-buckets an octave: each 9 % wide, so that reading a bucket's middle errs by 4.5 % at most, well below the
/// 10 % by which healthy time drifts anyway (`Parameters::drift`).
const SUB: f64 = 8.0;

/// The bucket of everything that is not a positive duration.
const NONE: i16 = -1;

/// Durations in nanoseconds, as counts a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations(BTreeMap<i16, u64>);

/// Count, mean and variance of `ln(duration + floor)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    pub count: f64,
    pub mean: f64,
    pub variance: f64,
}

impl Durations {
    pub fn add(&mut self, nanos: i64) {
        let bucket = if nanos >= 1 { (SUB * (nanos as f64).log2()).floor() as i16 } else { NONE };
        *self.0.entry(bucket).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Durations) {
        for (&bucket, &count) in &other.0 {
            *self.0.entry(bucket).or_default() += count;
        }
    }

    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The middle of each bucket in nanoseconds with its count, shortest first.
    pub fn rows(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.0.iter().map(|(&bucket, &count)| (middle_ns(bucket), count))
    }

    /// The duration that a share `q` does not exceed, in nanoseconds; None when empty.
    pub fn quantile_ns(&self, q: f64) -> Option<f64> {
        let wanted = q * self.count() as f64;
        let mut seen = 0;
        self.rows().find_map(|(value, count)| {
            seen += count;
            (seen as f64 >= wanted).then_some(value)
        })
    }

    /// Mean in nanoseconds; 0 when empty.
    pub fn mean_ns(&self) -> f64 {
        let sum: f64 = self.rows().map(|(value, count)| value * count as f64).sum();
        sum / (self.count() as f64).max(1.0)
    }

    /// How many lie above a bound.
    pub fn above(&self, bound_ns: f64) -> u64 {
        self.rows().filter(|(value, _)| *value > bound_ns).map(|(_, count)| count).sum()
    }

    /// Without what is no positive duration: a negative gap (asynchronous, or the caller gave up first) is no
    /// measurement of waiting.
    pub fn positive(&self) -> Durations {
        Durations(self.0.iter().filter(|(bucket, _)| **bucket != NONE).map(|(b, c)| (*b, *c)).collect())
    }

    /// Without its largest value, where there are at least `least`: one slow call is never a fault.
    pub fn trimmed(&self, least: u64) -> Durations {
        let mut rest = self.clone();
        if self.count() >= least
            && let Some(mut longest) = rest.0.last_entry()
        {
            *longest.get_mut() -= 1;
            if *longest.get() == 0 {
                longest.remove();
            }
        }
        rest
    }

    /// `floor_ns` must be positive, so that the logarithm of nothing is finite.
    pub fn moments(&self, floor_ns: f64) -> Moments {
        let (mut sum, mut squares) = (0.0, 0.0);
        for (value, count) in self.rows() {
            let log = (value + floor_ns).ln();
            sum += log * count as f64;
            squares += log * log * count as f64;
        }
        let count = (self.count() as f64).max(1.0);
        let mean = sum / count;
        Moments { count: self.count() as f64, mean, variance: (squares / count - mean * mean).max(0.0) }
    }
}

impl FromIterator<i64> for Durations {
    fn from_iter<I: IntoIterator<Item = i64>>(nanos: I) -> Durations {
        let mut durations = Durations::default();
        nanos.into_iter().for_each(|n| durations.add(n));
        durations
    }
}

fn middle_ns(bucket: i16) -> f64 {
    if bucket == NONE { 0.0 } else { ((f64::from(bucket) + 0.5) / SUB).exp2() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_slow_call_is_trimmed_and_two_are_not() {
        let durations: Durations = [10, 10, 1_000_000].into_iter().collect();
        assert_eq!(durations.trimmed(3), [10, 10].into_iter().collect());
        assert_eq!(durations.trimmed(4), durations);
        assert_eq!(Durations::default().trimmed(0), Durations::default());
    }

    #[test]
    fn what_is_no_duration_counts_as_nothing() {
        let durations: Durations = [-5, 0, 100].into_iter().collect();
        assert_eq!(durations.count(), 3);
        assert_eq!(durations.positive(), [100].into_iter().collect());
        assert_eq!(durations.quantile_ns(0.5), Some(0.0));
        assert_eq!(Durations::default().quantile_ns(0.5), None);
    }

    proptest! {
        #[test]
        fn a_bucket_errs_by_less_than_five_percent(nanos in 1..i64::MAX) {
            let read = [nanos].into_iter().collect::<Durations>().quantile_ns(0.5).unwrap();
            prop_assert!((read / nanos as f64).ln().abs() < 0.05);
        }

        #[test]
        fn stretching_moves_the_mean_log_and_keeps_the_spread(nanos in proptest::collection::vec(1_000..1_000_000_i64, 1..50)) {
            let short: Durations = nanos.iter().copied().collect();
            let long: Durations = nanos.iter().map(|n| n * 4).collect();
            let (a, b) = (short.moments(100.0), long.moments(400.0));
            prop_assert!((b.mean - a.mean - 4.0_f64.ln()).abs() < 1e-9);
            prop_assert!((b.variance - a.variance).abs() < 1e-9);
        }
    }
}
