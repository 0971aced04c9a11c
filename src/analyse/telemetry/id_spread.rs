//! Head sampling that does not say so, seen in the ids of the traces that come.
//!
//! An SDK's ratio sampler keeps a trace whose id, read as a number, is below a bound; a consistent sampler one whose last 56
//! bits are at least a threshold. Of random ids, hundreds that all lie on one side of a bound were chosen by it, and the
//! bound is the rate. Sources: OpenTelemetry SDKs, `TraceIdRatioBased` (Go, Python: the last 64 bits; Java: 63 of them);
//! OpenTelemetry specification, 'TraceState: Probability Sampling'.

use crate::analyse::thresholds::telemetry::id_spread::{RATE_MAX, RATE_MIN, TRACES_MIN};
use crate::model::TraceId;

/// Where ids lie in their range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdSpread {
    traces: u64,
    last_64_max: u64,
    last_63_max: u64,
    last_56_min: u64,
}

impl Default for IdSpread {
    fn default() -> IdSpread {
        IdSpread { traces: 0, last_64_max: 0, last_63_max: 0, last_56_min: u64::MAX }
    }
}

impl IdSpread {
    pub fn add(&mut self, id: TraceId) {
        let low = u128::from_be_bytes(id.0) as u64; // the last eight bytes
        self.traces += 1;
        self.last_64_max = self.last_64_max.max(low);
        self.last_63_max = self.last_63_max.max(low & (u64::MAX >> 1));
        self.last_56_min = self.last_56_min.min(low & (u64::MAX >> 8));
    }

    pub fn merge(&mut self, other: IdSpread) {
        self.traces += other.traces;
        self.last_64_max = self.last_64_max.max(other.last_64_max);
        self.last_63_max = self.last_63_max.max(other.last_63_max);
        self.last_56_min = self.last_56_min.min(other.last_56_min);
    }

    /// The share of traces that a sampler kept, where it shows; None where it does not.
    pub fn rate(&self) -> Option<f64> {
        if self.traces < TRACES_MIN {
            return None;
        }
        let of = |value: u64, bits: i32| value as f64 / 2_f64.powi(bits);
        let rates = [of(self.last_64_max, 64), of(self.last_63_max, 63), 1.0 - of(self.last_56_min, 56)];
        let least = rates.into_iter().fold(1.0, f64::min);
        (RATE_MIN..RATE_MAX).contains(&least).then_some(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(ids: impl Iterator<Item = u128>) -> Option<f64> {
        let mut spread = IdSpread::default();
        ids.for_each(|id| spread.add(TraceId(id.to_be_bytes())));
        spread.rate()
    }

    /// Ids that look random, the same every time.
    fn random() -> impl Iterator<Item = u128> {
        (1..20_000_u128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    #[test]
    fn random_ids_show_no_sampler() {
        assert_eq!(rate(random()), None);
        assert_eq!(rate(1..10_000), None, "nor do ids that count up");
        assert_eq!(rate(random().take(100)), None, "nor a few");
    }

    #[test]
    fn a_ratio_sampler_shows_with_its_rate() {
        let kept = |keep: &dyn Fn(u64) -> bool| rate(random().filter(|id| keep(*id as u64))).unwrap();
        let go = kept(&|low| low < u64::MAX / 10);
        let java = kept(&|low| low & (u64::MAX >> 1) < (u64::MAX >> 1) / 4);
        let consistent = kept(&|low| low & (u64::MAX >> 8) >= (u64::MAX >> 8) / 2);
        assert!((go - 0.1).abs() < 0.01 && (java - 0.25).abs() < 0.01 && (consistent - 0.5).abs() < 0.01);
    }
}
