//! Calls by the time at which they started, from what is kept of them when they ended.

use std::collections::{BTreeMap, BTreeSet};

use super::{DurationKey, HealthKey, Store};
use crate::analyse::statistics::histogram::{bucket_of, upper_ns};
use crate::model::Text;

/// Calls to a service that ended in the same second and took about as long: answered, refused or given up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
    pub second: i64,
    pub sojourn_s: f64,
    pub calls: i64,
}

impl Store {
    /// Of each of these services the calls that ended in a second from `since` on.
    pub fn ended(&self, services: &BTreeSet<Text>, since: i64) -> BTreeMap<Text, Vec<Ended>> {
        let mut answered: BTreeMap<(&Text, i64, i32), i64> = BTreeMap::new();
        let mut unanswered: BTreeMap<(&Text, i64), (i64, i64, i64)> = BTreeMap::new();
        for rollups in self.since(since) {
            for (key, sums) in rollups.rows::<DurationKey<&str>>().filter(|(key, _)| key.second >= since) {
                if let Some(service) = services.get(key.service) {
                    *answered.entry((service, key.second, key.bucket)).or_default() += sums.requests;
                }
            }
            for (key, sums) in rollups.rows::<HealthKey<&str>>().filter(|(key, _)| key.second >= since) {
                let Some(service) = services.get(key.service) else { continue };
                let (refused, gave_up, waited_ns) = unanswered.entry((service, key.second)).or_default();
                *refused += sums.refused;
                // Where a pod is named, waiting is of calls that it answered.
                if key.pod.is_empty() {
                    *gave_up += sums.gave_up;
                    *waited_ns += sums.wait_ns;
                }
            }
        }
        let mut all: BTreeMap<Text, Vec<Ended>> = services.iter().map(|name| (name.clone(), Vec::new())).collect();
        let mut push = |service: &Text, second: i64, sojourn_s: f64, calls: i64| {
            if let Some(of) = all.get_mut(service).filter(|_| calls > 0) {
                of.push(Ended { second, sojourn_s, calls });
            }
        };
        for ((service, second, bucket), calls) in answered {
            push(service, second, middle_s(bucket), calls);
        }
        for ((service, second), (refused, gave_up, waited_ns)) in unanswered {
            push(service, second, 0.0, refused);
            // In steps of a bucket, so that how rows were split among absorbers does not matter.
            push(service, second, middle_s(bucket_of(waited_ns / gave_up.max(1))), gave_up);
        }
        all
    }
}

fn middle_s(bucket: i32) -> f64 {
    let below = if bucket > 0 { upper_ns(bucket - 1) } else { 0 };
    (upper_ns(bucket) + below) as f64 / 2e9
}

/// Calls by their start, up to a time from which nearly all have ended.
#[derive(Clone, Debug)]
pub struct Started<'a> {
    ended: &'a [Ended],
    /// In seconds since the epoch: of those that started earlier, nearly all have ended and are counted.
    pub complete_to_s: f64,
}

impl Started<'_> {
    /// `until` is the first second not complete. A time counts as complete when the share `complete` of the calls that
    /// ended in the last second took less long than has passed since. None where nothing ended then.
    pub fn of(ended: &[Ended], until: i64, complete: f64) -> Option<Started<'_>> {
        let mut last: Vec<&Ended> = ended.iter().filter(|e| e.second == until - 1).collect();
        last.sort_by(|a, b| a.sojourn_s.total_cmp(&b.sojourn_s));
        let all: i64 = last.iter().map(|e| e.calls).sum();
        let mut seen = 0;
        let longest = last.into_iter().find(|e| {
            seen += e.calls;
            seen as f64 >= complete * all as f64
        })?;
        Some(Started { ended, complete_to_s: until as f64 - longest.sojourn_s })
    }

    /// Calls that started between two times. Those that ended in a second did so evenly over it.
    pub fn between(&self, from_s: f64, to_s: f64) -> f64 {
        let part = |e: &Ended| {
            let first_s = e.second as f64 - e.sojourn_s;
            let overlap_s = (first_s + 1.0).min(to_s) - first_s.max(from_s);
            e.calls as f64 * overlap_s.clamp(0.0, 1.0)
        };
        self.ended.iter().map(part).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::by_hand::Rows;
    use crate::analyse::rollup::{CountSums, HealthSums};

    const SECOND_NS: i64 = 1_000_000_000;

    fn store() -> Store {
        let mut rows = Rows::default();
        for second in 10..20 {
            let bucket = bucket_of(3 * SECOND_NS);
            let answered = DurationKey { second, service: "store".into(), bucket };
            Rows::add(&mut rows.durations, answered, CountSums { requests: 40 });
            let key = |pod: &str| HealthKey { second, service: "store".into(), pod: pod.into(), version: "".into() };
            let waiting =
                HealthSums { requests: 40, wait_ns: 40 * 2 * SECOND_NS, refused: 10, ..HealthSums::default() };
            Rows::add(&mut rows.health, key("a"), waiting);
            let given_up = HealthSums { gave_up: 20, wait_ns: 20 * 2 * SECOND_NS, ..HealthSums::default() };
            Rows::add(&mut rows.health, key(""), given_up);
        }
        let mut store = Store::default();
        store.push(rows.tables());
        store
    }

    #[test]
    fn calls_are_counted_when_they_started_whether_or_not_they_were_answered() {
        let services = BTreeSet::from([Text::from("store"), Text::from("other")]);
        let ended = store().ended(&services, 12);
        assert_eq!(ended["other"], []);
        let started = Started::of(&ended["store"], 20, 0.9).expect("something ended");
        assert!((started.complete_to_s - 17.0).abs() < 0.1, "{started:?}");
        // Of 70 calls a second, each kind from its own time on.
        assert!((started.between(14.0, 16.0) / 2.0 - 70.0).abs() < 1.0, "{started:?}");
        assert!(started.between(18.5, 19.0) < 10.0, "only those refused are seen of the last second");
    }

    #[test]
    fn nothing_that_ended_tells_of_no_start() {
        assert!(Started::of(&[], 20, 0.9).is_none());
    }
}
