//! The outcome: the burst with headroom, without it, and with an operator who ordered what the peak needs at the instant
//! of the onset.

use std::fmt;

use serde::Serialize;

use super::Play;
use super::story::{Named, Story};
use crate::analyse::Verdict;
use crate::simulate::{EntryMeasures, EventMeasures, Measures, References, Restart};

/// The last line of `demo --json`. Shares are 0 to 1, of the requests that arrive in the scenario's measured window
/// from the onset; pod-seconds are counted over the same window.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
    /// The same of those requests alone that the front door let in.
    pub recovered_let_in_s: Option<f64>,
    pub requests: u64,
    /// Of the requests, what the front door turned away. It is part of `slo_violation_share`.
    pub shed_share: f64,
    pub slo_violation_share: f64,
    /// Before the onset.
    pub slo_violation_share_before: f64,
    /// Null, as all that compares, for a run that was ended before the scenario's end.
    pub slo_violation_share_without: Option<f64>,
    /// As without, where there is nothing to order.
    pub slo_violation_share_onset: Option<f64>,
    /// Changes of services that are no expected target, and restarts of pods that had no fault of their own.
    pub wrong_actions: usize,
    /// Pods that were restarted.
    pub restarts: Vec<Restart>,
    pub pod_seconds: f64,
    pub pod_seconds_onset: Option<f64>,
    /// Of one who knows the rates to come; null where the scenario has no calendar.
    pub pod_seconds_oracle: Option<f64>,
    pub slo_violation_share_oracle: Option<f64>,
    /// With perfect admission from the onset on and the scale-outs of this run; null where no traffic is shaped.
    pub slo_violation_share_shed_onset: Option<f64>,
    /// Requests that arrived while an event's participants were there.
    pub events: Vec<EventMeasures>,
    pub findings: Vec<FindingSummary>,
    /// What users got of each entry operation.
    pub entries: Vec<EntryMeasures>,
    /// From the onset to the arrival of each of the first twenty spans in which the fault shows, and to the end of the
    /// first call that it let be refused or time out.
    pub affected_arrived_s: Vec<f64>,
    pub first_unanswered_s: Option<f64>,
    /// When the last fault or burst ends, since the scenario's start; null when one does not.
    pub trouble_ends_s: Option<f64>,
    /// Pods that a fault makes slow: restarting another is wrong.
    pub bad_pods: Vec<String>,
    /// Replicas that the expected targets need at the peak, at 75 % utilisation, in their order.
    pub needed: Vec<u32>,
    /// What became of the requests of each priority, the highest first.
    pub priorities: Vec<OfPriority>,
    #[serde(skip)]
    recovered_without_s: Option<f64>,
    #[serde(skip)]
    recovered_onset_s: Option<f64>,
    #[serde(skip)]
    pod_seconds_without: Option<f64>,
}

/// All requests of one priority. Shares are of them all: who was turned away missed nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfPriority {
    pub priority: u8,
    pub requests: u64,
    /// Answered 429 by the front door.
    pub shed_share: f64,
    /// Let in, and slow, refused, failed or not answered.
    pub missed_share: f64,
    /// Null for a run that was ended before the scenario's end.
    pub missed_share_without: Option<f64>,
}

/// One service and verdict that should be named, and how it went. Times are from the onset; null: never.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FindingSummary {
    pub service: String,
    pub verdict: String,
    /// When users first missed an objective of an endpoint that crosses the service: the simulator's truth.
    pub first_missed_s: Option<f64>,
    /// When this service was first named as the bottleneck of such an endpoint, with this verdict.
    pub first_correct_s: Option<f64>,
    /// From the one to the other.
    pub delay_s: Option<f64>,
    /// How often another service or verdict began to be named for such an endpoint, `unknown` left out, until then and
    /// from then on.
    pub wrong_before: usize,
    pub wrong_after: usize,
}

impl Summary {
    pub fn new(play: &Play, story: &Story, measures: &Measures, references: Option<&References>) -> Summary {
        let without = references.map(|r| &r.without);
        let onset = references.map(|r| &r.onset);
        let oracle = references.and_then(|r| r.oracle.as_ref());
        let shed_onset = references.and_then(|r| r.shed_onset.as_ref());
        let onset_s = play.scenario.truth.onset_s;
        let healthy_restarted = measures.restarts.iter().filter(|restart| !restart.was_bad).count();
        Summary {
            scenario: play.scenario.name.clone(),
            seed: play.seed,
            targets: story.targets(),
            expected_targets: play.scenario.expected_targets(),
            onset_s,
            first_correct_action_s: story.first_correct_action_s().map(|t_s| rounded(t_s - onset_s, 3)),
            recovered_s: measures.recovered_s,
            recovered_let_in_s: measures.recovered_let_in_s,
            requests: measures.requests,
            shed_share: rounded(share(measures.shed, measures.requests), 6),
            slo_violation_share: rounded(measures.slo_violation_share, 6),
            slo_violation_share_before: rounded(measures.slo_violation_share_before, 6),
            slo_violation_share_without: without.map(|m| rounded(m.slo_violation_share, 6)),
            slo_violation_share_onset: onset.map(|m| rounded(m.slo_violation_share, 6)),
            wrong_actions: story.wrong_targets() + healthy_restarted,
            restarts: measures.restarts.clone(),
            pod_seconds: rounded(measures.pod_seconds, 3),
            pod_seconds_onset: onset.map(|m| rounded(m.pod_seconds, 3)),
            pod_seconds_oracle: oracle.map(|m| rounded(m.pod_seconds, 3)),
            slo_violation_share_oracle: oracle.map(|m| rounded(m.slo_violation_share, 6)),
            slo_violation_share_shed_onset: shed_onset.map(|m| rounded(m.slo_violation_share, 6)),
            events: measures.events.clone(),
            findings: findings(play, story, measures),
            entries: measures.entries.clone(),
            affected_arrived_s: measures.affected_arrived_s.iter().map(|s| rounded(*s, 3)).collect(),
            first_unanswered_s: measures.first_unanswered_s.map(|s| rounded(s, 3)),
            trouble_ends_s: play.scenario.trouble_ends_s(),
            bad_pods: measures.bad_pods.clone(),
            needed: play.scenario.needed_at_peak(),
            priorities: priorities(measures, without),
            recovered_without_s: without.and_then(|m| m.recovered_s),
            recovered_onset_s: onset.and_then(|m| m.recovered_s),
            pod_seconds_without: without.map(|m| m.pod_seconds),
        }
    }
}

fn priorities(measures: &Measures, without: Option<&Measures>) -> Vec<OfPriority> {
    let mut known: Vec<u8> = measures.entries.iter().map(|entry| entry.priority).collect();
    known.sort_unstable_by(|a, b| b.cmp(a));
    known.dedup();
    let sum = |measures: &Measures, priority: u8, of: fn(&EntryMeasures) -> u64| {
        measures.entries.iter().filter(|entry| entry.priority == priority).map(of).sum::<u64>()
    };
    let missed = |measures: &Measures, priority: u8| {
        let missed = sum(measures, priority, |e| e.slow + e.refused + e.failed + e.timed_out + e.unfinished);
        rounded(share(missed, sum(measures, priority, |e| e.requests)), 6)
    };
    let one = |priority: u8| {
        let requests = sum(measures, priority, |e| e.requests);
        OfPriority {
            priority,
            requests,
            shed_share: rounded(share(sum(measures, priority, |e| e.shed), requests), 6),
            missed_share: missed(measures, priority),
            missed_share_without: without.map(|without| missed(without, priority)),
        }
    };
    known.into_iter().map(one).collect()
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn findings(play: &Play, story: &Story, measures: &Measures) -> Vec<FindingSummary> {
    let (scenario, truth) = (&play.scenario, &play.scenario.truth);
    let expected = scenario.expected_findings();
    let is_it = |named: &Named, (service, verdict): (usize, &str)| {
        named.verdict.as_str() == verdict && scenario.services[service].name == named.service
    };
    let is_expected = |named: &Named| expected.iter().any(|finding| is_it(named, *finding));
    let finding = |&(service, verdict): &(usize, &str)| {
        let name = &scenario.services[service].name;
        let crossing: Vec<usize> = (0..scenario.entries.len()).filter(|&e| scenario.reaches(e, service)).collect();
        let first_missed_s = crossing.iter().filter_map(|&e| measures.entries[e].first_missed_s).min_by(f64::total_cmp);
        let named: Vec<&Named> = story
            .named
            .iter()
            .filter(|named| crossing.iter().any(|&e| named.is_of(scenario, e)) && named.t_s >= truth.onset_s)
            .collect();
        let correct = named.iter().find(|named| is_it(named, (service, verdict))).map(|named| named.t_s);
        let until = correct.unwrap_or(f64::INFINITY);
        let wrong = named.iter().filter(|named| named.verdict != Verdict::Unknown && !is_expected(named));
        let (before, after): (Vec<&&Named>, Vec<&&Named>) = wrong.partition(|named| named.t_s < until);
        let first_correct_s = correct.map(|t_s| rounded(t_s - truth.onset_s, 3));
        FindingSummary {
            service: name.clone(),
            verdict: verdict.to_owned(),
            first_missed_s,
            first_correct_s,
            delay_s: first_correct_s.zip(first_missed_s).map(|(correct, missed)| rounded(correct - missed, 3)),
            wrong_before: before.len(),
            wrong_after: after.len(),
        }
    };
    expected.iter().map(finding).collect()
}

/// Digits that no measurement has are left out.
fn rounded(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

/// The same for people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dash = || "-".to_owned();
        let percent = |share: Option<f64>| share.map_or_else(dash, |share| format!("{:.2} %", share * 100.0));
        let after = |recovered: Option<f64>| recovered.map_or("never".into(), |s| format!("{s:.0} s"));
        let list = |names: &[String]| if names.is_empty() { "nothing".into() } else { names.join(", ") };
        writeln!(
            f,
            "{}, seed {}: {} requests from the onset at {} s",
            self.scenario, self.seed, self.requests, self.onset_s
        )?;
        writeln!(f, "{:32}{:>10}{:>10}{:>14}", "", "headroom", "no action", "ideal*")?;
        let mut row =
            |what: &str, cells: [String; 3]| writeln!(f, "{what:32}{:>10}{:>10}{:>14}", cells[0], cells[1], cells[2]);
        let is_shaped = self.shed_share > 0.0;
        let [without, onset] = [self.slo_violation_share_without, self.slo_violation_share_onset];
        if is_shaped {
            // The references turn nobody away.
            let none = without.map(|_| 0.0);
            row("requests turned away", [Some(self.shed_share), none, none].map(percent))?;
            let missed = (self.slo_violation_share - self.shed_share).max(0.0);
            row("let in, but miss the objective", [Some(missed), without, onset].map(percent))?;
        } else {
            row("requests that miss the objective", [Some(self.slo_violation_share), without, onset].map(percent))?;
        }
        let recovered = if is_shaped { self.recovered_let_in_s } else { self.recovered_s };
        // Of a run that ended early there are no references.
        let reference = |recovered: Option<f64>| if without.is_some() { after(recovered) } else { dash() };
        let references = || [self.recovered_without_s, self.recovered_onset_s].map(reference);
        let [nobody, ideal] = references();
        row("objectives met again after", [after(recovered), nobody, ideal])?;
        if is_shaped {
            let [nobody, ideal] = references();
            row("all let in, and met, again after", [after(self.recovered_s), nobody, ideal])?;
        }
        row(
            "pod-seconds",
            [Some(self.pod_seconds), self.pod_seconds_without, self.pod_seconds_onset]
                .map(|s| s.map_or_else(dash, |s| format!("{s:.0}"))),
        )?;
        if is_shaped {
            writeln!(
                f,
                "{:10}{:>10}{:>14}{:>10}{:>22}",
                "priority", "requests", "turned away", "missed", "missed, no action"
            )?;
            for of in &self.priorities {
                let [shed, missed, without] =
                    [Some(of.shed_share), Some(of.missed_share), of.missed_share_without].map(percent);
                writeln!(f, "{:<10}{:>10}{shed:>14}{missed:>10}{without:>22}", of.priority, of.requests)?;
            }
        }
        write!(f, "scaled out: {} (right: {})", list(&self.targets), list(&self.expected_targets))?;
        if let Some(first) = self.first_correct_action_s {
            write!(f, ", first {first:.1} s after the onset")?;
        }
        if !self.restarts.is_empty() {
            let bad = self.restarts.iter().filter(|restart| restart.was_bad).count();
            write!(f, "; pods restarted: {}, {bad} of them bad", self.restarts.len())?;
        }
        writeln!(f, "; wrong actions: {}", self.wrong_actions)?;
        for found in &self.findings {
            writeln!(f, "{found}")?;
        }
        write!(f, "* ideal: every pod of the peak ordered at the onset, the limit of any reaction")?;
        if self.expected_targets.is_empty() { write!(f, "; here none can be, so it is as no action") } else { Ok(()) }
    }
}

impl fmt::Display for FindingSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = |count: usize| match count {
            0 => "0 times".to_owned(),
            1 => "once".to_owned(),
            more => format!("{more} times"),
        };
        write!(f, "{} ({}): ", self.service, self.verdict)?;
        match (self.first_correct_s, self.delay_s) {
            (Some(_), Some(delay)) if delay < 0.0 => {
                write!(f, "named {:.0} s before the first missed objective", -delay)?
            }
            (Some(_), Some(delay)) => write!(f, "named {delay:.0} s after the first missed objective")?,
            (Some(correct), None) => write!(f, "named {correct:.0} s after the onset")?,
            (None, _) => write!(f, "never named")?,
        }
        write!(f, "; misdiagnosed {} before, {} after", times(self.wrong_before), times(self.wrong_after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of `headroom demo --shape --scenario beyond-capacity`, which was once told as 73 % that missed the objective.
    #[test]
    fn who_is_turned_away_is_told_apart_from_who_was_let_in_and_missed() {
        let of = |priority, requests, shed_share, missed_share| OfPriority {
            priority,
            requests,
            shed_share,
            missed_share,
            missed_share_without: Some(0.9),
        };
        let summary = Summary {
            scenario: "beyond-capacity".into(),
            seed: 1,
            onset_s: 60.0,
            requests: 96_073,
            shed_share: 0.718_443,
            slo_violation_share: 0.731_59,
            slo_violation_share_without: Some(0.915_273),
            slo_violation_share_onset: Some(0.915_273),
            recovered_s: Some(210.0),
            recovered_let_in_s: Some(35.0),
            recovered_without_s: Some(215.0),
            recovered_onset_s: Some(215.0),
            pod_seconds: 2_400.0,
            pod_seconds_onset: Some(2_400.0),
            pod_seconds_without: Some(2_400.0),
            priorities: vec![of(3, 2_434, 0.0, 0.023_418), of(2, 74_418, 0.821_938, 0.005_066), of(0, 4_879, 0.0, 0.0)],
            ..Summary::default()
        };
        insta::assert_snapshot!(summary);
    }
}
