//! How each service does: its state for the judgement, and its finding.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Judge;
use super::judging::Stretch;
use crate::analyse::diagnosis::arrival_rate::{Arrivals, Scaling};
use crate::analyse::diagnosis::at_work::{Pods, at_work};
use crate::analyse::diagnosis::pod_health::PodHealth;
use crate::analyse::diagnosis::released_load::released_loads;
use crate::analyse::diagnosis::service_state::ServiceState;
use crate::analyse::findings::{Findings, ServiceFinding};
use crate::analyse::learned::capacity::{AtWork, Capacities, Need};
use crate::analyse::rollup::started::Ended;
use crate::analyse::rollup::window_totals::{Answers, ServiceSecond};
use crate::analyse::rollup::{HealthSums, Sums};
use crate::analyse::statistics::histogram::quantile_ns;
use crate::analyse::thresholds::load::LOW_TRAFFIC_REQUESTS;
use crate::model::{ClusterState, ServiceId, Text, Time, Workload};

/// How far beyond now a growing load is carried on: a tick, and the time to write the change. Not the time a pod takes to
/// start: a trend carried that far overshoots where the load levels off.
const AHEAD: Duration = Duration::from_secs(1);
/// Calls of so many seconds are looked at for whether they take long,
const LATE_SECONDS: i64 = 4;
/// … and they do if they take longer than this: less changes little in which second they started,
const LATE_S: f64 = 0.1;
/// … and than this many times their healthy time.
const LATE: f64 = 1.5;
/// Pods that were ordered for a load and a half work off the backlog of a pod's start and warm-up within so long.
const WORKS_OFF: Duration = Duration::from_secs(30);
/// Without a baseline (just after a start) a scale-out at most doubles.
const BLIND_STEP_FACTOR: u32 = 2;

fn scaling_of(workload: &Workload, to: Time) -> Scaling {
    let lately = |ready_at: Time| ready_at <= to && ready_at + WORKS_OFF > to && workload.pods.len() > 1;
    if workload.pods.iter().filter_map(|pod| pod.ready_at).any(lately) {
        Scaling::Came
    } else if workload.ready() < workload.replicas {
        Scaling::Coming
    } else {
        Scaling::Settled
    }
}

impl Judge {
    pub(super) fn service_states<'a>(
        &self,
        answers: &'a Answers,
        stretch: Stretch,
        cluster: &ClusterState,
    ) -> BTreeMap<Text, ServiceState<'a>> {
        let (from, until) = (stretch.from.second(), stretch.to.second());
        let ended = self.ended_late(answers, until);
        let state = |(service, seconds): (&Text, &Vec<ServiceSecond>)| {
            let mut sums = HealthSums::default();
            seconds.iter().filter(|s| s.second >= from).for_each(|s| sums.merge(&s.sums));
            let pods = answers.pods.get(service).map_or(&[][..], Vec::as_slice);
            let workload = cluster.workload(service);
            let counted = (stretch.from, stretch.seconds() / sums.weight());
            let warm_up = self.learned.warm_ups.of(&ServiceId::from(&**service));
            let pod_health = PodHealth::of(service, workload, pods, counted, warm_up, &self.learned.baseline);
            let scaling = workload.map_or(Scaling::Settled, |workload| scaling_of(workload, stretch.to));
            let arrivals = Arrivals::estimate(seconds, until, ended.get(service).map(Vec::as_slice), scaling);
            let arrivals = arrivals.weighted(sums.weight());
            (service.clone(), ServiceState { sums, pods, pod_health, arrivals })
        };
        answers.services.iter().map(state).collect()
    }

    /// Calls by the second in which they ended and how long they took, of services where they take much longer than in
    /// healthy time: elsewhere what ends is what starts, and need not be looked through.
    fn ended_late(&self, answers: &Answers, until: i64) -> BTreeMap<Text, Vec<Ended>> {
        let mut longest_s: f64 = 0.0;
        let mut late = |(service, seconds): (&Text, &Vec<ServiceSecond>)| {
            let of = seconds.iter().filter(|s| (until - LATE_SECONDS..until).contains(&s.second));
            let (calls, sojourn_ns) =
                of.fold((0, 0), |(calls, ns), s| (calls + s.sums.requests + s.sums.gave_up, ns + s.sums.sojourn_ns));
            let sojourn_s = sojourn_ns as f64 / 1e9 / calls.max(1) as f64;
            let healthy = self.learned.baseline.service(service);
            let healthy_s = healthy.map_or(0.0, |healthy| healthy.hold_s() + healthy.wait_s());
            let is_late = sojourn_s > LATE_S.max(LATE * healthy_s);
            longest_s = if is_late { longest_s.max(sojourn_s) } else { longest_s };
            is_late.then(|| service.clone())
        };
        let late: BTreeSet<Text> = answers.services.iter().filter_map(&mut late).collect();
        if late.is_empty() {
            return BTreeMap::new();
        }
        // What started within two stretches before the longest waits.
        let back_s = (2.0 * longest_s).ceil() as i64 + 2 * LATE_SECONDS;
        self.store.ended(&late, until - back_s.min(self.config.keep.as_secs() as i64))
    }

    /// Services that have as much work as they can do, or more.
    pub(super) fn at_work(
        &self,
        answers: &Answers,
        until: i64,
        states: &BTreeMap<Text, ServiceState<'_>>,
        cluster: &ClusterState,
    ) -> Vec<(Text, AtWork)> {
        let of = |service: &Text, in_vain: &BTreeMap<i64, i64>| {
            let (rows, state) = (answers.services.get(service)?, states.get(service)?);
            let pods = Pods {
                workload: cluster.workload(service),
                warm_up: self.learned.warm_ups.of(&ServiceId::from(&**service)),
                seen: state.pods.len(),
            };
            at_work(rows, until, state, self.learned.baseline.service(service), pods, in_vain)
        };
        let is_busy = |service: &&Text| of(service, &BTreeMap::new()).is_some();
        let busy: BTreeSet<Text> = states.keys().filter(is_busy).cloned().collect();
        let first = busy.iter().filter_map(|service| Some(answers.services.get(service)?.first()?.second)).min();
        let Some(first) = first else { return Vec::new() };
        let in_vain = self.store.answered_in_vain(&busy, first);
        let none = BTreeMap::new();
        let told = |service: &Text| Some((service.clone(), of(service, in_vain.get(service).unwrap_or(&none))?));
        busy.iter().filter_map(told).collect()
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
        let loads = released_loads(answers, services, ahead_s);
        let finding = |(service, there): (&Text, &ServiceState<'_>)| {
            let workload = cluster.workload(service);
            let requests = there.sums.requests + there.sums.refused + there.sums.gave_up;
            let durations = answers.durations.get(service).cloned().unwrap_or_default();
            let load = loads.get(service).copied().unwrap_or_default();
            let replicas = workload.map_or(there.pods.len() as u32, |w| w.replicas);
            let need = capacities.need(service, load, self.config.target_utilisation);
            // Pods that were ordered are corrected where they are likely too few, not by each new guess: the highest of many
            // guesses is high.
            let scaling = workload.map_or(Scaling::Settled, |workload| scaling_of(workload, findings.complete_to));
            let is_answered = scaling != Scaling::Settled;
            let corrected = |need: Need| {
                let is_enough = is_answered && need.likely <= replicas;
                if is_enough { need.replicas.min(replicas) } else { need.replicas }
            };
            let needed = need.map(corrected);
            // What was seen inside one window alone carries one bounded step, and none down.
            // Pods that still come are the answer to this need: twice those that serve, not twice those ordered.
            let ready = workload.map_or(replicas, |w| w.ready());
            let furthest = replicas.max(ready.saturating_mul(BLIND_STEP_FACTOR));
            let blind_step = |needed: u32| needed.clamp(replicas, furthest);
            let known = self.learned.baseline.service(service).is_some();
            ServiceFinding {
                service: ServiceId::from(&**service),
                throughput_per_s: there.arrivals.throughput_per_s,
                arrivals_per_s: there.arrivals.per_s.middle,
                error_share: there.sums.errors as f64 / requests.max(1) as f64,
                p99_ms: quantile_ns(durations, 0.99) as f64 / 1e6,
                waiting_ms: there.wait_s() * 1e3,
                own_time_ms: there.own_s() * 1e3,
                concurrency_per_pod: there.concurrency_per_pod(),
                capacity_per_pod_per_s: capacities.per_pod(service),
                replicas,
                ready: workload.map_or(there.pods.len() as u32, |w| w.ready()),
                replicas_needed: if known { needed } else { needed.map(blind_step) },
                replicas_needed_low: need.map(|need| need.low),
                objective_missed: crossed.contains(service),
                low_traffic: there.sums.requests < LOW_TRAFFIC_REQUESTS,
                pod_start_s: self.learned.starts.p95_s(&ServiceId::from(&**service)),
            }
        };
        services.iter().map(finding).collect()
    }
}
