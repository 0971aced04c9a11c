//! The rules in force: compiled once, evaluated at every tick, each one's failure its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{AST, Array, Dynamic, Engine, Scope};

use super::draft::{self, Defaults, Draft, RuleDuration};
use super::error::RuleError;
use super::limits::Limits;
use super::proposal::Proposal;
use super::source::RuleSource;
use super::view::{self, Now};
use crate::analyse::Findings;
use crate::model::{ClusterState, Origin, ServiceId};

/// What one tick's evaluation of all rules came to, in the order of the rules' names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluated {
    pub proposals: Vec<Proposal>,
    /// Rules that failed and were skipped, at most one error a rule.
    pub errors: Vec<RuleError>,
    /// Proposals that came to nothing for a reason that is no error.
    pub skipped: Vec<Skipped>,
    /// What rules wrote with `print` and `debug`.
    pub printed: Vec<Printed>,
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
    engine: Engine,
    limits: Limits,
    /// By name, so that evaluation has one order whatever the order of files.
    rules: BTreeMap<String, Rule>,
    /// What the running rule printed; emptied after each.
    printed: Arc<Mutex<Vec<String>>>,
}

impl Rules {
    /// Compile every source; one that does not compile is reported and the rest go on.
    pub fn compile(sources: &[RuleSource], limits: Limits) -> (Rules, Vec<RuleError>) {
        let printed = Arc::new(Mutex::new(Vec::new()));
        let mut rules = Rules { engine: engine(&limits, printed.clone()), limits, rules: BTreeMap::new(), printed };
        let errors = rules.replace(sources);
        (rules, errors)
    }

    /// Put these sources in force. A rule whose new text is bad keeps its last good version; one that is no
    /// longer among the sources is dropped.
    pub fn replace(&mut self, sources: &[RuleSource]) -> Vec<RuleError> {
        let mut errors = Vec::new();
        let mut before = std::mem::take(&mut self.rules);
        for source in sources {
            if self.rules.len() >= self.limits.rules {
                let message = format!("left out, {} rules are the limit; merge or remove some", self.limits.rules);
                errors.push(RuleError::whole(&source.name, message));
                continue;
            }
            let rule = match self.compile_one(source) {
                Ok(rule) => Some(rule),
                Err(error) => {
                    errors.push(error);
                    before.remove(&source.name)
                }
            };
            self.rules.extend(rule.map(|rule| (source.name.clone(), rule)));
        }
        errors
    }

    /// The text of every rule in force, for the journal.
    pub fn sources(&self) -> Vec<RuleSource> {
        self.rules.values().map(|rule| rule.source.clone()).collect()
    }

    /// Run every rule on what the tick found.
    pub fn evaluate(&self, findings: &Findings, cluster: &ClusterState) -> Evaluated {
        let now = Now::new(findings, cluster);
        let mut evaluated = Evaluated::default();
        for (name, rule) in &self.rules {
            match self.run(rule, now.clone()) {
                Ok(drafts) => drafts.into_iter().for_each(|draft| evaluated.add(rule, draft, findings)),
                Err(error) => evaluated.errors.push(error),
            }
            let lines = std::mem::take(&mut *self.printed.lock().unwrap_or_else(PoisonError::into_inner));
            evaluated.printed.extend(lines.into_iter().map(|text| Printed { rule: name.clone(), text }));
        }
        evaluated
    }

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
        if !ast.iter_functions().any(|f| f.name == "evaluate" && f.params.len() == 1) {
            return Err(RuleError::whole(name, "has no fn evaluate(now); add one that returns proposals"));
        }
        let mut scope = Scope::new();
        self.engine
            .run_ast_with_scope(&mut scope, &ast)
            .map_err(|error| RuleError::from_run(name, &error, self.limits.operations))?;
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).clear();
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

    fn run(&self, rule: &Rule, now: Now) -> Result<Vec<Draft>, RuleError> {
        let name = rule.source.name.as_str();
        let value = self
            .engine
            .call_fn::<Dynamic>(&mut Scope::new(), &rule.ast, "evaluate", (now,))
            .map_err(|error| RuleError::from_run(name, &error, self.limits.operations))?;
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
    fn add(&mut self, rule: &Rule, draft: Draft, findings: &Findings) {
        let (name, service) = (rule.source.name.clone(), draft.service().clone());
        match draft.finish(rule.defaults) {
            Ok((action, because)) => {
                let because = if because.is_empty() { rule.source.description().to_string() } else { because };
                // Bottlenecks come worst first.
                let bottleneck = findings.bottlenecks.iter().find(|b| b.service == service.as_str());
                let verdict = bottleneck.map_or("", |b| b.verdict.as_str()).to_string();
                self.proposals.push(Proposal { origin: Origin::Rule(name), action, because, verdict });
            }
            Err(reason) => self.skipped.push(Skipped { rule: name, service, reason: reason.into() }),
        }
    }
}

/// The engine of every rule: rhai's language and collections, our view and proposals, and nothing that reaches
/// outside. It starts raw and takes only the packages below, because the standard set can sleep and read the
/// clock, which would make a rule's answer depend on more than its argument.
fn engine(limits: &Limits, printed: Arc<Mutex<Vec<String>>>) -> Engine {
    let mut engine = Engine::new_raw();
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    BasicFnPackage::new().register_into_engine(&mut engine);
    limits.apply(&mut engine);
    engine.disable_symbol("eval").disable_symbol("import").disable_symbol("export");
    engine.set_strict_variables(true).set_fail_on_invalid_map_property(true);
    view::register(&mut engine);
    draft::register(&mut engine);
    let lines_max = limits.printed_lines;
    let keep = move |printed: &Mutex<Vec<String>>, text: String| {
        let mut lines = printed.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < lines_max {
            lines.push(text);
        }
    };
    let for_debug = printed.clone();
    engine.on_print(move |text| keep(&printed, text.to_string()));
    engine.on_debug(move |text, _, position| keep(&for_debug, format!("{position}: {text}")));
    engine
}

#[cfg(test)]
mod tests;
