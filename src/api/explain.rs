//! Why did it do that: the story of one decision, from the journal's entries.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::analyse::Bottleneck;
use crate::decide::Wish;
use crate::guard::{Change, Decision, Outcome};
use crate::journal::{Entry, What};
use crate::model::Time;
use crate::verify::InterventionReport;

/// Everything that is known of one decision, in the order it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was found at the target before it was decided.
    pub bottleneck: Option<Bottleneck>,
    pub decision: Option<Decision>,
    pub attempts: Vec<Attempt>,
    /// Every change of its stage.
    pub intervention: Vec<Report>,
}

/// One attempt to change the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub at: Time,
    pub change: Change,
    /// None when the cluster took it.
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub at: Time,
    #[serde(flatten)]
    pub report: InterventionReport,
}

/// The story of a decision or of an intervention, by the id of either. `entries` come oldest first.
pub fn explain<'a>(id: &str, entries: impl Iterator<Item = &'a Entry> + Clone) -> Option<Explanation> {
    // An intervention's id leads to its decision's.
    let decision_id = entries
        .clone()
        .find_map(|entry| match &entry.what {
            What::Intervention { report } if report.id == id => Some(report.decision.as_str()),
            What::Acted { decision, change: Change::Scale { record, .. }, .. } if record.id == id => Some(decision),
            _ => None,
        })
        .unwrap_or(id);

    let mut story = Explanation { bottleneck: None, decision: None, attempts: Vec::new(), intervention: Vec::new() };
    let mut found: Option<&[Bottleneck]> = None;
    for entry in entries {
        match &entry.what {
            What::Found { findings } => found = Some(&findings.bottlenecks),
            What::Decided { decision } if decision.id == decision_id => {
                let service = decision.proposal.wish.service().as_str();
                story.bottleneck = found.into_iter().flatten().find(|b| b.service == service).cloned();
                story.decision = Some(decision.clone());
            }
            What::Acted { decision, change, error } if decision == decision_id => story.attempts.push(Attempt {
                at: entry.at,
                change: change.clone(),
                error: error.as_ref().map(ToString::to_string),
            }),
            What::Intervention { report } if report.decision == decision_id || report.id == id => {
                story.intervention.push(Report { at: entry.at, report: report.clone() });
            }
            _ => {}
        }
    }
    let known = story.decision.is_some() || !story.attempts.is_empty() || !story.intervention.is_empty();
    known.then_some(story)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(decision) = &self.decision {
            let proposal = &decision.proposal;
            writeln!(f, "{} decision {}", decision.at, decision.id)?;
            match &proposal.wish {
                Wish::ScaleOut { service, to, .. } => writeln!(f, "  wanted   scale out {service} to {to}")?,
                Wish::ScaleIn { service, to, .. } => writeln!(f, "  wanted   scale in {service} to {to}")?,
                Wish::Notify { service, message } => writeln!(f, "  wanted   tell about {service}: {message}")?,
            }
            writeln!(f, "  rule     {}", proposal.rule)?;
            writeln!(f, "  because  {}", proposal.because)?;
        }
        if let Some(b) = &self.bottleneck {
            writeln!(
                f,
                "  found    {} at {}, {:.0} % of the blame; {} p99 {:.0} ms, objective {:.0} ms",
                b.verdict.as_str(),
                b.service,
                b.score * 100.0,
                b.entry,
                b.p99_ms,
                b.objective_ms
            )?;
            for evidence in &b.evidence {
                match evidence.baseline {
                    Some(baseline) => {
                        writeln!(f, "           {} {:.1}, healthy {baseline:.1}", evidence.measure, evidence.now)?
                    }
                    None => writeln!(f, "           {} {:.1}", evidence.measure, evidence.now)?,
                }
            }
            if let Some(exemplar) = b.exemplars.first() {
                writeln!(f, "           see trace {exemplar}")?;
            }
        }
        match self.decision.as_ref().map(|decision| &decision.outcome) {
            Some(Outcome::Permitted { from, to }) => writeln!(f, "  guard    permitted, {from} to {to} replicas")?,
            Some(Outcome::Observed { from, to }) => {
                writeln!(f, "  guard    mode is observe: would have gone from {from} to {to} replicas")?;
            }
            Some(Outcome::Notified) => writeln!(f, "  guard    a message, touches nothing")?,
            Some(Outcome::Refused { gate, reason }) => writeln!(f, "  guard    refused by {gate:?}: {reason}")?,
            None => {}
        }
        for attempt in &self.attempts {
            let what = match &attempt.change {
                Change::Scale { service, from, to, .. } => format!("{service} {from} to {to} replicas"),
                Change::Close { service, .. } => format!("close the intervention on {service}"),
            };
            match &attempt.error {
                None => writeln!(f, "{} done: {what}", attempt.at)?,
                Some(error) => writeln!(f, "{} not done: {what}: {error}", attempt.at)?,
            }
        }
        for Report { at, report } in &self.intervention {
            let stage = format!("{:?}", report.stage).to_lowercase();
            writeln!(f, "{at} intervention {} {stage}: {}", report.id, report.reason)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::ActError;
    use crate::analyse::{Evidence, Findings, Verdict};
    use crate::decide::Proposal;
    use crate::model::{InterventionRecord, ServiceId, TraceId};
    use crate::verify::Stage;

    fn journal() -> Vec<Entry> {
        let auth = ServiceId::from("auth");
        let record = InterventionRecord {
            id: "i-1".into(),
            rule: "scale_out_bottleneck".into(),
            reason: "ingress POST /login: auth p99 2100 ms".into(),
            applied_at: Time::from_secs(62),
            deadline: Time::from_secs(182),
            replicas_before: 3,
            replicas_after: 11,
            waiting_ns_before: 1_500_000_000,
        };
        let bottleneck = Bottleneck {
            entry: "ingress POST /login".into(),
            service: "auth".into(),
            verdict: Verdict::Saturated,
            score: 0.93,
            p99_ms: 2_100.0,
            objective_ms: 300.0,
            evidence: vec![Evidence { measure: "waiting_ms".into(), now: 1_500.0, baseline: Some(0.4) }],
            exemplars: vec![TraceId([7; 16])],
            ..Bottleneck::default()
        };
        let decision = |id: &str, outcome| Decision {
            id: id.into(),
            at: Time::from_secs(61),
            proposal: Proposal {
                rule: record.rule.clone(),
                wish: Wish::ScaleOut { service: auth.clone(), to: 11, cooldown_s: None },
                because: record.reason.clone(),
                verdict: "saturated".into(),
            },
            outcome,
        };
        let change = Change::Scale { service: auth.clone(), from: 3, to: 11, record: record.clone() };
        let report = InterventionReport {
            id: "i-1".into(),
            decision: "d-1".into(),
            rule: record.rule.clone(),
            service: auth.clone(),
            from: 3,
            to: 11,
            applied_at: record.applied_at,
            deadline: record.deadline,
            stage: Stage::Verified,
            reason: "waiting fell from 1500 to 1 ms".into(),
            waiting_ms_before: 1_500.0,
            waiting_ms_now: Some(1.0),
            idle_pods: vec![],
        };
        let whats = [
            What::Found { findings: Findings { bottlenecks: vec![bottleneck], ..Findings::default() } },
            What::Decided { decision: decision("d-1", Outcome::Permitted { from: 3, to: 11 }) },
            What::Acted {
                decision: "d-1".into(),
                change: change.clone(),
                error: Some(ActError::Conflict { service: "auth".into() }),
            },
            What::Acted { decision: "d-1".into(), change, error: None },
            What::Decided { decision: decision("d-2", Outcome::Observed { from: 3, to: 11 }) },
            What::Intervention { report },
        ];
        (60..).zip(whats).map(|(second, what)| Entry { at: Time::from_secs(second), what }).collect()
    }

    #[test]
    fn a_decision_is_told_from_finding_to_end() {
        let journal = journal();
        let story = explain("d-1", journal.iter()).unwrap();
        insta::assert_snapshot!(story.to_string(), @"");
    }

    #[test]
    fn an_intervention_leads_to_its_decision() {
        let journal = journal();
        assert_eq!(explain("i-1", journal.iter()), explain("d-1", journal.iter()));
    }

    #[test]
    fn an_unknown_id_has_no_story() {
        assert_eq!(explain("d-3", journal().iter()), None);
    }
}
