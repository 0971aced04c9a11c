//! Capacity that was raised ahead of a planned event, as it looks afterwards: whether it was ready, how much of it was
//! needed, and what it cost.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Entry, What};
use crate::action::Action;
use crate::guard::Outcome;
use crate::model::{Origin, Time};

/// One service, raised for one event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Planned {
    pub event: String,
    pub service: String,
    pub at: Time,
    pub until: Time,
    pub from: u32,
    pub to: u32,
    /// Until all of its pods were ready, in seconds; None where the journal does not show it.
    pub ready_after_s: Option<f64>,
    /// The most that the load needed meanwhile, as it was seen; None where nothing was.
    pub needed: Option<u32>,
    pub replica_hours: f64,
    /// Findings meanwhile in which an objective that crosses the service was missed, of all.
    pub missed: usize,
    pub findings: usize,
}

/// Those raised from `from` on.
pub(super) fn all(entries: &[Entry], from: Time) -> Vec<Planned> {
    let mut planned: Vec<Planned> = Vec::new();
    // By service: what is raised now.
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    let mut last_at: BTreeMap<String, (Time, u32)> = BTreeMap::new();
    for entry in entries {
        match &entry.what {
            What::Decided { decision } if decision.at >= from => {
                let (Origin::Schedule(event), Outcome::Permitted { from, to }) =
                    (&decision.proposal.origin, &decision.outcome)
                else {
                    continue;
                };
                let Action::RaiseFloor(raise) = &decision.proposal.action else { continue };
                let service = raise.service.to_string();
                open.insert(service.clone(), planned.len());
                planned.push(Planned {
                    event: event.clone(),
                    service,
                    at: decision.at,
                    until: raise.until,
                    from: *from,
                    to: *to,
                    ready_after_s: None,
                    needed: None,
                    replica_hours: 0.0,
                    missed: 0,
                    findings: 0,
                });
            }
            What::Cluster { state } => {
                for workload in &state.workloads {
                    let service = workload.service.as_str();
                    let Some(one) = open.get(service).and_then(|at| planned.get_mut(*at)) else { continue };
                    cost(one, last_at.insert(service.to_owned(), (entry.at, workload.replicas)), entry.at);
                    if one.ready_after_s.is_none() && workload.ready() >= one.to {
                        one.ready_after_s = Some(entry.at.seconds_since(one.at));
                    }
                    if workload.replicas <= one.from && entry.at > one.until {
                        open.remove(service);
                    }
                }
            }
            What::Found { findings } if !findings.blind => {
                for found in &findings.services {
                    let Some(one) = open.get(found.service.as_str()).and_then(|at| planned.get_mut(*at)) else {
                        continue;
                    };
                    if entry.at < one.until {
                        one.findings += 1;
                        one.missed += usize::from(found.objective_missed);
                        one.needed = one.needed.max(found.replicas_needed);
                    }
                }
            }
            _ => {}
        }
    }
    planned
}

/// Adds what ran beyond what was there before, since the state before this one.
fn cost(one: &mut Planned, before: Option<(Time, u32)>, now: Time) {
    let Some((since, replicas)) = before else { return };
    let hours = now.seconds_since(since.max(one.at)).max(0.0) / 3_600.0;
    one.replica_hours += f64::from(replicas.min(one.to).saturating_sub(one.from)) * hours;
}

impl Planned {
    /// How it looks: one sentence without a full stop.
    pub fn in_words(&self) -> String {
        let Planned { event, service, from, to, .. } = self;
        let ready = match self.ready_after_s {
            Some(after_s) => format!("ready {after_s:.0} s later"),
            None => "never seen ready as a whole".to_owned(),
        };
        let needed = match self.needed {
            Some(needed) if needed > *from => format!("the load needed up to {needed}"),
            Some(needed) => format!("the load never needed more than {needed}"),
            None => "what the load needed was not seen".to_owned(),
        };
        let hours = self.replica_hours;
        format!(
            "{event}: {service} from {from} to {to} replicas at {}, {ready}; {needed}; {hours:.1} replica-hours",
            self.at
        )
    }
}
