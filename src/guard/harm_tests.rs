//! Do no harm: what the cluster, the owner and a dependency cannot bear, and what telemetry does not show.

use std::time::Duration;

use super::tests::{World, finding, scale_in, scale_out, workload};
use super::*;
use crate::analyse::{MissingParents, SightLevel};
use crate::model::{Ceiling, Connections, Pod};

fn connected(to: &str, per_replica: u32, max: u32) -> Connections {
    Connections { to: to.into(), per_replica, max }
}

#[test]
fn what_the_cluster_cannot_bear_is_cut_or_refused_in_its_words() {
    let bounded = |replicas: u32| {
        let mut world = World::new();
        let quota = Ceiling { replicas, reason: "quota team: pods 20 of 20 used".into() };
        let nodes = Ceiling { replicas: 15, reason: "the nodes have room for 11 more pods of it".into() };
        world.cluster.workloads[0].terms.ceilings = vec![nodes, quota];
        world.tick(vec![scale_out("a", 9)]).remove(0).decision
    };
    let Outcome::Refused { gate: Gate::Bounds, reason } = bounded(4).outcome else { panic!("refused") };
    assert_eq!(reason, "quota team: pods 20 of 20 used");
    let cut = bounded(6);
    assert_eq!(cut.outcome, Outcome::Permitted { from: 4, to: 6 });
    assert_eq!(cut.notes, ["asked for 9, cut to 6: quota team: pods 20 of 20 used"]);
    assert_eq!(bounded(20).notes, [""; 0]);
}

#[test]
fn the_owner_bounds_a_step_and_says_who_goes_first() {
    let mut world = World::new();
    world.guard = Guard::new(Config { added_replicas_max: 6, ..Config::default() });
    world.cluster.workloads.push(workload("b", 4, 2, 20));
    world.cluster.workloads[0].terms.step_max = Some(3);
    world.cluster.workloads[1].terms.priority = 10;
    let reviewed = world.tick(vec![scale_out("a", 12), scale_out("b", 9)]);
    let outcomes: Vec<&Outcome> = reviewed.iter().map(|r| &r.decision.outcome).collect();
    assert_eq!(outcomes, [&Outcome::Permitted { from: 4, to: 9 }, &Outcome::Permitted { from: 4, to: 5 }]);
    assert_eq!(
        reviewed[1].decision.notes,
        [
            "asked for 12, cut to 7: the furthest that its owner lets one step go",
            "asked for 7, cut to 5: it may add 6 replicas at once"
        ]
    );
}

#[test]
fn replicas_never_take_more_connections_than_their_dependency_bears() {
    let mut world = World::new();
    world.cluster.workloads.push(workload("b", 4, 2, 20));
    world.cluster.workloads[0].terms.connections = vec![connected("orders-db", 10, 100)];
    world.cluster.workloads[1].terms.connections = vec![connected("orders-db", 5, 90)];
    let reviewed = world.tick(vec![scale_out("a", 12)]);
    let words = "orders-db bears 90 connections, 20 are for others, and each replica takes 10";
    assert_eq!(reviewed[0].decision.outcome, Outcome::Permitted { from: 4, to: 7 });
    assert_eq!(reviewed[0].decision.notes, [format!("asked for 12, cut to 7: {words}")]);
    // What was ordered a moment ago counts before the cluster shows it.
    let refused = world.tick(vec![scale_out("b", 9)]).remove(0).decision.outcome;
    let reason = "orders-db bears 90 connections, 70 are for others, and each replica takes 5".to_owned();
    assert_eq!(refused, Outcome::Refused { gate: Gate::Bounds, reason });
}

#[test]
fn no_second_step_for_a_need_whose_pods_are_still_coming() {
    let mut world = World::new();
    world.cluster.workloads[0] = workload("a", 4, 2, 100);
    assert_eq!(world.one(vec![scale_out("a", 60)]), "4->40", "as far as one step may go");
    let coming = |pod: &mut Pod| pod.ready_at = None;
    world.cluster.workloads[0].pods.iter_mut().skip(4).for_each(coming);
    world.now = world.now + Duration::from_secs(10);
    assert_eq!(world.one(vec![scale_out("a", 60)]), "cooldown: the pods ordered for this need are still coming");
    assert_eq!(world.one(vec![scale_out("a", 70)]), "40->70", "another need");
    world.now = world.now + Duration::from_secs(10);
    assert_eq!(world.one(vec![scale_out("a", 100)]), "70->100", "those are ready");
}

#[test]
fn a_part_of_the_telemetry_gives_nothing_back() {
    let mut world = World::new().watched(301, 2);
    world.findings.missing_parents = vec![MissingParents { service: "a".into(), without_parent: 40, share: 0.2 }];
    assert!(world.one(vec![scale_in("a", 2)]).starts_with("telemetry: caller spans are missing"));
    world.findings.missing_parents.clear();
    world.findings.sight.level = SightLevel::Partial;
    assert!(world.one(vec![scale_in("a", 2)]).starts_with("telemetry: a part of the traces is not seen"));
}

#[test]
fn zero_is_not_idle() {
    let mut world = World::new().watched(301, 2);
    // A service that receives no requests has low traffic, and one that is not seen has no need.
    let mut silent = finding("a", 4, Some(0));
    (silent.arrivals_per_s, silent.low_traffic) = (0.0, true);
    world.findings.services = vec![silent];
    assert!(world.one(vec![scale_in("a", 2)]).starts_with("telemetry: too few requests"));
    world.findings.services.clear();
    assert!(world.one(vec![scale_in("a", 2)]).starts_with("telemetry: no spans of it are seen"));
}

#[test]
fn everything_that_is_changed_at_once_counts_against_one_budget() {
    let mut world = World::new();
    world.guard = Guard::new(Config { added_replicas_max: 3, ..Config::default() });
    for name in ["b", "c"] {
        world.cluster.workloads.push(workload(name, 8, 2, 20));
        world.findings.services.push(finding(name, 8, Some(2)));
    }
    let mut world = world.watched(301, 4);
    let taken = world.tick(vec![scale_in("b", 6)]);
    assert_eq!(taken[0].decision.outcome, Outcome::Permitted { from: 8, to: 6 });
    world.act(&taken);
    let refused = "budget: headroom may have changed 3 replicas at once, and this would be more";
    assert_eq!(world.one(vec![scale_in("c", 6)]), refused);
    assert_eq!(world.one(vec![scale_out("a", 9)]), "4->5", "one is left of three");
    // The intervention at b has come to its end: what was taken has proved itself.
    world.cluster.workloads[1].interventions.clear();
    assert_eq!(world.one(vec![scale_in("c", 6)]), "8->6");
}

#[test]
fn another_sampling_is_not_another_load() {
    let mut world = World::new().watched(301, 2);
    world.findings.sampling_changed_at = Some(world.now - Duration::from_secs(299));
    let refused = world.one(vec![scale_in("a", 2)]);
    assert!(refused.starts_with("telemetry: sampling changed at"), "{refused}");
    world.now = world.now + Duration::from_secs(1);
    assert_eq!(world.one(vec![scale_in("a", 2)]), "4->2");
}
