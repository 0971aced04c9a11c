//! The critical path: the chain of exclusive segments that determines the root's end.
//!
//! Walk back from the end: the child that ends last before the cursor takes over, the gaps are the
//! parent's own (Google's "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures",
//! USENIX ATC 2022, describes the same walk). Segments are disjoint and sum to the root's duration.

use super::span::TreeSpan;
use super::tree::Tree;
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

/// A node whose time is being dealt out: the window of it that counts, and where its children begin among those that
/// are not yet looked at.
struct Frame {
    node: usize,
    start: i64,
    cursor: i64,
    children_from: usize,
    kind: SegmentKind,
}

/// The segments below `top`, from its end back to its start.
pub fn critical_path<S: TreeSpan>(tree: &Tree<S>, top: usize) -> Vec<Segment> {
    let mut segments = Vec::with_capacity(tree.nodes.len());
    let mut push = |node: usize, from: i64, to: i64, kind: SegmentKind| {
        if from < to {
            segments.push(Segment { node, from: Time(from), to: Time(to), kind });
        }
    };
    // Explicit stacks: traces can be deeper than threads' stacks. Of the children of all frames, latest end last, those
    // of the last frame are at the end.
    let mut children: Vec<usize> = Vec::with_capacity(tree.nodes.len());
    let frame = |children: &mut Vec<usize>, node: usize, start: i64, end: i64| {
        let children_from = children.len();
        // What a queue delivers later was not waited for.
        let waited_for = |&c: &usize| tree.nodes[c].span.kind() != Kind::Consumer;
        children.extend(tree.children(node).iter().copied().filter(waited_for));
        // Of two that end together the one that starts first: it explains more.
        let by_end = |&c: &usize| (tree.nodes[c].end.min(Time(end)), std::cmp::Reverse(tree.nodes[c].start), c);
        children[children_from..].sort_unstable_by_key(by_end);
        Frame { node, start, cursor: end, children_from, kind: kind_of(tree, node) }
    };
    let (start, end) = (tree.nodes[top].start.0, tree.nodes[top].end.0);
    let mut stack = Vec::with_capacity(tree.nodes.len());
    stack.push(frame(&mut children, top, start, end));
    while let Some(current) = stack.last_mut() {
        if children.len() == current.children_from {
            push(current.node, current.start, current.cursor, current.kind);
            stack.pop();
            continue;
        }
        let Some(child) = children.pop() else { break };
        // Clipped to what is left of the parent. A child that still ran when a later sibling took over covers
        // the time before it all the same: that time is not the parent's own.
        let from = tree.nodes[child].start.0.max(current.start);
        let to = tree.nodes[child].end.0.min(current.cursor);
        if from >= to {
            continue;
        }
        push(current.node, to, current.cursor, current.kind);
        current.cursor = from;
        stack.push(frame(&mut children, child, from, to));
    }
    segments
}

fn kind_of<S: TreeSpan>(tree: &Tree<S>, node: usize) -> SegmentKind {
    let span = &tree.nodes[node].span;
    if !span.kind().is_caller() {
        SegmentKind::Own
    } else if tree.nodes[node].is_leaf() {
        SegmentKind::Peer
    } else if tree.callee(node).is_some() {
        SegmentKind::Queue
    } else {
        SegmentKind::Own
    }
}
