//! What a journal looks like in hindsight: when objectives were missed, what was or would have been done, how each outage
//! ended, and how right each decision looks now.
//!
//! It is an estimate. The journal has findings where they changed, so that shares between two of them are taken to hold.

mod changes;
mod incident;
mod judgement;
mod planned;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;

use super::entry::{Entry, What};
use crate::guard::{Decision, Gate, Outcome};
use crate::model::{DecisionId, Time};

pub use changes::Change;
pub use incident::{Ending, Incident, Point};
pub use judgement::{Judged, Judgement, Means, seconds};
pub use planned::Planned;

/// Everything there is to say of a stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hindsight {
    pub from: Time,
    pub to: Time,
    /// Outages, oldest first.
    pub incidents: Vec<Incident>,
    /// Decisions outside of outages: what is given back, what is told of silent failures.
    pub others: Vec<Judged>,
    /// What was raised ahead of planned events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub planned: Vec<Planned>,
    /// Times at which headroom started, and at which no spans arrived.
    pub starts: usize,
    pub blind: usize,
}

/// A decision as it is looked at later.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Looked {
    pub id: DecisionId,
    pub at: Time,
    pub rule: String,
    pub service: String,
    /// In the infinitive: `scale auth 2 -> 6`.
    pub effect: String,
    pub means: Means,
    /// Replicas before and after, where they are to change.
    pub replicas: Option<(u32, u32)>,
    /// Gates that refused, or that would refuse in `enforce` mode.
    pub refused_by: Vec<String>,
    pub because: String,
}

impl Looked {
    fn at(decision: &Decision) -> Looked {
        let proposal = &decision.proposal;
        let (means, step, refused_by) = match &decision.outcome {
            Outcome::Permitted { from, to } => (Means::Done, Some((*from, *to)), Vec::new()),
            Outcome::Observed { from, to, refused_by } => {
                let gates = refused_by.iter().map(|refusal| refusal.gate.as_str().to_owned()).collect();
                (Means::Would, Some((*from, *to)), gates)
            }
            Outcome::Notified => (Means::Told, None, Vec::new()),
            Outcome::Refused { gate, .. } => (Means::Refused, None, vec![gate.as_str().to_owned()]),
        };
        Looked {
            id: decision.id,
            at: decision.at,
            rule: proposal.origin.to_string(),
            service: proposal.service().to_string(),
            effect: decision.effect(),
            means,
            replicas: step.filter(|(from, to)| from != to),
            refused_by,
            because: proposal.because.clone(),
        }
    }
}

/// Looks back at the entries from `from` on.
pub fn look_back(entries: &[Entry], from: Time) -> Hindsight {
    let to = entries.last().map_or(from, |entry| entry.at);
    let first = entries.first().map_or(from, |entry| entry.at);
    let from = from.max(first);
    let changes = changes::by_others(entries);
    let mut incidents = incident::all(entries);
    incidents.retain(|incident| incident.to.is_none_or(|end| end >= from));
    let mut others = Vec::new();
    let decisions = entries.iter().filter_map(|entry| match &entry.what {
        What::Decided { decision } if decision.at >= from => Some(decision),
        _ => None,
    });
    let fate = judgement::Fates::of(entries);
    let mut decided: Vec<Vec<Looked>> = incidents.iter().map(|_| Vec::new()).collect();
    for decision in decisions {
        if is_not_yet(decision) {
            continue;
        }
        let looked = Looked::at(decision);
        // What gives replicas back is judged by what comes after, not by the outage it may lie in.
        let gives_back = looked.replicas.is_some_and(|(from, to)| to < from);
        match incidents.iter().position(|incident| incident.holds(looked.at)) {
            Some(place) if !gives_back => decided[place].push(looked),
            _ => others.push(looked),
        }
    }
    for (incident, decided) in incidents.iter_mut().zip(decided) {
        incident.close(&changes, &fate, decided, to);
    }
    let others = others.into_iter().map(|looked| judgement::outside(looked, &incidents, &fate, to)).collect();
    let within = || entries.iter().filter(|entry| entry.at >= from);
    let mut was_blind = false;
    let blind = within().filter(|entry| match &entry.what {
        What::Found { findings } => findings.blind && !std::mem::replace(&mut was_blind, findings.blind),
        _ => false,
    });
    let blind = blind.count();
    let starts = within().filter(|entry| matches!(entry.what, What::Started { .. })).count();
    let planned = planned::all(entries, from);
    Hindsight { from, to, incidents, others, planned, starts, blind }
}

/// Refused for a moment only: it comes again by itself, and is looked at when it does.
fn is_not_yet(decision: &Decision) -> bool {
    matches!(decision.outcome, Outcome::Refused { gate: Gate::Cooldown | Gate::Stabilisation, .. })
}

impl Hindsight {
    /// Every decision, those of outages first.
    pub fn judged(&self) -> impl Iterator<Item = &Judged> {
        self.incidents.iter().flat_map(|incident| &incident.decisions).chain(&self.others)
    }

    /// Time in which some objective was missed.
    pub fn missed(&self) -> Duration {
        self.incidents.iter().map(|incident| incident.lasted(self.to)).sum()
    }

    /// Outages that ended so.
    pub fn ended(&self, ending: Ending) -> usize {
        self.incidents.iter().filter(|incident| incident.ending == ending).count()
    }

    /// Of outages in which something was, or would have been, done: how long after their beginning the first time.
    pub fn first_steps(&self) -> Vec<Duration> {
        let first = |incident: &Incident| {
            let acted = incident.decisions.iter().find(|judged| judged.of.means.acts());
            acted.map(|judged| since(judged.of.at, incident.from))
        };
        self.incidents.iter().filter_map(first).collect()
    }
}

/// From one instant to a later one; nothing where it is none.
fn since(later: Time, earlier: Time) -> Duration {
    Duration::from_nanos(later.nanos_since(earlier).max(0) as u64) // not negative
}
