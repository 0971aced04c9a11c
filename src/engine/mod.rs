//! The functional core: window, analysis, rules, guard and open interventions, driven by three calls.
//!
//! `ingest` and `observe` take inputs in, `tick` returns effects. The engine owns no socket, no clock and no
//! thread; the same calls in the same order give the same effects, which is what `replay` relies on. Every
//! input that is not a span, and every step taken, comes out as [`Effect::Record`] for the journal.

mod clock_steps;
mod event;
mod finding_news;
mod notices;
mod permit_key;
mod rule_news;
mod shard;
mod tallies;

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::action::Change;
use crate::analyse::{self, Findings, Judge, Learnt, Portion, Reference};
use crate::decide::{self, Evaluated, Here, Proposal, RuleError, RuleSource, Rules, Stage};
use crate::guard::{self, Context, Guard, Mode, Permit};
use crate::journal::{Entry, Phase, What, decisions, interventions};
use crate::model::{ClockStep, ClusterState, DecisionId, Pause, Pauses, SpanBatch, Time, spans};
use crate::shape::{Limits, Shaper};
use crate::verify::{self, InterventionReport, Verification, Verifier};
use crate::window;
use clock_steps::ClockSteps;
use finding_news::FindingNews;
use notices::Notices;
use permit_key::PermitKey;
use rule_news::RuleNews;

pub use event::{Effect, Event};
pub use notices::Notice;
pub use shard::Shard;
pub use tallies::{Closed, RuleTally, Tallies};

/// Decisions and reports kept in memory for the tables and the API; the journal has them all.
const KEPT: usize = 1000;

/// Portions of other shards between two ticks: far more than come, so that a shard that repeats itself takes no memory.
const PORTIONS_MAX: usize = 1_000;

/// How each station is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub mode: Mode,
    /// False: spans are kept, and nothing is found or done.
    pub analysis: bool,
    pub window: window::Config,
    pub analyse: analyse::Config,
    pub decide: decide::Limits,
    pub guard: guard::Config,
    pub verify: verify::Config,
    /// How many spans the receiver took one for that does not say so. The engine does not look at it: it is kept
    /// with the rest so that a replay decodes the same spans alike.
    pub assume_weight: Option<f64>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            mode: Mode::default(),
            analysis: true,
            window: window::Config::default(),
            analyse: analyse::Config::default(),
            decide: decide::Limits::default(),
            guard: guard::Config::default(),
            verify: verify::Config::default(),
            assume_weight: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Analyse(#[from] analyse::Error),
    #[error("the settings cannot be kept in the journal: {0}")]
    Settings(#[from] serde_json::Error),
}

pub struct Engine {
    mode: Mode,
    analysis: bool,
    shard: Shard,
    /// What other shards handed over since the last tick.
    portions: Vec<Portion>,
    judge: Judge,
    rules: Rules,
    /// Where they run.
    stage: Box<dyn Stage>,
    /// Rules that were given up when what comes next was recorded: as they were loaded, and in the tick.
    stopped_loading: Vec<String>,
    stopped: Option<String>,
    guard: Guard,
    shaper: Shaper,
    verifier: Verifier,
    cluster: ClusterState,
    /// What the clocks' steps make of it, where they make anything.
    restamped: Option<ClusterState>,
    clock_steps: ClockSteps,
    pauses: Pauses,
    findings: Findings,
    /// Permits handed out and not yet answered.
    awaited: BTreeMap<PermitKey, Permit>,
    /// What the verifier proposes; it passes the guard at the next review.
    give_back: Vec<Proposal>,
    /// What was found when the journal last heard of it.
    finding_news: FindingNews,
    rule_news: RuleNews,
    rule_failures: u64,
    tallies: Tallies,
    notices: Notices,
    /// For the shell, which takes it after each tick.
    closed: Vec<Closed>,
    records: Vec<Entry>,
    decisions: Vec<guard::Decision>,
    reports: Vec<(Time, InterventionReport)>,
}

impl Engine {
    /// Plans the tick's SQL and compiles the rules. A rule that does not compile is recorded and left out.
    pub fn new(started_at: Time, settings: Settings, sources: &[RuleSource]) -> Result<Engine, Error> {
        Engine::with_stage(started_at, settings, sources, Box::new(Here))
    }

    /// The same, with a place of the shell's where rules run.
    pub fn with_stage(
        started_at: Time,
        settings: Settings,
        sources: &[RuleSource],
        mut stage: Box<dyn Stage>,
    ) -> Result<Engine, Error> {
        let started = What::Started {
            version: env!("CARGO_PKG_VERSION").into(),
            config: serde_json::to_value(&settings)?,
            rules: sources.to_vec(),
        };
        let mut rules = Rules::none(settings.decide);
        let (errors, stopped) = rules.replace(sources, &mut *stage, None);
        let mut engine = Engine {
            mode: settings.mode,
            analysis: settings.analysis,
            shard: Shard::new(settings.window),
            portions: Vec::new(),
            judge: Judge::new(settings.analyse)?,
            rules,
            stage,
            stopped_loading: Vec::new(),
            stopped: None,
            guard: Guard::new(settings.guard),
            shaper: Shaper::default(),
            verifier: Verifier::new(settings.verify),
            cluster: ClusterState::default(),
            restamped: None,
            clock_steps: ClockSteps::default(),
            pauses: Pauses::default(),
            findings: Findings::blind(started_at),
            awaited: BTreeMap::new(),
            give_back: Vec::new(),
            finding_news: FindingNews::default(),
            rule_news: RuleNews::default(),
            rule_failures: 0,
            tallies: Tallies::default(),
            notices: Notices::default(),
            closed: Vec::new(),
            records: Vec::new(),
            decisions: Vec::new(),
            reports: Vec::new(),
        };
        engine.record(started_at, started);
        for rule in stopped {
            engine.record(started_at, What::RuleStopped { rule, during: Phase::Start });
        }
        engine.record_rule_errors(started_at, errors);
        Ok(engine)
    }

    /// Whether a batch can be taken now; one that cannot is not [ingested](Engine::ingest), and its sender keeps it.
    pub fn has_room(&self, received_at: Time, batch: &SpanBatch) -> bool {
        self.shard.window().has_room(received_at, batch)
    }

    /// Arrow bytes that the window may have from now on. What is found and decided does not depend on it.
    pub fn set_window_bytes_max(&mut self, bytes_max: usize) {
        self.shard.set_window_bytes_max(bytes_max);
    }

    /// The share of the spans received lately that was taken in, 0 to 1.
    pub fn admitted_share(&self) -> f64 {
        self.shard.window().admitted_share()
    }

    /// How far before now telemetry is complete.
    pub fn lag(&self, now: Time) -> Duration {
        Duration::from_nanos(now.nanos_since(self.shard.window().analysed_to(now)).max(0) as u64) // not negative
    }

    /// Takes one batch of spans. The receiver has already rejected what is no span.
    pub fn ingest(&mut self, received_at: Time, batch: SpanBatch) {
        self.record(received_at, What::Ingested { spans: batch.len() as u64 });
        if self.analysis {
            self.shard.ingest(received_at, batch, self.judge.reference());
        } else {
            self.shard.keep(received_at, batch);
        }
    }

    /// Takes another shard's part of the coming tick: the shard has used the [reference](Engine::reference) of this
    /// engine, and takes a new one after each tick. Returns whether it was taken; past [`PORTIONS_MAX`] it is not.
    #[must_use]
    pub fn take_portion(&mut self, portion: Portion) -> bool {
        let has_room = self.analysis && self.portions.len() < PORTIONS_MAX;
        if has_room {
            self.portions.push(portion);
        }
        has_room
    }

    /// What every shard needs to know of the judgements so far.
    pub fn reference(&self) -> &Reference {
        self.judge.reference()
    }

    pub fn observe(&mut self, at: Time, event: Event) {
        match event {
            Event::Cluster(state) => self.observe_cluster(at, state),
            Event::Rules(rules) => {
                let known = std::mem::take(&mut self.stopped_loading);
                let (errors, stopped) = self.rules.replace(&rules, &mut *self.stage, Some(&known));
                for rule in stopped {
                    self.record(at, What::RuleStopped { rule, during: Phase::Load });
                }
                self.record(at, What::Rules { rules });
                self.rule_news.clear();
                self.record_rule_errors(at, errors);
            }
            Event::Queries(queries) => {
                // The shell has checked them. Where they cannot be planned all the same, those before stay.
                let replaced = self.judge.replace_queries(&queries);
                self.record(at, What::Queries { queries });
                if let Err(error) = replaced {
                    self.record(at, What::AnalysisFailed { error: error.to_string() });
                }
            }
            Event::RuleStopped { rule, during } => {
                self.record(at, What::RuleStopped { rule: rule.clone(), during });
                match during {
                    Phase::Start => self.rules.reject(&rule),
                    Phase::Load => self.stopped_loading.push(rule),
                    Phase::Tick => self.stopped = Some(rule),
                }
            }
            Event::Paused { by, service, until } => {
                self.pauses.pause(service.as_deref(), Pause { by: by.clone(), since: at, until });
                self.record(at, What::Paused { by, service, until });
            }
            Event::Resumed { by, service } => {
                self.pauses.resume(service.as_deref());
                self.record(at, What::Resumed { by, service });
            }
            Event::Learnt(learnt) => {
                self.judge.restore(&learnt);
                self.record(at, What::Learnt { learnt });
            }
            Event::ClockStepped(step) => {
                self.record(at, What::ClockStepped { seconds: step });
                self.step_clock(at, step);
            }
            Event::Acted { decision, change, error } => {
                self.settle(at, decision, &change, error.is_none());
                self.shaper.acted(&change, error.is_none());
                self.record(at, What::Acted { decision, change, error });
            }
            Event::Traffic(traffic) => {
                self.shaper.report(at, &traffic);
                self.record(at, What::Traffic { traffic });
            }
            Event::Floors(floors) => {
                self.guard.set_floors(floors.clone());
                self.record(at, What::Floors { floors });
            }
        }
    }

    fn observe_cluster(&mut self, at: Time, state: ClusterState) {
        let changed = state.workloads != self.cluster.workloads;
        self.cluster = state.clone();
        self.restamped = self.clock_steps.restamp(&self.cluster);
        self.record(at, if changed { What::Cluster { state } } else { What::ClusterUnchanged { state_at: state.at } });
    }

    /// Everything that is remembered keeps its age.
    fn step_clock(&mut self, now: Time, step: ClockStep) {
        // What was absorbed since the last tick becomes rows first: then there is one place less to look at.
        self.portions.push(self.shard.take_absorbed(now, self.judge.reference()));
        self.portions.iter_mut().for_each(|portion| portion.step_clock(now, step));
        self.judge.step_clock(now, step);
        self.shard.step_clock(step);
        self.guard.step_clock(step);
        self.shaper.step_clock(step);
        self.verifier.step_clock(step);
        self.pauses.step_clock(step);
        self.notices.step_clock(step);
        self.awaited.values_mut().for_each(|permit| permit.step_clock(step));
        self.clock_steps.take(step, &self.cluster);
        let seen = self.clock_steps.restamp(&self.cluster).unwrap_or_else(|| self.cluster.clone());
        self.restamped = Some(ClusterState { at: step.time(seen.at), ..seen });
    }

    fn settle(&mut self, at: Time, decision: DecisionId, change: &Change, applied: bool) {
        self.guard.settled(decision, applied);
        let Some(permit) = self.awaited.remove(&PermitKey::new(decision, change)) else { return };
        if applied {
            let said = self.verifier.applied(&permit, at);
            self.follow(at, said, &mut Vec::new());
        }
    }

    /// One turn of the loop: analyse, decide, guard, verify.
    pub fn tick(&mut self, now: Time) -> Vec<Effect> {
        self.record(now, What::Ticked);
        for (service, Pause { by, .. }) in self.pauses.end(now) {
            self.record(now, What::PauseEnded { by, service });
        }
        if !self.analysis {
            self.shard.forget(now);
            self.findings = Findings::blind(now);
            return self.take_records().into_iter().map(Effect::Record).collect();
        }
        let mut permits = Vec::new();
        let bounded = self.guard.bounded(self.restamped.as_ref().unwrap_or(&self.cluster), now);
        self.judge.promise(&bounded);
        self.judge.turn_away(self.shaper.turned_away(now));
        let mut portions = std::mem::take(&mut self.portions);
        portions.push(self.shard.take(now, self.judge.reference()));
        self.closed = portions.iter().map(Closed::of).collect();
        match self.judge.tick(now, portions, &bounded) {
            Ok(findings) => self.findings = findings,
            Err(error) => {
                // Nothing is known of now, so nothing is done; the next tick tries again.
                self.findings = Findings::blind(now);
                self.record(now, What::AnalysisFailed { error: error.to_string() });
            }
        }
        let cluster = self.restamped.as_ref().unwrap_or(&self.cluster);
        self.shaper.tick(now, &mut self.findings, cluster);
        self.judge.keep_away(self.shaper.kept_away(&self.findings));
        self.verify(now, &mut permits);
        self.decide(now, &mut permits);
        let cluster = self.restamped.as_ref().unwrap_or(&self.cluster);
        self.shaper.begin(now, permits.iter().map(Permit::change), &self.findings, cluster);
        self.awaited.retain(|_, permit| permit.valid_until() >= now);
        for permit in &permits {
            self.awaited.insert(PermitKey::new(permit.decision(), permit.change()), permit.clone());
        }
        let records = self.take_records().into_iter().map(Effect::Record);
        records.chain(permits.into_iter().map(Effect::Apply)).collect()
    }

    fn verify(&mut self, now: Time, permits: &mut Vec<Permit>) {
        let cluster = self.restamped.as_ref().unwrap_or(&self.cluster);
        let dropped = self.guard.dropped(cluster, now);
        let said = self.verifier.tick(now, &self.findings, cluster, self.judge.pods_with_spans(), &dropped);
        self.follow(now, said, permits);
    }

    fn follow(&mut self, now: Time, said: Vec<Verification>, permits: &mut Vec<Permit>) {
        for verification in said {
            match verification {
                Verification::Reported(report) => {
                    keep(&mut self.reports, (now, report.clone()));
                    self.record(now, What::Intervention { report });
                }
                // One write an object: a second record of it comes off when this is asked for again.
                Verification::Close { service, .. } if permits.iter().any(|p| *p.service() == service) => {}
                Verification::Close { service, intervention } => {
                    let cluster = self.restamped.as_ref().unwrap_or(&self.cluster);
                    let asked = self.shaper.is_asked(now);
                    let context = context(now, self.mode, &self.pauses, cluster, &self.findings, asked);
                    permits.extend(self.guard.close(&service, intervention, &context));
                }
                Verification::OpenBreaker { origin, service, cause } => {
                    self.guard.open_breaker(&origin, &service, &cause, now);
                }
                Verification::GiveBack(proposal) => self.give_back.push(proposal),
            }
        }
    }

    fn decide(&mut self, now: Time, permits: &mut Vec<Permit>) {
        let bounded = self.guard.bounded(self.restamped.as_ref().unwrap_or(&self.cluster), now);
        let known = self.stopped.take();
        let evaluated = self.rules.evaluate_on(&mut *self.stage, known.as_deref(), &self.findings, &bounded);
        self.rules.learn(&evaluated);
        self.tallies.evaluated(&evaluated);
        if let Some(rule) = evaluated.stopped.clone().filter(|_| known.is_none()) {
            // Before the tick, for a replay that comes to it.
            let tick = self.records.iter().rposition(|entry| entry.what == What::Ticked).unwrap_or(0);
            self.records.insert(tick, Entry { at: now, what: What::RuleStopped { rule, during: Phase::Tick } });
        }
        let mut proposals = self.hear(now, evaluated);
        proposals.append(&mut self.give_back);
        self.tallies.proposed(&proposals);
        // Closing comes first in a tick: one write an object, and its version moves with it.
        proposals.retain(|p| !permits.iter().any(|permit| permit.service() == p.service()));
        let cluster = self.restamped.as_ref().unwrap_or(&self.cluster);
        let asked = self.shaper.is_asked(now);
        let context = context(now, self.mode, &self.pauses, cluster, &self.findings, asked);
        let reviewed = self.guard.review(proposals, &context);
        if self.finding_news.hear(now, &self.findings) || !reviewed.is_empty() {
            self.finding_news.told(now, &self.findings);
            self.record(now, What::Found { findings: self.findings.clone() });
        }
        for one in reviewed {
            self.notices.hear(&one.decision);
            keep(&mut self.decisions, one.decision.clone());
            self.record(now, What::Decided { decision: one.decision });
            permits.extend(one.permit);
        }
        self.notices.end(&self.guard);
    }

    /// What was recorded since the last tick or the last call, in order, for a shell that keeps a batch's entry
    /// before it acknowledges the batch. What is not taken comes with the next tick's effects.
    pub fn take_records(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.records)
    }

    fn record(&mut self, at: Time, what: What) {
        self.records.push(Entry { at, what });
    }

    /// Records what rules say besides proposals, once for as long as they go on saying it.
    fn hear(&mut self, now: Time, mut evaluated: Evaluated) -> Vec<Proposal> {
        self.rule_failures += evaluated.errors.len() as u64;
        self.rule_news.hear(&mut evaluated).into_iter().for_each(|what| self.record(now, what));
        evaluated.proposals
    }

    fn record_rule_errors(&mut self, at: Time, errors: Vec<RuleError>) {
        self.rule_failures += errors.len() as u64;
        self.tallies.failed(errors.iter().map(|error| error.rule.as_str()));
        errors.into_iter().map(failure).for_each(|what| self.record(at, what));
    }

    /// What the last tick found.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// The pods that each service's spans came from, within the window.
    pub fn pods_with_spans(&self) -> &analyse::PodsWithSpans {
        self.judge.pods_with_spans()
    }

    /// What was learnt so far, to be kept over a restart: see [`Event::Learnt`].
    pub fn learnt(&self, now: Time) -> Learnt {
        self.judge.learnt(now)
    }

    pub fn cluster(&self) -> &ClusterState {
        &self.cluster
    }

    pub fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    /// Evaluations and compilations of rules that failed, since the start.
    pub fn rule_failures(&self) -> u64 {
        self.rule_failures
    }

    /// What gateways are to keep, as of the last tick.
    pub fn limits(&self) -> &Limits {
        self.shaper.limits()
    }

    /// Interventions that have not come to their end.
    pub fn interventions(&self) -> Vec<InterventionReport> {
        self.verifier.open().cloned().collect()
    }

    pub fn decisions(&self) -> &[guard::Decision] {
        &self.decisions
    }

    pub fn window_counters(&self) -> window::Counters {
        self.shard.window().counters()
    }

    /// Rows of the `spans` table.
    pub fn window_spans(&self) -> usize {
        self.shard.window().held()
    }

    pub fn window_bytes(&self) -> usize {
        self.shard.window().bytes()
    }

    /// Spans whose parent never came: a sender lost it.
    pub fn spans_without_parent(&self) -> u64 {
        self.judge.spans_without_parent()
    }

    pub fn open_traces(&self) -> usize {
        self.shard.window().open_traces()
    }

    /// A snapshot of every table, for SQL by people. Batches are shared, not copied.
    pub fn tables(&self) -> Vec<(&'static str, SchemaRef, Vec<RecordBatch>)> {
        let mut tables = vec![("spans", spans::schema(), self.shard.spans())];
        tables.extend(self.judge.tables());
        let decided = decisions::table(&self.decisions);
        tables.push(("decisions", decisions::schema(), decided.into_iter().collect()));
        let reported = interventions::table(self.reports.iter().map(|(at, report)| (*at, report)));
        tables.push(("interventions", interventions::schema(), reported.into_iter().collect()));
        tables
    }
}

fn context<'a>(
    now: Time,
    mode: Mode,
    pauses: &'a Pauses,
    cluster: &'a ClusterState,
    findings: &'a Findings,
    gateways_ask: bool,
) -> Context<'a> {
    Context { now, mode, pauses, cluster, findings, gateways_ask }
}

fn failure(error: RuleError) -> What {
    What::RuleFailed { rule: error.rule.clone(), error: error.to_string() }
}

fn keep<T>(kept: &mut Vec<T>, one: T) {
    if kept.len() == KEPT {
        kept.remove(0);
    }
    kept.push(one);
}
