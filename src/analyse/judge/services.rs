//! How each service does: its state for the judgement, and its finding.

use std::collections::{BTreeMap, BTreeSet};

use super::Judge;
use super::judging::Stretch;
use crate::analyse::diagnosis::arrival_rate::Arrivals;
use crate::analyse::diagnosis::pod_health::PodHealth;
use crate::analyse::diagnosis::service_state::ServiceState;
use crate::analyse::findings::{Findings, ServiceFinding};
use crate::analyse::learned::capacity::Capacities;
use crate::analyse::rollup::window_totals::{Answers, ServiceSecond};
use crate::analyse::rollup::{HealthSums, Sums};
use crate::analyse::statistics::histogram::quantile_ns;
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
            (service.clone(), ServiceState { sums, pods, pod_health, arrivals })
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
            let expected = there.arrivals.ahead(ahead_s);
            let replicas = workload.map_or(there.pods.len() as u32, |w| w.replicas);
            let needed = capacities.replicas(service, expected, self.config.target_utilisation);
            // What was seen inside one window alone carries one bounded step, and none down.
            // Pods that still come are the answer to this need: twice those that serve, not twice those ordered.
            let ready = workload.map_or(replicas, |w| w.ready());
            let furthest = replicas.max(ready.saturating_mul(BLIND_STEP_FACTOR));
            let blind_step = |needed: u32| needed.clamp(replicas, furthest);
            let known = self.learned.baseline.service(service).is_some();
            ServiceFinding {
                service: ServiceId::from(&**service),
                throughput_per_s: there.arrivals.throughput_per_s,
                arrivals_per_s: there.arrivals.per_s,
                error_share: there.sums.errors as f64 / requests.max(1) as f64,
                p99_ms: quantile_ns(durations, 0.99) as f64 / 1e6,
                waiting_ms: there.wait_s() * 1e3,
                own_time_ms: there.own_s() * 1e3,
                concurrency_per_pod: there.concurrency_per_pod(),
                capacity_per_pod_per_s: capacities.per_pod(service),
                replicas,
                ready: workload.map_or(there.pods.len() as u32, |w| w.ready()),
                replicas_needed: if known { needed } else { needed.map(blind_step) },
                objective_missed: crossed.contains(service),
                low_traffic: there.sums.requests < LOW_TRAFFIC_REQUESTS,
                pod_start_s: self.learned.starts.p95_s(&ServiceId::from(&**service)),
            }
        };
        services.iter().map(finding).collect()
    }
}
