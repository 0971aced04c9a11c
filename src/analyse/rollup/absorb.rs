//! From one trace to rollup rows.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::groups::Groups;
use super::rows::*;
use crate::analyse::learned::operations::Operations;
use crate::analyse::statistics::histogram::bucket_of;
use crate::analyse::telemetry::ReceivedCounts;
use crate::analyse::trace::{Segment, SegmentKind, Tree, critical_path, is_call};
use crate::model::{Span, Status, Symbol, Symbols};

/// Caller, operation, and the peer it names.
type CallKind = (Symbol, Symbol, Symbol);

/// A request that took more than one such part of what was promised came near missing it: ordinary requests are well
/// below, as an objective lies above what is healthy by a factor or it is missed all day.
const NEAR: i64 = 2;
/// A client has this many kinds of call in the worst case we keep; past it, new kinds stay unresolved.
const CALL_KINDS_MAX: usize = 100_000;

/// Traces being added up, until their rows are taken.
#[derive(Debug, Default)]
pub struct Tally {
    /// Who answers a kind of call: learnt from calls that were answered, used for those that never were.
    callees: HashMap<CallKind, Symbol, RandomState>,
    /// Whether a node of the trace at hand is a call that a visit made.
    visited: Vec<bool>,
    /// The visit at hand; kept for its memory.
    visit: Visit,
    /// Time on the critical path of each node of the trace at hand.
    spent: Vec<Option<(SegmentKind, i64)>>,
    entries: Groups<EntryKey<Symbol>, EntrySums>,
    paths: Groups<PathKey<Symbol>, PathSums>,
    health: Groups<HealthKey<Symbol>, HealthSums>,
    durations: Groups<DurationKey<Symbol>, CountSums>,
    edges: Groups<EdgeKey<Symbol>, EdgeSums>,
    operations: Groups<OperationKey<Symbol>, OperationSums>,
    /// What a healthy request of (service, operation) takes, once asked; forgotten when the rows are taken.
    expected: HashMap<(Symbol, Symbol), Option<Expected>, RandomState>,
    taken: HashMap<Symbol, ReceivedCounts, RandomState>,
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
    pub entry: Symbol,
    pub missed: bool,
    pub slow: bool,
    pub error: bool,
    pub duration_ns: i64,
    /// The critical path of the root, walked once for all who need it.
    pub path: Vec<Segment>,
}

impl Tally {
    /// Requests that each service took since the last call, and how many came without their parent.
    pub fn take_taken(&mut self, symbols: &Symbols) -> BTreeMap<Text, ReceivedCounts> {
        self.taken.drain().map(|(service, taken)| (symbols.text(service).clone(), taken)).collect()
    }

    /// The rows of all traces since the last call, in the order of their keys. `healthy` is what their requests are
    /// set beside; it must be the one they were absorbed with.
    pub fn take(&mut self, healthy: &Operations, symbols: &mut Symbols) -> Rows {
        symbols.sort();
        let mut rows = Rows {
            entries: self.entries.take(symbols),
            paths: self.paths.take(symbols),
            health: self.health.take(symbols),
            durations: self.durations.take(symbols),
            edges: self.edges.take(symbols),
            operations: self.operations.take(symbols),
        };
        rows.expect_calls(healthy);
        self.expected.clear();
        rows
    }

    /// Forgets all symbols, when they are renewed after the rows were taken: who answers whom is learnt again in a
    /// moment.
    pub fn forget_symbols(&mut self) {
        self.callees.clear();
    }

    /// Rows that were added to `_other`, since the start.
    pub fn folded(&self) -> u64 {
        let tables = [self.entries.folded(), self.paths.folded(), self.health.folded(), self.durations.folded()];
        tables.iter().sum::<u64>() + self.edges.folded() + self.operations.folded()
    }

    /// Adds one trace. `entry` is the entry operation of its root, and the latency this was promised, if any.
    /// A partial trace (no root) tells of the services in it, but belongs to no entry operation.
    /// `healthy` is what the trace's requests are set beside.
    pub fn absorb(
        &mut self,
        tree: &Tree<Span>,
        entry: Option<(Symbol, Option<i64>)>,
        healthy: &Operations,
        symbols: &Symbols,
    ) -> Option<Absorbed> {
        self.visited.clear();
        self.visited.resize(tree.nodes.len(), false);
        for index in 0..tree.nodes.len() {
            let node = &tree.nodes[index];
            let is_taken = is_taken(tree, index);
            let is_orphan = node.parent.is_none() && node.span.parent.is_some();
            if is_taken || is_orphan {
                let taken = ReceivedCounts { requests: 1, without_parent: i64::from(is_orphan) };
                self.taken.entry(node.span.service).or_default().add(taken);
            }
            if is_taken {
                let mut visit = std::mem::take(&mut self.visit);
                visit.walk(tree, index);
                visit.calls.iter().for_each(|&call| self.visited[call] = true);
                self.absorb_visit(tree, &visit, healthy, symbols);
                self.visit = visit;
            }
        }
        for (index, node) in tree.nodes.iter().enumerate() {
            if node.span.kind.is_caller() && !self.visited[index] {
                self.absorb_call(tree, index, Symbol::EMPTY);
            }
        }
        let (root, (entry, objective_ns)) = tree.root.zip(entry)?;
        let node = &tree.nodes[root];
        let duration_ns = node.span.duration_ns;
        let failed = has_failed(&node.span);
        let slow = objective_ns.is_some_and(|bound| duration_ns > bound);
        let missed = slow || failed;
        let near = !missed && objective_ns.is_some_and(|bound| duration_ns > bound / NEAR);
        let second = node.end.second();
        self.entries.add(
            EntryKey { second, entry, bucket: bucket_of(duration_ns) },
            EntrySums {
                requests: 1,
                slow: i64::from(slow),
                errors: i64::from(failed),
                missed: i64::from(missed),
                near: i64::from(near),
                duration_ns,
                adjusted_milli: milli(node.span.weight),
                unweighted: i64::from(node.span.weight.is_none()),
            },
        );
        let path = critical_path(tree, root);
        self.absorb_path(tree, root, &path, entry, (missed, near));
        if failed {
            self.absorb_failure(tree, root, entry, objective_ns.unwrap_or(duration_ns), healthy, symbols);
        }
        Some(Absorbed { entry, missed, slow, error: failed, duration_ns, path })
    }

    fn learn_callee(&mut self, caller: &Span, service: Symbol) {
        let kind = call_kind(caller);
        if let Some(known) = self.callees.get_mut(&kind) {
            *known = service;
        } else if self.callees.len() < CALL_KINDS_MAX {
            self.callees.insert(kind, service);
        }
    }

    fn resolve_callee(&self, caller: &Span) -> Option<Symbol> {
        self.callees.get(&call_kind(caller)).copied()
    }

    fn expected(&mut self, span: &Span, healthy: &Operations, symbols: &Symbols) -> Option<Expected> {
        *self.expected.entry((span.service, span.operation)).or_insert_with(|| {
            let known = healthy.get(symbols.text(span.service), symbols.text(span.operation))?;
            Some(Expected { own_ns: known.own_ns(), callees_ns: known.callees_ns() })
        })
    }

    fn absorb_visit(&mut self, tree: &Tree<Span>, visit: &Visit, healthy: &Operations, symbols: &Symbols) {
        let node = &tree.nodes[visit.top];
        let Span { service, operation, pod, version, weight, .. } = node.span;
        let hold_ns = node.duration_ns();
        let caller = node.parent.map(|p| &tree.nodes[p]).filter(|p| p.span.kind.is_caller());
        if let Some(caller) = caller {
            self.learn_callee(&caller.span, service);
        }
        let wait_ns = caller.map_or(0, |c| (c.duration_ns() - hold_ns).max(0));
        let end = caller.map_or(node.end, |c| c.end);
        let failed = has_failed(&node.span);
        // A refusal that is passed on was not its own.
        let passed_on = visit.calls.iter().any(|&call| has_failed(&tree.nodes[call].span));
        let refused = is_refusal(node.span.http_status) && !passed_on;
        let served = i64::from(!refused);
        let second = end.second();
        let expected = if refused { None } else { self.expected(&node.span, healthy, symbols) };
        self.health.add(
            HealthKey { second, service, pod, version },
            HealthSums {
                requests: served,
                errors: i64::from(failed),
                refused: i64::from(refused),
                gave_up: 0,
                hold_ns: served * hold_ns,
                own_ns: served * visit.own_ns,
                wait_ns: served * wait_ns,
                sojourn_ns: served * (hold_ns + wait_ns),
                adjusted_milli: milli(weight),
                compared_own_ns: expected.map_or(0, |_| visit.own_ns),
                expected_own_ns: expected.map_or(0, |expected| expected.own_ns),
                expected_callees_ns: expected.map_or(0, |expected| expected.callees_ns),
            },
        );
        if !refused {
            let key = DurationKey { second, service, bucket: bucket_of(hold_ns + wait_ns) };
            self.durations.add(key, CountSums { requests: 1 });
            self.operations.add(
                OperationKey { second, service, version, operation },
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
    fn absorb_call(&mut self, tree: &Tree<Span>, index: usize, operation: Symbol) {
        let node = &tree.nodes[index];
        let answered = tree.callee(index);
        let (callee, callee_ns) = match answered {
            Some(callee) => (tree.nodes[callee].span.service, tree.nodes[callee].duration_ns()),
            None if !node.is_leaf() => return,
            None => match self.resolve_callee(&node.span) {
                Some(service) => {
                    self.absorb_given_up(node.end.second(), service, node.duration_ns(), &node.span);
                    (service, 0)
                }
                None => (peer_of(&node.span), 0),
            },
        };
        let caller_ns = node.duration_ns();
        let failed = has_failed(&node.span);
        let Span { service: caller, version, .. } = node.span;
        self.edges.add(
            EdgeKey { second: node.end.second(), caller, version, operation, callee, answered: answered.is_some() },
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
    fn absorb_given_up(&mut self, second: i64, service: Symbol, waited_ns: i64, span: &Span) {
        let refused = is_refusal(span.http_status);
        self.health.add(
            HealthKey { second, service, pod: Symbol::EMPTY, version: Symbol::EMPTY },
            HealthSums {
                errors: 1,
                refused: i64::from(refused),
                gave_up: i64::from(!refused),
                wait_ns: if refused { 0 } else { waited_ns },
                sojourn_ns: if refused { 0 } else { waited_ns },
                adjusted_milli: milli(span.weight),
                ..HealthSums::default()
            },
        );
    }

    /// Time of a trace that missed its objective, or came near it, or neither.
    fn absorb_path(
        &mut self,
        tree: &Tree<Span>,
        root: usize,
        path: &[Segment],
        entry: Symbol,
        (missed, near): (bool, bool),
    ) {
        let second = tree.nodes[root].end.second();
        // A node's time lies in pieces between its children's.
        let mut spent = std::mem::take(&mut self.spent);
        spent.clear();
        spent.resize(tree.nodes.len(), None);
        for segment in path {
            spent[segment.node].get_or_insert((segment.kind, 0)).1 += segment.nanos();
        }
        for (node, spent) in spent.iter().enumerate() {
            let Some((kind, exclusive_ns)) = *spent else { continue };
            let span = &tree.nodes[node].span;
            let none = Symbol::EMPTY;
            let (service, operation, peer, kind) = match kind {
                SegmentKind::Own => (span.service, span.operation, none, SegmentKind::Own),
                SegmentKind::Queue => {
                    // Where there is no callee after all, it is the span's own.
                    let callee = tree.callee(node);
                    let of = callee.map_or(span, |callee| &tree.nodes[callee].span);
                    let kind = callee.map_or(SegmentKind::Own, |_| SegmentKind::Queue);
                    (of.service, of.operation, none, kind)
                }
                SegmentKind::Peer => match self.resolve_callee(span) {
                    Some(service) => (service, none, none, SegmentKind::Queue),
                    None => (span.service, span.operation, peer_of(span), SegmentKind::Peer),
                },
            };
            let key = PathKey { second, entry, missed, near, service, operation, peer, kind: PathKind::Time(kind) };
            self.paths.add(key, PathSums { traces: 1, exclusive_ns });
        }
        self.spent = spent;
    }

    /// Charges a failed trace to the place where the failure starts.
    fn absorb_failure(
        &mut self,
        tree: &Tree<Span>,
        root: usize,
        entry: Symbol,
        cost_ns: i64,
        healthy: &Operations,
        symbols: &Symbols,
    ) {
        let origin = failure_origin(tree, root);
        let span = &tree.nodes[origin].span;
        let own = span.service;
        // A caller whose callee shows no error gave up on it, or was cut off from it.
        let unanswered = span.kind.is_caller();
        let service = match tree.callee(origin) {
            Some(callee) if unanswered => tree.nodes[callee].span.service,
            _ if unanswered => self.resolve_callee(span).unwrap_or(own),
            _ => own,
        };
        let peer = if unanswered && service == own { peer_of(span) } else { Symbol::EMPTY };
        let kind = if is_refusal(span.http_status) {
            PathKind::Refused
        } else if unanswered && waited_long(tree, origin, service, healthy, symbols) {
            PathKind::GaveUp
        } else {
            PathKind::Error
        };
        let operation = span.operation;
        let second = tree.nodes[root].end.second();
        let key = PathKey { second, entry, missed: true, near: false, operation, service, peer, kind };
        self.paths.add(key, PathSums { traces: 1, exclusive_ns: cost_ns });
    }
}

fn call_kind(caller: &Span) -> CallKind {
    (caller.service, caller.operation, caller.peer)
}

fn peer_of(span: &Span) -> Symbol {
    if span.peer.is_empty() { span.operation } else { span.peer }
}

/// A call without an answer that took longer than answers take was given up; one that took less was cut off. Where
/// healthy time does not tell, nobody is accused of failing.
fn waited_long(tree: &Tree<Span>, call: usize, callee: Symbol, healthy: &Operations, symbols: &Symbols) -> bool {
    let is_own = |&p: &usize, top: usize| !is_call(&tree.nodes[p].span, &tree.nodes[top].span);
    let mut top = call;
    while let Some(parent) = tree.nodes[top].parent.filter(|p| is_own(p, top)) {
        top = parent;
    }
    let (caller, waited_ns) = (&tree.nodes[top].span, tree.nodes[call].duration_ns());
    let [service, operation, callee] = [caller.service, caller.operation, callee].map(|text| symbols.text(text));
    let known = healthy.call_ns(service, operation, callee);
    known.is_none_or(|healthy_ns| waited_ns as f64 > healthy_ns)
}

/// In error by its own word, or by HTTP's.
fn has_failed(span: &Span) -> bool {
    span.status == Status::Error || span.http_status >= 500
}

/// HTTP 503 and 429 (RFC 9110, RFC 6585): turned away for lack of room.
const fn is_refusal(status: u16) -> bool {
    matches!(status, 503 | 429)
}

/// Whether a service took a request here: a span whose parent is elsewhere.
fn is_taken(tree: &Tree<Span>, index: usize) -> bool {
    let node = &tree.nodes[index];
    match node.parent {
        Some(parent) => is_call(&tree.nodes[parent].span, &node.span),
        // What hangs from a parent that is not there was taken only if it says so itself.
        None => tree.root == Some(index) || node.span.kind.is_callee(),
    }
}

/// A request taken by a service: the span that took it, and everything below it in the same service.
#[derive(Debug, Default)]
struct Visit {
    top: usize,
    /// Of the spans, calls left out.
    own_ns: i64,
    calls: Vec<usize>,
    pending: Vec<usize>,
}

impl Visit {
    /// Becomes the visit at `top`.
    fn walk(&mut self, tree: &Tree<Span>, top: usize) {
        let Visit { calls, pending, .. } = self;
        let mut own_ns = 0;
        calls.clear();
        pending.clear();
        pending.push(top);
        while let Some(index) = pending.pop() {
            let span = &tree.nodes[index].span;
            if span.kind.is_caller() {
                calls.push(index);
            } else {
                own_ns += tree.own_ns(index);
                let is_own = |&c: &usize| !is_call(span, &tree.nodes[c].span);
                pending.extend(tree.children(index).iter().copied().filter(is_own));
            }
        }
        (self.top, self.own_ns) = (top, own_ns);
    }
}

/// From the root down along children in error, to the deepest; of several, the one that ends last.
fn failure_origin(tree: &Tree<Span>, root: usize) -> usize {
    let mut at = root;
    loop {
        let failed = |&&c: &&usize| has_failed(&tree.nodes[c].span);
        match tree.children(at).iter().filter(failed).max_by_key(|&&c| (tree.nodes[c].end, c)) {
            Some(&child) => at = child,
            None => return at,
        }
    }
}

/// Requests that one may stand for; nobody samples less than one in a million, and sums must not overflow.
const WEIGHT_MAX: f64 = 1e6;

/// An adjusted count in thousandths; an unknown weight counts as one, and is counted as unknown elsewhere.
fn milli(weight: Option<f64>) -> i64 {
    (weight.unwrap_or(1.0).min(WEIGHT_MAX) * 1000.0).round() as i64
}
