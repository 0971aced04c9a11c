//! The spans of one trace as a tree that is always well defined: duplicates dropped, cycles broken, what several spans
//! tell of one call folded into one, orphans kept apart, skewed hosts shifted.
//!
//! The result depends on the set of spans only, not on their order: everything is decided in the order of
//! (start, longest first, span id).

use std::cmp::{Ordering, Reverse};

use super::fold::Fold;
use super::span::TreeSpan;
use crate::model::{Kind, SpanId, Time};

/// Spans up to which looking through their ids is quicker than sorting them first: most traces have no more.
const FEW: usize = 16;

/// What tells a span from others of its trace. Zipkin gives a call one id for both its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SpanKey {
    id: SpanId,
    is_caller: bool,
}

impl SpanKey {
    fn of(span: &impl TreeSpan) -> SpanKey {
        SpanKey { id: span.id(), is_caller: span.kind().is_caller() }
    }
}

/// A consumer below another of its own service is a part of it: one that takes a batch, around each of its messages.
fn is_within_consumer<S: TreeSpan>(nodes: &[Node<S>], node: usize, parent: usize) -> bool {
    nodes[parent].span.kind() == Kind::Consumer && nodes[parent].span.same_service(&nodes[node].span)
}

/// A span in its place. Indices are into [`Tree::nodes`].
#[derive(Clone, Debug)]
pub struct Node<S> {
    pub span: S,
    pub parent: Option<usize>,
    /// Where its children lie in the tree's list of them.
    children: (usize, usize),
    /// After the correction for skew.
    pub start: Time,
    pub end: Time,
    /// Its host's clock was off by more than the call allows, and it was shifted.
    pub adjusted: bool,
    /// Of what takes a message, when it was sent, if the sender is in the trace.
    pub sent_at: Option<Time>,
}

impl<S> Node<S> {
    pub fn duration_ns(&self) -> i64 {
        self.end.nanos_since(self.start)
    }

    pub fn is_leaf(&self) -> bool {
        self.children.0 == self.children.1
    }
}

#[derive(Clone, Debug)]
pub struct Tree<S> {
    pub nodes: Vec<Node<S>>,
    /// The children of each node, one node's after the other's.
    children: Vec<usize>,
    /// The span without a parent; the earliest, should there be several. None in a partial trace.
    pub root: Option<usize>,
    /// Tops of everything that hangs from no root: spans whose parent is missing, further roots, broken cycles.
    pub orphans: Vec<usize>,
    pub duplicates: usize,
    /// Spans that are part of another's call, and have no node.
    pub folded: usize,
    /// Starts and places of the spans in the order of the nodes, and node by id: kept so that the next trace allocates nothing.
    sorted: Vec<(Time, usize)>,
    /// In the order of the ids where they are more than [`FEW`].
    by_id: Vec<(SpanKey, usize)>,
    /// Both sides of some call have one id.
    has_shared_ids: bool,
    fold: Fold,
    pending: Vec<(usize, i64)>,
}

impl<S> Default for Tree<S> {
    fn default() -> Tree<S> {
        Tree {
            nodes: Vec::new(),
            children: Vec::new(),
            root: None,
            orphans: Vec::new(),
            duplicates: 0,
            folded: 0,
            sorted: Vec::new(),
            by_id: Vec::new(),
            has_shared_ids: false,
            fold: Fold::default(),
            pending: Vec::new(),
        }
    }
}

impl<S> Tree<S> {
    /// The same tree of what is made of each span.
    pub fn map<T>(&self, mut make: impl FnMut(&S) -> T) -> Tree<T> {
        let of = |node: &Node<S>| {
            let Node { ref span, parent, children, start, end, adjusted, sent_at } = *node;
            Node { span: make(span), parent, children, start, end, adjusted, sent_at }
        };
        Tree {
            nodes: self.nodes.iter().map(of).collect(),
            children: self.children.clone(),
            root: self.root,
            orphans: self.orphans.clone(),
            duplicates: self.duplicates,
            folded: self.folded,
            ..Tree::default()
        }
    }
}

impl<S: TreeSpan> Tree<S> {
    pub fn build(spans: impl IntoIterator<Item = S>) -> Tree<S> {
        let mut tree = Tree::default();
        tree.rebuild(&spans.into_iter().collect::<Vec<S>>());
        tree
    }

    /// Becomes the tree of these spans, in the memory of the one it was.
    pub fn rebuild(&mut self, spans: &[S]) {
        self.place(spans);
        for child in 0..self.nodes.len() {
            self.nodes[child].parent = self.parent_of(child).filter(|&p| p != child);
        }
        break_cycles(&mut self.nodes);
        self.folded = self.fold.fold(&mut self.nodes);
        self.part_from_senders();
        self.list_children();
        let tops = &mut self.orphans;
        tops.clear();
        tops.extend((0..self.nodes.len()).filter(|&node| self.nodes[node].parent.is_none()));
        let roots = tops.iter().copied().filter(|&top| self.nodes[top].span.parent().is_none());
        // What takes from a queue began nothing that others did: by a clock that is behind it may seem to be first.
        self.root = roots.min_by_key(|&top| (self.nodes[top].sent_at.is_some(), top));
        tops.retain(|&top| Some(top) != self.root);
        self.correct_skew();
    }

    /// What takes a message is work of its own, whenever it comes to it: it hangs from no sender, and knows when it was sent.
    fn part_from_senders(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].span.kind() == Kind::Consumer
                && let Some(sender) = self.nodes[node].parent
                && !is_within_consumer(&self.nodes, node, sender)
            {
                let sent_at = self.nodes[sender].start;
                let node = &mut self.nodes[node];
                (node.parent, node.sent_at) = (None, Some(sent_at));
                node.span.clear_parent();
            }
        }
    }

    /// Zipkin's callee has the id of its caller's span, and that one's parent: it belongs below that span. What names a shared
    /// id as its parent belongs to the callee, unless it is of the caller's service.
    fn parent_of(&self, child: usize) -> Option<usize> {
        let span = &self.nodes[child].span;
        if !self.has_shared_ids {
            return self.find_by(|key| key.id, span.parent()?);
        }
        let key = SpanKey::of(span);
        if !key.is_caller
            && let Some(caller) = self.find(SpanKey { is_caller: true, ..key })
        {
            return Some(caller);
        }
        let id = span.parent()?;
        let [caller, callee] = [true, false].map(|is_caller| self.find(SpanKey { id, is_caller }));
        match (caller, callee) {
            (Some(caller), Some(callee)) => {
                let is_of = |node: usize| span.same_service(&self.nodes[node].span);
                Some(if is_of(caller) && !is_of(callee) { caller } else { callee })
            }
            (one, other) => one.or(other),
        }
    }

    /// The node of a span.
    fn find(&self, key: SpanKey) -> Option<usize> {
        self.find_by(|key| key, key)
    }

    fn find_by<K: Ord>(&self, part: impl Fn(SpanKey) -> K, wanted: K) -> Option<usize> {
        if self.by_id.len() <= FEW {
            return self.by_id.iter().find(|(known, _)| part(*known) == wanted).map(|&(_, at)| at);
        }
        let found = self.by_id.binary_search_by(|&(key, _)| part(key).cmp(&wanted)).ok()?;
        Some(self.by_id[found].1)
    }

    /// A node for each span, in order; of spans with one id on the same side of a call the first stays.
    fn place(&mut self, spans: &[S]) {
        let Tree { nodes, sorted, by_id, .. } = self;
        sorted.clear();
        sorted.extend(spans.iter().enumerate().map(|(place, span)| (span.start(), place)));
        // Starts mostly differ: the spans themselves are then not looked at.
        let then = |a: usize, b: usize| order(&spans[a], &spans[b]).then(a.cmp(&b));
        sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| then(a.1, b.1)));
        by_id.clear();
        by_id.extend(sorted.iter().enumerate().map(|(at, &(_, place))| (SpanKey::of(&spans[place]), at)));
        let is_unlike_those_before = |at: usize| by_id[..at].iter().all(|(key, _)| key.id != by_id[at].0.id);
        self.has_shared_ids = false;
        if by_id.len() > FEW || !(1..by_id.len()).all(is_unlike_those_before) {
            by_id.sort_unstable();
            by_id.dedup_by_key(|(key, _)| *key);
            self.has_shared_ids = by_id.windows(2).any(|pair| pair[0].0.id == pair[1].0.id);
        }
        self.duplicates = spans.len() - by_id.len();
        if self.duplicates > 0 {
            let mut kept: Vec<usize> = by_id.iter().map(|&(_, at)| at).collect();
            kept.sort_unstable();
            // Each kept one is where it was, less the dropped ones before it.
            by_id.iter_mut().for_each(|(_, at)| *at = kept.partition_point(|kept| kept < at));
            *sorted = kept.iter().map(|&at| sorted[at]).collect();
        }
        nodes.clear();
        nodes.extend(sorted.iter().map(|&(_, place)| {
            let span = spans[place];
            let (start, end) = (span.start(), Time(span.start().0.saturating_add(span.duration_ns())));
            Node { span, parent: None, children: (0, 0), start, end, adjusted: false, sent_at: None }
        }));
    }

    /// Lists the children of all nodes: counted first, then each put where its parent's begin.
    fn list_children(&mut self) {
        let Tree { nodes, children, .. } = self;
        for child in 0..nodes.len() {
            if let Some(parent) = nodes[child].parent {
                nodes[parent].children.1 += 1;
            }
        }
        let mut at = 0;
        for node in nodes.iter_mut() {
            let count = node.children.1;
            node.children = (at, at);
            at += count;
        }
        children.clear();
        children.resize(at, 0);
        for child in 0..nodes.len() {
            if let Some(parent) = nodes[child].parent {
                let end = &mut nodes[parent].children.1;
                children[*end] = child;
                *end += 1;
            }
        }
    }

    /// The children of a node: by start, then as the nodes are ordered.
    pub fn children(&self, index: usize) -> &[usize] {
        let (from, to) = self.nodes[index].children;
        &self.children[from..to]
    }

    /// Shifts the subtree of a callee that does not lie inside its caller, when they run on different hosts.
    ///
    /// As Jaeger's clock-skew adjuster does: a callee that fits is centred, because the network's share
    /// before and after is unknown; one that is longer than its caller (the caller gave up) keeps its end
    /// and is moved only when it seems to start before it was called.
    fn correct_skew(&mut self) {
        let Tree { nodes, children, pending, .. } = self;
        pending.clear();
        pending.extend(self.root.iter().chain(&self.orphans).map(|&top| (top, 0)));
        while let Some((index, inherited)) = pending.pop() {
            let node = &nodes[index];
            let moved = |time: Time| time.0.saturating_add(inherited);
            let (mut start, mut end) = (moved(node.start), moved(node.end));
            let mut shift = inherited;
            if let Some(parent) = node.parent {
                let parent = &nodes[parent];
                let inside = start >= parent.start.0 && end <= parent.end.0;
                if !inside && on_other_host(&parent.span, &node.span) {
                    let room = parent.duration_ns() - (end - start);
                    let wanted = if room >= 0 { parent.start.0 + room / 2 } else { start.max(parent.start.0) };
                    let by = wanted.saturating_sub(start);
                    shift = shift.saturating_add(by);
                    end = end.saturating_add(by);
                    start = wanted;
                }
            }
            let node = &mut nodes[index];
            node.adjusted = shift != inherited;
            (node.start, node.end) = (Time(start), Time(end));
            let (from, to) = node.children;
            pending.extend(children[from..to].iter().map(|&child| (child, shift)));
        }
    }

    /// Time of the node that none of its children cover, in nanoseconds. Children are clipped to the node.
    pub fn own_ns(&self, index: usize) -> i64 {
        let node = &self.nodes[index];
        let of = |&child: &usize| {
            let child = &self.nodes[child];
            (child.start.0.max(node.start.0), child.end.0.min(node.end.0))
        };
        let children = self.children(index);
        // They are, unless a skewed one was shifted.
        if children.iter().map(of).is_sorted_by_key(|(from, _)| from) {
            return node.duration_ns() - covered_ns(children.iter().map(of));
        }
        let mut intervals: Vec<(i64, i64)> = children.iter().map(of).collect();
        intervals.sort_unstable();
        node.duration_ns() - covered_ns(intervals.into_iter())
    }

    /// The span on the other side of a caller's span: the first child that runs elsewhere.
    pub fn callee(&self, index: usize) -> Option<usize> {
        let node = &self.nodes[index];
        self.children(index).iter().copied().find(|&c| is_call(&node.span, &self.nodes[c].span))
    }
}

/// How much of time these intervals cover together; they begin one after the other, and an empty one covers nothing.
fn covered_ns(intervals: impl Iterator<Item = (i64, i64)>) -> i64 {
    let (mut covered, mut reached) = (0, i64::MIN);
    for (from, to) in intervals.filter(|(from, to)| from < to) {
        covered += (to - from.max(reached)).max(0);
        reached = reached.max(to);
    }
    covered
}

/// Parent and child of different services, or a caller's span answered by a callee's: a call.
pub fn is_call<S: TreeSpan>(parent: &S, child: &S) -> bool {
    !child.same_service(parent) || (parent.kind().is_caller() && child.kind().is_callee())
}

fn on_other_host<S: TreeSpan>(parent: &S, child: &S) -> bool {
    is_call(parent, child) || !parent.same_pod(child)
}

fn order<S: TreeSpan>(a: &S, b: &S) -> Ordering {
    let key = |span: &S| (span.start(), Reverse(span.duration_ns()), span.id(), span.parent());
    key(a).cmp(&key(b)).then_with(|| a.order(b))
}

/// Cuts each cycle of parents at its first node, which becomes an orphan.
fn break_cycles<S>(nodes: &mut [Node<S>]) {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        OnThisWalk,
        Done,
    }
    // Mostly every parent started before its children: nothing to walk.
    if nodes.iter().enumerate().all(|(child, node)| node.parent.is_none_or(|parent| parent < child)) {
        return;
    }
    let mut seen = vec![Seen::No; nodes.len()];
    for start in 0..nodes.len() {
        let mut walk: Vec<usize> = Vec::new();
        let mut at = Some(start);
        while let Some(index) = at {
            match seen[index] {
                Seen::Done => break,
                Seen::OnThisWalk => {
                    // `index` closes the cycle; cut at the least node of it, whichever way we came in.
                    let from = walk.iter().position(|&w| w == index).unwrap_or(0);
                    if let Some(&least) = walk[from..].iter().min() {
                        nodes[least].parent = None;
                    }
                    break;
                }
                Seen::No => {
                    seen[index] = Seen::OnThisWalk;
                    walk.push(index);
                    at = nodes[index].parent;
                }
            }
        }
        walk.into_iter().for_each(|index| seen[index] = Seen::Done);
    }
}
