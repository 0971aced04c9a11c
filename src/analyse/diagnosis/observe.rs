//! From the answers of a window to what was observed.

use std::collections::{BTreeMap, BTreeSet};

use super::amplification::amplification;
use super::graph::Graph;
use super::observed::{AskedMore, Blame, BlameKind, Calls, Endpoint, Growth, Here, Observed, Part, Pod, Times};
use super::service_state::ServiceState;
use super::signs::Signs;
use crate::analyse::learned::Operations;
use crate::analyse::learned::baseline::{Baseline, ServiceBaseline};
use crate::analyse::rollup::window_totals::{Answers, BlameAnswer};
use crate::analyse::rollup::{HealthSums, PathKind, Sums};
use crate::analyse::thresholds::observe::*;
use crate::analyse::thresholds::pods::SILENT;
use crate::analyse::trace::SegmentKind;
use crate::model::Text;

/// What is needed to set a window beside healthy time.
pub struct Window<'a> {
    pub answers: &'a Answers,
    pub states: &'a BTreeMap<Text, ServiceState<'a>>,
    pub baseline: &'a Baseline,
    pub operations: &'a Operations,
}

/// A window with all that it shows.
pub struct Shown {
    pub observed: Observed,
    pub signs: Signs,
    pub graph: Graph,
}

/// The calls of a pair, summed over the caller's operations.
#[derive(Default)]
struct PairSums {
    calls: f64,
    errors: f64,
    /// Errors of calls that no span answers.
    untaken: f64,
    expected: f64,
    /// Of calls whose healthy length is known: how many, how long they took, and how long healthy ones take.
    known: f64,
    now_ns: f64,
    healthy_ns: f64,
}

impl Observed {
    pub fn of(window: &Window<'_>) -> Observed {
        let mut pairs: BTreeMap<(Text, Text), PairSums> = BTreeMap::new();
        let mut failed_calls: BTreeMap<&Text, f64> = BTreeMap::new();
        for (caller, edges) in &window.answers.edges {
            for edge in edges {
                let sums = pairs.entry((caller.clone(), edge.callee.clone())).or_default();
                let calls = edge.sums.calls as f64;
                sums.calls += calls;
                sums.errors += edge.sums.errors as f64;
                sums.untaken += if edge.answered { 0.0 } else { edge.sums.errors as f64 };
                sums.expected += edge.sums.expected_milli as f64 / 1e3;
                *failed_calls.entry(caller).or_default() += edge.sums.errors as f64;
                // Of calls that nobody answered only the caller's patience is seen, unless nobody there ever sends spans.
                let is_timed = edge.answered || !window.sends_spans(&edge.callee);
                let call_ns = window.operations.call_ns(caller, &edge.operation, &edge.callee);
                if let Some(call_ns) = call_ns.filter(|_| is_timed) {
                    sums.known += calls;
                    sums.now_ns += edge.sums.caller_ns as f64;
                    sums.healthy_ns += calls * call_ns;
                }
            }
        }
        let calls = pairs.into_iter().map(|(pair, sums)| {
            let is_peer = !window.sends_spans(&pair.1);
            (pair, sums.calls_of(is_peer))
        });
        let here = |(name, state): (&Text, &ServiceState<'_>)| {
            let failed = failed_calls.get(name).copied().unwrap_or(0.0);
            (name.clone(), window.here(name, state, failed))
        };
        Observed { calls: calls.collect(), services: window.states.iter().map(here).collect() }
    }
}

impl PairSums {
    fn calls_of(self, is_peer: bool) -> Calls {
        let known = self.known.max(1.0);
        let longer = Growth::of((self.now_ns / known, known), (self.healthy_ns / known, HEALTHY_CALLS), 0.0, 1.0);
        let made = (self.calls, self.calls);
        Calls {
            is_peer,
            longer: (self.known > 0.0 && self.healthy_ns > 0.0).then_some(longer),
            failed: Part { now: self.errors, all: self.calls, healthy: 0.0, healthy_all: HEALTHY_OUTCOMES },
            untaken: self.untaken,
            more: (self.expected > 0.0).then(|| Growth::of(made, (self.expected, self.expected), 0.5, 1.0)),
        }
    }
}

impl Window<'_> {
    fn sends_spans(&self, callee: &Text) -> bool {
        self.states.contains_key(callee) || self.baseline.service(callee).is_some()
    }

    pub fn shown(&self) -> Shown {
        let observed = Observed::of(self);
        let healthy = self.operations.pairs().map(|(caller, callee)| (caller.clone(), callee.clone()));
        let graph = Graph::new(healthy.chain(observed.calls.keys().cloned()));
        Shown { signs: Signs::of(&observed), observed, graph }
    }

    fn here(&self, name: &Text, state: &ServiceState<'_>, failed_calls: f64) -> Here {
        let baseline = self.baseline.service(name);
        let (sums, healthy) = (&state.sums, baseline.map(|b| b.sums).unwrap_or_default());
        let by_pods: i64 = state.pods.iter().map(|pod| pod.sums.refused).sum();
        let count = |sums: &HealthSums| (sums.requests + sums.refused + sums.gave_up) as f64;
        let part = |now: f64, was: i64| Part {
            now: now.max(0.0),
            all: count(sums),
            healthy: was.max(0) as f64,
            healthy_all: count(&healthy),
        };
        // Calls that ended without an answer are errors of nobody yet, and one that failed is passed on.
        let in_vain = |sums: &HealthSums| sums.refused + sums.gave_up;
        let begun = (sums.errors - in_vain(sums)) as f64 - failed_calls;
        let seconds = self.answers.services.get(name).map_or(&[][..], Vec::as_slice);
        let pods = self.pods_of(name, state, baseline);
        let oddest = state.pods.len() > 1 && !pods.is_empty();
        let slowest = pods.iter().filter_map(|pod| Some((pod.slower?.log, &pod.pod)));
        let slowest = slowest.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1))).map(|(_, pod)| pod);
        let others = slowest.filter(|_| oddest).map(|slowest| {
            let mut sums = HealthSums::default();
            state.pods.iter().filter(|pod| pod.pod != *slowest).for_each(|pod| sums.merge(&pod.sums));
            times(&sums, baseline)
        });
        let slow_version = baseline.and_then(|b| state.slow_new_version(name, self.baseline, b));
        // A release of which no pod answers is not slow, and is not well.
        let hung = state.new_version(name, self.baseline).filter(|_| baseline.is_some() && state.is_hung_release());
        let by_itself = baseline.is_none().then(|| state.queues_by_itself()).filter(|queues| *queues);
        let by_itself = by_itself.map(|_| Growth { log: QUEUES_BY_ITSELF, variance: 0.0 });
        // Waiting in vain is waiting for as long as callers have patience: of the answered, pods tell.
        let is_timed = !state.pods.is_empty() || sums.gave_up == 0;
        let waited_ns = state.pods.iter().map(|pod| pod.sums.wait_ns).sum();
        let waited_ns = if state.pods.is_empty() { sums.wait_ns } else { waited_ns };
        let all = times(&HealthSums { wait_ns: waited_ns, ..*sums }, baseline);
        Here {
            times: Times { wait: all.wait.filter(|_| is_timed).or(by_itself), ..all },
            others,
            pods,
            load: baseline.and_then(|b| state.load_growth(b)).or(by_itself),
            own_share: state.own_share(),
            queue_grows: state.arrivals.waiting_grows,
            refused: part(by_pods as f64, 0),
            vain: part((in_vain(sums) - by_pods) as f64, healthy.gave_up),
            errors: Part { all: sums.requests as f64, ..part(begun, healthy.errors - in_vain(&healthy)) },
            is_gone: state.is_unreachable(seconds, baseline),
            slow_version: slow_version.or(hung.cloned()),
            asked_more: amplification(self.answers, name).map(|more| AskedMore {
                by_caller: more.by_caller.factor().max(1.0).ln(),
                by_all: more.factor.max(1.0).ln(),
                caller: more.caller,
            }),
        }
    }

    /// Each pod beside its siblings. While some came lately none is odd: they warm up, and old ones beside them have the longer
    /// queue. The first pod of a release is no bad pod among its siblings: the next one will be the same.
    fn pods_of(&self, name: &Text, state: &ServiceState<'_>, baseline: Option<ServiceBaseline>) -> Vec<Pod> {
        let is_young = state.pods.iter().any(|pod| state.pod_health.young.contains(&pod.pod));
        if is_young || state.pods.is_empty() {
            return Vec::new();
        }
        let by_pods: i64 = state.pods.iter().map(|pod| pod.sums.refused).sum();
        let lost = (state.sums.gave_up + state.sums.refused - by_pods) as f64;
        let is_held = baseline.is_some_and(|b| state.waits_for_callees(b));
        let missing = |pod: &Text| {
            let expected = state.pod_health.expected.get(pod).copied().unwrap_or(0.0);
            let served = state.pods.iter().find(|p| p.pod == *pod).map_or(0, |p| p.sums.requests) as f64;
            let is_silent = lost > 0.0 && served < SILENT * expected && !is_held;
            if is_silent { expected.min(lost) } else { 0.0 }
        };
        let healthy = baseline.map(|b| b.sums).unwrap_or_default();
        let seen: BTreeSet<&Text> =
            state.pods.iter().map(|pod| &pod.pod).chain(state.pod_health.expected.keys()).collect();
        if seen.len() < 2 {
            return Vec::new();
        }
        let beside = |pod: &Text| {
            let (mut mine, mut others) = (HealthSums::default(), HealthSums::default());
            for seen in state.pods {
                if seen.pod == *pod { mine.merge(&seen.sums) } else { others.merge(&seen.sums) }
            }
            let slower = mine.own_log_mean().filter(|_| others.compared > 1).zip(others.own_log_mean());
            let slower = slower.map(|((log, spread), (usual, usual_spread))| {
                let healthy_spread = healthy.own_log_mean().map_or(usual_spread, |(_, spread)| spread);
                // The spread of few requests is worth little, and one pod alone may be what spreads.
                let spread = if mine.compared > FEW_COMPARED { spread } else { 0.0 };
                let usual_spread = usual_spread.max(healthy_spread);
                let variance = spread.max(usual_spread) / mine.compared as f64 + usual_spread / others.compared as f64;
                Growth { log: log - usual, variance }
            });
            let siblings = own_growth(&others, &healthy);
            let is_new = baseline.is_some() && state.is_new(pod, name, self.baseline);
            let new_version = is_new.then(|| state.version_of(pod).cloned().unwrap_or_default());
            Pod {
                pod: pod.clone(),
                new_version,
                compared: mine.compared as f64,
                slower,
                siblings,
                missing: missing(pod),
            }
        };
        seen.into_iter().map(beside).collect()
    }

    /// What one endpoint is about.
    pub fn endpoint(&self, entry: &str, missed: f64, crossed: BTreeSet<Text>) -> Endpoint {
        let rows: Vec<&BlameAnswer> = self.answers.blame.iter().filter(|row| *row.entry == *entry).collect();
        let all: i64 = rows.iter().map(|row| row.blame_ns).sum();
        let share = |row: &BlameAnswer| row.blame_ns as f64 / all.max(1) as f64;
        Endpoint { crossed, missed, blame: rows.into_iter().map(|row| Blame::of(row, share(row))).collect() }
    }
}

impl Blame {
    /// Of a row that is this part of all.
    pub fn of(row: &BlameAnswer, share: f64) -> Blame {
        let kind = match row.kind {
            PathKind::Time(SegmentKind::Own) => BlameKind::Own,
            PathKind::Time(SegmentKind::Peer) => BlameKind::Peer,
            PathKind::Time(SegmentKind::Queue) | PathKind::Refused | PathKind::GaveUp => BlameKind::NoRoom,
            PathKind::Error => BlameKind::Error,
        };
        let peer = Some(row.peer.clone()).filter(|peer| !peer.is_empty());
        Blame { service: row.service.clone(), peer, kind, share }
    }
}

/// How long these requests take beside healthy ones.
fn times(sums: &HealthSums, baseline: Option<ServiceBaseline>) -> Times {
    let healthy = baseline.map(|b| b.sums).unwrap_or_default();
    Times {
        own: own_growth(sums, &healthy),
        own_mean: own_mean_growth(sums, &healthy),
        wait: baseline.filter(|_| sums.requests > 0).map(|b| wait_growth(sums, b)),
    }
}

/// By the logarithm of single requests, which one slow one hardly moves.
fn own_growth(now: &HealthSums, healthy: &HealthSums) -> Option<Growth> {
    if now.compared < 2 || healthy.compared < 2 {
        return None;
    }
    let ((log, spread), (usual, usual_spread)) = (now.own_log_mean()?, healthy.own_log_mean()?);
    let variance = spread.max(usual_spread) / now.compared as f64 + usual_spread / healthy.compared as f64;
    Some(Growth { log: log - usual, variance })
}

/// By the mean, which one slow operation of many moves as well. Of times whose logarithms spread by `s²`, the variance of one
/// over the square of the mean is `exp(s²) - 1` (lognormal).
fn own_mean_growth(now: &HealthSums, healthy: &HealthSums) -> Option<Growth> {
    let compared = now.compared.max(1) as f64;
    let of = |nanos: i64| nanos as f64 / compared;
    let spread = [now, healthy].into_iter().filter_map(|sums| Some(sums.own_log_mean()?.1)).fold(0.0, f64::max);
    let spread = spread.min(LOG_SPREAD_MAX).exp_m1();
    let growth = Growth::of((of(now.compared_own_ns), compared), (of(now.expected_own_ns), HEALTHY_CALLS), 0.0, spread);
    (now.expected_own_ns > 0).then_some(growth)
}

fn wait_growth(sums: &HealthSums, baseline: ServiceBaseline) -> Growth {
    let taken = sums.requests.max(1) as f64;
    let healthy = (baseline.wait_s(), baseline.sums.requests as f64);
    let least = WAIT_SHARE_MIN * baseline.hold_s() + WAIT_MIN_S;
    Growth::of((sums.wait_ns as f64 / 1e9 / taken, taken), healthy, least, 1.0)
}
