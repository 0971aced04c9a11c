//! Arrivals under saturation, estimated from spans alone, against the simulator's true arrivals.

use headroom::commands::demo::course;
use headroom::model::Time;
use headroom::simulate::Scenario;

/// One service of 200 requests/s behind an ingress with room; the load steps at 30 s and stays.
fn scenario(factor: f64) -> Scenario {
    let text = format!(
        "
description: a step far above what two pods can do
horizon_s: 46
truth: {{ targets: [store], verdict: saturated, onset_s: 30, window_s: 16 }}
services:
  ingress:
    pods: {{ shared: {{ cores: 8, burst_cores: 8, in_flight_max: 20000 }} }}
    replicas: 2
    max_replicas: 2
    operations:
      GET /item: {{ own_ms: 1, calls: [{{ service: store, operation: GET /item, timeout_ms: 60000 }}] }}
  store:
    pods: {{ workers: {{ threads: 4, queue: 20000 }} }}
    replicas: 2
    max_replicas: 2
    operations:
      GET /item: {{ own_ms: 40, sigma: 0.2 }}
entries:
  - service: ingress
    operation: GET /item
    objective: {{ latency_ms: 300 }}
    timeout_ms: 60000
    traffic: {{ rate: 90, shapes: [{{ step: {{ at_s: 30, factor: {factor} }} }}] }}
"
    );
    Scenario::from_yaml("step", &text).unwrap()
}

#[track_caller]
fn check(factor: f64) {
    let scenario = scenario(factor);
    let onset = Time(course::START.0 + 30_000_000_000);
    let mut judged = 0;
    let watch = |moment: &course::Moment<'_>| {
        let findings = moment.engine.findings();
        let described_s = findings.complete_to.seconds_since(onset);
        let Some(store) = findings.service("store") else { return Ok(()) };
        // From two seconds of saturated time on; the rate is level from there, so the start times described do not
        // matter.
        if described_s >= 2.0 {
            let truth = moment.simulation.arrivals("store", onset, moment.now) as f64;
            let truth_per_s = truth / moment.now.seconds_since(onset);
            let error = store.arrivals_per_s / truth_per_s - 1.0;
            let counted = store.throughput_per_s;
            assert!(
                error.abs() < 0.2,
                "x{factor}, {described_s} s after saturation: estimated {:.0}/s, counted {counted:.0}/s, true {truth_per_s:.0}/s",
                store.arrivals_per_s
            );
            judged += 1;
        }
        Ok(())
    };
    course::run(&scenario, 1, &[], None, |_| Ok(()), watch).unwrap();
    assert!(judged >= 8, "only {judged} ticks were judged");
}

#[test]
fn twice_the_capacity_is_seen() {
    check(4.5);
}

#[test]
fn three_times_the_capacity_is_seen() {
    check(6.7);
}

#[test]
fn four_times_the_capacity_is_seen() {
    check(8.9);
}
