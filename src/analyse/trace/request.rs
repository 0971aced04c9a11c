//! The one walk over a request: the span that took it, what its service did for it, the calls made, where a failure began.

use super::span::TreeSpan;
use super::tree::{Tree, is_call};

/// RFC 6585: what a limit answers, a gateway's or a service's own.
pub const TOO_MANY_REQUESTS: u16 = 429;

/// Turned away for lack of capacity: by a limit, or unavailable (RFC 9110).
pub const fn is_refusal(status: u16) -> bool {
    matches!(status, 503 | TOO_MANY_REQUESTS)
}

/// Whether a service took a request here: a span whose parent is elsewhere.
pub fn is_taken<S: TreeSpan>(tree: &Tree<S>, index: usize) -> bool {
    let node = &tree.nodes[index];
    match node.parent {
        Some(parent) => is_call(&tree.nodes[parent].span, &node.span),
        // A span whose parent never came was taken only if it says so itself.
        None => tree.root == Some(index) || node.span.kind().is_callee(),
    }
}

/// A request taken by a service: the span that took it, and everything below it in the same service.
#[derive(Debug, Default)]
pub struct Visit {
    pub top: usize,
    /// Of the spans, calls left out.
    pub own_ns: i64,
    pub calls: Vec<usize>,
    /// Kept for its memory.
    pending: Vec<usize>,
}

impl Visit {
    /// Becomes the visit at `top`.
    pub fn walk<S: TreeSpan>(&mut self, tree: &Tree<S>, top: usize) {
        let Visit { calls, pending, .. } = self;
        let mut own_ns = 0;
        calls.clear();
        pending.clear();
        pending.push(top);
        while let Some(index) = pending.pop() {
            let span = &tree.nodes[index].span;
            if span.kind().is_caller() {
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

/// The top of the visit that a span belongs to.
pub fn visit_top<S: TreeSpan>(tree: &Tree<S>, index: usize) -> usize {
    let is_own = |&p: &usize, top: usize| !is_call(&tree.nodes[p].span, &tree.nodes[top].span);
    let mut top = index;
    while let Some(parent) = tree.nodes[top].parent.filter(|p| is_own(p, top)) {
        top = parent;
    }
    top
}

/// In error, while none of its children is: a failure that begins here.
pub fn begins_failure<S: TreeSpan>(tree: &Tree<S>, index: usize) -> bool {
    let has_failed = |index: usize| tree.nodes[index].span.has_failed();
    has_failed(index) && !tree.children(index).iter().any(|&child| has_failed(child))
}

/// From the root down along children in error, to the deepest; of several, the one that ends last.
pub fn failure_origin<S: TreeSpan>(tree: &Tree<S>, root: usize) -> usize {
    let mut at = root;
    loop {
        let failed = |&&c: &&usize| tree.nodes[c].span.has_failed();
        match tree.children(at).iter().filter(failed).max_by_key(|&&c| (tree.nodes[c].end, c)) {
            Some(&child) => at = child,
            None => return at,
        }
    }
}
