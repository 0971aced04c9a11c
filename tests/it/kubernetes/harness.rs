//! What the other tests here stand on: the control plane, its kubelet, its audit log, the faults.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use headroom::clock::Stopwatch;
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::faults::{Fault, Proxy, watches, writes};
use crate::skip::measured;

/// A Deployment of two pods that are Ready after half a second, in a namespace of its own.
fn shop(namespace: &str) -> String {
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{ name: {namespace} }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: web, namespace: {namespace} }}
spec:
  replicas: 2
  selector: {{ matchLabels: {{ app: web }} }}
  template:
    metadata:
      labels: {{ app: web }}
      annotations: {{ kubelet/starts-in: 500ms, kubelet/starts-within: 500ms }}
    spec:
      containers: [{{ name: web, image: web, resources: {{ requests: {{ cpu: 100m }} }} }}]
"
    )
}

#[test]
fn pods_start_scale_resize_and_are_evicted_within_their_budget() {
    let Some(cluster) = ControlPlane::shared("pods_start_scale_resize_and_are_evicted_within_their_budget") else {
        return;
    };
    cluster.apply(&shop("harness-pods"));
    let web = ["deployment", "web", "--namespace", "harness-pods"];
    let ready = |count: u64| move |deployment: &Value| deployment["status"]["readyReplicas"] == count;
    cluster.wait_until(&web, ready(2));
    cluster.kubectl(&["scale", "deployment", "web", "--namespace", "harness-pods", "--replicas", "5"]);
    cluster.wait_until(&web, ready(5));

    let pods = cluster.get(&["pods", "--namespace", "harness-pods"]);
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    let patch = r#"{"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":"200m"}}}]}}"#;
    let resize = ["patch", "pod", pod, "--namespace", "harness-pods", "--subresource", "resize", "--patch", patch];
    cluster.kubectl(&resize);
    let resized = ["pod", pod, "--namespace", "harness-pods"];
    cluster.wait_until(&resized, |pod| pod["status"]["containerStatuses"][0]["resources"]["requests"]["cpu"] == "200m");

    cluster.apply(
        "apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: web, namespace: harness-pods }
spec: { minAvailable: 5, selector: { matchLabels: { app: web } } }",
    );
    let budget = ["poddisruptionbudget", "web", "--namespace", "harness-pods"];
    cluster.wait_until(&budget, |budget| budget["status"]["currentHealthy"] == 5);
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod, "namespace": "harness-pods" },
    });
    let path = format!("/api/v1/namespaces/harness-pods/pods/{pod}/eviction");
    let evict = || cluster.try_kubectl(&["create", "--raw", &path, "--filename", "-"], &eviction.to_string());
    let refused = evict().unwrap_err();
    assert!(refused.contains("violate the pod's disruption budget"), "{refused}");

    cluster.kubectl(&["scale", "deployment", "web", "--namespace", "harness-pods", "--replicas", "6"]);
    cluster.wait_until(&budget, |budget| budget["status"]["disruptionsAllowed"] == 1);
    evict().unwrap();
    cluster.wait_until(&web, ready(6));

    let audit = cluster.audit();
    let scaled = audit.iter().filter(|event| {
        event["objectRef"]["namespace"] == "harness-pods" && event["objectRef"]["subresource"] == "scale"
    });
    assert_eq!(scaled.count(), 2, "the audit log has each write");
}

#[test]
fn autoscalers_lift_to_their_minimum_and_those_of_keda_are_known() {
    let Some(cluster) = ControlPlane::shared("autoscalers_lift_to_their_minimum_and_those_of_keda_are_known") else {
        return;
    };
    cluster.apply(&shop("harness-hpa"));
    cluster.apply(
        "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: web, namespace: harness-hpa }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: web }
  minReplicas: 4
  maxReplicas: 8",
    );
    let web = ["deployment", "web", "--namespace", "harness-hpa"];
    cluster.wait_until(&web, |deployment| deployment["status"]["readyReplicas"] == 4);

    cluster.install_crds("github.com/kedacore/keda/v2");
    cluster.apply(
        "apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: web, namespace: harness-hpa }
spec:
  scaleTargetRef: { name: web }
  triggers: [{ type: external-push, metadata: { scalerAddress: 'headroom.headroom:9090' } }]",
    );
    assert_eq!(
        cluster.get(&["scaledobject", "web", "--namespace", "harness-hpa"])["spec"]["scaleTargetRef"]["name"],
        "web"
    );
}

#[test]
fn what_an_api_server_in_trouble_answers_is_answered_once_each() {
    let Some(cluster) = ControlPlane::shared("what_an_api_server_in_trouble_answers_is_answered_once_each") else {
        return;
    };
    cluster.kubectl(&["create", "namespace", "harness-faults"]);
    cluster.kubectl(&["create", "serviceaccount", "ada", "--namespace", "harness-faults"]);
    let binding = ["create", "rolebinding", "ada", "--clusterrole", "edit", "--serviceaccount", "harness-faults:ada"];
    cluster.kubectl(&[&binding[..], &["--namespace", "harness-faults"]].concat());
    let proxy = Proxy::start(cluster);
    let kubeconfig = cluster.kubeconfig_of("harness-faults", "ada", &proxy.server);
    let ada =
        |args: &[&str]| cluster.try_kubectl(&[&["--kubeconfig", kubeconfig.to_str().unwrap()], args].concat(), "");

    let create = ["create", "configmap", "note", "--from-literal", "a=b"];
    proxy.inject(Fault::Status(409), 1, writes);
    let refused = ada(&create).unwrap_err();
    assert!(refused.contains("injected: 409"), "{refused}");
    assert_eq!(proxy.left(), 0);
    proxy.inject(Fault::Lost, 1, writes);
    let lost = ada(&create).unwrap_err();
    assert!(lost.contains("injected: 504"), "{lost}");
    assert_eq!(cluster.get(&["configmap", "note", "--namespace", "harness-faults"])["data"]["a"], "b", "it was done");

    proxy.inject(Fault::Expired, 1, watches);
    let expired = ada(&["get", "configmaps", "--watch-only", "--request-timeout", "10s"]).unwrap();
    assert!(expired.contains("injected: 410"), "{expired}");
    proxy.inject(Fault::Late(Duration::from_secs(5)), 100, |_| true);
    ada(&["get", "configmap", "note", "--request-timeout", "1s"]).unwrap_err();
    proxy.clear();
    ada(&["get", "configmap", "note"]).unwrap();

    // A watch lasts until it is cut.
    let mut watch = cluster.command("kubectl");
    watch.arg("--kubeconfig").arg(&kubeconfig).args(["get", "configmap", "note", "--watch", "--output", "name"]);
    watch.args(["--request-timeout", "60s"]);
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "configmap/note");
    // The first line is of the list before it; with the second the watch is open.
    cluster.kubectl(&["label", "configmap", "note", "--namespace", "harness-faults", "seen=yes"]);
    assert_eq!(lines.next().unwrap().unwrap(), "configmap/note");
    let cut = Stopwatch::start();
    proxy.cut();
    assert!(lines.next().is_none());
    assert!(cut.elapsed() < Duration::from_secs(30), "it ended by its own timeout");
    watch.wait().unwrap();
}

#[test]
fn a_paused_api_server_answers_nothing_and_then_goes_on() {
    let test = "a_paused_api_server_answers_nothing_and_then_goes_on";
    let directory = tempfile::tempdir().unwrap();
    let started = Stopwatch::start();
    let Some(cluster) = ControlPlane::start(test, directory.path(), 1) else { return };
    let ready_in = started.elapsed();
    let paused = cluster.pause();
    let silent = cluster.try_kubectl(&["get", "nodes", "--request-timeout", "1s"], "").unwrap_err();
    assert!(silent.to_lowercase().contains("timeout") || silent.contains("deadline"), "{silent}");
    drop(paused);
    assert_eq!(cluster.get(&["nodes"])["items"].as_array().unwrap().len(), 1);
    measured("control_plane.ready", format!("{:.1}", ready_in.as_secs_f64()), "s");
}
