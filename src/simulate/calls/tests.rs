//! Attempts, retries, timeouts and chance, on two services.

use super::*;
use crate::model::Time;
use crate::simulate::Scenario;

/// `a` calls `b`, as given; 20 requests a second for 300 s.
fn run(pods_of_b: &str, call: &str, entry: &str) -> Simulation {
    let text = format!(
        "description: two services
horizon_s: 310
truth: {{ verdict: healthy, onset_s: 0, window_s: 300 }}
services:
  a:
    pods: {{ shared: {{ cores: 8, in_flight_max: 100000 }} }}
    replicas: 1
    max_replicas: 1
    operations:
      GET /a: {{ own_ms: 1, {call} }}
  b:
    pods: {pods_of_b}
    replicas: 1
    max_replicas: 1
    operations:
      GET /b: {{ own_ms: 100, sigma: 0 }}
entries:
  - {{ service: a, operation: GET /a, objective: {{ latency_ms: 150 }}, {entry} traffic: {{ rate: 20 }} }}
"
    );
    let mut simulation = Simulation::unobserved(&Scenario::from_yaml("two", &text).expect("valid"), 1);
    simulation.run_until(Time::from_secs(300));
    simulation
}

/// One worker whose queue holds a hundred seconds of work, and callers who wait as long.
#[test]
fn a_pod_that_still_works_when_its_grace_period_ends_is_killed_and_its_callers_hear_it() {
    let call = "calls: [{ service: b, operation: GET /b, timeout_ms: 200000 }]";
    let queued = "{ workers: { threads: 1, queue: 100000 } }";
    let mut simulation = run(queued, call, "timeout_ms: 200000,");
    let pod = simulation.workloads[1].serving[0];
    let refused = |simulation: &Simulation| simulation.measures().entries[0].refused;
    simulation.drain(pod);
    simulation.run_until(Time::from_secs(329));
    assert_eq!((simulation.pods[pod].stopped, refused(&simulation)), (None, 0), "it works on what it has");
    let answered_within_grace = simulation.usage()[1].used_s;
    assert!((answered_within_grace - 329.0).abs() < 1.0, "{answered_within_grace}");
    simulation.run_until(Time::from_secs(331));
    assert_eq!(simulation.pods[pod].stopped, Some(330_000_000_000));
    assert!(refused(&simulation) > 1_000, "{}", refused(&simulation));
}

fn attempts_per_request(simulation: &Simulation, service: &str) -> f64 {
    let reached = simulation.arrivals(service, Time(0), Time::from_secs(300));
    reached as f64 / simulation.measures().requests as f64
}

/// One worker of 100 ms and no queue: most of 20 calls a second are refused.
const OVERLOADED: &str = "{ workers: { threads: 1, queue: 0 } }";
const IDLE: &str = "{ workers: { threads: 100, queue: 0 } }";

#[test]
fn retries_stay_within_their_budget() {
    let call = |retries: &str| format!("calls: [{{ service: b, operation: GET /b, retries: {{ {retries} }} }}]");
    let attempts = |retries: &str| attempts_per_request(&run(OVERLOADED, &call(retries), ""), "b");
    assert_eq!(attempts("attempts: 0"), 1.0);
    assert!((attempts("attempts: 3, budget: 0.2") - 1.2).abs() < 0.01);
    assert!(attempts("attempts: 3, budget: 3") > 1.8);
}

#[test]
fn users_try_again_as_well() {
    let call = "calls: [{ service: b, operation: GET /b }]";
    let simulation = run(OVERLOADED, call, "retries: { attempts: 1, budget: 1 },");
    assert!(attempts_per_request(&simulation, "a") > 1.4);
}

#[test]
fn parallel_calls_take_as_long_as_the_longest() {
    let p50 = |parallel: bool| {
        let call = format!("parallel: {parallel}, calls: [{{ service: b, operation: GET /b, count: 3 }}]");
        run(IDLE, &call, "").measures().entries[0].p50_ms.expect("there were requests")
    };
    assert!((100.0..104.0).contains(&p50(true)) && (300.0..306.0).contains(&p50(false)));
}

#[test]
fn a_caller_gives_up_and_the_callee_works_on() {
    let call = "calls: [{ service: b, operation: GET /b, timeout_ms: 50 }]";
    let simulation = run(IDLE, call, "");
    let entry = &simulation.measures().entries[0];
    assert!(entry.timed_out + entry.unfinished == entry.requests && entry.p99_ms.is_some_and(|ms| ms < 56.0));
    let held_s = simulation.usage()[1].used_s;
    assert!((held_s / (entry.requests as f64 * 0.1) - 1.0).abs() < 0.01, "{held_s}");
}

#[test]
fn a_call_by_chance_is_made_as_often_as_it_says() {
    let simulation = run(IDLE, "calls: [{ service: b, operation: GET /b, probability: 0.3 }]", "");
    assert!((attempts_per_request(&simulation, "b") - 0.3).abs() < 0.02);
}
