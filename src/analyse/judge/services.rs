//! How each service does: its state for the judgement, and its finding.

use std::collections::{BTreeMap, BTreeSet};

use super::Judge;
use super::judging::Stretch;
use crate::analyse::diagnosis::arrival_rate::Arrivals;
use crate::analyse::diagnosis::pod_health::PodHealth;
use crate::analyse::diagnosis::service_state::ServiceState;
use crate::analyse::findings::{AskedBy, Findings, ServiceFinding, ServiceLoad};
use crate::analyse::learned::capacity::Capacities;
use crate::analyse::rollup::window_totals::{Answers, CrossingAnswer, EntryAnswer, ServiceSecond};
use crate::analyse::rollup::{HealthSums, Sums};
use crate::analyse::statistics::histogram::quantile_ns;
use crate::analyse::thresholds::load::begun::NEARLY_ALL;
use crate::analyse::thresholds::load::{AHEAD, BLIND_STEP_FACTOR, LOW_TRAFFIC_REQUESTS};
use crate::model::{ClusterState, ServiceId, Text};

impl Judge {
    pub(super) fn service_states<'a>(
        &self,
        answers: &'a Answers,
        stretch: Stretch,
        cluster: &ClusterState,
    ) -> BTreeMap<Text, ServiceState<'a>> {
        let from = stretch.from.second();
        let state = |(service, seconds): (&Text, &Vec<ServiceSecond>)| {
            let mut sums = HealthSums::default();
            seconds.iter().filter(|s| s.second >= from).for_each(|s| sums.merge(&s.sums));
            let pods = answers.pods.get(service).map_or(&[][..], Vec::as_slice);
            let workload = cluster.workload(service);
            let counted = (stretch.from, stretch.seconds() / sums.weight());
            let pod_health = PodHealth::of(service, workload, pods, counted, &self.learned.baseline);
            let arrivals = Arrivals::estimate(seconds, stretch.to.second()).weighted(sums.weight());
            let is_settling = workload.is_some_and(|w| w.replicas > w.ready()) || !pod_health.young.is_empty();
            (service.clone(), ServiceState { sums, pods, pod_health, arrivals, is_settling })
        };
        answers.services.iter().map(state).collect()
    }

    /// Of all services that sent spans; entry operations and bottlenecks must have been settled.
    pub(super) fn service_findings(
        &self,
        findings: &Findings,
        answers: &Answers,
        services: &BTreeMap<Text, ServiceState<'_>>,
        cluster: &ClusterState,
        capacities: &Capacities,
    ) -> Vec<ServiceFinding> {
        let missed = findings.entries.iter().filter(|entry| entry.missed);
        let crossed: BTreeSet<Text> = missed.flat_map(|entry| self.crossed(answers, &entry.entry)).collect();
        // The newest second described lies this far back, and a growing load has grown on since; it will have grown
        // a little further when the change is made.
        let ahead_s = findings.at.seconds_since(findings.complete_to).max(0.0) + AHEAD.as_secs_f64();
        let finding = |(service, there): (&Text, &ServiceState<'_>)| {
            let workload = cluster.workload(service);
            let requests = there.sums.requests + there.sums.refused + there.sums.gave_up;
            let durations = answers.durations.get(service).cloned().unwrap_or_default();
            // What is shed at the front door would come as well.
            let expected = there.arrivals.ahead(ahead_s) + self.kept_away.get(&**service).copied().unwrap_or(0.0);
            let replicas = workload.map_or(there.pods.len() as u32, |w| w.replicas);
            let work_s = there.work_s();
            let replicas_for =
                |per_s: f64| capacities.replicas(service, (per_s, work_s), self.config.target_utilisation);
            let estimated = replicas_for(expected);
            // New pods beside older ones end more requests than come: more are asked for what is known to come alone, not for what
            // the queue says.
            let seen = (answers.services.get(service).map_or(&[][..], Vec::as_slice), &durations[..]);
            let until = findings.complete_to.second();
            let known = there.pod_health.has_joined.then(|| self.known_to_come(service, there, seen, until)).flatten();
            let known = known.and_then(replicas_for);
            let needed = estimated.map(|estimated| known.map_or(estimated, |known| estimated.min(known.max(replicas))));
            // What was seen inside one window alone carries one bounded step, and none down.
            // Pods that still come are the answer to this need: twice those that serve, not twice those ordered.
            let ready = workload.map_or(replicas, |w| w.ready());
            let furthest = replicas.max(ready.saturating_mul(BLIND_STEP_FACTOR));
            let blind_step = |needed: u32| needed.clamp(replicas, furthest);
            let is_known = self.learned.baseline.service(service).is_some();
            ServiceFinding {
                service: ServiceId::from(&**service),
                throughput_per_s: there.arrivals.throughput_per_s,
                arrivals_per_s: there.arrivals.per_s,
                error_share: there.sums.errors as f64 / requests.max(1) as f64,
                p99_ms: quantile_ns(durations, 0.99) as f64 / 1e6,
                waiting_ms: there.wait_s() * 1e3,
                own_time_ms: there.own_s() * 1e3,
                concurrency_per_pod: there.concurrency_per_pod(),
                capacity_per_pod_per_s: capacities.per_pod(service, work_s),
                replicas,
                ready: workload.map_or(there.pods.len() as u32, |w| w.ready()),
                replicas_needed: if is_known { needed } else { needed.map(blind_step) },
                objective_missed: crossed.contains(service),
                low_traffic: there.sums.requests < LOW_TRAFFIC_REQUESTS,
                pod_start_s: self.learned.starts.p95_s(&ServiceId::from(&**service)),
            }
        };
        services.iter().map(finding).collect()
    }

    /// Requests a second that surely come to a service, those turned away before it among them. None where too little is known.
    fn known_to_come(
        &self,
        service: &Text,
        there: &ServiceState<'_>,
        (seconds, durations): (&[ServiceSecond], &[(i32, i64)]),
        until: i64,
    ) -> Option<f64> {
        let turned_away = |second: i64| {
            let found = seconds.iter().find(|row| row.second == second);
            found.map_or(0, |row| row.sums.refused + row.sums.gave_up)
        };
        let lag_s = quantile_ns(durations.iter().copied(), NEARLY_ALL) as f64 / 1e9;
        let begun = self.learned.begun.per_s(service, until, lag_s, turned_away)?;
        let kept_away = self.kept_away.get(&**service).copied().unwrap_or(0.0);
        Some(begun * there.sums.weight() + kept_away)
    }

    /// What is asked of the services whose owners let their traffic be shaped.
    pub(super) fn service_loads(
        &self,
        answers: &Answers,
        stretch: Stretch,
        cluster: &ClusterState,
    ) -> Vec<ServiceLoad> {
        let requests: BTreeMap<&Text, i64> =
            answers.entries.iter().map(|EntryAnswer { entry, requests, .. }| (entry, *requests)).collect();
        let load = |(service, seconds): (&Text, &Vec<ServiceSecond>)| {
            cluster.workload(service).filter(|workload| workload.terms.shapeable)?;
            let last = seconds.iter().find(|s| s.second == stretch.to.second() - 1).copied().unwrap_or_default().sums;
            let mut window = HealthSums::default();
            seconds.iter().filter(|s| s.second >= stretch.from.second()).for_each(|s| window.merge(&s.sums));
            let crossings = answers.crossings.get(service).map_or(&[][..], Vec::as_slice);
            Some(ServiceLoad {
                service: ServiceId::from(&**service),
                queue_ms: queue_ms(&last),
                served_work_per_s: last.requests as f64
                    * work_s(&last).or(work_s(&window)).unwrap_or(0.0)
                    * last.weight(),
                work_ms: work_s(&window).unwrap_or(0.0) * 1e3,
                turned_away_per_s: (last.refused + last.gave_up) as f64 * last.weight(),
                asked_by: crossings.iter().filter_map(|crossing| asked_by(crossing, &requests)).collect(),
                offered: None,
            })
        };
        answers.services.iter().filter_map(load).collect()
    }
}

/// What one request holds a worker for in healthy time; where that is not known, what it holds one for now.
fn work_s(sums: &HealthSums) -> Option<f64> {
    let now = || (sums.requests > 0).then(|| sums.hold_ns as f64 / 1e9 / sums.requests as f64);
    sums.healthy_work_s().or_else(now)
}

/// How much longer than in healthy time requests waited to be taken, or were worked on; of calls given up, how long they
/// waited.
fn queue_ms(sums: &HealthSums) -> f64 {
    let ended = (sums.requests + sums.gave_up) as f64;
    let slower_ns = (sums.compared_own_ns - sums.expected_own_ns).max(0) as f64;
    if ended > 0.0 { (sums.wait_ns as f64 + slower_ns) / 1e6 / ended } else { 0.0 }
}

fn asked_by(crossing: &CrossingAnswer, requests: &BTreeMap<&Text, i64>) -> Option<AskedBy> {
    let requests = requests.get(&crossing.entry).copied().filter(|requests| *requests > 0)? as f64;
    let (calls, work_ms) = (crossing.sums.calls as f64 / requests, crossing.sums.work_ns as f64 / 1e6 / requests);
    Some(AskedBy { entry: crossing.entry.to_string(), calls, work_ms })
}
