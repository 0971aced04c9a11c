//! Single capabilities on the real control plane, each asked for by a rule of its own: a pod is evicted within its
//! disruption budget, CPU is lent and given back, and what a quota, an owner or a dependency does not bear is refused
//! before it is tried.

use std::path::Path;

use serde_json::Value;

use super::control_plane::ControlPlane;
use super::stage;

const NAMESPACE: &str = "pods";
/// Where a quota leaves no room.
const TIGHT: &str = "pods-tight";

fn rule(directory: &Path, name: &str, evaluate: &str) {
    let rules = directory.join("only/rules");
    // A rule is there whole or not at all: the directory is looked at while it is written.
    let beside = directory.join(name);
    std::fs::write(&beside, format!("// A rule of a test.\nfn evaluate(now) {{ {evaluate} }}\n")).unwrap();
    std::fs::rename(beside, rules.join(format!("{name}.rhai"))).unwrap();
}

fn pods(cluster: &ControlPlane, name: &str) -> Vec<Value> {
    let of = format!("app={name}");
    let list = cluster.get(&["pods", "--namespace", NAMESPACE, "--selector", &of]);
    list["items"].as_array().unwrap().clone()
}

/// What was refused to a service, by which gate.
fn refused(entries: &[Value], service: &str) -> Vec<String> {
    let of = |entry: &&Value| entry["decision"]["proposal"]["action"]["service"] == service;
    let said = |entry: &Value| {
        let decision = &entry["decision"];
        Some(format!("{}: {}", decision["gate"].as_str()?, decision["reason"].as_str()?))
    };
    entries.iter().filter(of).filter_map(said).collect()
}

/// Writes of headroom to a subresource of a pod that were answered well: dry runs, and real ones.
fn written(cluster: &ControlPlane, subresource: &str) -> (usize, usize) {
    let own = |event: &&Value| {
        let of = &event["objectRef"];
        let answered = event["responseStatus"]["code"].as_u64().is_some_and(|code| code < 300);
        of["namespace"] == NAMESPACE && of["subresource"] == subresource && answered
    };
    let audit = cluster.audit();
    let (dry, real): (Vec<&Value>, Vec<&Value>) = audit
        .iter()
        .filter(own)
        .partition(|event| event["requestURI"].as_str().unwrap_or_default().contains("dryRun=All"));
    (dry.len(), real.len())
}

#[test]
fn pods_are_restarted_and_resized_and_what_cannot_be_borne_is_refused() {
    let test = "pods_are_restarted_and_resized_and_what_cannot_be_borne_is_refused";
    let Some(cluster) = stage::opened(test, NAMESPACE) else { return };
    cluster.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {TIGHT} }}\n"));
    let budget = |minimum: u32| {
        format!(
            "apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{ name: slow, namespace: {NAMESPACE} }}
spec: {{ minAvailable: {minimum}, selector: {{ matchLabels: {{ app: slow }} }} }}
"
        )
    };
    let quota = format!(
        "apiVersion: v1
kind: ResourceQuota
metadata: {{ name: team, namespace: {TIGHT} }}
spec: {{ hard: {{ pods: 2 }} }}
"
    );
    cluster.apply(&quota);
    for name in ["slow", "lent", "shared"] {
        cluster.apply(&stage::deployment(NAMESPACE, name, 2));
    }
    cluster.apply(&stage::deployment(TIGHT, "tight", 2));
    cluster.apply(&budget(2));
    let promised = ", objectives: [{ entry: 'door GET /slow', latency: 50ms }], step: 1";
    cluster.apply(&stage::objective(NAMESPACE, "slow", promised));
    cluster.apply(&stage::objective(NAMESPACE, "lent", ", resizePods: true"));
    cluster.apply(&stage::objective(NAMESPACE, "shared", ", connections: [{ to: db, perReplica: 10, max: 25 }]"));
    cluster.apply(&stage::objective(TIGHT, "tight", ""));
    for wrong in [", objectives: [{ latency: 0s }]", ", objectives: [{ latency: 1s, quantile: 2 }]", ", step: 0"] {
        let said =
            cluster.try_kubectl(&["apply", "--server-side", "-f", "-"], &stage::objective(NAMESPACE, "wrong", wrong));
        assert!(said.is_err(), "{wrong}");
    }
    for (namespace, name) in [(NAMESPACE, "slow"), (NAMESPACE, "lent"), (NAMESPACE, "shared"), (TIGHT, "tight")] {
        cluster.wait_until(&["deployment", name, "--namespace", namespace], |of| of["status"]["readyReplicas"] == 2);
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("only/rules")).unwrap();
    let slow = pods(cluster, "slow")[0].clone();
    let slow_name = slow["metadata"]["name"].as_str().unwrap();
    rule(directory.path(), "restart", &format!("restart_pod(\"slow\", \"{slow_name}\")"));
    rule(directory.path(), "tight", "scale_out(\"tight\").to(9)");
    rule(directory.path(), "shared", "scale_out(\"shared\").to(9)");

    // Every objective of the configuration is far off; the owner's is what is missed.
    let more = "rules: { directory: rules }\nobjectives: [{ entry: \"* *\", latency: 1h }]\n";
    let mut daemon = stage::serve(cluster, directory.path(), NAMESPACE, "only", more);
    daemon.wait_for_start("leads");
    let traffic = stage::traffic(cluster, NAMESPACE, &["slow", "lent", "shared"], &daemon);
    let journal = |holds: &dyn Fn(&[Value]) -> bool| stage::await_journal(directory.path(), "only", holds);

    let says = |service: &'static str, words: &'static str| {
        move |entries: &[Value]| refused(entries, service).iter().any(|said| said.contains(words))
    };
    journal(&says("slow", "bounds: PodDisruptionBudget slow lets no pod go: 2 are healthy and 2 must be"));
    journal(&says("tight", "bounds: quota team: pods 2 of 2 used"));
    journal(&says("shared", "bounds: db bears 25 connections, 0 are for others, and each replica takes 10"));
    assert_eq!(written(cluster, "eviction"), (0, 0), "said before it was tried");

    cluster.apply(&budget(1));
    let events = ["events.v1.events.k8s.io", "--namespace", NAMESPACE, "--field-selector"];
    let restarted = [&events[..], &["reason=HeadroomRestarted,regarding.name=slow"]].concat();
    let event = cluster.wait_until(&restarted, |event| event["note"].is_string());
    let note = event["note"].as_str().unwrap();
    assert!(note.contains(&format!("pod {slow_name} was restarted")) && note.contains("headroom explain d-"), "{note}");
    cluster.wait_until(&["deployment", "slow", "--namespace", NAMESPACE], |of| of["status"]["readyReplicas"] == 2);
    assert!(!pods(cluster, "slow").iter().any(|pod| pod["metadata"]["uid"] == slow["metadata"]["uid"]));
    assert_eq!(written(cluster, "eviction"), (1, 1), "a dry run, and once for good");
    let slowed = cluster.get(&["deployment", "slow", "--namespace", NAMESPACE]);
    let record = slowed["metadata"]["annotations"]["headroom.dev/intervention-pods"].as_str().unwrap();
    assert!(record.contains(r#""kind":"restarted_pod""#) && record.contains(slow_name), "{record}");

    // Lent for five seconds, and given back.
    rule(
        directory.path(),
        "lend",
        "if now.service(\"lent\") != () { resize_cpu(\"lent\", 1.5).for_duration(seconds(5)) }",
    );
    let pod = pods(cluster, "lent")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let one = ["pod", pod.as_str(), "--namespace", NAMESPACE];
    let cpu = |of: &Value| of["spec"]["containers"][0]["resources"].clone();
    let lent = cluster.wait_until(&one, |of| cpu(of)["requests"]["cpu"] == "150m");
    assert_eq!(cpu(&lent)["limits"]["cpu"], "300m");
    cluster.wait_until(&one, |of| cpu(of)["requests"]["cpu"] == "100m" && cpu(of)["limits"]["cpu"] == "200m");
    cluster.wait_until(&["deployment", "lent", "--namespace", NAMESPACE], |of| {
        of["metadata"]["annotations"]["headroom.dev/intervention-cpu"].is_null()
    });
    let (dry, real) = written(cluster, "resize");
    assert!(dry >= 4 && real >= 4, "two pods each way, {dry} dry and {real} real");

    // The owner's objective is the one in force.
    journal(&|entries: &[Value]| {
        let all = entries.iter().flat_map(|entry| entry["findings"]["entries"].as_array().into_iter().flatten());
        let door: Vec<&Value> = all.filter(|of| of["entry"] == "door GET /slow").collect();
        door.iter().any(|of| of["objective_ms"] == 50.0 && of["missed"] == true)
    });
    drop(traffic);
    assert_eq!(daemon.terminate(), 0);
}
