//! Who answers which kind of call: used for calls that nobody answered.

use std::collections::{BTreeMap, BTreeSet};

pub use crate::analyse::thresholds::memory::CALL_KINDS_MAX;
use crate::model::Text;

/// Caller, its operation, and the peer it names.
pub type CallKind = [Text; 3];

#[derive(Clone, Debug, Default)]
pub struct Callees {
    version: u64,
    known: BTreeMap<CallKind, Text>,
    /// Whoever answered a call of somebody who sends spans.
    services: BTreeSet<Text>,
}

impl Callees {
    /// Learns who answered calls of a tick. Of several who answered one kind, the last by name is remembered, whoever was
    /// first to come.
    pub fn learn(&mut self, answered: impl IntoIterator<Item = (CallKind, Text)>) {
        let mut latest: BTreeMap<CallKind, Text> = BTreeMap::new();
        for (kind, callee) in answered {
            let known = latest.entry(kind).or_insert_with(|| callee.clone());
            *known = callee.max(known.clone());
        }
        if latest.is_empty() {
            return;
        }
        if self.known.len() + latest.len() > CALL_KINDS_MAX {
            self.known.clear();
        }
        self.version += 1;
        if self.services.len() < CALL_KINDS_MAX {
            self.services.extend(latest.values().cloned());
        }
        self.known.extend(latest);
    }

    pub fn of(&self, kind: &CallKind) -> Option<&Text> {
        self.known.get(kind)
    }

    /// Whether a service was seen to answer a call whose caller sends spans.
    pub fn answers(&self, service: &Text) -> bool {
        self.services.contains(service)
    }

    /// Changes with what is known.
    pub fn version(&self) -> u64 {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(operation: &str) -> CallKind {
        ["shop", operation, "db"].map(Text::from)
    }

    #[test]
    fn the_order_of_answers_does_not_matter() {
        let answers = [(call("GET /a"), "one"), (call("GET /a"), "two"), (call("GET /b"), "one")];
        let learned = |answers: &[(CallKind, &str)]| {
            let mut callees = Callees::default();
            callees.learn(answers.iter().map(|(kind, callee)| (kind.clone(), Text::from(*callee))));
            ["GET /a", "GET /b", "GET /c"].map(|operation| callees.of(&call(operation)).map(|c| c.to_string()))
        };
        let reversed: Vec<_> = answers.iter().rev().cloned().collect();
        assert_eq!(learned(&answers), learned(&reversed));
        assert_eq!(learned(&answers), [Some("two".into()), Some("one".into()), None]);
    }

    #[test]
    fn names_with_identifiers_do_not_grow_without_bound() {
        let mut callees = Callees::default();
        for n in 0..3 * CALL_KINDS_MAX {
            callees.learn([(call(&format!("GET /{n}")), "db".into())]);
        }
        assert!(callees.known.len() <= CALL_KINDS_MAX);
    }
}
