//! The names of one service as a prefix tree, in which a place becomes variable where its texts go on being new.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::LEARNT;
use super::thresholds::{CHILDREN_MAX, FREQUENT, NEW_SHARE, NODES_MAX, SIGHTINGS_MIN, TOKENS_MAX};

/// The names of one service.
///
/// Most are names that came before and stay what they are. To recall one costs a look into a table, and the tree is told
/// how often that was before it next decides by its counts: so it decides as if each had walked through it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
    nodes: usize,
    /// Names that lead through children seen before to a name that is their own, with how often they were recalled since
    /// the tree was last told.
    settled: IndexMap<Box<str>, u64, RandomState>,
    /// Places of those that were recalled.
    recalled: Vec<usize>,
}

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<Box<str>, Child>,
    /// Where texts of a variable place lead.
    variable: Option<Box<Node>>,
    sightings: u64,
    /// Children that were seen once.
    seen_once: usize,
}

#[derive(Debug, Default)]
struct Child {
    seen: u64,
    node: Node,
}

impl Tree {
    /// Whether the tree is known to leave this name as it is.
    pub fn recall(&mut self, operation: &str) -> bool {
        let Some((at, _, times)) = self.settled.get_full_mut(operation) else { return false };
        if *times == 0 {
            self.recalled.push(at);
        }
        *times += 1;
        true
    }

    /// Writes what a masked name is grouped as. `operation` is the name before it was masked.
    pub fn group(&mut self, masked: &str, operation: &str, out: &mut String) {
        let has_room = self.nodes < NODES_MAX;
        if has_room && self.root.is_new(masked) {
            self.tell_recalled();
        }
        let mut node = &mut self.root;
        let mut rest = masked;
        let mut change = 0;
        let (mut is_settled, mut is_generalised) = (true, false);
        for _ in 0..TOKENS_MAX {
            let Some((before, token, after)) = next_token(rest) else { break };
            out.push_str(before);
            rest = after;
            let step = node.step(token, has_room && self.nodes.saturating_add_signed(change) < NODES_MAX);
            change += step.change;
            is_settled &= step.is_literal && step.is_repeated;
            is_generalised |= step.is_generalised;
            out.push_str(if step.is_literal { token } else { LEARNT });
            node = step.node;
        }
        match next_token(rest) {
            Some(_) => {
                out.push('…');
                is_settled = false;
            }
            None => out.push_str(rest),
        }
        self.nodes = self.nodes.saturating_add_signed(change);
        if is_generalised {
            self.settled.clear();
            self.recalled.clear();
        } else if is_settled && out == operation && self.settled.len() < NODES_MAX {
            self.settled.insert(operation.into(), 0);
        }
    }

    /// Counts what was recalled, as if it had walked through the tree.
    fn tell_recalled(&mut self) {
        for at in self.recalled.drain(..) {
            let Some((name, times)) = self.settled.get_index_mut(at) else { continue };
            self.root.count_again(name, std::mem::take(times));
        }
    }

    #[cfg(test)]
    pub fn nodes(&self) -> usize {
        self.nodes
    }
}

/// Where a name is cut into tokens.
const fn is_separator(byte: u8) -> bool {
    byte == b'/' || byte == b' '
}

/// The first token of a name, what stands before it and what after.
fn next_token(name: &str) -> Option<(&str, &str, &str)> {
    let from = name.bytes().position(|byte| !is_separator(byte))?;
    let to = name.bytes().skip(from).position(is_separator).map_or(name.len(), |length| from + length);
    Some((&name[..from], &name[from..to], &name[to..]))
}

/// A step down the tree.
struct Step<'a> {
    node: &'a mut Node,
    /// By the token's own name.
    is_literal: bool,
    /// It was seen before.
    is_repeated: bool,
    /// Children became one.
    is_generalised: bool,
    /// By how many the nodes have grown.
    change: isize,
}

impl Node {
    /// Whether a name would add a child.
    fn is_new(&self, name: &str) -> bool {
        let (mut node, mut rest) = (self, name);
        for _ in 0..TOKENS_MAX {
            let Some((_, token, after)) = next_token(rest) else { return false };
            node = match (node.children.get(token), &node.variable) {
                (Some(child), _) => &child.node,
                (None, Some(variable)) => variable,
                (None, None) => return true,
            };
            rest = after;
        }
        false
    }

    /// Counts a name that was seen before so many times more.
    fn count_again(&mut self, name: &str, times: u64) {
        let (mut node, mut rest) = (self, name);
        while let Some((_, token, after)) = next_token(rest) {
            node.sightings += times;
            let Some(child) = node.children.get_mut(token) else { return };
            child.seen += times;
            (node, rest) = (&mut child.node, after);
        }
    }

    fn step(&mut self, token: &str, has_room: bool) -> Step<'_> {
        let (mut change, mut is_repeated, mut is_generalised) = (0, false, false);
        if let Some(child) = self.children.get_mut(token) {
            self.sightings += 1;
            child.seen += 1;
            self.seen_once -= usize::from(child.seen == 2);
            is_repeated = true;
        } else if self.variable.is_none() && has_room {
            self.sightings += 1;
            self.seen_once += 1;
            self.children.insert(token.into(), Child { seen: 1, node: Node::default() });
            change = 1;
            if self.is_variable() {
                change -= self.generalise();
                is_generalised = true;
            }
        }
        // Looked up anew: it may just have become one of many.
        if self.children.contains_key(token) {
            let child = self.children.get_mut(token).expect("looked up above");
            return Step { node: &mut child.node, is_literal: true, is_repeated, is_generalised, change };
        }
        let node = self.variable.get_or_insert_default();
        Step { node, is_literal: false, is_repeated, is_generalised, change }
    }

    fn is_variable(&self) -> bool {
        let is_new = self.seen_once as f64 >= NEW_SHARE * self.sightings as f64;
        self.sightings >= SIGHTINGS_MIN && is_new || self.children.len() > CHILDREN_MAX
    }

    /// Makes one child of all but the frequent; returns how many nodes that saves.
    fn generalise(&mut self) -> isize {
        let before = self.count();
        let sightings = self.sightings;
        let children = std::mem::take(&mut self.children);
        let (frequent, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            children.into_iter().partition(|(_, child)| child.seen * FREQUENT >= sightings);
        self.children = frequent;
        self.seen_once = 0;
        let variable = self.variable.get_or_insert_default();
        others.into_values().for_each(|child| variable.merge(child.node));
        before - self.count()
    }

    fn merge(&mut self, other: Node) {
        self.sightings += other.sightings;
        for (token, theirs) in other.children {
            let child = self.children.entry(token).or_default();
            child.seen += theirs.seen;
            child.node.merge(theirs.node);
        }
        if let Some(theirs) = other.variable {
            self.variable.get_or_insert_default().merge(*theirs);
        }
        self.seen_once = self.children.values().filter(|child| child.seen == 1).count();
        if self.is_variable() {
            self.generalise();
        }
    }

    fn count(&self) -> isize {
        let below = self.children.values().map(|child| &child.node).chain(self.variable.as_deref());
        below.map(|node| 1 + node.count()).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(tree: &mut Tree, name: &str) -> String {
        let mut out = String::new();
        tree.group(name, name, &mut out);
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Recalling is quicker, and nothing else.
        #[test]
        fn a_tree_that_recalls_names_decides_as_one_that_walks(
            names in prop::collection::vec((0..3_u8, 0..30_u16, 0..2_000_u16), 1..4_000),
        ) {
            let (mut recalling, mut walking) = (Tree::default(), Tree::default());
            for (kind, few, many) in names {
                let name = match kind {
                    0 => format!("GET /route-{few}"),
                    1 => format!("GET /users/{many}/cart"),
                    _ => format!("GET /users/me/{few}"),
                };
                let expected = walk(&mut walking, &name);
                let told = if recalling.recall(&name) { name.clone() } else { walk(&mut recalling, &name) };
                prop_assert_eq!(told, expected);
            }
            prop_assert_eq!(recalling.nodes, walking.nodes);
        }
    }
}
