//! The gates of a restart and of a resize.

use std::time::Duration;

use super::tests::World;
use super::*;
use crate::analyse::{Bottleneck, Verdict};
use crate::decide::{GIVE_BACK, Proposal, Wish};
use crate::model::{Deed, Time};

fn restart(pod: &str) -> Proposal {
    let wish = Wish::RestartPod { service: "a".into(), pod: pod.into() };
    Proposal { rule: "restart".into(), wish, because: "it is slow".into(), verdict: "bad_instance".into() }
}

fn resize(factor: f64, lasting_s: f64) -> Proposal {
    let wish = Wish::ResizeCpu { service: "a".into(), factor, lasting_s };
    Proposal { rule: "resize".into(), wish, because: "it needs more".into(), verdict: String::new() }
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
    let Change::RestartPod { pod, created_at, record, .. } = change else { panic!("a restart") };
    assert_eq!((pod.as_str(), created_at), ("a-2", Time(0)));
    assert_eq!((record.replicas_before, record.replicas_after), (4, 4));
    assert_eq!(record.deed, Deed::RestartedPod { pod, created_at });
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
    (workload.intervention, workload.resource_version) = (permit.change().record().cloned(), 8);
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
    assert_eq!(said[0].decision.outcome, Outcome::Observed { from: 4, to: 4 });
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
    let Change::ResizeCpu { factor, record, .. } = permit.change() else { panic!("a resize") };
    assert_eq!((*factor, record.deadline), (2.0, record.applied_at + Duration::from_secs(60)));

    world.guard.settled(permit.decision(), true);
    let workload = &mut world.cluster.workloads[0];
    (workload.intervention, workload.resource_version) = (Some(record.clone()), 8);
    let back = Proposal { rule: GIVE_BACK.into(), ..resize(1.0, 0.0) };
    let change = outcome(&mut world, back.clone()).unwrap();
    assert!(matches!(change, Change::ResizeCpu { factor: 1.0, .. }), "{change:?}");
    // The permit went unused, and is stale.
    world.now = world.now + Duration::from_secs(6);
    world.findings.blind = true;
    assert!(outcome(&mut world, back).unwrap_err().starts_with("telemetry: no spans arrive"), "blind holds still");
}
