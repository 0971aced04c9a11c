//! Rows being added up: a table of groups, bounded.

use std::hash::Hash;

use arrow::array::RecordBatch;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::analyse::rollup::{Key, Sums, batch};
use crate::analyse::thresholds::memory::GROUPS_MAX;
use crate::model::{Symbol, Symbols};

/// Rows that wait before they are added. Added together they find the table in the processor's cache, and the
/// memory that one needs is fetched while the one before is added.
const WAITING_MAX: usize = 1 << 12;

pub(super) struct Groups<K: Key> {
    waiting: Vec<(K, K::Sums)>,
    groups: HashMap<K, K::Sums, RandomState>,
}

impl<K: Key> Default for Groups<K> {
    fn default() -> Groups<K> {
        Groups { waiting: Vec::new(), groups: HashMap::default() }
    }
}

/// A group's key and sums.
pub(super) type Row<K> = (K, <K as Key>::Sums);

impl<K: Key<Text = Symbol> + Copy + Eq + Hash> Groups<K>
where
    K::With<Symbol>: Into<K>,
    K::With<u32>: Ord,
{
    pub fn add(&mut self, key: K, sums: K::Sums) {
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
            let is_full = self.groups.len() >= GROUPS_MAX;
            let key = if is_full { key.map(|_| Symbol::OTHER).into() } else { key };
            self.groups.entry(key).and_modify(|known| known.merge(&sums)).or_insert(sums);
        }
    }

    /// Every group, in no order that may be seen.
    pub fn for_each(&mut self, change: impl FnMut((&K, &mut K::Sums))) {
        self.add_waiting();
        self.groups.iter_mut().for_each(change);
    }

    /// The rows in the order of their texts; nothing is left here. The symbols are to be sorted.
    pub fn take(&mut self, symbols: &Symbols) -> Vec<Row<K>> {
        self.add_waiting();
        // Sorted by ranks, which are small numbers, before any text is looked at.
        let mut rows: Vec<(K::With<u32>, Row<K>)> =
            self.groups.drain().map(|(key, sums)| (key.map(|symbol| symbols.rank(symbol)), (key, sums))).collect();
        rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

/// Rows as a batch of their table, their texts written out.
pub(super) fn written<K: Key<Text = Symbol>>(rows: &[Row<K>], symbols: &Symbols) -> RecordBatch {
    batch(rows.iter(), |symbol| symbols.text(*symbol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::{CountSums, DurationKey};

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
        let requests = |service: &str| {
            let of_it = rows.iter().find(|(key, _)| &**symbols.text(key.service) == service);
            of_it.map(|(_, sums)| sums.requests)
        };
        assert_eq!(["_other", "s0", "s1"].map(requests), [Some(10), Some(2), Some(1)]);
        assert!(rows.is_sorted_by_key(|(key, _)| symbols.text(key.service)));
        assert!(groups.take(&symbols).is_empty());
    }
}
