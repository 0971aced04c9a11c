//! From scores to probabilities: one culprit among the candidates, each as likely before we look, or none.

use super::parameters::Parameters;
use crate::analyse::statistics::mathematics::log_sum_exp;
use crate::analyse::thresholds::change::ROUNDING;

/// The probability of each score, in the order given; what is missing to 1 is 'no suspect here'.
pub(super) fn probabilities(scores: &[f64], parameters: &Parameters) -> Vec<f64> {
    let mut logs: Vec<f64> = scores.iter().map(|score| parameters.sharpness * score).collect();
    logs.push((scores.len() as f64).ln() - parameters.prior);
    let Some((first, most)) = logs.iter().copied().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)) else {
        return Vec::new();
    };
    // In place of the odds for the likeliest, those that are told; what that leaves is the others', in their parts.
    logs[first] = f64::NEG_INFINITY;
    let rest = log_sum_exp(&logs);
    logs[first] = if first < scores.len() { rest + told(most - rest, parameters.knee) } else { most };
    let all = log_sum_exp(&[rest, logs[first]]);
    logs.pop();
    logs.iter().map(|log| (log - all).exp() * (1.0 - ROUNDING)).collect()
}

/// Log odds as they are told: the larger, the less more of them adds.
fn told(log_odds: f64, knee: f64) -> f64 {
    if log_odds > 0.0 { knee * (log_odds / knee).ln_1p() } else { log_odds }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_evidence_nobody_is_a_suspect() {
        let parameters = Parameters::default();
        assert_eq!(probabilities(&[], &parameters), Vec::<f64>::new());
        let scores = probabilities(&[0.0; 10], &parameters);
        assert!(scores.iter().all(|p| *p < 0.05), "{scores:?}");
        assert!(probabilities(&[20.0, 0.0], &parameters)[0] > 0.99);
        let some = probabilities(&[3.0, 0.0], &parameters);
        assert!((0.9..0.99).contains(&some[0]) && some[1] < 0.01, "some evidence is no proof: {some:?}");
    }

    proptest! {
        #[test]
        fn probabilities_sum_to_at_most_one(scores in proptest::collection::vec(-500.0..500.0_f64, 0..100)) {
            let sum: f64 = probabilities(&scores, &Parameters::default()).iter().sum();
            prop_assert!((0.0..=1.0).contains(&sum), "{sum}");
        }
    }
}
