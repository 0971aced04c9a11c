//! Calls that were answered after their caller had given up. Their server spans are as good as any: that nobody waited shows
//! only at the caller, whose span failed.

use std::collections::{BTreeMap, BTreeSet};

use super::{EdgeKey, HealthKey, Store};
use crate::model::Text;

impl Store {
    /// Of each of these services, calls by the second in which their caller gave up, from `since` on.
    pub fn answered_in_vain(&self, services: &BTreeSet<Text>, since: i64) -> BTreeMap<Text, BTreeMap<i64, i64>> {
        // Calls that failed for their caller, less those that failed here or got no answer.
        let mut failed: BTreeMap<Text, BTreeMap<i64, i64>> = BTreeMap::new();
        let mut add = |service: &str, second: i64, calls: i64| {
            if let Some(service) = services.get(service).filter(|_| calls != 0) {
                *failed.entry(service.clone()).or_default().entry(second).or_default() += calls;
            }
        };
        for rollups in self.since(since) {
            for (key, sums) in rollups.rows::<EdgeKey<&str>>().filter(|(key, _)| key.second >= since) {
                add(key.callee, key.second, sums.errors);
            }
            for (key, sums) in rollups.rows::<HealthKey<&str>>().filter(|(key, _)| key.second >= since) {
                add(key.service, key.second, -sums.errors);
            }
        }
        failed.values_mut().for_each(|seconds| seconds.retain(|_, calls| *calls > 0));
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::by_hand::Rows;
    use crate::analyse::rollup::{EdgeSums, HealthSums};

    #[test]
    fn what_failed_for_its_caller_alone_was_answered_in_vain() {
        let mut rows = Rows::default();
        let key = |answered: bool| EdgeKey {
            second: 7,
            caller: "gateway".into(),
            version: "".into(),
            operation: "GET /".into(),
            callee: "store".into(),
            answered,
        };
        Rows::add(&mut rows.edges, key(true), EdgeSums { calls: 50, errors: 30, ..EdgeSums::default() });
        Rows::add(&mut rows.edges, key(false), EdgeSums { calls: 9, errors: 9, ..EdgeSums::default() });
        let health = HealthKey { second: 7, service: "store".into(), pod: "a".into(), version: "".into() };
        let sums = HealthSums { requests: 50, errors: 5 + 9, gave_up: 9, ..HealthSums::default() };
        Rows::add(&mut rows.health, health, sums);
        let mut store = Store::default();
        store.push(rows.tables());
        let services = BTreeSet::from([Text::from("store")]);
        assert_eq!(store.answered_in_vain(&services, 0)["store"], BTreeMap::from([(7, 25)]));
        assert!(store.answered_in_vain(&services, 8).is_empty());
    }
}
