//! The shipped scenarios are what they claim; spans, cluster and measures of the simulation behave as promised.

mod faults;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use headroom::act::ActError;
use headroom::action::{Change, CpuResize, Eviction, Scaling};
use headroom::model::{InterventionRecord, Pod, Time, Workload};
use headroom::simulate::{Delivery, PodKind, Policy, Scenario, Simulation, reference};
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
        assert!((0.40..=0.50).contains(&at_start[target]), "{target} starts at {}", at_start[target]);
        let computed = scenario.utilisation(1.0)[target];
        assert!((computed / at_start[target] - 1.0).abs() < 0.08, "{target} computed to start at {computed}");
    }
    let without = reference(&scenario, SEED, Policy::Without, scenario.horizon_s).measures();
    let mut acting = reference(&scenario, SEED, Policy::Onset, (onset + 90) as f64);
    for (service, busy) in utilisation(&mut acting, onset + 190).into_iter().enumerate() {
        // Planned for 75 %; what is left is chance.
        assert!(busy < 0.77, "{} is at {busy} in the burst", scenario.services[service].name);
    }
    acting.run_until(Time((scenario.horizon_s * 1e9) as i64));
    let with = acting.measures();
    assert_eq!(without.requests, with.requests, "the same requests under every policy");
    assert!(without.slo_violation_share_before < 0.01, "{without:#?}");
    assert!(without.slo_violation_share > 0.8, "{without:#?}");
    // What passes until ordered pods are ready; it hangs on the luck of their image pulls.
    assert!(with.slo_violation_share < 0.15, "{with:#?}");
    // Slowest are the pods that pull their image, and then warm up.
    assert!(with.recovered_s.is_some_and(|s| s < 60.0), "{with:#?}");
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
fn what_no_scaling_mends_hurts_and_has_no_target() {
    for name in ["locked-database", "bad-pod", "bad-release", "failing"] {
        let scenario = shipped(name);
        let measures = reference(&scenario, SEED, Policy::Without, scenario.horizon_s).measures();
        assert!(scenario.truth.targets.is_empty());
        assert!(measures.slo_violation_share_before < 0.01, "{name}: {measures:#?}");
        assert!(measures.entries.iter().any(|e| e.violation_share > 0.1), "{name}: {measures:#?}");
        // Videos go another way.
        assert_eq!(measures.entries.last().map(|e| e.violation_share), Some(0.0), "{name}: {measures:#?}");
    }
}

/// Twice the pods of `content-api`, ordered at the onset, change little: the lock decides.
#[test]
fn more_pods_do_not_unlock_a_database() {
    let mut scenario = shipped("locked-database");
    let without = reference(&scenario, SEED, Policy::Without, 120.0).measures();
    let victim = scenario.service("content-api").expect("in the graph");
    scenario.services[victim].replicas *= 2;
    let doubled = reference(&scenario, SEED, Policy::Without, 120.0).measures();
    assert!(doubled.slo_violation_share > 0.8 * without.slo_violation_share, "{without:#?} {doubled:#?}");
}

#[test]
fn calm_is_calm() {
    let scenario = shipped("calm");
    let measures = reference(&scenario, SEED, Policy::Without, scenario.horizon_s).measures();
    assert!(measures.entries.iter().all(|e| e.violation_share < 0.01), "{measures:#?}");
}

/// The deploy of `calm`: one pod at a time, never fewer ready pods than wanted.
#[test]
fn a_release_rolls_without_a_gap() {
    let scenario = shipped("calm");
    let mut simulation = Simulation::new(&scenario, SEED, START);
    let mut versions: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for second in 590..720 {
        let deliveries = simulation.run_until(START + Duration::from_secs(second));
        let state = simulation.state();
        let workload = state.workload("content-api").expect("in the graph");
        assert!(workload.ready() >= workload.replicas && workload.pods.len() as u32 <= workload.replicas + 1);
        for (resource, _) in spans(&deliveries).filter(|(r, _)| text(r, "service.name") == "content-api") {
            let phase = if second < 600 {
                "before"
            } else if second > 715 {
                "after"
            } else {
                "during"
            };
            *versions.entry(phase.into()).or_default().entry(text(resource, "service.version").into()).or_default() +=
                1;
        }
    }
    let seen = |phase: &str| versions[phase].keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!((seen("before"), seen("during"), seen("after")), (vec!["v1"], vec!["v1", "v2"], vec!["v2"]));
}

#[test]
fn the_same_seed_gives_the_same_bytes_however_time_is_cut() {
    let scenario = shipped("exam-start");
    let once = deliveries(&scenario, 70, Duration::from_secs(70));
    assert_eq!(bytes(&once), bytes(&deliveries(&scenario, 70, Duration::from_millis(370))));
    assert!(once.is_sorted_by_key(|d| d.at));
    let mut other = Simulation::new(&scenario, SEED + 1, START);
    assert_ne!(bytes(&once), bytes(&other.run_until(START + Duration::from_secs(70))));
}

#[test]
fn renaming_every_service_changes_names_only() {
    let file = include_str!("../../examples/scenarios/bad-pod.yaml");
    let names = ["ingress", "auth", "content-api", "exam-api", "video-api"];
    let renamed = ["zz-1", "yy", "a", "mm-mm-mm", "b"];
    let other = names.iter().zip(renamed).fold(file.to_string(), |text, (from, to)| text.replace(from, to));
    let run = |text: &str| deliveries(&Scenario::from_yaml("x", text).expect("valid"), 65, Duration::from_secs(65));
    let anonymous = |deliveries: Vec<Delivery>, names: [&str; 5]| -> Vec<_> {
        spans(&deliveries)
            .map(|(resource, span)| {
                let service = names.iter().position(|name| *name == text(resource, "service.name"));
                (
                    service,
                    span.trace_id.clone(),
                    span.span_id.clone(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                )
            })
            .collect()
    };
    assert_eq!(anonymous(run(file), names), anonymous(run(&other), renamed));
}

#[test]
fn spans_form_trees_and_callers_contain_their_callees() {
    let scenario = shipped("exam-start");
    let all = deliveries(&scenario, 70, Duration::from_secs(70));
    // Whole traces only: begun well before the end, so that even late spans are here.
    let cut = (START + Duration::from_secs(58)).0 as u64;
    let mut traces: BTreeMap<&[u8], Vec<&Span>> = BTreeMap::new();
    spans(&all).for_each(|(_, span)| traces.entry(&span.trace_id).or_default().push(span));
    traces.retain(|_, spans| spans.iter().all(|span| span.start_time_unix_nano < cut));
    assert!(traces.len() > 5_000);
    let skew_ns = 2 * 5_000_000;
    for spans in traces.values() {
        let by_id: BTreeMap<&[u8], &Span> = spans.iter().map(|s| (&s.span_id[..], *s)).collect();
        assert_eq!(by_id.len(), spans.len(), "span ids are unique");
        assert_eq!(spans.iter().filter(|s| s.parent_span_id.is_empty()).count(), 1, "one root");
        for span in spans.iter().filter(|s| !s.parent_span_id.is_empty()) {
            let parent = by_id.get(&span.parent_span_id[..]).expect("the parent is in the trace");
            assert!(parent.start_time_unix_nano <= span.start_time_unix_nano + skew_ns, "{parent:?} {span:?}");
            assert!(span.end_time_unix_nano <= parent.end_time_unix_nano + skew_ns, "{parent:?} {span:?}");
        }
    }
}

/// SDK batch up to 1 s, collector 0.2 to 1 s, and one span in a thousand 5 s later still.
#[test]
fn spans_arrive_as_late_as_the_telemetry_path_makes_them() {
    let all = deliveries(&shipped("exam-start"), 60, Duration::from_secs(60));
    let mut delays: Vec<f64> = Vec::new();
    for delivery in &all {
        let one = std::slice::from_ref(delivery);
        delays.extend(spans(one).map(|(_, span)| (delivery.at.0 - span.end_time_unix_nano as i64) as f64 / 1e9));
    }
    let late = delays.iter().filter(|d| **d > 2.1).count() as f64 / delays.len() as f64;
    assert!((0.000_5..0.002).contains(&late), "late share {late}");
    let skew_s = 0.005;
    assert!(delays.iter().all(|d| (0.2 - skew_s..7.0 + skew_s).contains(d)));
    assert!(delays.iter().filter(|d| **d > 2.1).all(|d| *d > 5.0));
}

#[test]
fn sampling_keeps_whole_traces_and_says_its_threshold() {
    let file = format!(
        "{}
telemetry: {{ sampling: 0.25 }}
",
        include_str!("../../examples/scenarios/exam-start.yaml")
    );
    let traces = |text: &str| -> HashSet<Vec<u8>> {
        let all = deliveries(&Scenario::from_yaml("x", text).expect("valid"), 30, Duration::from_secs(30));
        let sampled = text.contains("sampling: 0.25");
        // Ended so early that all of it has arrived, late spans included.
        let cut = (START + Duration::from_secs(20)).0 as u64;
        spans(&all)
            .filter(|(_, span)| span.end_time_unix_nano < cut)
            .map(|(_, span)| {
                assert_eq!(span.trace_state, if sampled { "ot=th:c" } else { "" });
                span.trace_id.clone()
            })
            .collect()
    };
    let (all, kept) = (traces(include_str!("../../examples/scenarios/exam-start.yaml")), traces(&file));
    assert!(kept.is_subset(&all));
    let share = kept.len() as f64 / all.len() as f64;
    assert!((share - 0.25).abs() < 0.03, "{share}");
}

#[test]
fn refusals_and_timeouts_are_seen_as_real_ones_are() {
    let scenario = shipped("login-storm");
    let mut simulation = Simulation::new(&scenario, SEED, START);
    simulation.run_until(START + Duration::from_secs(75));
    let all = simulation.run_until(START + Duration::from_secs(85));
    let status = |span: &Span| attribute(&span.attributes, "http.response.status_code").cloned();
    let failed = |span: &Span| span.status.as_ref().is_some_and(|s| s.code == 2);
    let refused: Vec<&Span> = spans(&all)
        .filter(|(r, s)| text(r, "service.name") == "auth" && s.kind == 2 && status(s) == Some(Value::IntValue(503)))
        .map(|(_, span)| span)
        .collect();
    assert!(refused.len() > 100);
    assert!(refused.iter().all(|s| failed(s) && s.end_time_unix_nano - s.start_time_unix_nano < 1_000_000));
    let gave_up: Vec<&Span> =
        spans(&all).filter(|(_, s)| text(&s.attributes, "error.type") == "timeout").map(|(_, span)| span).collect();
    assert!(!gave_up.is_empty());
    assert!(gave_up.iter().all(|s| s.kind == 3 && failed(s) && status(s).is_none()));
}

fn record(workload: &Workload, replicas_after: u32) -> InterventionRecord {
    InterventionRecord {
        id: "i-1-1".parse().unwrap(),
        origin: "scale_out_bottleneck".into(),
        reason: "saturated".into(),
        applied_at: Time(0),
        deadline: START + Duration::from_secs(600),
        replicas_before: workload.replicas,
        replicas_after,
        waiting_ns_before: 0,
        details: None,
    }
}

fn scale(simulation: &Simulation, service: &str, to: u32) -> (Change, u64) {
    let state = simulation.state();
    let workload = state.workload(service).expect("in the graph");
    let record = record(workload, to);
    let change = Scaling { service: service.into(), from: workload.replicas, to, record };
    (Change::Scale(change), workload.resource_version)
}

/// The restart of a service's pod of this index.
fn restart(simulation: &Simulation, service: &str, pod: usize) -> (Change, u64) {
    let state = simulation.state();
    let workload = state.workload(service).expect("in the graph");
    let Pod { name, created_at, .. } = workload.pods[pod].clone();
    let record = record(workload, workload.replicas);
    (Change::RestartPod(Eviction { service: service.into(), pod: name, created_at, record }), workload.resource_version)
}

#[test]
fn a_change_is_written_once_and_whole() {
    let mut simulation = Simulation::new(&shipped("exam-start"), SEED, START);
    simulation.run_until(START + Duration::from_secs(1));
    let (change, version) = scale(&simulation, "auth", 5);
    simulation.apply(&change, version).expect("first time");
    assert_eq!(simulation.apply(&change, version), Err(ActError::Conflict { service: "auth".into() }));

    let at_once = simulation.state();
    let auth = at_once.workload("auth").expect("in the graph");
    assert_eq!((auth.replicas, auth.pods.len(), auth.ready()), (5, 5, 2));
    assert_eq!(auth.interventions.iter().map(|i| i.id.to_string()).collect::<Vec<_>>(), ["i-1-1"]);

    simulation.run_until(START + Duration::from_secs(120));
    let later = simulation.state();
    let auth = later.workload("auth").expect("in the graph");
    assert_eq!(auth.ready(), 5);
    assert!(auth.pods[2..].iter().all(|p| p.ready_at.is_some_and(|at| at > p.created_at)));

    let close = |id: &str| Change::Close { service: "auth".into(), intervention: id.parse().unwrap() };
    let version = auth.resource_version;
    assert!(matches!(simulation.apply(&close("i-2-1"), version), Err(ActError::Conflict { .. })), "not that one");
    simulation.apply(&close("i-1-1"), version).expect("the recorded one");
    assert_eq!(simulation.state().workload("auth").map(|w| w.interventions.clone()), Some(vec![]));

    let unknown = Change::Close { service: "nobody".into(), intervention: "i-1-1".parse().unwrap() };
    assert_eq!(simulation.apply(&unknown, 1), Err(ActError::NotFound { service: "nobody".into() }));
}

#[test]
fn scale_in_drains_and_fails_nobody() {
    let scenario = shipped("exam-start");
    let mut simulation = Simulation::new(&scenario, SEED, START);
    let mut all = Vec::new();
    for (at, to) in [(2, 6), (30, 2)] {
        all.extend(simulation.run_until(START + Duration::from_secs(at)));
        let (change, version) = scale(&simulation, "content-api", to);
        simulation.apply(&change, version).expect("current version");
    }
    all.extend(simulation.run_until(START + Duration::from_secs(50)));
    assert_eq!(simulation.state().workload("content-api").map(|w| w.pods.len()), Some(2));
    assert!(spans(&all).all(|(_, span)| span.status.as_ref().is_some_and(|s| s.code != 2)));
}

/// Mean milliseconds of a service's SERVER spans of one operation that began in these seconds.
fn mean_ms(all: &[Delivery], service: &str, operation: &str, from: u64, to: u64) -> f64 {
    let within = |span: &Span| {
        let at = |second: u64| (START + Duration::from_secs(second)).0 as u64;
        (at(from)..at(to)).contains(&span.start_time_unix_nano)
    };
    let of = |(r, s): &(&[KeyValue], &Span)| {
        text(r, "service.name") == service && s.name == operation && s.kind == 2 && within(s)
    };
    let times: Vec<u64> = spans(all).filter(of).map(|(_, s)| s.end_time_unix_nano - s.start_time_unix_nano).collect();
    times.iter().sum::<u64>() as f64 / times.len() as f64 / 1e6
}

#[test]
fn a_restarted_pod_drains_another_takes_its_place_and_its_fault_goes_with_it() {
    let mut simulation = Simulation::new(&shipped("bad-pod"), SEED, START);
    let mut all = simulation.run_until(START + Duration::from_secs(90));
    let (change, version) = restart(&simulation, "auth", 0);
    simulation.apply(&change, version).expect("current version");
    let at_once = simulation.state();
    let auth = at_once.workload("auth").expect("in the graph");
    assert_eq!((auth.replicas, auth.pods.len(), auth.ready()), (4, 4, 3), "another one starts at once");
    assert_eq!(auth.interventions.len(), 1);
    assert_eq!(simulation.apply(&change, version), Err(ActError::Conflict { service: "auth".into() }));
    assert_eq!(
        simulation.apply(&change, auth.resource_version),
        Err(ActError::Conflict { service: "auth".into() }),
        "that pod is gone"
    );

    all.extend(simulation.run_until(START + Duration::from_secs(200)));
    let later = simulation.state();
    assert_eq!(later.workload("auth").map(Workload::ready), Some(4));
    let login = |from, to| mean_ms(&all, "auth", "POST /login", from, to);
    assert!(login(65, 90) > 2.0 * login(10, 60), "the fault shows: {} {}", login(65, 90), login(10, 60));
    assert!(login(160, 190) < 1.1 * login(10, 60), "and is over: {} {}", login(160, 190), login(10, 60));
    let restarts = simulation.measures().restarts;
    assert_eq!(restarts.iter().map(|restart| restart.was_bad).collect::<Vec<_>>(), [true]);
}

#[test]
fn the_restart_of_a_pod_beside_the_bad_one_is_told_apart() {
    let mut simulation = Simulation::new(&shipped("bad-pod"), SEED, START);
    // Before the fault begins no pod is bad.
    for (second, pod, was_bad) in [(30, 0, false), (90, 1, false)] {
        simulation.run_until(START + Duration::from_secs(second));
        let (change, version) = restart(&simulation, "auth", pod);
        simulation.apply(&change, version).expect("current version");
        assert_eq!(simulation.measures().restarts.last().map(|restart| restart.was_bad), Some(was_bad));
    }
}

#[test]
fn lent_cpu_shortens_service_times_until_it_is_given_back() {
    let mut simulation = Simulation::new(&shipped("calm"), SEED, START);
    let mut all = Vec::new();
    for (second, factor) in [(40, 2.0), (80, 1.0)] {
        all.extend(simulation.run_until(START + Duration::from_secs(second)));
        let state = simulation.state();
        let workload = state.workload("content-api").expect("in the graph");
        assert!(workload.terms.resizable);
        let record = record(workload, workload.replicas);
        let change = Change::ResizeCpu(CpuResize { service: "content-api".into(), factor, record });
        simulation.apply(&change, workload.resource_version).expect("current version");
    }
    all.extend(simulation.run_until(START + Duration::from_secs(130)));
    let content = |from, to| mean_ms(&all, "content-api", "GET /content/{id}", from, to);
    let (before, lent, after) = (content(5, 40), content(42, 80), content(82, 120));
    assert!((0.45..0.75).contains(&(lent / before)), "{before} {lent}");
    assert!((0.9..1.1).contains(&(after / before)), "{before} {after}");
}

/// For 10 s after its readiness a pod takes twice as long.
#[test]
fn new_pods_are_slow_while_they_warm_up() {
    let mut simulation = Simulation::new(&shipped("exam-start"), SEED, START);
    let (change, version) = scale(&simulation, "content-api", 3);
    simulation.apply(&change, version).expect("current version");
    let all = simulation.run_until(START + Duration::from_secs(55));
    let state = simulation.state();
    let pod = &state.workload("content-api").expect("in the graph").pods[2];
    let warm = (pod.ready_at.expect("ready by now") + Duration::from_secs(10)).0 as u64;
    let mean_ms = |cold: bool| {
        let of_pod = spans(&all).filter(|(r, s)| text(r, "k8s.pod.name") == pod.name && s.name == "render");
        let times = of_pod.filter(|(_, s)| (s.start_time_unix_nano < warm) == cold);
        let times: Vec<u64> = times.map(|(_, s)| s.end_time_unix_nano - s.start_time_unix_nano).collect();
        times.iter().sum::<u64>() as f64 / times.len() as f64 / 1e6
    };
    assert!((mean_ms(true) / mean_ms(false) - 2.0).abs() < 0.2, "{} {}", mean_ms(true), mean_ms(false));
}

/// Past the nodes' room pods stay Pending until a node arrives.
#[test]
fn pods_wait_for_a_node() {
    let file = format!(
        "{}
nodes: {{ count: 1, max: 2, room: 12 }}
",
        include_str!("../../examples/scenarios/exam-start.yaml")
    );
    let mut simulation = Simulation::new(&Scenario::from_yaml("x", &file).expect("valid"), SEED, START);
    let (change, version) = scale(&simulation, "exam-api", 8);
    simulation.apply(&change, version).expect("current version");
    let mut ready = |second: u64| {
        simulation.run_until(START + Duration::from_secs(second));
        simulation.state().workload("exam-api").map(headroom::model::Workload::ready)
    };
    // Two find room beside the ten of the start; the other four need the new node (p50 75 s, sigma 0.25).
    assert_eq!((ready(30), ready(300)), (Some(4), Some(8)));
}

/// True arrivals do not depend on what is done about them, and include what is refused.
#[test]
fn arrivals_are_the_same_under_every_policy() {
    let scenario = shipped("exam-start");
    let seconds = |policy| -> Vec<u64> {
        let run = reference(&scenario, SEED, policy, 100.0);
        let at = Time::from_secs;
        (0..100).map(|s| run.arrivals("ingress", at(s), at(s + 1))).collect()
    };
    let without = seconds(Policy::Without);
    assert_eq!(without, seconds(Policy::Onset));
    let (calm, burst) = (&without[10..60], &without[80..95]);
    let mean = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    assert!((mean(calm) / 140.0 - 1.0).abs() < 0.05 && (mean(burst) / 860.0 - 1.0).abs() < 0.03);
}

/// A release that calls content-api six times a page, and a fault that fails a third of the submits.
#[test]
fn releases_and_faults_change_the_shape_of_traces() {
    let seconds = |name: &str, from: u64, to: u64| {
        let mut simulation = Simulation::new(&shipped(name), SEED, START);
        simulation.run_until(START + Duration::from_secs(from));
        simulation.run_until(START + Duration::from_secs(to))
    };
    let count = |all: &[Delivery], service: &str, kind: i32| {
        spans(all).filter(|(r, s)| text(r, "service.name") == service && s.kind == kind).count() as f64
    };
    let calls_for_each = |all: &[Delivery]| count(all, "page-api", 3) / count(all, "page-api", 2);
    assert!((calls_for_each(&seconds("hidden-fan-out", 10, 50)) - 1.0).abs() < 0.05);
    let mixed = calls_for_each(&seconds("hidden-fan-out", 75, 80));
    assert!((2.0..=6.5).contains(&mixed), "{mixed}");

    let all = seconds("failing", 70, 100);
    let failed = |(_, s): &(&[KeyValue], &Span)| s.status.as_ref().is_some_and(|s| s.code == 2);
    let taken = |(r, s): &(&[KeyValue], &Span)| text(r, "service.name") == "exam-api" && s.kind == 2;
    let (errors, served): (Vec<_>, Vec<_>) = spans(&all).filter(taken).partition(failed);
    let share = errors.len() as f64 / (errors.len() + served.len()) as f64;
    assert!((share - 0.33).abs() < 0.05, "{share}");
    // The same answered with OK: no user feels it, and the database is asked less.
    let shape = |name: &str| {
        let all = seconds(name, 70, 100);
        let served =
            |operation: &str, kind| spans(&all).filter(|(_, s)| s.name == operation && s.kind == kind).count() as f64;
        let failed = spans(&all).filter(failed).count();
        (failed, served("INSERT answer", 3) / served("POST /submit", 2))
    };
    let (failed, inserts) = shape("early-return");
    assert!(failed == 0 && (inserts - 2.0 * 0.67).abs() < 0.1, "{failed} failed, {inserts} inserts each");
    // They call nobody, and so take less.
    let mean = |of: &[(&[KeyValue], &Span)]| {
        of.iter().map(|(_, s)| s.end_time_unix_nano - s.start_time_unix_nano).sum::<u64>() / of.len() as u64
    };
    assert!(mean(&errors) * 2 < mean(&served));
}

/// The other kind of pods, or more traffic on larger ones, is the same system at the same utilisation.
#[test]
fn variants_keep_the_utilisation() {
    for name in ["exam-start", "locked-database", "front-door"] {
        let before = shipped(name).utilisation(0.0);
        let change: [fn(&mut Scenario); 3] =
            [|s| s.set_pods(PodKind::Shared), |s| s.set_pods(PodKind::Workers), |s| s.scale_load(16.0)];
        for change in change {
            let mut scenario = shipped(name);
            change(&mut scenario);
            for (service, (was, is)) in before.iter().zip(scenario.utilisation(0.0)).enumerate() {
                // A thread more or less is what rounding leaves.
                assert!((is / was - 1.0).abs() < 0.15, "{name}: {service} was at {was} and is at {is}");
            }
        }
    }
}

/// A small scenario that makes sense.
const MINE: &str = "description: two services
horizon_s: 300
truth: { targets: [back], verdict: saturated, onset_s: 20 }
services:
  front:
    pods: { workers: { threads: 4, queue: 64 } }
    replicas: 1
    max_replicas: 4
    operations:
      GET /: { own_ms: 1, calls: [{ service: back, operation: GET /data }] }
  back:
    pods: { shared: { cores: 2 } }
    replicas: 1
    max_replicas: 4
    operations:
      GET /data: { own_ms: 5, calls: [{ peer: db, span: SELECT }] }
peers:
  db: { system: postgresql, latency_ms: 2, connections: 10 }
entries:
  - { service: front, operation: GET /, objective: { latency_ms: 100 }, traffic: { rate: 50 } }
";

#[test]
fn a_scenario_that_makes_no_sense_is_refused_with_every_reason() {
    Scenario::from_yaml("mine", MINE).expect("as it stands it makes sense");
    let cases: [(&str, &[(&str, &str)]); 7] = [
        ("a cycle", &[("{ peer: db, span: SELECT }", "{ service: front, operation: GET / }")]),
        ("an unknown key", &[("cores: 2", "core: 2")]),
        ("a missing key", &[("    replicas: 1\n", "")]),
        (
            "unknown names",
            &[
                ("targets: [back]", "targets: [rear]"),
                ("verdict: saturated", "verdict: tired"),
                ("operation: GET /data", "operation: GET /date"),
                ("peer: db", "peer: bd"),
            ],
        ),
        ("numbers out of bounds", &[("horizon_s: 300", "horizon_s: 100"), ("rate: 50", "rate: -1")]),
        (
            "no pod at all",
            &[(
                "replicas: 1\n    max_replicas: 4\n    operations:\n      GET /:",
                "replicas: 0\n    max_replicas: 4\n    operations:\n      GET /:",
            )],
        ),
        (
            "calls that multiply",
            &[
                ("operation: GET /data }] }", "operation: GET /data, count: 100 }] }\n      GET /far: { own_ms: 1 }"),
                ("{ peer: db, span: SELECT }", "{ service: front, operation: GET /far, count: 100 }"),
            ],
        ),
    ];
    let report: Vec<String> = cases
        .iter()
        .map(|(name, edits)| {
            let file = edits.iter().fold(MINE.to_string(), |text, (from, to)| {
                assert!(text.contains(from), "{from} is in the file");
                text.replace(from, to)
            });
            format!("{name}:\n{}\n", Scenario::from_yaml("mine", &file).expect_err("wrong"))
        })
        .collect();
    insta::assert_snapshot!(report.join("\n"));
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    insta::assert_snapshot!(Scenario::by_name("exam").expect_err("no such scenario").to_string());
}
