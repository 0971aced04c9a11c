//! The life of weights that are moved away from a release, driven through the guard.

use super::tests::{World, bottleneck, lines};
use super::*;
use crate::action::{Action, ShiftWeight};
use crate::analyse::Verdict;
use crate::decide::Proposal;
use crate::model::{Backend, Route};

/// `a` answers at `v1` and `v2`, each with half of the requests, and `v2` is slow.
fn canary() -> World {
    let mut world = World::saturated();
    let backend = |version: &str| Backend { name: format!("a-{version}"), version: version.into(), weight: 50 };
    world.workload().routes = vec![Route {
        name: "HTTPRoute shop/a".into(),
        backends: vec![backend("v1"), backend("v2")],
        step_max: 0.25,
        ..Route::default()
    }];
    world.findings.bottlenecks = vec![bottleneck(Verdict::Regression)];
    world
}

fn shift() -> Proposal {
    let action = Action::ShiftWeight(ShiftWeight { service: "a".into(), away_from: "v2".into(), lasting_s: 120.0 });
    Proposal { origin: "rule".into(), action, because: "v2 is slow".into(), verdict: "regression".into() }
}

fn weights(world: &mut World) -> Vec<u32> {
    world.workload().routes[0].weights()
}

/// Lets so many seconds pass, in which the rule asks again and again; what is permitted is done. The weights after each step.
fn steps(world: &mut World, seconds: u64, proposal: &Proposal) -> Vec<Vec<u32>> {
    let mut steps = Vec::new();
    for _ in 0..seconds {
        world.findings.complete_to = world.findings.at;
        world.tick();
        if let Some(permit) = world.permit(proposal.clone()) {
            world.write(&permit);
            world.verifier.applied(&permit, world.now);
            steps.push(weights(world));
        }
    }
    steps
}

/// So many seconds in which telemetry is complete; what is said.
fn calm_for(world: &mut World, seconds: u64) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..seconds {
        world.findings.complete_to = world.now;
        said.extend(lines(&world.tick()));
    }
    said
}

/// The same, doing what `verify` asks for: what is given back, and what is closed.
fn gives_back(world: &mut World, seconds: u64) -> (Vec<Vec<u32>>, Vec<String>) {
    let (mut steps, mut said) = (Vec::new(), Vec::new());
    for _ in 0..seconds {
        world.findings.complete_to = world.findings.at;
        let verified = world.tick();
        said.extend(lines(&verified));
        for one in verified {
            let Verification::GiveBack(back) = one else { continue };
            if let Some(permit) = world.permit(back) {
                world.write(&permit);
                said.extend(lines(&world.verifier.applied(&permit, world.now)));
                steps.push(weights(world));
            }
        }
    }
    (steps, said)
}

#[test]
fn weight_moves_in_steps_and_comes_back_in_steps_at_the_deadline() {
    let mut world = canary();
    assert_eq!(
        steps(&mut world, 20, &shift()),
        [[75, 25], [100, 0]],
        "a step, its cooldown, another, and nothing is left"
    );
    world.calm();
    assert!(calm_for(&mut world, 5).is_empty(), "one clear second proves nothing");
    let said = calm_for(&mut world, 2);
    assert!(said[0].contains("Judging: a holds nobody back any more"), "{said:?}");
    assert!(calm_for(&mut world, 88).is_empty(), "held");
    let (back, said) = gives_back(&mut world, 120);
    assert_eq!(back, [[75, 25], [50, 50]]);
    assert!(
        said.iter().any(|line| line.contains("Verified: HTTPRoute shop/a has the weights of its owner again")),
        "{said:?}"
    );
    assert!(said.last().unwrap().starts_with("close "), "{said:?}");
}

#[test]
fn a_release_that_was_not_the_cause_gets_its_weight_back_and_the_rule_rests() {
    let mut world = canary();
    steps(&mut world, 20, &shift());
    let (back, said) = gives_back(&mut world, 60);
    assert!(
        said.iter().any(|line| line.contains("NoEffect: a has held users back for 30 s since the last step")),
        "{said:?}"
    );
    assert!(said.contains(&"breaker rule a: i-10009-1 had no effect".to_owned()), "{said:?}");
    assert_eq!(back, [[75, 25], [50, 50]]);
}

#[test]
fn what_another_hand_sets_stays() {
    let mut world = canary();
    steps(&mut world, 2, &shift());
    world.workload().routes[0].backends[0].weight = 60;
    let said = world.pass(2);
    assert_eq!(said[0], "i-10001-1 Superseded: another hand set the weights of HTTPRoute shop/a to a-v1 60, a-v2 25");
    assert!(said.iter().any(|line| line.starts_with("breaker rule a: another hand")), "{said:?}");
    assert_eq!(weights(&mut world), [60, 25]);
}

#[test]
fn moments_of_calm_are_no_relief() {
    let mut world = canary();
    steps(&mut world, 20, &shift());
    let bottlenecks = world.findings.bottlenecks.clone();
    let mut said = Vec::new();
    for second in 0..40 {
        world.findings.bottlenecks = if second % 4 == 3 { vec![] } else { bottlenecks.clone() };
        said.extend(calm_for(&mut world, 1));
    }
    assert!(said.iter().any(|line| line.contains("NoEffect")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("Judging")), "{said:?}");
}

#[test]
fn backends_named_in_another_order_meanwhile_are_given_back_and_it_ends() {
    let mut world = canary();
    steps(&mut world, 2, &shift());
    world.calm();
    world.workload().routes[0].backends.reverse();
    let (back, said) = gives_back(&mut world, 200);
    assert_eq!(back, [[50, 50]]);
    assert!(said.iter().any(|line| line.contains("has the weights of its owner again")), "{said:?}");
}
