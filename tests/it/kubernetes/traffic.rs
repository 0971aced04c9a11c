//! A shop whose services run on a Kubernetes: their requests and queues are simulated in real time, by as many pods as
//! the cluster has ready, and what they would send of spans is sent over OTLP.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use headroom::clock::Clock;
use headroom::guard::Change;
use headroom::model::InterventionRecord;
use headroom::simulate::{Scenario, Simulation};
use prost::Message;
use serde_json::Value;

use super::control_plane::ControlPlane;

/// As often as a Collector sends small batches.
const STEP: Duration = Duration::from_millis(100);

/// When the burst begins, counted from the start: by then there is a baseline.
pub const BURST_AFTER_S: u32 = 25;

pub struct Traffic {
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
    follower: Option<JoinHandle<()>>,
    watch: Child,
}

impl Traffic {
    /// Starts the services, each the Deployment of its name in this namespace, and their users.
    pub fn start(cluster: &ControlPlane, namespace: &str, services: &[&str], otlp: &str) -> Traffic {
        let scenario = Scenario::from_yaml("kubernetes", &scenario(services)).unwrap();
        let start = Clock::system().now();
        let simulation = Arc::new(Mutex::new(Simulation::new(&scenario, 7, start)));
        let stop = Arc::new(AtomicBool::new(false));
        let mut watch = Command::new(cluster.kubeconfig().with_file_name("bin").join("kubectl"))
            .args(["get", "deployments", "--namespace", namespace, "--watch", "--output", "json"])
            .env("KUBECONFIG", cluster.kubeconfig())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let seen = watch.stdout.take().unwrap();
        let followed = simulation.clone();
        let follower = std::thread::spawn(move || follow(BufReader::new(seen), &followed));
        let (url, stopped) = (format!("{otlp}/v1/traces"), stop.clone());
        let sender = std::thread::spawn(move || send(&url, &simulation, &stopped));
        Traffic { stop, sender: Some(sender), follower: Some(follower), watch }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.watch.kill();
        let _ = self.watch.wait();
        for thread in [self.sender.take(), self.follower.take()].into_iter().flatten() {
            let _ = thread.join();
        }
    }
}

fn send(url: &str, simulation: &Mutex<Simulation>, stop: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let clock = Clock::system();
    runtime.block_on(async {
        while !stop.load(Ordering::Relaxed) {
            let deliveries = simulation.lock().unwrap().run_until(clock.now());
            for delivery in deliveries {
                let post = client.post(url).header("content-type", "application/x-protobuf");
                // A daemon that was killed answers nothing; its users go on.
                let _ = post.body(delivery.request.encode_to_vec()).send().await;
            }
            tokio::time::sleep(STEP).await;
        }
    });
}

/// Gives every simulated service the pods that are ready in the cluster.
fn follow(seen: impl BufRead, simulation: &Mutex<Simulation>) {
    for object in serde_json::Deserializer::from_reader(seen).into_iter::<Value>().map_while(Result::ok) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let ready = object["status"]["readyReplicas"].as_u64().unwrap_or(0) as u32;
        let mut simulation = simulation.lock().unwrap();
        let state = simulation.state();
        let Some(workload) = state.workload(&name).filter(|workload| ready > 0 && workload.replicas != ready) else {
            continue;
        };
        let record = InterventionRecord {
            id: format!("i-{ready}-{}", workload.resource_version),
            rule: "cluster".into(),
            reason: "its pods are ready".into(),
            applied_at: state.at,
            deadline: state.at,
            replicas_before: workload.replicas,
            replicas_after: ready,
            waiting_ns_before: 0,
            deed: Default::default(),
        };
        let change = Change::Scale { service: name.as_str().into(), from: workload.replicas, to: ready, record };
        simulation.apply(&change, workload.resource_version).unwrap();
    }
}

/// A front door before every service, each with two pods and room for twice the load; then eight times of it.
fn scenario(services: &[&str]) -> String {
    let operation =
        |of: &&str| format!("      GET /{of}: {{ own_ms: 1, calls: [{{ service: {of}, operation: GET /{of} }}] }}\n");
    let service = |of: &&str| {
        format!(
            "  {of}:
    pods: {{ workers: {{ threads: 3, queue: 64 }} }}
    replicas: 2
    max_replicas: 24
    operations: {{ GET /{of}: {{ own_ms: 100, sigma: 0.2 }} }}
"
        )
    };
    let entry = |of: &&str| {
        format!(
            "  - service: door
    operation: GET /{of}
    objective: {{ latency_ms: 400 }}
    traffic:
      rate: 20
      shapes: [{{ burst: {{ at_s: {BURST_AFTER_S}, rise_s: 2, hold_s: 500, fall_s: 5, factor: 8 }} }}]
"
        )
    };
    format!(
        "description: one burst over all services
horizon_s: 600
truth: {{ targets: [], verdict: saturated, onset_s: {BURST_AFTER_S} }}
pod_start: {{ pull_p50_s: 0.1, pull_p95_s: 0.2, cached_p50_s: 0.1, probe_s: 0.1, warm_up_s: 1 }}
services:
  door:
    pods: {{ shared: {{ cores: 8, burst_cores: 8, in_flight_max: 10000 }} }}
    replicas: 2
    max_replicas: 2
    operations:
{}{}entries:
{}",
        services.iter().map(operation).collect::<String>(),
        services.iter().map(service).collect::<String>(),
        services.iter().map(entry).collect::<String>()
    )
}
