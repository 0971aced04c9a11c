//! From findings and what gateways report to the limits that they are to keep: one step a tick.
//!
//! Which service is shaped at all is decided elsewhere: a rule asks, the guard permits, and the object carries the record.
//! Here is only how much. A record that is removed, or has run out, ends its limit with the same tick.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::config::{ASKED_WITHIN_S, TURNED_AWAY_SEEN_S, VALID_S};
use super::course::Course;
use super::limits::{Limits, RouteLimit};
use super::traffic::EntryTraffic;
use crate::action::Done;
use crate::analyse::{Findings, ServiceLoad};
use crate::model::{ClockStep, ClusterState, ServiceId, Text, Time};

#[derive(Debug, Default)]
pub struct Shaper {
    courses: BTreeMap<ServiceId, Course>,
    reported_at: Option<Time>,
    /// When gateways last told of a request.
    asked_at: Option<Time>,
    /// When gateways last turned away a request of each entry operation.
    turned_away: BTreeMap<String, Time>,
    limits: Limits,
}

impl Shaper {
    /// Gateways saw this since they were asked last.
    pub fn report(&mut self, at: Time, traffic: &[EntryTraffic]) {
        if traffic.iter().any(|one| one.offered > 0) {
            self.asked_at = Some(at);
        }
        for one in traffic.iter().filter(|one| one.admitted < one.offered) {
            self.turned_away.insert(one.entry.clone(), at);
        }
        self.turned_away.retain(|_, last| at <= *last + Duration::from_secs(TURNED_AWAY_SEEN_S));
        let from = self.reported_at.replace(at);
        let Some(from) = from.filter(|from| *from < at) else { return };
        self.courses.values_mut().for_each(|course| course.report(from, at, traffic));
    }

    /// Some gateway asks which requests may come in.
    pub fn is_asked(&self, now: Time) -> bool {
        self.asked_at.is_some_and(|at| now <= at + Duration::from_secs(ASKED_WITHIN_S))
    }

    /// Learns from what a tick found, writes into it what gateways say, and makes the limits of now.
    pub fn tick(&mut self, now: Time, findings: &mut Findings, cluster: &ClusterState) {
        self.courses.retain(|service, _| cluster.workload(service.as_str()).is_some_and(|w| w.terms.shapeable));
        let mut limits =
            Limits { valid_until: now + Duration::from_secs(VALID_S), services: Vec::new(), routes: Vec::new() };
        for workload in cluster.workloads.iter().filter(|workload| workload.terms.shapeable) {
            let shaped = workload.interventions.iter().filter(|record| now < record.deadline);
            let shaped: Vec<Done> = shaped.filter_map(Done::of).collect();
            limits.routes.extend(shaped.iter().filter_map(|done| match done {
                Done::LimitedRate(done) => Some(RouteLimit { entry: done.entry.clone(), per_s: done.per_s }),
                Done::Scaled | Done::RaisedFloor(_) | Done::RestartedPod(_) | Done::ResizedCpu(_) | Done::Shed(_) => {
                    None
                }
            }));
            let Some(load) = findings.loads.iter_mut().find(|load| load.service == workload.service) else { continue };
            let course = self.courses.entry(workload.service.clone()).or_default();
            course.learn_costs(load);
            course.learn_knee(load, workload, now);
            load.offered = course.offered(load, workload, now);
            if shaped.iter().any(|done| matches!(done, Done::Shed(_))) {
                limits.services.extend(course.limit(&workload.service, load, workload, findings.complete_to, now));
            } else {
                course.let_go();
            }
        }
        self.limits = limits;
    }

    /// Calls a second that would come to each service beside those that do, were nothing turned away.
    pub fn kept_away(&self, findings: &Findings) -> BTreeMap<ServiceId, f64> {
        let more = |load: &ServiceLoad| {
            let offered = load.offered?;
            let work_s = (load.work_ms / 1e3).max(f64::MIN_POSITIVE);
            let shed = (offered.work_per_s - offered.admitted_work_per_s) / work_s;
            (offered.shed_share() > 0.0).then(|| (load.service.clone(), shed))
        };
        findings.loads.iter().filter_map(more).collect()
    }

    /// Entry operations of which gateways turn requests away, or did so lately enough for traces of that to come.
    pub fn turned_away(&self, now: Time) -> BTreeSet<Text> {
        let lately = |last: Time| now <= last + Duration::from_secs(TURNED_AWAY_SEEN_S);
        self.turned_away.iter().filter(|(_, last)| lately(**last)).map(|(entry, _)| entry.as_str().into()).collect()
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        self.courses.values_mut().for_each(|course| course.step_clock(step));
        step.move_all(self.reported_at.as_mut());
        step.move_all(self.asked_at.as_mut());
        step.move_all(self.turned_away.values_mut());
        step.move_all([&mut self.limits.valid_until]);
    }
}
