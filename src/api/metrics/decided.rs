//! What was decided and done, counted from the journal's entries: what is counted is what was recorded.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::declared::Name;
use super::labels::Labels;
use super::page::{Page, Value};
use crate::engine::Tallies;
use crate::guard::{Decision, Outcome};
use crate::journal::{Entry, What};
use crate::model::{DecisionId, ServiceId, Time};
use crate::verify::{InterventionReport, Stage};

/// Decisions whose origin and action are remembered for what comes of them.
const DECISIONS_MAX: usize = 4_096;

/// Services of which the last action is told; those that were acted on longest ago go first.
const SERVICES_MAX: usize = 1_000;

/// Who decided, and what was to be done.
type Origin = (Arc<str>, &'static str);

/// A decision, as far as what comes of it is told.
#[derive(Clone, Debug)]
struct Step {
    origin: Origin,
    verdict: Arc<str>,
    /// Before and after, where they differ.
    replicas: Option<(u32, u32)>,
    /// Of a restart.
    pod: Arc<str>,
}

impl Step {
    fn of(decision: &Decision) -> Step {
        let action = &decision.proposal.action;
        let replicas = match decision.outcome {
            Outcome::Permitted { from, to } | Outcome::Observed { from, to, .. } => Some((from, to)),
            Outcome::Notified | Outcome::Refused { .. } => None,
        };
        Step {
            origin: (Arc::from(decision.proposal.origin.kind_or_rule()), action.name()),
            verdict: decision.proposal.verdict.as_str().into(),
            replicas: replicas.filter(|(from, to)| from != to),
            pod: action.target().part().into(),
        }
    }
}

/// The last time that an action was taken at a service, or people were told.
#[derive(Clone, Debug)]
struct Last {
    at: Time,
    outcome: &'static str,
    step: Step,
}

/// Counts since the start.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    ingested: (u64, u64),
    rule_loads: u64,
    decisions: BTreeMap<(Origin, &'static str), u64>,
    refusals: BTreeMap<(&'static str, &'static str), u64>,
    changes: BTreeMap<(&'static str, &'static str), u64>,
    interventions: BTreeMap<(Origin, &'static str), u64>,
    steps: BTreeMap<DecisionId, Step>,
    /// Replicas asked for by the last scaling decision.
    wanted: BTreeMap<ServiceId, u32>,
    last_actions: BTreeMap<(ServiceId, &'static str), Last>,
}

impl Decided {
    pub fn count(&mut self, entry: &Entry) {
        match &entry.what {
            What::Ingested { spans } => {
                self.ingested.0 += 1;
                self.ingested.1 += spans;
            }
            What::Rules { .. } => self.rule_loads += 1,
            What::Decided { decision } => self.decided(decision),
            What::Acted { decision, change, error } => {
                let outcome = if error.is_none() { "done" } else { "failed" };
                let step = self.steps.get(decision).cloned();
                // Without one it was decided in another life.
                let action = step.as_ref().map_or("unknown", |step| step.origin.1);
                *self.changes.entry((action, outcome)).or_default() += 1;
                if let Some(step) = step.filter(|_| change.record().is_some()) {
                    self.last(change.service(), Last { at: entry.at, outcome, step });
                }
            }
            What::Intervention { report } => {
                let stage = report.stage.as_str();
                *self.interventions.entry((self.origin(report), stage)).or_default() += 1;
            }
            _ => {}
        }
    }

    fn decided(&mut self, decision: &Decision) {
        let action = &decision.proposal.action;
        let step = Step::of(decision);
        let outcome = match &decision.outcome {
            Outcome::Permitted { .. } => "permitted",
            Outcome::Observed { .. } => "observed",
            Outcome::Notified => "notified",
            Outcome::Refused { .. } => "refused",
        };
        let mut refused = |gate: crate::guard::Gate| {
            *self.refusals.entry((gate.as_str(), action.name())).or_default() += 1;
        };
        match &decision.outcome {
            Outcome::Permitted { to, .. } | Outcome::Observed { to, .. } if action.replicas_asked().is_some() => {
                if let Outcome::Observed { refused_by, .. } = &decision.outcome {
                    refused_by.iter().for_each(|refusal| refused(refusal.gate));
                }
                if self.wanted.len() < SERVICES_MAX || self.wanted.contains_key(action.service()) {
                    self.wanted.insert(action.service().clone(), *to);
                }
            }
            Outcome::Observed { refused_by, .. } => refused_by.iter().for_each(|refusal| refused(refusal.gate)),
            Outcome::Refused { gate, .. } => refused(*gate),
            Outcome::Permitted { .. } | Outcome::Notified => {}
        }
        *self.decisions.entry((step.origin.clone(), outcome)).or_default() += 1;
        // What is permitted is told once the cluster has answered; these are all there will be.
        let is_final = match &decision.outcome {
            Outcome::Observed { refused_by, .. } => refused_by.is_empty(),
            Outcome::Notified => true,
            Outcome::Permitted { .. } | Outcome::Refused { .. } => false,
        };
        if is_final {
            self.last(action.service(), Last { at: decision.at, outcome, step: step.clone() });
        }
        if self.steps.len() >= DECISIONS_MAX {
            self.steps.pop_first();
        }
        self.steps.insert(decision.id, step);
    }

    fn last(&mut self, service: &ServiceId, last: Last) {
        if self.last_actions.len() >= SERVICES_MAX
            && let Some(oldest) = self.last_actions.iter().min_by_key(|(_, last)| last.at).map(|(key, _)| key.clone())
        {
            self.last_actions.remove(&oldest);
        }
        self.last_actions.insert((service.clone(), last.step.origin.1), last);
    }

    /// Who decided on an intervention, and what: one that was adopted after a restart tells no more than its direction.
    fn origin(&self, report: &InterventionReport) -> Origin {
        self.steps.get(&report.decision).map(|step| step.origin.clone()).unwrap_or_else(|| {
            let action = match report.from.cmp(&report.to) {
                std::cmp::Ordering::Less => "scale_out",
                std::cmp::Ordering::Greater => "scale_in",
                std::cmp::Ordering::Equal => "unknown",
            };
            (Arc::from(report.origin.kind_or_rule()), action)
        })
    }

    pub fn show(&self, page: &mut Page, tallies: &Tallies, open: &[InterventionReport]) {
        let none = Arc::default();
        page.whole(Name::ReceiveBatches, &none, self.ingested.0);
        page.whole(Name::ReceiveSpans, &none, self.ingested.1);
        page.whole(Name::RuleLoads, &none, self.rule_loads);
        for (rule, tally) in &tallies.rules {
            let labels = Arc::new(Labels::default().with("rule", rule));
            page.whole(Name::RuleEvaluations, &labels, tally.evaluations);
            page.whole(Name::RuleErrors, &labels, tally.errors);
        }
        let rule_and_action =
            |rule: &str, action: &'static str| Arc::new(Labels::default().with("rule", rule).with("action", action));
        for ((rule, action), &proposals) in &tallies.proposals {
            page.whole(Name::Proposals, &rule_and_action(rule, action), proposals);
        }
        for (((rule, action), outcome), &decisions) in &self.decisions {
            let outcome = ("outcome", *outcome);
            page.labelled(Name::Decisions, &rule_and_action(rule, action), outcome, Value::Whole(decisions));
        }
        for (((rule, action), stage), &interventions) in &self.interventions {
            let labels = rule_and_action(rule, action);
            page.labelled(Name::Interventions, &labels, ("stage", stage), Value::Whole(interventions));
        }
        for (name, label, counts) in
            [(Name::Refusals, "gate", &self.refusals), (Name::Changes, "action", &self.changes)]
        {
            for ((first, second), &times) in counts {
                let second_label = if label == "gate" { "action" } else { "outcome" };
                let labels = Arc::new(Labels::default().with(label, first));
                page.labelled(name, &labels, (second_label, *second), Value::Whole(times));
            }
        }
        for (service, &wanted) in &self.wanted {
            page.whole(Name::ServiceWanted, &Arc::new(Labels::service(service.as_str())), u64::from(wanted));
        }
        for ((service, action), Last { at, outcome, step }) in &self.last_actions {
            let replicas =
                |of: fn((u32, u32)) -> u32| step.replicas.map_or_else(String::new, |both| of(both).to_string());
            let labels = Labels::service(service.as_str())
                .with("outcome", outcome)
                .with("rule", &step.origin.0)
                .with("verdict", &step.verdict)
                .with("from", &replicas(|(from, _)| from))
                .with("to", &replicas(|(_, to)| to))
                .with("k8s_pod_name", &step.pod);
            let at = Value::Number(at.0.div_euclid(1_000_000) as f64 / 1e3);
            page.labelled(Name::ServiceLastAction, &Arc::new(labels), ("action", *action), at);
        }
        let mut told = std::collections::BTreeSet::new();
        for report in open.iter().filter(|report| !report.stage.is_end()) {
            let (_, action) = self.origin(report);
            if told.insert((&report.service, action)) {
                let labels = Arc::new(Labels::service(report.service.as_str()));
                page.labelled(Name::ServiceOpen, &labels, ("action", action), Value::Whole(1));
            }
        }
        page.whole(Name::InterventionsOpen, &none, open.iter().filter(|report| is_open(report.stage)).count() as u64);
    }
}

fn is_open(stage: Stage) -> bool {
    !stage.is_end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Action, ScaleOut};
    use crate::api::metrics::text::Text;
    use crate::decide::Proposal;
    use crate::guard::{Gate, Refusal};

    fn decided(n: u32, to: u32, outcome: Outcome) -> Entry {
        let action = Action::ScaleOut(ScaleOut { service: "auth".into(), to, cooldown_s: None });
        let proposal =
            Proposal { origin: "scale_out_bottleneck".into(), action, because: String::new(), verdict: String::new() };
        let id = DecisionId::new(10, n);
        let decision = Decision { id, at: Time::from_secs(10), proposal, outcome, notes: Vec::new() };
        Entry { at: Time::from_secs(10), what: What::Decided { decision } }
    }

    #[test]
    fn a_decision_is_counted_by_who_what_and_what_came_of_it() {
        let mut counts = Decided::default();
        let refused_by = vec![Refusal { gate: Gate::OptIn, reason: String::new() }];
        counts.count(&decided(1, 6, Outcome::Observed { from: 2, to: 6, refused_by }));
        counts.count(&decided(2, 9, Outcome::Refused { gate: Gate::Budget, reason: String::new() }));
        counts.count(&decided(3, 9, Outcome::Permitted { from: 6, to: 9 }));
        let mut page = Page::default();
        counts.show(&mut page, &Tallies::default(), &[]);
        let text = Text::Prometheus.write(&page);
        for line in [
            r#"headroom_guard_decisions_total{rule="scale_out_bottleneck",action="scale_out",outcome="observed"} 1"#,
            r#"headroom_guard_decisions_total{rule="scale_out_bottleneck",action="scale_out",outcome="permitted"} 1"#,
            r#"headroom_guard_refusals_total{gate="opt_in",action="scale_out"} 1"#,
            r#"headroom_guard_refusals_total{gate="budget",action="scale_out"} 1"#,
            r#"headroom_service_replicas_wanted{service_name="auth"} 9"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_would_have_been_done_is_told_where_no_gate_would_have_refused_it() {
        let series = |refused_by| {
            let mut counts = Decided::default();
            counts.count(&decided(1, 6, Outcome::Observed { from: 2, to: 6, refused_by }));
            let mut page = Page::default();
            counts.show(&mut page, &Tallies::default(), &[]);
            let text = Text::Prometheus.write(&page);
            text.lines().find(|line| line.starts_with("headroom_service_last_action_timestamp")).map(str::to_owned)
        };
        let told = series(Vec::new()).unwrap();
        for label in [r#"outcome="observed""#, r#"rule="scale_out_bottleneck""#, r#"from="2""#, r#"to="6""#] {
            assert!(told.contains(label), "{told}");
        }
        assert!(told.ends_with("} 10"), "{told}");
        assert_eq!(series(vec![Refusal { gate: Gate::OptIn, reason: String::new() }]), None);
    }
}
