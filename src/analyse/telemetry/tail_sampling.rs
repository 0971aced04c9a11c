//! Tail sampling that does not say so, seen in the shape of durations.
//!
//! A tail sampler keeps all traces that are slower than a bound and few of the others. Of what it lets through, the count of
//! durations leaps at the bound: from one bucket of 4 % to the next it grows by a factor, and what lies above falls off
//! slowly. What systems do by themselves leaps so only at a time-out, where nearly all that lies above is in one bucket.

use std::collections::BTreeMap;

use crate::analyse::statistics::histogram::upper_ns;
use crate::analyse::thresholds::telemetry::tail_sampling::{
    ABOVE_SHARE_MIN, BESIDE, HEIGHT_MIN, LEAP, NEXT_SHARE_MAX, REQUESTS_MIN,
};

/// The duration in nanoseconds at which counts leap, if they do; buckets with their counts.
pub fn leap_ns(durations: &BTreeMap<i32, i64>) -> Option<i64> {
    let all: i64 = durations.values().sum();
    if all < REQUESTS_MIN {
        return None;
    }
    let of = |bucket: i32| durations.get(&bucket).copied().unwrap_or(0);
    let within = |from: i32, to: i32| -> i64 { durations.range(from..to).map(|(_, count)| count).sum() };
    let leaps_at = |bucket: i32, count: i64| {
        if count < LEAP * of(bucket - 1).max(1) {
            return false;
        }
        let (below, above) = (within(bucket - BESIDE, bucket), within(bucket, bucket + BESIDE));
        let beyond = within(bucket, i32::MAX);
        // Buckets of the next octave are twice as wide.
        let height = |bucket: i32| of(bucket) as f64 / (upper_ns(bucket) - upper_ns(bucket - 1)).max(1) as f64;
        let highest = durations.range(bucket..).map(|(&bucket, _)| height(bucket)).fold(0.0, f64::max);
        // Something faster came through, far below: else it is where durations begin.
        let faster = within(i32::MIN, bucket - 2 * BESIDE);
        above >= LEAP * below.max(1)
            && faster > 0
            && height(bucket).max(height(bucket + 1)) >= HEIGHT_MIN * highest
            && beyond as f64 >= ABOVE_SHARE_MIN * all as f64
            && (within(bucket, bucket + 2) as f64) < NEXT_SHARE_MAX * beyond as f64
    };
    durations.iter().find(|&(&bucket, &count)| leaps_at(bucket, count)).map(|(bucket, _)| upper_ns(bucket - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::statistics::histogram::bucket_of;

    /// Durations in milliseconds of a bell on a logarithmic scale, around a median.
    fn bell(median_ms: f64, spread: f64, count: i64) -> impl Iterator<Item = f64> {
        (0..count).map(move |n| {
            let u = (n as f64 + 0.5) / count as f64;
            // The logistic distribution: heavier tails than the normal one, and one line.
            median_ms * (spread * (u / (1.0 - u)).ln() / 1.8).exp()
        })
    }

    fn leap_ms(durations: impl Iterator<Item = f64>) -> Option<f64> {
        let mut buckets = BTreeMap::new();
        durations.for_each(|ms| *buckets.entry(bucket_of((ms * 1e6) as i64)).or_insert(0) += 1);
        leap_ns(&buckets).map(|ns| ns as f64 / 1e6)
    }

    #[test]
    fn what_systems_do_does_not_leap() {
        assert_eq!(leap_ms(bell(40.0, 0.3, 1_000)), None);
        assert_eq!(leap_ms(bell(400.0, 1.0, 1_000)), None, "slow and wide");
        assert_eq!(leap_ms(bell(10.0, 0.2, 500).chain(bell(600.0, 0.2, 500))), None, "two kinds of requests");
        let timed_out = bell(40.0, 0.3, 500).chain((0..500).map(|n| 1_000.0 + f64::from(n) / 50.0));
        assert_eq!(leap_ms(timed_out), None, "time-outs");
    }

    #[test]
    fn a_tail_sampler_leaps_at_its_bound() {
        let all = || bell(100.0, 0.6, 20_000);
        let kept = all().filter(|ms| *ms > 250.0).chain(all().filter(|ms| *ms <= 250.0).step_by(50));
        let leap = leap_ms(kept).expect("it leaps");
        assert!((230.0..=270.0).contains(&leap), "{leap}");
    }
}
