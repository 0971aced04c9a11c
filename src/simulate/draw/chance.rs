//! The numbers of one drawn system, one after the other.

use rand_pcg::Pcg64Mcg;

use crate::simulate::random::{Key, between};

pub(super) struct Chance(Pcg64Mcg);

impl Chance {
    pub fn new(key: Key) -> Chance {
        Chance(key.stream())
    }

    /// Uniform in [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        between(&mut self.0, low, high)
    }

    /// Uniform in the logarithm.
    pub fn log_between(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// Both ends included.
    pub fn integer(&mut self, low: u32, high: u32) -> u32 {
        low + (self.between(0.0, f64::from(high - low + 1)) as u32).min(high - low)
    }

    pub fn happens(&mut self, probability: f64) -> bool {
        self.between(0.0, 1.0) < probability
    }

    /// One of them; None when there is none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let last = u32::try_from(from.len()).ok()?.checked_sub(1)?;
        Some(from[self.integer(0, last) as usize])
    }

    /// So many different ones, or all.
    pub fn sample<T: Copy>(&mut self, from: &[T], count: usize) -> Vec<T> {
        let mut left = from.to_vec();
        let mut chosen = Vec::new();
        while chosen.len() < count && !left.is_empty() {
            let index = self.integer(0, left.len() as u32 - 1) as usize;
            chosen.push(left.swap_remove(index));
        }
        chosen
    }
}

/// Three digits are as many as anybody would write.
pub(super) fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let unit = 10_f64.powf(value.abs().log10().floor() - 2.0);
    // By division where the unit is small, so that 0.1 is written as that.
    if unit < 1.0 { (value / unit).round() / (1.0 / unit).round() } else { (value / unit).round() * unit }
}
