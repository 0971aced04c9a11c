//! Young pods beside older ones of their service, while these are as fast as ever: how long does a pod take to warm up?

use crate::analyse::diagnosis::service_state::ServiceState;
use crate::analyse::learned::warm_up::{LONGEST, YoungPod};
use crate::analyse::rollup::HealthSums;
use crate::analyse::rollup::window_totals::PodAnswer;
use crate::model::{Time, Workload};

/// Requests of a pod in the fast window below which its mean says nothing.
const REQUESTS: i64 = 5;
/// Older pods whose own work takes longer than this many times its healthy time are no measure: they bear too much.
const AS_EVER: f64 = 1.5;

/// None where old pods are missing, or are not themselves. The stretch looked at begins at `from`.
pub fn young_pods(state: &ServiceState<'_>, workload: &Workload, from: Time) -> Vec<YoungPod> {
    let is_young = |ready_at: Time| ready_at + LONGEST > from;
    if !workload.pods.iter().filter_map(|pod| pod.ready_at).any(is_young) {
        return Vec::new();
    }
    let factor = |sums: &HealthSums| {
        let is_told = sums.requests >= REQUESTS && sums.expected_own_ns > 0;
        is_told.then(|| sums.compared_own_ns as f64 / sums.expected_own_ns as f64)
    };
    let ready_at = |pod: &PodAnswer| workload.pods.iter().find(|p| *p.name == *pod.pod).and_then(|p| p.ready_at);
    let old = state.pods.iter().filter(|pod| ready_at(pod).is_some_and(|at| !is_young(at)));
    let mut factors: Vec<f64> = old.filter_map(|pod| factor(&pod.sums)).collect();
    factors.sort_by(f64::total_cmp);
    let Some(&usual) = factors.get(factors.len() / 2).filter(|usual| **usual < AS_EVER) else { return Vec::new() };
    let young = |pod: &PodAnswer| {
        let ready_at = ready_at(pod).filter(|at| is_young(*at) && *at <= from)?;
        let age = std::time::Duration::from_nanos(from.nanos_since(ready_at).max(0) as u64);
        Some(YoungPod { pod: pod.pod.clone(), age, slowness: factor(&pod.sums)? / usual })
    };
    state.pods.iter().filter_map(young).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Pod;

    /// Each of these pods answers twenty requests of 50 ms in so many times as long.
    fn found(pods: &[(&str, i64, f64)]) -> Vec<(String, u64, f64)> {
        let answers: Vec<PodAnswer> = pods
            .iter()
            .map(|(name, _, slowness)| {
                let (expected_own_ns, requests) = (1_000_000_000, 20);
                let compared_own_ns = (slowness * 1e9) as i64;
                let sums = HealthSums { requests, expected_own_ns, compared_own_ns, ..HealthSums::default() };
                PodAnswer { pod: (*name).into(), version: "1".into(), sums }
            })
            .collect();
        let pod = |(name, ready_s, _): &(&str, i64, f64)| Pod {
            name: (*name).into(),
            created_at: Time(0),
            ready_at: Some(Time::from_secs(*ready_s)),
        };
        let workload = Workload { pods: pods.iter().map(pod).collect(), ..Workload::default() };
        let state = ServiceState { pods: &answers, ..ServiceState::default() };
        let young = young_pods(&state, &workload, Time::from_secs(500)).into_iter();
        young.map(|of| (of.pod.to_string(), of.age.as_secs(), of.slowness)).collect()
    }

    #[test]
    fn a_young_pod_is_held_against_older_ones() {
        let young = found(&[("old", 0, 1.0), ("new", 480, 5.0), ("newer", 501, 5.0)]);
        assert_eq!(young, [("new".into(), 20, 5.0)]);
    }

    #[test]
    fn older_pods_that_bear_too_much_are_no_measure() {
        assert_eq!(found(&[("old", 0, 3.0), ("new", 480, 5.0)]), []);
        assert_eq!(found(&[("new", 480, 5.0), ("also", 480, 1.0)]), []);
    }
}
