//! A rate and how well it is known, and which of several stretches of time to take it from.

use crate::analyse::statistics::interval::{BOUNDS, Interval};

/// Beside chance, rates within seconds and the times of a histogram differ by so much, as a share (standard deviation).
const DRIFT: f64 = 0.05;
/// A longer stretch contradicts a shorter one from this many standard deviations of the shorter one on. Two would let a load that
/// doubled two seconds ago pass for chance where twenty calls were counted.
const CONTRADICTS: f64 = 1.5;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub per_s: f64,
    /// Of its logarithm.
    pub variance: f64,
    /// Length of the stretch that it is the mean of.
    pub seconds: f64,
    /// How long before now that ended.
    pub age_s: f64,
}

impl Rate {
    /// By chance alone (Poisson).
    pub fn counted(calls: f64, seconds: f64, age_s: f64) -> Rate {
        Rate { per_s: calls / seconds, variance: 1.0 / calls.max(1.0) + DRIFT * DRIFT, seconds, age_s }
    }

    /// Standard deviation of the rate.
    pub fn error(&self) -> f64 {
        self.per_s * self.variance.sqrt()
    }

    /// Both at once.
    pub fn and(self, other: Rate) -> Rate {
        let per_s = self.per_s + other.per_s;
        let variance = if per_s > 0.0 { (self.error().hypot(other.error()) / per_s).powi(2) } else { self.variance };
        Rate { per_s, variance, ..self }
    }

    /// Between this and another account of the same, by how well each is known.
    pub fn weighed_with(self, other: Rate) -> Rate {
        if self.per_s <= 0.0 || other.per_s <= 0.0 {
            return if self.per_s > other.per_s { self } else { other };
        }
        let weight = other.variance / (self.variance + other.variance);
        let log = weight * self.per_s.ln() + (1.0 - weight) * other.per_s.ln();
        Rate { per_s: log.exp(), variance: self.variance * weight, ..self }
    }

    /// It holds the truth nine of ten times.
    pub fn interval(&self) -> Interval {
        let off = (BOUNDS * self.variance.sqrt()).exp();
        Interval { low: self.per_s / off, middle: self.per_s, high: self.per_s * off }
    }

    fn contradicts(&self, longer: &Rate) -> bool {
        let (short, long) = (self.per_s, longer.per_s);
        if short <= 0.0 || long <= 0.0 {
            // Nothing in a second is no news where there is something in every other.
            return short > long;
        }
        (short / long).ln().abs() > CONTRADICTS * self.variance.sqrt()
    }
}

/// The longest that no shorter one contradicts (after O. V. Lepski, "On a problem of adaptive estimation in Gaussian white
/// noise", 1990). Shortest first.
pub(super) fn longest(rates: &[Rate]) -> Rate {
    let mut best = Rate::default();
    for (index, rate) in rates.iter().enumerate() {
        if rates[..index].iter().any(|shorter| shorter.contradicts(rate)) {
            break;
        }
        best = *rate;
    }
    best
}
