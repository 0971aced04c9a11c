//! Random numbers that do not depend on the order of events: every draw comes from a stream of its own,
//! keyed by the seed, the purpose and an index, so that the same seed gives the same arrivals, service
//! times and pod starts under every policy. Keys are made of indices, never of names.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;

/// What a stream is for; the discriminant is part of its key.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(super) enum Purpose {
    Arrivals = 1,
    Noise,
    Request,
    PodStart,
    PodName,
    NodeStart,
    Skew,
    Collector,
    Flush,
    Draw,
}

/// A key of 64 bits; children are derived, never drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(pub u64);

impl Key {
    pub fn of(seed: u64, purpose: Purpose) -> Key {
        Key(mix(seed)).child(purpose as u64)
    }

    pub fn child(self, index: u64) -> Key {
        Key(mix(self.0 ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A generator for several draws.
    pub fn stream(self) -> Pcg64Mcg {
        Pcg64Mcg::new((u128::from(mix(self.0 ^ 1)) << 64) | u128::from(mix(self.0 ^ 2)))
    }

    /// One draw from [0, 1), without building a generator.
    pub fn uniform(self) -> f64 {
        // 53 bits, the precision of an f64.
        (mix(self.0 ^ 3) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An identifier that is never zero (zero ids are invalid in OpenTelemetry).
    pub fn id(self) -> u64 {
        mix(self.0 ^ 4) | 1
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Lognormal with the given median and sigma of the logarithm.
pub(super) fn lognormal(rng: &mut Pcg64Mcg, median: f64, sigma: f64) -> f64 {
    if sigma == 0.0 {
        return median;
    }
    let z: f64 = StandardNormal.sample(rng);
    median * (sigma * z).exp()
}

/// Uniform in [low, high).
pub(super) fn between(rng: &mut Pcg64Mcg, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_purpose_and_index_and_repeat_by_key() {
        let draw = |key: Key| key.stream().random::<u64>();
        let key = Key::of(7, Purpose::Arrivals);
        assert_eq!(draw(key.child(1)), draw(Key::of(7, Purpose::Arrivals).child(1)));
        assert_ne!(draw(key.child(1)), draw(key.child(2)));
        assert_ne!(draw(key.child(1)), draw(Key::of(7, Purpose::Noise).child(1)));
        assert_ne!(draw(key), draw(Key::of(8, Purpose::Arrivals)));
    }

    #[test]
    fn lognormal_has_its_median_and_mean() {
        let key = Key::of(1, Purpose::Request);
        let mut draws: Vec<f64> = (0..20_000).map(|i| lognormal(&mut key.child(i).stream(), 10.0, 0.5)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        draws.sort_by(f64::total_cmp);
        assert!((draws[10_000] / 10.0 - 1.0).abs() < 0.02);
        assert!((mean / (10.0 * 0.125_f64.exp()) - 1.0).abs() < 0.02);
    }

    #[test]
    fn uniform_covers_the_unit_interval() {
        let mean = (0..10_000).map(|i| Key(i).uniform()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01);
    }
}
