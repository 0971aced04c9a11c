//! Who is to blame for an entry operation that misses its objective, and why.
//!
//! Starts at the node with the most blame and asks whose fault its time is: a queue in front of a service whose
//! workers are held by a slow callee is the callee's fault; a queue that the load alone would fill is its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::answers::{Answers, BlameAnswer, PodAnswer};
use super::arrivals::Arrivals;
use super::baseline::{Baseline, ServiceBaseline};
use super::findings::{Evidence, Verdict};
use super::rollup::{HealthSums, Merge};

type Text = Arc<str>;

/// Arrivals above this multiple of healthy time are "more load". Poisson noise and daily drift
/// within the minutes of a baseline stay below; a burst that hurts at 50 % utilisation is near 2.
const MORE_LOAD: f64 = 1.25;
/// With its callees as fast as in healthy time, the load would keep this share of the seen concurrency busy:
/// above, the queue is the service's own; below, it is a victim of what it calls.
const OWN_SHARE: f64 = 0.75;
/// Time a request spends in a place has grown: well clear of noise, small against what misses an objective.
const GROWN: f64 = 1.5;
/// One pod is far from its siblings.
const FAR: f64 = 3.0;
/// A slow callee's callee's callee … is followed this far; graphs of services are seldom deeper.
const DEPTH_MAX: usize = 8;
/// Requests of a pod below which its mean says nothing.
const POD_REQUESTS: i64 = 5;

/// The service blamed, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    pub service: Text,
    pub operation: Text,
    pub pod: Option<Text>,
    pub peer: Option<Text>,
    pub verdict: Verdict,
    pub score: f64,
    pub blame_ns: i64,
    pub evidence: Vec<Evidence>,
    /// The share of a request's hold that is not inflated by slow callees: capacity is corrected by it.
    pub undisturbed_share: f64,
}

/// What is known of a service now: sums over the fast window and the pods that served.
#[derive(Clone, Debug, Default)]
pub struct ServiceNow<'a> {
    pub sums: HealthSums,
    pub pods: &'a [PodAnswer],
    pub arrivals: Arrivals,
}

impl ServiceNow<'_> {
    fn per_request(&self, nanos: i64) -> f64 {
        nanos as f64 / 1e9 / self.sums.requests.max(1) as f64
    }

    pub fn hold_s(&self) -> f64 {
        self.per_request(self.sums.hold_ns)
    }

    pub fn own_s(&self) -> f64 {
        self.per_request(self.sums.own_ns)
    }

    /// Waiting for each request that was taken or given up.
    pub fn wait_s(&self) -> f64 {
        self.sums.wait_ns as f64 / 1e9 / (self.sums.requests + self.sums.gave_up).max(1) as f64
    }

    /// Requests in service at once, a pod (Little's law on throughput and hold).
    pub fn concurrency_per_pod(&self) -> f64 {
        self.arrivals.throughput_per_s * self.hold_s() / self.pods.len().max(1) as f64
    }
}

pub struct Judge<'a> {
    pub answers: &'a Answers,
    pub baseline: &'a Baseline,
    pub now: &'a BTreeMap<Text, ServiceNow<'a>>,
}

impl Judge<'_> {
    /// The judgement for one entry operation; None when no time can be blamed on anybody.
    pub fn judge(&self, entry: &str) -> Option<Judgement> {
        let rows: Vec<&BlameAnswer> = self.answers.blame.iter().filter(|b| *b.entry == *entry).collect();
        let total: i64 = rows.iter().map(|b| b.blame_ns).sum();
        let mut by_service: BTreeMap<&Text, i64> = BTreeMap::new();
        rows.iter().for_each(|b| *by_service.entry(&b.service).or_default() += b.blame_ns);
        let (service, blame_ns) = by_service.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(a.0)))?;
        let mut judgement = self.judge_service(service, &rows, 0);
        // Followed to a callee: the blame that was seen at the victim is its doing as well.
        let own_blame: i64 = rows.iter().filter(|b| b.service == judgement.service).map(|b| b.blame_ns).sum();
        judgement.blame_ns = if judgement.service == *service { blame_ns } else { blame_ns + own_blame };
        judgement.score = judgement.blame_ns as f64 / total.max(1) as f64;
        if judgement.operation.is_empty() {
            let of_service = rows.iter().filter(|b| b.service == judgement.service);
            judgement.operation = of_service.map(|b| b.operation.clone()).find(|o| !o.is_empty()).unwrap_or_default();
        }
        Some(judgement)
    }

    fn judge_service(&self, service: &Text, rows: &[&BlameAnswer], depth: usize) -> Judgement {
        let blame = |kind: &str| -> i64 {
            rows.iter().filter(|b| b.service == *service && &*b.kind == kind).map(|b| b.blame_ns).sum()
        };
        let (own, queue, peer) = (blame("own"), blame("queue"), blame("peer"));
        let (refused, error) = (blame("refused"), blame("error"));
        let unknown = Judgement { service: service.clone(), verdict: Verdict::Unknown, ..Judgement::default() };
        let Some(now) = self.now.get(service) else { return unknown };
        let baseline = self.baseline.service(service);
        let mut judgement = Judgement { evidence: evidence(now, baseline), ..unknown };
        judgement.undisturbed_share = 1.0;
        if let Some(pod) = bad_pod(now, baseline) {
            judgement.verdict = Verdict::BadInstance;
            judgement.pod = Some(pod);
            return judgement;
        }
        if error > own + queue + peer + refused {
            judgement.verdict = Verdict::Failing;
            return judgement;
        }
        if peer > own + queue + refused {
            return self.slow_peer(judgement, service, rows);
        }
        let Some(baseline) = baseline else {
            judgement.verdict = verdict_within_the_window(now, queue + refused >= own + peer);
            return judgement;
        };
        let pods = now.pods.len().max(1) as f64;
        let arrivals_per_pod = now.arrivals.per_s / pods;
        // For each pod, or in all: after a scale-out a pod may get no more than it used to and still be behind.
        let more_load =
            arrivals_per_pod > MORE_LOAD * baseline.rate_per_pod() || now.arrivals.per_s > MORE_LOAD * baseline.rate();
        if queue + refused >= own {
            // What its workers would be busy with, were its callees as fast as ever.
            let undisturbed_s = now.own_s() + baseline.callees_s();
            let seen = now.concurrency_per_pod();
            let own_share = if seen > 0.0 { arrivals_per_pod * undisturbed_s / seen } else { 0.0 };
            judgement.evidence.push(Evidence {
                measure: "own_share_of_concurrency".into(),
                now: own_share,
                baseline: None,
            });
            judgement.undisturbed_share = (undisturbed_s / now.hold_s().max(1e-9)).clamp(0.0, 1.0);
            if own_share < OWN_SHARE {
                return self.follow_callee(judgement, service, rows, depth);
            }
        }
        judgement.verdict = if more_load && most_pods_suffer(now, baseline) {
            Verdict::Saturated
        } else if self.new_version_is_slow(service, now, baseline) {
            Verdict::Regression
        } else {
            Verdict::Unknown
        };
        judgement
    }

    /// A caller's span that nobody answers has the most blame.
    fn slow_peer(&self, judgement: Judgement, service: &Text, rows: &[&BlameAnswer]) -> Judgement {
        let worst = rows.iter().find(|b| b.service == *service && &*b.kind == "peer");
        Judgement {
            verdict: Verdict::SlowDependency,
            peer: worst.map(|b| b.peer.clone()),
            operation: worst.map(|b| b.operation.clone()).unwrap_or_default(),
            ..judgement
        }
    }

    /// Its workers are held by what it calls: the callee whose calls grew most is the place to look.
    fn follow_callee(&self, victim: Judgement, service: &Text, rows: &[&BlameAnswer], depth: usize) -> Judgement {
        let grown = |callee: &Text, now_ns: i64, calls: i64| {
            let now = now_ns as f64 / calls.max(1) as f64;
            let healthy = self.baseline.edge(service, callee).map(|e| e.caller_ns as f64 / e.calls.max(1) as f64);
            (now - healthy.unwrap_or(now), now / healthy.unwrap_or(now).max(1.0))
        };
        let edges = self.answers.edges.get(service).map_or(&[][..], Vec::as_slice);
        let worst = edges
            .iter()
            .map(|edge| {
                let (excess, factor) = grown(&edge.callee, edge.sums.caller_ns, edge.sums.calls);
                (edge, excess * edge.sums.calls as f64, factor)
            })
            .filter(|(_, _, factor)| *factor > GROWN)
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.callee.cmp(&a.0.callee)));
        match worst {
            Some((edge, _, factor)) => {
                let growth = Evidence { measure: "callee_time_factor".into(), now: factor, baseline: Some(1.0) };
                if self.now.contains_key(&edge.callee) && depth < DEPTH_MAX {
                    let mut judgement = self.judge_service(&edge.callee, rows, depth + 1);
                    judgement.evidence.push(growth);
                    return judgement;
                }
                let mut evidence = victim.evidence;
                evidence.push(growth);
                let peer = Some(edge.callee.clone());
                Judgement { verdict: Verdict::SlowDependency, peer, evidence, ..victim }
            }
            None => victim,
        }
    }

    fn new_version_is_slow(&self, service: &Text, now: &ServiceNow<'_>, baseline: ServiceBaseline) -> bool {
        let mut new = HealthSums::default();
        let unknown = now.pods.iter().filter(|p| !self.baseline.knows_version(service, &p.version));
        unknown.for_each(|p| new.merge(&p.sums));
        let own_s = new.own_ns as f64 / 1e9 / new.requests.max(1) as f64;
        new.requests >= POD_REQUESTS && own_s > GROWN * baseline.own_s()
    }
}

/// Load is felt by all pods; what most of them do not feel is the matter of one.
fn most_pods_suffer(now: &ServiceNow<'_>, baseline: ServiceBaseline) -> bool {
    let healthy_s = baseline.hold_s() + baseline.wait_s();
    let suffers = |p: &&PodAnswer| {
        let taken_s = (p.sums.hold_ns + p.sums.wait_ns) as f64 / 1e9 / p.sums.requests.max(1) as f64;
        p.sums.refused > 0 || taken_s > GROWN * healthy_s
    };
    2 * now.pods.iter().filter(suffers).count() > now.pods.len()
}

/// Without a baseline (just after a start) only what the window itself shows counts: requests that wait longer
/// than they are served, at a service whose own work holds its workers. Anything else stays unknown.
fn verdict_within_the_window(now: &ServiceNow<'_>, waiting_dominates: bool) -> Verdict {
    let (hold_s, own_s) = (now.hold_s(), now.own_s());
    let turned_away = now.sums.refused + now.sums.gave_up;
    let queues = now.wait_s() > hold_s || turned_away > now.sums.requests;
    if waiting_dominates && queues && own_s > hold_s / 2.0 { Verdict::Saturated } else { Verdict::Unknown }
}

/// The one pod whose own work is far slower than its siblings', while these are as they always were. Own work: a
/// pod that merely waits longer for a callee than its siblings do has met the callee's trouble, not its own.
fn bad_pod(now: &ServiceNow<'_>, baseline: Option<ServiceBaseline>) -> Option<Text> {
    let mean = |p: &PodAnswer| p.sums.own_ns as f64 / 1e9 / p.sums.requests.max(1) as f64;
    let mut pods: Vec<&PodAnswer> = now.pods.iter().filter(|p| p.sums.requests >= POD_REQUESTS).collect();
    pods.sort_by(|a, b| mean(b).total_cmp(&mean(a)).then(a.pod.cmp(&b.pod)));
    let (worst, siblings) = pods.split_first()?;
    let middle = mean(siblings.get(siblings.len() / 2)?);
    let healthy = baseline.map_or(middle, |b| b.own_s());
    // Siblings that suffer too mean that the load, not the pod, is the matter.
    (mean(worst) > FAR * middle && middle < GROWN * healthy).then(|| worst.pod.clone())
}

fn evidence(now: &ServiceNow<'_>, baseline: Option<ServiceBaseline>) -> Vec<Evidence> {
    let fact =
        |measure: &str, now: f64, healthy: Option<f64>| Evidence { measure: measure.into(), now, baseline: healthy };
    let pods = now.pods.len().max(1) as f64;
    let mut facts = vec![
        fact("arrivals_per_pod_per_s", now.arrivals.per_s / pods, baseline.map(|b| b.rate_per_pod())),
        fact("throughput_per_pod_per_s", now.arrivals.throughput_per_s / pods, baseline.map(|b| b.rate_per_pod())),
        fact("waiting_ms", now.wait_s() * 1e3, baseline.map(|b| b.wait_s() * 1e3)),
        fact("own_time_ms", now.own_s() * 1e3, baseline.map(|b| b.own_s() * 1e3)),
        fact("callees_time_ms", (now.hold_s() - now.own_s()).max(0.0) * 1e3, baseline.map(|b| b.callees_s() * 1e3)),
        fact("concurrency_per_pod", now.concurrency_per_pod(), baseline.map(|b| b.rate_per_pod() * b.hold_s())),
    ];
    let turned_away = now.sums.refused + now.sums.gave_up;
    if turned_away > 0 {
        let all = (now.sums.requests + turned_away) as f64;
        facts.push(fact("refused_or_given_up_share", turned_away as f64 / all, Some(0.0)));
    }
    facts
}
