//! From one trace to rollup rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::operations::Operations;
use super::rows::*;
use crate::analyse::histogram::bucket_of;
use crate::analyse::trace::{Segment, SegmentKind, Tree, critical_path, is_call};
use crate::model::{SpanRow, Status};

/// Who answers a kind of call: learnt from calls that were answered, used for those that never were.
#[derive(Clone, Debug, Default)]
pub struct Callees {
    /// To the service that answered.
    known: BTreeMap<CallKind, Arc<str>>,
}

/// Caller, operation, and the peer it names.
type CallKind = (Arc<str>, Arc<str>, Arc<str>);

/// A client has this many kinds of call in the worst case we keep; past it, new kinds stay unresolved.
const CALL_KINDS_MAX: usize = 100_000;

impl Callees {
    fn learn(&mut self, caller: &SpanRow<'_>, service: &Arc<str>) {
        let key = (text_of(caller), caller.operation.into(), caller.peer.into());
        if self.known.len() < CALL_KINDS_MAX {
            self.known.insert(key, service.clone());
        }
    }

    fn resolve(&self, caller: &SpanRow<'_>) -> Option<Arc<str>> {
        self.known.get(&(text_of(caller), caller.operation.into(), caller.peer.into())).cloned()
    }
}

/// What a trace was, for those who keep exemplars.
#[derive(Clone, Debug, PartialEq)]
pub struct Absorbed {
    pub entry: Arc<str>,
    pub missed: bool,
    pub slow: bool,
    pub error: bool,
    pub duration_ns: i64,
    /// The critical path of the root, walked once for all who need it.
    pub path: Vec<Segment>,
}

impl Rows {
    /// Adds one trace. `objective_ns` is the latency its entry operation was promised, if any.
    /// A partial trace (no root) tells of the services in it, but belongs to no entry operation.
    /// `healthy` is what the trace's requests are set beside.
    pub fn absorb(
        &mut self,
        tree: &Tree<'_>,
        objective_ns: Option<i64>,
        callees: &mut Callees,
        healthy: &Operations,
    ) -> Option<Absorbed> {
        let mut visited = vec![false; tree.nodes.len()];
        for index in 0..tree.nodes.len() {
            if let Some(visit) = Visit::at(tree, index) {
                visit.calls.iter().for_each(|&call| visited[call] = true);
                self.absorb_visit(tree, &visit, callees, healthy);
            }
        }
        for (index, node) in tree.nodes.iter().enumerate() {
            if node.span.kind.is_caller() && !visited[index] {
                self.absorb_call(tree, index, "".into(), callees);
            }
        }
        let root = tree.root?;
        let node = &tree.nodes[root];
        let entry = entry_of(&node.span);
        let duration_ns = node.span.duration_ns;
        let failed = has_failed(&node.span);
        let slow = objective_ns.is_some_and(|bound| duration_ns > bound);
        let missed = slow || failed;
        let second = node.end.second();
        Rows::add(
            &mut self.entries,
            EntryKey { second, entry: entry.clone(), bucket: bucket_of(duration_ns) },
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
        self.absorb_path(tree, root, &path, &entry, missed, callees);
        if failed {
            self.absorb_failure(tree, root, &entry, objective_ns.unwrap_or(duration_ns), callees, healthy);
        }
        Some(Absorbed { entry, missed, slow, error: failed, duration_ns, path })
    }

    fn absorb_visit(&mut self, tree: &Tree<'_>, visit: &Visit, callees: &mut Callees, healthy: &Operations) {
        let node = &tree.nodes[visit.top];
        let parent = node.parent.map(|p| &tree.nodes[p]);
        let service = text_of(&node.span);
        let operation: Arc<str> = node.span.operation.into();
        let hold_ns = node.duration_ns();
        let caller = parent.filter(|p| p.span.kind.is_caller());
        if let Some(caller) = caller {
            callees.learn(&caller.span, &service);
        }
        let wait_ns = caller.map_or(0, |c| (c.duration_ns() - hold_ns).max(0));
        let end = caller.map_or(node.end, |c| c.end);
        let failed = has_failed(&node.span);
        // A refusal that is passed on was not its own.
        let passed_on = visit.calls.iter().any(|&call| has_failed(&tree.nodes[call].span));
        let refused = is_refusal(node.span.http_status()) && !passed_on;
        let served = i64::from(!refused);
        let second = end.second();
        let known = healthy.get(&service, &operation).filter(|_| !refused);
        Rows::add(
            &mut self.health,
            HealthKey {
                second,
                service: service.clone(),
                pod: node.span.pod.into(),
                version: node.span.version.into(),
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
                compared_own_ns: known.map_or(0, |_| visit.own_ns),
                expected_own_ns: known.map_or(0, |known| known.own_ns()),
                expected_callees_ns: known.map_or(0, |known| known.callees_ns()),
            },
        );
        if refused {
            return;
        }
        let key = DurationKey { second, service: service.clone(), bucket: bucket_of(hold_ns + wait_ns) };
        Rows::add(&mut self.durations, key, CountSums { requests: 1 });
        Rows::add(
            &mut self.operations,
            OperationKey { second, service: service.clone(), operation: operation.clone() },
            OperationSums {
                requests: 1,
                errors: i64::from(failed),
                own_ns: visit.own_ns,
                callees_ns: (hold_ns - visit.own_ns).max(0),
                wait_ns,
            },
        );
        for (callee, answered, expected_milli) in known.into_iter().flat_map(|known| known.calls()) {
            let (caller, operation, callee) = (service.clone(), operation.clone(), callee.clone());
            let key = EdgeKey { second, caller, operation, callee, answered };
            Rows::add(&mut self.edges, key, EdgeSums { expected_milli, ..EdgeSums::default() });
        }
        visit.calls.iter().for_each(|&call| self.absorb_call(tree, call, operation.clone(), callees));
    }

    /// A call made: answered by a service, or by a peer that sends no spans, or by nobody in time.
    fn absorb_call(&mut self, tree: &Tree<'_>, index: usize, operation: Arc<str>, callees: &mut Callees) {
        let node = &tree.nodes[index];
        let answered = tree.callee(index);
        let (callee, callee_ns) = match answered {
            Some(callee) => (text_of(&tree.nodes[callee].span), tree.nodes[callee].duration_ns()),
            None if !node.children.is_empty() => return,
            None => match callees.resolve(&node.span) {
                Some(service) => {
                    self.absorb_given_up(node.end.second(), &service, node.duration_ns(), &node.span);
                    (service, 0)
                }
                None => (peer_of(&node.span), 0),
            },
        };
        let caller_ns = node.duration_ns();
        let failed = has_failed(&node.span);
        Rows::add(
            &mut self.edges,
            EdgeKey {
                second: node.end.second(),
                caller: text_of(&node.span),
                operation,
                callee,
                answered: answered.is_some(),
            },
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
    fn absorb_given_up(&mut self, second: i64, service: &Arc<str>, waited_ns: i64, span: &SpanRow<'_>) {
        let refused = is_refusal(span.http_status());
        Rows::add(
            &mut self.health,
            HealthKey { second, service: service.clone(), pod: "".into(), version: "".into() },
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

    fn absorb_path(
        &mut self,
        tree: &Tree<'_>,
        root: usize,
        path: &[Segment],
        entry: &Arc<str>,
        missed: bool,
        callees: &Callees,
    ) {
        let second = tree.nodes[root].end.second();
        for segment in path {
            let span = &tree.nodes[segment.node].span;
            let (service, operation, peer, kind) = match segment.kind {
                SegmentKind::Own => (text_of(span), span.operation, "".into(), SegmentKind::Own),
                SegmentKind::Queue => match tree.callee(segment.node) {
                    Some(callee) => {
                        let callee = &tree.nodes[callee].span;
                        (text_of(callee), callee.operation, "".into(), SegmentKind::Queue)
                    }
                    None => (text_of(span), span.operation, "".into(), SegmentKind::Own),
                },
                SegmentKind::Peer => match callees.resolve(span) {
                    Some(service) => (service, "", "".into(), SegmentKind::Queue),
                    None => (text_of(span), span.operation, peer_of(span), SegmentKind::Peer),
                },
            };
            let key = PathKey {
                second,
                entry: entry.clone(),
                missed,
                service,
                operation: operation.into(),
                peer,
                kind: PathKind::Time(kind),
            };
            Rows::add(&mut self.paths, key, PathSums { traces: 1, exclusive_ns: segment.nanos() });
        }
    }

    /// Charges a failed trace to the place where the failure starts.
    fn absorb_failure(
        &mut self,
        tree: &Tree<'_>,
        root: usize,
        entry: &Arc<str>,
        cost_ns: i64,
        callees: &Callees,
        healthy: &Operations,
    ) {
        let origin = failure_origin(tree, root);
        let span = &tree.nodes[origin].span;
        // A caller whose callee shows no error gave up on it, or was cut off from it.
        let unanswered = span.kind.is_caller();
        let service = match tree.callee(origin) {
            Some(callee) if unanswered => text_of(&tree.nodes[callee].span),
            _ if unanswered => callees.resolve(span).unwrap_or_else(|| text_of(span)),
            _ => text_of(span),
        };
        let peer = if unanswered && *service == *text_of(span) { peer_of(span) } else { "".into() };
        let kind = if is_refusal(span.http_status()) {
            PathKind::Refused
        } else if unanswered && waited_long(tree, origin, &service, healthy) {
            PathKind::GaveUp
        } else {
            PathKind::Error
        };
        let key = PathKey {
            second: tree.nodes[root].end.second(),
            entry: entry.clone(),
            missed: true,
            operation: span.operation.into(),
            service,
            peer,
            kind,
        };
        Rows::add(&mut self.paths, key, PathSums { traces: 1, exclusive_ns: cost_ns });
    }
}

/// Service and operation of the root, as objectives and people name it.
pub fn entry_of(root: &SpanRow<'_>) -> Arc<str> {
    format!("{} {}", root.service_id(), root.operation).into()
}

fn text_of(span: &SpanRow<'_>) -> Arc<str> {
    if span.namespace.is_empty() && span.cluster.is_empty() {
        return span.service.into();
    }
    span.service_id().as_str().into()
}

fn peer_of(span: &SpanRow<'_>) -> Arc<str> {
    if span.peer.is_empty() { span.operation.into() } else { span.peer.into() }
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

/// A call without an answer that took longer than answers take was given up; one that took less was cut off. Where
/// healthy time does not tell, nobody is accused of failing.
fn waited_long(tree: &Tree<'_>, call: usize, callee: &Arc<str>, healthy: &Operations) -> bool {
    let mut top = call;
    while let Some(parent) = tree.nodes[top].parent.filter(|&p| !is_call(&tree.nodes[p].span, &tree.nodes[top].span)) {
        top = parent;
    }
    let (caller, waited_ns) = (&tree.nodes[top].span, tree.nodes[call].duration_ns());
    let known = healthy.call_ns(&text_of(caller), caller.operation, callee);
    known.is_none_or(|healthy_ns| waited_ns as f64 > healthy_ns)
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
