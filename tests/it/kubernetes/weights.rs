//! Weights of an HTTPRoute on the real control plane: moved away from a slow release in bounded steps, given back on expiry also when
//! headroom was killed meanwhile, left alone where a progressive delivery drives the route, and never against its owner.

use std::path::Path;
use std::time::Duration;

use headroom::simulate::Scenario;
use serde_json::Value;

use super::control_plane::ControlPlane;
use super::stage;
use super::traffic::Traffic;
use crate::process::{Daemon, pause};

const NAMESPACE: &str = "weights";

/// The release gets half of the requests after 20 s, and takes five times as long.
const SCENARIO: &str = "
description: a slow release beside what runs
horizon_s: 600
truth: { targets: [], verdict: regression, at: [content], onset_s: 20 }
telemetry: { sdk_batch_s: 0.2, collector_min_s: 0.05, collector_max_s: 0.15 }
nodes: { count: 100, max: 100, room: 16, arrival_s: 1 }
pod_start: { pull_p50_s: 0.1, pull_p95_s: 0.2, cached_p50_s: 0.1, probe_s: 0.1, warm_up_s: 1 }
services:
  door:
    pods: { shared: { cores: 8, burst_cores: 8, in_flight_max: 10000 } }
    replicas: 2
    max_replicas: 2
    operations: { GET /content: { own_ms: 1, calls: [{ service: content, operation: GET /content }] } }
  content:
    pods: { workers: { threads: 16, queue: 64 } }
    replicas: 2
    max_replicas: 12
    operations: { GET /content: { own_ms: 60, sigma: 0.2 } }
faults:
  - release: { service: content, version: v2, factor: 5, at_s: 20, weight: 0.5 }
entries:
  - { service: door, operation: GET /content, objective: { latency_ms: 200 }, traffic: { rate: 40 } }
";

/// A route, and the RouteObjective that lets it be moved, of the service of this name.
fn route(service: &str, name: &str, metadata: &str) -> String {
    let text = format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{ name: {name}, namespace: {NAMESPACE}{metadata} }}
spec:
  rules:
  - backendRefs: [{{ name: SERVICE-v1, port: 80, weight: 50 }}, {{ name: SERVICE-v2, port: 80, weight: 50 }}]
---
apiVersion: headroom.dev/v1alpha1
kind: RouteObjective
metadata: {{ name: {name}, namespace: {NAMESPACE} }}
spec:
  target: {{ name: {name} }}
  service: SERVICE
  backends: [{{ name: SERVICE-v1, version: v1 }}, {{ name: SERVICE-v2, version: v2 }}]
  leastShare: 0.05
  step: 0.2
  mode: Enforce
"
    );
    text.replace("SERVICE", service)
}

fn weights(route: &Value) -> Vec<u64> {
    let refs = route["spec"]["rules"][0]["backendRefs"].as_array().unwrap();
    refs.iter().map(|one| one["weight"].as_u64().unwrap()).collect()
}

fn is_recorded(route: &Value) -> bool {
    route["metadata"]["annotations"]["headroom.dev/intervention-weight"].is_string()
}

/// Users of a service whose release is slow, split as its route of the same name splits them.
fn users(cluster: &ControlPlane, service: &str, to: &Daemon) -> Traffic {
    let mut scenario = Scenario::from_yaml("weights", &SCENARIO.replace("content", service)).unwrap();
    scenario.shaping = true;
    Traffic::of(&scenario, cluster, NAMESPACE, "httproutes", &[], std::slice::from_ref(&to.http))
}

/// A Deployment that is opted in, with a route to it.
fn open(cluster: &ControlPlane, service: &str) {
    cluster.install_crds("sigs.k8s.io/gateway-api");
    cluster.apply(&stage::deployment(NAMESPACE, service, 2));
    cluster.apply(&stage::objective(NAMESPACE, service, ""));
    cluster.apply(&route(service, service, ""));
}

fn more(service: &str) -> String {
    let objective = format!("objectives: [{{ entry: \"door GET /{service}\", latency: 200ms }}]\n");
    format!("rules: {{ directory: rules }}\nguard: {{ shift_cooldown: 3s }}\n{objective}")
}

/// Weights that headroom wrote, as the audit log of the API server has them, in the order of time.
fn written(cluster: &ControlPlane, route: &str) -> Vec<Vec<u64>> {
    let own = |event: &&Value| {
        let (of, dry) = (&event["objectRef"], event["requestURI"].as_str().unwrap_or_default().contains("dryRun=All"));
        of["resource"] == "httproutes" && event["verb"] == "patch" && of["name"] == route && !dry
    };
    let is_done = |event: &&Value| event["responseStatus"]["code"].as_u64().is_some_and(|code| code < 300);
    let by_headroom = |event: &&Value| event["userAgent"].as_str().is_none_or(|agent| !agent.starts_with("kubectl"));
    let all = cluster.audit();
    let objects =
        all.iter().filter(own).filter(is_done).filter(by_headroom).map(|event| event["responseObject"].clone());
    objects.filter(|object| object["spec"].is_object()).map(|object| weights(&object)).collect()
}

/// Waits until the owner's weights are back, and nothing is recorded any more. It takes longer than one wait may.
fn given_back(cluster: &ControlPlane, of: &[&str]) -> Value {
    cluster.wait_until(of, |it| weights(it)[0] <= 75);
    cluster.wait_until(of, |it| weights(it) == [50, 50] && !is_recorded(it))
}

fn rule(directory: &Path, text: &str) {
    std::fs::create_dir_all(directory.join("only/rules")).unwrap();
    let beside = directory.join("next.rhai");
    std::fs::write(&beside, format!("// Away from a slow release.\n{text}\n")).unwrap();
    std::fs::rename(beside, directory.join("only/rules/shift.rhai")).unwrap();
}

const SHIFT: &str = "fn evaluate(now) {
    now.bottlenecks.filter(|b| b.verdict == \"regression\").map(|b| shift_weight(b.service, b.version).for_duration(seconds(20)).because(b.summary))
}";

#[test]
fn weights_move_in_steps_come_back_and_yield_to_their_owner() {
    let Some(cluster) = stage::opened("weights_move_in_steps_come_back_and_yield_to_their_owner", NAMESPACE) else {
        return;
    };
    open(cluster, "content");
    let owner = ", ownerReferences: [{ apiVersion: flagger.app/v1beta1, kind: Canary, name: theirs, uid: none }]";
    cluster.apply(&route("content", "theirs", owner));
    let of = |name: &'static str| ["httproute", name, "--namespace", NAMESPACE];

    let directory = tempfile::tempdir().unwrap();
    rule(directory.path(), SHIFT);
    let serve = || {
        let mut daemon = stage::serve(cluster, directory.path(), NAMESPACE, "only", &more("content"));
        daemon.wait_for_start("leads");
        daemon
    };
    let mut daemon = serve();
    let traffic = users(cluster, "content", &daemon);

    // Two waits: all of it takes longer than one may on a machine that compiles meanwhile.
    cluster.wait_until(&of("content"), |it| weights(it)[1] < 50);
    let least = cluster.wait_until(&of("content"), |it| weights(it) == [95, 5]);
    assert!(is_recorded(&least), "{least:#}");
    let away = written(cluster, "content");
    assert!(away.len() >= 3, "{away:?}");
    let jumps = |steps: &[Vec<u64>]| steps.windows(2).map(|pair| pair[0][0].abs_diff(pair[1][0])).max().unwrap_or(0);
    assert!(away[0][0] <= 70 && jumps(&away) <= 20, "a fifth of the requests a step: {away:?}");

    // Killed while it holds them; whoever comes next gives them back in steps.
    rule(directory.path(), "fn evaluate(now) {}");
    daemon.kill();
    let daemon = serve();
    let back = given_back(cluster, &of("content"));
    assert!(
        back["metadata"]["annotations"]
            .as_object()
            .is_none_or(|all| all.keys().all(|key| !key.starts_with("headroom.dev/")))
    );
    assert!(jumps(&written(cluster, "content")) <= 20, "{:?}", written(cluster, "content"));
    drop(traffic);

    // What a progressive delivery drives is theirs.
    let theirs = cluster.get(&of("theirs"));
    assert_eq!((weights(&theirs), is_recorded(&theirs)), (vec![50, 50], false));

    // Once more, and its owner steps in: what they set stays.
    let traffic = users(cluster, "content", &daemon);
    rule(directory.path(), SHIFT);
    cluster.wait_until(&of("content"), |it| weights(it)[1] < 50);
    let edit = r#"[{"op":"replace","path":"/spec/rules/0/backendRefs/0/weight","value":60},
                   {"op":"replace","path":"/spec/rules/0/backendRefs/1/weight","value":40}]"#;
    cluster.kubectl(&["patch", "httproute", "content", "--namespace", NAMESPACE, "--type=json", "--patch", edit]);
    let yielded = cluster.wait_until(&of("content"), |it| !is_recorded(it));
    assert_eq!(weights(&yielded), [60, 40], "the record goes, the weights are the owner's");
    let refused = |entries: &[Value]| {
        let mut reasons = entries.iter().filter_map(|entry| entry["decision"]["reason"].as_str());
        reasons.any(|reason| reason.contains("the breaker of") && reason.contains("another hand set the weights"))
    };
    stage::await_journal(directory.path(), "only", refused);
    pause(Duration::from_secs(10));
    assert_eq!(weights(&cluster.get(&of("content"))), [60, 40], "it is not moved again at once");
    drop(traffic);
    assert_eq!(daemon.terminate(), 0);
}

/// How many kills; one where it is not said.
const KILLS: &str = "HEADROOM_KILLS";

#[test]
fn killed_at_any_point_nothing_is_left_behind() {
    let Some(cluster) = stage::opened("killed_at_any_point_nothing_is_left_behind", NAMESPACE) else { return };
    open(cluster, "canary");
    let of = ["httproute", "canary", "--namespace", NAMESPACE];
    let kills: u32 = std::env::var(KILLS).map_or(1, |kills| kills.parse().unwrap());
    for point in 0..kills {
        let directory = tempfile::tempdir().unwrap();
        rule(directory.path(), SHIFT);
        let serve = || {
            let mut daemon = stage::serve(cluster, directory.path(), NAMESPACE, "only", &more("canary"));
            daemon.wait_for_start("leads");
            daemon
        };
        let mut daemon = serve();
        let traffic = users(cluster, "canary", &daemon);
        cluster.wait_until(&of, |it| weights(it)[1] < 50);
        // The first ones between the steps away, the others on the way back.
        pause(Duration::from_millis(u64::from(point % 5) * 900));
        if point >= 5 {
            rule(directory.path(), "fn evaluate(now) {}");
            let least = weights(&cluster.get(&of))[1];
            cluster.wait_until(&of, |it| weights(it)[1] > least);
            pause(Duration::from_millis(u64::from(point % 5) * 300));
        }
        daemon.kill();
        drop(traffic);
        rule(directory.path(), "fn evaluate(now) {}");
        let daemon = serve();
        given_back(cluster, &of);
        assert_eq!(daemon.terminate(), 0);
    }
}
