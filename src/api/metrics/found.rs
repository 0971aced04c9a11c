//! What the last tick found, as gauges: read from its snapshot when they are asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::declared::Name;
use super::labels::Labels;
use super::page::Page;
use super::traffic::Traffic;
use crate::analyse::{Compliance, EntryFinding, Findings, ObjectiveStatus, ServiceFinding, SightLevel, Verdict};
use crate::api::Snapshot;
use crate::guard::Mode;
use crate::model::ServiceId;

const STATUSES: [&str; 3] =
    [ObjectiveStatus::Met.as_str(), ObjectiveStatus::AtRisk.as_str(), ObjectiveStatus::Missed.as_str()];
const LEVELS: [&str; 3] = [SightLevel::Blind.as_str(), SightLevel::Partial.as_str(), SightLevel::Clear.as_str()];
const MODES: [&str; 2] = ["observe", "enforce"];

fn verdicts() -> [&'static str; Verdict::ALL.len()] {
    Verdict::ALL.map(Verdict::as_str)
}

/// Those that have a place among the counters: what is counted in `_other` has no gauges, as one number of many services
/// says nothing.
pub fn show(page: &mut Page, snapshot: &Snapshot, traffic: &Traffic) {
    let findings = &snapshot.findings;
    let none = Arc::default();
    page.states(Name::Verdict, &none, None, ("verdict", &verdicts()), findings.verdict().as_str());
    page.states(Name::Sight, &none, None, ("level", &LEVELS), findings.sight.level.as_str());
    page.number(Name::SeenShare, &none, findings.sight.share);
    page.flag(Name::Blind, &none, findings.blind);
    page.flag(Name::Partial, &none, findings.sight.level == SightLevel::Partial);
    page.whole(Name::Bottlenecks, &none, findings.bottlenecks.len() as u64);
    page.whole(Name::EntriesMissed, &none, findings.entries.iter().filter(|entry| entry.missed).count() as u64);
    page.whole(Name::SilentFailures, &none, findings.silent_failures.len() as u64);
    page.whole(Name::IncompleteServices, &none, findings.missing_parents.len() as u64);
    let mode = if snapshot.mode == Mode::Enforce { "enforce" } else { "observe" };
    page.states(Name::Mode, &none, None, ("mode", &MODES), mode);
    page.flag(Name::Paused, &none, snapshot.pauses.all().is_some());
    for (service, _) in snapshot.pauses.iter() {
        if let Some(service) = service {
            page.flag(Name::ServicePaused, &Arc::new(Labels::service(service)), true);
        }
    }
    for (origin, service) in &snapshot.breakers {
        let labels = Labels::service(service.as_str()).with("rule", origin.kind_or_rule());
        page.flag(Name::BreakerOpen, &Arc::new(labels), true);
    }
    page.flag(Name::Leader, &none, !snapshot.follows());
    page.whole(Name::NotifyCauses, &none, snapshot.notices.len() as u64);
    for entry in findings.entries.iter().filter(|entry| traffic.entries.has_room_for(&entry.entry)) {
        show_entry(page, entry, findings);
    }
    show_services(page, snapshot, traffic);
    show_bottlenecks(page, findings);
}

fn show_entry(page: &mut Page, entry: &EntryFinding, findings: &Findings) {
    let labels = Arc::new(Labels::entry(&entry.entry));
    page.number(Name::EntryRate, &labels, entry.requests_per_s);
    page.number(Name::EntryP50, &labels, entry.p50_ms / 1e3);
    page.number(Name::EntryP99, &labels, entry.p99_ms / 1e3);
    page.number(Name::EntryErrorRatio, &labels, entry.error_share);
    page.number(Name::EntryMissedRatio, &labels, entry.missed_share);
    page.flag(Name::ObjectiveMissed, &labels, entry.missed);
    if let Some(sight) = findings.sight.entries.iter().find(|sight| sight.entry == entry.entry) {
        page.number(Name::EntrySeen, &labels, sight.whole_share);
    }
    // An endpoint that nobody promised anything of has no objective.
    if entry.objective_ms <= 0.0 {
        return;
    }
    let Compliance { latency, errors, quantile, latency_ms, slow_share, error_share, errors_allowed, .. } =
        entry.compliance;
    let slow_allowed = rounded(1.0 - quantile);
    page.number(Name::EntryLatency, &labels, latency_ms / 1e3);
    page.number(Name::ObjectiveLatency, &labels, entry.objective_ms / 1e3);
    page.number(Name::ObjectiveSlowAllowed, &labels, slow_allowed);
    page.number(Name::ObjectiveErrorsAllowed, &labels, errors_allowed);
    for (part, status, bad, allowed) in
        [("latency", latency, slow_share, slow_allowed), ("errors", errors, error_share, errors_allowed)]
    {
        let part = ("part", part);
        page.states(Name::ObjectiveStatus, &labels, Some(part), ("status", &STATUSES), status.as_str());
        if allowed > 0.0 {
            page.labelled(Name::ObjectiveBurn, &labels, part, super::page::Value::Number(bad / allowed));
        }
    }
}

/// Without the last digits that a difference of shares leaves: 1 - 0.99 is 0.01.
fn rounded(share: f64) -> f64 {
    (share * 1e9).round() / 1e9
}

/// Services that spans came from, that opted in, or that something is found of.
fn show_services(page: &mut Page, snapshot: &Snapshot, traffic: &Traffic) {
    let findings = &snapshot.findings;
    let found = verdicts_of(findings);
    let mut services: BTreeMap<&str, Option<&ServiceFinding>> = BTreeMap::new();
    services.extend(found.keys().map(|service| (*service, None)));
    services.extend(snapshot.cluster.workloads.iter().map(|workload| (workload.service.as_str(), None)));
    services.extend(findings.services.iter().map(|of| (of.service.as_str(), Some(of))));
    let otherwise = match findings.sight.level {
        SightLevel::Blind => Verdict::Blind,
        SightLevel::Partial => Verdict::Partial,
        SightLevel::Clear => Verdict::Healthy,
    };
    for (service, of) in services.into_iter().filter(|(service, _)| traffic.services.has_room_for(service)) {
        let labels = Arc::new(Labels::service(service));
        let verdict = match found.get(service) {
            Some(verdict) => Some(*verdict),
            None => of.map(|_| otherwise),
        };
        if let Some(verdict) = verdict {
            page.states(Name::ServiceVerdict, &labels, None, ("verdict", &verdicts()), verdict.as_str());
        }
        if let Some(of) = of {
            show_service(page, &labels, of);
        }
        if let Some(pods) = snapshot.pods.get(&ServiceId::from(service)) {
            page.whole(Name::ServicePodsSeen, &labels, pods.len() as u64);
        }
        if let Some(sight) = findings.sight.services.iter().find(|sight| sight.service == service) {
            page.number(Name::ServiceSeen, &labels, 1.0 - sight.without_parent_share);
        }
        match snapshot.cluster.workload(service) {
            Some(workload) => {
                page.whole(Name::ServiceReplicas, &labels, u64::from(workload.replicas));
                page.whole(Name::ServiceReady, &labels, u64::from(workload.ready()));
                page.whole(Name::ServiceMin, &labels, u64::from(workload.min_replicas));
                page.whole(Name::ServiceMax, &labels, u64::from(workload.max_replicas));
            }
            None => {
                if let Some(of) = of {
                    page.whole(Name::ServiceReplicas, &labels, u64::from(of.replicas));
                    page.whole(Name::ServiceReady, &labels, u64::from(of.ready));
                }
            }
        }
    }
}

fn show_service(page: &mut Page, labels: &Arc<Labels>, of: &ServiceFinding) {
    page.number(Name::ServiceThroughput, labels, of.throughput_per_s);
    page.number(Name::ServiceArrivals, labels, of.arrivals_per_s);
    page.number(Name::ServiceErrorRatio, labels, of.error_share);
    page.number(Name::ServiceP99, labels, of.p99_ms / 1e3);
    page.number(Name::ServiceMeanWaiting, labels, of.waiting_ms / 1e3);
    page.number(Name::ServiceMeanOwn, labels, of.own_time_ms / 1e3);
    page.number(Name::ServiceConcurrency, labels, of.concurrency_per_pod);
    page.flag(Name::ServiceMissed, labels, of.objective_missed);
    page.flag(Name::ServiceLowTraffic, labels, of.low_traffic);
    if let Some(needed) = of.replicas_needed {
        page.whole(Name::ServiceNeeded, labels, u64::from(needed));
    }
    if let Some(seconds) = of.pod_start_s {
        page.number(Name::ServicePodStart, labels, seconds);
    }
    if let Some(per_pod) = of.capacity_per_pod_per_s {
        let capacity = per_pod * f64::from(of.ready);
        page.number(Name::ServicePodCapacity, labels, per_pod);
        page.number(Name::ServiceCapacity, labels, capacity);
        if capacity > 0.0 {
            page.number(Name::ServiceHeadroom, labels, 1.0 - of.arrivals_per_s / capacity);
        }
    }
}

/// The verdict of the worst bottleneck or silent failure that lies at each service.
fn verdicts_of(findings: &Findings) -> BTreeMap<&str, Verdict> {
    let mut verdicts = BTreeMap::new();
    for bottleneck in &findings.bottlenecks {
        verdicts.entry(bottleneck.service.as_str()).or_insert(bottleneck.verdict);
    }
    for suspect in findings.silent_failures.iter().filter(|suspect| !suspect.peer) {
        verdicts.entry(suspect.service.as_str()).or_insert(suspect.verdict);
    }
    verdicts
}

fn show_bottlenecks(page: &mut Page, findings: &Findings) {
    for bottleneck in &findings.bottlenecks {
        let of = Labels::service(&bottleneck.service)
            .with("entry", &bottleneck.entry)
            .with("verdict", bottleneck.verdict.as_str());
        let labels = Arc::new(of.clone());
        page.number(Name::BottleneckProbability, &labels, bottleneck.score);
        page.number(Name::BottleneckBlame, &labels, bottleneck.blame_ms / 1e3);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let of = of
            .with("operation", &bottleneck.operation)
            .with("k8s_pod_name", &text(&bottleneck.pod))
            .with("peer", &text(&bottleneck.peer))
            .with("caller", &text(&bottleneck.caller))
            .with("service_version", &text(&bottleneck.version));
        page.flag(Name::Bottleneck, &Arc::new(of), true);
    }
    for suspect in &findings.silent_failures {
        let labels = Labels::service(&suspect.service).with("verdict", suspect.verdict.as_str());
        page.number(Name::SilentFailure, &Arc::new(labels), suspect.score);
    }
}
