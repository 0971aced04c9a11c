//! What held at a time, and what happened in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::entry::{Entry, What};
use super::explain::Report;
use crate::analyse::sentences::BLIND;
use crate::analyse::{Bottleneck, Findings, Suspect};
use crate::guard::Decision;
use crate::model::{InterventionId, Origin, Pause, Pauses, ServiceId, Time};

/// What held at an instant, as far as the journal tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct State {
    /// Of this service alone; None: of all there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Since when it is told of: the start of that life of headroom, or of what is left of its journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_since: Option<Time>,
    /// No spans came; None where nothing is told yet.
    pub blind: Option<bool>,
    /// What was paused: the service (empty for all), by whom and until when.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<(String, String)>,
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

impl State {
    /// From all that was before an instant.
    pub(super) fn before(entries: &[Entry], end: Time) -> State {
        let mut findings: Option<&Findings> = None;
        let mut standing: BTreeMap<(&str, &Origin), &Decision> = BTreeMap::new();
        let mut open: BTreeMap<InterventionId, Report> = BTreeMap::new();
        let mut pauses = Pauses::default();
        let mut told_since = entries.first().map(|entry| entry.at).filter(|at| *at < end);
        for Entry { at, what } in entries.iter().take_while(|entry| entry.at < end) {
            match what {
                // Another life of headroom: what was found and paused before is gone, what lies on objects is not.
                What::Started { .. } => (findings, pauses, told_since) = (None, Pauses::default(), Some(*at)),
                What::Found { findings: found } => findings = Some(found),
                What::Decided { decision } => {
                    let proposal = &decision.proposal;
                    standing.insert((proposal.service().as_str(), &proposal.origin), decision);
                }
                What::Intervention { report } if report.stage.is_end() => drop(open.remove(&report.id)),
                What::Intervention { report } => {
                    open.insert(report.id, Report { at: *at, report: report.clone() });
                }
                What::Paused { by, service, until } => {
                    pauses.pause(service.as_deref(), Pause { by: by.clone(), since: *at, until: *until });
                }
                What::Resumed { service, .. } => pauses.resume(service.as_deref()),
                What::PauseEnded { service: None, .. } => drop(pauses.end(*at)),
                What::PauseEnded { service, .. } => pauses.resume(service.as_deref()),
                _ => {}
            }
        }
        State {
            of: None,
            told_since,
            blind: findings.map(|found| found.blind),
            paused: pauses.iter().map(|(of, pause)| (of.unwrap_or_default().to_owned(), pause.to_string())).collect(),
            bottlenecks: findings.map(|found| found.bottlenecks.clone()).unwrap_or_default(),
            silent_failures: findings.map(|found| found.silent_failures.clone()).unwrap_or_default(),
            standing: standing.into_values().cloned().collect(),
            open: open.into_values().collect(),
        }
    }

    /// Only what is of a service, whose identities are told apart by `is_it`.
    pub(super) fn keep(&mut self, service: &str, is_it: impl Fn(&str) -> bool) {
        self.of = Some(service.to_owned());
        self.paused
            .retain(|(service, _)| service.is_empty() || is_it(service) || is_it(ServiceId::from(&**service).name()));
        self.bottlenecks.retain(|bottleneck| is_it(&bottleneck.service));
        self.silent_failures.retain(|suspect| is_it(&suspect.service));
        self.standing.retain(|decision| is_it(decision.proposal.service().as_str()));
        self.open.retain(|open| is_it(open.report.service.as_str()));
    }
}

/// One change, in a sentence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Happened {
    pub at: Time,
    pub text: String,
}

impl Happened {
    /// Every change from `from` on and before `to`.
    pub(super) fn within(entries: &[Entry], from: Time, to: Time) -> Vec<Happened> {
        let mut found = Known::default();
        let mut happened = Vec::new();
        for Entry { at, what } in entries.iter().take_while(|entry| entry.at < to) {
            let texts = match what {
                What::Found { findings } => found.changes(findings),
                what => told(what).into_iter().collect(),
            };
            if *at >= from {
                happened.extend(texts.into_iter().map(|text| Happened { at: *at, text }));
            }
        }
        happened
    }
}

/// What was found last.
#[derive(Default)]
struct Known {
    blind: bool,
    bottlenecks: Vec<Bottleneck>,
    silent: BTreeSet<String>,
}

impl Known {
    fn changes(&mut self, findings: &Findings) -> Vec<String> {
        let mut texts = Vec::new();
        if findings.blind && !self.blind {
            texts.push(BLIND.to_owned());
        } else if self.blind && !findings.blind {
            texts.push("spans arrive again".into());
        }
        let is_same =
            |a: &Bottleneck, b: &Bottleneck| (&a.entry, &a.service, a.verdict) == (&b.entry, &b.service, b.verdict);
        let is_new = |b: &&Bottleneck| !self.bottlenecks.iter().any(|known| is_same(known, b));
        texts.extend(findings.bottlenecks.iter().filter(is_new).map(Bottleneck::summary));
        // An endpoint that meets its objective again; where another service is to blame it was said above.
        let is_over = |entry: &str| !findings.blind && !findings.bottlenecks.iter().any(|b| b.entry == entry);
        let over: BTreeSet<&str> =
            self.bottlenecks.iter().map(|b| b.entry.as_str()).filter(|entry| is_over(entry)).collect();
        texts.extend(over.into_iter().map(|entry| format!("{entry}: objective met again")));
        let silent = |suspect: &&Suspect| !self.silent.contains(&suspect.service);
        texts.extend(findings.silent_failures.iter().filter(silent).map(Suspect::summary));
        self.blind = findings.blind;
        self.bottlenecks.clone_from(&findings.bottlenecks);
        self.silent = findings.silent_failures.iter().map(|suspect| suspect.service.clone()).collect();
        texts
    }
}

/// A step other than findings; None for what is no change, or is told with its decision.
fn told(what: &What) -> Option<String> {
    let of = |service: &Option<String>| service.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    Some(match what {
        What::Started { version, .. } => format!("headroom {version} started"),
        What::Decided { decision } => format!("{}: {}", decision.id, super::prose::headline(decision)),
        What::Acted { decision, error: Some(error), .. } => format!("{decision}: change failed: {error}"),
        What::Intervention { report } => {
            format!("{}: {}: {}", report.id, report.stage.as_str().replace('_', " "), report.reason)
        }
        What::Paused { by, service, until } => {
            let until = until.map(|until| format!(", until {until}")).unwrap_or_default();
            format!("paused{} by {by}{until}", of(service))
        }
        What::Resumed { by, service } => format!("resumed{} by {by}", of(service)),
        What::PauseEnded { by, service } => format!("the pause{} by {by} came to its end", of(service)),
        What::Rules { rules } => format!("{} rules reloaded", rules.len()),
        What::Queries { .. } => "queries reloaded".into(),
        What::RuleFailed { error, .. } => error.clone(),
        What::RuleStopped { rule, .. } => format!("rule {rule} took too long and is switched off until its text changes"),
        What::RuleSkipped { rule, service, reason } => format!("proposal of {rule} for {service} dropped: {reason}"),
        What::AnalysisFailed { error } => format!("analysis failed: {error}"),
        What::ClockStepped { seconds } => format!("all clocks stepped by {} s", seconds.seconds),
        What::Gap { dropped } => format!("{dropped} entries of the journal were lost here"),
        What::Found { .. } // told by what it changes
        | What::Ingested { .. }
        | What::Ticked
        | What::Cluster { .. }
        | What::ClusterUnchanged { .. }
        | What::Learnt { .. }
        | What::Floors { .. }
        | What::Traffic { .. }
        | What::Acted { error: None, .. }
        | What::RulePrinted { .. } => return None,
    })
}
