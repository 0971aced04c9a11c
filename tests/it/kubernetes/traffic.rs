//! A shop whose services run on a Kubernetes: their requests and queues are simulated in real time, by as many pods as
//! the cluster has ready, and what they would send of spans is sent over OTLP.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use headroom::action::{Change, Scaling, WeightShift};
use headroom::clock::Clock;
use headroom::model::{DecisionId, InterventionRecord, Time};
use headroom::simulate::{Scenario, Simulation};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde_json::Value;

use super::control_plane::ControlPlane;

/// As often as a Collector sends small batches.
const STEP: Duration = Duration::from_millis(100);

/// A daemon that does not take a batch by then does not get it: its users go on.
const TAKEN_WITHIN: Duration = Duration::from_secs(2);

/// What the users of a service are promised; the daemons of these tests are configured to hold the same.
pub const OBJECTIVE: Duration = Duration::from_millis(400);

/// What lies between the end of a span and its arrival.
#[derive(Clone, Copy, Debug)]
pub enum Pipeline {
    /// SDKs that send once a second, as they come, and a Collector that adds up to a second.
    Usual,
    /// SDKs that send every 200 ms, and a Collector that adds a tenth of a second.
    Prompt,
}

impl Pipeline {
    fn yaml(self) -> &'static str {
        match self {
            Pipeline::Usual => "{}",
            Pipeline::Prompt => "{ sdk_batch_s: 0.2, collector_min_s: 0.05, collector_max_s: 0.15 }",
        }
    }
}

/// One service and its burst, in seconds since the start. Before it there are 10 requests a second; two pods bear four
/// times as much.
#[derive(Clone, Debug)]
pub struct Burst {
    pub service: String,
    pub at_s: f64,
    pub hold_s: f64,
    /// Of the load before.
    pub factor: f64,
}

impl Burst {
    /// One that outlasts the test.
    pub fn lasting(service: &str, at_s: f64) -> Burst {
        Burst { service: service.into(), at_s, hold_s: 500.0, factor: 10.0 }
    }
}

pub struct Traffic {
    stop: Arc<AtomicBool>,
    evidence: Arc<Mutex<BTreeMap<String, Time>>>,
    sender: Option<JoinHandle<()>>,
    follower: Option<JoinHandle<()>>,
    watch: Child,
}

impl Traffic {
    /// PodStartup the services, each the Deployment of its name in this namespace, and their users. Every address of `otlp`
    /// (OTLP over HTTP, with or without `http://`) gets all spans.
    pub fn start(cluster: &ControlPlane, namespace: &str, bursts: &[Burst], otlp: &[String]) -> Traffic {
        Traffic::through(Pipeline::Usual, cluster, namespace, bursts, otlp)
    }

    /// The same, with spans on their way as this pipeline has them.
    pub fn through(
        pipeline: Pipeline,
        cluster: &ControlPlane,
        namespace: &str,
        bursts: &[Burst],
        otlp: &[String],
    ) -> Traffic {
        let scenario = Scenario::from_yaml("kubernetes", &scenario(bursts, pipeline)).unwrap();
        Traffic::of(&scenario, cluster, namespace, "deployments", bursts, otlp)
    }

    /// Plays a scenario whose services or routes (`followed`) are those of the cluster.
    pub fn of(
        scenario: &Scenario,
        cluster: &ControlPlane,
        namespace: &str,
        followed: &str,
        bursts: &[Burst],
        otlp: &[String],
    ) -> Traffic {
        let start = Clock::system().now();
        let simulation = Arc::new(Mutex::new(Simulation::new(scenario, 7, start)));
        let (stop, evidence) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<BTreeMap<String, Time>>>::default());
        let mut watch = Command::new(cluster.kubeconfig().with_file_name("bin").join("kubectl"))
            .args(["get", followed, "--namespace", namespace, "--watch", "--output", "json"])
            .env("KUBECONFIG", cluster.kubeconfig())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let seen = watch.stdout.take().unwrap();
        let told = simulation.clone();
        let follower = std::thread::spawn(move || follow(BufReader::new(seen), &told));
        let urls: Vec<String> =
            otlp.iter().map(|otlp| format!("http://{}/v1/traces", otlp.trim_start_matches("http://"))).collect();
        let begin = bursts.iter().map(|burst| (burst.service.clone(), start + Duration::from_secs_f64(burst.at_s)));
        let users = Users { urls, begin: begin.collect(), evidence: evidence.clone(), stop: stop.clone() };
        let sender = std::thread::spawn(move || users.send(&simulation));
        Traffic { stop, evidence, sender: Some(sender), follower: Some(follower), watch }
    }

    /// When the need of each service that has burst became visible in spans: when the first batch was sent that holds a
    /// request of its burst slower than the objective. No observer can know of it sooner; one that wants more than a
    /// single slow request to believe it knows later.
    pub fn evidence(&self) -> BTreeMap<String, Time> {
        self.evidence.lock().unwrap().clone()
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

struct Users {
    urls: Vec<String>,
    begin: BTreeMap<String, Time>,
    evidence: Arc<Mutex<BTreeMap<String, Time>>>,
    stop: Arc<AtomicBool>,
}

impl Users {
    fn send(&self, simulation: &Mutex<Simulation>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(TAKEN_WITHIN).build().unwrap();
        let clock = Clock::system();
        runtime.block_on(async {
            while !self.stop.load(Ordering::Relaxed) {
                let deliveries = simulation.lock().unwrap().run_until(clock.now());
                for delivery in deliveries {
                    self.look(&delivery.request, clock.now());
                    let body = delivery.request.encode_to_vec();
                    let post = |url: &String| {
                        client.post(url).header("content-type", "application/x-protobuf").body(body.clone()).send()
                    };
                    // A daemon that was killed answers nothing; its users go on.
                    futures::future::join_all(self.urls.iter().map(post)).await;
                }
                tokio::time::sleep(STEP).await;
            }
        });
    }

    fn look(&self, request: &ExportTraceServiceRequest, now: Time) {
        let mut evidence = self.evidence.lock().unwrap();
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        for span in scopes.flat_map(|scope| &scope.spans).filter(|span| span.parent_span_id.is_empty()) {
            let Some(service) = span.name.strip_prefix("GET /") else { continue };
            let took = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
            let started = Time(span.start_time_unix_nano as i64); // nanoseconds of this century
            let in_burst = self.begin.get(service).is_some_and(|begin| started >= *begin);
            if in_burst && u128::from(took) > OBJECTIVE.as_nanos() && !evidence.contains_key(service) {
                evidence.insert(service.to_owned(), now);
            }
        }
    }
}

/// Gives every simulated service the pods that are ready in the cluster, and every route its weights.
fn follow(seen: impl BufRead, simulation: &Mutex<Simulation>) {
    for object in serde_json::Deserializer::from_reader(seen).into_iter::<Value>().map_while(Result::ok) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let ready = object["status"]["readyReplicas"].as_u64().unwrap_or(0) as u32;
        let mut simulation = simulation.lock().unwrap();
        let state = simulation.state();
        if object["kind"] == "HTTPRoute" {
            split(&mut simulation, &object);
            continue;
        }
        let Some(workload) = state.workload(&name).filter(|workload| ready > 0 && workload.replicas != ready) else {
            continue;
        };
        let record = InterventionRecord {
            id: DecisionId::new(ready.into(), workload.resource_version as u32).intervention(),
            origin: "cluster".into(),
            reason: "its pods are ready".into(),
            applied_at: state.at,
            deadline: state.at,
            replicas_before: workload.replicas,
            replicas_after: ready,
            waiting_ns_before: 0,
            details: None,
        };
        let change =
            Change::Scale(Scaling { service: name.as_str().into(), from: workload.replicas, to: ready, record });
        simulation.apply(&change, workload.resource_version).unwrap();
    }
}

/// Splits the requests to the service of the route's name as the route does.
fn split(simulation: &mut Simulation, object: &Value) {
    let state = simulation.state();
    let name = object["metadata"]["name"].as_str().unwrap();
    let Some((workload, route)) = state.workload(name).and_then(|w| Some((w, w.routes.first()?))) else { return };
    let refs = object["spec"]["rules"][0]["backendRefs"].as_array().unwrap();
    let to: Vec<(String, u32)> = refs
        .iter()
        .map(|one| (one["name"].as_str().unwrap().to_owned(), one["weight"].as_u64().unwrap_or(1) as u32))
        .collect();
    let from: Vec<(String, u32)> = route.backends.iter().map(|one| (one.name.clone(), one.weight)).collect();
    let record = InterventionRecord {
        id: DecisionId::new(1, workload.resource_version as u32).intervention(),
        origin: "gateway".into(),
        reason: "its route says so".into(),
        applied_at: state.at,
        deadline: state.at,
        replicas_before: workload.replicas,
        replicas_after: workload.replicas,
        waiting_ns_before: 0,
        details: None,
    };
    let (service, route) = (name.into(), route.name.clone());
    let change = Change::ShiftWeight(Box::new(WeightShift { service, route, from, to, record }));
    simulation.apply(&change, workload.resource_version).unwrap();
}

/// A front door before every service, each with two pods, which work half of the time; then the bursts.
fn scenario(bursts: &[Burst], pipeline: Pipeline) -> String {
    let operation = |of: &Burst| {
        let service = &of.service;
        format!("      GET /{service}: {{ own_ms: 1, calls: [{{ service: {service}, operation: GET /{service} }}] }}\n")
    };
    let service = |of: &Burst| {
        let service = &of.service;
        format!(
            "  {service}:
    pods: {{ workers: {{ threads: 2, queue: 64 }} }}
    replicas: 2
    min_replicas: 1
    max_replicas: 24
    operations: {{ GET /{service}: {{ own_ms: 100, sigma: 0.2 }} }}
"
        )
    };
    let entry = |of: &Burst| {
        let Burst { service, at_s, hold_s, factor } = of;
        format!(
            "  - service: door
    operation: GET /{service}
    objective: {{ latency_ms: {} }}
    traffic:
      rate: 10
      shapes: [{{ burst: {{ at_s: {at_s}, rise_s: 2, hold_s: {hold_s}, fall_s: 3, factor: {factor} }} }}]
",
            OBJECTIVE.as_millis()
        )
    };
    format!(
        "description: a burst over each service
horizon_s: 600
truth: {{ targets: [], verdict: saturated, onset_s: 1 }}
telemetry: {}
# Where pods find room, the cluster says.
nodes: {{ count: 100, max: 100, room: 16, arrival_s: 1 }}
pod_start: {{ pull_p50_s: 0.1, pull_p95_s: 0.2, cached_p50_s: 0.1, probe_s: 0.1, warm_up_s: 1 }}
services:
  door:
    pods: {{ shared: {{ cores: 8, burst_cores: 8, in_flight_max: 10000 }} }}
    replicas: 2
    max_replicas: 2
    operations:
{}{}entries:
{}",
        pipeline.yaml(),
        bursts.iter().map(operation).collect::<String>(),
        bursts.iter().map(service).collect::<String>(),
        bursts.iter().map(entry).collect::<String>()
    )
}
