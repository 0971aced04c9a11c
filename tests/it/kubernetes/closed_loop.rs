//! The loop on a real Kubernetes: spans come in over OTLP, the bottleneck is named, and what was opted in grows by the
//! lever that its owner leaves to headroom. One burst over several services, so that all of it takes a minute.

use std::path::Path;
use std::time::Duration;

use headroom::act::kubernetes::scaler::METRIC;
use headroom::act::kubernetes::scaler::proto::external_scaler_client::ExternalScalerClient;
use headroom::act::kubernetes::scaler::proto::{GetMetricsRequest, ScaledObjectRef};
use headroom::clock::Stopwatch;
use serde_json::Value;

use super::control_plane::ControlPlane;
use super::traffic::Traffic;
use crate::process::{self, Daemon};
use crate::skip::measured;

const NAMESPACE: &str = "loop";

/// Each a Deployment of two pods under the same burst: nothing owns `plain`; a HorizontalPodAutoscaler owns `steered`;
/// a ScaledObject that asks headroom owns `asked`; a policy keeps `capped` at four; somebody sets `fought` back; and
/// `stranger` has not opted in.
const SERVICES: [&str; 6] = ["plain", "steered", "asked", "capped", "fought", "stranger"];

fn deployment(name: &str) -> String {
    format!(
        "---
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name}, namespace: {NAMESPACE} }}
spec:
  replicas: 2
  selector: {{ matchLabels: {{ app: {name} }} }}
  template:
    metadata:
      labels: {{ app: {name} }}
      annotations: {{ kubelet/starts-in: 500ms, kubelet/starts-within: 1s }}
    spec:
      containers: [{{ name: web, image: web }}]
"
    )
}

fn objective(name: &str) -> String {
    format!(
        "---
apiVersion: headroom.dev/v1alpha1
kind: ServiceObjective
metadata: {{ name: {name}, namespace: {NAMESPACE} }}
spec: {{ target: {{ name: {name} }}, service: {name}, minReplicas: 2, maxReplicas: 12, mode: Enforce }}
"
    )
}

const OWNERS: &str = "---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: steered, namespace: loop }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: steered }
  minReplicas: 2
  maxReplicas: 10
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: asked, namespace: loop }
spec:
  scaleTargetRef: { name: asked }
  minReplicaCount: 2
  maxReplicaCount: 9
  triggers: [{ type: external-push, metadata: { scalerAddress: 'headroom:8081', headroomObjective: asked } }]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: no-more-than-four }
spec:
  matchConstraints:
    resourceRules:
    - { apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [deployments, deployments/scale] }
  matchConditions: [{ name: capped, expression: \"request.name == 'capped'\" }]
  validations: [{ expression: 'object.spec.replicas <= 4', message: capped runs four replicas at most }]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: no-more-than-four }
spec: { policyName: no-more-than-four, validationActions: [Deny] }
";

fn serve(cluster: &ControlPlane, directory: &Path, identity: &str) -> Daemon {
    let home = directory.join(identity);
    std::fs::create_dir(&home).unwrap();
    let configuration = format!(
        "mode: enforce
default_objective: {{ latency: 400ms }}
receive: {{ grpc: \"127.0.0.1:0\", http: \"127.0.0.1:0\" }}
api: {{ listen: \"127.0.0.1:0\" }}
journal: {{ path: journal.jsonl }}
cluster: {{ kubernetes: {{ namespace: {NAMESPACE}, identity: {identity}, scaler: \"127.0.0.1:0\" }} }}
"
    );
    std::fs::write(home.join("headroom.yaml"), configuration).unwrap();
    let kubeconfig = cluster.kubeconfig();
    // Nobody reads its log while the burst lasts, and a pipe holds little.
    let log = "warn,headroom::act=info,headroom::commands::serve=info,headroom::commands::serve::core=warn";
    Daemon::start_with(
        &home,
        &["--config", "headroom.yaml", "--log", log],
        &[("KUBECONFIG", kubeconfig.to_str().unwrap())],
    )
}

/// The Events about one object, by their reason.
fn event(cluster: &ControlPlane, name: &str, reason: &str) -> String {
    let fields = format!("reason={reason},regarding.name={name}");
    let what = ["events.v1.events.k8s.io", "--namespace", NAMESPACE, "--field-selector", &fields];
    let event = cluster.wait_until(&what, |event| event["note"].is_string());
    event["note"].as_str().unwrap().to_owned()
}

/// Writes of headroom that reached an object, as the API server's audit log has them.
fn writes(cluster: &ControlPlane, name: &str) -> usize {
    let own = |event: &&Value| {
        let of = &event["objectRef"];
        of["namespace"] == NAMESPACE
            && of["name"] == name
            && !event["requestURI"].as_str().unwrap_or_default().contains("dryRun")
            && event["requestURI"].as_str().unwrap_or_default().contains("fieldManager=headroom")
            && matches!(of["resource"].as_str(), Some("deployments" | "horizontalpodautoscalers" | "scaledobjects"))
            && event["responseStatus"]["code"].as_u64().is_none_or(|code| code < 300)
    };
    cluster.audit().iter().filter(own).count()
}

/// What the external scaler answers for `asked`; the second is what it says of one that nobody opted in.
fn ask(address: &str) -> (i64, tonic::Code) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = ExternalScalerClient::new(endpoint.connect().await.unwrap());
        let of = |name: &str| GetMetricsRequest {
            scaled_object_ref: Some(ScaledObjectRef {
                name: name.into(),
                namespace: NAMESPACE.into(),
                ..ScaledObjectRef::default()
            }),
            metric_name: METRIC.into(),
        };
        let value =
            client.get_metrics(of("asked")).await.map(|answer| answer.into_inner().metric_values[0].metric_value);
        (value.unwrap_or(-1), client.get_metrics(of("nobody")).await.unwrap_err().code())
    })
}

fn scaler(daemon: &Daemon) -> String {
    let said = daemon.seen.iter().find(|line| line["message"] == "the external scaler listens").unwrap();
    said["scaler"].as_str().unwrap().to_owned()
}

/// From the first tick that names a service the bottleneck to the write that the cluster took, over all services.
fn report(entries: &[Value]) {
    let mut worst = 0.0_f64;
    let mut bursts = 0;
    for service in SERVICES {
        let named = |entry: &&Value| {
            let bottlenecks = entry["findings"]["bottlenecks"].as_array();
            bottlenecks.into_iter().flatten().any(|bottleneck| bottleneck["service"] == service)
        };
        let done = |entry: &&Value| {
            entry["what"] == "acted" && entry["error"].is_null() && entry["change"]["service"] == service
        };
        let at = |entry: &Value| entry["at"].as_i64().unwrap();
        if let (Some(found), Some(acted)) = (entries.iter().find(named), entries.iter().find(done)) {
            worst = worst.max((at(acted) - at(found)) as f64 / 1e9);
            bursts += 1;
        }
    }
    measured("kubernetes.found_to_patched", format!("{worst:.2}"), "s");
    measured("kubernetes.bursts", bursts, "bursts");
}

#[test]
fn a_burst_is_met_by_the_lever_that_each_owner_leaves() {
    let Some(cluster) = ControlPlane::shared("a_burst_is_met_by_the_lever_that_each_owner_leaves") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (code, crd, error) = process::run(directory.path(), &["crd"]);
    assert_eq!(code, 0, "{error}");
    cluster.apply(&crd);
    cluster.install_crds("github.com/kedacore/keda/v2");
    cluster.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {NAMESPACE} }}\n"));
    cluster.apply(&SERVICES.map(deployment).concat());
    cluster.apply(&SERVICES[..5].iter().map(|name| objective(name)).collect::<String>());
    cluster.apply(OWNERS);
    let above = cluster.try_kubectl(
        &["apply", "--server-side", "--filename", "-"],
        &objective("wrong").replace("minReplicas: 2", "minReplicas: 20"),
    );
    assert!(above.unwrap_err().contains("minReplicas is above maxReplicas"));

    let mut leader = serve(cluster, directory.path(), "first");
    let lease = ["lease", "headroom", "--namespace", NAMESPACE];
    cluster.kubectl(&["wait", "--for=create", "lease/headroom", "--namespace", NAMESPACE, "--timeout=60s"]);
    cluster.wait_until(&lease, |lease| lease["spec"]["holderIdentity"] == "first");
    let mut second = serve(cluster, directory.path(), "second");
    let traffic = [&leader, &second].map(|daemon| Traffic::start(cluster, NAMESPACE, &SERVICES, &daemon.http));

    let deployment = |name: &'static str| ["deployment", name, "--namespace", NAMESPACE];
    let replicas = |of: &Value| of["spec"]["replicas"].as_u64().unwrap_or(0);

    // Somebody's pipeline knows better.
    cluster.wait_until(&deployment("fought"), |of| replicas(of) > 2);
    cluster.kubectl(&["scale", "deployment", "fought", "--replicas=2", "--namespace", NAMESPACE]);
    let note = event(cluster, "fought", "HeadroomReverted");
    assert!(note.contains("kubectl set Deployment loop/fought back"), "{note}");

    let plain = cluster.wait_until(&deployment("plain"), |of| of["status"]["readyReplicas"].as_u64() > Some(4));
    assert!(replicas(&plain) <= 12, "never above its objective's maximum");
    let note = event(cluster, "plain", "HeadroomScaled");
    assert!(note.contains("saturated") && note.contains("headroom explain d-"), "{note}");

    let hpa = ["horizontalpodautoscaler", "steered", "--namespace", NAMESPACE];
    let hpa = cluster.wait_until(&hpa, |of| of["spec"]["minReplicas"].as_u64() > Some(4));
    assert!(hpa["spec"]["minReplicas"].as_u64() <= Some(10), "never above the owner's maximum");
    let floor = hpa["metadata"]["annotations"]["headroom.dev/floor"].as_str().unwrap();
    assert!(floor.contains(r#""before":2"#), "{floor}");
    cluster.wait_until(&deployment("steered"), |of| of["status"]["readyReplicas"].as_u64() > Some(4));

    let note = event(cluster, "capped", "HeadroomRefused");
    assert!(note.contains("no-more-than-four") && note.contains("capped runs four replicas at most"), "{note}");
    assert!(replicas(&cluster.get(&deployment("capped"))) <= 4, "what the policy allows");

    let scaled = ["scaledobject", "asked", "--namespace", NAMESPACE];
    let scaled = cluster.wait_until(&scaled, |of| of["metadata"]["annotations"]["headroom.dev/floor"].is_string());
    assert_eq!(scaled["spec"]["minReplicaCount"], 2, "no field of the owner's drifts");
    let (value, unknown) = ask(&scaler(&leader));
    assert!((3..=9).contains(&value), "{value}");
    assert_eq!(unknown, tonic::Code::NotFound);
    // What KEDA's autoscaler would do of it.
    cluster.kubectl(&["scale", "deployment", "asked", &format!("--replicas={value}"), "--namespace", NAMESPACE]);

    let objective = ["serviceobjective", "plain", "--namespace", NAMESPACE];
    let status = cluster.wait_until(&objective, |of| of["status"]["lastDecision"].is_string())["status"].clone();
    assert_eq!((status["service"].as_str(), status["mode"].as_str()), (Some("plain"), Some("Enforce")));
    let refused = ["serviceobjective", "capped", "--namespace", NAMESPACE];
    cluster.wait_until(&refused, |of| {
        let conditions = of["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|condition| condition["reason"] == "PolicyRefuses")
    });

    // It helped, and the record goes.
    cluster.wait_until(&deployment("plain"), |of| {
        of["metadata"]["annotations"]["headroom.dev/intervention"].is_null() && replicas(of) > 2
    });

    // The leader dies; the other one takes over, and does nothing twice.
    let before = writes(cluster, "plain");
    let died = Stopwatch::start();
    leader.kill();
    cluster.wait_until(&lease, |lease| lease["spec"]["holderIdentity"] == "second");
    let failover = died.elapsed();
    second.wait_for("leads");
    assert!(failover < Duration::from_secs(15), "{failover:?}");
    measured("kubernetes.failover", format!("{:.1}", failover.as_secs_f64()), "s");
    drop(traffic);
    assert_eq!(second.terminate(), 0);
    assert_eq!(writes(cluster, "plain"), before);
    assert_eq!(writes(cluster, "stranger"), 0, "what is not opted in is never written");

    let journal = std::fs::read_to_string(directory.path().join("first/journal.jsonl")).unwrap();
    let entries: Vec<Value> = journal.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let refused = |gate: &str, reason: &str| {
        let decided = |entry: &&Value| entry["decision"]["gate"] == gate;
        let mut reasons = entries.iter().filter(decided).map(|entry| entry["decision"]["reason"].to_string());
        reasons.any(|said| said.contains(reason))
    };
    assert!(refused("admission", "capped runs four replicas at most"), "a refusal is a decision of the journal");
    assert!(refused("breaker", "kubectl undid the last change"));
    report(&entries);
}
