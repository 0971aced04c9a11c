//! What the tests of single capabilities put on the control plane: a namespace, its Deployments and ServiceObjectives,
//! and a headroom beside it.

use std::path::Path;
use std::time::Duration;

use headroom::clock::Stopwatch;
use serde_json::Value;

use super::control_plane::ControlPlane;
use super::traffic::{Burst, Traffic};
use crate::process::{self, Daemon};
use crate::real::probe::until;

/// What one wants to read of a test that failed.
pub const LOG: &str = "info";

/// When the burst of every service begins, in seconds from the start: by then there is a baseline.
const BURST_AFTER_S: f64 = 25.0;

/// What a journal tells within: a burst begins after 25 s, and what is done about it takes half a minute on a machine that
/// compiles meanwhile.
const JOURNAL_MAX: Duration = Duration::from_secs(90);

/// A namespace of its own on the shared cluster, where the ServiceObjective is known.
pub fn opened(test: &str, namespace: &str) -> Option<&'static ControlPlane> {
    let cluster = ControlPlane::shared(test)?;
    define(cluster);
    cluster.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {namespace} }}\n"));
    Some(cluster)
}

/// Installs the definition of ServiceObjective.
pub fn define(cluster: &ControlPlane) {
    let (code, crd, error) = process::run(Path::new("."), &["crd"]);
    assert_eq!(code, 0, "{error}");
    cluster.apply(&crd);
    cluster.kubectl(&["wait", "--for=condition=Established", "crd/serviceobjectives.headroom.dev", "--timeout=60s"]);
}

/// A Deployment whose pods are Ready after about a second. All tests here share one cluster, and every headroom sees all of
/// it: a service is named once among them.
pub fn deployment(namespace: &str, name: &str, replicas: u32) -> String {
    format!(
        "---
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name}, namespace: {namespace} }}
spec:
  replicas: {replicas}
  selector: {{ matchLabels: {{ app: {name} }} }}
  template:
    metadata:
      labels: {{ app: {name} }}
      annotations: {{ kubelet/starts-in: 500ms, kubelet/starts-within: 1s }}
    spec:
      containers:
      - name: web
        image: web
        resources: {{ requests: {{ cpu: 100m, memory: 64Mi }}, limits: {{ cpu: 200m, memory: 64Mi }} }}
"
    )
}

/// Opts a Deployment in; `more` is further fields of its spec, each with a comma before it.
pub fn objective(namespace: &str, name: &str, more: &str) -> String {
    format!(
        "---
apiVersion: headroom.dev/v1alpha1
kind: ServiceObjective
metadata: {{ name: {name}, namespace: {namespace} }}
spec: {{ target: {{ name: {name} }}, service: {name}, minReplicas: 2, maxReplicas: 12, mode: Enforce{more} }}
"
    )
}

/// A headroom that acts in the namespace; `more` is further lines of its configuration.
pub fn serve(cluster: &ControlPlane, directory: &Path, namespace: &str, identity: &str, more: &str) -> Daemon {
    let home = directory.join(identity);
    std::fs::create_dir_all(&home).unwrap();
    let configuration = format!(
        "mode: enforce
default_objective: {{ latency: 400ms }}
receive: {{ grpc: \"127.0.0.1:0\", http: \"127.0.0.1:0\" }}
api: {{ listen: \"127.0.0.1:0\" }}
journal: {{ path: journal.jsonl }}
cluster: {{ kubernetes: {{ namespace: {namespace}, identity: {identity} }} }}
{more}"
    );
    std::fs::write(home.join("headroom.yaml"), configuration).unwrap();
    let kubeconfig = cluster.kubeconfig();
    let arguments = ["--config", "headroom.yaml", "--log", LOG];
    Daemon::start_with(&home, &arguments, &[("KUBECONFIG", kubeconfig.to_str().unwrap())])
}

/// Users of these services, each the Deployment of its name, whose spans are sent to this headroom alone.
pub fn traffic(cluster: &ControlPlane, namespace: &str, services: &[&str], to: &Daemon) -> Traffic {
    let bursts: Vec<Burst> = services.iter().map(|service| Burst::lasting(service, BURST_AFTER_S)).collect();
    Traffic::start(cluster, namespace, &bursts, std::slice::from_ref(&to.http))
}

/// The journal of a headroom, as far as it is written.
pub fn journal(directory: &Path, identity: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(directory.join(identity).join("journal.jsonl")).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits until the journal is as it should be; where that is in vain, what was decided is told.
pub fn await_journal(directory: &Path, identity: &str, holds: impl Fn(&[Value]) -> bool) {
    let waited = Stopwatch::start();
    until(&format!("the journal of {identity} is as awaited"), JOURNAL_MAX, || {
        let entries = journal(directory, identity);
        let done = holds(&entries).then_some(());
        let decided = || entries.iter().filter(|entry| matches!(entry["what"].as_str(), Some("decided" | "acted")));
        assert!(done.is_some() || waited.elapsed() < JOURNAL_MAX * 9 / 10, "{:#?}", decided().collect::<Vec<_>>());
        done
    });
}
