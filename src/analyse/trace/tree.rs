//! The spans of one trace as a tree that is always well defined: duplicates dropped, cycles broken,
//! orphans kept apart, skewed hosts shifted.
//!
//! The result depends on the set of spans only, not on their order: everything is decided in the order of
//! (start, longest first, span id).

use std::cmp::Reverse;

use crate::model::{SpanId, SpanRow, Time};

/// A span in its place. Indices are into [`Tree::nodes`].
#[derive(Clone, Debug, PartialEq)]
pub struct Node<'a> {
    pub span: SpanRow<'a>,
    pub parent: Option<usize>,
    /// By start, then as the nodes are ordered.
    pub children: Vec<usize>,
    /// After the correction for skew.
    pub start: Time,
    pub end: Time,
    /// Its host's clock was off by more than the call allows, and it was shifted.
    pub adjusted: bool,
}

impl Node<'_> {
    pub fn duration_ns(&self) -> i64 {
        self.end.nanos_since(self.start)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree<'a> {
    pub nodes: Vec<Node<'a>>,
    /// The span without a parent; the earliest, should there be several. None in a partial trace.
    pub root: Option<usize>,
    /// Tops of everything that hangs from no root: spans whose parent is missing, further roots, broken cycles.
    pub orphans: Vec<usize>,
    pub duplicates: usize,
}

impl<'a> Tree<'a> {
    pub fn build(spans: impl IntoIterator<Item = SpanRow<'a>>) -> Tree<'a> {
        // Most traces have about ten spans.
        let mut rows: Vec<SpanRow<'a>> = Vec::with_capacity(16);
        rows.extend(spans);
        let spans = rows;
        // A row is some 250 bytes: their places are sorted.
        let mut sorted: Vec<usize> = (0..spans.len()).collect();
        sorted.sort_unstable_by(|&a, &b| order(&spans[a]).cmp(&order(&spans[b])).then(a.cmp(&b)));
        // Of spans with one id the first stays.
        let mut by_id: Vec<(SpanId, usize)> =
            sorted.iter().enumerate().map(|(at, &place)| (spans[place].span_id, at)).collect();
        by_id.sort_unstable();
        by_id.dedup_by_key(|(id, _)| *id);
        let duplicates = spans.len() - by_id.len();
        if duplicates > 0 {
            let mut kept: Vec<usize> = by_id.iter().map(|&(_, at)| at).collect();
            kept.sort_unstable();
            sorted = kept.iter().map(|&at| sorted[at]).collect();
            // Each kept one is where it was, less the dropped ones before it.
            by_id.iter_mut().for_each(|(_, at)| *at = kept.partition_point(|kept| kept < at));
        }
        let node = |place: usize| {
            let span = spans[place];
            Node { span, parent: None, children: Vec::new(), start: span.start, end: span.end(), adjusted: false }
        };
        let mut nodes: Vec<Node<'a>> = sorted.into_iter().map(node).collect();
        for (child, node) in nodes.iter_mut().enumerate() {
            let parent = node.span.parent_span_id.and_then(|id| {
                let found = by_id.binary_search_by_key(&id, |&(id, _)| id).ok()?;
                Some(by_id[found].1)
            });
            node.parent = parent.filter(|&p| p != child);
        }
        break_cycles(&mut nodes);
        let mut tops = Vec::new();
        for child in 0..nodes.len() {
            match nodes[child].parent {
                Some(parent) => nodes[parent].children.push(child),
                None => tops.push(child),
            }
        }
        let root = tops.iter().copied().find(|&top| nodes[top].span.parent_span_id.is_none());
        tops.retain(|&top| Some(top) != root);
        let mut tree = Tree { nodes, root, orphans: tops, duplicates };
        tree.correct_skew();
        tree
    }

    /// Shifts the subtree of a callee that does not lie inside its caller, when they run on different hosts.
    ///
    /// As Jaeger's clock-skew adjuster does: a callee that fits is centred, because the network's share
    /// before and after is unknown; one that is longer than its caller (the caller gave up) keeps its end
    /// and is moved only when it seems to start before it was called.
    fn correct_skew(&mut self) {
        let mut pending: Vec<(usize, i64)> = self.root.iter().chain(&self.orphans).map(|&top| (top, 0)).collect();
        while let Some((index, inherited)) = pending.pop() {
            let node = &self.nodes[index];
            let (mut start, mut end) = (node.start.0 + inherited, node.end.0 + inherited);
            let mut shift = inherited;
            if let Some(parent) = node.parent {
                let parent = &self.nodes[parent];
                let inside = start >= parent.start.0 && end <= parent.end.0;
                if !inside && on_other_host(&parent.span, &node.span) {
                    let room = parent.duration_ns() - (end - start);
                    let wanted = if room >= 0 { parent.start.0 + room / 2 } else { start.max(parent.start.0) };
                    shift += wanted - start;
                    end += wanted - start;
                    start = wanted;
                }
            }
            let node = &mut self.nodes[index];
            node.adjusted = shift != inherited;
            (node.start, node.end) = (Time(start), Time(end));
            pending.extend(node.children.iter().map(|&child| (child, shift)));
        }
    }

    /// Time of the node that none of its children cover, in nanoseconds. Children are clipped to the node.
    pub fn own_ns(&self, index: usize) -> i64 {
        let node = &self.nodes[index];
        if node.children.is_empty() {
            return node.duration_ns();
        }
        let mut intervals: Vec<(i64, i64)> = node
            .children
            .iter()
            .map(|&c| (self.nodes[c].start.0.max(node.start.0), self.nodes[c].end.0.min(node.end.0)))
            .filter(|(from, to)| from < to)
            .collect();
        intervals.sort_unstable();
        let (mut covered, mut reached) = (0, node.start.0);
        for (from, to) in intervals {
            covered += (to - from.max(reached)).max(0);
            reached = reached.max(to);
        }
        node.duration_ns() - covered
    }

    /// The span on the other side of a caller's span: the first child that runs elsewhere.
    pub fn callee(&self, index: usize) -> Option<usize> {
        let node = &self.nodes[index];
        node.children.iter().copied().find(|&c| is_call(&node.span, &self.nodes[c].span))
    }
}

/// Parent and child of different services, or a caller's span answered by a callee's: a call.
pub fn is_call(parent: &SpanRow<'_>, child: &SpanRow<'_>) -> bool {
    child.service != parent.service
        || child.namespace != parent.namespace
        || child.cluster != parent.cluster
        || (parent.kind.is_caller() && child.kind.is_callee())
}

fn on_other_host(parent: &SpanRow<'_>, child: &SpanRow<'_>) -> bool {
    is_call(parent, child) || parent.pod != child.pod
}

fn order<'a>(span: &SpanRow<'a>) -> (Time, Reverse<i64>, SpanId, Option<SpanId>, &'a str, &'a str, u8) {
    let kind = span.kind as u8;
    (span.start, Reverse(span.duration_ns), span.span_id, span.parent_span_id, span.service, span.operation, kind)
}

/// Cuts each cycle of parents at its first node, which becomes an orphan.
fn break_cycles(nodes: &mut [Node<'_>]) {
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
