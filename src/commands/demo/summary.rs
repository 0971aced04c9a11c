//! What came of it: the burst with headroom, without it, and with someone who ordered what the peak needs at the
//! instant of the onset.

use std::fmt;

use serde::Serialize;

use super::Play;
use super::story::Story;
use crate::simulate::{Measures, References};

/// The last line of `demo --json`. Shares are 0 to 1, of the requests that arrive in the scenario's measured window
/// from the onset; pod-seconds are counted over the same window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub scenario: String,
    pub seed: u64,
    /// Services scaled out, in the order of their first action.
    pub targets: Vec<String>,
    /// From the scenario's file alone.
    pub expected_targets: Vec<String>,
    /// Since the scenario's start.
    pub onset_s: f64,
    /// From the onset to the first scale-out of an expected target; null when there was none.
    pub first_correct_action_s: Option<f64>,
    /// From the onset until objectives held again for good; null when they did not.
    pub recovered_s: Option<f64>,
    pub requests: u64,
    pub slo_violation_share: f64,
    /// Before the onset.
    pub slo_violation_share_before: f64,
    pub slo_violation_share_without: f64,
    /// As without, where there is nothing to order.
    pub slo_violation_share_onset: f64,
    /// Scalings of services that are no expected target.
    pub wrong_actions: usize,
    pub pod_seconds: f64,
    pub pod_seconds_onset: f64,
    #[serde(skip)]
    recovered_without_s: Option<f64>,
    #[serde(skip)]
    recovered_onset_s: Option<f64>,
    #[serde(skip)]
    pod_seconds_without: f64,
}

impl Summary {
    pub fn new(play: &Play, story: &Story, measures: &Measures, references: &References) -> Summary {
        let References { without, onset } = references;
        let onset_s = play.scenario.truth.onset_s;
        Summary {
            scenario: play.scenario.name.clone(),
            seed: play.seed,
            targets: story.targets(),
            expected_targets: play.scenario.expected_targets(),
            onset_s,
            first_correct_action_s: story.first_correct_action_s().map(|t_s| rounded(t_s - onset_s, 3)),
            recovered_s: measures.recovered_s,
            requests: measures.requests,
            slo_violation_share: rounded(measures.slo_violation_share, 6),
            slo_violation_share_before: rounded(measures.slo_violation_share_before, 6),
            slo_violation_share_without: rounded(without.slo_violation_share, 6),
            slo_violation_share_onset: rounded(onset.slo_violation_share, 6),
            wrong_actions: story.wrong_actions(),
            pod_seconds: rounded(measures.pod_seconds, 3),
            pod_seconds_onset: rounded(onset.pod_seconds, 3),
            recovered_without_s: without.recovered_s,
            recovered_onset_s: onset.recovered_s,
            pod_seconds_without: without.pod_seconds,
        }
    }
}

/// Digits that no measurement has are left out.
fn rounded(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

/// The same for people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        let after = |recovered: Option<f64>| recovered.map_or("never".into(), |s| format!("{s:.0} s"));
        let list = |names: &[String]| if names.is_empty() { "nothing".into() } else { names.join(", ") };
        writeln!(
            f,
            "{}, seed {}: {} requests from the onset at {} s",
            self.scenario, self.seed, self.requests, self.onset_s
        )?;
        writeln!(f, "{:32}{:>10}{:>10}{:>14}", "", "headroom", "without", "at the onset*")?;
        let mut row =
            |what: &str, cells: [String; 3]| writeln!(f, "{what:32}{:>10}{:>10}{:>14}", cells[0], cells[1], cells[2]);
        row(
            "requests that miss the objective",
            [self.slo_violation_share, self.slo_violation_share_without, self.slo_violation_share_onset].map(percent),
        )?;
        row(
            "objectives hold again after",
            [self.recovered_s, self.recovered_without_s, self.recovered_onset_s].map(after),
        )?;
        row(
            "pod-seconds",
            [self.pod_seconds, self.pod_seconds_without, self.pod_seconds_onset].map(|s| format!("{s:.0}")),
        )?;
        write!(f, "scaled out: {} (right: {})", list(&self.targets), list(&self.expected_targets))?;
        if let Some(first) = self.first_correct_action_s {
            write!(f, ", first {first:.1} s after the onset")?;
        }
        writeln!(f, "; wrong actions: {}", self.wrong_actions)?;
        write!(f, "* ordered at the very instant, knowing the peak: the limit of any reaction")
    }
}
