//! How soon a burst is answered: from the need that is visible in spans to the scale that the API server has taken.

use std::collections::BTreeMap;

use headroom::model::Time;

use super::audit::{self, Write};
use super::control_plane::ControlPlane;
use super::keda::{self, Keda};
use super::metrics_server::MetricsServer;
use super::shop::Shop;
use super::traffic::{Burst, Pipeline, Traffic};
use crate::skip::measured;

const NAMESPACE: &str = "bursts";

/// Far more bursts at once than anybody should let a program answer by itself.
const UNBOUND: &str = "guard: { actions_per_minute: 1000, added_replicas_max: 2000 }\n";

/// Seconds of each service's first scale-out, by service: from the first batch of spans that shows its need (see
/// [`Traffic::evidence`]) to the API server's answer to the write, by its audit log. Both by the clock of this machine.
pub fn reactions(writes: &[Write], namespace: &str, evidence: &BTreeMap<String, Time>) -> BTreeMap<String, f64> {
    let first = |(service, seen): (&String, &Time)| {
        let scales = |write: &&Write| {
            let out = write.begins().is_some_and(|record| record.replicas_after > record.replicas_before);
            write.done() && out && write.namespace == namespace && write.name == *service
        };
        Some((service.clone(), writes.iter().find(scales)?.at.seconds_since(*seen)))
    };
    evidence.iter().filter_map(first).collect()
}

/// Every value for the scorecard, which knows which quantile it wants.
pub fn report(of: &str, reactions: &BTreeMap<String, f64>) {
    for reaction in reactions.values() {
        measured(&format!("kubernetes.{of}.seen_to_patched"), format!("{reaction:.3}"), "s");
    }
}

/// How many services burst; the scorecard asks for more than every run of the tests can wait for.
fn count() -> usize {
    std::env::var("HEADROOM_BURSTS").ok().and_then(|n| n.parse().ok()).unwrap_or(3)
}

/// A service in so many is an autoscaler's, and as many are a ScaledObject's.
const OWNED_ONE_IN: usize = 6;

/// Long enough to be answered, and so short that a few overlap and not all: the users, the cluster and headroom share
/// this machine, and what is measured is one of them.
const HOLD_S: f64 = 10.0;

/// Between two bursts, so that each begins at another moment of a tick.
const APART_S: f64 = 1.27;

/// How spans come: promptly, so that what is measured is headroom and not the wait for the rest of a second's spans,
/// unless the scorecard asks for what is usual.
fn pipeline() -> Pipeline {
    if std::env::var_os("HEADROOM_PIPELINE").is_some_and(|set| set == "usual") {
        Pipeline::Usual
    } else {
        Pipeline::Prompt
    }
}

#[test]
fn many_bursts_are_each_answered_soon() {
    let test = "many_bursts_are_each_answered_soon";
    let directory = tempfile::tempdir().unwrap();
    let Some(cluster) = ControlPlane::start(test, directory.path(), 6) else { return };
    cluster.install_crds("github.com/kedacore/keda/v2");
    let shop = Shop::open(&cluster, NAMESPACE, directory.path());
    let _metrics = MetricsServer::start(&cluster);
    let owned = count().div_ceil(OWNED_ONE_IN);
    let names = |kind: &str, count: usize| (0..count).map(|n| format!("{kind}-{n}")).collect::<Vec<_>>();
    let (plain, steered, asked) = (names("plain", count()), names("steered", owned), names("asked", owned));
    let all: Vec<&str> = steered.iter().chain(&plain).chain(&asked).map(String::as_str).collect();
    shop.add(&all);
    shop.opt_in(&all);
    cluster
        .apply(&steered.iter().map(|name| hpa(name)).chain(asked.iter().map(|name| scaled(name))).collect::<String>());

    let home = shop.home("one", "127.0.0.1:0", UNBOUND);
    let mut daemon = home.serve(&shop.kubeconfig(&cluster.server()));
    daemon.await_said("leads");
    let asked_names: Vec<&str> = asked.iter().map(String::as_str).collect();
    let keda = Keda::start(&cluster.kubeconfig(), keda::address(&daemon), NAMESPACE, &asked_names, 12);
    // By then there is a baseline of every service.
    let at_s = |n: usize| 12.0 + n as f64 * APART_S;
    let burst = |(n, name): (usize, &&str)| Burst { hold_s: HOLD_S, ..Burst::lasting(name, at_s(n)) };
    let bursts: Vec<Burst> = all.iter().enumerate().map(burst).collect();
    let traffic = Traffic::through(pipeline(), &cluster, NAMESPACE, &bursts, &[daemon.http.clone()]);
    for name in &all {
        let grown = ["deployment", name, "--namespace", NAMESPACE];
        cluster.wait_until(&grown, |of| of["spec"]["replicas"].as_u64() > Some(2));
    }
    let evidence = traffic.evidence();
    drop((traffic, keda));
    assert_eq!(daemon.terminate(), 0);

    let writes = audit::writes(&cluster, &shop.user());
    let reactions = reactions(&writes, NAMESPACE, &evidence);
    assert_eq!(reactions.len(), all.len(), "each was answered, and after its need was seen: {reactions:#?}");
    let by = |names: &[String]| reactions.clone().into_iter().filter(|(name, _)| names.contains(name)).collect();
    report("plain", &by(&plain));
    report("hpa", &by(&steered));
    report("external", &by(&asked));
    // And until the one who owns the workload has followed.
    for (of, names, user) in [
        ("hpa", &steered, "system:serviceaccount:kube-system:horizontal-pod-autoscaler"),
        ("external", &asked, "admin"),
    ] {
        let scales = audit::writes(&cluster, user);
        for name in names {
            let scaled = |write: &&Write| write.done() && write.subresource == "scale" && write.name == *name;
            let took = scales.iter().find(scaled).unwrap().at.seconds_since(evidence[name]);
            measured(&format!("kubernetes.{of}.seen_to_scaled"), format!("{took:.3}"), "s");
        }
    }
    audit::once_each(&writes, NAMESPACE);
}

fn hpa(name: &str) -> String {
    format!(
        "---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{ name: {name}, namespace: {NAMESPACE} }}
spec:
  scaleTargetRef: {{ apiVersion: apps/v1, kind: Deployment, name: {name} }}
  minReplicas: 2
  maxReplicas: 12
  metrics: [{{ type: Resource, resource: {{ name: cpu, target: {{ type: Utilization, averageUtilization: 50 }} }} }}]
"
    )
}

fn scaled(name: &str) -> String {
    format!(
        "---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{ name: {name}, namespace: {NAMESPACE} }}
spec:
  scaleTargetRef: {{ name: {name} }}
  minReplicaCount: 2
  maxReplicaCount: 12
  triggers: [{{ type: external-push, metadata: {{ scalerAddress: 'headroom:8081', headroomObjective: {name} }} }}]
"
    )
}
