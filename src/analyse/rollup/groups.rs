//! Rows being added up: a table of groups, bounded.

use std::collections::BTreeMap;
use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::rows::{DurationKey, EdgeKey, EntryKey, HealthKey, Merge, OperationKey, PathKey, Text};
use crate::model::{Symbol, Symbols};

/// Groups of one table in one tick, far more than services, pods and operations of a large system make. Past it the
/// texts of a new group become `_other`: names that hold identifiers must not cost more than spans do.
const GROUPS_MAX: usize = 50_000;

/// A key of symbols, that can be written out.
pub(super) trait Key: Copy + Eq + Hash {
    type Written: Ord;
    /// Sorts as what is written, by numbers.
    type Ranked: Ord;
    fn ranked(self, symbols: &Symbols) -> Self::Ranked;
    fn written(self, symbols: &Symbols) -> Self::Written;
    /// The key of the group `_other`.
    fn folded(self) -> Self;
}

macro_rules! key {
    ($name:ident { $($text:ident),+ }, { $($other:ident),* }) => {
        impl $name<Symbol> {
            fn with<T>(self, mut text: impl FnMut(Symbol) -> T) -> $name<T> {
                $name { $($text: text(self.$text),)+ $($other: self.$other,)* }
            }
        }

        impl Key for $name<Symbol> {
            type Written = $name<Text>;
            type Ranked = $name<u32>;

            fn ranked(self, symbols: &Symbols) -> $name<u32> {
                self.with(|symbol| symbols.rank(symbol))
            }

            fn written(self, symbols: &Symbols) -> $name<Text> {
                self.with(|symbol| symbols.text(symbol).clone())
            }

            fn folded(self) -> $name<Symbol> {
                self.with(|_| Symbol::OTHER)
            }
        }
    };
}

key!(EntryKey { entry }, { second, bucket });
key!(PathKey { entry, service, operation, peer }, { second, missed, near, kind });
key!(HealthKey { service, pod, version }, { second });
key!(DurationKey { service }, { second, bucket });
key!(EdgeKey { caller, version, operation, callee }, { second, answered });
key!(OperationKey { service, version, operation }, { second });

/// Rows that wait before they are added. Added together they find the table in the processor's cache, and the
/// memory that one needs is fetched while the one before is added.
const WAITING_MAX: usize = 1 << 12;

#[derive(Debug)]
pub(super) struct Groups<K, S> {
    waiting: Vec<(K, S)>,
    groups: HashMap<K, S, RandomState>,
    /// Rows that were added to `_other`.
    folded: u64,
}

impl<K, S> Default for Groups<K, S> {
    fn default() -> Groups<K, S> {
        Groups { waiting: Vec::new(), groups: HashMap::default(), folded: 0 }
    }
}

impl<K: Key, S: Merge + Copy> Groups<K, S> {
    pub fn add(&mut self, key: K, sums: S) {
        self.waiting.push((key, sums));
        if self.waiting.len() >= WAITING_MAX {
            self.add_waiting();
        }
    }

    fn add_waiting(&mut self) {
        for (key, sums) in self.waiting.drain(..) {
            if let Some(known) = self.groups.get_mut(&key) {
                known.merge(&sums);
                continue;
            }
            let key = if self.groups.len() < GROUPS_MAX {
                key
            } else {
                self.folded += 1;
                key.folded()
            };
            self.groups.entry(key).and_modify(|known| known.merge(&sums)).or_insert(sums);
        }
    }

    /// The rows in the order of their texts; nothing is left here. The symbols are to be sorted.
    pub fn take(&mut self, symbols: &Symbols) -> BTreeMap<K::Written, S> {
        self.add_waiting();
        // Sorted by numbers: a tree of rows that are in order is built without comparing many texts.
        let mut rows: Vec<(K::Ranked, K, S)> =
            self.groups.drain().map(|(key, sums)| (key.ranked(symbols), key, sums)).collect();
        rows.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        rows.into_iter().map(|(_, key, sums)| (key.written(symbols), sums)).collect()
    }

    /// Rows that were added to `_other`, up to the last that were taken.
    pub fn folded(&self) -> u64 {
        self.folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::CountSums;

    #[test]
    fn past_the_limit_new_groups_are_counted_as_other() {
        let (mut symbols, mut groups) = (Symbols::default(), Groups::default());
        let one = CountSums { requests: 1 };
        for n in 0..GROUPS_MAX + 10 {
            let service = symbols.of(&format!("s{n}"));
            groups.add(DurationKey { second: 7, service, bucket: 3 }, one);
        }
        groups.add(DurationKey { second: 7, service: symbols.of("s0"), bucket: 3 }, one);
        symbols.sort();
        let rows = groups.take(&symbols);
        assert_eq!(groups.folded(), 10);
        let requests = |service: &str| rows[&DurationKey { second: 7, service: service.into(), bucket: 3 }].requests;
        assert_eq!((requests("_other"), requests("s0"), requests("s1")), (10, 2, 1));
        assert!(groups.take(&symbols).is_empty());
    }
}
