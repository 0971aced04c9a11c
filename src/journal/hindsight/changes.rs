//! Changes of workloads that headroom did not make: somebody's hand, an autoscaler, a release.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::action;
use crate::journal::entry::{Entry, What};
use crate::model::{ClusterState, Time};

/// A change of one service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    pub at: Time,
    pub service: String,
    /// Replicas before and after; None where pods were replaced and the replicas stayed.
    pub replicas: Option<(u32, u32)>,
}

impl Change {
    /// For people, in the past: `auth was scaled 2 -> 6`.
    pub fn in_words(&self) -> String {
        match self.replicas {
            Some((from, to)) => format!("{} was scaled {from} -> {to}", self.service),
            None => format!("pods of {} were replaced", self.service),
        }
    }
}

/// A state of the cluster shows headroom's own change within this: a poll and an API server that is slow.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);

/// All that others changed, oldest first. From the states of the cluster; where there is none, from the pods that sent spans
/// as the findings have them.
pub(super) fn by_others(entries: &[Entry]) -> Vec<Change> {
    let has_cluster =
        entries.iter().any(|entry| matches!(&entry.what, What::Cluster { state } if !state.workloads.is_empty()));
    let mut own = Own::default();
    let mut seen = Seen::default();
    let mut changes = Vec::new();
    for Entry { at, what } in entries {
        match what {
            What::Acted { change, error: None, .. } => own.keep(*at, change),
            What::Cluster { state } => {
                changes.extend(seen.cluster(*at, state).into_iter().filter(|change| !own.explains(change)));
            }
            What::Found { findings } if !has_cluster && !findings.blind => {
                let services = findings.services.iter().map(|one| (one.service.to_string(), one.replicas));
                changes.extend(seen.replicas(*at, services).into_iter().filter(|change| !own.explains(change)));
            }
            _ => {}
        }
    }
    changes
}

/// What headroom did lately.
#[derive(Default)]
struct Own(Vec<(Time, String, Option<u32>)>);

impl Own {
    fn keep(&mut self, at: Time, change: &action::Change) {
        let replicas = match change {
            action::Change::Scale(scaling) => Some(scaling.to),
            action::Change::RestartPod(_) | action::Change::ResizeCpu(_) => None,
            // It leaves pods and replicas alone.
            action::Change::Shed(_) | action::Change::LimitRate(_) | action::Change::ShiftWeight(_) => return,
            action::Change::Close { .. } => return,
        };
        self.0.retain(|(done_at, ..)| at <= *done_at + SHOWN_WITHIN);
        self.0.push((at, change.service().to_string(), replicas));
    }

    fn explains(&self, change: &Change) -> bool {
        let of_it =
            self.0.iter().filter(|(at, service, _)| *service == change.service && change.at <= *at + SHOWN_WITHIN);
        of_it.into_iter().any(|(_, _, to)| match (to, change.replicas) {
            (Some(to), Some((_, replicas))) => *to == replicas,
            // A pod that was restarted is replaced; a pod that was added or taken away is no replacement.
            (_, None) => true,
            (None, Some(_)) => false,
        })
    }
}

/// What was there before.
#[derive(Default)]
struct Seen {
    replicas: BTreeMap<String, u32>,
    pods: BTreeMap<String, BTreeSet<String>>,
}

impl Seen {
    fn replicas(&mut self, at: Time, now: impl Iterator<Item = (String, u32)>) -> Vec<Change> {
        let mut changes = Vec::new();
        for (service, replicas) in now {
            let before = self.replicas.insert(service.clone(), replicas);
            if let Some(before) = before.filter(|before| *before != replicas) {
                changes.push(Change { at, service, replicas: Some((before, replicas)) });
            }
        }
        changes
    }

    fn cluster(&mut self, at: Time, state: &ClusterState) -> Vec<Change> {
        let services = state.workloads.iter().map(|workload| (workload.service.to_string(), workload.replicas));
        let mut changes = self.replicas(at, services);
        for workload in &state.workloads {
            let service = workload.service.to_string();
            let pods: BTreeSet<String> = workload.pods.iter().map(|pod| pod.name.clone()).collect();
            let before = self.pods.insert(service.clone(), pods.clone());
            let is_scaled = changes.iter().any(|change| change.service == service);
            let Some(before) = before.filter(|before| !is_scaled && !before.is_empty()) else { continue };
            // One that is gone and one that came: a pod that merely comes late, or goes late, was scaled before.
            let is_replaced = before.difference(&pods).next().is_some() && pods.difference(&before).next().is_some();
            if is_replaced {
                changes.push(Change { at, service, replicas: None });
            }
        }
        changes
    }
}
