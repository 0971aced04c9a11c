use super::*;
use crate::analyse::diagnosis::arrival_rate::Arrivals;
use crate::analyse::rollup::{EdgeSums, HealthSums};

/// Served over three seconds, and what is taken to arrive a second.
fn state(served: i64, arrives_per_s: f64) -> ServiceState<'static> {
    let sums = HealthSums { requests: served, ..HealthSums::default() };
    let arrivals = Arrivals { per_s: Interval::exactly(arrives_per_s), ..Arrivals::default() };
    ServiceState { sums, arrivals, ..ServiceState::default() }
}

fn world(
    states: &[(&str, i64, f64)],
    edges: &[(&str, &str, i64, i64, i64)],
) -> (Answers, BTreeMap<Text, ServiceState<'static>>) {
    let mut answers = Answers::default();
    for &(caller, callee, calls, expected, errors) in edges {
        let sums = EdgeSums { calls, errors, expected_milli: expected * 1000, ..EdgeSums::default() };
        let (version, operation) = ("1".into(), "GET /".into());
        let edge = EdgeAnswer { version, operation, callee: callee.into(), answered: true, sums };
        answers.edges.entry(caller.into()).or_default().push(edge);
    }
    let states = states.iter().map(|(name, served, arrives)| (Text::from(*name), state(*served, *arrives)));
    (answers, states.collect())
}

fn load_of(world: &(Answers, BTreeMap<Text, ServiceState<'static>>), service: &str) -> f64 {
    released_loads(&world.0, &world.1, 0.0)[&Text::from(service)].middle
}

#[test]
fn what_a_saturated_caller_holds_back_reaches_the_chain_behind_it() {
    // The pool of the first serves 300 of 800 a second; each makes two calls to the second, and each of these one.
    let states = [("bff", 900, 800.0), ("catalog", 1800, 600.0), ("stock", 1800, 600.0)];
    let world = world(&states, &[("bff", "catalog", 1800, 1800, 0), ("catalog", "stock", 1800, 1800, 0)]);
    assert_eq!(load_of(&world, "bff"), 800.0);
    assert_eq!(load_of(&world, "catalog"), 1600.0);
    assert_eq!(load_of(&world, "stock"), 1600.0);
}

#[test]
fn callers_with_room_release_nothing() {
    let world = world(&[("gw", 300, 100.0), ("store", 300, 100.0)], &[("gw", "store", 300, 300, 0)]);
    assert_eq!(load_of(&world, "store"), 100.0);
}

#[test]
fn calls_that_repeat_failed_ones_are_no_load() {
    // Of 300 calls two thirds are given up and made twice more.
    let world = world(&[("gw", 300, 100.0), ("store", 300, 300.0)], &[("gw", "store", 900, 300, 800)]);
    assert!((load_of(&world, "store") - 100.0).abs() < 1e-9);
}

#[test]
fn a_caller_that_asks_more_and_is_answered_is_load() {
    let world = world(&[("gw", 300, 100.0), ("store", 1800, 600.0)], &[("gw", "store", 1800, 300, 0)]);
    assert_eq!(load_of(&world, "store"), 600.0);
}

#[test]
fn services_that_call_each_other_come_to_an_end() {
    let world = world(&[("a", 300, 100.0), ("b", 300, 150.0)], &[("a", "b", 300, 300, 0), ("b", "a", 300, 300, 0)]);
    assert!(load_of(&world, "a") >= 100.0 && load_of(&world, "b") >= 150.0);
}
