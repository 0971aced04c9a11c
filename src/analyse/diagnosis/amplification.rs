//! Calls for each request, now and in healthy time: who asks more of whom than its own requests explain.

use std::collections::BTreeMap;

use crate::analyse::rollup::window_totals::{Answers, EdgeAnswer};
use crate::analyse::thresholds::amplification::{AMPLIFIED, DEVIATIONS};
use crate::model::Text;

/// Calls that were made, and those that as many healthy requests of the same operations make.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    pub made: f64,
    pub expected: f64,
}

impl Demand {
    fn add(&mut self, edge: &EdgeAnswer) {
        self.made += edge.sums.calls as f64;
        self.expected += edge.sums.expected_milli as f64 / 1e3;
    }

    pub fn factor(&self) -> f64 {
        if self.expected > 0.0 { self.made / self.expected } else { 1.0 }
    }

    /// Beyond what chance makes of so many calls. The counts are those seen, not those that they stand for.
    pub fn is_amplified(&self) -> bool {
        self.expected > 0.0
            && self.made > AMPLIFIED * self.expected
            && self.made - self.expected > DEVIATIONS * self.expected.max(1.0).sqrt()
    }
}

/// Who asks more, and how much more all callers together ask.
#[derive(Clone, Debug, PartialEq)]
pub struct Amplification {
    pub caller: Text,
    pub version: Text,
    pub operation: Text,
    pub by_caller: Demand,
    pub factor: f64,
}

/// None unless the calls of one operation to `callee` clearly outgrew the requests that make them. By version of the caller: a
/// new one that serves few requests yet would not show among the others'.
pub fn amplification(answers: &Answers, callee: &str) -> Option<Amplification> {
    let mut all = Demand::default();
    let mut by_operation: BTreeMap<(&Text, &Text, &Text), Demand> = BTreeMap::new();
    for (caller, edges) in &answers.edges {
        // A partial trace tells of calls, and not of the request that made them.
        for edge in edges.iter().filter(|edge| *edge.callee == *callee && !edge.operation.is_empty()) {
            all.add(edge);
            by_operation.entry((caller, &edge.version, &edge.operation)).or_default().add(edge);
        }
    }
    let excess = |demand: &Demand| demand.made - demand.expected;
    let worst = by_operation.into_iter().max_by(|a, b| excess(&a.1).total_cmp(&excess(&b.1)).then(b.0.cmp(&a.0)));
    let (names, by_caller) = worst.filter(|(_, demand)| demand.is_amplified())?;
    let (caller, version, operation) = (names.0.clone(), names.1.clone(), names.2.clone());
    Some(Amplification { caller, version, operation, by_caller, factor: all.factor() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::EdgeSums;

    /// Calls of `caller version`, or of `caller` alone.
    fn answers(edges: &[(&str, &str, i64, i64)]) -> Answers {
        let mut answers = Answers::default();
        for &(caller, operation, calls, expected) in edges {
            let (caller, version) = caller.split_once(' ').unwrap_or((caller, ""));
            let sums = EdgeSums { calls, expected_milli: expected * 1000, ..EdgeSums::default() };
            let (version, operation, callee) = (version.into(), operation.into(), "content".into());
            let edge = EdgeAnswer { version, operation, callee, answered: true, sums };
            answers.edges.entry(caller.into()).or_default().push(edge);
        }
        answers
    }

    #[test]
    fn the_operation_that_asks_more_is_named() {
        let answers =
            answers(&[("page", "GET /new", 600, 100), ("page", "GET /old", 50, 50), ("exam", "GET /", 30, 30)]);
        let found = amplification(&answers, "content").expect("600 for 100");
        assert_eq!((&*found.caller, &*found.operation), ("page", "GET /new"));
        assert!((found.factor - 680.0 / 180.0).abs() < 1e-9);
        assert_eq!(amplification(&answers, "other"), None);
    }

    #[test]
    fn a_version_that_serves_few_yet_is_found_among_the_others() {
        let found = amplification(&answers(&[("page v1", "GET /", 94, 94), ("page v2", "GET /", 36, 6)]), "content");
        let found = found.expect("36 for 6");
        assert_eq!((&*found.version, found.by_caller.factor()), ("v2", 6.0));
    }

    #[test]
    fn more_requests_are_no_more_calls_for_each() {
        assert_eq!(amplification(&answers(&[("page", "GET /", 5000, 4900)]), "content"), None);
        assert_eq!(amplification(&answers(&[("page", "GET /", 7, 3)]), "content"), None, "chance makes 7 of 3");
        assert_eq!(amplification(&answers(&[("page", "", 600, 0)]), "content"), None, "partial traces");
    }
}
