//! The status of every ServiceObjective: what `kubectl get serviceobjectives` shows. Written by the leader alone, by
//! server-side apply, and only where it changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time as MetaTime};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::sync::watch;
use tracing::warn;

use super::Now;
use super::mapping::Seen;
use super::objective::{Breaker, ObjectiveMode, ServiceObjective, ServiceObjectiveStatus};
use super::record::MANAGER;
use super::survey::{Key, Missing, Surveyed, key};
use crate::analyse::Findings;
use crate::model::{Hold, ServiceId, Time};

/// Between two rounds: a person reads it, and a burst is over in minutes.
const EVERY: Duration = Duration::from_secs(2);

/// A p99 that moved is no news by itself: alone it is written so rarely that 500 objectives cost 17 writes a second
/// at most.
const FIGURES_EVERY: Duration = Duration::from_secs(30);

/// What the engine last said, as far as the cluster's side of the house needs it.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    pub seen: Seen,
    pub findings: Findings,
    /// The last decision about each service, in a few words.
    pub decisions: BTreeMap<ServiceId, String>,
    /// Whether the configuration lets it act.
    pub enforces: bool,
    /// Spans received since the start.
    pub spans_received: u64,
}

/// Runs until the client's side is gone.
pub async fn write(
    client: Client,
    mut surveyed: watch::Receiver<Arc<Vec<Surveyed>>>,
    sight: watch::Receiver<Arc<Sight>>,
    leads: watch::Receiver<bool>,
    now: Now,
) {
    let mut written = BTreeMap::<Key, (Time, ServiceObjectiveStatus)>::new();
    while surveyed.changed().await.is_ok() {
        let (all, sight) = (surveyed.borrow_and_update().clone(), sight.borrow().clone());
        // Before the first tick nothing is known, which is not to be taken for a verdict or a mode.
        if *leads.borrow() && sight.findings.at > Time::default() {
            written.retain(|of, _| all.iter().any(|one| key(&one.objective) == *of));
            for one in all.iter().filter(|one| !led_by_another(one)) {
                let of = key(&one.objective);
                let status = status(one, &sight, now());
                let last = written.get(&of);
                if !is_new(last, one.objective.status.as_ref(), &status, now()) {
                    continue;
                }
                match apply(&client, &one.objective, &status).await {
                    Ok(()) => {
                        written.insert(of, (now(), status));
                    }
                    Err(error) => warn!(objective = of.1, "cannot write its status: {error}"),
                }
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Surveyed before this replica led, or as it ceases to: whoever leads tells more, and the next survey more than this.
fn led_by_another(one: &Surveyed) -> bool {
    one.found.as_ref().is_ok_and(|found| matches!(found.workload.held, Some(Hold::Leader { .. })))
}

fn is_new(
    last: Option<&(Time, ServiceObjectiveStatus)>,
    there: Option<&ServiceObjectiveStatus>,
    status: &ServiceObjectiveStatus,
    now: Time,
) -> bool {
    let without_figures = |status: &ServiceObjectiveStatus| ServiceObjectiveStatus { p99: None, ..status.clone() };
    match (last, there) {
        (Some((at, last)), _) if without_figures(last) == without_figures(status) => {
            last.p99 != status.p99 && now >= *at + FIGURES_EVERY
        }
        (Some(_), _) => true,
        (None, there) => there != Some(status),
    }
}

async fn apply(
    client: &Client,
    objective: &ServiceObjective,
    status: &ServiceObjectiveStatus,
) -> Result<(), kube::Error> {
    let (namespace, name) = key(objective);
    let api = Api::<ServiceObjective>::namespaced(client.clone(), &namespace);
    let applied = json!({
        "apiVersion": "headroom.dev/v1alpha1",
        "kind": "ServiceObjective",
        "metadata": {"name": name},
        "status": status,
    });
    // Not forced: whoever else writes this status is told of the conflict, and so are we.
    api.patch_status(&name, &PatchParams::apply(MANAGER), &Patch::Apply(applied)).await.map(|_| ())
}

/// Seconds are what the API keeps.
fn meta_time(at: Time) -> MetaTime {
    MetaTime(Timestamp::from_second(at.second()).unwrap_or_default())
}

fn status(one: &Surveyed, sight: &Sight, now: Time) -> ServiceObjectiveStatus {
    let objective = &one.objective;
    let before = objective.status.clone().unwrap_or_default();
    let enforces = sight.enforces && objective.spec.mode == ObjectiveMode::Enforce;
    let mut status = ServiceObjectiveStatus {
        // What it served is remembered while no span tells: a restart finds it here.
        service: before.service.clone(),
        // As long as nothing is known of the workload, nothing else is known of this.
        breaker: before.breaker,
        mode: Some(if enforces { "Enforce" } else { "Observe" }.into()),
        observed_generation: objective.meta().generation,
        ..ServiceObjectiveStatus::default()
    };
    let mut conditions = Vec::new();
    match &one.found {
        Ok(found) => {
            let workload = &found.workload;
            let service = &workload.service;
            status.breaker = match &workload.held {
                Some(Hold::Reverted { manager, until }) => {
                    Some(Breaker { manager: manager.clone(), until: meta_time(*until) })
                }
                _ => None,
            };
            status.service = Some(service.to_string());
            status.replicas = Some(format!("{}/{}", workload.ready(), workload.replicas));
            status.last_decision = sight.decisions.get(service).cloned().or(before.last_decision);
            let verdict = sight.findings.bottlenecks.iter().find(|b| b.service == service.as_str()).map(|b| b.verdict);
            let seen = sight.findings.service(service.as_str()).filter(|_| !sight.findings.blind);
            status.verdict = Some(match (verdict, seen) {
                (Some(verdict), _) => verdict.as_str().to_owned(),
                (None, Some(_)) => "healthy".to_owned(),
                (None, None) => "unknown".to_owned(),
            });
            status.p99 = seen.map(|finding| format!("{:.0}ms", finding.p99_ms));
            conditions.push(("TargetFound", true, "Found", found.lever.name()));
            conditions.push(("ServiceMapped", true, "Mapped", format!("it serves {service}")));
            conditions.push(match &workload.held {
                None if sight.findings.blind => {
                    ("Actionable", false, "Blind", "no spans arrive; nothing is changed until they do".to_owned())
                }
                None => ("Actionable", true, "Free", format!("acts through {}", found.lever.name())),
                // Never written: see `led_by_another`.
                Some(Hold::Leader { leader }) => ("Actionable", false, "Following", format!("{leader} leads")),
                Some(Hold::Owner { reason }) => ("Actionable", false, "OwnerSaysNo", reason.clone()),
                Some(Hold::Admission { reason }) => ("Actionable", false, "PolicyRefuses", reason.clone()),
                Some(Hold::Reverted { manager, until }) => (
                    "Actionable",
                    false,
                    "Reverted",
                    format!("{manager} undid the last change; left alone until {until}"),
                ),
            });
        }
        Err(Missing::Target(missing)) => {
            conditions.push(("TargetFound", false, "NotFound", format!("there is no {missing}")));
        }
        Err(Missing::Service(reason)) => {
            conditions.push(("TargetFound", true, "Found", objective.spec.target.name.clone()));
            conditions.push(("ServiceMapped", false, "NotMapped", reason.clone()));
        }
    }
    let since = |type_: &str, status: &str| {
        let same = before.conditions.iter().find(|c| c.type_ == type_ && c.status == status);
        same.map_or_else(|| meta_time(now), |condition| condition.last_transition_time.clone())
    };
    status.conditions = (conditions.into_iter())
        .map(|(type_, holds, reason, message)| {
            let holds = if holds { "True" } else { "False" };
            Condition {
                type_: type_.into(),
                status: holds.into(),
                reason: reason.into(),
                message,
                last_transition_time: since(type_, holds),
                observed_generation: objective.meta().generation,
            }
        })
        .collect();
    status
}
