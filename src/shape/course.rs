//! One service whose traffic is looked at: what its requests cost, what it can do, and how much may be let in now.
//!
//! The queue of now is not seen: spans tell of a second or two ago. So the queue that was seen is carried on to now by what
//! was let in since and by what is served meanwhile (a Smith predictor: O. Smith, 1957), and the limit is what is served,
//! less what works the queue off. Without that, a limit would be corrected again and again for a queue that it has
//! already ended, and swing.

use std::collections::{BTreeMap, VecDeque};

use super::config::{
    BUSY_APART_S, BUSY_QUEUES, BUSY_S, COST_WEIGHT, DRAIN_S, KNEE_WEIGHT, LEAST_SHARE, LEVEL_SEEN_S, LEVELS_MAX,
    ONSET_DEVIATIONS, PATIENT_TICKS, PROBE, PROBE_IDLE, QUEUE_MAX_S, QUEUE_MIN_S, REPORTS, WARM_UP_S, WARMING_SHARE,
};
use super::limits::{Cost, ServiceLimit};
use super::traffic::{EntryTraffic, Level};
use crate::analyse::{Offered, ServiceLoad};
use crate::model::{ClockStep, ServiceId, Time, Workload};

/// What gateways reported of a stretch of time, in work at the service.
#[derive(Clone, Copy, Debug)]
struct Report {
    from: Time,
    to: Time,
    offered: f64,
    admitted: f64,
    /// Of what was offered, as counts of requests that know nothing of each other vary.
    variance: f64,
}

impl Report {
    fn seconds(&self) -> f64 {
        self.to.seconds_since(self.from).max(1e-3)
    }

    /// Work a second that was offered beyond doubt.
    fn surely_offered(&self) -> f64 {
        (self.offered - ONSET_DEVIATIONS * self.variance.sqrt()) / self.seconds()
    }
}

/// Reports that are kept to carry a queue on: telemetry is seldom later than this many seconds.
const CARRIED: usize = 16;

#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    costs: BTreeMap<String, Cost>,
    levels: BTreeMap<Level, Time>,
    /// Work a second that a warm pod does while work waits.
    knee_per_pod: Option<f64>,
    /// The same before its workers were last busy, and when they last were.
    knee_before: Option<f64>,
    busy_at: Option<Time>,
    /// When it was last slow for another reason.
    slowed_at: Option<Time>,
    reports: VecDeque<Report>,
    /// Requests are shed now.
    is_limited: bool,
    /// Ticks in a row in which requests were shed and hardly any waited.
    idle_ticks: u32,
}

impl Course {
    /// What its requests cost lately; of entry operations that are all shed, what they cost before. While requests queue,
    /// some never reach the service, and the spans of others come too late to be counted; and what a gateway turned away has a span
    /// of its own, which asks nothing of anybody: then a cost only rises, as it does when callers ask more.
    pub fn learn_costs(&mut self, load: &ServiceLoad) {
        let may_only_rise = Course::is_busy(load) || self.has_shed_of_late();
        for asked in &load.asked_by {
            let new = Cost { calls: asked.calls, work_s: asked.work_ms / 1e3 };
            let mix = |old: f64, new: f64| {
                let mixed = old + COST_WEIGHT * (new - old);
                if may_only_rise { mixed.max(old) } else { mixed }
            };
            self.costs
                .entry(asked.entry.clone())
                .and_modify(|old| *old = Cost { calls: mix(old.calls, new.calls), work_s: mix(old.work_s, new.work_s) })
                .or_insert(new);
        }
    }

    /// Some of the requests that telemetry may still tell of were turned away.
    fn has_shed_of_late(&self) -> bool {
        self.reports.iter().any(|report| report.admitted < report.offered)
    }

    /// All its workers are: requests wait for them.
    fn is_busy(load: &ServiceLoad) -> bool {
        load.queue_ms / 1e3 > (BUSY_QUEUES * Course::aim_s(load)).max(BUSY_S)
    }

    /// Takes what gateways reported from one instant to another.
    pub fn report(&mut self, from: Time, to: Time, traffic: &[EntryTraffic]) {
        let (mut offered, mut admitted, mut variance) = (0.0, 0.0, 0.0);
        for one in traffic {
            let Some(cost) = self.costs.get(&one.entry) else { continue };
            offered += one.offered as f64 * cost.work_s;
            admitted += one.admitted as f64 * cost.work_s;
            variance += one.offered as f64 * cost.work_s * cost.work_s;
            if self.levels.len() < LEVELS_MAX || self.levels.contains_key(&one.level) {
                self.levels.insert(one.level, to);
            }
        }
        self.levels.retain(|_, seen| to.seconds_since(*seen) < LEVEL_SEEN_S);
        self.reports.push_back(Report { from, to, offered, admitted, variance });
        while self.reports.len() > CARRIED {
            self.reports.pop_front();
        }
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.levels.values_mut().chain(&mut self.busy_at).chain(&mut self.slowed_at));
        step.move_all(self.reports.iter_mut().flat_map(|report| [&mut report.from, &mut report.to]));
    }

    /// The queue that is aimed at, in seconds.
    fn aim_s(load: &ServiceLoad) -> f64 {
        (load.work_ms / 1e3).clamp(QUEUE_MIN_S, QUEUE_MAX_S)
    }

    /// Its requests take longer for what they are served by, not for how many they are: what was taken for its limit meanwhile was
    /// none.
    pub fn forget_knee(&mut self, now: Time) {
        if self.busy_at.is_some_and(|at| now.seconds_since(at) <= BUSY_APART_S) {
            self.knee_per_pod = self.knee_before;
        }
        self.slowed_at = Some(now);
    }

    /// Learns what it can do from a second in which work waited; tries more where requests are shed and none waits.
    pub fn learn_knee(&mut self, load: &ServiceLoad, workload: &Workload, now: Time) {
        let pods = warm_pods(workload, now);
        let (queue_s, aim_s) = (load.queue_ms / 1e3, Course::aim_s(load));
        let is_slowed = self.slowed_at.is_some_and(|at| now.seconds_since(at) <= BUSY_APART_S);
        if pods <= 0.0 || is_slowed {
            return;
        }
        if Course::is_busy(load) && load.served_work_per_s > 0.0 {
            if self.busy_at.is_none_or(|at| now.seconds_since(at) > BUSY_APART_S) {
                self.knee_before = self.knee_per_pod;
            }
            self.busy_at = Some(now);
            let new = load.served_work_per_s / pods;
            // The first second of a queue was only partly busy, and corrected by those after it.
            self.knee_per_pod = Some(self.knee_per_pod.map_or(new, |old| old + KNEE_WEIGHT * (new - old)));
        } else if self.is_limited && queue_s < aim_s {
            let sheds = self.reports.back().is_some_and(|last| last.admitted < 0.98 * last.offered);
            self.idle_ticks = if sheds && queue_s < aim_s / 2.0 { self.idle_ticks + 1 } else { 0 };
            let probe = if self.idle_ticks > PATIENT_TICKS { PROBE_IDLE } else { PROBE };
            self.knee_per_pod = self.knee_per_pod.map(|knee| if sheds { knee * probe } else { knee });
        } else {
            self.idle_ticks = 0;
        }
    }

    fn knee(&self, workload: &Workload, now: Time) -> Option<f64> {
        self.knee_per_pod.map(|per_pod| per_pod * warm_pods(workload, now)).filter(|knee| *knee > 0.0)
    }

    /// What gateways say, in the mean of their last reports, or by the last alone where it tells of a rise; None where none
    /// has reported.
    pub fn offered(&self, load: &ServiceLoad, workload: &Workload, now: Time) -> Option<Offered> {
        let last = || self.reports.iter().rev().take(REPORTS);
        let seconds: f64 = last().map(Report::seconds).sum();
        let mean = |of: fn(&Report) -> f64| last().map(of).sum::<f64>() / seconds;
        let (mut offered, mut admitted) = (mean(|report| report.offered), mean(|report| report.admitted));
        if let Some(last) = self.reports.back().filter(|last| last.surely_offered() > offered) {
            (offered, admitted) = (last.surely_offered(), (last.admitted / last.seconds()).min(last.surely_offered()));
        }
        (seconds > 0.0).then(|| Offered {
            work_per_s: offered,
            admitted_work_per_s: admitted,
            knee_work_per_s: self.knee(workload, now),
            queue_aim_ms: Course::aim_s(load) * 1e3,
        })
    }

    /// The queue now, in seconds, from what was seen in the second before `complete_to`.
    fn queue_s(&self, load: &ServiceLoad, complete_to: Time, knee: f64) -> f64 {
        let mut queue_s = load.queue_ms / 1e3;
        // What ended in the last complete second tells of its middle.
        let seen = Time(complete_to.0 - 500_000_000);
        for report in self.reports.iter().filter(|report| report.to > seen) {
            let since = report.to.seconds_since(report.from.max(seen)) / report.seconds();
            queue_s = (queue_s + since * (report.admitted / knee - report.seconds())).max(0.0);
        }
        // What nobody saw is believed up to a second: a service that refuses has a queue that grows no further.
        queue_s.min(load.queue_ms / 1e3 + 1.0)
    }

    /// The limit of now; None where what it can do is not known at all.
    pub fn limit(
        &mut self,
        service: &ServiceId,
        load: &ServiceLoad,
        workload: &Workload,
        complete_to: Time,
        now: Time,
    ) -> Option<ServiceLimit> {
        // It was never seen at its limit: what it serves is all that is known.
        let knee = self.knee(workload, now).or((load.served_work_per_s > 0.0).then_some(load.served_work_per_s))?;
        let (queue_s, aim_s) = (self.queue_s(load, complete_to, knee), Course::aim_s(load));
        let share = (1.0 - (queue_s - aim_s) / DRAIN_S).max(LEAST_SHARE);
        self.is_limited = true;
        Some(ServiceLimit {
            service: service.clone(),
            work_per_s: knee * share,
            levels: self.levels.keys().copied().collect(),
            costs: self.costs.clone(),
        })
    }

    pub fn let_go(&mut self) {
        self.is_limited = false;
    }
}

/// Pods by what they can do: one that warms up counts for less.
fn warm_pods(workload: &Workload, now: Time) -> f64 {
    let ready = workload.pods.iter().filter_map(|pod| pod.ready_at);
    ready.map(|at| if now.seconds_since(at) >= WARM_UP_S { 1.0 } else { WARMING_SHARE }).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyse::AskedBy;
    use crate::model::Pod;

    const ENTRY: &str = "web GET /";
    const WORK_S: f64 = 0.04;

    /// A service that does so much work a second, as fluid: what it is offered, and what telemetry tells two seconds late.
    struct World {
        course: Course,
        workload: Workload,
        can: f64,
        queue_s: f64,
        /// Of each second: the queue, and the work done.
        told: Vec<(f64, f64)>,
        second: i64,
    }

    impl World {
        fn new(can: f64, pods: u32) -> World {
            let pod = |n: u32| Pod { name: format!("a-{n}"), created_at: Time(0), ready_at: Some(Time(0)) };
            let workload = Workload { service: "a".into(), pods: (0..pods).map(pod).collect(), ..Workload::default() };
            World { course: Course::default(), workload, can, queue_s: 0.0, told: Vec::new(), second: 100 }
        }

        fn load(&self) -> ServiceLoad {
            let (queue_s, served) =
                self.told.len().checked_sub(3).and_then(|at| self.told.get(at)).copied().unwrap_or_default();
            ServiceLoad {
                service: "a".into(),
                queue_ms: queue_s * 1e3,
                served_work_per_s: served,
                work_ms: WORK_S * 1e3,
                asked_by: vec![AskedBy { entry: ENTRY.into(), calls: 1.0, work_ms: WORK_S * 1e3 }],
                ..ServiceLoad::default()
            }
        }

        /// One second in which so much work is offered; returns the limit that holds in the next.
        fn second(&mut self, offered: f64, limit: Option<f64>, shapes: bool) -> Option<f64> {
            let admitted = limit.map_or(offered, |limit| offered.min(limit));
            let before = self.queue_s;
            // Past two seconds of queue it refuses.
            self.queue_s = (before + admitted / self.can - 1.0).clamp(0.0, 2.0);
            let done = if before > 0.0 { self.can } else { admitted.min(self.can) };
            self.told.push((self.queue_s, done));
            let (from, to) = (Time::from_secs(self.second), Time::from_secs(self.second + 1));
            self.second += 1;
            let load = self.load();
            self.course.learn_costs(&load);
            let count = |work: f64| (work / WORK_S).round() as u64;
            let level = Level::new(1, false);
            let (offered, admitted) = (count(offered), count(admitted));
            self.course.report(from, to, &[EntryTraffic { entry: ENTRY.into(), level, offered, admitted }]);
            self.course.learn_knee(&load, &self.workload, to);
            if !shapes {
                self.course.let_go();
                return None;
            }
            let complete_to = Time::from_secs(self.second - 2);
            self.course.limit(&"a".into(), &load, &self.workload, complete_to, to).map(|limit| limit.work_per_s)
        }
    }

    #[test]
    fn a_queue_is_worked_off_and_stays_short_while_the_service_is_kept_busy() {
        let mut world = World::new(8.0, 2);
        for _ in 0..20 {
            world.second(4.0, None, false);
        }
        // Three times what it can do: noticed after four seconds.
        let mut limit = None;
        for second in 0..60 {
            limit = world.second(24.0, limit, second >= 4);
        }
        let late = &world.told[40..];
        assert!(late.iter().all(|(queue_s, _)| *queue_s < 0.5), "{late:?}");
        let done: f64 = late.iter().map(|(_, done)| done).sum::<f64>() / late.len() as f64;
        assert!(done > 0.9 * 8.0, "{done}");
    }

    #[test]
    fn what_was_learnt_while_something_held_it_back_is_unlearnt_in_half_a_minute() {
        let mut world = World::new(8.0, 2);
        for _ in 0..5 {
            world.second(4.0, None, false);
        }
        world.course.knee_per_pod = Some(1.0);
        let mut limit = Some(2.0);
        let needs = (0..60).position(|_| {
            limit = world.second(7.0, limit, true);
            limit.is_some_and(|limit| limit > 7.0)
        });
        assert!(needs.is_some_and(|seconds| seconds < 35), "{needs:?}: at one per cent a second it takes two minutes");
    }

    #[test]
    fn a_release_that_is_slow_is_no_limit() {
        let mut world = World::new(8.0, 2);
        for _ in 0..20 {
            world.second(4.0, None, false);
        }
        assert_eq!(world.course.knee_per_pod, None);
        // Its requests take a second longer, at the load that it always had.
        let mut load = ServiceLoad { queue_ms: 1e3, ..world.load() };
        for second in 120..130 {
            let now = Time::from_secs(second);
            world.course.learn_knee(&load, &world.workload, now);
            if second >= 125 {
                world.course.forget_knee(now);
            }
        }
        assert_eq!(world.course.knee_per_pod, None, "what was learnt before it was known is taken back");
        world.course.learn_knee(&load, &world.workload, Time::from_secs(135));
        assert_eq!(world.course.knee_per_pod, None, "its last requests are slow still");
        load.served_work_per_s = 6.0;
        world.course.learn_knee(&load, &world.workload, Time::from_secs(150));
        assert_eq!(world.course.knee_per_pod, Some(3.0), "a load later on is one");
    }

    /// What is offered, after so many requests in each of some seconds.
    fn offered_after(counts: &[u64]) -> f64 {
        let (mut course, workload) = (Course::default(), Workload::default());
        let asked_by = vec![AskedBy { entry: ENTRY.into(), calls: 1.0, work_ms: WORK_S * 1e3 }];
        let load = ServiceLoad { work_ms: WORK_S * 1e3, asked_by, ..ServiceLoad::default() };
        course.learn_costs(&load);
        for (second, count) in (0..).zip(counts) {
            let one =
                EntryTraffic { entry: ENTRY.into(), level: Level::new(1, false), offered: *count, admitted: *count };
            course.report(Time::from_secs(second), Time::from_secs(second + 1), &[one]);
        }
        let now = Time::from_secs(counts.len() as i64);
        course.offered(&load, &workload, now).unwrap().work_per_s / WORK_S
    }

    #[test]
    fn a_rise_that_is_no_chance_is_seen_in_the_second_in_which_it_comes() {
        let steady = offered_after(&[50; 4]);
        assert!((steady - 50.0).abs() < 1e-9, "{steady}");
        // Two deviations above, as one second in fifty is: the mean is believed.
        let noisy = offered_after(&[50, 50, 50, 64]);
        assert!((noisy - 54.7).abs() < 0.1, "{noisy}");
        let step = offered_after(&[50, 50, 50, 300]);
        assert!((step - (300.0 - 3.0 * 300.0_f64.sqrt())).abs() < 0.1, "{step}");
        let after = offered_after(&[300, 300, 300, 50]);
        assert!((after - 216.7).abs() < 0.1, "a fall is believed slowly: {after}");
    }

    #[test]
    fn a_service_that_becomes_slower_is_followed() {
        let mut world = World::new(8.0, 2);
        let mut limit = None;
        for second in 0..80 {
            if second == 30 {
                world.can = 3.0;
            }
            limit = world.second(24.0, limit, second >= 4);
        }
        let late = &world.told[50..];
        assert!(late.iter().all(|(queue_s, _)| *queue_s < 0.7), "{late:?}");
    }

    #[test]
    fn pods_that_become_ready_raise_the_limit_at_once() {
        let mut world = World::new(8.0, 2);
        let mut limit = None;
        for second in 0..30 {
            limit = world.second(24.0, limit, second >= 4);
        }
        let before = limit.unwrap();
        let ready_at = Some(Time::from_secs(world.second - 20));
        world.workload.pods.push(Pod { name: "a-9".into(), created_at: Time(0), ready_at });
        world.can = 12.0;
        let after = world.second(24.0, limit, true).unwrap();
        assert!(after > 1.3 * before, "{before} {after}");
    }

    #[test]
    fn a_cost_only_rises_while_requests_queue() {
        let mut course = Course::default();
        let load = |queue_ms: f64, calls: f64| ServiceLoad {
            queue_ms,
            work_ms: 40.0,
            asked_by: vec![AskedBy { entry: ENTRY.into(), calls, work_ms: 40.0 * calls }],
            ..ServiceLoad::default()
        };
        (0..20).for_each(|_| course.learn_costs(&load(0.0, 1.0)));
        (0..20).for_each(|_| course.learn_costs(&load(900.0, 0.2)));
        assert!((course.costs[ENTRY].calls - 1.0).abs() < 0.01, "they never got there");
        (0..20).for_each(|_| course.learn_costs(&load(900.0, 4.0)));
        assert!(course.costs[ENTRY].calls > 3.9, "callers ask again");
        (0..20).for_each(|_| course.learn_costs(&load(10.0, 1.0)));
        assert!(course.costs[ENTRY].calls < 1.1);
        let (level, entry) = (Level::new(1, false), ENTRY.to_owned());
        let shed = [EntryTraffic { entry, level, offered: 100, admitted: 30 }];
        course.report(Time::from_secs(1), Time::from_secs(2), &shed);
        (0..20).for_each(|_| course.learn_costs(&load(10.0, 0.3)));
        assert!(course.costs[ENTRY].calls > 0.99, "a gateway's answer that it is too much asks nothing of anybody");
    }

    proptest! {
        /// Whatever the service can do and is asked for, the queue is short in the end, and does not swing.
        #[test]
        fn it_does_not_swing(can in 1.0_f64..60.0, factor in 1.3_f64..10.0, late in 3_usize..8) {
            let mut world = World::new(can, 2);
            let mut limit = None;
            for second in 0..90 {
                limit = world.second(can * factor, limit, second >= late);
            }
            let end = &world.told[60..];
            prop_assert!(end.iter().all(|(queue_s, _)| *queue_s < 0.5), "{end:?}");
            let done: f64 = end.iter().map(|(_, done)| done).sum::<f64>() / end.len() as f64;
            prop_assert!(done > 0.85 * can, "{done} of {can}");
        }
    }
}
