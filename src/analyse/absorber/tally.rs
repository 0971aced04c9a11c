//! From one trace to rollup rows, in symbols, until they are taken as tables.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use super::groups::{Groups, Row, written};
use super::portion::AnsweredCall;
use crate::analyse::learned::reference::{CALL_KINDS_MAX, Reference};
use crate::analyse::rollup::*;
use crate::analyse::statistics::histogram::bucket_of;
use crate::analyse::telemetry::ReceivedCounts;
use crate::analyse::thresholds::rollup::{AGE_NS_MAX, AT_RISK, WEIGHT_MAX};
use crate::analyse::trace::request::{Visit, failure_origin, is_refusal, is_taken, visit_top};
use crate::analyse::trace::{Segment, SegmentKind, Tree, TreeSpan, critical_path};
use crate::model::{Span, Symbol, Symbols, Text, Time};

/// Caller, operation, and the peer it names.
type CallKind = (Symbol, Symbol, Symbol);

/// Traces being added up.
#[derive(Default)]
pub struct Tally {
    entries: Groups<EntryKey<Symbol>>,
    paths: Groups<PathKey<Symbol>>,
    health: Groups<HealthKey<Symbol>>,
    durations: Groups<DurationKey<Symbol>>,
    edges: Groups<EdgeKey<Symbol>>,
    operations: Groups<OperationKey<Symbol>>,
    crossings: Groups<CrossingKey<Symbol>>,
    received: HashMap<Symbol, ReceivedCounts, RandomState>,
    /// Calls that were answered by somebody the reference does not name.
    answered: HashSet<(CallKind, Symbol), RandomState>,
    known: Known,
    memory: Memory,
}

/// What was looked up in the reference, by symbol.
#[derive(Default)]
struct Known {
    /// Of the symbols, of the reference, and of its callees.
    generation: u32,
    version: u64,
    callees_version: u64,
    callees: HashMap<CallKind, Option<Symbol>, RandomState>,
    /// By service and operation.
    expected: HashMap<(Symbol, Symbol), Option<Expected>, RandomState>,
}

/// What traces are read with.
pub struct With<'a> {
    pub reference: &'a Reference,
    pub symbols: &'a mut Symbols,
}

/// Of the trace at hand; kept for its memory.
#[derive(Default)]
struct Memory {
    visit: Visit,
    /// Whether a node is a call that a visit made.
    visited: Vec<bool>,
    /// Time of each node on the critical path.
    spent: Vec<Option<(SegmentKind, i64)>>,
}

/// Own time of a healthy request of an operation, and its time in what it calls.
#[derive(Clone, Copy, Debug)]
struct Expected {
    own_ns: i64,
    callees_ns: i64,
}

/// A request of a user, as far as it can be seen: the root of a trace, or a span whose callers send none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub node: usize,
    pub entry: Symbol,
    /// The latency bound of the entry operation, if it has one.
    pub objective_ns: Option<i64>,
    /// Its caller's span never came.
    pub remote_parent: bool,
    /// Of a message, when it was sent, if that is known: it is as old as this when its work is done.
    pub sent_at: Option<Time>,
}

/// A request that was added, for those who keep some of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Walked {
    /// The span that took it.
    pub node: usize,
    pub entry: Symbol,
    pub missed: bool,
    pub slow: bool,
    pub error: bool,
    pub duration_ns: i64,
    /// Its critical path, walked once for all who need it.
    pub path: Vec<Segment>,
}

/// A complete trace against its objective.
#[derive(Clone, Copy)]
struct ObjectiveState {
    missed: bool,
    at_risk: bool,
}

impl Known {
    /// Forgets what another reference, or another generation of symbols, said.
    fn follow(&mut self, With { reference, symbols }: &With<'_>) {
        let is_renewed = self.generation != symbols.generation();
        if is_renewed || self.version != reference.version {
            self.expected.clear();
        }
        if is_renewed || self.callees_version != reference.callees.version() {
            self.callees.clear();
        }
        (self.generation, self.version) = (symbols.generation(), reference.version);
        self.callees_version = reference.callees.version();
    }

    fn callee(&mut self, caller: &Span, with: &mut With<'_>) -> Option<Symbol> {
        let With { reference, symbols } = with;
        *self.callees.entry(call_kind(caller)).or_insert_with(|| {
            let kind = [caller.service, caller.operation, caller.peer].map(|text| symbols.text(text).clone());
            reference.callees.of(&kind).map(|callee| symbols.of(callee))
        })
    }

    fn expected(&mut self, span: &Span, with: &With<'_>) -> Option<Expected> {
        let With { reference, symbols } = with;
        *self.expected.entry((span.service, span.operation)).or_insert_with(|| {
            let known = reference.operations.get(symbols.text(span.service), symbols.text(span.operation))?;
            Some(Expected { own_ns: known.own_ns(), callees_ns: known.callees_ns() })
        })
    }
}

impl Tally {
    /// The tables of all traces since the last call, rows in the order of their keys. The reference must be the one they
    /// were added with.
    pub fn take(&mut self, with: &mut With<'_>) -> Rollups {
        with.symbols.sort();
        let operations = self.operations.take(with.symbols);
        self.expect_calls(&operations, with);
        let symbols = &mut *with.symbols;
        symbols.sort();
        Rollups::new([
            written(&self.entries.take(symbols), symbols),
            written(&self.paths.take(symbols), symbols),
            written(&self.health.take(symbols), symbols),
            written(&self.durations.take(symbols), symbols),
            written(&self.edges.take(symbols), symbols),
            written(&operations, symbols),
            written(&self.crossings.take(symbols), symbols),
        ])
    }

    /// Requests that each service received since the last call, and how many came without their parent.
    pub fn take_received(&mut self, symbols: &Symbols) -> BTreeMap<Text, ReceivedCounts> {
        self.received.drain().map(|(service, counts)| (symbols.text(service).clone(), counts)).collect()
    }

    /// Who answered calls since the last call where the reference did not name them, sorted.
    pub fn take_answered(&mut self, symbols: &Symbols) -> Vec<AnsweredCall> {
        let text = |symbol: Symbol| symbols.text(symbol).clone();
        let named = |((caller, operation, peer), callee): (CallKind, Symbol)| AnsweredCall {
            kind: [caller, operation, peer].map(text),
            callee: text(callee),
        };
        let mut answered: Vec<AnsweredCall> = self.answered.drain().map(named).collect();
        answered.sort_unstable();
        answered
    }

    /// Writes beside the calls made those that as many healthy requests of the same operations would have made, so
    /// that a call that stopped has a row too. Of operations that healthy time does not know, just those made: seconds
    /// from before it was learned are summed with later ones.
    fn expect_calls(&mut self, operations: &[Row<OperationKey<Symbol>>], with: &mut With<'_>) {
        let With { reference, symbols } = with;
        let healthy = |service: Symbol, operation: Symbol, symbols: &Symbols| {
            reference.operations.get(symbols.text(service), symbols.text(operation))
        };
        let mut is_known: HashMap<(Symbol, Symbol), bool, RandomState> = HashMap::default();
        self.edges.for_each(|(key, sums)| {
            let operation = (key.caller, key.operation);
            let known =
                is_known.entry(operation).or_insert_with(|| healthy(operation.0, operation.1, symbols).is_some());
            if !*known {
                sums.expected_milli = sums.calls.saturating_mul(1000);
            }
        });
        for (key, sums) in operations {
            let OperationKey { second, service: caller, version, operation } = *key;
            let Some(known) = healthy(caller, operation, symbols) else { continue };
            for (callee, answered, milli) in known.calls() {
                let key = EdgeKey { second, caller, version, operation, callee: symbols.of(callee), answered };
                let expected_milli = sums.requests.saturating_mul(milli);
                self.edges.add(key, EdgeSums { expected_milli, ..EdgeSums::default() });
            }
        }
    }

    /// Adds one trace, in which users made these requests; returns the first of them. A partial trace, in which none is seen,
    /// tells of the services in it, but belongs to no entry operation.
    pub fn absorb(&mut self, tree: &Tree<Span>, requests: &[Request], with: &mut With<'_>) -> Option<Walked> {
        self.known.follow(with);
        let mut memory = std::mem::take(&mut self.memory);
        let Memory { visit, visited, spent } = &mut memory;
        visited.clear();
        visited.resize(tree.nodes.len(), false);
        let mut gaps = false;
        for index in 0..tree.nodes.len() {
            let node = &tree.nodes[index];
            let is_taken = is_taken(tree, index);
            let lacks_parent = node.parent.is_none() && node.span.parent.is_some();
            let is_orphan = lacks_parent && !requests.iter().any(|request| request.node == index);
            gaps |= is_orphan;
            if is_taken || is_orphan {
                let without_parent = i64::from(is_orphan);
                let without_pod = i64::from(node.span.pod.is_empty());
                let taken = ReceivedCounts { requests: 1, without_parent, without_pod, unanswered: 0 };
                self.received.entry(node.span.service).or_default().add(taken);
            }
            if is_taken {
                visit.walk(tree, index);
                visit.calls.iter().for_each(|&call| visited[call] = true);
                let work_ns = self.absorb_visit(tree, visit, with);
                if let Some(request) = asked_by(tree, index, requests) {
                    let second = tree.nodes[request.node].end.second();
                    let key = CrossingKey { second, entry: request.entry, service: node.span.service };
                    self.crossings.add(key, CrossingSums { calls: 1, work_ns });
                }
            }
        }
        for (index, node) in tree.nodes.iter().enumerate() {
            if node.span.kind.is_caller() && !visited[index] {
                self.absorb_call(tree, index, Symbol::EMPTY, with);
            }
        }
        let mut walked = None;
        for &request in requests {
            let one = self.absorb_request(tree, request, gaps, spent, with);
            walked = walked.or(Some(one));
        }
        self.memory = memory;
        walked
    }

    fn absorb_request(
        &mut self,
        tree: &Tree<Span>,
        request: Request,
        gaps: bool,
        spent: &mut Vec<Option<(SegmentKind, i64)>>,
        with: &mut With<'_>,
    ) -> Walked {
        let Request { node: root, entry, objective_ns, remote_parent, sent_at } = request;
        let node = &tree.nodes[root];
        let waited_ns = sent_at.map_or(0, |sent_at| node.start.nanos_since(sent_at).clamp(0, AGE_NS_MAX));
        let duration_ns = node.span.duration_ns + waited_ns;
        let failed = node.span.has_failed();
        let slow = objective_ns.is_some_and(|bound| duration_ns > bound);
        let missed = slow || failed;
        let at_risk = !missed && objective_ns.is_some_and(|bound| duration_ns > bound / AT_RISK);
        let second = node.end.second();
        self.entries.add(
            EntryKey { second, entry, bucket: bucket_of(duration_ns) },
            EntrySums {
                requests: 1,
                slow: i64::from(slow),
                errors: i64::from(failed),
                missed: i64::from(missed),
                at_risk: i64::from(at_risk),
                duration_ns,
                adjusted_milli: milli(node.span.weight),
                unweighted: i64::from(node.span.weight.is_none()),
                remote_parent: i64::from(remote_parent),
                incomplete: i64::from(gaps),
            },
        );
        let path = critical_path(tree, root);
        spend(spent, &path, tree.nodes.len());
        self.absorb_path(tree, root, spent, entry, ObjectiveState { missed, at_risk }, with);
        if waited_ns > 0 {
            // In its queue, until who takes it had time.
            let Span { service, operation, .. } = node.span;
            let kind = PathKind::Time(SegmentKind::Queue);
            let key = PathKey { second, entry, missed, at_risk, service, operation, peer: Symbol::EMPTY, kind };
            self.paths.add(key, PathSums { traces: 1, exclusive_ns: waited_ns });
        }
        if failed {
            self.absorb_failure(tree, root, entry, objective_ns.unwrap_or(duration_ns), with);
        }
        Walked { node: root, entry, missed, slow, error: failed, duration_ns, path }
    }

    /// Notes who answered a call, unless the reference says so.
    fn note_answer(&mut self, caller: &Span, service: Symbol, with: &mut With<'_>) {
        let is_news = self.known.callee(caller, with) != Some(service);
        if is_news && self.answered.len() < CALL_KINDS_MAX {
            self.answered.insert((call_kind(caller), service));
        }
    }

    /// Returns what it holds a worker for in healthy time, or did where that is not known.
    fn absorb_visit(&mut self, tree: &Tree<Span>, visit: &Visit, with: &mut With<'_>) -> i64 {
        let node = &tree.nodes[visit.top];
        let Span { service, operation, pod, version, weight, .. } = node.span;
        let hold_ns = node.duration_ns();
        let caller = node.parent.map(|p| &tree.nodes[p]).filter(|p| p.span.kind.is_caller());
        if let Some(caller) = caller {
            self.note_answer(&caller.span, service, with);
        }
        let wait_ns = caller.map_or(0, |c| (c.duration_ns() - hold_ns).max(0));
        let end = caller.map_or(node.end, |c| c.end);
        let failed = node.span.has_failed();
        // A refusal that is passed on was not its own.
        let passed_on = visit.calls.iter().any(|&call| tree.nodes[call].span.has_failed());
        let refused = is_refusal(node.span.http_status) && !passed_on;
        let served = i64::from(!refused);
        let second = end.second();
        let known = self.known.expected(&node.span, with);
        let expected = known.filter(|_| !refused);
        let own_log = expected.map_or(0, |e| i64::from(bucket_of(visit.own_ns) - bucket_of(e.own_ns)));
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
                compared: i64::from(expected.is_some()),
                own_log,
                own_log_squares: own_log * own_log,
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
        visit.calls.iter().for_each(|&call| self.absorb_call(tree, call, operation, with));
        // What was refused would have cost as much.
        known.map_or(served * hold_ns, |known| known.own_ns + known.callees_ns)
    }

    /// A call made: answered by a service, or by a peer that sends no spans, or by nobody in time.
    fn absorb_call(&mut self, tree: &Tree<Span>, index: usize, operation: Symbol, with: &mut With<'_>) {
        let node = &tree.nodes[index];
        let answered = tree.callee(index);
        let (callee, callee_ns) = match answered {
            Some(callee) => (tree.nodes[callee].span.service, tree.nodes[callee].duration_ns()),
            None if !node.is_leaf() => return,
            None => match self.known.callee(&node.span, with) {
                Some(service) => {
                    if node.span.has_failed() {
                        self.absorb_given_up(node.end.second(), service, node.duration_ns(), &node.span);
                    } else {
                        // It was answered: the answer's span was lost.
                        let lost = ReceivedCounts { unanswered: 1, ..ReceivedCounts::default() };
                        self.received.entry(service).or_default().add(lost);
                    }
                    (service, 0)
                }
                None => (peer_of(&node.span), 0),
            },
        };
        let caller_ns = node.duration_ns();
        let failed = node.span.has_failed();
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

    /// Time of a complete trace on its critical path, by whose it is.
    fn absorb_path(
        &mut self,
        tree: &Tree<Span>,
        root: usize,
        spent: &[Option<(SegmentKind, i64)>],
        entry: Symbol,
        ObjectiveState { missed, at_risk }: ObjectiveState,
        with: &mut With<'_>,
    ) {
        let second = tree.nodes[root].end.second();
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
                SegmentKind::Peer => match self.known.callee(span, with) {
                    Some(service) => (service, none, none, SegmentKind::Queue),
                    None => (span.service, span.operation, peer_of(span), SegmentKind::Peer),
                },
            };
            let key = PathKey { second, entry, missed, at_risk, service, operation, peer, kind: PathKind::Time(kind) };
            self.paths.add(key, PathSums { traces: 1, exclusive_ns });
        }
    }

    /// Charges a failed trace to the place where the failure starts.
    fn absorb_failure(&mut self, tree: &Tree<Span>, root: usize, entry: Symbol, cost_ns: i64, with: &mut With<'_>) {
        let origin = failure_origin(tree, root);
        let span = &tree.nodes[origin].span;
        let own = span.service;
        // A caller whose callee shows no error gave up on it, or was cut off from it.
        let unanswered = span.kind.is_caller();
        let service = match tree.callee(origin) {
            Some(callee) if unanswered => tree.nodes[callee].span.service,
            _ if unanswered => self.known.callee(span, with).unwrap_or(own),
            _ => own,
        };
        let peer = if unanswered && service == own { peer_of(span) } else { Symbol::EMPTY };
        let kind = if is_refusal(span.http_status) {
            PathKind::Refused
        } else if unanswered && waited_long(tree, origin, service, with) {
            PathKind::GaveUp
        } else {
            PathKind::Error
        };
        let operation = span.operation;
        let second = tree.nodes[root].end.second();
        let key = PathKey { second, entry, missed: true, at_risk: false, operation, service, peer, kind };
        self.paths.add(key, PathSums { traces: 1, exclusive_ns: cost_ns });
    }
}

/// The request of a user that a span works for.
fn asked_by<'a>(tree: &Tree<Span>, index: usize, requests: &'a [Request]) -> Option<&'a Request> {
    if let [only] = requests {
        return Some(only);
    }
    let above = std::iter::successors(Some(index), |&node| tree.nodes[node].parent);
    above.into_iter().find_map(|node| requests.iter().find(|request| request.node == node))
}

fn call_kind(caller: &Span) -> CallKind {
    (caller.service, caller.operation, caller.peer)
}

fn peer_of(span: &Span) -> Symbol {
    if span.peer.is_empty() { span.operation } else { span.peer }
}

/// The time of each node on a path: it lies in pieces between its children's.
fn spend(spent: &mut Vec<Option<(SegmentKind, i64)>>, path: &[Segment], nodes: usize) {
    spent.clear();
    spent.resize(nodes, None);
    for segment in path {
        spent[segment.node].get_or_insert((segment.kind, 0)).1 += segment.nanos();
    }
}

/// A call without an answer that took longer than answers take was given up; one that took less was cut off. Where
/// healthy time does not know the call, nobody is accused of failing.
fn waited_long(tree: &Tree<Span>, call: usize, callee: Symbol, With { reference, symbols }: &With<'_>) -> bool {
    let (caller, waited_ns) = (&tree.nodes[visit_top(tree, call)].span, tree.nodes[call].duration_ns());
    let [service, operation, callee] = [caller.service, caller.operation, callee].map(|text| symbols.text(text));
    let known = reference.operations.call_ns(service, operation, callee);
    known.is_none_or(|healthy_ns| waited_ns as f64 > healthy_ns)
}

/// An adjusted count in thousandths; an unknown weight counts as one, and is counted as unknown elsewhere.
fn milli(weight: Option<f64>) -> i64 {
    (weight.unwrap_or(1.0).min(WEIGHT_MAX) * 1000.0).round() as i64
}
