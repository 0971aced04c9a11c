//! How good answers are: who comes first, and whether scores are probabilities.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cases::CaseResult;

/// Shares of cases whose labelled place comes first, and among the first three; and the mean of that over the first one
/// to five (Avg@5). Brier: mean square of the first suspect's score against whether it is right.
#[derive(Clone, Copy, Serialize)]
pub struct Score {
    pub cases: usize,
    pub ac1: f64,
    pub ac3: f64,
    pub avg5: f64,
    pub brier: f64,
    pub log_loss: f64,
    /// The first suspect is right, and so is its verdict; of the cases whose label has one.
    pub verdict: Option<f64>,
}

/// A part of the cases, by score.
#[derive(Serialize)]
pub struct Group {
    pub cases: usize,
    pub mean_score: f64,
    pub share_right: f64,
    /// Where the share right lies in 99 of 100 groups whose scores are probabilities.
    pub interval: (f64, f64),
    pub is_within: bool,
}

/// Answers that are sure of themselves.
#[derive(Clone, Copy, Serialize)]
pub struct Sure {
    pub share: f64,
    pub share_right: Option<f64>,
}

/// Everything that is told of all answers together.
#[derive(Serialize)]
pub struct Overall {
    #[serde(flatten)]
    pub all: Score,
    /// Of the cases that users felt, where that is known.
    pub felt: Option<Score>,
    /// What somebody scores who always says the share right, and knows it beforehand.
    pub brier_constant: f64,
    pub log_loss_constant: f64,
    /// Mean distance of score and share right over ten groups of equal count.
    pub calibration_error: f64,
    pub sure: Sure,
}

/// A third each for a few dozen cases, a tenth each for hundreds.
const FEW: usize = 100;
const GROUPS_OF_FEW: usize = 3;
const GROUPS: usize = 10;

/// A score of 0 or 1 that is wrong would cost an endless loss.
const SCORE_MIN: f64 = 1e-4;

const SURE: f64 = 0.9;

/// Probability of either end of an interval of 99 %.
const TAIL: f64 = 0.005;

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}

fn log_loss(score: f64, share_right: f64) -> f64 {
    let score = score.clamp(SCORE_MIN, 1.0 - SCORE_MIN);
    -(share_right * score.ln() + (1.0 - share_right) * (1.0 - score).ln())
}

fn right(result: &CaseResult) -> f64 {
    f64::from(u8::from(result.is_within(1)))
}

pub fn score_of(results: &[&CaseResult]) -> Score {
    let within = |first: usize| mean(results.iter().map(|r| f64::from(u8::from(r.is_within(first)))));
    let labelled = results.iter().filter(|r| r.expected_verdict.is_some());
    let verdicts = labelled.map(|r| r.is_within(1) && r.expected_verdict.as_deref() == Some(r.verdict.as_str()));
    let verdicts: Vec<f64> = verdicts.map(|is_right| f64::from(u8::from(is_right))).collect();
    Score {
        cases: results.len(),
        ac1: within(1),
        ac3: within(3),
        avg5: mean((1..=5_usize).map(within)),
        brier: mean(results.iter().map(|r| (r.score - right(r)).powi(2))),
        log_loss: mean(results.iter().map(|r| log_loss(r.score, right(r)))),
        verdict: (!verdicts.is_empty()).then(|| mean(verdicts.into_iter())),
    }
}

pub fn overall(results: &[CaseResult]) -> Overall {
    let every: Vec<&CaseResult> = results.iter().collect();
    let felt: Vec<&CaseResult> = results.iter().filter(|r| r.felt == Some(true)).collect();
    let all = score_of(&every);
    let sure: Vec<&&CaseResult> = every.iter().filter(|r| r.score >= SURE).collect();
    Overall {
        all,
        felt: (!felt.is_empty()).then(|| score_of(&felt)),
        brier_constant: all.ac1 * (1.0 - all.ac1),
        log_loss_constant: log_loss(all.ac1, all.ac1),
        calibration_error: groups(results, GROUPS)
            .iter()
            .map(|g| g.cases as f64 / all.cases.max(1) as f64 * (g.mean_score - g.share_right).abs())
            .sum(),
        sure: Sure {
            share: sure.len() as f64 / every.len().max(1) as f64,
            share_right: (!sure.is_empty()).then(|| mean(sure.iter().map(|r| right(r)))),
        },
    }
}

/// Equal-count groups from the least sure to the surest.
pub fn calibration(results: &[CaseResult]) -> Vec<Group> {
    groups(results, if results.len() < FEW { GROUPS_OF_FEW } else { GROUPS })
}

fn groups(results: &[CaseResult], count: usize) -> Vec<Group> {
    let mut sorted: Vec<&CaseResult> = results.iter().collect();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let border = |group: usize| group * sorted.len() / count;
    let groups = (0..count).map(|group| &sorted[border(group)..border(group + 1)]);
    groups
        .filter(|group| !group.is_empty())
        .map(|group| {
            let mean_score = mean(group.iter().map(|r| r.score));
            let share_right = mean(group.iter().map(|r| right(r)));
            let interval = interval(group.len(), mean_score);
            let is_within = interval.0 <= share_right && share_right <= interval.1;
            Group { cases: group.len(), mean_score, share_right, interval, is_within }
        })
        .collect()
}

/// Shares that so many trials of a probability give in 99 of 100 times: the binomial distribution without its ends.
fn interval(trials: usize, probability: f64) -> (f64, f64) {
    let p = probability.clamp(1e-9, 1.0 - 1e-9);
    let n = trials as f64;
    // ln of the probability of k successes, from that of k - 1.
    let mut ln_mass = n * (1.0 - p).ln();
    let (mut below, mut low, mut high) = (0.0, None, trials);
    for k in 0..=trials {
        if k > 0 {
            ln_mass += ((n - k as f64 + 1.0) / k as f64 * p / (1.0 - p)).ln();
        }
        below += ln_mass.exp();
        if low.is_none() && below > TAIL {
            low = Some(k);
        }
        if below >= 1.0 - TAIL {
            high = k;
            break;
        }
    }
    (low.unwrap_or(trials) as f64 / n, high as f64 / n)
}

pub fn by<K: Ord>(results: &[CaseResult], key: impl Fn(&CaseResult) -> K) -> BTreeMap<K, Score> {
    let mut groups: BTreeMap<K, Vec<&CaseResult>> = BTreeMap::new();
    results.iter().for_each(|result| groups.entry(key(result)).or_default().push(result));
    groups.into_iter().map(|(key, results)| (key, score_of(&results))).collect()
}

/// The same of those that users felt.
pub fn felt_by_fault(results: &[CaseResult]) -> BTreeMap<String, Score> {
    let mut groups: BTreeMap<String, Vec<&CaseResult>> = BTreeMap::new();
    let felt = results.iter().filter(|result| result.felt == Some(true));
    felt.for_each(|result| groups.entry(result.fault.clone()).or_default().push(result));
    groups.into_iter().map(|(key, results)| (key, score_of(&results))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::Verdict;

    fn result(score: f64, rank: Option<usize>) -> CaseResult {
        CaseResult {
            case: String::new(),
            system: String::new(),
            fault: String::new(),
            service: String::new(),
            felt: None,
            rank,
            first: String::new(),
            score,
            verdict: Verdict::Unknown,
            expected_verdict: None,
            spans: 0,
        }
    }

    /// Of a table of the binomial distribution: 20 trials at 0.3 give 1 to 12 in 99 of 100.
    #[test]
    fn an_interval_leaves_half_a_percent_at_either_end() {
        assert_eq!(interval(20, 0.3), (1.0 / 20.0, 12.0 / 20.0));
        assert_eq!(interval(10, 0.0), (0.0, 0.0));
        assert_eq!(interval(10, 1.0), (1.0, 1.0));
        let (low, high) = interval(5_000, 0.5);
        // The normal approximation, whose quantile is 2.576.
        assert!((low - (0.5 - 2.576 * 0.5 / 5_000_f64.sqrt())).abs() < 5e-4, "{low}");
        assert!((high - (0.5 + 2.576 * 0.5 / 5_000_f64.sqrt())).abs() < 5e-4, "{high}");
    }

    #[test]
    fn scores_that_are_probabilities_lie_within_and_others_do_not() {
        let answers = |score: f64, right: usize| (0..200).map(move |n| result(score, (n < right).then_some(1)));
        let honest: Vec<CaseResult> = answers(0.8, 160).chain(answers(0.3, 60)).collect();
        let measured = overall(&honest);
        assert!(groups(&honest, 2).iter().all(|group| group.is_within));
        assert!(measured.brier_constant > measured.all.brier && measured.log_loss_constant > measured.all.log_loss);
        let boastful: Vec<CaseResult> = answers(0.95, 160).chain(answers(0.3, 60)).collect();
        assert_eq!(groups(&boastful, 2).iter().filter(|group| !group.is_within).count(), 1);
        let sure = overall(&boastful).sure;
        assert_eq!((sure.share, sure.share_right), (0.5, Some(0.8)));
    }
}
