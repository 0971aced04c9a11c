//! The numbers of localisation, each with its reason. None is a duration, a rate or a name: they hold for any
//! system, however fast.

pub use crate::analyse::thresholds::Parameters;
use crate::analyse::thresholds::change::{CALIBRATION_ROUNDS, CALIBRATION_STEP, CHANCE_MAX, ROUNDS, STEP};

impl Parameters {
    /// Chooses parameters by a loss (smaller is better), for instance on incidents of one system before others are
    /// judged with them. Coordinate descent from where they stand, in a fixed order: the same losses choose the same.
    pub fn fit(&self, loss: impl FnMut(&Parameters) -> f64) -> Parameters {
        self.descend(&PLACES, ROUNDS, STEP, loss)
    }

    /// The same of the two that turn evidence into probability, in smaller steps.
    pub fn calibrate(&self, loss: impl FnMut(&Parameters) -> f64) -> Parameters {
        self.descend(&PLACES[PLACES.len() - CALIBRATING..], CALIBRATION_ROUNDS, CALIBRATION_STEP, loss)
    }

    fn descend(
        &self,
        places: &[Place],
        rounds: usize,
        step: f64,
        mut loss: impl FnMut(&Parameters) -> f64,
    ) -> Parameters {
        let mut best = self.clone();
        let mut least = loss(&best);
        for _ in 0..rounds {
            for place in places {
                for step in [step, 1.0 / step] {
                    let mut tried = best.clone();
                    place.step(&mut tried, step);
                    let found = loss(&tried);
                    if found < least {
                        (least, best) = (found, tried);
                    }
                }
            }
        }
        best
    }
}

/// A parameter that can be chosen, and how it moves.
enum Place {
    /// By a factor.
    Scale(fn(&mut Parameters) -> &mut f64),
    /// By a factor, and below one.
    Chance(fn(&mut Parameters) -> &mut f64),
    /// By the logarithm of the factor.
    LogOdds(fn(&mut Parameters) -> &mut f64),
}

impl Place {
    fn step(&self, parameters: &mut Parameters, step: f64) {
        match self {
            Place::Scale(value) => *value(parameters) *= step,
            Place::Chance(value) => *value(parameters) = (*value(parameters) * step).min(CHANCE_MAX),
            Place::LogOdds(value) => *value(parameters) += step.ln(),
        }
    }
}

/// Every parameter, those that rank suspects before those that only turn ranks into probabilities.
const PLACES: [Place; 27] = [
    Place::Scale(|p| &mut p.floor_share),
    Place::Scale(|p| &mut p.spread),
    Place::Scale(|p| &mut p.drift),
    Place::Scale(|p| &mut p.effect),
    Place::Scale(|p| &mut p.spread_calls),
    Place::Chance(|p| &mut p.share_of_pair),
    Place::Chance(|p| &mut p.share_of_callers),
    Place::Chance(|p| &mut p.share_of_callees),
    Place::Chance(|p| &mut p.share_of_cut_off),
    Place::Chance(|p| &mut p.starved),
    Place::LogOdds(|p| &mut p.callee_first),
    Place::Chance(|p| &mut p.lost_telemetry),
    Place::Chance(|p| &mut p.share_of_operations),
    Place::Chance(|p| &mut p.other_mix),
    Place::Chance(|p| &mut p.stray_errors),
    Place::Scale(|p| &mut p.mix_drift),
    Place::Chance(|p| &mut p.knock_on),
    Place::Chance(|p| &mut p.pass_on),
    Place::Chance(|p| &mut p.slow_by_failure),
    Place::Chance(|p| &mut p.errors_by_failure),
    Place::Chance(|p| &mut p.errors_by_lost_failure),
    Place::Chance(|p| &mut p.cut_short),
    Place::Scale(|p| &mut p.knock_on_bar),
    Place::Scale(|p| &mut p.knock_on_slope),
    Place::Scale(|p| &mut p.sharpness),
    Place::LogOdds(|p| &mut p.prior),
    Place::Scale(|p| &mut p.knee),
];

/// So many of the last only turn ranks into probabilities.
const CALIBRATING: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitting_walks_towards_the_least_loss_and_leaves_the_rest() {
        let start = Parameters::default();
        let fitted = start.fit(|p| (p.drift - 0.2).abs() + (p.prior + 1.0).abs());
        assert!((fitted.drift - 0.2).abs() < (start.drift - 0.2).abs() / 2.0, "{fitted:?}");
        assert!((fitted.prior + 1.0).abs() < 0.25, "{fitted:?}");
        assert_eq!(Parameters { drift: start.drift, prior: start.prior, ..fitted }, start);
    }

    #[test]
    fn calibrating_moves_no_rank() {
        let start = Parameters::default();
        let calibrated = start.calibrate(|p| (p.sharpness - 1.0).abs() + (p.prior - 0.5).abs() + (p.drift - 0.2).abs());
        assert!((calibrated.sharpness - 1.0).abs() < 0.2 && (calibrated.prior - 0.5).abs() < 0.2, "{calibrated:?}");
        assert_eq!(
            Parameters { sharpness: start.sharpness, prior: start.prior, knee: start.knee, ..calibrated },
            start
        );
    }

    #[test]
    fn without_a_difference_everything_stays() {
        assert_eq!(Parameters::default().fit(|_| 1.0), Parameters::default());
    }
}
