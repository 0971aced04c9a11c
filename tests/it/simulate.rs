//! The shipped scenarios are what they claim; spans, cluster and measures of the simulation behave as promised.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use headroom::act::ActError;
use headroom::guard::Change;
use headroom::model::{InterventionRecord, Time};
use headroom::simulate::{Delivery, Policy, Scenario, Simulation, reference};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

const START: Time = Time::from_secs(1_790_000_000);
const SEED: u64 = 7;

fn shipped(name: &str) -> Scenario {
    Scenario::by_name(name).expect("a shipped scenario")
}

/// Everything that reaches headroom in the first `seconds`, asked for in steps of `step`.
fn deliveries(scenario: &Scenario, seconds: u64, step: Duration) -> Vec<Delivery> {
    let mut simulation = Simulation::new(scenario, SEED, START);
    let end = START + Duration::from_secs(seconds);
    let mut all = Vec::new();
    while simulation.now() < end {
        let next = (simulation.now() + step).min(end);
        all.extend(simulation.run_until(next));
    }
    all
}

fn bytes(deliveries: &[Delivery]) -> Vec<u8> {
    deliveries.iter().flat_map(|d| [d.at.0.to_be_bytes().to_vec(), d.request.encode_to_vec()].concat()).collect()
}

/// Every span with its resource's attributes.
fn spans(deliveries: &[Delivery]) -> impl Iterator<Item = (&[KeyValue], &Span)> {
    deliveries.iter().flat_map(|d| &d.request.resource_spans).flat_map(|r| {
        let attributes = r.resource.as_ref().map_or(&[][..], |resource| &resource.attributes[..]);
        r.scope_spans.iter().flat_map(|s| &s.spans).map(move |span| (attributes, span))
    })
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|a| a.key == key)?.value.as_ref()?.value.as_ref()
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    match attribute(attributes, key) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

/// Utilisation by service between two instants of a run.
fn utilisation(simulation: &mut Simulation, until_s: i64) -> Vec<f64> {
    let before = simulation.usage();
    simulation.run_until(Time::from_secs(until_s));
    let used = simulation.usage().into_iter().zip(before);
    used.map(|(after, before)| (after.used_s - before.used_s) / (after.available_s - before.available_s)).collect()
}

/// A burst starts from 40 to 50 % at its targets with objectives that hold; what the peak needs for its targets,
/// ordered at the onset, is enough, and no other service comes near its limit.
fn check_burst(name: &str) {
    let scenario = shipped(name);
    let onset = scenario.truth.onset_s as i64;
    let mut calm = reference(&scenario, SEED, Policy::Without, 5.0);
    let at_start = utilisation(&mut calm, onset);
    for &target in &scenario.truth.targets {
        assert!((0.40..=0.50).contains(&at_start[target]), "{name}: {} starts at {}", target, at_start[target]);
        let computed = scenario.utilisation(1.0)[target];
        assert!((computed / at_start[target] - 1.0).abs() < 0.08, "{name}: computed {computed}");
    }
    let without = reference(&scenario, SEED, Policy::Without, scenario.horizon_s).measures();
    let mut acting = reference(&scenario, SEED, Policy::Onset, (onset + 90) as f64);
    for (service, busy) in utilisation(&mut acting, onset + 190).into_iter().enumerate() {
        assert!(busy < 0.80, "{name}: {} is at {busy} in the burst", scenario.services[service].name);
    }
    acting.run_until(Time((scenario.horizon_s * 1e9) as i64));
    let with = acting.measures();
    println!(
        "{name}: before {:.4} without {:.3} onset {:.3} recovered {:?} pod-seconds {:.0} / {:.0}, requests {}",
        without.slo_violation_share_before,
        without.slo_violation_share,
        with.slo_violation_share,
        with.recovered_s,
        without.pod_seconds,
        with.pod_seconds,
        with.requests
    );
    for e in &without.entries {
        println!("   without {e:?}");
    }
    for e in &with.entries {
        println!("   onset {e:?}");
    }
    println!("  start {at_start:.2?}");
    assert_eq!(without.requests, with.requests, "the same requests under every policy");
    assert!(without.slo_violation_share_before < 0.01);
    assert!(without.slo_violation_share > 0.6, "{name}: without {}", without.slo_violation_share);
    assert!(with.slo_violation_share < 0.25 * without.slo_violation_share, "{name}: {}", with.slo_violation_share);
    assert!(with.recovered_s.is_some_and(|s| s < 90.0), "{name}: recovered {:?}", with.recovered_s);
}

#[test]
fn exam_start_is_a_burst_that_two_services_cannot_hold() {
    check_burst("exam-start");
}

#[test]
fn login_storm_is_a_burst_for_auth() {
    check_burst("login-storm");
}

#[test]
fn login_storm_with_shared_pods_is_a_burst_for_auth() {
    check_burst("login-storm-shared");
}

#[test]
fn front_door_is_a_burst_for_the_ingress() {
    check_burst("front-door");
}

#[test]
fn front_door_with_shared_pods_is_a_burst_for_the_ingress() {
    check_burst("front-door-shared");
}

#[test]
fn a_locked_database_or_a_bad_pod_hurts_and_names_no_target() {
    for name in ["locked-database", "bad-pod"] {
        let scenario = shipped(name);
        let measures = reference(&scenario, SEED, Policy::Without, scenario.horizon_s).measures();
        println!("{name}: {measures:#?}");
        assert!(scenario.truth.targets.is_empty());
        assert!(measures.slo_violation_share_before < 0.01, "{name}");
        assert!(measures.slo_violation_share > 0.1, "{name}: {}", measures.slo_violation_share);
    }
}

#[test]
fn calm_is_calm() {
    let scenario = shipped("calm");
    let simulation = reference(&scenario, SEED, Policy::Without, scenario.horizon_s);
    let measures = simulation.measures();
    println!("{measures:#?}");
    assert!(measures.entries.iter().all(|e| e.violation_share < 0.01), "{measures:#?}");
}
