//! Why a suspect is slow or failing, as far as two stretches of time can tell: else the verdict is `unknown`.

use std::collections::BTreeMap;

use super::callees::{Callees, OutcomeTable, Outcomes};
use super::durations::Durations;
use super::profile::{Profile, Slowest};
use super::services::{Candidate, Party};
use crate::analyse::findings::{Evidence, Verdict};
use crate::analyse::thresholds::change::{
    AMPLIFICATION_MIN, LOAD_GROWTH_MIN, SCORE_MIN, TIME_MIN, UNANSWERED_BY_PEER_MIN, UNANSWERED_MIN,
    VERDICT_DEVIATIONS, VERSION_SHARE_MIN,
};
use crate::model::TraceId;

/// What one party was like in one stretch of time; means in milliseconds.
#[derive(Default)]
pub(super) struct Facts<'a> {
    requests: f64,
    observed_s: f64,
    pods: BTreeMap<&'a str, f64>,
    versions: BTreeMap<&'a str, f64>,
    own_ms: Option<f64>,
    waiting_ms: Option<f64>,
    calls_waiting_ms: Option<f64>,
    calls_per_request: Option<f64>,
    error_share: Option<f64>,
    /// Of the calls to it, those that fail for the caller alone.
    failed_calls_share: Option<f64>,
    /// Of them, those of callers whom it hardly answers.
    unanswered_share: Option<f64>,
}

/// Calls to a service, and how many the callers' requests would have made in healthy time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Demand {
    calls: f64,
    expected: f64,
}

impl<'a> Facts<'a> {
    pub fn of(party: Party<'a>, profile: &'a Profile, calls: &OutcomeTable<'_>) -> Facts<'a> {
        let to_it = || calls.iter().filter(|((_, callee), _)| *callee == party).map(|(_, outcomes)| outcomes);
        let sum = |part: fn(&Outcomes) -> f64| to_it().map(part).sum::<f64>();
        let unanswered = to_it().filter(|outcomes| outcomes.refused >= UNANSWERED_MIN * outcomes.calls);
        let mut facts = Facts {
            observed_s: profile.observed_s(),
            failed_calls_share: share(sum(Outcomes::failed), sum(|outcomes| outcomes.calls)),
            unanswered_share: share(unanswered.map(|o| o.refused).sum(), sum(Outcomes::failed)),
            ..Facts::default()
        };
        if party.is_peer {
            let mut durations = Durations::default();
            let mut errors = 0;
            for (_, calls) in profile.peers.iter().filter(|(key, _)| Party::of_peer(key) == party) {
                durations.merge(&calls.durations);
                errors += calls.errors;
            }
            facts.requests = durations.count() as f64;
            facts.waiting_ms = mean_ms(&durations, durations.count() as f64);
            facts.error_share = share(errors as f64, facts.requests);
            facts.failed_calls_share = None;
            return facts;
        }
        let here = |service: &str| service == party.name;
        for ((_, pod, version), &requests) in profile.visits.iter().filter(|((service, ..), _)| here(service)) {
            let requests = requests as f64;
            facts.requests += requests;
            *facts.pods.entry(pod).or_default() += requests;
            *facts.versions.entry(version).or_default() += requests;
        }
        let mut own = Durations::default();
        profile.own.iter().filter(|(key, _)| here(&key.service)).for_each(|(_, d)| own.merge(d));
        facts.own_ms = mean_ms(&own, facts.requests);
        let (mut calls_in, mut calls_out) = (Durations::default(), Durations::default());
        for ((call, _), durations) in &profile.gaps_by_callee {
            if here(&call.callee) {
                calls_in.merge(&durations.positive());
            }
            if here(&call.caller) {
                calls_out.merge(&durations.positive());
            }
        }
        facts.waiting_ms = mean_ms(&calls_in, calls_in.count() as f64);
        facts.calls_waiting_ms = mean_ms(&calls_out, calls_out.count() as f64);
        let made = profile.children.iter().filter(|((service, _), _)| here(service)).flat_map(|(_, c)| c);
        let made: u64 = made.filter(|(child, _)| !here(&child.service)).map(|(_, counts)| counts.children).sum();
        facts.calls_per_request = share(made as f64, facts.requests);
        let (mut spans, mut errors) = (0, 0);
        for (_, counts) in profile.spans.iter().filter(|((service, _), _)| here(service)) {
            spans += counts.spans;
            errors += counts.errors;
        }
        facts.error_share = share(errors as f64, spans as f64);
        facts
    }

    pub fn only_pod(&self) -> Option<&'a str> {
        let mut pods = self.pods.keys();
        pods.next().copied().filter(|pod| !pod.is_empty() && pods.next().is_none())
    }

    /// Most of the calls that fail are those of callers that it does not answer, as it did.
    fn is_unreachable(&self, before: &Facts<'_>) -> bool {
        let failed = |facts: &Facts<'_>| facts.failed_calls_share.or(facts.error_share).unwrap_or(0.0);
        let is_cut_off = self.unanswered_share.is_some_and(|share| share > 0.5);
        // Of somebody without spans only success tells that it is there, and slow.
        let is_gone = self.failed_calls_share.is_some() || failed(self) > UNANSWERED_BY_PEER_MIN;
        is_cut_off && is_gone && failed(before) < UNANSWERED_MIN * failed(self)
    }

    fn throughput_per_pod(&self) -> Option<f64> {
        share(self.requests / self.pods.len().max(1) as f64, self.observed_s).filter(|rate| *rate > 0.0)
    }
}

fn mean_ms(durations: &Durations, over: f64) -> Option<f64> {
    share(durations.mean_ns() * durations.count() as f64 / 1e6, over)
}

fn share(part: f64, all: f64) -> Option<f64> {
    (all > 0.0).then(|| part / all)
}

/// The calls that all callers' operations make to a service, against those they made in healthy time.
pub(super) fn demand(party: Party<'_>, baseline: &Profile, incident: &Profile) -> Demand {
    let calls = |profile: &Profile, operation: &_| {
        let rows = profile.children.get(operation).into_iter().flatten();
        let calls = rows.filter(|(child, _)| child.answered_by.is_some() && *child.service == *party.name);
        calls.map(|(_, counts)| counts.children as f64).sum::<f64>()
    };
    let mut demand = Demand { calls: 0.0, expected: 0.0 };
    for (operation, counts) in incident.spans.iter().filter(|_| !party.is_peer) {
        // Callers that healthy time did not have say nothing of how often they would call.
        if let Some(before) = baseline.spans.get(operation).filter(|before| before.spans > 0) {
            demand.calls += calls(incident, operation);
            demand.expected += calls(baseline, operation) / before.spans as f64 * counts.spans as f64;
        }
    }
    demand
}

pub(super) fn verdict(
    party: Party<'_>,
    candidate: &Candidate<'_>,
    score: f64,
    before: &Facts<'_>,
    now: &Facts<'_>,
    demand: Demand,
) -> Verdict {
    let components = &candidate.components;
    let strongest = |logs: &[Option<f64>]| logs.iter().flatten().copied().fold(0.0, f64::max);
    let time = strongest(&[components.own, components.calls_in, components.calls_out]);
    let (refused, shape) = (strongest(&[components.refused]), strongest(&[components.lost, components.failing]));
    let cut_off = strongest(&[components.cut_off]);
    let asks_more = strongest(&[components.asks_more]);
    let failure = shape.max(refused).max(cut_off);
    let fails_in_time = time < TIME_MIN;
    if score < SCORE_MIN || time.max(failure).max(asks_more) <= 0.0 {
        Verdict::Unknown
    } else if refused > 0.0 && now.is_unreachable(before) {
        Verdict::Unreachable
    } else if asks_more > time.max(failure) {
        Verdict::Amplification
    } else if fails_in_time && refused > shape.max(cut_off).max(time) {
        // Some of the calls to it are lost, and the others as fast as ever.
        Verdict::Unreachable
    } else if shape > time || fails_in_time && refused.max(cut_off) > time {
        Verdict::Failing
    } else if party.is_peer {
        Verdict::SlowDependency
    } else if candidate.pod.is_some() {
        Verdict::BadInstance
    } else if amplified(demand) {
        Verdict::Amplification
    } else if load_grew(before, now) {
        Verdict::Saturated
    } else if !load_is_known(before, now) {
        Verdict::Unknown
    } else if new_version(before, now) {
        Verdict::Regression
    } else {
        Verdict::Degraded
    }
}

fn amplified(demand: Demand) -> bool {
    let chance = VERDICT_DEVIATIONS * demand.expected.max(1.0).sqrt();
    demand.expected > 0.0
        && demand.calls > AMPLIFICATION_MIN * demand.expected
        && demand.calls - demand.expected > chance
}

/// Of a sample nobody knows what it was taken from: a new version may be slow for its load.
fn load_is_known(before: &Facts<'_>, now: &Facts<'_>) -> bool {
    before.throughput_per_pod().is_some() && now.throughput_per_pod().is_some()
}

/// More requests for each pod than in healthy time. Counts are Poisson: the variance is the count.
fn load_grew(before: &Facts<'_>, now: &Facts<'_>) -> bool {
    let (Some(old), Some(new)) = (before.throughput_per_pod(), now.throughput_per_pod()) else { return false };
    let variance = new * new / now.requests + old * old / before.requests;
    new > LOAD_GROWTH_MIN * old && new - old > VERDICT_DEVIATIONS * variance.sqrt()
}

fn new_version(before: &Facts<'_>, now: &Facts<'_>) -> bool {
    // Both times tell their version, or nothing can be said.
    if before.versions.contains_key("") || before.versions.is_empty() {
        return false;
    }
    let new = now.versions.iter().filter(|(version, _)| !version.is_empty() && !before.versions.contains_key(*version));
    new.map(|(_, requests)| requests).sum::<f64>() > VERSION_SHARE_MIN * now.requests
}

/// The measures of both times, for those that were measured now.
pub(super) fn evidence(before: &Facts<'_>, now: &Facts<'_>, demand: Demand) -> Vec<Evidence> {
    let measures = [
        ("own_time_ms", now.own_ms, before.own_ms),
        ("waiting_ms", now.waiting_ms, before.waiting_ms),
        ("calls_waiting_ms", now.calls_waiting_ms, before.calls_waiting_ms),
        ("calls_per_request", now.calls_per_request, before.calls_per_request),
        ("calls_received", (demand.expected > 0.0).then_some(demand.calls), Some(demand.expected)),
        ("error_share", now.error_share, before.error_share),
        ("failed_calls_share", now.failed_calls_share.filter(|share| *share > 0.0), before.failed_calls_share),
        ("throughput_per_pod_per_s", now.throughput_per_pod(), before.throughput_per_pod()),
    ];
    let told = measures
        .into_iter()
        .filter_map(|(measure, now, baseline)| now.map(|now| Evidence { measure: measure.to_owned(), now, baseline }));
    told.collect()
}

impl Profile {
    /// The traces in which a party took longest.
    pub(super) fn exemplars(&self, party: Party<'_>, callees: &Callees<'_>) -> Vec<TraceId> {
        let mut slowest = Slowest::default();
        if !party.is_peer {
            slowest = self.slowest.get(party.name).cloned().unwrap_or_default();
        }
        let calls = self.peers.iter().filter(|(key, _)| callees.party(key) == Some(party));
        calls.for_each(|(_, calls)| slowest.merge(&calls.slowest));
        slowest.traces()
    }
}
