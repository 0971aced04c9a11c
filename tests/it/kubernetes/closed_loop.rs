//! The loop on a real Kubernetes: spans come in over OTLP, the bottleneck is named, what was opted in grows by the lever
//! that its owner leaves to headroom, and what was added is given back. One burst over several services, so that all of
//! it takes two minutes.

use std::time::Duration;

use headroom::clock::Stopwatch;
use serde_json::Value;

use super::control_plane::ControlPlane;
use super::keda::{self, Keda};
use super::metrics_server::MetricsServer;
use super::shop::{self, IMPATIENT, Shop};
use super::traffic::{Burst, Traffic};
use super::{audit, bursts};
use crate::real::probe::until;
use crate::skip::measured;

const NAMESPACE: &str = "loop";

/// Each a Deployment of two pods under the same burst: nothing owns `plain`; a HorizontalPodAutoscaler owns `steered`;
/// a ScaledObject that asks headroom owns `asked`; a policy keeps `capped` at four; somebody sets `fought` back; and
/// `stranger` has not opted in.
const SERVICES: [&str; 6] = ["plain", "steered", "asked", "capped", "fought", "stranger"];

/// By then there is a baseline.
const BURST_AT_S: f64 = 15.0;

/// Long enough for every change to be verified while the load lasts.
const BURST_HOLD_S: f64 = 35.0;

const OWNERS: &str = "---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: steered, namespace: loop }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: steered }
  minReplicas: 2
  maxReplicas: 10
  metrics: [{ type: Resource, resource: { name: cpu, target: { type: Utilization, averageUtilization: 50 } } }]
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

/// The Events about one object, by their reason.
fn event(cluster: &ControlPlane, name: &str, reason: &str) -> String {
    let fields = format!("reason={reason},regarding.name={name}");
    let what = ["events.v1.events.k8s.io", "--namespace", NAMESPACE, "--field-selector", &fields];
    let event = cluster.wait_until(&what, |event| event["note"].is_string());
    event["note"].as_str().unwrap().to_owned()
}

fn replicas(of: &Value) -> u64 {
    of["spec"]["replicas"].as_u64().unwrap_or(0)
}

fn annotation<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    of["metadata"]["annotations"][name].as_str()
}

#[test]
fn a_burst_is_met_by_the_lever_that_each_owner_leaves_and_given_back() {
    let test = "a_burst_is_met_by_the_lever_that_each_owner_leaves_and_given_back";
    // A cluster of its own: what others opt in beside it, their headrooms and this one would both answer for.
    let (control_plane, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(cluster) = ControlPlane::start(test, control_plane.path(), 3) else { return };
    let cluster = &cluster;
    cluster.install_crds("github.com/kedacore/keda/v2");
    let shop = Shop::open(cluster, NAMESPACE, directory.path());
    let _metrics = MetricsServer::start(cluster);
    shop.add(&SERVICES);
    shop.opt_in(&SERVICES[..5]);
    cluster.apply(OWNERS);
    let wrong = "apiVersion: headroom.dev/v1alpha1
kind: ServiceObjective
metadata: { name: wrong, namespace: loop }
spec: { target: { name: plain }, minReplicas: 20, maxReplicas: 12 }";
    let above = cluster.try_kubectl(&["apply", "--server-side", "--filename", "-"], wrong);
    assert!(above.unwrap_err().contains("minReplicas is above maxReplicas"));

    let kubeconfig = shop.kubeconfig(&cluster.server());
    let otlp = [shop::address(), shop::address()];
    let homes = [0, 1].map(|n| shop.home(["first", "second"][n], &otlp[n], IMPATIENT));
    let mut leader = homes[0].serve(&kubeconfig);
    let lease = ["lease", "headroom", "--namespace", NAMESPACE];
    cluster.kubectl(&["wait", "--for=create", "lease/headroom", "--namespace", NAMESPACE, "--timeout=60s"]);
    cluster.wait_until(&lease, |lease| lease["spec"]["holderIdentity"] == "first");
    leader.await_said("leads");
    let keda = Keda::start(&cluster.kubeconfig(), keda::address(&leader), NAMESPACE, &["asked"], 9);
    let bursts =
        SERVICES.map(|service| Burst { service: service.into(), at_s: BURST_AT_S, hold_s: BURST_HOLD_S, factor: 10.0 });
    let traffic = Traffic::start(cluster, NAMESPACE, &bursts, &otlp);

    let deployment = |name: &'static str| ["deployment", name, "--namespace", NAMESPACE];

    // Somebody's pipeline knows better.
    cluster.wait_until(&deployment("fought"), |of| replicas(of) > 2);
    cluster.kubectl(&["scale", "deployment", "fought", "--replicas=2", "--namespace", NAMESPACE]);
    let note = event(cluster, "fought", "HeadroomReverted");
    assert!(note.contains("kubectl set Deployment loop/fought back"), "{note}");
    let objective = |name: &'static str| ["serviceobjective", name, "--namespace", NAMESPACE];
    cluster.wait_until(&objective("fought"), |of| of["status"]["breaker"]["manager"] == "kubectl");
    let closed = |of: &Value| annotation(of, "headroom.dev/intervention").is_none();
    cluster.wait_until(&deployment("fought"), closed);
    // This one comes when all of that is over, and has it from the objective's status.
    let mut second = homes[1].serve(&kubeconfig);

    let plain = cluster.wait_until(&deployment("plain"), |of| of["status"]["readyReplicas"].as_u64() > Some(4));
    assert!(replicas(&plain) <= 12, "never above its objective's maximum");
    let note = event(cluster, "plain", "HeadroomScaled");
    assert!(note.contains("saturated") && note.contains("headroom explain d-"), "{note}");

    let hpa = ["horizontalpodautoscaler", "steered", "--namespace", NAMESPACE];
    let raised = cluster.wait_until(&hpa, |of| of["spec"]["minReplicas"].as_u64() > Some(4));
    assert!(raised["spec"]["minReplicas"].as_u64() <= Some(10), "never above the owner's maximum");
    let floor = annotation(&raised, "headroom.dev/floor").unwrap();
    assert!(floor.contains(r#""before":2"#), "{floor}");
    cluster.wait_until(&deployment("steered"), |of| of["status"]["readyReplicas"].as_u64() > Some(4));

    let note = event(cluster, "capped", "HeadroomRefused");
    assert!(note.contains("no-more-than-four") && note.contains("capped runs four replicas at most"), "{note}");
    assert!(replicas(&cluster.get(&deployment("capped"))) <= 4, "what the policy allows");

    let scaled = ["scaledobject", "asked", "--namespace", NAMESPACE];
    let told = cluster.wait_until(&scaled, |of| annotation(of, "headroom.dev/floor").is_some());
    assert_eq!(told["spec"]["minReplicaCount"], 2, "no field of the owner's drifts");
    cluster
        .wait_until(&deployment("asked"), |of| (4..=9).contains(&of["status"]["readyReplicas"].as_u64().unwrap_or(0)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let unknown = runtime.block_on(keda::ask(&keda::address(&leader), NAMESPACE, "nobody"));
    assert_eq!(unknown, Err(tonic::Code::NotFound));

    let status =
        cluster.wait_until(&objective("plain"), |of| of["status"]["lastDecision"].is_string())["status"].clone();
    assert_eq!((status["service"].as_str(), status["mode"].as_str()), (Some("plain"), Some("Enforce")));
    cluster.wait_until(&objective("capped"), |of| {
        let conditions = of["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|condition| condition["reason"] == "PolicyRefuses")
    });

    // It helped, and the record goes: while the burst lasts, by each of the levers.
    cluster.wait_until(&deployment("plain"), |of| closed(of) && replicas(of) > 2);
    cluster.wait_until(&hpa, |of| closed(of) && of["spec"]["minReplicas"].as_u64() > Some(2));
    cluster.wait_until(&scaled, closed);

    // The load is over, and what was added is given back.
    let over = Stopwatch::start();
    cluster.wait_until(&deployment("plain"), |of| replicas(of) == 2);
    let given_back = |of: &Value| annotation(of, "headroom.dev/floor").is_none();
    cluster.wait_until(&hpa, |of| given_back(of) && of["spec"]["minReplicas"] == 2);
    cluster.wait_until(&deployment("steered"), |of| replicas(of) == 2);
    cluster.wait_until(&scaled, given_back);
    cluster.wait_until(&deployment("asked"), |of| replicas(of) == 2);
    measured("kubernetes.given_back_after", format!("{:.1}", over.elapsed().as_secs_f64()), "s");
    let levers = [
        replicas(&cluster.get(&deployment("plain"))) == 2,
        given_back(&cluster.get(&hpa)),
        given_back(&cluster.get(&scaled)),
    ];
    measured("kubernetes.levers_given_back", levers.iter().filter(|is_back| **is_back).count(), "levers");

    // The leader leaves, and nobody waits for its Lease to run out. What it had found undone stays so.
    let left = Stopwatch::start();
    assert_eq!(leader.terminate(), 0);
    second.await_said("leads");
    let handover = left.elapsed();
    assert!(handover < Duration::from_secs(5), "{handover:?}");
    measured("kubernetes.handover", format!("{:.1}", handover.as_secs_f64()), "s");
    let undone = |entry: &Value| {
        let held = |of: &Value| of["service"] == "fought" && of["held"]["by"] == "reverted";
        entry["state"]["workloads"].as_array().into_iter().flatten().any(held)
    };
    until("a breaker outlives the leader that opened it", Duration::from_secs(10), || {
        homes[1].journal().iter().any(undone).then_some(())
    });
    let evidence = traffic.evidence();
    drop((traffic, keda));
    assert_eq!(second.terminate(), 0);

    let writes = audit::writes(cluster, &shop.user());
    let opted_in = &SERVICES[..5];
    let beyond = audit::beyond(&writes, NAMESPACE, opted_in);
    assert!(beyond.is_empty(), "what is not opted in is never written, whatever becomes of it: {beyond:#?}");
    measured("kubernetes.writes", writes.len(), "writes");
    measured("kubernetes.writes_beyond", beyond.len(), "writes");
    audit::once_each(&writes, NAMESPACE);
    bursts::report("loop", &bursts::reactions(&writes, NAMESPACE, &evidence));

    let entries = homes[0].journal();
    let refused = |gate: &str, reason: &str| {
        let decided = |entry: &&Value| entry["decision"]["gate"] == gate;
        let mut reasons = entries.iter().filter(decided).map(|entry| entry["decision"]["reason"].to_string());
        reasons.any(|said| said.contains(reason))
    };
    assert!(refused("admission", "capped runs four replicas at most"), "a refusal is a decision of the journal");
    assert!(refused("breaker", "kubectl undid the last change"));
    let verified = |service: &str| {
        entries.iter().any(|entry| entry["report"]["service"] == service && entry["report"]["stage"] == "verified")
    };
    for service in ["plain", "steered", "asked"] {
        assert!(verified(service), "{service}");
    }
}
