//! What is counted of a tick for those who watch headroom, and shapes no decision: handed over as facts, so that the core
//! knows nothing of metrics.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use crate::analyse::Portion;
use crate::analyse::rollup::Rollups;
use crate::decide::{Evaluated, Proposal};
use crate::model::{Origin, ServiceId};

use super::Engine;

/// Names of rules that are counted: more are not loaded at once, and files may be renamed.
const RULES_MAX: usize = 1_000;

/// Rows and kept traces of those that closed since the tick before: each row is handed over once, also that of a trace that
/// closed late.
#[derive(Clone, Debug)]
pub struct Closed {
    pub rollups: Rollups,
    pub traces: RecordBatch,
}

impl Closed {
    /// Columns are shared, not copied.
    pub(super) fn of(portion: &Portion) -> Closed {
        Closed { rollups: portion.rollups.clone(), traces: portion.exemplars.traces.clone() }
    }
}

/// How one rule fared, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleTally {
    pub evaluations: u64,
    pub errors: u64,
}

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    pub rules: BTreeMap<String, RuleTally>,
    /// By who proposed it (a rule's name, or the kind of another origin) and the action's name.
    pub proposals: BTreeMap<(String, &'static str), u64>,
}

impl Tallies {
    pub(super) fn evaluated(&mut self, evaluated: &Evaluated) {
        for rule in &evaluated.ran {
            if let Some(tally) = self.rule(rule) {
                tally.evaluations += 1;
            }
        }
        self.failed(evaluated.errors.iter().map(|error| error.rule.as_str()));
    }

    pub(super) fn failed<'a>(&mut self, rules: impl Iterator<Item = &'a str>) {
        for rule in rules {
            if let Some(tally) = self.rule(rule) {
                tally.errors += 1;
            }
        }
    }

    pub(super) fn proposed(&mut self, proposals: &[Proposal]) {
        for proposal in proposals {
            let key = (proposal.origin.kind_or_rule().to_owned(), proposal.action.name());
            if self.proposals.len() < RULES_MAX || self.proposals.contains_key(&key) {
                *self.proposals.entry(key).or_default() += 1;
            }
        }
    }

    fn rule(&mut self, rule: &str) -> Option<&mut RuleTally> {
        if !self.rules.contains_key(rule) && self.rules.len() >= RULES_MAX {
            return None;
        }
        Some(self.rules.entry(rule.to_owned()).or_default())
    }
}

impl Engine {
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// What closed in the last tick, a portion of each shard; handed over once.
    pub fn take_closed(&mut self) -> Vec<Closed> {
        std::mem::take(&mut self.closed)
    }

    /// Breakers that are open: whose steps, on which service.
    pub fn open_breakers(&self) -> Vec<(Origin, ServiceId)> {
        self.guard.open_breakers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::RuleError;

    #[test]
    fn a_rule_that_fails_is_counted_as_evaluated_too() {
        let mut tallies = Tallies::default();
        let error = RuleError { rule: "b".into(), line: None, column: None, message: String::new() };
        let mut evaluated = Evaluated::default();
        evaluated.ran = vec!["a".into(), "b".into()];
        evaluated.errors.push(error);
        tallies.evaluated(&evaluated);
        tallies.evaluated(&evaluated);
        assert_eq!(tallies.rules["a"], RuleTally { evaluations: 2, errors: 0 });
        assert_eq!(tallies.rules["b"], RuleTally { evaluations: 2, errors: 2 });
    }

    #[test]
    fn names_of_rules_are_bounded() {
        let mut tallies = Tallies::default();
        let mut evaluated = Evaluated::default();
        evaluated.ran = (0..RULES_MAX + 5).map(|n| format!("r{n:04}")).collect();
        tallies.evaluated(&evaluated);
        assert_eq!(tallies.rules.len(), RULES_MAX);
    }
}
