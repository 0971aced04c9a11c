//! From findings and what gateways report to the limits that they are to keep: one step a tick.
//!
//! Which service is shaped at all is decided elsewhere: a rule asks, the guard permits, and the object carries the record.
//! Here is only how much. A record that is removed, or has run out, ends its limit with the same tick; one that is permitted
//! begins it with the same tick, before the cluster shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::config::{ASKED_WITHIN_S, SHOWN_WITHIN_S, TURNED_AWAY_SEEN_S, VALID_S};
use super::course::Course;
use super::limits::{Limits, RouteLimit};
use super::traffic::EntryTraffic;
use crate::action::{Change, Done};
use crate::analyse::{Bottleneck, Findings, ServiceLoad, Verdict};
use crate::model::{ClockStep, ClusterState, ServiceId, Text, Time};

#[derive(Debug, Default)]
pub struct Shaper {
    courses: BTreeMap<ServiceId, Course>,
    /// Permitted and not seen yet, with the time until which that is enough.
    begun: BTreeMap<ServiceId, Time>,
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
        self.begun.retain(|_, until| now < *until);
        let mut limits =
            Limits { valid_until: now + Duration::from_secs(VALID_S), services: Vec::new(), routes: Vec::new() };
        for workload in cluster.workloads.iter().filter(|workload| workload.terms.shapeable) {
            let shaped = workload.interventions.iter().filter(|record| now < record.deadline);
            let shaped: Vec<Done> = shaped.filter_map(Done::of).collect();
            limits.routes.extend(shaped.iter().filter_map(|done| match done {
                Done::LimitedRate(done) => Some(RouteLimit { entry: done.entry.clone(), per_s: done.per_s }),
                Done::Scaled
                | Done::RaisedFloor(_)
                | Done::RestartedPod(_)
                | Done::ResizedCpu(_)
                | Done::Shed(_)
                | Done::ShiftedWeight(_) => None,
            }));
            let Some(load) = findings.loads.iter_mut().find(|load| load.service == workload.service) else { continue };
            let course = self.courses.entry(workload.service.clone()).or_default();
            let service = workload.service.as_str();
            course.learn_costs(load);
            // A release beside what runs that is slow makes requests take longer, as a queue does.
            let is_slow_release = |b: &Bottleneck| b.service == service && b.verdict == Verdict::Regression;
            match !workload.routes.is_empty() && findings.bottlenecks.iter().any(is_slow_release) {
                true => course.forget_knee(now),
                false => course.learn_knee(load, workload, now),
            }
            load.offered = course.offered(load, workload, now);
            let is_shown = shaped.iter().any(|done| matches!(done, Done::Shed(_)));
            if is_shown {
                self.begun.remove(&workload.service);
            }
            if is_shown || self.begun.contains_key(&workload.service) {
                limits.services.extend(course.limit(&workload.service, load, workload, findings.complete_to, now));
            } else {
                course.let_go();
            }
        }
        self.limits = limits;
    }

    /// What the guard permitted in this tick is kept from now on.
    pub fn begin<'a>(
        &mut self,
        now: Time,
        permitted: impl Iterator<Item = &'a Change>,
        findings: &Findings,
        cluster: &ClusterState,
    ) {
        for change in permitted {
            if let Change::Shed(shedding) = change {
                self.begin_at(now, &shedding.service, findings, cluster);
            }
        }
    }

    fn begin_at(&mut self, now: Time, service: &ServiceId, findings: &Findings, cluster: &ClusterState) {
        self.begun.insert(service.clone(), now + Duration::from_secs(SHOWN_WITHIN_S));
        let load = findings.loads.iter().find(|load| load.service == *service);
        let (Some(load), Some(workload)) = (load, cluster.workload(service.as_str())) else { return };
        let Some(course) = self.courses.get_mut(service) else { return };
        self.limits.services.retain(|limit| limit.service != *service);
        self.limits.services.extend(course.limit(service, load, workload, findings.complete_to, now));
    }

    /// Whether the record of a change could be written.
    pub fn acted(&mut self, change: &Change, is_done: bool) {
        if let Change::Shed(shedding) = change
            && !is_done
        {
            self.begun.remove(&shedding.service);
        }
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
        step.move_all(self.begun.values_mut());
        step.move_all(self.reported_at.as_mut());
        step.move_all(self.asked_at.as_mut());
        step.move_all(self.turned_away.values_mut());
        step.move_all([&mut self.limits.valid_until]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Shedding;
    use crate::analyse::AskedBy;
    use crate::model::{Details, InterventionRecord, Origin, Pod, Terms, Workload};
    use crate::shape::Level;

    const ENTRY: &str = "web GET /";

    fn second(n: i64) -> Time {
        Time::from_secs(100 + n)
    }

    fn cluster(records: Vec<InterventionRecord>) -> ClusterState {
        let pod = Pod { name: "a-0".into(), created_at: Time(0), ready_at: Some(Time(0)) };
        let workload = Workload {
            service: "a".into(),
            pods: vec![pod],
            terms: Terms { shapeable: true, ..Terms::default() },
            interventions: records,
            ..Workload::default()
        };
        ClusterState { at: second(0), workloads: vec![workload] }
    }

    fn record() -> InterventionRecord {
        InterventionRecord {
            id: "i-101-1".parse().unwrap(),
            origin: Origin::Rule("shed_beyond_capacity".into()),
            reason: "too much comes".into(),
            applied_at: second(1),
            deadline: second(300),
            replicas_before: 1,
            replicas_after: 1,
            waiting_ns_before: 0,
            details: Some(Details { kind: "shed".into(), fields: serde_json::Map::new() }),
        }
    }

    fn change() -> Change {
        Change::Shed(Shedding { service: "a".into(), record: record() })
    }

    fn findings(now: Time) -> Findings {
        let load = ServiceLoad {
            service: "a".into(),
            queue_ms: 800.0,
            served_work_per_s: 4.0,
            work_ms: 100.0,
            asked_by: vec![AskedBy { entry: ENTRY.into(), calls: 1.0, work_ms: 100.0 }],
            ..ServiceLoad::default()
        };
        Findings { at: now, complete_to: now, loads: vec![load], ..Findings::default() }
    }

    /// One tick, with what gateways saw before it; how many limits there are.
    fn tick(shaper: &mut Shaper, n: i64, cluster: &ClusterState) -> usize {
        let one = EntryTraffic { entry: ENTRY.into(), level: Level::new(1, false), offered: 120, admitted: 120 };
        shaper.report(second(n), &[one]);
        let mut findings = findings(second(n));
        shaper.tick(second(n), &mut findings, cluster);
        shaper.limits().services.len()
    }

    #[test]
    fn what_is_permitted_is_kept_from_the_same_tick_and_until_its_record_shows() {
        let (mut shaper, bare) = (Shaper::default(), cluster(Vec::new()));
        assert_eq!([0, 1].map(|n| tick(&mut shaper, n, &bare)), [0, 0]);
        shaper.begin(second(1), [&change()].into_iter(), &findings(second(1)), &bare);
        assert_eq!(shaper.limits().services.len(), 1, "at once");
        assert!(shaper.limits().services[0].work_per_s < 4.0, "a queue is worked off");
        assert_eq!([2, 3].map(|n| tick(&mut shaper, n, &bare)), [1, 1], "the cluster is not looked at yet");
        let shown = cluster(vec![record()]);
        assert_eq!(tick(&mut shaper, 4, &shown), 1);
        assert_eq!(tick(&mut shaper, 5, &bare), 0, "a record that was there and is removed ends it");
    }

    #[test]
    fn a_permit_of_which_no_record_comes_ends_by_itself_and_one_that_is_refused_at_once() {
        let (mut shaper, bare) = (Shaper::default(), cluster(Vec::new()));
        let _ = [0, 1].map(|n| tick(&mut shaper, n, &bare));
        shaper.begin(second(1), [&change()].into_iter(), &findings(second(1)), &bare);
        let limits = (2..10).map(|n| tick(&mut shaper, n, &bare)).collect::<Vec<_>>();
        assert_eq!(limits, [1, 1, 1, 1, 0, 0, 0, 0]);
        shaper.begin(second(9), [&change()].into_iter(), &findings(second(9)), &bare);
        shaper.acted(&change(), false);
        assert_eq!(tick(&mut shaper, 10, &bare), 0);
    }
}
