//! The open interventions: taken up when applied or found again, moved on at every tick, ended once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::config::Config;
use super::judge::{State, Watch};
use super::report::{InterventionReport, Stage};
use crate::action::{Change, Done};
use crate::analyse::{Findings, PodsWithSpans};
use crate::decide::Proposal;
use crate::guard::Permit;
use crate::model::{ClockStep, ClusterState, InterventionId, InterventionRecord, Origin, ServiceId, Time};

/// Ended interventions that are still known, so that a stale snapshot of the cluster does not bring one back:
/// far more than end within the seconds that a snapshot may be late.
const ENDED_KEPT: usize = 256;

/// What the verifier reports and asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Verification {
    /// An intervention changed its stage, or is late.
    Reported(InterventionReport),
    /// It has ended: remove its record (`Guard::close` makes the permit).
    Close { service: ServiceId, intervention: InterventionId },
    /// No effect: not again for this cause (`Guard::open_breaker`).
    OpenBreaker { origin: Origin, service: ServiceId, cause: String },
    /// Return what had no effect, or what was lent. A proposal like a rule's: it passes the guard.
    GiveBack(Proposal),
}

pub struct Verifier {
    config: Config,
    open: BTreeMap<InterventionId, Watch>,
    /// Oldest first, at most [`ENDED_KEPT`].
    ended: VecDeque<InterventionId>,
}

impl Verifier {
    pub fn new(config: Config) -> Verifier {
        Verifier { config, open: BTreeMap::new(), ended: VecDeque::new() }
    }

    /// The interventions that have not ended, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &InterventionReport> {
        self.open.values().map(|watch| &watch.report)
    }

    /// The cluster did what the permit says. Applying one twice is applying it once.
    pub fn applied(&mut self, permit: &Permit, now: Time) -> Vec<Verification> {
        let change = permit.change();
        if let (Some(record), Some(reason)) = (change.record(), change.under_way(now)) {
            return self.take_up(change.service(), record, change.from(), reason);
        }
        if let Change::Close { intervention, .. } = change {
            self.open.remove(intervention);
            self.end(*intervention);
        }
        Vec::new()
    }

    fn take_up(
        &mut self,
        service: &ServiceId,
        record: &InterventionRecord,
        from: u32,
        reason: String,
    ) -> Vec<Verification> {
        // One of a kind that this version does not know is left to the version that does.
        let Some(done) = Done::of(record).filter(|_| !self.knows(record.id)) else { return Vec::new() };
        let mut reported = self.supersede(service, record, &done);
        let watch = Watch::new(service.clone(), record.clone(), done, from, reason);
        reported.push(Verification::Reported(watch.report.clone()));
        self.open.insert(record.id, watch);
        reported
    }

    /// Take up what the objects record and nobody here follows: after a restart, exactly once each. One that
    /// is followed already, or has ended, is left alone.
    pub fn adopt(&mut self, cluster: &ClusterState, now: Time) -> Vec<Verification> {
        let mut reported = Vec::new();
        for workload in &cluster.workloads {
            for record in &workload.interventions {
                let (service, done) = (&workload.service, Done::of(record));
                let newer = |watch: &Watch| watch.record.applied_at > record.applied_at;
                let Some(done) = done.filter(|done| !self.in_place_of(service, done).any(newer)) else { continue };
                let reason = format!("found on the object at {now}: {}; followed to its end", done.describe(record));
                reported.extend(self.take_up(service, record, record.replicas_before, reason));
            }
        }
        reported
    }

    /// Move every intervention on. What is found on the cluster and not followed yet is adopted first. `dropped` hold what
    /// nobody asks for any more.
    pub fn tick(
        &mut self,
        now: Time,
        findings: &Findings,
        cluster: &ClusterState,
        pods: &PodsWithSpans,
        dropped: &BTreeSet<InterventionId>,
    ) -> Vec<Verification> {
        let mut reported = self.adopt(cluster, now);
        for watch in self.open.values_mut() {
            let pods = pods.get(&watch.report.service);
            let is_dropped = dropped.contains(&watch.report.id);
            reported.extend(watch.tick(now, findings, cluster, pods, is_dropped, &self.config));
        }
        let gone: Vec<InterventionId> =
            self.open.extract_if(.., |_, watch| watch.state == State::Gone).map(|(id, _)| id).collect();
        gone.into_iter().for_each(|id| self.end(id));
        reported
    }

    /// All clocks stepped: deadlines stay as far away as they were.
    pub fn step_clock(&mut self, step: ClockStep) {
        self.open.values_mut().for_each(|watch| watch.step_clock(step));
    }

    fn knows(&self, intervention: InterventionId) -> bool {
        self.open.contains_key(&intervention) || self.ended.contains(&intervention)
    }

    /// The open interventions of the same place of the same object: one at most.
    fn in_place_of<'a>(&'a self, service: &'a ServiceId, done: &Done) -> impl Iterator<Item = &'a Watch> {
        let place = done.place();
        self.open.values().filter(move |watch| watch.report.service == *service && watch.done.place() == place)
    }

    /// A later change of the same place takes that of the open one.
    fn supersede(&mut self, service: &ServiceId, by: &InterventionRecord, done: &Done) -> Vec<Verification> {
        let Some(id) = self.in_place_of(service, done).map(|watch| watch.report.id).next() else { return Vec::new() };
        let Some(mut watch) = self.open.remove(&id) else { return Vec::new() };
        self.end(id);
        let (stage, reason) = match watch.report.stage {
            _ if watch.is_owed() && done.is_return(by) => (Stage::GivenBack, format!("given back by {}", by.id)),
            stage if stage.is_end() => return Vec::new(), // its last word was said
            _ => (Stage::Superseded, format!("{} changed the same target again and carries on from here", by.id)),
        };
        watch.report.stage = stage;
        watch.report.reason = reason;
        vec![Verification::Reported(watch.report)]
    }

    fn end(&mut self, intervention: InterventionId) {
        if self.ended.len() >= ENDED_KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back(intervention);
    }
}
