//! Evidence in the shape of traces: calls that stopped, errors that begin.
//!
//! A service that fails or returns early changes what traces consist of, not how long they take.

use std::collections::{BTreeMap, BTreeSet};

use super::parameters::Parameters;
use super::profile::{Child, ChildCounts, Profile};
use super::services::Party;
use crate::analyse::statistics::mathematics::{
    MEDIAN_SQUARE, Share, ShareModel, log_mean_exp, log_odds, median, share_changed,
};
use crate::analyse::thresholds::change::{NOT_LOST, ORPHANS_MAX, ORPHANS_WORTH};
use crate::model::Text;

/// Log-likelihood ratios by where the change began.
pub(super) struct Shape<'a> {
    /// Early returns.
    pub lost: BTreeMap<Party<'a>, f64>,
    /// Errors that begin here.
    pub failing: BTreeMap<Party<'a>, f64>,
    /// More calls for each request.
    pub asks_more: BTreeMap<Party<'a>, f64>,
    /// Of each service, the operation with the strongest evidence of any.
    pub operations: BTreeMap<Party<'a>, (f64, &'a str)>,
}

/// How the children of one operation moved. Presence is the share of spans that have such a child.
struct Children<'a> {
    service: &'a str,
    operation: &'a str,
    /// Children seen less often: evidence, and presence lost.
    fewer: Vec<(&'a Child, f64, f64)>,
    /// How many kinds are seen more often, and the presence gained.
    more: usize,
    gained: f64,
    /// Evidence that calls are made more often for each request.
    asked: Vec<f64>,
}

impl Children<'_> {
    fn lost(&self) -> f64 {
        self.fewer.iter().map(|(_, _, lost)| lost).sum()
    }
}

struct Judge<'a> {
    baseline: &'a Profile,
    incident: &'a Profile,
    parameters: &'a Parameters,
    /// What a baseline share of each service is worth at most, in calls.
    calls_max: BTreeMap<&'a str, f64>,
}

impl<'a> Shape<'a> {
    pub fn new(baseline: &'a Profile, incident: &'a Profile, parameters: &'a Parameters) -> Shape<'a> {
        let calls_max = worth_of_shares(baseline, incident, parameters);
        let judge = Judge { baseline, incident, parameters, calls_max };
        let mut lost: BTreeMap<Party<'a>, (Vec<f64>, f64, f64)> = BTreeMap::new();
        let mut failing: BTreeMap<Party<'a>, Vec<f64>> = BTreeMap::new();
        let mut operations = BTreeMap::new();
        let mut strongest = |party: Party<'a>, log: f64, operation: &'a str| {
            let best = operations.entry(party).or_insert((log, operation));
            if log > best.0 {
                *best = (log, operation);
            }
        };
        let mut asks_more: BTreeMap<Party<'a>, Vec<f64>> = BTreeMap::new();
        for children in judge.children() {
            let party = Party::service(children.service);
            for log in &children.asked {
                asks_more.entry(party).or_default().push(*log);
                strongest(party, *log, children.operation);
            }
            let (evidence, losses, gains) = lost.entry(party).or_default();
            let (fewer, more) = (children.lost(), children.gained);
            // A call replaced by another is another request, not an early return.
            let not_replaced = Share::new((fewer - more).max(0.0), fewer).value();
            *losses += (fewer - more).max(0.0);
            *gains += (more - fewer).max(0.0);
            for (_, log, _) in &children.fewer {
                let log = if *log > 0.0 { log * not_replaced } else { *log };
                evidence.push(log);
                strongest(party, log, children.operation);
            }
            evidence.extend(std::iter::repeat_n(NOT_LOST, children.more));
        }
        for (party, operation, log) in judge.errors() {
            failing.entry(party).or_default().push(log);
            strongest(party, log, operation);
        }
        let lost = lost.into_iter().filter(|(_, (evidence, ..))| !evidence.is_empty()).map(|(party, lost)| {
            let (mut evidence, losses, gains) = lost;
            let net = Share::new((losses - gains).max(0.0), losses + gains).value();
            evidence.iter_mut().filter(|log| **log > 0.0).for_each(|log| *log *= net);
            (party, log_mean_exp(&evidence))
        });
        let failing = failing.into_iter().map(|(party, logs)| (party, log_mean_exp(&logs)));
        let asks_more = asks_more.into_iter().map(|(party, logs)| (party, log_mean_exp(&logs)));
        Shape { lost: lost.collect(), failing: failing.collect(), asks_more: asks_more.collect(), operations }
    }
}

/// How many calls a baseline share of each service is worth: fewer, the more the odds of optional calls drift in this very
/// case, its own left out. Where few calls are optional, those of the culprit would else excuse it.
fn worth_of_shares<'a>(baseline: &'a Profile, incident: &Profile, parameters: &Parameters) -> BTreeMap<&'a str, f64> {
    let mut drifts: Vec<(&str, f64)> = Vec::new();
    for (operation, children) in &baseline.children {
        let (before, now) = (spans_of(baseline, operation), spans_of(incident, operation));
        if now == 0.0 {
            continue;
        }
        for (child, counts) in children {
            let (parents, optional) = (counts.parents as f64, (counts.parents as f64) < before);
            if optional && parents > 0.0 {
                let after = incident.children.get(operation).and_then(|c| c.get(child)).copied().unwrap_or_default();
                let (odds_before, variance_before) = log_odds(Share::new(parents, before));
                let (odds_now, variance_now) = log_odds(Share::new(after.parents as f64, now));
                let moved2 = (odds_before - odds_now).powi(2) / MEDIAN_SQUARE;
                drifts.push((&operation.0, (moved2 - variance_before - variance_now).max(0.0)));
            }
        }
    }
    // In order once, so that each median is quick.
    drifts.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let worth = |service: &str| {
        let others = drifts.iter().filter(|(of, _)| *of != service).map(|(_, drift)| *drift);
        let drift = median(others.collect()).unwrap_or(0.0);
        // The variance of the log odds of n calls of even odds is 4/n.
        4.0 / drift.max(parameters.mix_drift * parameters.mix_drift)
    };
    let services: BTreeSet<&str> = baseline.spans.keys().map(|(service, _)| &**service).collect();
    services.into_iter().map(|service| (service, worth(service))).collect()
}

fn spans_of(profile: &Profile, operation: &(Text, Text)) -> f64 {
    profile.spans.get(operation).map_or(0.0, |counts| counts.spans as f64)
}

impl<'a> Judge<'a> {
    /// The operations that both profiles have seen.
    fn children(&self) -> impl Iterator<Item = Children<'a>> {
        let (baseline, incident) = (self.baseline, self.incident);
        baseline.spans.keys().filter(|operation| spans_of(incident, operation) > 0.0).map(|operation| {
            let all = (spans_of(baseline, operation), spans_of(incident, operation));
            let rows = |profile: &'a Profile| profile.children.get(operation);
            let (before, now) = (rows(baseline), rows(incident));
            let kinds: BTreeSet<&'a Child> = before.into_iter().chain(now).flat_map(BTreeMap::keys).collect();
            let mut moved = Children {
                service: &operation.0,
                operation: &operation.1,
                fewer: Vec::new(),
                more: 0,
                gained: 0.0,
                asked: Vec::new(),
            };
            let calls_max = self.calls_max[&*operation.0];
            for child in kinds {
                let parents = |rows: Option<&BTreeMap<Child, ChildCounts>>| {
                    rows.and_then(|r| r.get(child)).map_or(0.0, |counts| counts.parents as f64)
                };
                let before = Share::new(self.keep(child) * parents(before), all.0);
                let now = Share::new(parents(now), all.1);
                let change = now.value() - before.value();
                if child.is_call(&operation.0) {
                    // Calls beside the requests that make them, as odds: one call for each is even.
                    let calls = |rows: Option<&BTreeMap<Child, ChildCounts>>| {
                        rows.and_then(|r| r.get(child)).map_or(0.0, |counts| counts.children as f64)
                    };
                    let (made, make) = (self.keep(child) * calls(rows(baseline)), calls(rows(incident)));
                    let (before, now) = (Share::new(made, made + all.0), Share::new(make, make + all.1));
                    let model = ShareModel { calls_max, jump: self.parameters.other_mix, prior: 0.5 };
                    let log = share_changed(before, now, &model);
                    moved.asked.push(if now.value() > before.value() { log } else { log.min(0.0) });
                }
                if change < 0.0 {
                    let model = ShareModel { calls_max, jump: self.parameters.other_mix, prior: 0.5 };
                    moved.fewer.push((child, share_changed(before, now, &model), -change));
                } else {
                    moved.more += 1;
                    moved.gained += change;
                }
            }
            moved
        })
    }

    /// Spans that never came are not calls that stopped: the share of the baseline's calls of a kind that can still be seen.
    /// Where the caller's span is lost, the callee's is an orphan; a span that nobody answers is lost as often as any.
    fn keep(&self, child: &Child) -> f64 {
        let seen = |profile: &Profile| {
            let all = profile.orphan_share();
            let orphans = child.answered_by.as_ref().map_or(all, |operation| {
                let key = (child.service.clone(), operation.clone());
                let orphans = profile.orphans_of.get(&key).copied().unwrap_or(0) as f64;
                (orphans + ORPHANS_WORTH * all) / (spans_of(profile, &key) + ORPHANS_WORTH)
            });
            1.0 - orphans.min(ORPHANS_MAX)
        };
        (seen(self.incident) / seen(self.baseline)).min(1.0)
    }

    /// Operations with errors that begin there.
    fn errors(&self) -> Vec<(Party<'a>, &'a str, f64)> {
        let before = self.error_shares(self.baseline);
        let now = self.error_shares(self.incident);
        // An operation hardly seen is expected to fail as rarely as all do.
        let all = before
            .values()
            .fold(Share::new(0.5, 1.0), |sum, share| Share::new(sum.part + share.part, sum.all + share.all));
        let model = ShareModel { calls_max: f64::INFINITY, jump: self.parameters.stray_errors, prior: all.value() };
        let mut found = Vec::new();
        for ((party, operation), now) in now {
            let before = before.get(&(party, operation)).copied().unwrap_or(Share::new(0.0, 0.0));
            if before.part > 0.0 || now.part > 0.0 {
                let log = share_changed(before, now, &model);
                let grew = now.value() > before.value();
                found.push((party, operation, if grew || log <= 0.0 { log } else { -log }));
            }
        }
        found
    }

    fn error_shares(&self, profile: &'a Profile) -> BTreeMap<(Party<'a>, &'a str), Share> {
        let mut shares: BTreeMap<(Party<'a>, &'a str), Share> = BTreeMap::new();
        for ((service, operation), counts) in &profile.spans {
            let share = Share::new(counts.errors as f64, counts.spans as f64);
            shares.insert((Party::service(service), operation), share);
        }
        shares
    }
}
