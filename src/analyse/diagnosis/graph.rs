//! Who calls whom: as healthy time knows it and as it is seen now. A callee that nobody comes to any more is still one.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Text;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    callers: BTreeMap<Text, BTreeSet<Text>>,
    callees: BTreeMap<Text, BTreeSet<Text>>,
}

impl Graph {
    /// Of pairs of caller and callee.
    pub fn new(pairs: impl IntoIterator<Item = (Text, Text)>) -> Graph {
        let mut graph = Graph::default();
        for (caller, callee) in pairs {
            graph.callers.entry(callee.clone()).or_default().insert(caller.clone());
            graph.callees.entry(caller).or_default().insert(callee);
        }
        graph
    }

    pub fn direct_callers(&self, place: &Text) -> impl Iterator<Item = &Text> {
        self.callers.get(place).into_iter().flatten()
    }

    /// Everyone who waits for this place: its callers, and theirs.
    pub fn callers_of(&self, place: &Text) -> BTreeSet<Text> {
        let mut found = reached(&self.callers, [place.clone()].into());
        found.remove(place);
        found
    }

    /// These, and everyone whom their requests may come to.
    pub fn reached_from(&self, services: &BTreeSet<Text>) -> BTreeSet<Text> {
        reached(&self.callees, services.clone())
    }
}

fn reached(next: &BTreeMap<Text, BTreeSet<Text>>, from: BTreeSet<Text>) -> BTreeSet<Text> {
    let mut pending: Vec<Text> = from.iter().cloned().collect();
    let mut found = from;
    while let Some(place) = pending.pop() {
        for neighbour in next.get(&place).into_iter().flatten() {
            if found.insert(neighbour.clone()) {
                pending.push(neighbour.clone());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<Text> {
        names.iter().map(|name| Text::from(*name)).collect()
    }

    #[test]
    fn everyone_on_the_way_waits_and_circles_end() {
        let pairs = [("gateway", "shop"), ("shop", "stock"), ("stock", "shop"), ("stock", "db"), ("other", "cache")];
        let graph = Graph::new(pairs.map(|(caller, callee)| (Text::from(caller), Text::from(callee))));
        assert_eq!(graph.callers_of(&"db".into()), names(&["gateway", "shop", "stock"]));
        assert_eq!(graph.callers_of(&"shop".into()), names(&["gateway", "stock"]));
        assert_eq!(graph.reached_from(&names(&["shop"])), names(&["shop", "stock", "db"]));
    }
}
