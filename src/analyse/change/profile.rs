//! A stretch of time as mergeable rows: how long operations and calls take, which calls are made, where errors begin.
//!
//! Work done once a trace, as in [`crate::analyse::rollup`]; merging is adding, in any order. Tables are narrow:
//! a gap is kept by the caller's pod and by the callee's pod, never by both.

use std::collections::{BTreeMap, BTreeSet};

use super::durations::Durations;
use crate::analyse::thresholds::memory::NAMES_MAX;
pub use crate::analyse::thresholds::memory::{CHILDREN_MAX, EXEMPLARS_MAX};
use crate::analyse::trace::request::begins_failure;
use crate::analyse::trace::{Tree, TreeSpan, is_call};
use crate::model::spans::OTHER;
use crate::model::{Kind, SpanRow, Text, TraceId};

/// What the spans of one stretch of time were like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Exclusive time. A caller's span that was answered has none: it is the gap.
    pub(super) own: BTreeMap<OwnKey, Durations>,
    /// Caller's duration minus callee's, by the caller's pod.
    pub(super) gaps_by_caller: BTreeMap<(Call, Text), Durations>,
    /// The same, by the callee's pod.
    pub(super) gaps_by_callee: BTreeMap<(Call, Text), Durations>,
    /// Calls that no span answers.
    pub(super) peers: BTreeMap<PeerKey, PeerCalls>,
    /// Calls that were answered, by the service that answered.
    pub(super) answered: BTreeMap<CallKind, BTreeMap<Text, AnsweredCalls>>,
    /// Of (service, operation); calls that no span answers are not among them.
    pub(super) spans: BTreeMap<(Text, Text), SpanCounts>,
    pub(super) children: BTreeMap<(Text, Text), BTreeMap<Child, ChildCounts>>,
    /// Root spans of (service, operation).
    pub(super) entries: BTreeMap<(Text, Text), Entry>,
    /// Durations of spans whose parent never came.
    pub(super) orphans: Durations,
    /// The same, counted by (service, operation): where a caller's span is lost, the callee's is an orphan.
    pub(super) orphans_of: BTreeMap<(Text, Text), u64>,
    /// Spans that name a parent.
    pub(super) with_parent: u64,
    /// Requests taken by (service, pod, version).
    pub(super) visits: BTreeMap<(Text, Text, Text), u64>,
    pub(super) slowest: BTreeMap<Text, Slowest>,
    pub(super) observed_ns: i64,
    pub(super) traces: u64,
    names: BTreeSet<Text>,
}

/// Whose exclusive time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnKey {
    pub service: Text,
    pub operation: Text,
    pub pod: Text,
    /// How many children the span has, up to [`CHILDREN_MAX`]: the time of a child that was lost is its parent's.
    pub children: u8,
}

/// A caller's span as far as it tells whom it calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallKind {
    pub caller: Text,
    pub operation: Text,
    /// Empty where the caller does not say.
    pub peer: Text,
}

/// Calls that one service answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnsweredCalls {
    /// Of the caller's spans.
    pub durations: Durations,
    /// In error for the caller alone: it gave up, or was cut off.
    pub cut_off: u64,
}

/// Who calls what of whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    pub caller: Text,
    pub operation: Text,
    pub callee: Text,
    pub callee_operation: Text,
}

/// A call to somebody who sends no spans; `peer` is empty where the caller does not say whom it calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerKey {
    pub caller: Text,
    pub operation: Text,
    pub peer: Text,
    pub caller_pod: Text,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerCalls {
    pub durations: Durations,
    pub errors: u64,
    pub slowest: Slowest,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanCounts {
    pub spans: u64,
    /// In error, while none of their children is: errors that begin here.
    pub errors: u64,
}

/// A kind of child of an operation: its own operation, and who answers it with what (None: nobody but the
/// parent's own service).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    pub operation: Text,
    pub service: Text,
    pub answered_by: Option<Text>,
}

impl Child {
    /// Somebody else answers it.
    pub(super) fn is_call(&self, parent_service: &str) -> bool {
        self.answered_by.is_some() && *self.service != *parent_service
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildCounts {
    /// Spans that have at least one such child.
    pub parents: u64,
    pub children: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    pub durations: Durations,
    pub failed: u64,
}

/// The traces in which something took longest, longest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slowest(BTreeSet<(i64, TraceId)>);

impl Slowest {
    fn add(&mut self, nanos: i64, trace: TraceId) {
        // One trace once, by its longest.
        if let Some(&known) = self.0.iter().find(|(_, id)| *id == trace) {
            if known.0 >= nanos {
                return;
            }
            self.0.remove(&known);
        }
        self.0.insert((nanos, trace));
        if self.0.len() > EXEMPLARS_MAX {
            self.0.pop_first();
        }
    }

    pub(super) fn merge(&mut self, other: &Slowest) {
        other.0.iter().for_each(|&(nanos, trace)| self.add(nanos, trace));
    }

    pub fn traces(&self) -> Vec<TraceId> {
        self.0.iter().rev().map(|(_, trace)| *trace).collect()
    }
}

impl Profile {
    /// Traces absorbed.
    pub fn traces(&self) -> u64 {
        self.traces
    }

    /// Spans absorbed.
    pub fn spans(&self) -> u64 {
        let peers: u64 = self.peers.values().map(|p| p.durations.count()).sum();
        self.spans.values().map(|counts| counts.spans).sum::<u64>() + peers
    }

    /// The share of the spans whose operation another profile has seen as well, 0 to 1.
    pub fn known_share(&self, other: &Profile) -> f64 {
        let all: u64 = self.spans.values().map(|counts| counts.spans).sum();
        let is_known = |operation: &&(Text, Text)| other.spans.contains_key(*operation);
        let known: u64 = self.spans.keys().filter(is_known).map(|operation| self.spans[operation].spans).sum();
        known as f64 / all.max(1) as f64
    }

    /// Rows that a comparison goes over, roughly: what it costs.
    pub fn rows(&self) -> usize {
        self.own.len() + self.gaps_by_caller.len() + self.gaps_by_callee.len() + self.peers.len()
    }

    /// Length of the time that the traces come from, in seconds; 0 when nobody said.
    pub fn observed_s(&self) -> f64 {
        self.observed_ns as f64 / 1e9
    }

    /// Says how long the traces were collected. Merging adds up, so that a baseline may consist of healthy moments.
    pub fn observed(&mut self, nanos: i64) {
        self.observed_ns = self.observed_ns.saturating_add(nanos.max(0));
    }

    /// Adds one trace, complete or not.
    pub fn absorb(&mut self, tree: &Tree<SpanRow<'_>>) {
        self.traces += u64::from(!tree.nodes.is_empty());
        for index in 0..tree.nodes.len() {
            self.absorb_span(tree, index);
            self.absorb_visit(tree, index);
        }
    }

    /// Adds another profile's rows.
    pub fn merge(&mut self, other: &Profile) {
        fn add<K: Ord + Clone, V: Default>(
            mine: &mut BTreeMap<K, V>,
            other: &BTreeMap<K, V>,
            merge: impl Fn(&mut V, &V),
        ) {
            other.iter().for_each(|(key, value)| merge(mine.entry(key.clone()).or_default(), value));
        }
        add(&mut self.own, &other.own, Durations::merge);
        add(&mut self.gaps_by_caller, &other.gaps_by_caller, Durations::merge);
        add(&mut self.gaps_by_callee, &other.gaps_by_callee, Durations::merge);
        add(&mut self.peers, &other.peers, |mine, other| {
            mine.durations.merge(&other.durations);
            mine.errors += other.errors;
            mine.slowest.merge(&other.slowest);
        });
        add(&mut self.answered, &other.answered, |mine, other| {
            add(mine, other, |mine, other| {
                mine.durations.merge(&other.durations);
                mine.cut_off += other.cut_off;
            });
        });
        add(&mut self.spans, &other.spans, |mine, other| {
            mine.spans += other.spans;
            mine.errors += other.errors;
        });
        add(&mut self.children, &other.children, |mine, other| {
            add(mine, other, |mine, other| {
                mine.parents += other.parents;
                mine.children += other.children;
            });
        });
        add(&mut self.entries, &other.entries, |mine, other| {
            mine.durations.merge(&other.durations);
            mine.failed += other.failed;
        });
        self.orphans.merge(&other.orphans);
        add(&mut self.orphans_of, &other.orphans_of, |mine, other| *mine += other);
        self.with_parent += other.with_parent;
        add(&mut self.visits, &other.visits, |mine, other| *mine += other);
        add(&mut self.slowest, &other.slowest, Slowest::merge);
        self.observed(other.observed_ns);
        self.traces += other.traces;
        self.names.extend(other.names.iter().cloned());
    }

    /// Median duration of all that no span in the profile caused; None without traces.
    pub(super) fn typical_ns(&self) -> Option<f64> {
        let mut tops = self.orphans.clone();
        self.entries.values().for_each(|entry| tops.merge(&entry.durations));
        tops.quantile_ns(0.5)
    }

    /// Share of the spans with a parent whose parent never came.
    pub(super) fn orphan_share(&self) -> f64 {
        self.orphans.count() as f64 / self.with_parent.max(1) as f64
    }

    fn absorb_span(&mut self, tree: &Tree<SpanRow<'_>>, index: usize) {
        let node = &tree.nodes[index];
        let span = &node.span;
        let duration_ns = node.duration_ns();
        let (service, operation, pod) = (self.service(span), self.name(span.operation), self.name(span.pod));
        self.with_parent += u64::from(span.parent_span_id.is_some());
        if node.parent.is_none() {
            if span.parent_span_id.is_some() {
                self.orphans.add(duration_ns);
                *self.orphans_of.entry((service.clone(), operation.clone())).or_default() += 1;
            } else {
                let entry = self.entries.entry((service.clone(), operation.clone())).or_default();
                entry.durations.add(duration_ns);
                entry.failed += u64::from(span.has_failed());
            }
        }
        let begins_error = begins_failure(tree, index);
        if span.kind == Kind::Client && node.is_leaf() {
            let peer = self.name(span.peer);
            let calls = self.peers.entry(PeerKey { caller: service, operation, peer, caller_pod: pod }).or_default();
            calls.durations.add(duration_ns);
            calls.errors += u64::from(begins_error);
            calls.slowest.add(duration_ns, span.trace_id);
            return;
        }
        let elsewhere: Vec<usize> =
            tree.children(index).iter().copied().filter(|&c| runs_elsewhere(span, &tree.nodes[c].span)).collect();
        let is_answered = span.kind == Kind::Client && !elsewhere.is_empty();
        let counts = self.spans.entry((service.clone(), operation.clone())).or_default();
        counts.spans += 1;
        // An error that only the caller of an answered call sees is no error of its own work.
        counts.errors += u64::from(begins_error && !is_answered);
        if is_answered {
            let kind = CallKind { caller: service.clone(), operation: operation.clone(), peer: self.name(span.peer) };
            for (nth, callee) in elsewhere.into_iter().enumerate() {
                let answer = &tree.nodes[callee];
                let answered_by = self.service(&answer.span);
                if nth == 0 && answered_by != service {
                    let calls = self.answered.entry(kind.clone()).or_default().entry(answered_by.clone()).or_default();
                    calls.durations.add(duration_ns);
                    calls.cut_off += u64::from(begins_error);
                }
                let call = Call {
                    caller: service.clone(),
                    operation: operation.clone(),
                    callee: answered_by,
                    callee_operation: self.name(answer.span.operation),
                };
                let gap_ns = duration_ns - answer.duration_ns();
                self.gaps_by_caller.entry((call.clone(), pod.clone())).or_default().add(gap_ns);
                let callee_pod = self.name(answer.span.pod);
                self.gaps_by_callee.entry((call, callee_pod)).or_default().add(gap_ns);
            }
            return;
        }
        self.absorb_children(tree, index, (service.clone(), operation.clone()));
        let children = tree.children(index).len().min(CHILDREN_MAX) as u8;
        self.own.entry(OwnKey { service, operation, pod, children }).or_default().add(tree.own_ns(index));
    }

    fn absorb_children(&mut self, tree: &Tree<SpanRow<'_>>, index: usize, parent: (Text, Text)) {
        let mut children: BTreeMap<Child, u64> = BTreeMap::new();
        for &child in tree.children(index) {
            let span = &tree.nodes[child].span;
            let operation = self.name(span.operation);
            let mut answered = false;
            if span.kind.is_caller() {
                for &answer in tree.children(child) {
                    let answer = &tree.nodes[answer].span;
                    if !answer.same_service(span) {
                        answered = true;
                        let answered_by = Some(self.name(answer.operation));
                        let service = self.service(answer);
                        let kind = Child { operation: operation.clone(), service, answered_by };
                        *children.entry(kind).or_default() += 1;
                    }
                }
            }
            if !answered {
                let elsewhere = !span.same_service(&tree.nodes[index].span);
                let answered_by = elsewhere.then(|| operation.clone());
                *children.entry(Child { service: self.service(span), operation, answered_by }).or_default() += 1;
            }
        }
        if children.is_empty() {
            return;
        }
        let rows = self.children.entry(parent).or_default();
        for (child, count) in children {
            let counts = rows.entry(child).or_default();
            counts.parents += 1;
            counts.children += count;
        }
    }

    /// A request taken by a service: a span whose parent is elsewhere.
    fn absorb_visit(&mut self, tree: &Tree<SpanRow<'_>>, index: usize) {
        let node = &tree.nodes[index];
        let parent = node.parent.map(|p| &tree.nodes[p]);
        if parent.is_some_and(|p| !is_call(&p.span, &node.span)) {
            return;
        }
        let service = self.service(&node.span);
        let key = (service.clone(), self.name(node.span.pod), self.name(node.span.version));
        *self.visits.entry(key).or_default() += 1;
        let answered_call = parent.filter(|p| p.span.kind.is_caller());
        let sojourn_ns = answered_call.map_or(0, |p| p.duration_ns()).max(node.duration_ns());
        self.slowest.entry(service).or_default().add(sojourn_ns, node.span.trace_id);
    }

    /// The shared copy of a text.
    fn name(&mut self, text: &str) -> Text {
        if let Some(known) = self.names.get(text) {
            return known.clone();
        }
        let name: Text = if self.names.len() < NAMES_MAX { text.into() } else { OTHER.into() };
        self.names.insert(name.clone());
        name
    }

    fn service(&mut self, span: &SpanRow<'_>) -> Text {
        if span.namespace.is_empty() && span.cluster.is_empty() {
            return self.name(span.service);
        }
        self.name(span.service_id().as_str())
    }
}

fn runs_elsewhere(parent: &SpanRow<'_>, child: &SpanRow<'_>) -> bool {
    is_call(parent, child) || parent.pod != child.pod
}
