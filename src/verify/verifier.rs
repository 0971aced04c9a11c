//! The open interventions: taken up when applied or found again, moved on at every tick, ended once.

use std::collections::{BTreeMap, VecDeque};

use super::config::Config;
use super::judge::Watch;
use super::report::{InterventionReport, Stage};
use crate::analyse::{Findings, PodsWithSpans};
use crate::decide::Proposal;
use crate::guard::{Change, Permit};
use crate::model::{ClockStep, ClusterState, Deed, InterventionRecord, ServiceId, Time};

/// Ended interventions that are still known, so that a stale snapshot of the cluster does not bring one back:
/// far more than end within the seconds that a snapshot may be late.
const ENDED_KEPT: usize = 256;

/// What the verifier says and asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Verification {
    /// An intervention changed its stage, or is late.
    Reported(InterventionReport),
    /// It has ended: remove its record (`Guard::close` makes the permit).
    Close { service: ServiceId, intervention: String },
    /// No effect: not again for this cause (`Guard::open_breaker`).
    OpenBreaker { rule: String, service: ServiceId, cause: String },
    /// Return what had no effect. A wish like a rule's: it passes the guard.
    GiveBack(Proposal),
}

pub struct Verifier {
    config: Config,
    /// One a target, because an object carries one record.
    open: BTreeMap<ServiceId, Watch>,
    /// Ids, oldest first, at most [`ENDED_KEPT`].
    ended: VecDeque<String>,
}

impl Verifier {
    pub fn new(config: Config) -> Verifier {
        Verifier { config, open: BTreeMap::new(), ended: VecDeque::new() }
    }

    /// The interventions that have not ended, by target.
    pub fn open(&self) -> impl Iterator<Item = &InterventionReport> {
        self.open.values().map(|watch| &watch.report)
    }

    /// The cluster did what the permit says. Applying one twice is applying it once.
    pub fn applied(&mut self, permit: &Permit, now: Time) -> Vec<Verification> {
        match permit.change() {
            Change::Scale { service, from, to, record } => {
                let reason = format!("{from} to {to} replicas, written to the cluster at {now}; its pods are coming");
                self.take_up(service, record, *from, reason)
            }
            Change::RestartPod { service, pod, record, .. } => {
                let reason = format!("pod {pod} was evicted at {now}; another one takes its place");
                self.take_up(service, record, record.replicas_before, reason)
            }
            Change::ResizeCpu { service, factor, record } => {
                let reason = match *factor > 1.0 {
                    true => format!("its pods have {factor} times their CPU until {}", record.deadline),
                    false => "its pods have the CPU of their template again".into(),
                };
                self.take_up(service, record, record.replicas_before, reason)
            }
            Change::Close { service, intervention } => {
                if self.open.get(service).is_some_and(|watch| watch.report.id == *intervention) {
                    self.open.remove(service);
                }
                self.end(intervention.clone());
                Vec::new()
            }
        }
    }

    fn take_up(
        &mut self,
        service: &ServiceId,
        record: &InterventionRecord,
        from: u32,
        reason: String,
    ) -> Vec<Verification> {
        if self.knows(service, &record.id) {
            return Vec::new();
        }
        let mut said = self.supersede(service, record);
        let watch = Watch::new(service.clone(), record.clone(), from, reason);
        said.push(Verification::Reported(watch.report.clone()));
        self.open.insert(service.clone(), watch);
        said
    }

    /// Take up what the objects record and nobody here follows: after a restart, exactly once each. One that
    /// is followed already, or has ended, is left alone.
    pub fn adopt(&mut self, cluster: &ClusterState, now: Time) -> Vec<Verification> {
        let mut said = Vec::new();
        for workload in &cluster.workloads {
            let Some(record) = &workload.intervention else { continue };
            let service = &workload.service;
            let older = self.open.get(service).is_some_and(|watch| watch.record.applied_at > record.applied_at);
            if older || self.knows(service, &record.id) {
                continue;
            }
            let what = match &record.deed {
                Deed::Scaled => format!("{} to {} replicas", record.replicas_before, record.replicas_after),
                Deed::RestartedPod { pod, .. } => format!("pod {pod} to be restarted"),
                Deed::ResizedCpu { factor } => format!("pods with {factor} times their CPU"),
            };
            let reason = format!("found on the object at {now}: {what}; followed to its end");
            said.extend(self.take_up(service, record, record.replicas_before, reason));
        }
        said
    }

    /// Move every intervention on. What is found on the cluster and not followed yet is adopted first.
    pub fn tick(
        &mut self,
        now: Time,
        findings: &Findings,
        cluster: &ClusterState,
        pods: &PodsWithSpans,
    ) -> Vec<Verification> {
        let mut said = self.adopt(cluster, now);
        let mut gone = Vec::new();
        for (service, watch) in &mut self.open {
            let moved = watch.tick(now, findings, cluster, pods.get(service), &self.config);
            said.extend(moved.said);
            if moved.gone {
                gone.push(service.clone());
            }
        }
        for service in gone {
            if let Some(watch) = self.open.remove(&service) {
                self.end(watch.report.id);
            }
        }
        said
    }

    /// All clocks stepped: deadlines stay as far away as they were.
    pub fn step_clock(&mut self, step: ClockStep) {
        self.open.values_mut().for_each(|watch| watch.step_clock(step));
    }

    fn knows(&self, service: &ServiceId, intervention: &str) -> bool {
        self.open.get(service).is_some_and(|watch| watch.report.id == intervention)
            || self.ended.iter().any(|id| id == intervention)
    }

    /// A later change of the same target takes the place of the open one.
    fn supersede(&mut self, service: &ServiceId, by: &InterventionRecord) -> Vec<Verification> {
        let Some(mut watch) = self.open.remove(service) else { return Vec::new() };
        self.end(watch.report.id.clone());
        let (stage, reason) = match watch.report.stage {
            // By our own wish or a rule's: what had no effect has been returned.
            Stage::NoEffect if by.replicas_after < by.replicas_before => {
                (Stage::GivenBack, format!("given back by {}", by.id))
            }
            stage if stage.is_end() => return Vec::new(), // its last word was said
            _ if by.deed == (Deed::ResizedCpu { factor: 1.0 }) => {
                (Stage::GivenBack, format!("given back by {}", by.id))
            }
            _ => (Stage::Superseded, format!("{} changed the same target again and carries on from here", by.id)),
        };
        watch.report.stage = stage;
        watch.report.reason = reason;
        vec![Verification::Reported(watch.report)]
    }

    fn end(&mut self, intervention: String) {
        if self.ended.len() >= ENDED_KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back(intervention);
    }
}
