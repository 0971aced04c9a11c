//! `headroom give-back`: whoever removes headroom gets back what it holds, and what others changed stays theirs.

use std::path::Path;

use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::stage;
use crate::process::headroom;

/// The record of an intervention that is open, as it stands in an annotation.
fn record(id: &str, details: &str) -> String {
    json!({
        "id": id, "rule": "scale_out_bottleneck", "reason": "web is saturated", "applied_at": 1_767_600_068_000_000_000_i64,
        "deadline": 1_767_600_218_000_000_000_i64, "replicas_before": 2, "replicas_after": 3, "waiting_ns_before": 1,
    })
    .to_string()
    .replace('}', &format!("{details}}}"))
}

fn objects() -> String {
    let cpu = record("i-1767600092-1", r#","deed":{"kind":"resized_cpu","factor":2.0}"#);
    let floor = r#"{"before":2,"wanted":9}"#;
    let target = |name: &str| json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    let trigger = |own: bool| match own {
        true => json!({"type": "external-push", "metadata": {"scalerAddress": "x:1", "headroomObjective": "web"}}),
        false => json!({"type": "cpu", "metadata": {"value": "50"}}),
    };
    let deployment = |name: &str, annotations: Value| {
        let resources = json!({"requests": {"cpu": "100m", "memory": "64Mi"}});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "annotations": annotations},
            "spec": {
                "replicas": 3, "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": "web", "image": "web", "resources": resources}]},
                },
            },
        })
    };
    let autoscaled = |kind: &str, name: &str, annotations: Value, spec: Value| {
        let version = if kind == "ScaledObject" { "keda.sh/v1alpha1" } else { "autoscaling/v2" };
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "annotations": annotations}, "spec": spec})
    };
    let floored = json!({"headroom.dev/floor": floor, "headroom.dev/intervention": record("i-1767600068-1", "")});
    let keda = |min: u32, own: bool| {
        json!({
            "minReplicaCount": min, "maxReplicaCount": 20, "scaleTargetRef": {"name": "other"}, "triggers": [trigger(own)],
        })
    };
    let items = [
        deployment("scaled", json!({"headroom.dev/intervention": record("i-1767600069-1", ""), "owner": "somebody"})),
        deployment("lent", json!({"headroom.dev/intervention-cpu": cpu})),
        autoscaled(
            "HorizontalPodAutoscaler",
            "floor",
            floored,
            json!({"minReplicas": 9, "maxReplicas": 20, "scaleTargetRef": target("other")}),
        ),
        autoscaled("ScaledObject", "told", json!({"headroom.dev/floor": floor}), keda(2, true)),
        autoscaled("ScaledObject", "changed", json!({"headroom.dev/floor": floor}), keda(5, false)),
    ];
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

#[test]
fn whoever_removes_headroom_gets_back_what_it_holds_and_nothing_of_others() {
    let test = "whoever_removes_headroom_gets_back_what_it_holds_and_nothing_of_others";
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("give-back");
    let Some(cluster) = ControlPlane::start(test, &directory, 2) else { return };
    stage::define(&cluster);
    cluster.install_crds("github.com/kedacore/keda/v2");
    cluster.kubectl(&["create", "namespace", "held"]);
    cluster.try_kubectl(&["create", "--namespace", "held", "--filename", "-"], &objects()).unwrap();
    cluster.wait_until(&["deployment", "lent", "--namespace", "held"], |it| it["status"]["readyReplicas"] == 3);
    let of_lent = ["pods", "--namespace", "held", "--selector", "app=lent"];
    for pod in cluster.get(&of_lent)["items"].as_array().unwrap() {
        let lend = r#"{"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":"200m"}}}]}}"#;
        let name = pod["metadata"]["name"].as_str().unwrap();
        cluster.kubectl(&["patch", "pod", name, "--namespace", "held", "--subresource", "resize", "--patch", lend]);
    }
    let lease = "apiVersion: coordination.k8s.io/v1\nkind: Lease\n\
                 metadata: {name: headroom, namespace: held, annotations: {seen.headroom.dev/headroom-0: '{}'}}\n\
                 spec: {holderIdentity: headroom-0, renewTime: '2999-01-01T00:00:00.000000Z', leaseDurationSeconds: 10}\n";
    cluster.apply(lease);
    let give_back = |args: &[&str]| {
        let mut command = headroom(&directory);
        command.env("KUBECONFIG", cluster.kubeconfig()).arg("give-back").args(args);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let of = |what: &str| cluster.get(&[what, "--namespace", "held"]);

    let (code, _, error) = give_back(&[]);
    assert_eq!(code, 2, "while one leads it would take all of it again");
    assert!(error.contains("headroom-0 leads by the Lease held/headroom"), "{error}");
    cluster.kubectl(&["delete", "lease", "headroom", "--namespace", "held"]);

    let before = of("deployments,hpa,scaledobjects");
    let (code, said, error) = give_back(&["--dry-run"]);
    assert_eq!((code, error.as_str()), (0, ""), "{said}");
    let expected = [
        "Deployment held/lent: CPU of its pods as its template says, record i-1767600092-1 removed",
        "Deployment held/scaled: record i-1767600069-1 removed; 3 replicas stay, 2 before",
        "HorizontalPodAutoscaler held/floor: minReplicas 9 -> 2; record i-1767600068-1 removed",
        "ScaledObject held/changed: minReplicaCount stays 5, as somebody changed it",
        "ScaledObject held/told: the external scaler's floor of 9 removed",
        "5 objects would be given back; nothing was changed",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    let specs = |list: &Value| -> Vec<Value> {
        list["items"].as_array().unwrap().iter().map(|it| json!([it["metadata"]["annotations"], it["spec"]])).collect()
    };
    assert_eq!(specs(&of("deployments,hpa,scaledobjects")), specs(&before), "a dry run changes nothing");

    let (code, said, error) = give_back(&[]);
    assert_eq!((code, error.as_str()), (0, ""), "{said}");
    assert_eq!(of("hpa/floor")["spec"]["minReplicas"], 2, "what its owner had");
    assert_eq!(of("scaledobject/told")["spec"]["minReplicaCount"], 2, "which headroom never touched");
    assert_eq!(of("scaledobject/changed")["spec"]["minReplicaCount"], 5, "somebody else's");
    let scaled = of("deployment/scaled");
    assert_eq!(scaled["spec"]["replicas"], 3, "its load may need them");
    assert_eq!(scaled["metadata"]["annotations"]["owner"], "somebody");
    for pod in cluster.get(&of_lent)["items"].as_array().unwrap() {
        assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "100m", "memory": "64Mi"}));
    }
    for object in of("deployments,hpa,scaledobjects")["items"].as_array().unwrap() {
        let annotations = object["metadata"]["annotations"].as_object();
        let left: Vec<_> =
            annotations.into_iter().flatten().filter(|(key, _)| key.starts_with("headroom.dev/")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let (code, said, _) = give_back(&[]);
    assert_eq!((code, said.as_str()), (0, "nothing is held on this cluster\n"));

    // Asked to, it gives the replicas back as well.
    let annotation = format!("headroom.dev/intervention={}", record("i-1767600069-1", ""));
    cluster.kubectl(&["annotate", "deployment", "scaled", "--namespace", "held", &annotation]);
    let (code, said, _) = give_back(&["--replicas"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Deployment held/scaled: replicas 3 -> 2, record i-1767600069-1 removed"), "{said}");
    assert_eq!(of("deployment/scaled")["spec"]["replicas"], 2);
}
