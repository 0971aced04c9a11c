//! Why did it do that? From a journal and an id or a time to the whole story: findings, the rule's proposal, the guard's
//! decision, the change and its effect.

use std::collections::BTreeMap;

use serde::Serialize;

use super::entry::{Entry, What};
use crate::action::Change;
use crate::analyse::{Bottleneck, Findings, Suspect};
use crate::guard::{ActError, Decision};
use crate::model::{DecisionId, InterventionId, Origin, Time};
use crate::verify::InterventionReport;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    #[error("'{0}' is neither an id (d-…, i-…) nor a time; write 14:03, 14:03:07 or 2026-11-24T14:03, in UTC")]
    Question(String),
    #[error("the journal has nothing on {asked}; it covers {from} to {to}")]
    NotFound { asked: String, from: Time, to: Time },
    #[error("the journal is empty; wait for the first tick")]
    Empty,
}

/// The answer. `Display` is for people, the fields are for `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    pub asked: String,
    /// The decisions asked for, oldest first.
    pub stories: Vec<Story>,
    /// Set when nothing was decided at the time asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Quiet>,
}

/// One decision and all that belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Story {
    pub decision: Decision,
    /// The bottleneck at its target, as last found before the decision.
    pub found: Option<Found>,
    /// The cluster's answers to its permit.
    pub acts: Vec<Act>,
    /// Every report on its intervention.
    pub life: Vec<Report>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    pub at: Time,
    pub bottleneck: Bottleneck,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Act {
    pub at: Time,
    pub change: Change,
    pub error: Option<ActError>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub at: Time,
    #[serde(flatten)]
    pub report: InterventionReport,
}

/// A time at which nothing was decided: the state that held then.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quiet {
    /// Worst first; empty when all was well.
    pub bottlenecks: Vec<Bottleneck>,
    /// Services at fault with high probability, though no objective is missed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub silent_failures: Vec<Suspect>,
    /// The last decision until then on each target and rule: a refusal that lasts is not written again.
    pub standing: Vec<Decision>,
    /// Interventions that were open.
    pub open: Vec<Report>,
}

/// Answer a decision's id, an intervention's id, or a time in UTC: `14:03` (of the last day that has it),
/// `14:03:07`, `2026-11-24T14:03`, `2026-11-24T14:03:07`.
pub fn explain(entries: &[Entry], asked: &str) -> Result<Explanation, ExplainError> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Err(ExplainError::Empty) };
    let not_found = || ExplainError::NotFound { asked: asked.into(), from: first.at, to: last.at };
    let mut explanation = Explanation { asked: asked.into(), stories: Vec::new(), quiet: None };
    let of_intervention = || asked.parse::<InterventionId>().ok().map(InterventionId::decision);
    if let Some(id) = asked.parse::<DecisionId>().ok().or_else(of_intervention) {
        let decision = decisions(entries).find(|decision| decision.id == id).ok_or_else(not_found)?;
        explanation.stories.push(story(entries, decision));
        return Ok(explanation);
    }
    let moment = moment(entries, asked.trim_end_matches('Z'))?.ok_or_else(not_found)?;
    let within = |at: Time| at.to_string().starts_with(&moment);
    explanation.stories = decisions(entries).filter(|d| within(d.at)).map(|d| story(entries, d)).collect();
    if explanation.stories.is_empty() {
        if !entries.iter().any(|entry| within(entry.at)) {
            return Err(not_found());
        }
        explanation.quiet = Some(quiet(entries, &moment));
    }
    Ok(explanation)
}

fn decisions(entries: &[Entry]) -> impl Iterator<Item = &Decision> {
    entries.iter().filter_map(|entry| match &entry.what {
        What::Decided { decision } => Some(decision),
        _ => None,
    })
}

/// The beginning that all times asked for share when written as RFC 3339; None when no entry has it.
fn moment(entries: &[Entry], asked: &str) -> Result<Option<String>, ExplainError> {
    let shape: String = asked.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    match shape.as_str() {
        "0000-00-00T00:00" | "0000-00-00T00:00:00" => Ok(Some(asked.into())),
        "00:00" | "00:00:00" => {
            let of_day = |entry: &Entry| {
                let text = entry.at.to_string();
                let (day, time) = text.split_once('T')?;
                time.starts_with(asked).then(|| format!("{day}T{asked}"))
            };
            Ok(entries.iter().rev().find_map(of_day))
        }
        _ => Err(ExplainError::Question(asked.into())),
    }
}

fn story(entries: &[Entry], decision: &Decision) -> Story {
    let service = decision.proposal.service().as_str();
    let mut story = Story { decision: decision.clone(), found: None, acts: Vec::new(), life: Vec::new() };
    for Entry { at, what } in entries {
        match what {
            // What was found later is not why.
            What::Found { findings } if *at <= decision.at => {
                let at_target = findings.bottlenecks.iter().find(|b| b.service == service);
                story.found = at_target.map(|b| Found { at: findings.at, bottleneck: b.clone() });
            }
            What::Acted { decision: id, change, error } if *id == decision.id => {
                story.acts.push(Act { at: *at, change: change.clone(), error: error.clone() });
            }
            What::Intervention { report } if report.decision == decision.id => {
                story.life.push(Report { at: *at, report: report.clone() });
            }
            _ => {}
        }
    }
    story
}

fn quiet(entries: &[Entry], moment: &str) -> Quiet {
    let mut findings: Option<&Findings> = None;
    let mut standing: BTreeMap<(&str, &Origin), &Decision> = BTreeMap::new();
    let mut open: BTreeMap<InterventionId, Report> = BTreeMap::new();
    // RFC 3339 sorts as text, and '~' comes after every digit: everything up to the end of the moment.
    let end = format!("{moment}~");
    for Entry { at, what } in entries.iter().take_while(|entry| entry.at.to_string() < end) {
        match what {
            What::Found { findings: found } => findings = Some(found),
            What::Decided { decision } => {
                let proposal = &decision.proposal;
                standing.insert((proposal.service().as_str(), &proposal.origin), decision);
            }
            What::Intervention { report } if report.stage.is_end() => drop(open.remove(&report.id)),
            What::Intervention { report } => {
                open.insert(report.id, Report { at: *at, report: report.clone() });
            }
            _ => {}
        }
    }
    Quiet {
        bottlenecks: findings.map(|f| f.bottlenecks.clone()).unwrap_or_default(),
        silent_failures: findings.map(|f| f.silent_failures.clone()).unwrap_or_default(),
        standing: standing.into_values().cloned().collect(),
        open: open.into_values().collect(),
    }
}

#[cfg(test)]
mod tests;
