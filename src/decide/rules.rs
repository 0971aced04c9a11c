//! The rules in force: compiled once, evaluated at every tick, each one's failure its own.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::{AST, Array, Dynamic, Engine, EvalAltResult, Scope};

use super::blamed::Blamed;
use super::draft::{Defaults, Draft, RuleDuration};
use super::error::RuleError;
use super::language::{curries, engine};
use super::limits::Limits;
use super::memory::{Memory, Open};
use super::proposal::Proposal;
use super::slips;
use super::source::RuleSource;
use super::stage::{Here, Progress, Stage};
use super::view::Now;
use crate::analyse::Findings;
use crate::model::{ClusterState, Origin, ServiceId, Time};

/// What one tick's evaluation of all rules came to, in the order of the rules' names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluated {
    /// Rules that ran, whatever became of them.
    pub ran: Vec<String>,
    pub proposals: Vec<Proposal>,
    /// Rules that failed and were skipped, at most one error a rule.
    pub errors: Vec<RuleError>,
    /// Proposals that came to nothing for a reason that is no error.
    pub skipped: Vec<Skipped>,
    /// What rules wrote with `print` and `debug`.
    pub printed: Vec<Printed>,
    /// The rule that was given up because of time; those after it were left out.
    pub stopped: Option<String>,
    /// Rules that went past a limit of their own, with what they are told from now on.
    over: Vec<(String, RuleError)>,
    /// What rules remember from now on, of those that ended well.
    remembered: Vec<(String, Memory)>,
    /// The job was left behind.
    abandoned: bool,
}

/// For example `scale_out(s).to(())`: the replicas needed are not known.
#[derive(Clone, Debug, PartialEq)]
pub struct Skipped {
    pub rule: String,
    pub service: ServiceId,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    pub rule: String,
    pub text: String,
}

struct Rule {
    source: RuleSource,
    ast: AST,
    defaults: Defaults,
}

/// All rules, and the one rhai engine that runs them.
pub struct Rules {
    runner: Arc<Runner>,
    /// By name, so that evaluation has one order whatever the order of files.
    rules: BTreeMap<String, Arc<Rule>>,
    /// Rules that are run no more until their text changes, and why.
    off: BTreeMap<String, RuleError>,
    memories: BTreeMap<String, Memory>,
    /// Texts that did not load, and why: the same text is not tried again.
    rejected: BTreeMap<String, (RuleSource, RuleError)>,
}

/// What runs rules, on whatever thread.
struct Runner {
    engine: Engine,
    limits: Limits,
    progress: Arc<Progress>,
    /// What the running rule printed; emptied after each.
    printed: Arc<Mutex<Vec<String>>>,
    /// What the running rule remembers.
    memory: Arc<Mutex<Open>>,
}

impl Runner {
    fn new(limits: Limits) -> Arc<Runner> {
        let (progress, printed, memory) = (Arc::<Progress>::default(), Arc::default(), Arc::default());
        progress.start_over();
        let engine = engine(&limits, Arc::clone(&printed), &memory, progress.clone());
        Arc::new(Runner { engine, limits, progress, printed, memory })
    }
}

/// What is read after a job that may have been left behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rules {
    /// Compile every source; one that does not compile is reported and the rest go on.
    pub fn compile(sources: &[RuleSource], limits: Limits) -> (Rules, Vec<RuleError>) {
        let mut rules = Rules::none(limits);
        let (errors, _) = rules.replace(sources, &mut Here, None);
        (rules, errors)
    }

    pub fn none(limits: Limits) -> Rules {
        Rules {
            runner: Runner::new(limits),
            rules: BTreeMap::new(),
            off: BTreeMap::new(),
            memories: BTreeMap::new(),
            rejected: BTreeMap::new(),
        }
    }

    /// Put these sources in force. A rule whose new text is bad keeps its last good version; one that is no
    /// longer among the sources is dropped. `stopped` are those that took too long to load when this was recorded; they are
    /// told, beside the errors, where it is not yet.
    pub fn replace(
        &mut self,
        sources: &[RuleSource],
        stage: &mut dyn Stage,
        stopped: Option<&[String]>,
    ) -> (Vec<RuleError>, Vec<String>) {
        let (mut errors, mut given_up) = (Vec::new(), Vec::new());
        let mut before = std::mem::take(&mut self.rules);
        let rejected = std::mem::take(&mut self.rejected);
        let rules_max = self.runner.limits.rules;
        for source in sources {
            let name = &source.name;
            if self.rules.len() >= rules_max {
                let message = format!("left out, {rules_max} rules are the limit; merge or remove some");
                errors.push(RuleError::whole(name, message));
                continue;
            }
            if let Some(same) = before.get(name).filter(|rule| rule.source == *source) {
                self.rules.insert(name.clone(), same.clone());
                continue;
            }
            let known = rejected.get(name).filter(|(text, _)| text == source).map(|(_, error)| Err(error.clone()));
            let loaded = known.unwrap_or_else(|| {
                if stopped.is_some_and(|stopped| stopped.contains(name)) {
                    return Err(too_slow_to_load(name));
                }
                let loaded = self.load(source, stage);
                loaded.unwrap_or_else(|| {
                    given_up.push(name.clone());
                    Err(too_slow_to_load(name))
                })
            });
            let rule = match loaded {
                Ok(rule) => {
                    self.off.remove(name);
                    self.memories.remove(name);
                    Some(rule)
                }
                Err(error) => {
                    self.rejected.insert(name.clone(), (source.clone(), error.clone()));
                    errors.push(error);
                    before.remove(name)
                }
            };
            self.rules.extend(rule.map(|rule| (name.clone(), rule)));
        }
        self.off.retain(|name, _| self.rules.contains_key(name));
        self.memories.retain(|name, _| self.rules.contains_key(name));
        (errors, given_up)
    }

    /// None: it took too long.
    fn load(&mut self, source: &RuleSource, stage: &mut dyn Stage) -> Option<Result<Arc<Rule>, RuleError>> {
        let loaded = Arc::new(Mutex::new(None));
        let (runner, text, result) = (self.runner.clone(), source.clone(), loaded.clone());
        self.runner.progress.start_over();
        let job = Box::new(move || {
            let rule = runner.compile_one(&text);
            if !runner.progress.is_stopped() {
                *lock(&result) = Some(rule.map(Arc::new));
            }
        });
        if !stage.run(job, &self.runner.progress) {
            self.renew();
        }
        lock(&loaded).take()
    }

    /// Drops a rule that took too long to load when this was recorded.
    pub fn reject(&mut self, name: &str) {
        if let Some(rule) = self.rules.remove(name) {
            self.rejected.insert(name.to_owned(), (rule.source.clone(), too_slow_to_load(name)));
        }
    }

    /// What is compared in vain in the rules in force. They run all the same: a newer version may know more.
    pub fn slips(&self) -> Vec<RuleError> {
        let of = |(name, rule): (&String, &Arc<Rule>)| {
            let text = &rule.source.source;
            let slips = slips::verdicts(text).into_iter();
            slips.map(|(at, slip)| RuleError::in_text(name, text, at, slip)).collect::<Vec<_>>()
        };
        self.rules.iter().flat_map(of).collect()
    }

    /// The text of every rule in force, for the journal.
    pub fn sources(&self) -> Vec<RuleSource> {
        self.rules.values().map(|rule| rule.source.clone()).collect()
    }

    /// Run every rule on what the tick found.
    pub fn evaluate(&self, findings: &Findings, cluster: &ClusterState) -> Evaluated {
        self.evaluate_on(&mut Here, None, findings, cluster)
    }

    /// The same on a stage. `stopped` is the rule that was given up because of time when this tick was recorded.
    pub fn evaluate_on(
        &self,
        stage: &mut dyn Stage,
        stopped: Option<&str>,
        findings: &Findings,
        cluster: &ClusterState,
    ) -> Evaluated {
        let order: Vec<(String, Arc<Rule>)> =
            self.rules.iter().map(|(name, rule)| (name.clone(), rule.clone())).collect();
        let evaluated = Arc::new(Mutex::new(Evaluated::default()));
        let turn = Turn {
            runner: self.runner.clone(),
            order: order.clone(),
            off: self.off.clone(),
            memories: self.memories.clone(),
            at: findings.at,
            stopped: stopped.map(str::to_owned),
            now: Now::new(findings, cluster),
            bottlenecks: findings.bottlenecks.iter().map(Blamed::of).collect(),
            evaluated: evaluated.clone(),
        };
        let progress = &self.runner.progress;
        progress.start_over();
        let ended = stage.run(Box::new(move || turn.run()), progress);
        let mut evaluated = std::mem::take(&mut *lock(&evaluated));
        if !ended {
            let running = progress.running.load(Ordering::Relaxed);
            if let Some((name, _)) = usize::try_from(running).ok().and_then(|running| order.get(running)) {
                evaluated.give_up(name);
            }
            evaluated.abandoned = true;
        }
        evaluated
    }

    /// Draws the consequences of a turn: rules that went past a limit are run no more.
    pub fn learn(&mut self, evaluated: &Evaluated) {
        for (name, error) in &evaluated.over {
            self.off.insert(name.clone(), error.clone());
        }
        self.memories.extend(evaluated.remembered.iter().cloned());
        if evaluated.abandoned {
            self.renew();
        }
    }

    /// What was left behind keeps its own engine, and stays told to stop.
    fn renew(&mut self) {
        self.runner = Runner::new(self.runner.limits.clone());
    }
}

fn too_slow_to_load(name: &str) -> RuleError {
    RuleError::whole(name, "took too long to load; write no loops outside of functions")
}

/// Operations of a tick that are kept for each rule that is yet to come: enough for one that looks at some services.
const PART_MAX: u64 = 1_000;

/// One evaluation of all rules, as it is handed to a stage.
struct Turn {
    runner: Arc<Runner>,
    order: Vec<(String, Arc<Rule>)>,
    off: BTreeMap<String, RuleError>,
    memories: BTreeMap<String, Memory>,
    at: Time,
    stopped: Option<String>,
    now: Now,
    /// Worst first.
    bottlenecks: Vec<Blamed>,
    /// Filled rule by rule, so that what is done is known also where the rest is left behind.
    evaluated: Arc<Mutex<Evaluated>>,
}

impl Turn {
    fn run(self) {
        let Turn { runner, order, off, mut memories, at, stopped, now, bottlenecks, evaluated } = self;
        let limits = &runner.limits;
        let part = (limits.tick_operations / order.len().max(1) as u64).min(PART_MAX);
        // What nobody may take from the rules that are yet to come.
        let mut left = limits.tick_operations;
        for (place, (name, rule)) in order.iter().enumerate() {
            if let Some(error) = off.get(name) {
                lock(&evaluated).errors.push(error.switched_off());
                continue;
            }
            let kept_for_others = part * (order.len() - place - 1) as u64;
            let may = left.saturating_sub(kept_for_others).min(limits.operations);
            runner.progress.begin(place, may);
            if stopped.as_ref() == Some(name) {
                return lock(&evaluated).give_up(name);
            }
            Open::begin(&runner.memory, memories.remove(name).unwrap_or_default(), at);
            let ran = runner.run(rule, now.clone());
            let memory = Open::end(&runner.memory);
            let used = runner.progress.operations.load(Ordering::Relaxed);
            left = left.saturating_sub(used);
            let mut evaluated = lock(&evaluated);
            evaluated.ran.push(name.clone());
            if runner.progress.is_stopped() {
                return evaluated.give_up(name);
            }
            match ran {
                Ok(drafts) => {
                    evaluated.remembered.push((name.clone(), memory));
                    drafts.into_iter().for_each(|draft| evaluated.add(rule, draft, &bottlenecks));
                }
                Err(Failed { error, is_over }) => {
                    // It went past what is its own; one that merely found little left is run again.
                    if is_over && used >= limits.operations {
                        evaluated.over.push((name.clone(), error.clone()));
                    }
                    evaluated.errors.push(error);
                }
            }
            let lines = std::mem::take(&mut *lock(&runner.printed));
            evaluated.printed.extend(lines.into_iter().map(|text| Printed { rule: name.clone(), text }));
        }
    }
}

/// Why an evaluation came to nothing.
struct Failed {
    error: RuleError,
    /// It used up its operations.
    is_over: bool,
}

impl From<RuleError> for Failed {
    fn from(error: RuleError) -> Failed {
        Failed { error, is_over: false }
    }
}

impl Runner {
    fn compile_one(&self, source: &RuleSource) -> Result<Rule, RuleError> {
        let name = source.name.as_str();
        if source.source.len() > self.limits.source_bytes {
            let message = format!("is longer than {} bytes; split it", self.limits.source_bytes);
            return Err(RuleError::whole(name, message));
        }
        if !matches!(Origin::parse(name), Origin::Rule(_)) {
            let message = format!("has a name that stands for {}; rename the file", Origin::parse(name).in_words());
            return Err(RuleError::whole(name, message));
        }
        let ast = self.engine.compile(&source.source).map_err(|error| RuleError::from_parse(name, &error))?;
        if curries(&ast) {
            // Each call of it doubles what a function holds, and no limit of rhai's counts that.
            return Err(RuleError::whole(
                name,
                "calls curry, which rules may not; write a closure such as |x| f(x, y)",
            ));
        }
        if !ast.iter_functions().any(|f| f.name == "evaluate" && f.params.len() == 1) {
            return Err(RuleError::whole(name, "has no fn evaluate(now); add one that returns proposals"));
        }
        let mut scope = Scope::new();
        self.engine
            .run_ast_with_scope(&mut scope, &ast)
            .map_err(|error| RuleError::from_run(name, &error, self.limits.operations))?;
        lock(&self.printed).clear();
        let lapse = |constant: &str| match scope.get(constant) {
            None => Ok(None),
            Some(value) => match value.clone().try_cast::<RuleDuration>() {
                Some(lapse) => Ok(Some(lapse)),
                None => Err(RuleError::whole(name, format!("const {constant} is not a duration; write seconds(60)"))),
            },
        };
        let defaults = Defaults { cooldown: lapse("COOLDOWN")?, stabilisation: lapse("STABILISATION")? };
        Ok(Rule { source: source.clone(), ast, defaults })
    }

    fn run(&self, rule: &Rule, now: Now) -> Result<Vec<Draft>, Failed> {
        let name = rule.source.name.as_str();
        let value =
            self.engine.call_fn::<Dynamic>(&mut Scope::new(), &rule.ast, "evaluate", (now,)).map_err(|error| {
                let may = self.progress.operations_max.load(Ordering::Relaxed).min(self.limits.operations);
                let is_over = ends_in_too_many_operations(&error);
                Failed { error: RuleError::from_run(name, &error, may), is_over }
            })?;
        let mut drafts = Vec::new();
        self.collect(name, value, &mut drafts)?;
        Ok(drafts)
    }

    /// A proposal, an array of them with holes, or nothing. Arrays may hold arrays; rhai's own size limits
    /// count nested elements, so the depth is bounded with them.
    fn collect(&self, rule: &str, value: Dynamic, drafts: &mut Vec<Draft>) -> Result<(), RuleError> {
        if value.is_unit() {
            return Ok(());
        }
        if drafts.len() >= self.limits.proposals {
            let message = format!("returned more than {} proposals; propose what matters most", self.limits.proposals);
            return Err(RuleError::whole(rule, message));
        }
        if value.is_array() {
            let elements: Array = value.cast(); // checked the line above
            return elements.into_iter().try_for_each(|element| self.collect(rule, element, drafts));
        }
        let found = self.engine.map_type_name(value.type_name()).to_string();
        let Some(draft) = value.try_cast::<Draft>() else {
            let message = format!("evaluate returned a {found}; return proposals, an array of them, or ()");
            return Err(RuleError::whole(rule, message));
        };
        drafts.push(draft);
        Ok(())
    }
}

impl Evaluated {
    /// Records that a rule was given up because of time.
    fn give_up(&mut self, name: &str) {
        let message =
            "stopped, as rules took longer than they may in one tick; make what it does to large arrays cheaper";
        let error = RuleError::whole(name, message);
        self.stopped = Some(name.to_owned());
        self.over.push((name.to_owned(), error.clone()));
        self.errors.push(error);
    }

    fn add(&mut self, rule: &Rule, draft: Draft, bottlenecks: &[Blamed]) {
        let (name, service) = (rule.source.name.clone(), draft.service().clone());
        match draft.finish(rule.defaults) {
            Ok((action, because)) => {
                let because = if because.is_empty() { rule.source.description().to_string() } else { because };
                let verdict = Blamed::verdict(bottlenecks, &action, &because).to_owned();
                self.proposals.push(Proposal { origin: Origin::Rule(name), action, because, verdict });
            }
            Err(reason) => self.skipped.push(Skipped { rule: name, service, reason }),
        }
    }
}

fn ends_in_too_many_operations(error: &EvalAltResult) -> bool {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => ends_in_too_many_operations(inner),
        EvalAltResult::ErrorTooManyOperations(_) | EvalAltResult::ErrorTerminated(..) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
