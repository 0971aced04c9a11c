//! Causes compete to explain everything seen: own time, calls in, calls out, pods, and what knocks on to callers.
//!
//! What is seen on an edge belongs to whichever side explains it across edges: a throttled caller delays its calls to
//! everyone, a saturated callee delays the calls of everyone, and one that is gone answers nobody. What a callee's fault
//! does to its callers (queues, errors, calls given up or never made) counts for the callee.

use std::collections::{BTreeMap, BTreeSet};

use super::callees::OutcomeTable;
use super::evidence::{Key, Model, PodTable, Table, Tables};
use super::mechanism;
use super::parameters::Parameters;
use super::profile::PeerKey;
use super::shape::Shape;
use crate::analyse::findings::Components;
use crate::analyse::statistics::mathematics::{
    Share, ShareModel, coherent, log_mean_exp, log_sum_exp, perhaps, share_changed,
};
use crate::analyse::thresholds::change::{LEFT_MIN, LOSS_MIN};

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

    /// What the fault of somebody whom it waits for may do to a caller; each of it may stay out.
    fn symptoms(&self, of: &Symptoms) -> f64 {
        let Symptoms { slow, errors, others } = *of;
        let slow = [self.own, self.calls_in].map(|log| (log, slow));
        // A failed call mostly fails the request, with what it would have called next, or is made again.
        let others = [self.lost, self.refused, self.asks_more].map(|log| (log, others));
        let shown = slow.into_iter().chain(others).chain([(self.failing, errors)]);
        shown.map(|(log, chance)| perhaps(chance, growth(log)).max(0.0)).sum()
    }

    fn is_empty(&self) -> bool {
        *self == Components::default()
    }
}

/// Chances of what a caller shows of a callee's fault.
struct Symptoms {
    slow: f64,
    errors: f64,
    others: f64,
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
            // All callers feel it, or just one of them does: what one edge alone shows is the callee's.
            calls_in: pairs(self.calls_in.values(), parameters).map(|pairs| {
                let one = log_sum_exp(&pairs) - (pairs.len() as f64 + 1.0).ln();
                log_mean_exp(&[coherent(&pairs, parameters.share_of_callers), one])
            }),
            calls_out: pairs(self.calls_out.values(), parameters)
                .map(|pairs| coherent(&pairs, parameters.share_of_callees)),
            refused: failures(&self.refused_in, parameters.share_of_callers),
            // With one callee alone nothing says that it is the caller.
            cut_off: failures(&self.refused_out, parameters.share_of_cut_off).filter(|_| self.refused_out.len() > 1),
            ..Components::default()
        }
    }

    /// What its calls to one party show that its own state does not explain, of time and of failures: a starved caller is slow
    /// towards everyone, and at its own work; one that is cut off fails towards everyone.
    fn towards(&self, party: Party<'a>, parameters: &Parameters) -> (f64, f64) {
        let pair = |keys: &Vec<f64>| coherent(keys, parameters.share_of_pair);
        let others = self.calls_out.iter().filter(|(of, _)| **of != party).map(|(_, keys)| pair(keys)).collect();
        let own = growth(self.components(parameters).own);
        let time = growth(self.calls_out.get(&party).map(pair)) * callees_share(others, own, parameters);
        let failed = growth(self.refused_out.get(&party).copied());
        (time, failed * callees_share(self.refused_to_others(party), 0.0, parameters))
    }

    fn refused_to_others(&self, party: Party<'a>) -> Vec<f64> {
        self.refused_out.iter().filter(|(of, _)| **of != party).map(|(_, log)| *log).collect()
    }

    /// Its calls that fail, where they were given up with the request that made them; those that fail towards one callee
    /// alone are rather that one's, unless errors begin here as well.
    fn cut_short(&self, parameters: &Parameters) -> CutShort {
        let cut = |log: &f64| perhaps(parameters.cut_short, *log).max(0.0);
        let shared = self.refused_out.iter().map(|(callee, log)| {
            let callees = callees_share(self.refused_to_others(*callee), 0.0, parameters);
            cut(log) * (1.0 - callees)
        });
        CutShort { by_slowness: shared.sum(), by_errors: self.refused_out.values().map(cut).sum() }
    }
}

/// What its calls that fail say for one that cuts them short.
#[derive(Default)]
struct CutShort {
    by_slowness: f64,
    by_errors: f64,
}

/// How much of what one edge shows is the callee's: less, the more the other calls of its caller show the same, and the caller's
/// own work.
fn callees_share(others: Vec<f64>, own: f64, parameters: &Parameters) -> f64 {
    let callees = parameters.callee_first - coherent(&others, parameters.share_of_callees) - own;
    1.0 / (1.0 + (-callees).exp())
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

/// The pairs of one service, each by its keys; None where there are none.
fn pairs<'b>(pairs: impl Iterator<Item = &'b Vec<f64>>, parameters: &Parameters) -> Option<Vec<f64>> {
    let pairs: Vec<f64> = pairs.map(|keys| coherent(keys, parameters.share_of_pair)).collect();
    (!pairs.is_empty()).then_some(pairs)
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
        candidate.score = mechanism::log_likelihood(&candidate.components, candidate.pods);
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
    /// Of the spans, those whose parent never came.
    pub lost_share: (f64, f64),
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
        // As many answers are lost as parents are: what is lost everywhere is nobody's.
        let newly_lost = ((self.lost_share.1 - self.lost_share.0) / (1.0 - self.lost_share.0).max(LEFT_MIN)).max(0.0);
        let grown = |before: Share, now: Share, model: &ShareModel| {
            let log = share_changed(before, now, model);
            if now.value() > before.value() || log <= 0.0 { log } else { -log }
        };
        let pairs = self.now.iter().map(|(pair, now)| {
            let before = self.before.get(pair).copied().unwrap_or_default();
            let share = |part: f64, all: f64| Share::new(part, all);
            let failed = grown(share(before.failed(), before.calls), share(now.failed(), now.calls), &failing);
            let expected = before.silent + newly_lost * (before.calls - before.silent);
            let silent = grown(share(expected, before.calls), share(now.silent, now.calls), &silent);
            // Who never sends spans is always silent.
            (*pair, if pair.1.is_peer || silent <= 0.0 { failed } else { failed.max(silent) })
        });
        pairs.filter(|(pair, log)| *log != 0.0 || self.before.contains_key(pair)).collect()
    }

    /// One calls the other, itself or through others.
    pub fn waits_for(&self, one: Party<'a>, other: Party<'a>) -> bool {
        !one.is_peer && transitive_callers(other, &self.callers()).contains(one.name)
    }

    fn callers(&self) -> BTreeMap<Party<'a>, BTreeSet<&'a str>> {
        let mut callers: BTreeMap<Party<'a>, BTreeSet<&'a str>> = BTreeMap::new();
        for (caller, callee) in self.before.keys().chain(self.now.keys()) {
            callers.entry(*callee).or_default().insert(caller);
        }
        callers
    }
}

/// The deepest changed place explains symptoms of its callers, as far as its own evidence could not come from them: what is slow
/// all that they may show, what fails in time only that they fail.
fn knock_on<'a>(
    candidates: &mut BTreeMap<Party<'a>, Candidate<'a>>,
    sides: &BTreeMap<Party<'a>, Sides<'a>>,
    calls: &Calls<'a>,
    parameters: &Parameters,
) {
    let callers = calls.callers();
    let is_lossy = calls.lost_share.0.max(calls.lost_share.1) >= LOSS_MIN;
    let Parameters { knock_on, pass_on, slow_by_failure, errors_by_failure, errors_by_lost_failure, .. } = *parameters;
    let of_slow = Symptoms { slow: knock_on, errors: pass_on, others: pass_on };
    let errors = if is_lossy { errors_by_lost_failure } else { errors_by_failure };
    let of_failing = Symptoms { slow: slow_by_failure, errors, others: pass_on };
    let symptoms: BTreeMap<&str, (f64, f64)> = (candidates.iter())
        .filter(|(party, _)| !party.is_peer)
        .map(|(party, Candidate { components, .. })| {
            (party.name, (components.symptoms(&of_slow), components.symptoms(&of_failing)))
        })
        .collect();
    let bar = (candidates.len() as f64).ln() + parameters.knock_on_bar;
    let enters = |unexplained: f64| 1.0 / (1.0 + (parameters.knock_on_slope * (bar - unexplained)).exp());
    for (party, candidate) in candidates.iter_mut() {
        let direct = candidate.components;
        // Of what is seen on the edges to it, what the callers' own state does not explain.
        let edges = |caller: &&str| sides.get(&Party::service(caller)).map(|sides| sides.towards(*party, parameters));
        let (late, failed): (Vec<f64>, Vec<f64>) = callers.get(party).into_iter().flatten().filter_map(edges).unzip();
        let of_edges = |logs: Vec<f64>| coherent(&logs, parameters.share_of_callers).max(0.0);
        let time = growth(direct.own) + candidate.pods + of_edges(late);
        let failure = growth(direct.failing) + growth(direct.lost) + of_edges(failed);
        let waiting = transitive_callers(*party, &callers);
        let (slow, failing) = (waiting.into_iter().filter_map(|caller| symptoms.get(caller)))
            .fold((0.0, 0.0), |sum, symptoms| (sum.0 + symptoms.0, sum.1 + symptoms.1));
        let cut_short = sides.get(party).map(|sides| sides.cut_short(parameters)).unwrap_or_default();
        // Where spans are lost, errors seem to begin where a failing call is missing.
        let cut_by_errors = if is_lossy { 0.0 } else { perhaps(enters(growth(direct.failing)), cut_short.by_errors) };
        let by_time = perhaps(enters(time), slow + cut_short.by_slowness);
        let by_failure = perhaps(enters(time + failure), failing) + cut_by_errors;
        candidate.score += by_time.max(by_failure).max(0.0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::change::callees::Outcomes;

    #[test]
    fn a_callee_of_which_nothing_is_seen_explains_nothing() {
        let (shop, database) = (Party::service("shop"), Party { name: "database", is_peer: true });
        let candidate = |components: Components| Candidate { components, ..Candidate::default() };
        let failing = Components { failing: Some(4.0), ..Components::default() };
        let calm = Components { calls_in: Some(-1.4), refused: Some(-2.0), ..Components::default() };
        let outcomes = OutcomeTable::from([(("shop", database), Outcomes { calls: 100.0, ..Outcomes::default() })]);
        let calls = Calls { before: outcomes.clone(), now: outcomes, lost_share: (0.0, 0.0) };
        let credited = |of_database: Components| {
            let mut candidates = BTreeMap::from([(shop, candidate(failing)), (database, candidate(of_database))]);
            knock_on(&mut candidates, &BTreeMap::new(), &calls, &Parameters::default());
            candidates[&database].score
        };
        assert!(credited(calm) < 0.1, "{}", credited(calm));
        let slow = Components { own: Some(8.0), ..calm };
        assert!(credited(slow) > 3.0, "errors of callers follow from slowness: {}", credited(slow));
    }

    #[test]
    fn what_one_edge_alone_shows_is_the_callees() {
        let parameters = Parameters::default();
        let alone = callees_share(vec![-3.5, -3.5], 0.0, &parameters);
        let everywhere = callees_share(vec![8.0, 8.0], 0.0, &parameters);
        assert!(alone > 0.8 && everywhere < 0.1, "{alone} {everywhere}");
    }
}
