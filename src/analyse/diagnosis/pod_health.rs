//! The pods that a cluster calls ready, set beside those that spans come from: which are warming, unresponsive, or of a
//! new revision.
//!
//! A pod that hangs sends nothing: its spans would end with its answers, and its callers give up before. What is missed
//! at roll call is then all there is to see of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::analyse::learned::baseline::{Baseline, replica_set};
use crate::analyse::rollup::window_totals::PodAnswer;
use crate::analyse::thresholds::pods::{CHANCE, SILENT, WARM_UP, YOUNG};
use crate::model::{Text, Time, Workload};

/// What the cluster knows of a service's pods and spans do not tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodHealth {
    /// Not yet warm when the stretch began. A pod that the cluster does not tell of counts as warm.
    pub warming: BTreeSet<Text>,
    /// Not ready for long when the stretch began, while older ones are there; in a service that just started all are.
    pub young: BTreeSet<Text>,
    /// Some of the young serve already, beside older ones.
    pub has_joined: bool,
    /// Ready all the time, and with next to no span.
    pub unresponsive: BTreeSet<Text>,
    /// Ready, of a ReplicaSet that did not serve in healthy time: a release.
    pub new_revision: BTreeSet<Text>,
    /// Ready pods.
    pub ready: usize,
    /// Requests that each should have served that was ready all the time: as in healthy time, or as its siblings did.
    pub expected: BTreeMap<Text, f64>,
}

impl PodHealth {
    /// Over a stretch that begins at `from`, in which `seen` sent spans: the requests of so many seconds (less than there
    /// were where a sampler leaves some out).
    pub fn of(
        service: &Text,
        workload: Option<&Workload>,
        seen: &[PodAnswer],
        (from, seconds): (Time, f64),
        baseline: &Baseline,
    ) -> PodHealth {
        let mut call = PodHealth::default();
        let pods = workload.map_or(&[][..], |w| &w.pods);
        let served = |name: &str| seen.iter().find(|a| *a.pod == *name).map_or(0, |a| a.sums.requests);
        let mut requests: Vec<i64> = pods.iter().filter(|p| p.ready_at.is_some()).map(|p| served(&p.name)).collect();
        requests.sort_unstable();
        // Spans may name pods otherwise than the cluster does: then the median is zero, and nobody is missed.
        let median = requests.get(requests.len() / 2).copied().unwrap_or_default() as f64;
        for pod in pods {
            let name: Text = pod.name.as_str().into();
            if pod.ready_at.is_none_or(|ready| ready + WARM_UP > from) {
                call.warming.insert(name.clone());
            }
            if pod.ready_at.is_none_or(|ready| ready + YOUNG > from) {
                call.young.insert(name.clone());
            }
            let Some(ready_at) = pod.ready_at else { continue };
            call.ready += 1;
            if !baseline.knows_replica_set(service, replica_set(&name)) {
                call.new_revision.insert(name.clone());
            }
            let expected = baseline.pod_rate(service, &name).map_or(median, |per_s| per_s * seconds);
            let served = served(&name);
            let is_little = (served as f64) < SILENT * expected && at_most(served, expected) < CHANCE;
            if ready_at <= from {
                call.expected.insert(name.clone(), expected);
                if is_little {
                    call.unresponsive.insert(name);
                }
            }
        }
        if call.young.len() == pods.len() {
            call.young.clear();
        }
        call.has_joined = pods.iter().any(|pod| pod.ready_at.is_some() && call.young.contains(pod.name.as_str()));
        call
    }
}

/// The chance of so many events or fewer where `expected` are (Poisson).
fn at_most(events: i64, expected: f64) -> f64 {
    let terms = (0..=events).scan((-expected).exp(), |term, i| {
        let this = *term;
        *term *= expected / (i + 1) as f64;
        Some(this)
    });
    terms.sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::analyse::rollup::HealthSums;
    use crate::model::Pod;

    const READY: Time = Time::from_secs(100);

    /// Three pods, ready since `READY`, that served so many requests in the three seconds from `from`.
    fn call(from: Time, served: [i64; 3]) -> PodHealth {
        let name = |n: usize| format!("auth-5d8f7c-{n}");
        let pod = |n: usize| Pod { name: name(n), created_at: READY, ready_at: Some(READY) };
        let workload = Workload { pods: (0..3).map(pod).collect(), ..Workload::default() };
        let answer = |(n, &requests): (usize, &i64)| PodAnswer {
            pod: name(n).into(),
            version: "".into(),
            sums: HealthSums { requests, ..HealthSums::default() },
        };
        let seen: Vec<PodAnswer> = served.iter().enumerate().filter(|(_, n)| **n > 0).map(answer).collect();
        PodHealth::of(&"auth".into(), Some(&workload), &seen, (from, 3.0), &Baseline::default())
    }

    fn silent(served: [i64; 3]) -> usize {
        call(READY + WARM_UP, served).unresponsive.len()
    }

    #[test]
    fn who_serves_next_to_nothing_beside_busy_siblings_is_silent() {
        assert_eq!(silent([50, 60, 0]), 1);
        assert_eq!(silent([50, 60, 4]), 1);
        assert_eq!(silent([50, 60, 20]), 0, "less than its siblings, but it serves");
        assert_eq!(silent([12, 13, 0]), 1);
        assert_eq!(silent([11, 13, 0]), 0, "of so few, chance may leave it none");
        assert_eq!(silent([0, 0, 0]), 0, "spans may name pods otherwise");
    }

    #[test]
    fn a_pod_is_cold_at_first_and_not_missed_before_it_was_ready() {
        assert_eq!(call(READY, [50, 60, 50]).warming.len(), 3);
        assert_eq!(call(READY + WARM_UP, [50, 60, 50]).warming.len(), 0);
        let before = call(READY - Duration::from_secs(1), [50, 60, 0]);
        assert_eq!((before.unresponsive.len(), before.ready), (0, 3));
    }
}
