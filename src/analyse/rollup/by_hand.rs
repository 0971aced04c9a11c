//! Rows written by hand, for tests.

use std::collections::BTreeMap;

use super::tables::{Rollups, batch};
use super::*;
use crate::model::Text;

/// The rows of a stretch of time, before they become tables.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub entries: BTreeMap<EntryKey<Text>, EntrySums>,
    pub paths: BTreeMap<PathKey<Text>, PathSums>,
    pub health: BTreeMap<HealthKey<Text>, HealthSums>,
    pub durations: BTreeMap<DurationKey<Text>, CountSums>,
    pub edges: BTreeMap<EdgeKey<Text>, EdgeSums>,
    pub operations: BTreeMap<OperationKey<Text>, OperationSums>,
    pub crossings: BTreeMap<CrossingKey<Text>, CrossingSums>,
}

impl Rows {
    pub fn add<K: Ord, S: Sums>(rows: &mut BTreeMap<K, S>, key: K, sums: S) {
        rows.entry(key).and_modify(|known| known.merge(&sums)).or_insert(sums);
    }

    pub fn tables(self) -> Rollups {
        fn table<K: Key<Text = Text>>(rows: BTreeMap<K, K::Sums>) -> arrow::array::RecordBatch {
            let rows: Vec<(K, K::Sums)> = rows.into_iter().collect();
            batch(rows.iter(), |text| text)
        }
        Rollups::new([
            table(self.entries),
            table(self.paths),
            table(self.health),
            table(self.durations),
            table(self.edges),
            table(self.operations),
            table(self.crossings),
        ])
    }
}
