//! Evidence of one key: how much better a fault explains an operation's or a call's durations than healthy drift.
//!
//! Everything is a log-likelihood ratio. Durations are compared by the mean of their logarithms, so a quiet service
//! that trebled outweighs a busy one that gained two per cent.

use std::collections::BTreeMap;

use super::callees::Callees;
use super::durations::{Durations, Moments};
use super::parameters::Parameters;
use super::profile::{CHILDREN_MAX, CallKind, Profile};
use super::services::Party;
use crate::analyse::statistics::mathematics::{MEDIAN_SQUARE, median, student3};
use crate::analyse::thresholds::change::{LOSS_MIN, SPREAD_CALLS_MIN, STEPS_MAX, WHOLE_MIN, WHOLE_SHARE_MIN};

/// What durations are compared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key<'a> {
    /// Exclusive time.
    Own { service: &'a str, operation: &'a str },
    /// Client's duration minus server's.
    Gap { caller: &'a str, operation: &'a str, callee: &'a str, callee_operation: &'a str },
    /// The client's whole duration, where the callee sends no spans.
    Peer { caller: &'a str, operation: &'a str, peer: &'a str },
    /// The same, where the callee's span is missing that healthy time has.
    Unanswered { caller: &'a str, operation: &'a str, callee: &'a str },
}

/// Healthy keys of one kind resemble one another: each kind is a population of its own.
const KINDS: usize = 4;

impl Key<'_> {
    /// Whole calls: they overlap with the other kinds.
    const KIND_UNANSWERED: usize = 3;

    fn kind(&self) -> usize {
        match self {
            Key::Own { .. } => 0,
            Key::Gap { .. } => 1,
            Key::Peer { .. } => 2,
            Key::Unanswered { .. } => Key::KIND_UNANSWERED,
        }
    }
}

/// Durations by key, all pods together.
pub(super) type Table<'a> = BTreeMap<Key<'a>, Durations>;

/// The same for each pod (of the operation's, the caller's or the callee's service: the reader says which).
pub(super) type PodTable<'a> = BTreeMap<(Key<'a>, &'a str), Durations>;

/// The durations of a profile, without those that measure nothing.
pub(super) struct Tables<'a> {
    pub own: PodTable<'a>,
    /// Gaps and calls to peers, by the caller's pod.
    pub by_caller: PodTable<'a>,
    /// Gaps by the callee's pod.
    pub by_callee: PodTable<'a>,
}

/// How many children a span must have before its own time counts, by service and operation: where spans are lost, the time of
/// a lost child is taken for its parent's own, and a slow callee would make its callers look slow.
pub(super) struct Whole<'a>(BTreeMap<(&'a str, &'a str), u8>);

/// Spans of an operation by how many children they have.
type ByChildren = [u64; CHILDREN_MAX + 1];

impl<'a> Whole<'a> {
    pub fn new(baseline: &'a Profile, incident: &'a Profile) -> Whole<'a> {
        let mut least = BTreeMap::new();
        if baseline.orphan_share().max(incident.orphan_share()) < LOSS_MIN {
            return Whole(least);
        }
        let (before, now) = (by_children(baseline), by_children(incident));
        for (operation, before) in before {
            let Some(now) = now.get(&operation) else { continue };
            let is_enough = |counts: &ByChildren, least: usize| {
                let (all, whole) = (counts.iter().sum::<u64>(), counts[least..].iter().sum::<u64>());
                whole >= WHOLE_MIN && whole as f64 >= WHOLE_SHARE_MIN * all as f64
            };
            let most = (0..=CHILDREN_MAX).rev().find(|&n| is_enough(&before, n) && is_enough(now, n));
            // Of a few spans, those with as many children as healthy ones mostly have.
            least.insert(operation, most.unwrap_or_else(|| usual(&before)) as u8);
        }
        Whole(least)
    }

    fn takes(&self, service: &str, operation: &str, children: u8) -> bool {
        self.0.get(&(service, operation)).is_none_or(|least| children >= *least)
    }
}

fn by_children(profile: &Profile) -> BTreeMap<(&str, &str), ByChildren> {
    let mut spans: BTreeMap<(&str, &str), ByChildren> = BTreeMap::new();
    for (key, durations) in &profile.own {
        let counts = spans.entry((&key.service, &key.operation)).or_default();
        counts[usize::from(key.children)] += durations.count();
    }
    spans
}

/// As many as at least half of them have.
fn usual(counts: &ByChildren) -> usize {
    let all: u64 = counts.iter().sum();
    (0..=CHILDREN_MAX).rev().find(|&n| 2 * counts[n..].iter().sum::<u64>() >= all).unwrap_or(0)
}

impl<'a> Tables<'a> {
    pub fn new(profile: &'a Profile, callees: &Callees<'a>, whole: &Whole<'_>) -> Tables<'a> {
        let mut tables = Tables { own: BTreeMap::new(), by_caller: BTreeMap::new(), by_callee: BTreeMap::new() };
        for (key, durations) in &profile.own {
            let (service, operation) = (&*key.service, &*key.operation);
            if whole.takes(service, operation, key.children) {
                tables.own.entry((Key::Own { service, operation }, &key.pod)).or_default().merge(durations);
            }
        }
        let mut add_measured = |key: Key<'a>, pod: &'a str, durations: &Durations, caller: bool| {
            let measured = durations.positive();
            if !measured.is_empty() {
                let table = if caller { &mut tables.by_caller } else { &mut tables.by_callee };
                table.entry((key, pod)).or_default().merge(&measured);
            }
        };
        for (rows, by_caller) in [(&profile.gaps_by_caller, true), (&profile.gaps_by_callee, false)] {
            for ((call, pod), durations) in rows {
                let (caller, operation) = (&call.caller, &call.operation);
                let (callee, callee_operation) = (&call.callee, &call.callee_operation);
                add_measured(Key::Gap { caller, operation, callee, callee_operation }, pod, durations, by_caller);
            }
        }
        for (key, calls) in &profile.peers {
            let (caller, operation) = (&key.caller, &key.operation);
            let row = match callees.party(key) {
                Some(Party { name: callee, is_peer: false }) => Key::Unanswered { caller, operation, callee },
                Some(Party { name: peer, is_peer: true }) => Key::Peer { caller, operation, peer },
                None => continue,
            };
            add_measured(row, &key.caller_pod, &calls.durations, true);
        }
        tables
    }

    /// The same of healthy time, in which answered calls tell how long one without an answer should have taken.
    pub fn healthy(profile: &'a Profile, callees: &Callees<'a>, whole: &Whole<'_>) -> Tables<'a> {
        let mut tables = Tables::new(profile, callees, whole);
        for (CallKind { caller, operation, .. }, by_callee) in &profile.answered {
            for (callee, calls) in by_callee {
                let row = tables.by_caller.entry((Key::Unanswered { caller, operation, callee }, "")).or_default();
                row.merge(&calls.durations);
            }
        }
        tables
    }

    /// Everything, pods together.
    pub fn merged(&self) -> Table<'a> {
        let mut table = Table::new();
        for ((key, _), durations) in self.own.iter().chain(&self.by_caller) {
            table.entry(*key).or_default().merge(durations);
        }
        table
    }
}

const STEPS_PER_LOG: f64 = 8.0;

fn step(log: f64) -> i32 {
    (log as i32).clamp(-STEPS_MAX, STEPS_MAX)
}

/// A population of healthy keys.
#[derive(Default)]
struct Population {
    mean: f64,
    variance: f64,
    /// Healthy calls at or above each step.
    tail: BTreeMap<i32, u64>,
    calls: u64,
}

/// What healthy time looks like, and how far this case drifts from it everywhere.
pub(super) struct Model<'a> {
    parameters: &'a Parameters,
    /// Added to every duration before the logarithm, in nanoseconds.
    floor_ns: f64,
    baseline: BTreeMap<Key<'a>, Moments>,
    /// Typical variance within one key.
    spread2: f64,
    kinds: [Option<Population>; KINDS],
    /// By how much all keys moved together.
    common: f64,
    drift: f64,
}

/// A key's movement against its expectation.
struct Shift {
    log: f64,
    variance: f64,
    /// The most that so many calls can say.
    cap: f64,
}

impl<'a> Model<'a> {
    /// `typical_ns` is the duration of a typical trace.
    pub fn new(baseline: &Table<'a>, incident: &Table<'a>, typical_ns: f64, parameters: &'a Parameters) -> Model<'a> {
        let least2 = parameters.spread * parameters.spread;
        // At least a nanosecond: all durations may be zero.
        let floor_ns = (parameters.floor_share * typical_ns).max(1.0);
        let moments: BTreeMap<Key<'a>, Moments> =
            baseline.iter().map(|(key, durations)| (*key, durations.trimmed(3).moments(floor_ns))).collect();
        let is_measured = |key: &Key<'_>, m: &Moments| m.count >= SPREAD_CALLS_MIN && key.kind() < Key::KIND_UNANSWERED;
        let spreads = moments.iter().filter(|(key, m)| is_measured(key, m)).map(|(_, m)| m.variance).collect();
        let kinds = std::array::from_fn(|kind| Population::new(kind, baseline, &moments, floor_ns, least2));
        let mut model = Model {
            parameters,
            floor_ns,
            baseline: moments,
            spread2: median(spreads).unwrap_or(0.0).max(least2),
            kinds,
            common: 0.0,
            drift: parameters.drift,
        };
        let shifts: Vec<Shift> = (incident.iter())
            .filter(|(key, _)| key.kind() < Key::KIND_UNANSWERED && model.baseline.contains_key(key))
            .filter_map(|(key, durations)| model.shift(key, durations))
            .collect();
        model.common = median(shifts.iter().map(|s| s.log).collect()).unwrap_or(0.0);
        let beyond_sampling = |s: &Shift| ((s.log - model.common).powi(2) / MEDIAN_SQUARE - s.variance).max(0.0);
        if let Some(drift2) = median(shifts.iter().map(beyond_sampling).collect()) {
            model.drift = drift2.sqrt().max(parameters.drift);
        }
        model
    }

    /// Log-likelihood ratio that a fault moved this key, against healthy drift; only growth speaks for a fault.
    /// Nothing can be said of a kind of key that healthy time does not have.
    pub fn evidence(&self, key: &Key<'a>, durations: &Durations) -> f64 {
        let Some(shift) = self.shift(key, durations) else { return 0.0 };
        let scale = (shift.variance + self.drift * self.drift).sqrt();
        let moved = shift.log - self.common;
        let fault_scale = self.parameters.effect.hypot(scale);
        // A fault slows: density of the half that grows, with a soft edge at half a standard deviation.
        let grows = -(-(2.0 * moved / scale - 1.0).clamp(-30.0, 30.0)).exp().ln_1p();
        let fault = std::f64::consts::LN_2 + student3(moved, fault_scale) + grows;
        let log = (fault - student3(moved, scale)).min(shift.cap);
        // A call that is refused at once says nothing of waiting.
        if key.kind() == Key::KIND_UNANSWERED { log.max(0.0) } else { log }
    }

    fn shift(&self, key: &Key<'a>, durations: &Durations) -> Option<Shift> {
        let kind = self.kinds[key.kind()].as_ref()?;
        let now = durations.trimmed(2).moments(self.floor_ns);
        let healthy = self.baseline.get(key);
        let before = healthy.copied().unwrap_or(Moments { count: 0.0, mean: kind.mean, variance: 0.0 });
        // The baseline's own spread; never the incident's, which the fault inflates.
        let weight = self.parameters.spread_calls;
        let within = (before.count * before.variance + weight * self.spread2) / (before.count + weight);
        // Empirical Bayes: what was hardly seen is expected to be as keys of its kind are.
        let expected_variance = 1.0 / (before.count / within + 1.0 / kind.variance);
        let expected = expected_variance * (before.count * before.mean / within + kind.mean / kind.variance);
        let log = now.mean - expected;
        // Healthy single calls that lie half as far out: so often, each of these calls could be healthy.
        let farther = kind.tail.get(&step((STEPS_PER_LOG / 2.0 * log).floor())).copied().unwrap_or(0);
        let chance = (farther as f64 + 0.5) / (kind.calls as f64 + 1.0);
        Some(Shift { log, variance: expected_variance + within / now.count.max(1.0), cap: -now.count * chance.ln() })
    }
}

impl Population {
    fn new(
        kind: usize,
        baseline: &Table<'_>,
        moments: &BTreeMap<Key<'_>, Moments>,
        floor_ns: f64,
        least2: f64,
    ) -> Option<Population> {
        let means: Vec<f64> = moments.iter().filter(|(key, _)| key.kind() == kind).map(|(_, m)| m.mean).collect();
        if means.is_empty() {
            return None;
        }
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / means.len() as f64;
        let mut residuals: BTreeMap<i32, u64> = BTreeMap::new();
        for (key, durations) in baseline.iter().filter(|(key, _)| key.kind() == kind) {
            for (value, count) in durations.rows() {
                let residual = (value + floor_ns).ln() - moments[key].mean;
                *residuals.entry(step((STEPS_PER_LOG * residual).round_ties_even())).or_default() += count;
            }
        }
        let mut calls = 0;
        let mut tail = BTreeMap::new();
        for at in (-STEPS_MAX..=STEPS_MAX).rev() {
            calls += residuals.get(&at).copied().unwrap_or(0);
            tail.insert(at, calls);
        }
        Some(Population { mean, variance: variance.max(least2), tail, calls })
    }
}
