//! Operations that are asked by somebody who sends no spans: an API gateway, a CDN, a browser, the ingress of a mesh.
//!
//! A span that names a parent which never comes is either the first that can be seen of a request, or one whose caller's
//! span was lost. The share tells them apart: behind a silent gateway many requests of an operation are so; where some spans
//! are lost, few. Requests of such an operation are judged as those of an endpoint.

use std::collections::{BTreeMap, BTreeSet};

use super::snapshot::{Learnt, RemoteEntry};
use crate::analyse::rollup::{OperationKey, Rollups};
use crate::analyse::statistics::eviction::{NAMES_MAX, forget_rare};
use crate::analyse::thresholds::telemetry::beginnings::{HALVE_AT, REQUESTS_MIN, SHARE_LEFT, SHARE_MIN};
use crate::model::Text;

/// Service and operation; with an empty operation, spans of the service that are no requests taken: of these, only the
/// calls are seen that their lost parent made.
pub type Top = [Text; 2];

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: i64,
    without_parent: i64,
    is_entry: bool,
}

impl Counts {
    fn settle(&mut self) {
        let share = self.without_parent as f64 / self.requests.max(self.without_parent).max(1) as f64;
        let bound = if self.is_entry { SHARE_LEFT } else { SHARE_MIN };
        self.is_entry = share >= bound && (self.is_entry || self.without_parent >= REQUESTS_MIN);
        if self.requests.max(self.without_parent) >= HALVE_AT {
            (self.requests, self.without_parent) = (self.requests / 2, self.without_parent / 2);
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct RemoteEntries {
    version: u64,
    known: BTreeMap<Top, Counts>,
    /// Services of which requests were seen.
    serving: BTreeSet<Text>,
}

impl RemoteEntries {
    /// Learns the spans of a tick whose parent never came, and the requests of the same operations.
    pub fn learn(&mut self, without_parent: BTreeMap<Top, i64>, rollups: &[Rollups]) {
        for (top, count) in without_parent {
            self.known.entry(top).or_default().without_parent += count;
        }
        let mut requests: BTreeMap<[&str; 2], i64> = BTreeMap::new();
        for (key, sums) in rollups.iter().flat_map(Rollups::rows::<OperationKey<&str>>) {
            if self.serving.len() < NAMES_MAX && !self.serving.contains(key.service) {
                self.serving.insert(key.service.into());
            }
            for operation in [key.operation, ""] {
                *requests.entry([key.service, operation]).or_default() += sums.requests;
            }
        }
        let before = self.entries();
        for ([service, operation], counts) in &mut self.known {
            counts.requests += requests.get(&[&**service, &**operation]).copied().unwrap_or(0);
            counts.settle();
        }
        forget_rare(&mut self.known, NAMES_MAX, |counts| counts.without_parent);
        self.known.retain(|_, counts| counts.without_parent > 0);
        self.version += u64::from(before != self.entries());
    }

    pub fn keep(&self, learnt: &mut Learnt) {
        learnt.remote_entries = self.known.iter().filter(|(_, counts)| counts.is_entry).map(kept).collect();
    }

    /// Takes over what is not known here: a gateway that sent no spans before the restart sends none after it.
    pub fn restore(&mut self, learnt: &Learnt) {
        for one in &learnt.remote_entries {
            let counts = Counts {
                requests: one.requests.clamp(0, HALVE_AT),
                without_parent: one.without_parent.clamp(0, HALVE_AT),
                is_entry: true,
            };
            if counts.without_parent > 0 && self.known.len() < NAMES_MAX {
                self.known.entry([one.service.as_str().into(), one.operation.as_str().into()]).or_insert(counts);
            }
        }
        self.version += 1;
    }

    fn entries(&self) -> Vec<Top> {
        self.known.iter().filter(|(_, counts)| counts.is_entry).map(|(top, _)| top.clone()).collect()
    }

    /// Whether traces begin with this operation of the service.
    pub fn is_entry(&self, service: &Text, operation: &Text) -> bool {
        !self.known.is_empty() && self.known.get(&[service.clone(), operation.clone()]).is_some_and(|one| one.is_entry)
    }

    /// Whether requests of this service were seen, as far as their number is bounded.
    pub fn takes_requests(&self, service: &Text) -> bool {
        self.serving.contains(service)
    }

    /// Changes with the entries.
    pub fn version(&self) -> u64 {
        self.version
    }
}

fn kept(([service, operation], counts): (&Top, &Counts)) -> RemoteEntry {
    RemoteEntry {
        service: service.to_string(),
        operation: operation.to_string(),
        requests: counts.requests,
        without_parent: counts.without_parent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::OperationSums;
    use crate::analyse::rollup::by_hand::Rows;

    fn top(operation: &str) -> Top {
        ["front", operation].map(Text::from)
    }

    fn rows(requests: i64) -> [Rollups; 1] {
        let mut rows = Rows::default();
        let [service, operation] = top("GET /");
        let key = OperationKey { second: 1, service, version: "".into(), operation };
        Rows::add(&mut rows.operations, key, OperationSums { requests, ..OperationSums::default() });
        [rows.tables()]
    }

    /// Whether `front GET /` is an entry after ticks of (requests, of these without their parent).
    fn is_entry(ticks: &[(i64, i64)]) -> bool {
        let mut entries = RemoteEntries::default();
        for &(requests, without_parent) in ticks {
            entries.learn(BTreeMap::from([(top("GET /"), without_parent)]), &rows(requests));
        }
        let [service, operation] = top("GET /");
        entries.is_entry(&service, &operation)
    }

    #[test]
    fn an_operation_whose_callers_never_send_spans_begins_traces() {
        assert!(is_entry(&[(5, 5)]));
        assert!(!is_entry(&[(4, 4)]), "an accident");
        assert!(is_entry(&[(100, 30)]), "a part of its callers");
    }

    #[test]
    fn spans_that_are_lost_here_and_there_make_no_entry() {
        assert!(!is_entry(&[(100, 5); 50]));
    }

    #[test]
    fn callers_that_send_spans_now_end_it_within_some_hundred_requests() {
        let mut ticks = vec![(100, 100); 30];
        assert!(is_entry(&ticks));
        ticks.extend([(100, 0); 10]);
        assert!(is_entry(&ticks), "the old half still shows");
        ticks.extend([(100, 0); 40]);
        assert!(!is_entry(&ticks));
    }

    #[test]
    fn what_was_learnt_outlives_a_restart() {
        let mut entries = RemoteEntries::default();
        entries.learn(BTreeMap::from([(top("GET /"), 50), (top("GET /rare"), 1)]), &rows(50));
        let mut learnt = Learnt::default();
        entries.keep(&mut learnt);
        let mut after = RemoteEntries::default();
        after.restore(&learnt);
        let is_entry = |operation| after.is_entry(&top(operation)[0], &top(operation)[1]);
        assert_eq!((is_entry("GET /"), is_entry("GET /rare")), (true, false));
    }

    #[test]
    fn names_with_identifiers_do_not_grow_without_bound() {
        let mut entries = RemoteEntries::default();
        let of = |from: usize| (from..from + 1_000).map(|n| (top(&format!("GET /{n}")), 1)).collect();
        (0..100).for_each(|round| entries.learn(of(round * 1_000), &[]));
        assert!(entries.known.len() <= NAMES_MAX);
    }
}
