//! Quantiles, and how well they did.

use serde::Serialize;

/// What is forecast: the middle, what nine of ten stay below, and what nineteen of twenty do.
pub const LEVELS: [f64; 3] = [0.5, 0.9, 0.95];

/// Requests a bucket at each of [`LEVELS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles(pub [f64; 3]);

/// Requests a bucket that no forecast tells from none.
const TINY: f64 = 1e-6;

impl Quantiles {
    /// In ascending order and not below nothing.
    pub(super) fn ordered(mut self) -> Quantiles {
        let mut least = 0.0_f64;
        for value in &mut self.0 {
            // What is left of a floor that was added and taken off again is nothing.
            let is_something = value.is_finite() && *value > TINY;
            *value = if is_something { value.max(least) } else { least };
            least = *value;
        }
        self
    }

    pub(super) fn mean_with(self, other: Quantiles) -> Quantiles {
        Quantiles(std::array::from_fn(|at| (self.0[at] + other.0[at]) / 2.0))
    }
}

/// Too low costs `level` a request, too high the rest of one.
pub fn pinball(level: f64, quantile: f64, came: f64) -> f64 {
    let missed = came - quantile;
    if missed >= 0.0 { level * missed } else { (level - 1.0) * missed }
}

/// Of values in ascending order, between two of them in proportion; nothing where there are none.
pub(super) fn empirical(sorted: &[f64], level: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = level.clamp(0.0, 1.0) * last as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    sorted[below] + part * (sorted[(below + 1).min(last)] - sorted[below])
}

/// How often what came stayed below a quantile. Where both are equal it is open which side it fell on: of the shares that a
/// draw could give, the one nearest to the level.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Coverage {
    pub below: u64,
    pub equal: u64,
    pub all: u64,
}

impl Coverage {
    pub fn add(&mut self, quantile: f64, came: f64) {
        self.all += 1;
        if came < quantile {
            self.below += 1;
        } else if came == quantile {
            self.equal += 1;
        }
    }

    pub fn share(&self, level: f64) -> f64 {
        let all = self.all.max(1) as f64;
        level.clamp(self.below as f64 / all, (self.below + self.equal) as f64 / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_that_is_too_low_costs_its_level() {
        assert!((pinball(0.9, 10.0, 20.0) - 9.0).abs() < 1e-9);
        assert!((pinball(0.9, 20.0, 10.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_quantile_of_four_lies_between_them() {
        let sorted = [1.0, 2.0, 3.0, 5.0];
        let found = LEVELS.map(|level| (empirical(&sorted, level) * 10.0).round() / 10.0);
        assert_eq!(found, [2.5, 4.4, 4.7]);
        assert_eq!(empirical(&[], 0.5), 0.0);
    }

    #[test]
    fn ties_cover_as_often_as_they_should() {
        let mut coverage = Coverage::default();
        for came in [0.0, 0.0, 0.0, 1.0] {
            coverage.add(0.0, came);
        }
        assert_eq!((coverage.share(0.5), coverage.share(0.95)), (0.5, 0.75));
    }

    #[test]
    fn quantiles_never_cross_nor_fall_below_nothing() {
        assert_eq!(Quantiles([-1.0, 3.0, 2.0]).ordered(), Quantiles([0.0, 3.0, 3.0]));
        assert_eq!(Quantiles([4.0, f64::NAN, 5.0]).ordered(), Quantiles([4.0, 4.0, 5.0]));
    }
}
