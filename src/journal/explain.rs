//! Why did it do that? From a journal and an id, a time or a service to the whole story: findings, the rule's proposal, the
//! guard's decision, the change and its effect.

use std::time::Duration;

use serde::Serialize;

use super::entry::{Entry, What};
use super::moment::{Happened, State};
use crate::action::Change;
use crate::analyse::Bottleneck;
use crate::guard::{ActError, Decision};
use crate::model::{DecisionId, InterventionId, ServiceId, Time, nearest};
use crate::verify::InterventionReport;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    #[error(
        "'{asked}' is no id (d-…, i-…), no time and no service of the journal{hint}; write an id, 14:03, 14:03:07, 2026-11-24T14:03 (UTC), a service, `now` or `last`"
    )]
    Question { asked: String, hint: String },
    #[error("the journal has nothing on {asked}; it covers {from} to {to}")]
    NotFound { asked: String, from: Time, to: Time },
    #[error("nothing has been decided from {from} to {to}; `headroom explain now` shows what is found")]
    NoDecision { from: Time, to: Time },
    #[error("the journal is empty as yet; wait a second for the first tick")]
    Empty,
}

/// The answer. `Display` is for people, the fields are for `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    pub asked: String,
    /// Set when a time or a service was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
    /// The decisions asked for, oldest first.
    pub stories: Vec<Story>,
}

/// The state that held as a time began, and every change within it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moment {
    pub from: Time,
    /// Not in it any more.
    pub to: Time,
    pub state: State,
    pub changes: Vec<Happened>,
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

/// Decisions that are told of a service: the last ones; all of them are in `/api/v1/decisions` and the table.
const OF_SERVICE_MAX: usize = 3;

const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);

/// Answer a decision's or an intervention's id, a time in UTC (`14:03` of the last day that has it, `14:03:07`,
/// `2026-11-24T14:03`, `now`), a service, or `last` (decision). The journal is known to hold all there is until `now`.
pub fn explain(entries: &[Entry], asked: &str, now: Time) -> Result<Explanation, ExplainError> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Err(ExplainError::Empty) };
    let (from, to) = (first.at, now.max(last.at));
    let not_found = || ExplainError::NotFound { asked: asked.into(), from, to };
    let told = |moment, stories| Explanation { asked: asked.into(), moment, stories };
    let of_intervention = || asked.parse::<InterventionId>().ok().map(InterventionId::decision);
    if let Some(id) = asked.parse::<DecisionId>().ok().or_else(of_intervention) {
        let decision = decisions(entries).find(|decision| decision.id == id).ok_or_else(not_found)?;
        return Ok(told(None, vec![story(entries, decision)]));
    }
    match asked {
        "last" => {
            let decision = decisions(entries).last().ok_or(ExplainError::NoDecision { from, to })?;
            return Ok(told(None, vec![story(entries, decision)]));
        }
        "now" => {
            let moment = Moment { from: to, to, state: State::before(entries, to + SECOND), changes: Vec::new() };
            return Ok(told(Some(moment), Vec::new()));
        }
        _ => {}
    }
    if let Some((begins, lasts)) = time(asked, to) {
        let ends = begins + lasts;
        if ends <= from.floor_second() || begins > to {
            return Err(not_found());
        }
        let within = |at: Time| begins <= at && at < ends;
        let stories = decisions(entries).filter(|d| within(d.at)).map(|d| story(entries, d)).collect();
        let state = State::before(entries, begins);
        let changes = Happened::within(entries, begins, ends);
        return Ok(told(Some(Moment { from: begins, to: ends, state, changes }), stories));
    }
    of_service(entries, asked, to).map(|(moment, stories)| told(Some(moment), stories))
}

fn decisions(entries: &[Entry]) -> impl DoubleEndedIterator<Item = &Decision> {
    entries.iter().filter_map(|entry| match &entry.what {
        What::Decided { decision } => Some(decision),
        _ => None,
    })
}

/// When the time asked for begins, and how long it lasts: a minute, or a second. Without a day it is the last such one until
/// `to`. None: it is no time.
fn time(asked: &str, to: Time) -> Option<(Time, Duration)> {
    let shape: String = asked.trim_end_matches('Z').chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (day, clock) = shape.split_once(['T', ' ']).unwrap_or(("", &shape));
    let clock = clock.split(['+', '-']).next().unwrap_or_default();
    let lasts = if clock.len() > "00:00".len() { SECOND } else { Duration::from_secs(60) };
    if !day.is_empty() {
        return Time::parse(asked).map(|at| (at.floor_second(), lasts));
    }
    let today = to.to_string();
    let at = Time::parse(&format!("{}T{asked}", today.get(..10)?))?.floor_second();
    Some((if at > to { at - DAY } else { at }, lasts))
}

/// The state at a service now, and what was decided on it last.
fn of_service(entries: &[Entry], asked: &str, to: Time) -> Result<(Moment, Vec<Story>), ExplainError> {
    let is_it = |service: &str| service == asked || ServiceId::from(service).name() == asked;
    let known = services(entries);
    if !known.iter().any(|service| is_it(service)) {
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let hint = nearest(asked, &names).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        return Err(ExplainError::Question { asked: asked.into(), hint });
    }
    let mut state = State::before(entries, to + SECOND);
    state.keep(asked, |service| is_it(service));
    let of_it = decisions(entries).rev().filter(|decision| is_it(decision.proposal.service().as_str()));
    let mut stories: Vec<Story> = of_it.take(OF_SERVICE_MAX).map(|decision| story(entries, decision)).collect();
    stories.reverse();
    Ok((Moment { from: to, to, state, changes: Vec::new() }, stories))
}

/// Services that something was found of or decided on.
fn services(entries: &[Entry]) -> std::collections::BTreeSet<String> {
    let mut services = std::collections::BTreeSet::new();
    for entry in entries {
        match &entry.what {
            What::Found { findings } => {
                services.extend(findings.services.iter().map(|finding| finding.service.to_string()));
                services.extend(findings.bottlenecks.iter().map(|bottleneck| bottleneck.service.clone()));
            }
            What::Decided { decision } => _ = services.insert(decision.proposal.service().to_string()),
            _ => {}
        }
    }
    services
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

#[cfg(test)]
mod tests;
