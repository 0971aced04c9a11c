//! The growth of a rate that is carried on to now.

use crate::analyse::thresholds::load::arrivals::{DEVIATIONS, STILL_GROWS};

/// Two stretches of time, each of so many seconds, and the rate in each.
#[derive(Clone, Copy, Debug)]
pub struct Stretches {
    pub before_per_s: f64,
    pub now_per_s: f64,
    pub seconds: f64,
    /// From the start of the one to the start of the other.
    pub apart_s: f64,
}

/// Growth per second of time; zero unless it stands clear of Poisson noise. A rate that jumped and stays there grew between the
/// two stretches as well, but does not grow on: `within_per_s2`, the growth inside the newest seconds, bounds it.
pub fn trend_per_s2(rates: Stretches, within_per_s2: f64) -> f64 {
    let Stretches { before_per_s, now_per_s, seconds, apart_s } = rates;
    let growth = now_per_s - before_per_s;
    let noise = ((now_per_s + before_per_s) / seconds).sqrt();
    if growth > DEVIATIONS * noise { (STILL_GROWS * within_per_s2).min(growth / apart_s).max(0.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUMPED: Stretches = Stretches { before_per_s: 100.0, now_per_s: 400.0, seconds: 3.0, apart_s: 3.0 };

    #[test]
    fn a_ramp_is_carried_on_and_a_jump_is_not() {
        assert_eq!(trend_per_s2(JUMPED, 100.0), 100.0);
        assert_eq!(trend_per_s2(JUMPED, 0.0), 0.0);
        assert_eq!(trend_per_s2(JUMPED, -10.0), 0.0);
    }

    #[test]
    fn chance_is_no_trend() {
        assert_eq!(trend_per_s2(Stretches { now_per_s: 120.0, ..JUMPED }, 100.0), 0.0);
    }
}
