//! The gates of a restart and of a resize.

use std::time::Duration;

use super::tests::World;
use super::*;
use crate::action::{self, Action, Change, CpuResize, Done, Eviction, ResizeCpu, RestartPod, RestartedPod};
use crate::analyse::{Bottleneck, Verdict};
use crate::decide::Proposal;
use crate::model::{Origin, Time};

fn restart(pod: &str) -> Proposal {
    let action = Action::RestartPod(RestartPod { service: "a".into(), pod: pod.into() });
    Proposal { origin: "restart".into(), action, because: "it is slow".into(), verdict: "bad_instance".into() }
}

fn resize(factor: f64, lasting_s: f64) -> Proposal {
    let action = Action::ResizeCpu(ResizeCpu { service: "a".into(), factor, lasting_s });
    Proposal { origin: "resize".into(), action, because: "it needs more".into(), verdict: String::new() }
}

/// The only outcome, as `gate: reason`, or the change that is permitted.
fn outcome(world: &mut World, proposal: Proposal) -> Result<Change, String> {
    let mut reviewed = world.tick(vec![proposal]);
    assert_eq!(reviewed.len(), 1, "{reviewed:?}");
    let reviewed = reviewed.remove(0);
    match &reviewed.decision.outcome {
        Outcome::Refused { gate, reason } => Err(format!("{}: {reason}", gate.as_str())),
        _ => Ok(reviewed.permit.unwrap().change().clone()),
    }
}

#[test]
fn one_slow_pod_among_ready_ones_is_restarted_with_its_record() {
    let mut world = World::new();
    let change = outcome(&mut world, restart("a-2")).unwrap();
    let Change::RestartPod(Eviction { pod, created_at, record, .. }) = change else { panic!("a restart") };
    assert_eq!((pod.as_str(), created_at), ("a-2", Time(0)));
    assert_eq!((record.replicas_before, record.replicas_after), (4, 4));
    assert_eq!(Done::of(&record), Some(Done::RestartedPod(RestartedPod { pod, created_at })));
    assert_eq!(world.tick(vec![restart("a-3")]), [], "its answer is awaited");
}

#[test]
fn never_the_last_ready_pod_nor_a_second_one() {
    let mut world = World::new();
    world.cluster.workloads[0].pods.iter_mut().skip(1).for_each(|pod| pod.ready_at = None);
    assert_eq!(outcome(&mut world, restart("a-0")).unwrap_err(), "bounds: a-0 is its last Ready pod");
    let mut world = World::new();
    world.cluster.workloads[0].pods[1].ready_at = None;
    let refused = "bounds: not all of its other pods are ready; it loses no further one";
    assert_eq!(outcome(&mut world, restart("a-0")).unwrap_err(), refused);
    assert!(outcome(&mut world, restart("a-1")).is_ok(), "it serves nothing as it is");
    assert_eq!(World::new().tick(vec![restart("gone")]), []);
}

#[test]
fn a_disruption_budget_and_an_open_intervention_are_heard_before_it_is_tried() {
    let mut world = World::new();
    world.cluster.workloads[0].terms.eviction_blocked_by = Some("PodDisruptionBudget a lets no pod go".into());
    assert_eq!(outcome(&mut world, restart("a-2")).unwrap_err(), "bounds: PodDisruptionBudget a lets no pod go");
    world.cluster.workloads[0].terms.eviction_blocked_by = None;
    let permitted = world.tick(vec![super::tests::scale_out("a", 5)]);
    world.act(&permitted);
    let refused = outcome(&mut world, restart("a-2")).unwrap_err();
    assert!(refused.ends_with("is not over yet; one change of its pods at a time"), "{refused}");
}

#[test]
fn what_the_cluster_refuses_is_asked_again_within_the_deadline_and_then_left_alone() {
    let mut world = World::new();
    let mut asked = Vec::new();
    for second in 0..900 {
        for reviewed in world.tick(vec![restart("a-2")]) {
            if let Some(permit) = reviewed.permit {
                asked.push(second);
                world.guard.settled(permit.decision(), false);
            }
        }
    }
    assert_eq!(asked.iter().filter(|second| **second < 200).count(), 10, "every 15 s of 150: {asked:?}");
    assert!(asked.iter().all(|second| *second < 150 || *second >= 750), "then not for ten minutes: {asked:?}");
}

#[test]
fn a_refusal_that_was_not_asked_about_again_is_over() {
    let mut world = World::new();
    let permit = world.tick(vec![restart("a-2")]).remove(0).permit.unwrap();
    world.guard.settled(permit.decision(), false);
    for _ in 0..200 {
        assert_eq!(world.tick(vec![]), []);
    }
    assert!(outcome(&mut world, restart("a-3")).is_ok());
}

/// While a callee is slow, or a burst is worked off, one healthy pod is slower than the others.
#[test]
fn no_pod_is_restarted_while_something_else_is_found_to_hold_requests_back() {
    let found = |world: &mut World, service: &str, verdict: Verdict| {
        world.findings.bottlenecks = vec![Bottleneck { service: service.into(), verdict, ..Bottleneck::default() }];
    };
    for (service, verdict) in [("a", Verdict::SlowDependency), ("b", Verdict::Saturated), ("b", Verdict::BadInstance)] {
        let mut world = World::new();
        found(&mut world, service, verdict);
        assert_eq!(world.tick(vec![]), []);
        found(&mut world, "a", Verdict::BadInstance);
        let refused = outcome(&mut world, restart("a-2")).unwrap_err();
        let what = format!("cooldown: {service} was found {} less than 60 s ago", verdict.as_str());
        assert!(refused.starts_with(&what), "{refused}");
        for _ in 0..58 {
            assert_eq!(world.tick(vec![restart("a-2")]), [], "said once");
        }
        assert!(outcome(&mut world, restart("a-2")).is_ok(), "a minute later only the bad pod is left");
    }
    for verdict in [Verdict::Unknown, Verdict::Healthy] {
        let mut world = World::new();
        found(&mut world, "b", verdict);
        assert!(outcome(&mut world, restart("a-2")).is_ok(), "{verdict:?} is no cause");
    }
}

#[test]
fn what_a_restart_takes_away_for_a_moment_is_no_reason_to_scale_out() {
    let mut world = World::new();
    let permit = world.tick(vec![restart("a-2")]).remove(0).permit.unwrap();
    world.guard.settled(permit.decision(), true);
    let workload = &mut world.cluster.workloads[0];
    (workload.interventions, workload.resource_version) = (permit.change().record().cloned().into_iter().collect(), 8);
    let refused = outcome(&mut world, super::tests::scale_out("a", 5)).unwrap_err();
    assert!(refused.starts_with("cooldown: its pod was restarted at "), "{refused}");
    world.now = world.now + Duration::from_secs(30);
    assert!(outcome(&mut world, super::tests::scale_out("a", 5)).is_ok(), "what is missing then is needed");
}

#[test]
fn observing_says_which_pod_it_would_restart() {
    let mut world = World::new();
    world.mode = Mode::Observe;
    let said = world.tick(vec![restart("a-2")]);
    assert_eq!(said[0].decision.outcome, Outcome::Observed { from: 4, to: 4, refused_by: vec![] });
    assert_eq!(world.tick(vec![restart("a-2")]), [], "once");
    assert_eq!(world.tick(vec![restart("a-3")]).len(), 1, "another pod is news");
}

#[test]
fn cpu_is_lent_where_the_owner_lets_it_and_given_back_whatever_else_goes_on() {
    let mut world = World::new();
    assert_eq!(
        outcome(&mut world, resize(1.5, 60.0)).unwrap_err(),
        "opt_in: its owner does not let its pods be resized"
    );
    world.cluster.workloads[0].terms.resizable = true;
    assert!(outcome(&mut world, resize(0.5, 60.0)).unwrap_err().starts_with("bounds: less CPU"));
    let reviewed = world.tick(vec![resize(9.0, 60.0)]).remove(0);
    assert_eq!(reviewed.decision.notes, ["asked for 9 times the CPU, cut to 2: the most that is lent"]);
    let permit = reviewed.permit.unwrap();
    let Change::ResizeCpu(CpuResize { factor, record, .. }) = permit.change() else { panic!("a resize") };
    assert_eq!((*factor, record.deadline), (2.0, record.applied_at + Duration::from_secs(60)));

    world.guard.settled(permit.decision(), true);
    let workload = &mut world.cluster.workloads[0];
    (workload.interventions, workload.resource_version) = (vec![record.clone()], 8);
    let back = Proposal { origin: Origin::GiveBack, ..resize(1.0, 0.0) };
    let change = outcome(&mut world, back.clone()).unwrap();
    assert!(matches!(change, Change::ResizeCpu(CpuResize { factor: 1.0, .. })), "{change:?}");
    // The permit went unused, and is stale.
    world.now = world.now + Duration::from_secs(6);
    world.findings.blind = true;
    assert!(outcome(&mut world, back).unwrap_err().starts_with("telemetry: no spans arrive"), "blind holds still");
}

/// CPU is lent, and the cluster shows it.
fn lending() -> World {
    let mut world = World::new();
    world.cluster.workloads[0].terms.resizable = true;
    let reviewed = world.tick(vec![resize(1.5, 600.0)]);
    world.act(&reviewed);
    world
}

#[test]
fn a_scale_out_is_possible_while_cpu_is_lent_and_leaves_that_record_alone() {
    let mut world = lending();
    let lent = world.cluster.workloads[0].interventions.clone();
    assert_eq!(world.one(vec![super::tests::scale_out("a", 9)]), "4->9");
    let records = &world.cluster.workloads[0].interventions;
    assert_eq!((records.len(), &records[1..]), (2, &lent[..]));
    // Each has its own end.
    let close = |world: &World, n: usize| {
        let World { now, mode, pauses, cluster, findings, .. } = world;
        let context = Context { now: *now, mode: *mode, pauses, cluster, findings, gateways_ask: true };
        world.guard.close(&"a".into(), world.cluster.workloads[0].interventions[n].id, &context)
    };
    assert!(close(&world, 0).is_some() && close(&world, 1).is_some());
}

#[test]
fn cpu_is_lent_beside_an_open_scale_out_but_no_pod_is_restarted_beside_either() {
    let mut world = World::new();
    world.cluster.workloads[0].terms.resizable = true;
    assert_eq!(world.one(vec![super::tests::scale_out("a", 5)]), "4->5");
    assert!(matches!(outcome(&mut world, resize(1.5, 60.0)), Ok(Change::ResizeCpu(_))));
    let refused = outcome(&mut lending(), restart("a-2")).unwrap_err();
    assert_eq!(refused, "cooldown: i-10000-1 is not over yet; one change of its pods at a time");
}

#[test]
fn a_write_that_is_not_seen_yet_makes_every_slot_wait() {
    let mut world = World::new();
    world.cluster.workloads[0].terms.resizable = true;
    let permit = world.tick(vec![resize(1.5, 600.0)]).remove(0).permit.unwrap();
    assert_eq!(world.tick(vec![super::tests::scale_out("a", 9)]), [], "on this version it would conflict");
    // Its record is written, while the pods are still being resized: no answer yet.
    action::put(&mut world.cluster.workloads[0].interventions, permit.change().record().unwrap().clone());
    world.cluster.workloads[0].resource_version += 1;
    assert_eq!(world.tick(vec![super::tests::scale_out("a", 9)]).len(), 1);
}

#[test]
fn what_is_refused_for_one_slot_holds_up_no_other() {
    let mut world = World::new();
    world.cluster.workloads[0].terms.resizable = true;
    let permit = world.tick(vec![restart("a-2")]).remove(0).permit.unwrap();
    world.guard.settled(permit.decision(), false);
    assert!(outcome(&mut world, restart("a-2")).unwrap_err().contains("less than 15 s ago"));
    assert!(outcome(&mut world, resize(1.5, 60.0)).is_ok(), "no pod was changed");
}

#[test]
fn a_breaker_and_the_budget_hold_for_pods_as_for_replicas_and_never_for_a_return() {
    let mut world = lending();
    world.now = world.now + Duration::from_secs(600);
    world.guard.open_breaker(&"resize".into(), &"a".into(), "i-1-1 had no effect", world.now);
    world.guard.open_breaker(&Origin::GiveBack, &"a".into(), "i-1-1 had no effect", world.now);
    let back = Proposal { origin: Origin::GiveBack, ..resize(1.0, 0.0) };
    assert!(matches!(outcome(&mut world, back), Ok(Change::ResizeCpu(CpuResize { factor: 1.0, .. }))));
    let mut world = World::new();
    world.cluster.workloads[0].terms.resizable = true;
    world.guard = Guard::new(Config { added_replicas_max: 3, ..Config::default() });
    assert!(outcome(&mut world, resize(1.5, 60.0)).unwrap_err().starts_with("budget: headroom may have changed 3"));
    world.guard.open_breaker(&"restart".into(), &"a".into(), "i-1-1 had no effect", world.now);
    assert!(outcome(&mut world, restart("a-2")).unwrap_err().starts_with("breaker: the breaker of restart for a"));
}
