//! From one trace to rollup rows.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::groups::Groups;
use super::operations::Operations;
use super::rows::*;
use super::symbols::{Symbol, Symbols};
use crate::analyse::gaps::Taken;
use crate::analyse::histogram::bucket_of;
use crate::analyse::trace::{Segment, SegmentKind, Tree, critical_path, is_call};
use crate::model::{SpanRow, Status};

/// Caller, operation, and the peer it names.
type CallKind = (Symbol, Symbol, Symbol);

/// A client has this many kinds of call in the worst case we keep; past it, new kinds stay unresolved.
const CALL_KINDS_MAX: usize = 100_000;

/// Traces being added up, until their rows are taken.
#[derive(Debug, Default)]
pub struct Tally {
    symbols: Symbols,
    /// Who answers a kind of call: learnt from calls that were answered, used for those that never were.
    callees: IndexMap<CallKind, Symbol, RandomState>,
    /// The service of each node of the trace at hand.
    services: Vec<Symbol>,
    /// Whether a node of the trace at hand is a call that a visit made.
    visited: Vec<bool>,
    entries: Groups<EntryKey<Symbol>, EntrySums>,
    paths: Groups<PathKey<Symbol>, PathSums>,
    health: Groups<HealthKey<Symbol>, HealthSums>,
    durations: Groups<DurationKey<Symbol>, CountSums>,
    edges: Groups<EdgeKey<Symbol>, EdgeSums>,
    operations: Groups<OperationKey<Symbol>, OperationSums>,
    /// What a healthy request of (service, operation) takes, once asked; forgotten when the rows are taken.
    expected: IndexMap<(Symbol, Symbol), Option<Expected>, RandomState>,
    taken: IndexMap<Symbol, Taken, RandomState>,
}

/// Own time of a healthy request of an operation, and its time in what it calls.
#[derive(Clone, Copy, Debug)]
struct Expected {
    own_ns: i64,
    callees_ns: i64,
}

/// What a trace was, for those who keep exemplars.
#[derive(Clone, Debug, PartialEq)]
pub struct Absorbed {
    pub entry: Text,
    pub missed: bool,
    pub slow: bool,
    pub error: bool,
    pub duration_ns: i64,
    /// The critical path of the root, walked once for all who need it.
    pub path: Vec<Segment>,
}

impl Tally {
    /// Service and operation of the root, as objectives and people name it.
    pub fn entry_of(&mut self, root: &SpanRow<'_>) -> Text {
        let entry = self.symbols.entry(root);
        self.symbols.text(entry).clone()
    }

    /// Requests that each service took since the last call, and how many came without their parent. To be called before
    /// the rows are taken.
    pub fn take_taken(&mut self) -> BTreeMap<Text, Taken> {
        self.taken.drain(..).map(|(service, taken)| (self.symbols.text(service).clone(), taken)).collect()
    }

    /// The rows of all traces since the last call, in the order of their keys. `healthy` is what their requests are
    /// set beside; it must be the one they were absorbed with.
    pub fn take(&mut self, healthy: &Operations) -> Rows {
        let mut rows = Rows {
            entries: self.entries.take(&self.symbols),
            paths: self.paths.take(&self.symbols),
            health: self.health.take(&self.symbols),
            durations: self.durations.take(&self.symbols),
            edges: self.edges.take(&self.symbols),
            operations: self.operations.take(&self.symbols),
        };
        rows.expect_calls(healthy);
        self.expected.clear();
        if self.symbols.is_crowded() {
            // Texts of pods and versions that are gone are forgotten; who answers whom is learnt again in a moment.
            self.symbols = Symbols::default();
            self.callees.clear();
        }
        rows
    }

    /// Rows that were added to `_other`, since the start.
    pub fn folded(&self) -> u64 {
        let tables = [self.entries.folded(), self.paths.folded(), self.health.folded(), self.durations.folded()];
        tables.iter().sum::<u64>() + self.edges.folded() + self.operations.folded()
    }

    /// Adds one trace. `objective_ns` is the latency its entry operation was promised, if any.
    /// A partial trace (no root) tells of the services in it, but belongs to no entry operation.
    /// `healthy` is what the trace's requests are set beside.
    pub fn absorb(&mut self, tree: &Tree<'_>, objective_ns: Option<i64>, healthy: &Operations) -> Option<Absorbed> {
        self.services.clear();
        for node in &tree.nodes {
            let service = self.symbols.service(&node.span);
            self.services.push(service);
        }
        self.visited.clear();
        self.visited.resize(tree.nodes.len(), false);
        for index in 0..tree.nodes.len() {
            let visit = Visit::at(tree, index);
            let node = &tree.nodes[index];
            let is_orphan = node.parent.is_none() && node.span.parent_span_id.is_some();
            if visit.is_some() || is_orphan {
                let taken = Taken { requests: 1, without_parent: i64::from(is_orphan) };
                self.taken.entry(self.services[index]).or_default().add(taken);
            }
            if let Some(visit) = visit {
                visit.calls.iter().for_each(|&call| self.visited[call] = true);
                self.absorb_visit(tree, &visit, healthy);
            }
        }
        for (index, node) in tree.nodes.iter().enumerate() {
            if node.span.kind.is_caller() && !self.visited[index] {
                self.absorb_call(tree, index, Symbol::EMPTY);
            }
        }
        let root = tree.root?;
        let node = &tree.nodes[root];
        let entry = self.symbols.entry(&node.span);
        let duration_ns = node.span.duration_ns;
        let failed = has_failed(&node.span);
        let slow = objective_ns.is_some_and(|bound| duration_ns > bound);
        let missed = slow || failed;
        let second = node.end.second();
        self.entries.add(
            EntryKey { second, entry, bucket: bucket_of(duration_ns) },
            EntrySums {
                requests: 1,
                slow: i64::from(slow),
                errors: i64::from(failed),
                missed: i64::from(missed),
                duration_ns,
                adjusted_milli: milli(node.span.sampled_weight),
                unweighted: i64::from(node.span.sampled_weight.is_none()),
            },
        );
        let path = critical_path(tree, root);
        self.absorb_path(tree, root, &path, entry, missed);
        if failed {
            self.absorb_failure(tree, root, entry, objective_ns.unwrap_or(duration_ns), healthy);
        }
        let entry = self.symbols.text(entry).clone();
        Some(Absorbed { entry, missed, slow, error: failed, duration_ns, path })
    }

    fn call_kind(&mut self, tree: &Tree<'_>, caller: usize) -> CallKind {
        let span = &tree.nodes[caller].span;
        (self.services[caller], self.symbols.of(span.operation), self.symbols.of(span.peer))
    }

    fn learn_callee(&mut self, tree: &Tree<'_>, caller: usize, service: Symbol) {
        let kind = self.call_kind(tree, caller);
        if self.callees.len() < CALL_KINDS_MAX || self.callees.contains_key(&kind) {
            self.callees.insert(kind, service);
        }
    }

    fn resolve_callee(&mut self, tree: &Tree<'_>, caller: usize) -> Option<Symbol> {
        let kind = self.call_kind(tree, caller);
        self.callees.get(&kind).copied()
    }

    fn expected(&mut self, service: Symbol, operation: Symbol, healthy: &Operations) -> Option<Expected> {
        let symbols = &self.symbols;
        *self.expected.entry((service, operation)).or_insert_with(|| {
            let known = healthy.get(symbols.text(service), symbols.text(operation))?;
            Some(Expected { own_ns: known.own_ns(), callees_ns: known.callees_ns() })
        })
    }

    fn absorb_visit(&mut self, tree: &Tree<'_>, visit: &Visit, healthy: &Operations) {
        let node = &tree.nodes[visit.top];
        let service = self.services[visit.top];
        let operation = self.symbols.of(node.span.operation);
        let hold_ns = node.duration_ns();
        let caller = node.parent.filter(|&p| tree.nodes[p].span.kind.is_caller());
        if let Some(caller) = caller {
            self.learn_callee(tree, caller, service);
        }
        let caller = caller.map(|c| &tree.nodes[c]);
        let wait_ns = caller.map_or(0, |c| (c.duration_ns() - hold_ns).max(0));
        let end = caller.map_or(node.end, |c| c.end);
        let failed = has_failed(&node.span);
        // A refusal that is passed on was not its own.
        let passed_on = visit.calls.iter().any(|&call| has_failed(&tree.nodes[call].span));
        let refused = is_refusal(node.span.http_status()) && !passed_on;
        let served = i64::from(!refused);
        let second = end.second();
        let expected = if refused { None } else { self.expected(service, operation, healthy) };
        self.health.add(
            HealthKey {
                second,
                service,
                pod: self.symbols.of(node.span.pod),
                version: self.symbols.of(node.span.version),
            },
            HealthSums {
                requests: served,
                errors: i64::from(failed),
                refused: i64::from(refused),
                gave_up: 0,
                hold_ns: served * hold_ns,
                own_ns: served * visit.own_ns,
                wait_ns: served * wait_ns,
                sojourn_ns: served * (hold_ns + wait_ns),
                adjusted_milli: milli(node.span.sampled_weight),
                compared_own_ns: expected.map_or(0, |_| visit.own_ns),
                expected_own_ns: expected.map_or(0, |expected| expected.own_ns),
                expected_callees_ns: expected.map_or(0, |expected| expected.callees_ns),
            },
        );
        if !refused {
            let key = DurationKey { second, service, bucket: bucket_of(hold_ns + wait_ns) };
            self.durations.add(key, CountSums { requests: 1 });
            self.operations.add(
                OperationKey { second, service, operation },
                OperationSums {
                    requests: 1,
                    errors: i64::from(failed),
                    own_ns: visit.own_ns,
                    callees_ns: (hold_ns - visit.own_ns).max(0),
                    wait_ns,
                },
            );
        }
        visit.calls.iter().for_each(|&call| self.absorb_call(tree, call, operation));
    }

    /// A call made: answered by a service, or by a peer that sends no spans, or by nobody in time.
    fn absorb_call(&mut self, tree: &Tree<'_>, index: usize, operation: Symbol) {
        let node = &tree.nodes[index];
        let answered = tree.callee(index);
        let (callee, callee_ns) = match answered {
            Some(callee) => (self.services[callee], tree.nodes[callee].duration_ns()),
            None if !node.children.is_empty() => return,
            None => match self.resolve_callee(tree, index) {
                Some(service) => {
                    self.absorb_given_up(node.end.second(), service, node.duration_ns(), &node.span);
                    (service, 0)
                }
                None => (self.peer_of(&node.span), 0),
            },
        };
        let caller_ns = node.duration_ns();
        let failed = has_failed(&node.span);
        let caller = self.services[index];
        self.edges.add(
            EdgeKey { second: node.end.second(), caller, operation, callee, answered: answered.is_some() },
            EdgeSums {
                calls: 1,
                errors: i64::from(failed),
                caller_ns,
                callee_ns,
                gap_ns: (caller_ns - callee_ns).max(0),
                expected_milli: 0,
            },
        );
    }

    /// A call whose callee has always answered, and did not this time.
    fn absorb_given_up(&mut self, second: i64, service: Symbol, waited_ns: i64, span: &SpanRow<'_>) {
        let refused = is_refusal(span.http_status());
        self.health.add(
            HealthKey { second, service, pod: Symbol::EMPTY, version: Symbol::EMPTY },
            HealthSums {
                errors: 1,
                refused: i64::from(refused),
                gave_up: i64::from(!refused),
                wait_ns: if refused { 0 } else { waited_ns },
                sojourn_ns: if refused { 0 } else { waited_ns },
                adjusted_milli: milli(span.sampled_weight),
                ..HealthSums::default()
            },
        );
    }

    fn absorb_path(&mut self, tree: &Tree<'_>, root: usize, path: &[Segment], entry: Symbol, missed: bool) {
        let second = tree.nodes[root].end.second();
        for segment in path {
            let span = &tree.nodes[segment.node].span;
            let own = self.services[segment.node];
            let none = Symbol::EMPTY;
            let (service, operation, peer, kind) = match segment.kind {
                SegmentKind::Own => (own, self.symbols.of(span.operation), none, SegmentKind::Own),
                SegmentKind::Queue => match tree.callee(segment.node) {
                    Some(callee) => {
                        let operation = self.symbols.of(tree.nodes[callee].span.operation);
                        (self.services[callee], operation, none, SegmentKind::Queue)
                    }
                    None => (own, self.symbols.of(span.operation), none, SegmentKind::Own),
                },
                SegmentKind::Peer => match self.resolve_callee(tree, segment.node) {
                    Some(service) => (service, none, none, SegmentKind::Queue),
                    None => (own, self.symbols.of(span.operation), self.peer_of(span), SegmentKind::Peer),
                },
            };
            let key = PathKey { second, entry, missed, service, operation, peer, kind: PathKind::Time(kind) };
            self.paths.add(key, PathSums { traces: 1, exclusive_ns: segment.nanos() });
        }
    }

    /// Charges a failed trace to the place where the failure starts.
    fn absorb_failure(&mut self, tree: &Tree<'_>, root: usize, entry: Symbol, cost_ns: i64, healthy: &Operations) {
        let origin = failure_origin(tree, root);
        let span = &tree.nodes[origin].span;
        let own = self.services[origin];
        // A caller whose callee shows no error gave up on it, or was cut off from it.
        let unanswered = span.kind.is_caller();
        let service = match tree.callee(origin) {
            Some(callee) if unanswered => self.services[callee],
            _ if unanswered => self.resolve_callee(tree, origin).unwrap_or(own),
            _ => own,
        };
        let peer = if unanswered && service == own { self.peer_of(span) } else { Symbol::EMPTY };
        let kind = if is_refusal(span.http_status()) {
            PathKind::Refused
        } else if unanswered && self.waited_long(tree, origin, service, healthy) {
            PathKind::GaveUp
        } else {
            PathKind::Error
        };
        let operation = self.symbols.of(span.operation);
        let second = tree.nodes[root].end.second();
        let key = PathKey { second, entry, missed: true, operation, service, peer, kind };
        self.paths.add(key, PathSums { traces: 1, exclusive_ns: cost_ns });
    }

    /// A call without an answer that took longer than answers take was given up; one that took less was cut off. Where
    /// healthy time does not tell, nobody is accused of failing.
    fn waited_long(&self, tree: &Tree<'_>, call: usize, callee: Symbol, healthy: &Operations) -> bool {
        let is_own = |&p: &usize, top: usize| !is_call(&tree.nodes[p].span, &tree.nodes[top].span);
        let mut top = call;
        while let Some(parent) = tree.nodes[top].parent.filter(|p| is_own(p, top)) {
            top = parent;
        }
        let (caller, waited_ns) = (self.symbols.text(self.services[top]), tree.nodes[call].duration_ns());
        let known = healthy.call_ns(caller, tree.nodes[top].span.operation, self.symbols.text(callee));
        known.is_none_or(|healthy_ns| waited_ns as f64 > healthy_ns)
    }

    fn peer_of(&mut self, span: &SpanRow<'_>) -> Symbol {
        self.symbols.of(if span.peer.is_empty() { span.operation } else { span.peer })
    }
}

/// In error by its own word, or by HTTP's.
fn has_failed(span: &SpanRow<'_>) -> bool {
    span.status == Status::Error || span.http_status() >= 500
}

/// HTTP 503 and 429 (RFC 9110, RFC 6585): turned away for lack of room.
const fn is_refusal(status: u16) -> bool {
    matches!(status, 503 | 429)
}

/// A request taken by a service: a span whose parent is elsewhere, and everything below it in the same service.
struct Visit {
    top: usize,
    /// Of the spans, calls left out.
    own_ns: i64,
    calls: Vec<usize>,
}

impl Visit {
    fn at(tree: &Tree<'_>, top: usize) -> Option<Visit> {
        let node = &tree.nodes[top];
        let is_taken = match node.parent {
            Some(parent) => is_call(&tree.nodes[parent].span, &node.span),
            // What hangs from a parent that is not there was taken only if it says so itself.
            None => tree.root == Some(top) || node.span.kind.is_callee(),
        };
        is_taken.then(|| {
            let mut visit = Visit { top, own_ns: 0, calls: Vec::new() };
            let mut pending = vec![top];
            while let Some(index) = pending.pop() {
                let node = &tree.nodes[index];
                if node.span.kind.is_caller() {
                    visit.calls.push(index);
                } else {
                    visit.own_ns += tree.own_ns(index);
                    let is_own = |&c: &usize| !is_call(&node.span, &tree.nodes[c].span);
                    pending.extend(node.children.iter().copied().filter(is_own));
                }
            }
            visit
        })
    }
}

/// From the root down along children in error, to the deepest; of several, the one that ends last.
fn failure_origin(tree: &Tree<'_>, root: usize) -> usize {
    let mut at = root;
    loop {
        let failed = |&&c: &&usize| has_failed(&tree.nodes[c].span);
        match tree.nodes[at].children.iter().filter(failed).max_by_key(|&&c| (tree.nodes[c].end, c)) {
            Some(&child) => at = child,
            None => return at,
        }
    }
}

/// An adjusted count in thousandths; an unknown weight counts as one, and is counted as unknown elsewhere.
fn milli(weight: Option<f64>) -> i64 {
    (weight.unwrap_or(1.0) * 1000.0).round() as i64
}
