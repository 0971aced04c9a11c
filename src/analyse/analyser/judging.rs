//! What the answers of a stretch of time say: which objectives are missed, who is to blame, how services do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Analyser, Stretch, Text, View};
use crate::analyse::diagnosis::arrival_rate::Arrivals;
use crate::analyse::diagnosis::attribution::{Judge, Judgement};
use crate::analyse::diagnosis::pod_health::PodHealth;
use crate::analyse::diagnosis::service_state::ServiceState;
use crate::analyse::findings::{Bottleneck, EntryFinding, Findings, ServiceFinding, Verdict};
use crate::analyse::learned::capacity::Sample;
use crate::analyse::objective::Objective;
use crate::analyse::rollup::window_totals::{Answers, EntryAnswer, ServiceSecond};
use crate::analyse::rollup::{HealthSums, Merge};
use crate::analyse::statistics::histogram::quantile_ns;
use crate::analyse::statistics::significance::{LEANING, LIKELY, SURELY, exceeds};
use crate::model::{ClusterState, ServiceId, Time};

/// How far beyond now a growing load is carried on: a tick, and what the change takes to be written. Not the time a
/// pod takes to start: a trend carried that far overshoots where the load levels off.
const AHEAD: Duration = Duration::from_secs(1);
/// Without a baseline (just after a start) a scale-out at most doubles.
const BLIND_STEP_FACTOR: u32 = 2;
/// Requests in the fast window below which a service counts as one of low traffic: they say little of what many would need.
const LOW_TRAFFIC_REQUESTS: i64 = 20;
/// Exemplars kept for each entry operation.
const EXEMPLARS: usize = 5;
/// Requests in the fast window below which a longer one is asked as well: of a hundred, a share of one in a hundred is
/// no more than one request.
const FEW_REQUESTS: i64 = 100;
/// As many in the longer one, which is not three times as long: below, requests that come near missing tell as well.
pub(super) const FEW_LONG: i64 = 3 * FEW_REQUESTS;

impl Analyser {
    pub(super) fn entry_finding(&self, answer: &EntryAnswer, stretch: Stretch) -> EntryFinding {
        let objective = self.objectives.get(&answer.entry).and_then(Option::as_ref);
        EntryFinding {
            entry: answer.entry.to_string(),
            requests: answer.requests as u64,
            requests_per_s: answer.adjusted() / stretch.seconds(),
            p50_ms: answer.quantile_ms(0.5),
            p99_ms: answer.quantile_ms(0.99),
            objective_ms: objective.map_or(0.0, |o| o.latency_ns as f64 / 1e6),
            missed_share: answer.missed as f64 / answer.requests.max(1) as f64,
            error_share: answer.errors as f64 / answer.requests.max(1) as f64,
            missed: self.misses(answer, SURELY),
        }
    }

    /// Whether an entry operation misses its objective, at a chance to be mistaken.
    pub(super) fn misses(&self, answer: &EntryAnswer, chance: f64) -> bool {
        let objective = self.objectives.get(&answer.entry).and_then(Option::as_ref);
        let missed = |o: &Objective| {
            exceeds(answer.slow, answer.requests, 1.0 - o.quantile, chance)
                || exceeds(answer.errors, answer.requests, o.errors, chance)
        };
        answer.requests >= self.config.requests_min && objective.is_some_and(missed)
    }

    /// Whether an entry operation of few requests comes near missing its objective, with more of them than healthy time
    /// has and than may miss. What it will miss by is not seen yet, where one request in a hundred is.
    fn is_at_risk(&self, answer: &EntryAnswer, chance: f64) -> bool {
        let objective = self.objectives.get(&answer.entry).and_then(Option::as_ref);
        let (Some(objective), Some(healthy)) = (objective, self.baseline.near_share(&answer.entry)) else {
            return false;
        };
        let allowed = healthy.max(1.0 - objective.quantile);
        let is_few = chance >= LEANING && (self.config.requests_min..FEW_LONG).contains(&answer.requests);
        is_few && exceeds(answer.missed + answer.near, answer.requests, allowed, LIKELY)
    }

    pub(super) fn services_now<'a>(
        &self,
        answers: &'a Answers,
        stretch: Stretch,
        cluster: &ClusterState,
    ) -> BTreeMap<Text, ServiceState<'a>> {
        let from = stretch.from.second();
        let now = |(service, seconds): (&Text, &Vec<ServiceSecond>)| {
            let mut sums = HealthSums::default();
            seconds.iter().filter(|s| s.second >= from).for_each(|s| sums.merge(&s.sums));
            let pods = answers.pods.get(service).map_or(&[][..], Vec::as_slice);
            let workload = cluster.workload(service);
            let counted = (stretch.from, stretch.seconds() / sums.weight());
            let pod_health = PodHealth::of(service, workload, pods, counted, &self.baseline);
            let arrivals = Arrivals::estimate(seconds, stretch.to.second()).weighted(sums.weight());
            (service.clone(), ServiceState { sums, pods, pod_health, arrivals })
        };
        answers.services.iter().map(now).collect()
    }

    /// Entry operations that a longer stretch may tell more of: some of few requests missed the objective; or it is known
    /// that they miss, and not why.
    pub(super) fn open_entries(&self, answers: &Answers, findings: &Findings) -> BTreeSet<String> {
        let is_open = |answer: &&EntryAnswer| {
            let of_it = |b: &&Bottleneck| *b.entry == *answer.entry;
            match findings.bottlenecks.iter().find(of_it) {
                Some(bottleneck) => bottleneck.verdict == Verdict::Unknown,
                None => answer.requests < FEW_REQUESTS && answer.missed + answer.near > 0,
            }
        };
        answers.entries.iter().filter(is_open).map(|answer| answer.entry.to_string()).collect()
    }

    /// Names the bottleneck of each entry operation that misses, and learns capacity from those that saturate. Only
    /// those that are `open`: what a shorter view has settled stays.
    pub(super) fn judge(&mut self, findings: &mut Findings, view: &View<'_>, now: Time, open: impl Fn(&str) -> bool) {
        let mut saturated: BTreeMap<Text, f64> = BTreeMap::new();
        for answer in &view.answers.entries {
            let slot = findings.entries.iter_mut().find(|e| *e.entry == *answer.entry && open(&e.entry));
            let Some(slot) = slot else { continue };
            let mut entry = self.entry_finding(answer, view.stretch);
            if !entry.missed && !self.misses(answer, view.chance) && !self.is_at_risk(answer, view.chance) {
                continue;
            }
            let held = self.victims.draining_backlog_since(view.services, view.stretch.from);
            let judge = Judge { answers: view.answers, baseline: &self.baseline, now: view.services, held };
            let judgement = judge.judge(&entry.entry);
            // What is only likely counts when all requests of a service bear it out, not just those that missed. One slow
            // request makes its pod look slow by itself, unless others show it too.
            let is_one_request =
                |j: &Judgement| j.verdict == Verdict::BadInstance && answer.missed + answer.near < 2 && !j.shown_beside;
            entry.missed |= judgement.as_ref().is_some_and(|j| j.borne_out && !is_one_request(j));
            if !entry.missed {
                continue;
            }
            let crossed = self.crossed(view.answers, &entry.entry);
            self.baseline.missed(now, crossed.into_iter().chain([entry.entry.as_str().into()]));
            *slot = entry.clone();
            let Some(mut judgement) = judgement else { continue };
            self.victims.seen(std::mem::take(&mut judgement.victims), view.stretch.to);
            if judgement.verdict == Verdict::Unknown && findings.bottlenecks.iter().any(|b| b.entry == entry.entry) {
                continue;
            }
            if judgement.at_limit {
                saturated.insert(judgement.service.clone(), judgement.undisturbed_share);
            }
            findings.bottlenecks.retain(|known| known.entry != entry.entry);
            findings.bottlenecks.push(self.bottleneck(&entry, judgement));
        }
        for (service, undisturbed_share) in saturated {
            if let Some(now_there) = view.services.get(&service) {
                let sample = Sample { undisturbed_share, seconds: view.stretch.seconds() };
                self.capacities.learn(&service, now_there, sample);
            }
        }
        findings.bottlenecks.sort_by(|a, b| b.blame_ms.total_cmp(&a.blame_ms).then_with(|| a.entry.cmp(&b.entry)));
    }

    /// The services an entry operation crosses. Just after a start the baseline knows no paths yet; those of the
    /// missed traces themselves do.
    pub(super) fn crossed(&self, answers: &Answers, entry: &str) -> BTreeSet<Text> {
        let blamed = answers.blame.iter().filter(|b| *b.entry == *entry).map(|b| b.service.clone());
        self.baseline.crossed_by(entry).into_iter().chain(blamed).collect()
    }

    pub(super) fn bottleneck(&self, entry: &EntryFinding, judgement: Judgement) -> Bottleneck {
        Bottleneck {
            entry: entry.entry.clone(),
            service: judgement.service.to_string(),
            operation: judgement.operation.to_string(),
            pod: judgement.pod.map(|p| p.to_string()),
            peer: judgement.peer.map(|p| p.to_string()),
            caller: judgement.caller.map(|c| c.to_string()),
            version: judgement.version.map(|v| v.to_string()),
            verdict: judgement.verdict,
            score: judgement.score,
            blame_ms: judgement.blame_ns as f64 / 1e6,
            p99_ms: entry.p99_ms,
            objective_ms: entry.objective_ms,
            missed_share: entry.missed_share,
            replicas: 0,
            replicas_needed: None,
            evidence: judgement.evidence,
            exemplars: self.exemplars.slowest(&entry.entry, EXEMPLARS),
        }
    }

    pub(super) fn say_services(
        &self,
        findings: &mut Findings,
        answers: &Answers,
        services: &BTreeMap<Text, ServiceState<'_>>,
        cluster: &ClusterState,
        now: Time,
    ) {
        let mut crossed: BTreeSet<Text> = BTreeSet::new();
        for entry in findings.entries.iter().filter(|e| e.missed) {
            crossed.extend(self.crossed(answers, &entry.entry));
        }
        // The newest second described lies this far back, and a growing load has grown on since; it will have grown
        // a little further when the change is made.
        let ahead_s = now.seconds_since(findings.complete_to).max(0.0) + AHEAD.as_secs_f64();
        findings.services = services
            .iter()
            .map(|(service, there)| {
                let workload = cluster.workload(service);
                let requests = there.sums.requests + there.sums.refused + there.sums.gave_up;
                let durations = answers.durations.get(service).cloned().unwrap_or_default();
                let expected = there.arrivals.ahead(ahead_s);
                let replicas = workload.map_or(there.pods.len() as u32, |w| w.replicas);
                let needed = self.capacities.replicas(service, expected, self.config.target_utilisation);
                // What was seen inside one window alone carries one bounded step, and none down.
                // Pods that still come are the answer to this need: twice those that serve, not twice those ordered.
                let ready = workload.map_or(replicas, |w| w.ready());
                let furthest = replicas.max(ready.saturating_mul(BLIND_STEP_FACTOR));
                let blind_step = |needed: u32| needed.clamp(replicas, furthest);
                let known = self.baseline.service(service).is_some();
                ServiceFinding {
                    service: ServiceId::from(&**service),
                    throughput_per_s: there.arrivals.throughput_per_s,
                    arrivals_per_s: there.arrivals.per_s,
                    error_share: there.sums.errors as f64 / requests.max(1) as f64,
                    p99_ms: quantile_ns(durations, 0.99) as f64 / 1e6,
                    waiting_ms: there.wait_s() * 1e3,
                    own_time_ms: there.own_s() * 1e3,
                    concurrency_per_pod: there.concurrency_per_pod(),
                    capacity_per_pod_per_s: self.capacities.per_pod(service),
                    replicas,
                    ready: workload.map_or(there.pods.len() as u32, |w| w.ready()),
                    replicas_needed: if known { needed } else { needed.map(blind_step) },
                    objective_missed: crossed.contains(service),
                    low_traffic: there.sums.requests < LOW_TRAFFIC_REQUESTS,
                    pod_start_s: self.starts.p95_s(&ServiceId::from(&**service)),
                }
            })
            .collect();
    }

    pub(super) fn complete_bottlenecks(&self, findings: &mut Findings, cluster: &ClusterState) {
        let services = &findings.services;
        for bottleneck in &mut findings.bottlenecks {
            let service = services.iter().find(|s| s.service.as_str() == bottleneck.service);
            bottleneck.replicas = service.map_or(0, |s| s.replicas);
            bottleneck.replicas_needed = service.and_then(|s| s.replicas_needed);
            let at_maximum = cluster.workload(&bottleneck.service).is_some_and(|w| w.replicas >= w.max_replicas);
            if bottleneck.verdict == Verdict::Saturated && at_maximum {
                bottleneck.verdict = Verdict::Exhausted;
            }
        }
    }
}
