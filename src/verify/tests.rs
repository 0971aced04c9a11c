//! Every transition of an intervention's life, driven through the guard that made its permit.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::action::{self, Action, Change, Eviction, RaiseFloor, ResizeCpu, RestartPod, ScaleIn, ScaleOut, Scaling};
use crate::analyse::{Bottleneck, Findings, PodsWithSpans, ServiceFinding, Verdict};
use crate::decide::Proposal;
use crate::guard::{self, Context, Guard, Mode, Permit};
use crate::model::{ClusterState, InterventionId, Origin, Pauses, Pod, Time, Workload};

pub(super) struct World {
    guard: Guard,
    pub(super) verifier: Verifier,
    pub(super) now: Time,
    cluster: ClusterState,
    pub(super) findings: Findings,
    pods: PodsWithSpans,
    dropped: BTreeSet<InterventionId>,
}

pub(super) fn bottleneck(verdict: Verdict) -> Bottleneck {
    Bottleneck { entry: "ingress GET /".into(), service: "a".into(), verdict, ..Bottleneck::default() }
}

fn enforcing<'a>(now: Time, pauses: &'a Pauses, cluster: &'a ClusterState, findings: &'a Findings) -> Context<'a> {
    Context { now, mode: Mode::Enforce, pauses, cluster, findings, gateways_ask: true }
}

impl World {
    /// `a` runs 4 replicas, saturated, 40 ms of waiting.
    pub(super) fn saturated() -> World {
        let now = Time::from_secs(10_000);
        let ready = |n| Pod { name: format!("a-{n}"), created_at: Time(0), ready_at: Some(Time(0)) };
        let workload = Workload {
            service: "a".into(),
            replicas: 4,
            min_replicas: 2,
            max_replicas: 20,
            resource_version: 1,
            pods: (0..4).map(ready).collect(),
            ..Workload::default()
        };
        let service = ServiceFinding {
            service: "a".into(),
            throughput_per_s: 100.0,
            arrivals_per_s: 200.0,
            error_share: 0.0,
            p99_ms: 400.0,
            waiting_ms: 40.0,
            own_time_ms: 9.0,
            concurrency_per_pod: 1.0,
            capacity_per_pod_per_s: Some(25.0),
            replicas: 4,
            ready: 4,
            replicas_needed: Some(9),
            objective_missed: true,
            low_traffic: false,
            pod_start_s: None,
        };
        let findings = Findings {
            at: now,
            bottlenecks: vec![bottleneck(Verdict::Saturated)],
            services: vec![service],
            ..Findings::default()
        };
        World {
            guard: Guard::new(guard::Config::default()),
            verifier: Verifier::new(Config::default()),
            now,
            cluster: ClusterState { at: now, workloads: vec![workload] },
            findings,
            pods: PodsWithSpans::new(),
            dropped: BTreeSet::new(),
        }
    }

    fn service(&mut self) -> &mut ServiceFinding {
        &mut self.findings.services[0]
    }

    pub(super) fn workload(&mut self) -> &mut Workload {
        &mut self.cluster.workloads[0]
    }

    /// The step helped: nothing waits and nothing is missed.
    pub(super) fn calm(&mut self) {
        self.findings.bottlenecks.clear();
        (self.service().waiting_ms, self.service().objective_missed) = (1.0, false);
    }

    pub(super) fn permit(&mut self, proposal: Proposal) -> Option<Permit> {
        self.review(vec![proposal])
    }

    /// What the guard permits last.
    fn review(&mut self, proposals: Vec<Proposal>) -> Option<Permit> {
        let World { guard, now, cluster, findings, .. } = self;
        guard.review(proposals, &enforcing(*now, &Pauses::default(), cluster, findings)).pop()?.permit
    }

    /// The cluster does what the permit says, all in one write.
    pub(super) fn write(&mut self, permit: &Permit) {
        self.cluster.at = self.now;
        let now = self.now;
        let workload = self.workload();
        workload.resource_version += 1;
        if let Some(record) = permit.change().record() {
            action::put(&mut workload.interventions, record.clone());
        }
        match permit.change() {
            Change::Scale(Scaling { to, .. }) => {
                workload.replicas = *to;
                workload.pods.truncate(*to as usize);
                for n in workload.pods.len()..*to as usize {
                    workload.pods.push(Pod { name: format!("a-{n}"), created_at: now, ready_at: None });
                }
            }
            Change::RestartPod(Eviction { pod, .. }) => {
                workload.pods.retain(|one| one.name != *pod);
                workload.pods.push(Pod { name: "a-new".into(), created_at: now, ready_at: None });
            }
            Change::ResizeCpu(_) | Change::Shed(_) | Change::LimitRate(_) => {}
            Change::ShiftWeight(shift) => {
                workload.routes[0].resource_version += 1;
                let weights = shift.to.iter().map(|(_, weight)| *weight);
                workload.routes[0].backends.iter_mut().zip(weights).for_each(|(one, weight)| one.weight = weight);
            }
            Change::Close { intervention, .. } => workload.interventions.retain(|record| record.id != *intervention),
        }
        self.guard.settled(permit.decision(), true);
    }

    pub(super) fn act(&mut self, action: Action) -> Vec<String> {
        let proposal = Proposal { origin: "rule".into(), action, because: "words".into(), verdict: String::new() };
        let permit = self.permit(proposal).expect("permitted");
        self.write(&permit);
        let said = self.verifier.applied(&permit, self.now);
        lines(&said)
    }

    fn scale_out(&mut self, to: u32) -> Vec<String> {
        self.act(Action::ScaleOut(ScaleOut { service: "a".into(), to, cooldown_s: None }))
    }

    fn all_ready(&mut self) {
        let now = self.now;
        self.workload().pods.iter_mut().for_each(|pod| pod.ready_at = pod.ready_at.or(Some(now)));
    }

    pub(super) fn tick(&mut self) -> Vec<Verification> {
        self.now = self.now + Duration::from_secs(1);
        (self.findings.at, self.cluster.at) = (self.now, self.now);
        self.verifier.tick(self.now, &self.findings, &self.cluster, &self.pods, &self.dropped)
    }

    /// Everything said within so many seconds.
    pub(super) fn pass(&mut self, seconds: u64) -> Vec<String> {
        (0..seconds).flat_map(|_| lines(&self.tick())).collect()
    }
}

pub(super) fn lines(said: &[Verification]) -> Vec<String> {
    let line = |v: &Verification| match v {
        Verification::Reported(r) => format!("{} {:?}: {}", r.id, r.stage, r.reason),
        Verification::Close { intervention, .. } => format!("close {intervention}"),
        Verification::OpenBreaker { origin, service, cause } => format!("breaker {origin} {service}: {cause}"),
        Verification::GiveBack(p) => format!("give back {:?}: {}", p.action, p.because),
    };
    said.iter().map(line).collect()
}

#[test]
fn verified_once_its_pods_are_warm_and_waiting_fell() {
    let mut world = World::saturated();
    assert_eq!(
        world.scale_out(9),
        ["i-10000-1 Applied: 4 to 9 replicas, written to the cluster at 1970-01-01T02:46:40.000Z; its pods are coming"]
    );
    // The queue builds up while the pods come; calm now would prove nothing yet.
    world.service().waiting_ms = 900.0;
    assert!(world.pass(20).is_empty());
    world.all_ready();
    assert!(world.pass(9).is_empty(), "ready, not warm");
    assert_eq!(world.pass(1), ["i-10000-1 Judging: all 9 pods ready and warm; measuring effect"]);
    assert!(world.pass(5).is_empty());
    world.calm();
    let said = world.pass(1);
    assert_eq!(
        said,
        [
            "i-10000-1 Verified: waiting at a went from 900 ms to 1 ms, and it is no longer a bottleneck",
            "close i-10000-1"
        ]
    );
    assert!(world.pass(4).is_empty(), "asked once");
    assert_eq!(world.pass(1), ["close i-10000-1"], "and again when nothing came of it");

    let World { now, ref cluster, ref findings, .. } = world;
    let pauses = Pauses::default();
    let context = enforcing(now, &pauses, cluster, findings);
    let permit = world.guard.close(&"a".into(), "i-10000-1".parse().unwrap(), &context).expect("recorded");
    world.write(&permit);
    assert!(world.verifier.applied(&permit, world.now).is_empty());
    assert!(world.pass(20).is_empty());
    assert_eq!(world.verifier.open().count(), 0);
}

/// Up to the moment when the deadline passed without effect.
fn without_effect() -> World {
    let mut world = World::saturated();
    world.scale_out(9);
    world.service().replicas_needed = Some(9);
    world.all_ready();
    world.pods.insert("a".into(), ["a-0".to_string(), "a-1".into()].into());
    assert_eq!(world.pass(10).len(), 1, "judging");
    assert!(world.pass(139).is_empty(), "judged at its deadline, not before");
    world
}

#[test]
fn no_effect_opens_the_breaker_and_is_given_back_through_the_guard_once_calm() {
    let mut world = without_effect();
    assert_eq!(
        world.pass(1),
        [
            "i-10000-1 NoEffect: waiting at a went from 40 ms to 40 ms and it is still a bottleneck. \
         7 of its pods receive no spans: long-lived connections pin the load elsewhere. \
         Kept while an objective is missed, then rolled back; not repeated for this cause",
            "breaker rule a: i-10000-1 had no effect"
        ]
    );
    assert!(world.pass(300).is_empty(), "never undone while the objective misses");
    world.calm();
    world.service().low_traffic = true;
    assert!(world.pass(100).is_empty(), "nor on thin telemetry");
    world.service().low_traffic = false;
    world.service().replicas_needed = Some(3);
    assert!(world.pass(60).is_empty(), "nor in a lull");
    let Some(Verification::GiveBack(wish)) = world.tick().pop() else { panic!("calm has lasted") };

    // The guard has its own mind: nothing is given back before its window has passed.
    assert_eq!(world.permit(wish.clone()), None);
    let mut permit = None;
    for _ in 0..400 {
        world.tick();
        permit = permit.or_else(|| world.permit(wish.clone()));
        if permit.is_some() {
            break;
        }
    }
    let permit = permit.expect("given back in the end");
    world.write(&permit);
    let said = lines(&world.verifier.applied(&permit, world.now));
    assert!(said[0].starts_with("i-10000-1 GivenBack: given back by i-"), "{said:?}");
    assert!(said[1].contains("Applied: 9 to 5 replicas"), "half at a time: {said:?}");
}

#[test]
fn an_idle_pod_is_named_when_judging_begins() {
    let mut world = World::saturated();
    world.scale_out(5);
    world.all_ready();
    world.pods.insert("a".into(), (0..4).map(|n| format!("a-{n}")).collect());
    let said: Vec<Verification> = (0..10).flat_map(|_| world.tick()).collect();
    let [Verification::Reported(report)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((report.stage, report.idle_pods.as_slice()), (Stage::Judging, ["a-4".to_string()].as_slice()));
    assert!(report.reason.contains("but 1 receive no spans"), "{}", report.reason);
}

#[test]
fn a_load_that_outgrew_the_step_says_nothing_against_it() {
    let mut world = World::saturated();
    world.scale_out(9);
    world.all_ready();
    world.service().replicas_needed = Some(15);
    assert_eq!(world.pass(400).len(), 1, "judging, and no verdict");
    let said = world.scale_out(15);
    assert!(said[0].starts_with("i-10000-1 Superseded: i-10400-1 changed the same target"), "{said:?}");
    assert!(said[1].starts_with("i-10400-1 Applied"));
    assert!(world.pass(1).is_empty());
}

#[test]
fn nothing_is_judged_while_blind_or_thin() {
    let mut world = World::saturated();
    world.scale_out(9);
    world.service().replicas_needed = Some(9);
    world.all_ready();
    assert_eq!(world.pass(10).len(), 1);
    world.findings.blind = true;
    assert!(world.pass(300).is_empty());
    world.findings.blind = false;
    world.service().low_traffic = true;
    assert!(world.pass(300).is_empty());
    world.service().low_traffic = false;
    assert_eq!(world.pass(1).len(), 2, "no effect, and the breaker");
}

#[test]
fn queues_inside_the_span_are_judged_by_blame() {
    let mut world = World::saturated();
    world.service().waiting_ms = 0.5;
    world.scale_out(9);
    world.all_ready();
    world.pass(10);
    world.findings.bottlenecks = vec![bottleneck(Verdict::SlowDependency)];
    let said = world.pass(1);
    assert!(said[0].contains("Verified: waiting at a was never more than noise"), "{said:?}");
}

#[test]
fn pods_that_are_late_are_reported_once_and_judged_when_they_come() {
    let mut world = World::saturated();
    world.scale_out(9);
    let said = world.pass(300);
    assert_eq!(
        said,
        [
            "i-10000-1 Applied: past its deadline with 4 of 9 pods ready; look at the pending ones, it is judged when they are"
        ]
    );
    world.all_ready();
    assert_eq!(world.pass(10).len(), 1);
    assert!(world.pass(29).is_empty(), "a backlog must drain first");
    world.service().replicas_needed = Some(9);
    assert_eq!(world.pass(1).len(), 2);
}

#[test]
fn a_crash_forgets_nothing_and_takes_up_each_record_once() {
    let mut world = World::saturated();
    world.scale_out(9);
    world.all_ready();
    world.verifier = Verifier::new(Config::default());
    let said = world.pass(1);
    assert_eq!(
        said,
        ["i-10000-1 Applied: found on the object at 1970-01-01T02:46:41.000Z: 4 to 9 replicas; followed to its end"]
    );
    assert!(world.verifier.adopt(&world.cluster, world.now).is_empty());
    world.calm();
    let said = world.pass(20);
    assert_eq!(said.iter().filter(|line| line.contains("Verified")).count(), 1, "{said:?}");
}

#[test]
fn a_stale_snapshot_brings_nothing_back() {
    let mut world = World::saturated();
    let before = world.cluster.clone();
    world.scale_out(9);
    let first = world.cluster.clone();
    assert!(world.verifier.tick(world.now, &world.findings, &before, &world.pods, &world.dropped).is_empty());
    world.now = world.now + Duration::from_secs(5);
    world.scale_out(12);
    let said = world.verifier.tick(world.now, &world.findings, &first, &world.pods, &world.dropped);
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(world.verifier.open().map(|r| r.id.to_string()).collect::<Vec<_>>(), ["i-10005-1"]);
}

#[test]
fn other_hands_end_it() {
    let after = |bend: fn(&mut World)| {
        let mut world = World::saturated();
        world.scale_out(9);
        world.pass(10);
        bend(&mut world);
        world.pass(1)
    };
    let said = after(|w| w.workload().replicas = 6);
    assert_eq!(said, ["i-10000-1 Superseded: another hand set 6 replicas", "close i-10000-1"]);
    let said = after(|w| w.workload().interventions.clear());
    assert_eq!(said, ["i-10000-1 Superseded: its record was removed from the object by another hand"]);
    let said = after(|w| w.cluster.workloads.clear());
    assert_eq!(said, ["i-10000-1 Superseded: its workload is gone or opted out"]);
}

#[test]
fn a_scale_in_is_verified_by_calm_and_found_out_by_saturation() {
    let scaled_in = || {
        let mut world = World::saturated();
        world.calm();
        world.service().replicas_needed = Some(2);
        for _ in 0..310 {
            world.tick();
            world.review(vec![]);
        }
        let said = world.act(Action::ScaleIn(ScaleIn { service: "a".into(), to: 2, stabilisation_s: None }));
        assert!(said[0].contains("Applied: 4 to 2"), "{said:?}");
        world
    };
    let mut world = scaled_in();
    let said = world.pass(41);
    assert!(said[0].contains("Judging: 2 pods left"), "{said:?}");
    assert!(said[1].contains("Verified: the load is carried with fewer replicas"), "{said:?}");
    let mut world = scaled_in();
    world.pass(15);
    world.findings.bottlenecks = vec![bottleneck(Verdict::Saturated)];
    let said = world.pass(1);
    assert!(said[0].contains("NoEffect: it saturates with fewer replicas"), "{said:?}");
    assert!(said[1].starts_with("breaker rule a") && said[2].starts_with("close"), "{said:?}");
}

/// Ticks until something is said, at most so many seconds; what was said, and after how many.
fn until_said(world: &mut World, seconds: u32) -> (u32, Vec<Verification>) {
    let quiet = (1..=seconds).find_map(|second| Some((second, world.tick())).filter(|(_, said)| !said.is_empty()));
    quiet.unwrap_or((seconds, Vec::new()))
}

fn restarted() -> World {
    let mut world = World::saturated();
    let slow = Bottleneck { pod: Some("a-2".into()), ..bottleneck(Verdict::BadInstance) };
    world.findings.bottlenecks = vec![slow];
    let said = world.act(Action::RestartPod(RestartPod { service: "a".into(), pod: "a-2".into() }));
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("pod a-2 was evicted"), "{said:?}");
    assert_eq!(until_said(&mut world, 30).1, [], "its successor is not ready");
    world.all_ready();
    let (after, said) = until_said(&mut world, 30);
    assert_eq!((after, lines(&said).len()), (10, 1), "warm");
    assert!(lines(&said)[0].contains("a-2 is gone, and 4 pods are ready and warm"), "{said:?}");
    world
}

#[test]
fn a_restart_has_proved_itself_when_no_pod_is_far_from_the_others() {
    let mut world = restarted();
    world.calm();
    let (after, said) = until_said(&mut world, 60);
    assert_eq!(after, 30, "half a minute at work");
    assert!(lines(&said)[0].contains("none of its pods is far slower"), "{said:?}");
    assert!(matches!(said[1], Verification::Close { .. }));
}

#[test]
fn a_restart_that_did_not_help_opens_the_breaker() {
    let mut world = restarted();
    let (_, said) = until_said(&mut world, 200);
    assert!(lines(&said)[0].contains("a-2 was replaced, and a-2 is as slow"), "{said:?}");
    assert!(matches!(said[1], Verification::OpenBreaker { .. }));
}

#[test]
fn a_pod_that_stays_is_no_restart() {
    let mut world = World::saturated();
    world.findings.bottlenecks = vec![bottleneck(Verdict::BadInstance)];
    let permit = world.permit(Proposal {
        origin: "rule".into(),
        action: Action::RestartPod(RestartPod { service: "a".into(), pod: "a-2".into() }),
        because: String::new(),
        verdict: String::new(),
    });
    // Recorded, and then headroom died before the eviction.
    let record = permit.unwrap().change().record().unwrap().clone();
    world.workload().interventions = vec![record];
    world.verifier = Verifier::new(Config::default());
    assert!(lines(&world.tick())[0].contains("pod a-2 to be restarted; followed to its end"));
    let (_, said) = until_said(&mut world, 200);
    assert!(lines(&said)[0].contains("it is still there at the deadline"), "{said:?}");
}

#[test]
fn lent_cpu_is_given_back_at_its_deadline() {
    let mut world = World::saturated();
    world.workload().terms.resizable = true;
    world.act(Action::ResizeCpu(ResizeCpu { service: "a".into(), factor: 1.5, lasting_s: 60.0 }));
    let (after, said) = until_said(&mut world, 100);
    assert_eq!(after, 60);
    let Verification::GiveBack(back) = &said[0] else { panic!("{said:?}") };
    assert_eq!(back.action, Action::ResizeCpu(ResizeCpu { service: "a".into(), factor: 1.0, lasting_s: 0.0 }));
    let permit = world.permit(back.clone()).expect("permitted");
    world.write(&permit);
    let said = lines(&world.verifier.applied(&permit, world.now));
    assert!(said[0].contains("given back by"), "{said:?}");
    let (_, said) = until_said(&mut world, 5);
    assert!(lines(&said)[0].contains("the CPU of their template again"), "{said:?}");
    assert!(matches!(said[1], Verification::Close { .. }), "{said:?}");
}

#[test]
fn interventions_of_two_slots_are_followed_side_by_side_each_to_its_own_end() {
    let mut world = World::saturated();
    world.workload().terms.resizable = true;
    world.act(Action::ResizeCpu(ResizeCpu { service: "a".into(), factor: 1.5, lasting_s: 600.0 }));
    world.tick();
    world.scale_out(9);
    assert_eq!(world.verifier.open().count(), 2, "neither takes the place of the other");
    world.all_ready();
    world.calm();
    let (_, said) = until_said(&mut world, 60);
    let said = lines(&said);
    assert!(said[1].contains("i-10001-1 Verified"), "{said:?}");
    assert_eq!(said.last().map(String::as_str), Some("close i-10001-1"));
    world.workload().interventions.retain(|record| record.id.to_string() != "i-10001-1");
    assert_eq!(until_said(&mut world, 60).1, [], "the scale-out is over, the CPU is still lent");
    assert_eq!(world.verifier.open().map(|r| r.id.to_string()).collect::<Vec<_>>(), ["i-10000-1"]);

    // A crash finds what is left, by the object alone.
    world.verifier = Verifier::new(Config::default());
    assert!(lines(&world.tick())[0].contains("pods with 1.5 times their CPU; followed to its end"));
}

#[test]
fn a_raised_floor_is_held_until_its_end_and_then_given_back() {
    let mut world = World::saturated();
    world.calm();
    world.service().replicas_needed = Some(2);
    let (from, until) = (world.now, world.now + Duration::from_secs(400));
    let origin = Origin::Schedule("monday exams".into());
    world.guard.set_floors(vec![guard::Floor { service: "a".into(), origin, replicas: 8, from, until }]);
    let permit = world.review(vec![]).expect("raised");
    world.write(&permit);
    assert!(lines(&world.verifier.applied(&permit, world.now))[0].contains("4 to 8 replicas"));
    world.all_ready();
    let mut back = None;
    for second in 0..1000 {
        let said = world.tick();
        assert!(second >= 399 || said.is_empty(), "held whatever is seen: {said:?}");
        let proposals = said.into_iter().map(|one| match one {
            Verification::GiveBack(proposal) => proposal,
            other => panic!("{other:?}"),
        });
        back = world.review(proposals.collect());
        if back.is_some() {
            break;
        }
    }
    let permit = back.expect("given back in the end");
    world.write(&permit);
    let said = lines(&world.verifier.applied(&permit, world.now));
    assert!(said[0].contains("i-10000-1 GivenBack: given back by i-"), "{said:?}");
    assert_eq!(world.workload().replicas, 4);
}

#[test]
fn a_floor_is_given_back_at_its_end_or_once_nobody_asks_for_it() {
    let given_back = |is_dropped: bool| {
        let mut world = World::saturated();
        let until = world.now + Duration::from_secs(600);
        world.act(Action::RaiseFloor(RaiseFloor { service: "a".into(), to: 8, until }));
        assert_eq!(world.pass(60), [""; 0]);
        world.dropped.extend(world.cluster.workloads[0].interventions.iter().map(|of| of.id).filter(|_| is_dropped));
        world.now = if is_dropped { world.now } else { until };
        let Some(Verification::GiveBack(back)) = world.tick().pop() else { panic!("nothing is given back") };
        back.because
    };
    assert_eq!(given_back(true), "rule rule asks for 8 replicas of a no more");
    assert_eq!(given_back(false), "8 replicas of a were held until 1970-01-01T02:56:40.000Z");
}
