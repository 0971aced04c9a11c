//! How long the pods of each service take to start, from creation to Ready: the lead that a pre-warming needs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::snapshot::Learnt;
use crate::analyse::thresholds::memory::KEPT;
use crate::model::{ClusterState, ServiceId};

#[derive(Debug, Default)]
pub struct PodStartup {
    /// Pods that were seen before they were ready, by service and name. The time of one that was ready when it was first
    /// seen is not known: readiness comes and goes, and the cluster tells of the last time alone.
    coming: BTreeSet<(ServiceId, String)>,
    known: BTreeMap<ServiceId, VecDeque<i64>>,
}

impl PodStartup {
    pub fn learn(&mut self, cluster: &ClusterState) {
        let mut coming = BTreeSet::new();
        for workload in &cluster.workloads {
            for pod in &workload.pods {
                let key = (workload.service.clone(), pod.name.clone());
                match pod.ready_at {
                    None => _ = coming.insert(key),
                    Some(ready_at) if self.coming.contains(&key) => {
                        let took_ms = ready_at.nanos_since(pod.created_at).max(0) / 1_000_000;
                        let known = self.known.entry(key.0).or_default();
                        known.push_back(took_ms);
                        if known.len() > KEPT {
                            known.pop_front();
                        }
                    }
                    Some(_) => {}
                }
            }
        }
        self.coming = coming;
    }

    /// All clocks stepped: pods that were created before it and are ready after it cannot be timed.
    pub fn step_clock(&mut self) {
        self.coming.clear();
    }

    /// What 95 of 100 pods are ready within, in seconds; None until one was seen to start.
    pub fn p95_s(&self, service: &ServiceId) -> Option<f64> {
        p95_s(self.known.get(service)?.iter().copied())
    }

    pub fn keep(&self, learnt: &mut Learnt) {
        for (service, starts) in &self.known {
            learnt.services.entry(service.to_string()).or_default().pod_starts_ms = starts.iter().copied().collect();
        }
    }

    pub fn restore(&mut self, learnt: &Learnt) {
        for (service, kept) in learnt.services.iter().filter(|(_, kept)| !kept.pod_starts_ms.is_empty()) {
            let known = self.known.entry(ServiceId::from(service.as_str())).or_default();
            if known.is_empty() {
                known.extend(kept.pod_starts_ms.iter().rev().take(KEPT).rev());
            }
        }
    }
}

/// What 95 of 100 starts took at most, in seconds; None of none.
pub(super) fn p95_s(starts_ms: impl Iterator<Item = i64>) -> Option<f64> {
    let mut sorted: Vec<i64> = starts_ms.collect();
    sorted.sort_unstable();
    let rank = (sorted.len() as f64 * 0.95).ceil() as usize;
    sorted.get(rank.max(1) - 1).map(|ms| *ms as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pod, Time, Workload};

    fn seen(pods: &[(&str, Option<i64>)]) -> ClusterState {
        let pod = |(name, ready): &(&str, Option<i64>)| Pod {
            name: (*name).into(),
            created_at: Time::from_secs(100),
            ready_at: ready.map(Time::from_secs),
        };
        let pods = pods.iter().map(pod).collect();
        let workloads = vec![Workload { service: "auth".into(), pods, ..Workload::default() }];
        ClusterState { at: Time(0), workloads }
    }

    #[test]
    fn a_start_counts_when_it_was_seen_to_begin() {
        let mut starts = PodStartup::default();
        starts.learn(&seen(&[("a", Some(900)), ("b", None)]));
        assert_eq!(starts.p95_s(&"auth".into()), None);
        starts.learn(&seen(&[("a", Some(900)), ("b", Some(108))]));
        starts.learn(&seen(&[("a", Some(900)), ("b", Some(300))]));
        assert_eq!(starts.p95_s(&"auth".into()), Some(8.0), "readiness that was lost and came again is no start");
    }

    #[test]
    fn the_last_ones_tell_and_are_kept() {
        let mut starts = PodStartup::default();
        for n in 0..100 {
            starts.learn(&seen(&[("a", None)]));
            starts.learn(&seen(&[("a", Some(100 + n))]));
        }
        assert_eq!(starts.p95_s(&"auth".into()), Some(98.0), "of 68 to 99");
        let mut learnt = Learnt::default();
        starts.keep(&mut learnt);
        let mut others = PodStartup::default();
        others.restore(&learnt);
        assert_eq!(others.p95_s(&"auth".into()), Some(98.0));
    }
}
