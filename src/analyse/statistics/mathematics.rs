//! The few functions of probability that localisation needs. All in natural logarithms.

/// The median of the square of a unit normal (0.6745²): a variance out of a median, which outliers do not move.
pub const MEDIAN_SQUARE: f64 = 0.4549;

/// `ln(Σ exp)`, without overflow; minus infinity for nothing.
pub fn log_sum_exp(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + logs.iter().map(|l| (l - largest).exp()).sum::<f64>().ln()
}

/// The log of the likelihoods' mean: one of them holds, we do not know which.
pub fn log_mean_exp(logs: &[f64]) -> f64 {
    log_sum_exp(logs) - (logs.len() as f64).ln()
}

/// Evidence `log` that only speaks with probability `p`: `ln(p·e^log + 1 − p)`. What is untouched costs little.
pub fn perhaps(p: f64, log: f64) -> f64 {
    if p <= 0.0 {
        return 0.0;
    }
    log_sum_exp(&[p.ln() + log, (1.0 - p).ln()])
}

/// Evidence of one group of keys, each touched with probability `p`. Divided by √m because keys of one group share
/// their drift and are not independent.
pub fn coherent(logs: &[f64], p: f64) -> f64 {
    logs.iter().map(|&l| perhaps(p, l)).sum::<f64>() / (logs.len().max(1) as f64).sqrt()
}

/// The upper of the two middle values of an even number; None for nothing.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Log density of Student's t with three degrees of freedom at `x` for a scale, up to a constant.
///
/// Three, because the tails of healthy drift that we measured fit it down to one in three hundred.
pub fn student3(x: f64, scale: f64) -> f64 {
    let z = x / scale;
    -2.0 * (z * z / 3.0).ln_1p() - scale.ln()
}

fn log_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

/// `part` of `all`; counts may be fractional (a share of them was credited elsewhere).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    pub part: f64,
    pub all: f64,
}

impl Share {
    pub fn new(part: f64, all: f64) -> Share {
        Share { part, all }
    }

    /// 0 of nothing is 0.
    pub fn value(self) -> f64 {
        if self.all > 0.0 { self.part / self.all } else { 0.0 }
    }
}

/// How a healthy share may move.
#[derive(Clone, Copy, Debug)]
pub struct ShareModel {
    /// The baseline's share is worth at most so many calls: healthy traffic drifts. Infinite: it does not.
    pub calls_max: f64,
    /// Chance that a healthy share simply jumps.
    pub jump: f64,
    /// The share expected of what was never seen.
    pub prior: f64,
}

/// Log-likelihood ratio that a share changed: anything (Jeffreys' prior) against the beta-binomial that the
/// baseline predicts.
pub fn share_changed(before: Share, now: Share, model: &ShareModel) -> f64 {
    let worth = if before.all > 0.0 { (model.calls_max / before.all).min(1.0) } else { 1.0 };
    // A part above the whole comes of rounding only; beta's parameters must stay positive.
    let rest = |share: Share| (share.all - share.part).max(0.0);
    let (alpha, beta) = (model.prior + before.part * worth, (1.0 - model.prior) + rest(before) * worth);
    let predicted = log_beta(alpha + now.part, beta + rest(now)) - log_beta(alpha, beta);
    let anything = log_beta(0.5 + now.part, 0.5 + rest(now)) - log_beta(0.5, 0.5);
    anything - log_sum_exp(&[(1.0 - model.jump).ln() + predicted, model.jump.ln() + anything])
}

/// Log odds of a share with Jeffreys' prior, and the variance of that.
pub fn log_odds(share: Share) -> (f64, f64) {
    let (yes, no) = (share.part + 0.5, (share.all - share.part).max(0.0) + 0.5);
    ((yes / no).ln(), 1.0 / yes + 1.0 / no)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn known_values() {
        near(log_sum_exp(&[1000.0, 1000.0]), 1000.0 + 2.0_f64.ln());
        assert_eq!(log_sum_exp(&[]), f64::NEG_INFINITY);
        near(log_mean_exp(&[0.0, 0.0, 0.0]), 0.0);
        near(perhaps(0.25, 0.0), 0.0);
        near(perhaps(0.5, -1e6), 0.5_f64.ln());
        near(coherent(&[0.0; 4], 0.3), 0.0);
        // B(2, 3) = 1/12, B(1/2, 1/2) = π.
        near(log_beta(2.0, 3.0), -(12.0_f64.ln()));
        near(log_beta(0.5, 0.5), std::f64::consts::PI.ln());
        // The density of t3 falls from 2/(π√3) at 0 to 1/4 of that at √3.
        near(student3(3.0_f64.sqrt(), 1.0) - student3(0.0, 1.0), 0.25_f64.ln());
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn an_unchanged_share_is_evidence_against_a_change() {
        let model = ShareModel { calls_max: f64::INFINITY, jump: 0.003, prior: 0.5 };
        let of = |part, all| Share::new(part, all);
        assert!(share_changed(of(50.0, 100.0), of(50.0, 100.0), &model) < 0.0);
        assert!(share_changed(of(100.0, 100.0), of(50.0, 100.0), &model) > 5.0);
        // However strong, no more than the chance that a healthy share jumps.
        assert!(share_changed(of(1e6, 1e6), of(0.0, 1e6), &model) <= -(0.003_f64.ln()));
        near(share_changed(of(0.0, 0.0), of(0.0, 0.0), &model), 0.0);
    }
}
