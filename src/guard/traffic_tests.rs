//! The gates of what shapes traffic.

use super::tests::World;
use super::*;
use crate::action::{Action, LimitRate};
use crate::decide::Proposal;

fn limit(route: &str) -> Proposal {
    let action =
        Action::LimitRate(LimitRate { service: "a".into(), route: route.into(), per_s: 100.0, lasting_s: 40.0 });
    Proposal { origin: "hello".into(), action, because: "it is exhausted".into(), verdict: "exhausted".into() }
}

fn world() -> World {
    let mut world = World::new();
    world.cluster.workloads[0].terms.shapeable = true;
    world
}

#[test]
fn limits_of_two_endpoints_hold_side_by_side_until_their_deadlines() {
    let mut world = world();
    let mut permitted = Vec::new();
    for second in 0..35 {
        let reviewed = world.tick(vec![limit("POST /loan"), limit("GET /search")]);
        world.act(&reviewed);
        permitted.extend(reviewed.into_iter().filter_map(|reviewed| reviewed.permit).map(|_| second));
    }
    assert_eq!(permitted, [0, 1], "neither waits for the other's cooldown, nor takes its place");
    assert_eq!(world.cluster.workloads[0].interventions.len(), 2);
}

#[test]
fn nothing_is_turned_away_where_no_gateway_asks_and_who_observes_is_told_what_would_be() {
    let outcome = |mode: Mode, gateways_ask: bool| {
        let World { mut guard, now, pauses, cluster, mut findings, .. } = world();
        findings.at = now;
        let context = Context { now, mode, pauses: &pauses, cluster: &cluster, findings: &findings, gateways_ask };
        guard.review(vec![limit("POST /loan")], &context).remove(0).decision.outcome
    };
    assert!(matches!(outcome(Mode::Enforce, true), Outcome::Permitted { .. }));
    assert!(matches!(outcome(Mode::Enforce, false), Outcome::Refused { gate: Gate::OptIn, .. }));
    assert!(matches!(outcome(Mode::Observe, false), Outcome::Observed { refused_by, .. } if refused_by.is_empty()));
}
