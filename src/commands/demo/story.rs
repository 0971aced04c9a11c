//! The course of a demo, read from the journal's entries: actions taken, current bottlenecks, and a line for people
//! whenever something changes.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::{Play, course};
use crate::action::{Action as Proposed, Target};
use crate::analyse::{Bottleneck, Findings, Verdict};
use crate::commands::error::Error;
use crate::guard::{Decision, Gate, Outcome};
use crate::journal::{Entry, What};
use crate::model::{DecisionId, ServiceId, Time};
use crate::simulate::{Order, Scenario};
use crate::verify::Stage;

/// How often a quiet run says that it goes on, in seconds of the scenario.
const PROGRESS_S: f64 = 30.0;

/// What was done to a service, or said about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Action {
    /// When it was decided, in seconds since the scenario's start.
    pub t_s: f64,
    /// What the rule proposed, by its name in the rules: `scale_out`, `restart_pod`, `notify`, …
    pub action: &'static str,
    pub service: String,
    /// The pod of a restart.
    pub pod: Option<String>,
    /// Replicas; null for what changes none.
    pub from: Option<u32>,
    pub to: Option<u32>,
    /// The verdict the rule acted on; empty when it named none.
    pub verdict: String,
    pub rule: String,
}

#[derive(Default)]
pub struct Story {
    /// When the scenario began.
    start: Time,
    /// Whether spans arrived, so that something is known of now.
    pub sighted: bool,
    /// What is said while a part of the traffic is not seen.
    pub unseen: Option<String>,
    /// Permitted, and not yet answered by the cluster: only what the cluster does is an action.
    permitted: BTreeMap<DecisionId, Decision>,
    expected: Vec<String>,
    /// Services that requests are rightly kept from.
    shed: Vec<String>,
    /// Services that weight is rightly moved at.
    canaries: Vec<String>,
    pub actions: Vec<Action>,
    pub bottlenecks: Vec<Bottleneck>,
    /// Services at fault with high probability though no objective is missed, with their verdict.
    changed: Vec<(String, Verdict)>,
    /// Each new bottleneck: endpoint, service and verdict.
    pub named: Vec<Named>,
    /// Lines for people, oldest first.
    pub told: Vec<Told>,
    progress_s: f64,
}

/// A bottleneck from when it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub t_s: f64,
    /// The endpoint, as `service operation`; None where no objective is missed.
    pub entry: Option<String>,
    /// The service's name alone.
    pub service: String,
    pub verdict: Verdict,
}

impl Named {
    /// Whether this may be of the scenario's entry operation.
    pub fn is_of(&self, scenario: &Scenario, entry: usize) -> bool {
        let name = course::entry_name(scenario, &scenario.entries[entry]);
        self.entry.as_ref().is_none_or(|of| *of == name)
    }
}

/// One line for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub t_s: f64,
    pub tone: Tone,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Trouble,
    Done,
    Good,
    Aside,
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:6.1} s  {}", self.t_s, self.text)
    }
}

impl Story {
    /// Of a scenario that begins at this time.
    pub fn new(scenario: &Scenario, start: Time) -> Story {
        let shed = scenario.truth.shed.iter().map(|&service| scenario.services[service].name.clone()).collect();
        let (expected, canaries) = (scenario.expected_targets(), scenario.canaries());
        Story { start, expected, shed, canaries, progress_s: PROGRESS_S, ..Story::default() }
    }

    /// Replicas that were ordered, in the order of time.
    pub fn orders(&self) -> Vec<Order> {
        let order = |action: &Action| {
            let (at_s, service) = (action.t_s, action.service.clone());
            action.to.map(|replicas| Order { at_s, service, replicas })
        };
        self.actions.iter().filter_map(order).collect()
    }

    /// Services scaled out, in the order of their first action.
    pub fn targets(&self) -> Vec<String> {
        let mut targets = Vec::new();
        for action in self.actions.iter().filter(|action| action.action == "scale_out") {
            if !targets.contains(&action.service) {
                targets.push(action.service.clone());
            }
        }
        targets
    }

    /// Changes of services that are no expected target. Whether a restart was wrong is for the simulator to say, which
    /// knows the pod.
    pub fn wrong_targets(&self) -> usize {
        let changes_target = |action: &&Action| action.pod.is_none() && action.action != "notify";
        let changes = self.actions.iter().filter(changes_target);
        let right = |action: &Action| match action.action {
            "shed" => &self.shed,
            "shift_weight" | "return_weight" => &self.canaries,
            _ => &self.expected,
        };
        changes.filter(|action| !right(action).contains(&action.service)).count()
    }

    /// When an expected target was first scaled out, in seconds since the scenario's start.
    pub fn first_correct_action_s(&self) -> Option<f64> {
        let correct = |a: &&Action| a.action == "scale_out" && self.expected.contains(&a.service);
        self.actions.iter().find(correct).map(|action| action.t_s)
    }

    /// What is going to be played.
    pub fn open(&self, play: &Play, out: &mut dyn Write) -> Result<(), Error> {
        if !play.json {
            let Scenario { name, description, horizon_s, .. } = &play.scenario;
            writeln!(out, "{name}, seed {}, {horizon_s} s: {}\n", play.seed, description.trim())?;
            out.flush()?;
        }
        Ok(())
    }

    /// Takes an entry, and prints what is new by it.
    pub fn tell(&mut self, entry: &Entry, json: bool, out: &mut dyn Write) -> Result<(), Error> {
        let (actions, told) = (self.actions.len(), self.told.len());
        self.take(entry);
        if json {
            self.print_actions(actions, out)?;
        } else {
            for told in &self.told[told..] {
                writeln!(out, "{told}")?;
            }
            let t_s = self.seconds(entry.at);
            if t_s >= self.progress_s {
                self.progress_s = t_s + PROGRESS_S;
                writeln!(out, "{t_s:6.1} s  …")?;
            }
            out.flush()?;
        }
        Ok(())
    }

    /// Nothing follows. A change whose answer the end cut off was still made.
    pub fn close(&mut self, json: bool, out: &mut dyn Write) -> Result<(), Error> {
        let before = self.actions.len();
        for (_, decision) in std::mem::take(&mut self.permitted) {
            let t_s = self.seconds(decision.at);
            self.actions.extend(done(&decision, t_s));
        }
        if json { self.print_actions(before, out) } else { Ok(()) }
    }

    fn print_actions(&self, from: usize, out: &mut dyn Write) -> Result<(), Error> {
        for action in &self.actions[from..] {
            writeln!(out, "{}", serde_json::json!(action))?;
            out.flush()?;
        }
        Ok(())
    }

    pub fn take(&mut self, entry: &Entry) {
        let t_s = self.seconds(entry.at);
        match &entry.what {
            What::Ingested { spans } => self.sighted |= *spans > 0,
            What::Found { findings } => self.found(t_s, findings),
            What::Decided { decision } => self.decided(t_s, decision),
            What::Acted { decision, change, error } => {
                // A close carries the decision that it ends; it is no action on the service.
                if change.record().is_none() {
                    return;
                }
                let Some(decided) = self.permitted.remove(decision) else { return };
                match error {
                    None => {
                        let t_s = self.seconds(decided.at);
                        self.actions.extend(done(&decided, t_s));
                    }
                    Some(error) => self.say(t_s, Tone::Trouble, format!("failed: {error}")),
                }
            }
            What::Intervention { report } => {
                let tone = match report.stage {
                    Stage::Verified => Tone::Good,
                    Stage::NoEffect => Tone::Trouble,
                    Stage::Judging | Stage::GivenBack => Tone::Aside,
                    // The scaling itself was told.
                    Stage::Applied | Stage::Superseded => return,
                };
                let stage = report.stage.as_str().replace('_', " ");
                self.say(t_s, tone, format!("{}: {stage}: {}", report.service, report.reason));
            }
            What::RuleFailed { rule, error } => self.say(t_s, Tone::Trouble, format!("rule {rule} failed: {error}")),
            What::RulePrinted { rule, text } => self.say(t_s, Tone::Aside, format!("rule {rule}: {text}")),
            What::AnalysisFailed { error } => self.say(t_s, Tone::Trouble, format!("analysis failed: {error}")),
            _ => {}
        }
    }

    fn found(&mut self, t_s: f64, findings: &Findings) {
        self.sighted = !findings.blind;
        self.unseen = (findings.verdict() == Verdict::Partial).then(|| findings.summary());
        let bottlenecks = &findings.bottlenecks;
        let key = |b: &Bottleneck| (b.entry.clone(), b.service.clone(), b.verdict);
        let known: Vec<_> = self.bottlenecks.iter().map(key).collect();
        for b in bottlenecks.iter().filter(|b| !known.contains(&key(b))) {
            self.say(t_s, Tone::Trouble, b.summary());
            let service = ServiceId::from(&*b.service).name().to_owned();
            self.named.push(Named { t_s, entry: Some(b.entry.clone()), service, verdict: b.verdict });
        }
        for suspect in &findings.silent_failures {
            if !self.changed.contains(&(suspect.service.clone(), suspect.verdict)) {
                self.say(t_s, Tone::Trouble, suspect.summary());
                let service = ServiceId::from(&*suspect.service).name().to_owned();
                self.named.push(Named { t_s, entry: None, service, verdict: suspect.verdict });
            }
        }
        let changed = findings.silent_failures.iter();
        self.changed = changed.map(|suspect| (suspect.service.clone(), suspect.verdict)).collect();
        if bottlenecks.is_empty() && !known.is_empty() {
            self.say(t_s, Tone::Good, "all objectives met".into());
        }
        self.bottlenecks = bottlenecks.clone();
    }

    fn decided(&mut self, t_s: f64, decision: &Decision) {
        let (rule, because) = (decision.proposal.origin.to_string(), &decision.proposal.because);
        let (service, action) = (decision.proposal.service(), &decision.proposal.action);
        match &decision.outcome {
            // Not now: it comes again by itself, and is told when it does.
            Outcome::Observed { refused_by, .. }
                if refused_by.iter().any(|refusal| matches!(refusal.gate, Gate::Cooldown | Gate::Stabilisation)) => {}
            Outcome::Observed { .. } => {
                let would = decision.would().unwrap_or_default();
                self.say(t_s, Tone::Aside, format!("{would}: {because} ({rule})"));
            }
            Outcome::Permitted { .. } if action.replicas_asked().is_none() => {
                self.permitted.insert(decision.id, decision.clone());
                self.say(t_s, Tone::Done, format!("{}: {because} ({rule})", action.describe()));
            }
            Outcome::Permitted { from, to } => {
                self.permitted.insert(decision.id, decision.clone());
                let what = if to > from { "scale out" } else { "scale in" };
                self.say(t_s, Tone::Done, format!("{what} {service} {from} → {to}: {because} ({rule})"));
            }
            Outcome::Notified => {
                self.actions.push(Action {
                    t_s,
                    action: action.name(),
                    service: service.name().into(),
                    pod: None,
                    from: None,
                    to: None,
                    verdict: decision.proposal.verdict.clone(),
                    rule: rule.clone(),
                });
                let message = match action {
                    Proposed::Notify(notify) if !notify.message.is_empty() => &notify.message,
                    _ => because,
                };
                self.say(t_s, Tone::Done, format!("notification for {service}: {message} ({rule})"));
            }
            // Not now: it comes again by itself, and is told when it does.
            Outcome::Refused { gate: Gate::Cooldown | Gate::Stabilisation, .. } => {}
            Outcome::Refused { gate, reason } => {
                let text = format!("{rule} refused for {service} by the {} gate: {reason}", gate.as_str());
                self.say(t_s, Tone::Aside, text);
            }
        }
    }

    /// Since the scenario's start, in whole milliseconds.
    fn seconds(&self, at: Time) -> f64 {
        (at.seconds_since(self.start) * 1e3).round() / 1e3
    }

    fn say(&mut self, t_s: f64, tone: Tone, text: String) {
        self.told.push(Told { t_s, tone, text });
    }
}

/// The action that a permitted decision became.
fn done(decision: &Decision, t_s: f64) -> Option<Action> {
    let Outcome::Permitted { from, to } = decision.outcome else { return None };
    let action = &decision.proposal.action;
    let target = action.target();
    let part = match &target {
        Target::Pod { pod, .. } => pod.as_str(),
        Target::Workload(_) | Target::Floor(_) | Target::Route { .. } => "",
    };
    // What changes no replicas has the same number twice.
    let replicas = (from != to).then_some((from, to));
    Some(Action {
        t_s,
        action: action.name(),
        service: action.service().name().into(),
        pod: (!part.is_empty()).then(|| part.to_owned()),
        from: replicas.map(|(from, _)| from),
        to: replicas.map(|(_, to)| to),
        verdict: decision.proposal.verdict.clone(),
        rule: decision.proposal.origin.to_string(),
    })
}
