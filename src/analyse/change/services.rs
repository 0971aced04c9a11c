//! Causes compete to explain everything seen: own time, calls in, calls out, pods, and what knocks on to callers.
//!
//! What is seen on an edge belongs to whichever side explains it across edges: a throttled caller delays its calls to
//! everyone, a saturated callee delays the calls of everyone, and one that is gone answers nobody. What a callee's fault
//! does to its callers (queues, errors, calls given up or never made) counts for the callee.

use std::collections::{BTreeMap, BTreeSet};

use super::callees::OutcomeTable;
use super::evidence::{Key, Model, PodTable, Table, Tables};
use super::parameters::Parameters;
use super::profile::PeerKey;
use super::shape::Shape;
use crate::analyse::findings::Components;
use crate::analyse::statistics::mathematics::{
    Share, ShareModel, coherent, log_mean_exp, log_sum_exp, perhaps, share_changed,
};

/// One side of a call: a service, or somebody who sends no spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Party<'a> {
    pub name: &'a str,
    pub is_peer: bool,
}

impl<'a> Party<'a> {
    pub fn service(name: &'a str) -> Party<'a> {
        Party { name, is_peer: false }
    }

    /// Who does not say whom it calls is told apart by what it calls.
    pub fn of_peer(key: &'a PeerKey) -> Party<'a> {
        Party { name: if key.peer.is_empty() { &key.operation } else { &key.peer }, is_peer: true }
    }
}

impl Components {
    fn time(&self, parameters: &Parameters) -> f64 {
        [self.own, self.calls_in].into_iter().flatten().map(even).sum::<f64>()
            + self.calls_out.map_or(0.0, |log| perhaps(parameters.starved, log))
    }

    fn total(&self, parameters: &Parameters, pods: f64) -> f64 {
        let shape =
            [self.lost, self.failing, self.refused, self.asks_more].into_iter().flatten().map(even).sum::<f64>();
        self.time(parameters) + pods + shape + self.cut_off.map_or(0.0, |log| perhaps(parameters.starved, log))
    }

    /// What a callee's fault may do to a caller; each of it may stay out.
    fn symptoms(&self, parameters: &Parameters) -> f64 {
        let slow = [self.own, self.calls_in].map(|log| (log, parameters.knock_on));
        // A failed call mostly fails the request, with what it would have called next, or is made again.
        let failed = [self.lost, self.failing, self.refused, self.asks_more].map(|log| (log, parameters.pass_on));
        let grown = slow.into_iter().chain(failed).filter_map(|(log, p)| Some((log.filter(|log| *log > 0.0)?, p)));
        grown.map(|(log, p)| perhaps(p, log).max(0.0)).sum()
    }

    fn is_empty(&self) -> bool {
        *self == Components::default()
    }
}

/// A fault need not show in every component.
fn even(log: f64) -> f64 {
    perhaps(0.5, log)
}

fn growth(log: Option<f64>) -> f64 {
    log.unwrap_or(0.0).max(0.0)
}

/// A candidate with its evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Candidate<'a> {
    pub components: Components,
    pub score: f64,
    /// By how much better one of its pods explains its time than the whole service does.
    pods: f64,
    /// The pod that does so.
    pub pod: Option<&'a str>,
    /// The operation with the strongest evidence, of time or of shape.
    pub operation: Option<(f64, &'a str)>,
}

/// Evidence of keys, by the side they speak of.
#[derive(Default)]
struct Sides<'a> {
    own: Vec<f64>,
    calls_in: BTreeMap<&'a str, Vec<f64>>,
    calls_out: BTreeMap<Party<'a>, Vec<f64>>,
    /// Of calls that failed for the caller alone.
    refused_in: BTreeMap<&'a str, f64>,
    refused_out: BTreeMap<Party<'a>, f64>,
}

impl<'a> Sides<'a> {
    fn components(&self, parameters: &Parameters) -> Components {
        let own = (!self.own.is_empty()).then(|| {
            // All operations feel it, or just one of them does.
            let all = even(coherent(&self.own, parameters.share_of_operations));
            let one = log_sum_exp(&self.own) - (self.own.len() as f64 + 1.0).ln();
            log_mean_exp(&[all, one])
        });
        Components {
            own,
            calls_in: pairs(self.calls_in.values(), parameters.share_of_callers, parameters),
            calls_out: pairs(self.calls_out.values(), parameters.share_of_callees, parameters),
            refused: failures(&self.refused_in, parameters.share_of_callers),
            // With one callee alone nothing says that it is the caller.
            cut_off: failures(&self.refused_out, parameters.share_of_cut_off).filter(|_| self.refused_out.len() > 1),
            ..Components::default()
        }
    }

    /// What its calls to one party show that its own state does not explain: a starved caller is slow towards everyone, and
    /// at its own work; one that is cut off fails towards everyone.
    fn towards(&self, party: Party<'a>, parameters: &Parameters) -> f64 {
        let pair = |keys: &Vec<f64>| coherent(keys, parameters.share_of_pair);
        let other = |of: &&Party<'a>| **of != party;
        let is_callees = |log: f64, others: Vec<f64>, own: f64| {
            let callees = parameters.callee_first - coherent(&others, parameters.share_of_callees) - own;
            log / (1.0 + (-callees).exp())
        };
        let others = self.calls_out.keys().filter(other).map(|of| pair(&self.calls_out[of])).collect();
        let own = growth(self.components(parameters).own);
        let time = is_callees(growth(self.calls_out.get(&party).map(pair)), others, own);
        let others = self.refused_out.keys().filter(other).map(|of| self.refused_out[of]).collect();
        time + is_callees(growth(self.refused_out.get(&party).copied()), others, 0.0)
    }
}

/// Failures on the edges of one side. Those that were hardly used do not make the others less sure: what counts is how
/// many say anything (their participation ratio).
fn failures<K>(edges: &BTreeMap<K, f64>, share: f64) -> Option<f64> {
    let logs: Vec<f64> = edges.values().map(|log| perhaps(share, *log)).collect();
    let (sizes, squares) =
        logs.iter().fold((0.0, 0.0), |(sizes, squares), log| (sizes + log.abs(), squares + log * log));
    let independent = if squares > 0.0 { (sizes * sizes / squares).sqrt() } else { 1.0 };
    (!logs.is_empty()).then(|| logs.iter().sum::<f64>() / independent)
}

/// The pairs of one service, each with its keys.
fn pairs<'b>(pairs: impl Iterator<Item = &'b Vec<f64>>, share: f64, parameters: &Parameters) -> Option<f64> {
    let pairs: Vec<f64> = pairs.map(|keys| coherent(keys, parameters.share_of_pair)).collect();
    (!pairs.is_empty()).then(|| coherent(&pairs, share))
}

/// Judges every service and peer; the score is the log of how much better it explains the incident than healthy
/// drift does.
pub(super) fn candidates<'a>(
    model: &Model<'a>,
    incident: &Tables<'a>,
    merged: &Table<'a>,
    shape: &Shape<'a>,
    calls: &Calls<'a>,
    parameters: &Parameters,
) -> BTreeMap<Party<'a>, Candidate<'a>> {
    let mut sides: BTreeMap<Party<'a>, Sides<'a>> = BTreeMap::new();
    let mut candidates: BTreeMap<Party<'a>, Candidate<'a>> = BTreeMap::new();
    for (key, durations) in merged {
        let log = model.evidence(key, durations);
        sort_in(&mut sides, key, log);
        for (party, operation) in speaks_of(key) {
            candidates.entry(party).or_default().strengthen(log, operation);
        }
    }
    for ((caller, callee), log) in calls.evidence(parameters) {
        sides.entry(callee).or_default().refused_in.insert(caller, log);
        sides.entry(Party::service(caller)).or_default().refused_out.insert(callee, log);
    }
    for (party, sides) in &sides {
        candidates.entry(*party).or_default().components = sides.components(parameters);
    }
    for (party, log) in &shape.lost {
        candidates.entry(*party).or_default().components.lost = Some(*log);
    }
    for (party, log) in &shape.failing {
        candidates.entry(*party).or_default().components.failing = Some(*log);
    }
    for (party, log) in &shape.asks_more {
        candidates.entry(*party).or_default().components.asks_more = Some(*log);
    }
    for (party, (log, operation)) in &shape.operations {
        candidates.entry(*party).or_default().strengthen(*log, operation);
    }
    candidates.retain(|_, candidate| !candidate.components.is_empty());
    for (service, pods) in pods(model, incident, parameters) {
        if let Some(candidate) = candidates.get_mut(&Party::service(service)) {
            candidate.weigh_pods(&pods, parameters);
        }
    }
    for candidate in candidates.values_mut() {
        candidate.score = candidate.components.total(parameters, candidate.pods);
    }
    knock_on(&mut candidates, &sides, calls, parameters);
    candidates
}

fn sort_in<'a>(sides: &mut BTreeMap<Party<'a>, Sides<'a>>, key: &Key<'a>, log: f64) {
    let (caller, callee) = match *key {
        Key::Own { service, .. } => {
            sides.entry(Party::service(service)).or_default().own.push(log);
            return;
        }
        Key::Gap { caller, callee, .. } => (caller, Party::service(callee)),
        Key::Peer { caller, peer, .. } => (caller, Party { name: peer, is_peer: true }),
        Key::Unanswered { caller, callee, .. } => (caller, Party::service(callee)),
    };
    sides.entry(callee).or_default().calls_in.entry(caller).or_default().push(log);
    sides.entry(Party::service(caller)).or_default().calls_out.entry(callee).or_default().push(log);
}

fn speaks_of<'a>(key: &Key<'a>) -> Vec<(Party<'a>, &'a str)> {
    match *key {
        Key::Own { service, operation } => vec![(Party::service(service), operation)],
        Key::Gap { caller, operation, callee, callee_operation } => {
            vec![(Party::service(caller), operation), (Party::service(callee), callee_operation)]
        }
        Key::Peer { caller, operation, peer } => {
            vec![(Party::service(caller), operation), (Party { name: peer, is_peer: true }, operation)]
        }
        Key::Unanswered { caller, operation, callee } => {
            vec![(Party::service(caller), operation), (Party::service(callee), operation)]
        }
    }
}

/// Evidence of time by pod, for services that have several: the rows of that pod against the service's baseline.
fn pods<'a>(
    model: &Model<'a>,
    incident: &Tables<'a>,
    parameters: &Parameters,
) -> BTreeMap<&'a str, BTreeMap<&'a str, f64>> {
    let mut sides: BTreeMap<&'a str, BTreeMap<&'a str, Sides<'a>>> = BTreeMap::new();
    for ((key, pod), durations) in &incident.own {
        if let Key::Own { service, .. } = *key {
            let log = model.evidence(key, durations);
            sides.entry(service).or_default().entry(pod).or_default().own.push(log);
        }
    }
    sides.retain(|_, pods| pods.len() > 1);
    let mut add_calls = |table: &PodTable<'a>, by_callee: bool| {
        for ((key, pod), durations) in table {
            let (caller, callee) = match *key {
                Key::Own { .. } => continue,
                Key::Gap { caller, callee, .. } => (caller, Party::service(callee)),
                Key::Peer { caller, peer, .. } => (caller, Party { name: peer, is_peer: true }),
                Key::Unanswered { caller, callee, .. } => (caller, Party::service(callee)),
            };
            let service = if by_callee { callee.name } else { caller };
            // A pod that only waits, and never works, is not seen among those with a time of their own.
            let Some(sides) = sides.get_mut(service).and_then(|pods| pods.get_mut(pod)) else { continue };
            let log = model.evidence(key, durations);
            if by_callee {
                sides.calls_in.entry(caller).or_default().push(log);
            } else {
                sides.calls_out.entry(callee).or_default().push(log);
            }
        }
    };
    add_calls(&incident.by_callee, true);
    add_calls(&incident.by_caller, false);
    let time = |sides: &Sides<'a>| sides.components(parameters).time(parameters);
    sides.into_iter().map(|(s, pods)| (s, pods.iter().map(|(pod, sides)| (*pod, time(sides))).collect())).collect()
}

impl<'a> Candidate<'a> {
    fn strengthen(&mut self, log: f64, operation: &'a str) {
        if self.operation.is_none_or(|(best, _)| log > best) {
            self.operation = Some((log, operation));
        }
    }

    /// The service as a whole is at fault, or one of its pods is.
    fn weigh_pods(&mut self, pods: &BTreeMap<&'a str, f64>, parameters: &Parameters) {
        let whole = self.components.time(parameters);
        let hypotheses: Vec<f64> = std::iter::once(whole).chain(pods.values().copied()).collect();
        self.pods = (log_mean_exp(&hypotheses) - whole).max(0.0);
        // More likely than all other hypotheses together, and its siblings are as fast as ever: where they are slow as well,
        // the slowest of them is no exception.
        let all = log_sum_exp(&hypotheses);
        let alone = |pod: &str| pods.iter().all(|(other, time)| *other == pod || *time <= 0.0);
        self.pod = pods.iter().find(|(pod, time)| **time - all > 0.5_f64.ln() && alone(pod)).map(|(pod, _)| *pod);
    }
}

/// How calls ended, in healthy time and now.
pub(super) struct Calls<'a> {
    pub before: OutcomeTable<'a>,
    pub now: OutcomeTable<'a>,
}

impl<'a> Calls<'a> {
    /// For each caller and callee, the log-likelihood ratio that more calls fail for the caller alone.
    fn evidence(&self, parameters: &Parameters) -> Vec<((&'a str, Party<'a>), f64)> {
        let failed = self.before.values().map(|outcomes| outcomes.failed()).sum::<f64>();
        let all = self.before.values().map(|outcomes| outcomes.calls).sum::<f64>();
        // A pair hardly seen is expected to fail as rarely as all do.
        let prior = (failed + 0.5) / (all + 1.0);
        let failing = ShareModel { calls_max: f64::INFINITY, jump: parameters.stray_errors, prior };
        let silent = ShareModel { calls_max: f64::INFINITY, jump: parameters.lost_telemetry, prior: 0.5 };
        let grown = |before: Share, now: Share, model: &ShareModel| {
            let log = share_changed(before, now, model);
            if now.value() > before.value() || log <= 0.0 { log } else { -log }
        };
        let pairs = self.now.iter().map(|(pair, now)| {
            let before = self.before.get(pair).copied().unwrap_or_default();
            let share = |part: f64, all: f64| Share::new(part, all);
            let failed = grown(share(before.failed(), before.calls), share(now.failed(), now.calls), &failing);
            let silent = grown(share(before.silent, before.calls), share(now.silent, now.calls), &silent);
            // Who never sends spans is always silent.
            (*pair, if pair.1.is_peer || silent <= 0.0 { failed } else { failed.max(silent) })
        });
        pairs.filter(|(pair, log)| *log != 0.0 || self.before.contains_key(pair)).collect()
    }

    fn callers(&self) -> BTreeMap<Party<'a>, BTreeSet<&'a str>> {
        let mut callers: BTreeMap<Party<'a>, BTreeSet<&'a str>> = BTreeMap::new();
        for (caller, callee) in self.before.keys().chain(self.now.keys()) {
            callers.entry(*callee).or_default().insert(caller);
        }
        callers
    }
}

/// The deepest changed place explains symptoms of its callers, as far as its own evidence could not come from them.
fn knock_on<'a>(
    candidates: &mut BTreeMap<Party<'a>, Candidate<'a>>,
    sides: &BTreeMap<Party<'a>, Sides<'a>>,
    calls: &Calls<'a>,
    parameters: &Parameters,
) {
    let callers = calls.callers();
    let symptoms: BTreeMap<&str, f64> = (candidates.iter())
        .filter(|(party, _)| !party.is_peer)
        .map(|(party, candidate)| (party.name, candidate.components.symptoms(parameters)))
        .filter(|(_, symptom)| *symptom > 0.0)
        .collect();
    let bar = (candidates.len() as f64).ln() + parameters.knock_on_bar;
    for (party, candidate) in candidates.iter_mut() {
        let direct = candidate.components;
        // Of what is seen on the edges to it, what the callers' own state does not explain.
        let edges = |caller: &&str| sides.get(&Party::service(caller)).map(|sides| sides.towards(*party, parameters));
        let edges: Vec<f64> = callers.get(party).into_iter().flatten().filter_map(edges).collect();
        let unexplained = growth(direct.own)
            + candidate.pods
            + growth(direct.failing)
            + growth(direct.lost)
            + growth((!edges.is_empty()).then(|| coherent(&edges, parameters.share_of_callers)));
        let credited: f64 =
            transitive_callers(*party, &callers).into_iter().filter_map(|caller| symptoms.get(caller)).sum();
        candidate.score += perhaps(1.0 / (1.0 + (bar - unexplained).exp()), credited).max(0.0);
    }
}

fn transitive_callers<'a>(of: Party<'a>, callers: &BTreeMap<Party<'a>, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut pending = vec![of];
    while let Some(party) = pending.pop() {
        for &caller in callers.get(&party).into_iter().flatten() {
            if Party::service(caller) != of && seen.insert(caller) {
                pending.push(Party::service(caller));
            }
        }
    }
    seen
}
