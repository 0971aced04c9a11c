//! Intervals that cover what they say: each quantile is moved by what earlier forecasts of the same kind missed by (conformal
//! prediction), and follows how often it covered, step by step (adaptive conformal inference: Gibbs and Candès, 2021).

use std::collections::VecDeque;

use super::quantiles::{LEVELS, Quantiles, empirical};

/// Misses that are remembered. Older ones are of another term; fewer say little of one in twenty.
const MISSES_MAX: usize = 500;

/// Below so many a quantile of 0.95 is a guess, and stays as the model gave it.
const MISSES_MIN: usize = 40;

/// How far a quantile moves for a forecast it did not cover, in mean misses. A burst of two days moves it as far as it should, and a
/// calm fortnight back.
const FOLLOWS: f64 = 0.05;

/// Where so many forecasts wait to be judged, each moves half as far: all of them say the same, and would overshoot together.
const WAITING: f64 = 50.0;

/// How many forecasts the mean miss is over.
const MEAN_OF: f64 = 300.0;

/// The middle is moved by half of what it missed by: it is what the model was trained for, and a term's drift is no error.
const MIDDLE_SHARE: f64 = 0.5;

/// Of one candidate and one horizon.
#[derive(Clone, Debug, Default)]
pub(super) struct Conformal {
    /// What came less the middle: for a candidate that gives a middle alone, their quantiles are its own.
    misses: VecDeque<f32>,
    spread: [f64; LEVELS.len()],
    since: usize,
    /// Moved step by step.
    followed: [f64; LEVELS.len()],
    mean_miss: f64,
    seen: f64,
}

impl Conformal {
    /// Of quantiles that are the candidate's own.
    pub(super) fn moved(&self, raw: Quantiles) -> Quantiles {
        Quantiles(std::array::from_fn(|at| raw.0[at] + self.followed[at]))
    }

    /// Of a middle: what it missed by is put around it.
    pub(super) fn around(&self, middle: f64) -> Quantiles {
        Quantiles(std::array::from_fn(|at| middle + self.spread[at]))
    }

    /// What came of a forecast became known; `said` is what was said then, `middle` what that was put around. `waiting` forecasts were made
    /// since, without knowing.
    pub(super) fn learn(&mut self, middle: f64, said: Quantiles, came: f64, waiting: usize) {
        let miss = came - middle;
        self.seen = (self.seen + 1.0).min(MEAN_OF);
        // Of what was not moved: else moving would feed itself.
        self.mean_miss += (miss.abs() - self.mean_miss) / self.seen;
        let step = FOLLOWS * self.mean_miss / (1.0 + waiting as f64 / WAITING);
        for (at, level) in LEVELS.into_iter().enumerate() {
            let share = if at == 0 { MIDDLE_SHARE } else { 1.0 };
            // A tie is covered in the measure in which the level asks for it.
            let is_covered = if came == said.0[at] { level } else { f64::from(u8::from(came < said.0[at])) };
            self.followed[at] += share * step * (level - is_covered);
        }
        self.misses.push_back(miss as f32);
        if self.misses.len() > MISSES_MAX {
            self.misses.pop_front();
        }
        self.since += 1;
        if self.since >= (self.misses.len() / 20).max(1) {
            self.since = 0;
            self.renew();
        }
    }

    fn renew(&mut self) {
        if self.misses.len() < MISSES_MIN {
            return;
        }
        let mut sorted: Vec<f64> = self.misses.iter().map(|miss| f64::from(*miss)).collect();
        sorted.sort_by(f64::total_cmp);
        // One more than there are: the next may be beyond all (the finite-sample correction of split conformal).
        let level = |level: f64| level * (sorted.len() + 1) as f64 / sorted.len() as f64;
        self.spread = LEVELS.map(|at| empirical(&sorted, level(at)));
        self.spread[0] *= MIDDLE_SHARE;
    }
}
