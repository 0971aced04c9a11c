//! Whom calls were meant for: a callee that no longer answers leaves no span of its own, but its callers name it, and
//! healthy time tells where calls of the same kind went.

use std::collections::BTreeMap;

use super::profile::{CallKind, PeerKey, Profile};
use super::services::Party;
use crate::model::ServiceId;

/// Of the calls of a kind, the share that must be answered in healthy time before one without an answer counts as lost.
/// Of the spans of some mesh four fifths may be lost; a third party that answers one call in ten with spans is none.
const ANSWERED_MIN: f64 = 0.1;
/// Where a call does not say enough, the share of healthy calls like it that one service must have answered.
const AGREED_MIN: f64 = 0.9;

/// The services behind calls that nobody answers.
pub(super) struct Callees<'a> {
    by_kind: BTreeMap<(&'a str, &'a str, &'a str), &'a str>,
    by_peer: BTreeMap<&'a str, &'a str>,
    by_operation: BTreeMap<(&'a str, &'a str), &'a str>,
    /// By their plain name, where only one has it.
    by_name: BTreeMap<String, Option<&'a str>>,
}

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
        };
        for profile in [baseline, incident] {
            callees.learn(profile);
        }
        callees
    }

    fn learn(&mut self, profile: &'a Profile) {
        let mut unanswered: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
        for (key, calls) in &profile.peers {
            *unanswered.entry((&key.caller, &key.operation, &key.peer)).or_default() += calls.durations.count();
        }
        let mut by_peer: BTreeMap<&'a str, BTreeMap<&'a str, u64>> = BTreeMap::new();
        let mut by_operation: BTreeMap<(&'a str, &'a str), BTreeMap<&'a str, u64>> = BTreeMap::new();
        for (CallKind { caller, operation, peer }, by_callee) in &profile.answered {
            let answered: u64 = by_callee.values().map(|calls| calls.durations.count()).sum();
            let all = answered + unanswered.get(&(&**caller, &**operation, &**peer)).copied().unwrap_or(0);
            if (answered as f64) < ANSWERED_MIN * all as f64 {
                continue;
            }
            // Of equally many, the first by name.
            let most = by_callee.iter().rev().max_by_key(|(_, calls)| calls.durations.count());
            if let Some((callee, _)) = most {
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

    /// Who a call without an answer was meant for.
    pub fn party(&self, key: &'a PeerKey) -> Party<'a> {
        self.of(key).map_or_else(|| Party::of_peer(key), Party::service)
    }

    /// How the calls of a profile ended.
    pub fn outcomes(&self, profile: &'a Profile) -> OutcomeTable<'a> {
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
            table.entry((&key.caller, self.party(key))).or_default().add(outcomes);
        }
        table
    }
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
