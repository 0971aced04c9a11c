//! A scenario: the services, the traffic, what goes wrong, and the right answers. Read from YAML (the format
//! is documented in `file.rs` and in every file under `examples/scenarios/`), checked once, and from then on
//! made of indices: nothing in the simulation looks at a name.

pub mod calendar;
mod check;
mod check_faults;
pub(super) mod file;
mod load;

use std::path::Path;

use crate::model::printable;

pub use calendar::{Announced, Calendar, LoadKind};
pub use file::{Balance, CalleeNames, Objective, Shape, Unreachable};

/// The shipped scenarios, embedded so that `headroom demo` needs no files.
const SHIPPED: [(&str, &str); 18] = [
    ("exam-start", include_str!("../../../examples/scenarios/exam-start.yaml")),
    ("login-storm", include_str!("../../../examples/scenarios/login-storm.yaml")),
    ("login-storm-shared", include_str!("../../../examples/scenarios/login-storm-shared.yaml")),
    ("front-door", include_str!("../../../examples/scenarios/front-door.yaml")),
    ("front-door-shared", include_str!("../../../examples/scenarios/front-door-shared.yaml")),
    ("locked-database", include_str!("../../../examples/scenarios/locked-database.yaml")),
    ("bad-pod", include_str!("../../../examples/scenarios/bad-pod.yaml")),
    ("bad-release", include_str!("../../../examples/scenarios/bad-release.yaml")),
    ("bad-canary", include_str!("../../../examples/scenarios/bad-canary.yaml")),
    ("hidden-fan-out", include_str!("../../../examples/scenarios/hidden-fan-out.yaml")),
    ("retry-storm", include_str!("../../../examples/scenarios/retry-storm.yaml")),
    ("failing", include_str!("../../../examples/scenarios/failing.yaml")),
    ("early-return", include_str!("../../../examples/scenarios/early-return.yaml")),
    ("beyond-capacity", include_str!("../../../examples/scenarios/beyond-capacity.yaml")),
    ("metastable", include_str!("../../../examples/scenarios/metastable.yaml")),
    ("noisy-tenant", include_str!("../../../examples/scenarios/noisy-tenant.yaml")),
    ("calm", include_str!("../../../examples/scenarios/calm.yaml")),
    ("school-day", include_str!("../../../examples/scenarios/school-day.yaml")),
];

/// Scenario files are small; past this something else was given by mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("no shipped scenario is called `{name}`; choose one of {known}, or give the path of a file")]
    Unknown { name: String, known: String },
    #[error("cannot read the scenario {path}: {cause}")]
    Unreadable { path: String, cause: String },
    #[error("the scenario {name} is not well formed: {cause}")]
    Malformed { name: String, cause: String },
    /// All problems at once, each with the path of the value that is wrong.
    #[error("the scenario {name} does not make sense: {}", problems.join("; "))]
    Invalid { name: String, problems: Vec<String> },
}

/// A checked scenario. Indices refer to the order of the file.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub description: String,
    pub namespace: String,
    pub horizon_s: f64,
    /// A gateway asks headroom which requests to let in.
    pub shaping: bool,
    pub truth: Truth,
    pub services: Vec<Service>,
    pub entries: Vec<Entry>,
    /// What is announced, and what comes of it.
    pub calendar: Calendar,
    pub(super) peers: Vec<Peer>,
    pub(super) faults: Vec<Fault>,
    pub(super) nodes: Nodes,
    pub(super) pod_start: PodStart,
    pub(super) telemetry: Telemetry,
    pub(super) network_ns: i64,
}

/// The right answers, which the engine never sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// Services to scale out, in this order.
    pub targets: Vec<usize>,
    pub verdict: String,
    /// Services that this verdict names.
    pub at: Vec<usize>,
    /// Other verdicts that are right, each with the services that it names.
    pub also: Vec<(String, Vec<usize>)>,
    /// Services and peers that a diagnosis of recorded spans may name first.
    pub places: Vec<String>,
    /// Services that requests may rightly be kept from.
    pub shed: Vec<usize>,
    pub onset_s: f64,
    /// Requests that arrive within this time from the onset are counted.
    pub window_s: f64,
}

#[derive(Clone, Debug)]
pub struct Service {
    /// `service.name`.
    pub name: String,
    pub pods: Pods,
    pub replicas: u32,
    pub min_replicas: u32,
    pub max_replicas: u32,
    pub(super) balance: Balance,
    pub(super) version: String,
    pub(super) proxy: bool,
    pub(super) operations: Vec<Operation>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pods {
    Workers { threads: u32, queue: u32 },
    Shared { cores: f64, burst_cores: f64, in_flight_max: u32 },
}

/// The two kinds of [`Pods`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodKind {
    Workers,
    Shared,
}

#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// The span's name.
    pub name: String,
    pub own: Duration,
    pub internal: Option<String>,
    pub steps: Vec<Step>,
    pub calls: Vec<Call>,
}

impl Operation {
    /// `GET` and `/exam/{id}`, when the name is that of an HTTP route.
    pub fn http(&self) -> Option<(&str, &str)> {
        self.name.split_once(' ').filter(|(method, route)| {
            route.starts_with('/') && method.bytes().all(|b| b.is_ascii_uppercase()) && !method.is_empty()
        })
    }
}

/// A lognormal time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Duration {
    pub median_ns: f64,
    pub sigma: f64,
}

impl Duration {
    pub fn mean_ns(self) -> f64 {
        self.median_ns * (self.sigma * self.sigma / 2.0).exp()
    }
}

/// What a request does, one step after the other.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// This share of the own time.
    Work(f64),
    /// Calls made at the same time; mostly one.
    Calls(Vec<u16>),
    /// The own time that has an INTERNAL span.
    Internal(f64),
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub target: Target,
    pub probability: f64,
    pub timeout_ns: i64,
    pub retries: Retries,
    /// How long it lies in a queue, where it is a message.
    pub queue: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    Operation { service: usize, operation: usize },
    Peer { peer: usize, span: String },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Retries {
    pub attempts: u32,
    pub backoff_ns: f64,
    pub budget: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub name: String,
    pub system: String,
    pub namespace: String,
    pub latency: Duration,
    pub connections: u32,
}

/// A class of requests, with the operation that users call.
#[derive(Clone, Debug)]
pub struct Entry {
    pub service: usize,
    /// The entry operation's span name.
    pub operation: String,
    /// Who asks; empty where clients are not told apart.
    pub client: String,
    pub priority: u8,
    pub objective: Objective,
    pub(super) operation_index: usize,
    pub(super) timeout_ns: i64,
    pub(super) retries: Retries,
    pub(super) rate: f64,
    pub(super) shapes: Vec<Shape>,
    /// Parsed `Shape::Csv`: (second, requests a second).
    pub(super) table: Vec<(f64, f64)>,
    /// Of events' participants, beside its own traffic.
    pub(super) surges: Vec<calendar::Surge>,
}

/// What goes wrong, from when to when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub from_ns: i64,
    pub to_ns: i64,
    pub trouble: Trouble,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Trouble {
    SlowPeer {
        peer: usize,
        factor: f64,
    },
    SlowOperation {
        service: usize,
        operation: usize,
        factor: f64,
    },
    SlowPod {
        service: usize,
        pod: u32,
        factor: f64,
    },
    /// A share of the requests is answered with `status` before anybody is called.
    CutShort {
        service: usize,
        operation: usize,
        share: f64,
        status: u16,
    },
    /// `repeats`: by operation and call, how many times as often it is made. It has no end.
    Release {
        service: usize,
        version: String,
        factor: f64,
        repeats: Vec<Vec<u32>>,
        /// Percent of the requests that a route sends it, beside the others; None: it rolls.
        weight: Option<u32>,
    },
    Edge(Edge, EdgeTrouble),
    LostSpans(Loss),
    WrongClock {
        service: usize,
        ahead_ns: i64,
    },
}

/// Calls to somebody, of one service or of all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Edge {
    pub callee: Callee,
    pub caller: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Callee {
    Service(usize),
    Peer(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum EdgeTrouble {
    Unreachable(Unreachable),
    Slow { delay: Duration },
    Lossy { share: f64, retransmit_ns: Option<f64> },
    ExhaustedPool { connections: u32, held_ns: i64, wait_in_span: bool },
}

/// Spans that never arrive: a share of those of all services, of one, or of one of its pods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Loss {
    pub share: f64,
    pub service: Option<usize>,
    pub pod: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Nodes {
    pub count: u32,
    pub max: u32,
    pub room: u32,
    pub arrival: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PodStart {
    pub pull: Duration,
    pub cached: Duration,
    pub probe_ns: f64,
    pub warm_up_ns: i64,
    pub warm_up_factor: f64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Telemetry {
    pub sdk_batch_ns: i64,
    pub collector_min_ns: f64,
    pub collector_max_ns: f64,
    pub late_share: f64,
    pub late_ns: i64,
    pub sampling: f64,
    pub skew_ns: f64,
    pub versions: bool,
    pub pods: bool,
    pub callees: CalleeNames,
}

impl Scenario {
    /// The shipped scenarios' names.
    pub fn shipped() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// A shipped scenario.
    pub fn by_name(name: &str) -> Result<Scenario, ScenarioError> {
        match SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            Some((name, text)) => Scenario::from_yaml(name, text),
            None => {
                let known = Scenario::shipped().collect::<Vec<_>>().join(", ");
                Err(ScenarioError::Unknown { name: name.into(), known })
            }
        }
    }

    /// A user's own; it is called after the file.
    pub fn from_path(path: &Path) -> Result<Scenario, ScenarioError> {
        let unreadable = |cause: String| ScenarioError::Unreadable { path: path.display().to_string(), cause };
        let length = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?.len();
        if length > FILE_BYTES_MAX {
            return Err(unreadable(format!("{length} bytes are more than the {FILE_BYTES_MAX} a scenario may have")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Scenario::from_yaml(&name, &text)
    }

    pub fn from_yaml(name: &str, text: &str) -> Result<Scenario, ScenarioError> {
        let file: file::File = serde_saphyr::from_str(text).map_err(|error| {
            // The first line says what and where; the rest is an excerpt of the file.
            let cause = error.without_snippet().to_string();
            let cause = cause.lines().next().unwrap_or_default();
            // Where a value is wrong, the line has its key.
            let line =
                error.location().and_then(|at| text.lines().nth(usize::try_from(at.line()).ok()?.checked_sub(1)?));
            let cause = match line.map(str::trim).filter(|line| !line.is_empty() && line.len() <= LINE_SHOWN) {
                Some(line) => format!("{cause}: `{}`", printable(line)),
                None => cause.to_owned(),
            };
            ScenarioError::Malformed { name: name.into(), cause }
        })?;
        check::check(name, file).map_err(|problems| ScenarioError::Invalid { name: name.into(), problems })
    }

    /// The index of a service; tests and commands use it, the simulation does not.
    pub fn service(&self, name: &str) -> Option<usize> {
        self.services.iter().position(|s| s.name == name)
    }

    /// Every service and verdict that should be named, in the order of the file.
    pub fn expected_findings(&self) -> Vec<(usize, &str)> {
        let truth = &self.truth;
        let all = [(&truth.verdict, &truth.at)].into_iter().chain(truth.also.iter().map(|(verdict, at)| (verdict, at)));
        all.flat_map(|(verdict, at)| at.iter().map(|&service| (service, verdict.as_str()))).collect()
    }

    pub(super) fn is_expected(&self, service: usize) -> bool {
        self.truth.at.contains(&service) || self.truth.also.iter().any(|(_, at)| at.contains(&service))
    }

    /// Where a diagnosis of recorded spans may put the fault, in the names that spans give: a database is known by its
    /// system and namespace.
    pub fn expected_places(&self) -> Vec<String> {
        let in_spans = |place: &String| match self.peers.iter().find(|peer| peer.name == *place) {
            Some(peer) if !peer.system.is_empty() && peer.namespace.is_empty() => peer.system.clone(),
            Some(peer) if !peer.system.is_empty() => format!("{}:{}", peer.system, peer.namespace),
            _ => place.clone(),
        };
        self.truth.places.iter().map(in_spans).collect()
    }

    /// The expected targets' names, in order.
    /// Services of which a release stands beside what runs, by the weights of a route.
    pub fn canaries(&self) -> Vec<String> {
        let of = |fault: &Fault| match fault.trouble {
            Trouble::Release { service, weight: Some(_), .. } => Some(self.services[service].name.clone()),
            _ => None,
        };
        self.faults.iter().filter_map(of).collect()
    }

    pub fn expected_targets(&self) -> Vec<String> {
        self.truth.targets.iter().map(|&s| self.services[s].name.clone()).collect()
    }
}

/// A longer line is shown by its number alone.
const LINE_SHOWN: usize = 120;

/// Seconds of the file to nanoseconds.
pub(super) fn seconds(s: f64) -> i64 {
    (s * 1e9).round() as i64
}
