//! Whom calls were meant for: a callee that no longer answers leaves no span of its own, but its callers name it, and
//! healthy time tells where calls of the same kind went.

use std::collections::BTreeMap;

use super::profile::{AnsweredCalls, CallKind, PeerKey, Profile};
use super::services::Party;
use crate::analyse::thresholds::change::{AGREED_MIN, ANSWERED_MIN, MISSED_DEVIATIONS};
use crate::model::{ServiceId, Text};

/// The services behind calls that nobody answers.
pub(super) struct Callees<'a> {
    by_kind: BTreeMap<Kind<'a>, &'a str>,
    by_peer: BTreeMap<&'a str, &'a str>,
    by_operation: BTreeMap<(&'a str, &'a str), &'a str>,
    /// By their plain name, where only one has it.
    by_name: BTreeMap<String, Option<&'a str>>,
    /// Kinds of call that several services answer: how much of those that are unanswered now, more than in healthy time, each
    /// of them misses. Empty where no more are.
    missed: BTreeMap<Kind<'a>, BTreeMap<&'a str, f64>>,
}

/// Caller, operation and peer.
type Kind<'a> = (&'a str, &'a str, &'a str);

/// Calls of one caller to one party.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Outcomes {
    pub calls: f64,
    /// In error for the caller while nobody answered: refused, or given up.
    pub refused: f64,
    /// In error for the caller alone, though it was answered: given up, or cut off.
    pub cut_off: f64,
    /// Without an answer and without an error: a span was lost, or is never sent.
    pub silent: f64,
}

impl Outcomes {
    pub fn failed(&self) -> f64 {
        self.refused + self.cut_off
    }

    fn part(self, share: f64) -> Outcomes {
        let Outcomes { calls, refused, cut_off, silent } = self;
        Outcomes { calls: calls * share, refused: refused * share, cut_off: cut_off * share, silent: silent * share }
    }

    fn add(&mut self, other: Outcomes) {
        self.calls += other.calls;
        self.refused += other.refused;
        self.cut_off += other.cut_off;
        self.silent += other.silent;
    }
}

/// Of each caller, by whom it calls.
pub(super) type OutcomeTable<'a> = BTreeMap<(&'a str, Party<'a>), Outcomes>;

impl<'a> Callees<'a> {
    /// Healthy time tells first, and the incident what healthy time did not see.
    pub fn new(baseline: &'a Profile, incident: &'a Profile) -> Callees<'a> {
        let mut callees = Callees {
            by_kind: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            by_operation: BTreeMap::new(),
            by_name: BTreeMap::new(),
            missed: BTreeMap::new(),
        };
        callees.learn(baseline, None);
        callees.learn(incident, Some(baseline));
        let (before, now) = (unanswered(baseline), unanswered(incident));
        for (kind, by_callee) in baseline.answered.iter().filter(|(_, by_callee)| agreed(&counts(by_callee)).is_none())
        {
            let key = (&*kind.caller, &*kind.operation, &*kind.peer);
            let of = |unanswered: &BTreeMap<Kind<'_>, u64>| unanswered.get(&key).copied().unwrap_or(0) as f64;
            let answered = |profile: &Profile, callee: &Text| {
                let calls = profile.answered.get(kind).and_then(|calls| calls.get(callee));
                calls.map_or(0.0, |calls| calls.durations.count() as f64)
            };
            let all = |profile: &'a Profile, unanswered: f64| {
                let calls = profile.answered.get(kind).into_iter().flatten();
                unanswered + calls.map(|(_, calls)| calls.durations.count() as f64).sum::<f64>()
            };
            let grown = all(incident, of(&now)) / all(baseline, of(&before)).max(1.0);
            let expected = of(&before) * grown;
            let missing: BTreeMap<&str, f64> = (by_callee.keys())
                .map(|callee| (&**callee, (answered(baseline, callee) * grown - answered(incident, callee)).max(0.0)))
                .collect();
            let sum: f64 = missing.values().sum();
            let is_clear = of(&now) - expected > MISSED_DEVIATIONS * expected.max(1.0).sqrt() && sum > 0.0;
            let shares = missing.into_iter().map(|(callee, missing)| (callee, missing / sum)).filter(|_| is_clear);
            callees.missed.insert(key, shares.collect());
        }
        callees
    }

    /// Of kinds of call that are not `known`: in the incident, who still answers is not who was meant.
    fn learn(&mut self, profile: &'a Profile, known: Option<&Profile>) {
        let unanswered = unanswered(profile);
        let mut by_peer: BTreeMap<&'a str, BTreeMap<&'a str, u64>> = BTreeMap::new();
        let mut by_operation: BTreeMap<(&'a str, &'a str), BTreeMap<&'a str, u64>> = BTreeMap::new();
        let is_new = |kind: &CallKind| known.is_none_or(|known| !known.answered.contains_key(kind));
        for (CallKind { caller, operation, peer }, by_callee) in
            profile.answered.iter().filter(|(kind, _)| is_new(kind))
        {
            let answered: u64 = by_callee.values().map(|calls| calls.durations.count()).sum();
            let all = answered + unanswered.get(&(&**caller, &**operation, &**peer)).copied().unwrap_or(0);
            if (answered as f64) < ANSWERED_MIN * all as f64 {
                continue;
            }
            if let Some(callee) = agreed(&counts(by_callee)) {
                self.by_kind.entry((caller, operation, peer)).or_insert(callee);
            }
            for (callee, calls) in by_callee {
                let count = calls.durations.count();
                *by_operation.entry((caller, operation)).or_default().entry(callee).or_default() += count;
                if !peer.is_empty() {
                    *by_peer.entry(peer).or_default().entry(callee).or_default() += count;
                }
            }
        }
        for (peer, callees) in &by_peer {
            if let Some(callee) = agreed(callees) {
                self.by_peer.entry(peer).or_insert(callee);
            }
        }
        for (operation, callees) in &by_operation {
            if let Some(callee) = agreed(callees) {
                self.by_operation.entry(*operation).or_insert(callee);
            }
        }
        for (service, _) in profile.spans.keys() {
            let name = ServiceId::from(&**service).name().to_lowercase();
            let known = self.by_name.entry(name).or_insert(Some(service));
            if known.is_some_and(|known| *known != **service) {
                *known = None;
            }
        }
    }

    /// The service that should have answered; None where the callee never sends spans.
    pub fn of(&self, key: &PeerKey) -> Option<&'a str> {
        let PeerKey { caller, operation, peer, .. } = key;
        let by_kind = self.by_kind.get(&(&**caller, &**operation, &**peer));
        let by_peer = || self.by_peer.get(&**peer);
        let by_name = || self.by_name.get(&plain_name(peer)).and_then(Option::as_ref);
        let by_operation = || self.by_operation.get(&(&**caller, &**operation));
        by_kind.or_else(by_peer).or_else(by_name).or_else(by_operation).copied().filter(|callee| **callee != **caller)
    }

    /// Who a call without an answer was meant for; None where it may be one of several.
    pub fn party(&self, key: &'a PeerKey) -> Option<Party<'a>> {
        match self.of(key) {
            Some(callee) => Some(Party::service(callee)),
            None if self.missed.contains_key(&(&*key.caller, &*key.operation, &*key.peer)) => None,
            None => Some(Party::of_peer(key)),
        }
    }

    /// How the calls of healthy time ended.
    pub fn healthy_outcomes(&self, baseline: &'a Profile) -> OutcomeTable<'a> {
        self.ended(baseline, &BTreeMap::new())
    }

    /// How the calls of the incident ended.
    pub fn outcomes(&self, incident: &'a Profile) -> OutcomeTable<'a> {
        self.ended(incident, &self.missed)
    }

    fn ended(&self, profile: &'a Profile, missed: &BTreeMap<Kind<'a>, BTreeMap<&'a str, f64>>) -> OutcomeTable<'a> {
        let mut table = OutcomeTable::new();
        for (kind, by_callee) in &profile.answered {
            for (callee, calls) in by_callee {
                let outcomes = Outcomes {
                    calls: calls.durations.count() as f64,
                    cut_off: calls.cut_off as f64,
                    ..Outcomes::default()
                };
                table.entry((&kind.caller, Party::service(callee))).or_default().add(outcomes);
            }
        }
        for (key, calls) in &profile.peers {
            let all = calls.durations.count() as f64;
            let refused = calls.errors as f64;
            let outcomes = Outcomes { calls: all, refused, cut_off: 0.0, silent: all - refused };
            if let Some(party) = self.party(key) {
                table.entry((&*key.caller, party)).or_default().add(outcomes);
                continue;
            }
            let missed = missed.get(&(&*key.caller, &*key.operation, &*key.peer)).into_iter().flatten();
            for (callee, share) in missed {
                table.entry((&*key.caller, Party::service(callee))).or_default().add(outcomes.part(*share));
            }
        }
        table
    }
}

/// Calls of each kind that nobody answered.
fn unanswered(profile: &Profile) -> BTreeMap<Kind<'_>, u64> {
    let mut unanswered: BTreeMap<Kind<'_>, u64> = BTreeMap::new();
    for (key, calls) in &profile.peers {
        *unanswered.entry((&*key.caller, &*key.operation, &*key.peer)).or_default() += calls.durations.count();
    }
    unanswered
}

fn counts(by_callee: &BTreeMap<Text, AnsweredCalls>) -> BTreeMap<&str, u64> {
    by_callee.iter().map(|(callee, calls)| (&**callee, calls.durations.count())).collect()
}

/// The one that nearly all agree on.
fn agreed<'a>(callees: &BTreeMap<&'a str, u64>) -> Option<&'a str> {
    let all: u64 = callees.values().sum();
    callees.iter().find(|(_, count)| **count as f64 >= AGREED_MIN * all as f64).map(|(callee, _)| *callee)
}

/// `contacts` of `http://contacts.shop.svc.cluster.local:8080/`: an address of a service begins with its name.
fn plain_name(peer: &str) -> String {
    let host = peer.split_once("://").map_or(peer, |(_, rest)| rest);
    host.split(['.', ':', '/']).next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_begins_with_the_name_of_its_service() {
        let all = ["contacts", "Contacts.shop.svc.cluster.local:8080", "http://contacts:80/x", "contacts:80"];
        assert!(all.iter().all(|peer| plain_name(peer) == "contacts"));
    }
}
