//! What several spans tell of one call, as one: a library's caller span around another library's, a framework's callee span
//! inside a server's, a sidecar's before the workload's. Else such a call would be answered by nobody, or twice.
//!
//! - A sidecar that has a name of its own becomes part of the service beside it: that of the callee below it, or of the
//!   caller above it.
//! - Of one service, the one CLIENT below a CLIENT is the same call, and so is the one SERVER below a SERVER. The outer keeps
//!   its times, as what lies around the inner is part of the call as well.
//! - A CLIENT above several is no call but what makes them, such as one that tries again.
//! - What a CLIENT does below itself, such as connecting, is part of the call.

use super::span::TreeSpan;
use super::tree::{Node, is_call};
use crate::model::Kind;

/// The memory of the folding; see the module.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    /// Of each node, how many children of its own service are of the same side of a call.
    alike: Vec<u32>,
    has_children: Vec<bool>,
    /// Of each node, whether somebody else answers it: a caller's span within it is another call then.
    is_answered: Vec<bool>,
    /// Nodes that go, each with how deep it lies below the one that stays.
    gone: Vec<(u32, usize)>,
    /// New place of each node; of one that goes, that of the one that stays.
    places: Vec<usize>,
}

/// What a parent and a child have to do with one another.
#[derive(Clone, Copy, PartialEq)]
enum Relation {
    /// Two spans of the same side of one call.
    Alike,
    /// A caller's own work for its call.
    Part,
    Other,
}

fn relation<S: TreeSpan>(parent: &S, child: &S) -> Relation {
    let relation = match (parent.kind(), child.kind()) {
        (Kind::Client, Kind::Client) | (Kind::Server, Kind::Server) => Relation::Alike,
        (Kind::Client, Kind::Internal) => Relation::Part,
        _ => return Relation::Other,
    };
    if child.same_service(parent) { relation } else { Relation::Other }
}

impl Fold {
    /// Folds the nodes, whose parents are known and whose children are not listed yet; returns how many went.
    pub fn fold<S: TreeSpan>(&mut self, nodes: &mut Vec<Node<S>>) -> usize {
        let may_fold = |nodes: &[Node<S>], child: usize| {
            let pair = |parent: usize| (nodes[parent].span.kind(), nodes[child].span.kind());
            nodes[child].parent.is_some_and(|parent| {
                matches!(pair(parent), (Kind::Client, Kind::Client | Kind::Internal) | (Kind::Server, Kind::Server))
            })
        };
        // Most traces have nothing of the kind.
        if !(0..nodes.len()).any(|child| may_fold(nodes, child)) {
            return 0;
        }
        join_sidecars(nodes);
        self.choose(nodes);
        if self.gone.is_empty() {
            return 0;
        }
        self.gone.sort_unstable();
        for &(_, child) in &self.gone {
            let inner = nodes[child].span;
            let stays = self.stays(nodes, child);
            nodes[stays].span.take_inner(&inner);
        }
        self.compact(nodes);
        self.gone.len()
    }

    /// Who goes.
    fn choose<S: TreeSpan>(&mut self, nodes: &mut [Node<S>]) {
        let Fold { alike, has_children, is_answered, gone, places } = self;
        alike.clear();
        alike.resize(nodes.len(), 0);
        has_children.clear();
        has_children.resize(nodes.len(), false);
        is_answered.clear();
        is_answered.resize(nodes.len(), false);
        for child in 0..nodes.len() {
            let Some(parent) = nodes[child].parent else { continue };
            has_children[parent] = true;
            is_answered[parent] |= is_call(&nodes[parent].span, &nodes[child].span);
            alike[parent] += u32::from(relation(&nodes[parent].span, &nodes[child].span) == Relation::Alike);
        }
        for (node, (&alike, &is_answered)) in nodes.iter_mut().zip(alike.iter().zip(&*is_answered)) {
            if alike > 1 && !is_answered && node.span.kind() == Kind::Client {
                node.span.set_kind(Kind::Internal);
            }
        }
        gone.clear();
        places.clear();
        places.extend(0..nodes.len());
        for child in 0..nodes.len() {
            let Some(parent) = nodes[child].parent else { continue };
            let goes = match relation(&nodes[parent].span, &nodes[child].span) {
                Relation::Alike => {
                    let is_other_call = is_answered[parent] && nodes[parent].span.kind() == Kind::Client;
                    alike[parent] == 1 && !is_other_call
                }
                Relation::Part => !has_children[child],
                Relation::Other => false,
            };
            if goes {
                places[child] = parent;
                gone.push((0, child));
            }
        }
        for (depth, child) in gone {
            let mut at = *child;
            while places[at] != at {
                (at, *depth) = (places[at], *depth + 1);
            }
        }
    }

    /// The node that a node is folded into, itself where it stays.
    fn stays<S>(&self, nodes: &[Node<S>], node: usize) -> usize {
        let mut at = node;
        // At most as many steps as there are nodes: parents have no cycles.
        for _ in 0..nodes.len() {
            if self.places[at] == at {
                break;
            }
            at = self.places[at];
        }
        at
    }

    /// Takes out those that go; what hung below them hangs below the one that stays.
    fn compact<S: TreeSpan>(&mut self, nodes: &mut Vec<Node<S>>) {
        for child in 0..nodes.len() {
            let Some(parent) = nodes[child].parent else { continue };
            let stays = self.stays(nodes, parent);
            if stays != parent {
                let id = nodes[stays].span.id();
                nodes[child].parent = Some(stays);
                nodes[child].span.set_parent(id);
            }
        }
        let Fold { places, .. } = self;
        let mut kept = 0;
        let stay: Vec<bool> = places.iter().enumerate().map(|(at, place)| at == *place).collect();
        for (place, stays) in places.iter_mut().zip(&stay) {
            *place = kept;
            kept += usize::from(*stays);
        }
        let mut at = 0;
        nodes.retain(|_| {
            at += 1;
            stay[at - 1]
        });
        for node in nodes {
            node.parent = node.parent.map(|parent| places[parent]);
        }
    }
}

/// Gives sidecars the service beside them: from the callee up, from the caller down.
fn join_sidecars<S: TreeSpan>(nodes: &mut [Node<S>]) {
    // Parents mostly come before their children: backwards, a row of callees joins the last.
    for child in (0..nodes.len()).rev() {
        join(nodes, child, Kind::Server);
    }
    for child in 0..nodes.len() {
        join(nodes, child, Kind::Client);
    }
}

fn join<S: TreeSpan>(nodes: &mut [Node<S>], child: usize, side: Kind) {
    let Some(parent) = nodes[child].parent else { return };
    let (outer, inner) = (nodes[parent].span, nodes[child].span);
    if outer.kind() != side || inner.kind() != side || outer.same_service(&inner) || !outer.is_beside(&inner) {
        return;
    }
    match side {
        Kind::Server => nodes[parent].span.join(&inner),
        _ => nodes[child].span.join(&outer),
    }
}
