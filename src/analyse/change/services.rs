//! From evidence of keys to evidence of services: own time, calls in, calls out, pods, and what knocks on to callers.
//!
//! A gap belongs to whichever side explains it across edges: a throttled caller delays its calls to everyone, a
//! saturated callee delays the calls of everyone.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{Key, Model, PodTable, Table, Tables};
use super::mathematics::{coherent, log_mean_exp, log_sum_exp, perhaps};
use super::parameters::Parameters;
use super::profile::PeerKey;
use super::shape::Shape;
use crate::analyse::findings::Components;

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
    fn time(&self) -> f64 {
        [self.own, self.calls_in, self.calls_out].into_iter().flatten().map(even).sum()
    }

    fn total(&self) -> f64 {
        self.time() + [self.lost, self.failing].into_iter().flatten().map(even).sum::<f64>()
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
    /// The pod that explains it better than the whole service does.
    pub pod: Option<&'a str>,
    /// The operation with the strongest evidence, of time or of shape.
    pub operation: Option<(f64, &'a str)>,
}

/// Time evidence of keys, by the side they speak of.
#[derive(Default)]
struct Sides<'a> {
    own: Vec<f64>,
    calls_in: BTreeMap<&'a str, Vec<f64>>,
    calls_out: BTreeMap<Party<'a>, Vec<f64>>,
}

impl Sides<'_> {
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
            ..Components::default()
        }
    }
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
    for (party, sides) in &sides {
        candidates.entry(*party).or_default().components = sides.components(parameters);
    }
    for (party, log) in &shape.lost {
        candidates.entry(*party).or_default().components.lost = Some(*log);
    }
    for (party, log) in &shape.failing {
        candidates.entry(*party).or_default().components.failing = Some(*log);
    }
    for (party, (log, operation)) in &shape.operations {
        candidates.entry(*party).or_default().strengthen(*log, operation);
    }
    candidates.retain(|_, candidate| !candidate.components.is_empty());
    for candidate in candidates.values_mut() {
        candidate.score = candidate.components.total();
    }
    for (service, pods) in pods(model, incident, parameters) {
        if let Some(candidate) = candidates.get_mut(&Party::service(service)) {
            candidate.weigh_pods(&pods);
        }
    }
    knock_on(&mut candidates, &sides, merged, parameters);
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
    let time = |sides: &Sides<'a>| sides.components(parameters).time();
    sides.into_iter().map(|(s, pods)| (s, pods.iter().map(|(pod, sides)| (*pod, time(sides))).collect())).collect()
}

impl<'a> Candidate<'a> {
    fn strengthen(&mut self, log: f64, operation: &'a str) {
        if self.operation.is_none_or(|(best, _)| log > best) {
            self.operation = Some((log, operation));
        }
    }

    /// The service as a whole is at fault, or one of its pods is.
    fn weigh_pods(&mut self, pods: &BTreeMap<&'a str, f64>) {
        let whole = self.components.time();
        let hypotheses: Vec<f64> = std::iter::once(whole).chain(pods.values().copied()).collect();
        self.score += (log_mean_exp(&hypotheses) - whole).max(0.0);
        // More likely than all other hypotheses together.
        let all = log_sum_exp(&hypotheses);
        self.pod = pods.iter().find(|(_, time)| **time - all > 0.5_f64.ln()).map(|(pod, _)| *pod);
    }
}

/// The deepest changed place explains symptoms of its callers, as far as its own evidence could not come from them.
fn knock_on<'a>(
    candidates: &mut BTreeMap<Party<'a>, Candidate<'a>>,
    sides: &BTreeMap<Party<'a>, Sides<'a>>,
    merged: &Table<'a>,
    parameters: &Parameters,
) {
    let callers = callers(merged);
    let symptom = |components: &Components| {
        perhaps(parameters.knock_on, growth(components.own) + growth(components.calls_in)).max(0.0)
    };
    let symptoms: BTreeMap<&str, f64> = (candidates.iter())
        .filter(|(party, _)| !party.is_peer)
        .map(|(party, candidate)| (party.name, symptom(&candidate.components)))
        .filter(|(_, symptom)| *symptom > 0.0)
        .collect();
    let bar = (candidates.len() as f64).ln() + parameters.knock_on_bar;
    for (party, candidate) in candidates.iter_mut() {
        for caller in transitive_callers(*party, &callers) {
            let Some(symptom) = symptoms.get(caller) else { continue };
            let others = sides.get(party).into_iter().flat_map(|s| &s.calls_in).filter(|(c, _)| **c != caller);
            let from_others = pairs(others.map(|(_, keys)| keys), parameters.share_of_callers, parameters);
            let components = &candidate.components;
            let unexplained = growth(components.own) + growth(components.failing) + growth(from_others);
            candidate.score += symptom / (1.0 + (bar - unexplained).exp());
        }
    }
}

fn callers<'a>(merged: &Table<'a>) -> BTreeMap<Party<'a>, BTreeSet<&'a str>> {
    let mut callers: BTreeMap<Party<'a>, BTreeSet<&'a str>> = BTreeMap::new();
    for key in merged.keys() {
        match *key {
            Key::Own { .. } => {}
            Key::Gap { caller, callee, .. } => {
                callers.entry(Party::service(callee)).or_default().insert(caller);
            }
            Key::Peer { caller, peer, .. } => {
                callers.entry(Party { name: peer, is_peer: true }).or_default().insert(caller);
            }
        }
    }
    callers
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
