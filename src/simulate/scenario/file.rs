//! The scenario file as it is written: the reference of its format. Durations are in the unit their name
//! ends with; instants count from the start of the simulation. What is checked comes out in `check`.

mod faults;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

pub(in crate::simulate) use faults::Fault;
pub use faults::Unreachable;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct File {
    /// What happens and why it is instructive, in a sentence or two.
    pub description: String,
    /// How long the simulation runs; a few seconds past the measured window, so that the last requests can end.
    pub horizon_s: f64,
    /// `service.namespace` of every service; left out of the telemetry when empty.
    #[serde(default)]
    pub namespace: String,
    /// One-way delay between any two pods, on average.
    #[serde(default = "network_ms")]
    pub network_ms: f64,
    /// A gateway in front asks headroom which requests to let in, and the owners of all services let it turn some away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shaping: bool,
    /// Without it nothing is expected (`healthy`), and requests are counted over the whole horizon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<Truth>,
    /// What scales, by `service.name`. The order of the file is kept.
    pub services: IndexMap<String, Service>,
    /// What answers without spans of its own: databases, caches, third parties.
    #[serde(default)]
    pub peers: IndexMap<String, Peer>,
    /// The request classes of the users.
    pub entries: Vec<Entry>,
    /// What a calendar announces, and the traffic of those who come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<super::calendar::File>,
    #[serde(default)]
    pub faults: Vec<Fault>,
    #[serde(default)]
    pub nodes: Nodes,
    #[serde(default)]
    pub pod_start: PodStart,
    #[serde(default)]
    pub telemetry: Telemetry,
}

fn network_ms() -> f64 {
    0.3
}

/// The right answers. Tests and summaries read them; the engine never does.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Truth {
    /// Services that should be scaled out, in this order; empty when no scaling helps.
    #[serde(default)]
    pub targets: Vec<String>,
    /// The verdict an analysis should reach, in the words of the findings (`saturated`, `slow_dependency`, …).
    pub verdict: String,
    /// Services that this verdict should name; the targets when not given.
    #[serde(default)]
    pub at: Vec<String>,
    /// What else is right, where two things go wrong at once.
    #[serde(default)]
    pub also: Vec<Also>,
    /// Services and peers that a diagnosis of recorded spans may name first; those of `at` when not given. A slow link
    /// has two ends.
    #[serde(default)]
    pub places: Vec<String>,
    /// Services that requests are rightly kept from, where a gateway asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shed: Vec<String>,
    /// When the trouble begins.
    pub onset_s: f64,
    /// How long from the onset requests are counted.
    #[serde(default = "window_s")]
    pub window_s: f64,
}

/// Another verdict, and the services that it should name.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Also {
    pub verdict: String,
    pub at: Vec<String>,
}

fn window_s() -> f64 {
    240.0
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Service {
    pub pods: Pods,
    pub replicas: u32,
    /// The owner's floor; `replicas` when not given, so that nothing is scaled below where it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<u32>,
    pub max_replicas: u32,
    #[serde(default)]
    pub balance: Balance,
    #[serde(default = "version")]
    pub version: String,
    /// In front of each pod is a proxy that sends a SERVER span of its own, from the arrival to the answer: the service's
    /// SERVER span is a child of it, with no CLIENT span between.
    #[serde(default)]
    pub proxy: bool,
    /// By span name: `GET /exam/{id}` is an HTTP route, anything else an RPC method.
    pub operations: IndexMap<String, Operation>,
}

fn one() -> u32 {
    1
}

fn version() -> String {
    "v1".into()
}

/// The kind of a service's pods.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(in crate::simulate) enum Pods {
    /// A thread pool with a FIFO accept queue: the wait shows between CLIENT and SERVER span.
    Workers {
        threads: u32,
        /// Requests that may wait; the next one is refused with 503.
        queue: u32,
    },
    /// Processor sharing (Go, Node, async): the wait shows inside the SERVER span.
    Shared {
        /// The CPU quota (`resources.limits.cpu`).
        cores: f64,
        /// Cores used at once while the quota lasts; the quota when not given, so that nothing is throttled.
        burst_cores: Option<f64>,
        /// Requests in flight; the next one is refused with 503.
        #[serde(default = "in_flight_max")]
        in_flight_max: u32,
    },
}

fn in_flight_max() -> u32 {
    1000
}

/// How callers choose among the ready pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The one with fewer outstanding requests of two chosen at random, as Envoy's `LEAST_REQUEST`.
    #[default]
    LeastRequests,
    RoundRobin,
    Random,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Operation {
    /// Median of the operation's own time, in total; lognormal.
    pub own_ms: f64,
    #[serde(default = "sigma")]
    pub sigma: f64,
    /// How the own time splits around the calls.
    #[serde(default)]
    pub split: Split,
    /// Give the own time after the calls an INTERNAL span of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal: Option<String>,
    /// Calls all at once rather than one after the other.
    #[serde(default)]
    pub parallel: bool,
    #[serde(default)]
    pub calls: Vec<Call>,
}

fn sigma() -> f64 {
    0.4
}

/// Weights; only their ratio counts.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Split {
    pub before: f64,
    pub between: f64,
    pub after: f64,
}

impl Default for Split {
    fn default() -> Self {
        Split { before: 0.4, between: 0.2, after: 0.4 }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Call {
    /// The callee: `service` with its `operation`, or a `peer` with the name of the `span`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    #[serde(default = "certain")]
    pub probability: f64,
    #[serde(default = "one")]
    pub count: u32,
    #[serde(default = "call_timeout_ms")]
    pub timeout_ms: f64,
    #[serde(default)]
    pub retries: Retries,
    /// Sent over a queue: a PRODUCER span that ends once the queue has it, and a CONSUMER span that begins this much
    /// later (median; lognormal). Nobody waits for it. Whoever takes messages of an operation takes nothing else there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<f64>,
}

fn certain() -> f64 {
    1.0
}

fn call_timeout_ms() -> f64 {
    2000.0
}

/// Attempts after the first, made for refused, failed and timed-out calls.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Retries {
    pub attempts: u32,
    /// Before the first retry; doubled for each one after, with jitter from half to all of it.
    #[serde(default = "backoff_ms")]
    pub backoff_ms: f64,
    /// Retries for each first attempt, over all callers at this place in the graph.
    #[serde(default = "budget")]
    pub budget: f64,
}

impl Default for Retries {
    fn default() -> Self {
        Retries { attempts: 0, backoff_ms: backoff_ms(), budget: budget() }
    }
}

fn backoff_ms() -> f64 {
    50.0
}

fn budget() -> f64 {
    0.2
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Peer {
    /// `db.system.name` of the callers' spans; without it they carry `server.address` alone.
    #[serde(default)]
    pub system: String,
    /// `db.namespace`.
    #[serde(default)]
    pub namespace: String,
    /// Median of the time one query takes; lognormal.
    pub latency_ms: f64,
    #[serde(default = "sigma")]
    pub sigma: f64,
    /// Queries served at once; the rest wait their turn.
    pub connections: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Entry {
    pub service: String,
    pub operation: String,
    /// Who asks. Request classes of one operation may differ in it alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// Higher is more important: an exam submit before a login before a page before a video.
    #[serde(default)]
    pub priority: u8,
    #[serde(default = "entry_timeout_ms")]
    pub timeout_ms: f64,
    #[serde(default)]
    pub retries: Retries,
    pub objective: Objective,
    pub traffic: Traffic,
}

fn entry_timeout_ms() -> f64 {
    3000.0
}

/// The quantile of requests that must be answered within the latency, and the share that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    pub latency_ms: f64,
    #[serde(default = "quantile")]
    pub quantile: f64,
    #[serde(default = "errors")]
    pub errors: f64,
}

fn quantile() -> f64 {
    0.99
}

fn errors() -> f64 {
    0.01
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Traffic {
    /// Requests a second before any shape is applied.
    pub rate: f64,
    /// Factors on the rate; they multiply.
    #[serde(default)]
    pub shapes: Vec<Shape>,
}

/// A factor on the rate over time; 1 where it has nothing to say.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Shape {
    /// From `at_s` on.
    Step { at_s: f64, factor: f64 },
    /// Rises (or falls) linearly from 1 at `from_s` to the factor at `to_s`, and stays.
    Ramp { from_s: f64, to_s: f64, factor: f64 },
    /// Rises within `rise_s`, holds for `hold_s`, falls back within `fall_s`.
    Burst { at_s: f64, rise_s: f64, hold_s: f64, fall_s: f64, factor: f64 },
    /// A bump of a normal curve around each bell: the first at `first_s`, then every `every_s`.
    Bells { first_s: f64, every_s: f64, width_s: f64, factor: f64 },
    /// A new lognormal factor of median 1 every `every_s`.
    Noise { sigma: f64, every_s: f64 },
    /// Rows of `second,requests a minute`, linear in between; it replaces `rate` (write `rate: 1`).
    Csv(String),
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::simulate) struct Nodes {
    /// Nodes at the start.
    pub count: u32,
    /// Nodes the autoscaler may have, these included.
    pub max: u32,
    /// Pods a node holds.
    pub room: u32,
    /// Median time until an ordered node is ready; lognormal, sigma 0.25.
    pub arrival_s: f64,
}

impl Default for Nodes {
    fn default() -> Self {
        Nodes { count: 4, max: 8, room: 16, arrival_s: 75.0 }
    }
}

/// From creation to readiness; the defaults are those of the system model.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::simulate) struct PodStart {
    /// Scheduling and image pull on a node that never ran the service.
    pub pull_p50_s: f64,
    pub pull_p95_s: f64,
    /// The same where the image is cached.
    pub cached_p50_s: f64,
    /// The readiness probe's period: up to so much is added.
    pub probe_s: f64,
    pub warm_up_s: f64,
    /// Service times during warm-up.
    pub warm_up_factor: f64,
}

impl Default for PodStart {
    fn default() -> Self {
        PodStart {
            pull_p50_s: 12.0,
            pull_p95_s: 35.0,
            cached_p50_s: 4.0,
            probe_s: 1.0,
            warm_up_s: 10.0,
            warm_up_factor: 2.0,
        }
    }
}

/// The spans' way from the SDK to headroom.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::simulate) struct Telemetry {
    pub sdk_batch_s: f64,
    /// The collector adds between these two.
    pub collector_min_s: f64,
    pub collector_max_s: f64,
    /// The share of spans that come `late_s` later than the rest.
    pub late_share: f64,
    pub late_s: f64,
    /// The share of traces kept at their root (`ot=th` in tracestate when below 1).
    pub sampling: f64,
    /// Each host's clock is wrong by up to this, either way.
    pub skew_ms: f64,
    /// Spans carry `service.version`.
    pub versions: bool,
    /// Spans carry `k8s.pod.name` and `k8s.node.name`.
    pub pods: bool,
    /// What a CLIENT span says of the service it calls.
    pub callees: CalleeNames,
}

/// How a CLIENT span names the service it calls. Peers are always named by `server.address`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CalleeNames {
    /// `server.address`.
    #[default]
    Address,
    /// `service.peer.name`, beside an address that is the host of a pod.
    Service,
    /// Not at all.
    Unnamed,
}

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry {
            sdk_batch_s: 1.0,
            collector_min_s: 0.2,
            collector_max_s: 1.0,
            late_share: 0.001,
            late_s: 5.0,
            sampling: 1.0,
            skew_ms: 5.0,
            versions: true,
            pods: true,
            callees: CalleeNames::Address,
        }
    }
}
