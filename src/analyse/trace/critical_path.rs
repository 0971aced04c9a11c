//! The critical path: the chain of exclusive segments that determines the root's end.
//!
//! Walk back from the end: the child that ends last before the cursor takes over, the gaps are the
//! parent's own (Google's "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures",
//! USENIX ATC 2022, describes the same walk). Segments are disjoint and sum to the root's duration.

use super::tree::{Tree, is_call};
use crate::model::{Kind, Time};

/// Whose time a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentKind {
    /// The span's own work.
    Own,
    /// A caller's span outside its callee's: network, and waiting to be accepted. Belongs to the callee unless
    /// the caller is slow towards everybody.
    Queue,
    /// A caller's span that no callee's span answers: a database, a queue, a third party, or a call given up.
    Peer,
}

impl SegmentKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            SegmentKind::Own => "own",
            SegmentKind::Queue => "queue",
            SegmentKind::Peer => "peer",
        }
    }
}

/// A stretch of time on the critical path, of the node it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub node: usize,
    pub from: Time,
    pub to: Time,
    pub kind: SegmentKind,
}

impl Segment {
    pub fn nanos(&self) -> i64 {
        self.to.nanos_since(self.from)
    }
}

/// The segments below `top`, from its end back to its start.
pub fn critical_path(tree: &Tree<'_>, top: usize) -> Vec<Segment> {
    let mut segments = Vec::with_capacity(tree.nodes.len());
    // An explicit stack: traces can be deeper than threads' stacks. A frame is a node, the window of it that
    // counts, and the children not yet looked at, latest end last.
    struct Frame {
        node: usize,
        start: i64,
        cursor: i64,
        children: Vec<usize>,
        kind: SegmentKind,
    }
    let frame = |node: usize, start: i64, end: i64| {
        // What a queue delivers later was not waited for.
        let waited_for = |&c: &usize| tree.nodes[c].span.kind != Kind::Consumer;
        let all = &tree.nodes[node].children;
        let mut children: Vec<usize> = Vec::with_capacity(all.len());
        children.extend(all.iter().copied().filter(waited_for));
        // Latest end last; of two that end together the one that starts first: it explains more.
        children.sort_by_key(|&c| (tree.nodes[c].end.min(Time(end)), std::cmp::Reverse(tree.nodes[c].start), c));
        Frame { node, start, cursor: end, children, kind: kind_of(tree, node) }
    };
    let mut push = |node: usize, from: i64, to: i64, kind: SegmentKind| {
        if from < to {
            segments.push(Segment { node, from: Time(from), to: Time(to), kind });
        }
    };
    let (start, end) = (tree.nodes[top].start.0, tree.nodes[top].end.0);
    let mut stack = vec![frame(top, start, end)];
    while let Some(current) = stack.last_mut() {
        let Some(child) = current.children.pop() else {
            push(current.node, current.start, current.cursor, current.kind);
            stack.pop();
            continue;
        };
        // Clipped to what is left of the parent. A child that still ran when a later sibling took over covers
        // the time before it all the same: that time is not the parent's own.
        let from = tree.nodes[child].start.0.max(current.start);
        let to = tree.nodes[child].end.0.min(current.cursor);
        if from >= to {
            continue;
        }
        push(current.node, to, current.cursor, current.kind);
        current.cursor = from;
        let next = frame(child, from, to);
        stack.push(next);
    }
    segments
}

fn kind_of(tree: &Tree<'_>, node: usize) -> SegmentKind {
    let Some(n) = tree.nodes.get(node) else { return SegmentKind::Own };
    if n.children.iter().any(|&c| is_call(&n.span, &tree.nodes[c].span)) && n.span.kind.is_caller() {
        SegmentKind::Queue
    } else if n.span.kind.is_caller() && n.children.is_empty() {
        SegmentKind::Peer
    } else {
        SegmentKind::Own
    }
}
