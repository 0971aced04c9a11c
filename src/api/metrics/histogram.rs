//! Durations of requests as histograms: kept in the rollups' own buckets, shown in classic and in native ones.

use std::collections::BTreeMap;

use crate::analyse::statistics::histogram::upper_ns;
use crate::model::{Time, TraceId};

/// Upper bounds in seconds: those that OpenTelemetry's semantic conventions advise for request durations.
pub const DURATION_BOUNDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A trace that shows what a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    pub trace: TraceId,
    pub seconds: f64,
    pub at: Time,
}

/// Durations of one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// By bucket of the rollups, sixteen an octave.
    buckets: BTreeMap<i32, u64>,
    /// In seconds.
    sum: f64,
    /// The newest of each classic bucket, the last without a bound.
    exemplars: BTreeMap<usize, Exemplar>,
}

impl Durations {
    pub fn add(&mut self, bucket: i32, requests: u64) {
        *self.buckets.entry(bucket).or_default() += requests;
    }

    pub fn add_sum(&mut self, seconds: f64) {
        self.sum += seconds;
    }

    pub fn add_exemplar(&mut self, exemplar: Exemplar) {
        let place = place(DURATION_BOUNDS, exemplar.seconds);
        let newest = self.exemplars.entry(place).or_insert(exemplar);
        if newest.at <= exemplar.at {
            *newest = exemplar;
        }
    }

    pub fn shown(&self) -> Histogram {
        let mut counts = vec![0; DURATION_BOUNDS.len() + 1];
        for (&bucket, &requests) in &self.buckets {
            counts[place(DURATION_BOUNDS, upper_ns(bucket) as f64 / 1e9)] += requests;
        }
        Histogram {
            bounds: DURATION_BOUNDS,
            counts,
            sum: self.sum,
            exemplars: self.exemplars.clone(),
            native: native(&self.buckets),
        }
    }
}

/// Durations of something that happens a few times a second, in buckets of their own.
#[derive(Clone, Debug)]
pub struct Timings {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Timings {
    pub fn new(bounds: &'static [f64]) -> Timings {
        Timings { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    pub fn observe(&mut self, seconds: f64) {
        self.counts[place(self.bounds, seconds)] += 1;
        self.sum += seconds;
    }

    pub fn shown(&self) -> Histogram {
        Histogram {
            bounds: self.bounds,
            counts: self.counts.clone(),
            sum: self.sum,
            exemplars: BTreeMap::new(),
            native: BTreeMap::new(),
        }
    }
}

/// As it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper bounds in ascending order.
    pub bounds: &'static [f64],
    /// Of each bound, and beyond the last: not cumulative.
    pub counts: Vec<u64>,
    pub sum: f64,
    /// By place in `counts`.
    pub exemplars: BTreeMap<usize, Exemplar>,
    /// By index of a native bucket of [`SCHEMA`]; empty where there are none.
    pub native: BTreeMap<i32, u64>,
}

impl Histogram {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Bounds with what lies at or below them, the last without a bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64, Option<&Exemplar>)> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let so_far = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        bounds.zip(so_far).enumerate().map(|(place, (bound, count))| (bound, count, self.exemplars.get(&place)))
    }
}

/// Native buckets grow by 2^(1/8): half as fine as the rollups', so that each of these lies in one of them.
pub const SCHEMA: i32 = 3;

fn native(buckets: &BTreeMap<i32, u64>) -> BTreeMap<i32, u64> {
    let mut native = BTreeMap::new();
    for (&bucket, &requests) in buckets {
        let seconds = upper_ns(bucket).max(1) as f64 / 1e9;
        // Bucket i holds what is above 2^((i-1)/8) and up to 2^(i/8).
        let index = (seconds.log2() * f64::from(1 << SCHEMA)).ceil() as i32; // within 300 of zero
        *native.entry(index).or_default() += requests;
    }
    native
}

/// The first bound that is not below; one past the last where none is.
fn place(bounds: &[f64], seconds: f64) -> usize {
    bounds.partition_point(|bound| *bound < seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::statistics::histogram::bucket_of;

    #[test]
    fn requests_count_at_the_first_bound_that_they_keep() {
        let mut durations = Durations::default();
        for (ms, requests) in [(3, 2), (240, 5), (20_000, 1)] {
            durations.add(bucket_of(ms * 1_000_000), requests);
            durations.add_sum(ms as f64 / 1e3 * requests as f64);
        }
        let shown = durations.shown();
        let at = |bound: f64| shown.cumulative().find(|(le, ..)| *le == bound).unwrap().1;
        assert_eq!([0.005, 0.1, 0.25, 10.0, f64::INFINITY].map(at), [2, 2, 7, 7, 8]);
        assert!(shown.count() == 8 && (shown.sum - 21.206).abs() < 1e-9, "{}", shown.sum);
        assert_eq!(shown.native.values().sum::<u64>(), 8);
    }

    #[test]
    fn a_native_bucket_holds_what_it_says() {
        let mut durations = Durations::default();
        durations.add(bucket_of(240_000_000), 1);
        let (index, _) = durations.shown().native.into_iter().next().unwrap();
        let upper = 2_f64.powf(f64::from(index) / 8.0);
        assert!((0.240..0.240 * 1.17).contains(&upper), "{upper}");
    }

    #[test]
    fn each_bucket_keeps_its_newest_trace() {
        let mut durations = Durations::default();
        let one = |n: u8, seconds: f64, at: i64| Exemplar { trace: TraceId([n; 16]), seconds, at: Time(at) };
        [one(1, 0.3, 5), one(2, 0.4, 9), one(3, 0.45, 7), one(4, 20.0, 1)]
            .into_iter()
            .for_each(|exemplar| durations.add_exemplar(exemplar));
        let shown = durations.shown();
        assert_eq!(shown.exemplars.values().map(|of| of.trace.0[0]).collect::<Vec<_>>(), [2, 4]);
    }
}
