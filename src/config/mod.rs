//! What the operator wrote, checked.
//!
//! [`Config::load`] reads YAML by the declared `keys` into `node`s (every value still text), and `check` makes a [`Config`]
//! of them or reports everything that is wrong at once. Nothing downstream checks again. Settings are the stations' own:
//! each declares them beside its `Config`, with range and meaning, and states its defaults there with their reasons.
//! `reference` writes what comes from the declarations: the reference file, the documentation's table, the JSON Schema.

pub mod callers;
mod check;
mod expand;
mod gateway;
mod history;
mod host;
mod issuers;
pub mod jwks;
mod keys;
mod node;
mod notify;
mod objective;
mod outline;
mod problem;
pub mod reference;
mod schedule;
mod token;
mod units;
mod written;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeSeed;
use serde_saphyr::DuplicateKeyPolicy;

pub use crate::guard::Mode;
pub use callers::{Caller, Role};
pub use gateway::{Gateway, PRIORITY_MAX, Priority};
pub use history::History;
pub use host::{HostName, host_of, is_own};
pub use issuers::{Oidc, People, TokenReview, Who};
use node::{Node, Root};
pub use notify::{Notify, Receiver, ReceiverKind};
pub use objective::{Bounds, Objective, Pattern, Selector};
use outline::Outline;
pub use problem::{Error, Problem};
pub use schedule::Schedule;
pub use token::Token;
pub use units::{HumanBytes, HumanDuration, parse_bytes, parse_duration, parse_share};

use crate::model::setting::{Kind, Setting};
use crate::receive::{self, queue};
use crate::{analyse, decide, disk, guard, journal, settings, verify, window};

/// The checked configuration. Serialises with the keys of the file, tokens left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub mode: Mode,
    /// False: spans are received and kept for SQL, and nothing is found or done.
    pub analysis: bool,
    pub tick: Duration,
    /// What holds for entry operations that no objective names.
    pub default_objective: Bounds,
    /// In the order written; the first that matches holds.
    pub objectives: Vec<Objective>,
    /// What differs for one service, by its identity.
    pub services: BTreeMap<String, Service>,
    pub receive: Receive,
    pub api: Api,
    pub gateway: Gateway,
    pub metrics: Metrics,
    pub notify: Notify,
    pub window: window::Config,
    pub limits: Limits,
    pub analyse: Analyse,
    pub rules: Rules,
    pub guard: guard::Config,
    pub verify: verify::Config,
    pub schedule: Schedule,
    pub history: History,
    /// None: decisions are kept in memory alone.
    pub journal: Option<Journal>,
    /// The file that keeps what was learnt over restarts; None: it is learnt anew, or kept in a ConfigMap of Kubernetes.
    pub learnt: Option<PathBuf>,
    /// None: headroom finds bottlenecks and says what it would do, and touches nothing.
    pub cluster: Option<Cluster>,
}

impl Default for Config {
    /// `headroom serve` without a file: observes, on loopback alone.
    fn default() -> Config {
        Config {
            mode: Mode::Observe,
            analysis: true,
            // A burst is noticed within a second, and a tick's SQL takes a few hundredths of one.
            tick: Duration::from_secs(1),
            default_objective: Bounds::default(),
            objectives: Vec::new(),
            services: BTreeMap::new(),
            receive: Receive::default(),
            api: Api::default(),
            gateway: Gateway::default(),
            metrics: Metrics::default(),
            notify: Notify::default(),
            // Five minutes hold a burst from its onset to its recovery; at 86 bytes a span 512 MiB hold 20 000 spans a second.
            window: window::Config {
                duration: Duration::from_secs(300),
                bytes_max: 512 << 20,
                ..window::Config::default()
            },
            limits: Limits::default(),
            analyse: Analyse::default(),
            rules: Rules::default(),
            guard: guard::Config::default(),
            verify: verify::Config::default(),
            schedule: Schedule::default(),
            history: History::default(),
            journal: None,
            learnt: None,
            cluster: None,
        }
    }
}

impl Config {
    /// What stands in no section.
    pub const SETTINGS: &'static [Setting<Config>] = settings![Config;
        tick: Kind::millis(100, 60_000), "how often the engine looks at what it has";
    ];
}

/// How bottlenecks are found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analyse {
    /// The objectives in it are not the configured ones, which have a section of their own; nor are the queries, which lie
    /// in a directory.
    pub station: analyse::Config,
    /// Directory of queries that replace shipped ones; None: all as shipped.
    pub queries: Option<PathBuf>,
}

/// More replicas than any cluster runs of one service (Kubernetes is tested to 150 000 pods in all).
const REPLICAS_MAX: u64 = 100_000;

/// Bounds of one service, within those that its workload states; None: as it states.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    pub min_replicas: Option<u32>,
    pub max_replicas: Option<u32>,
}

impl Service {
    pub const SETTINGS: &'static [Setting<Service>] = settings![Service;
        min_replicas: Kind::count(0, REPLICAS_MAX), "no fewer replicas than this, if its workload allows it";
        max_replicas: Kind::count(1, REPLICAS_MAX), "no more replicas than this, if its workload allows it";
    ];
}

#[derive(Clone, Debug, PartialEq)]
pub struct Receive {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub tls: Option<Tls>,
    pub token: Option<Token>,
    /// Largest request as it is sent.
    pub body_bytes_max: u64,
    /// Largest request once decompressed.
    pub decompressed_bytes_max: u64,
    /// What may wait for the engine before senders are told to come back.
    pub queue_spans_max: usize,
    pub queue_bytes_max: u64,
    pub connections_max: usize,
    /// All requests that are being received or wait for the engine.
    pub requests_bytes_max: u64,
    pub request_timeout: Duration,
    pub hand_over_timeout: Duration,
    pub retry_after: Duration,
    pub future_max: Duration,
    /// How many spans one stands for that does not say so itself; None where that is not known.
    pub assume_weight: Option<f64>,
}

impl Receive {
    pub const SETTINGS: &'static [Setting<Receive>] = settings![Receive;
        grpc: Kind::Address, "OTLP/gRPC; port 0 lets the system choose";
        http: Kind::Address, "OTLP/HTTP, protobuf and JSON";
        body_bytes_max as "body_max": Kind::bytes(64 << 10, 1 << 30), "largest request as it is sent";
        decompressed_bytes_max as "decompressed_max": Kind::bytes(64 << 10, 4 << 30), "largest request once decompressed";
        requests_bytes_max as "requests_memory": Kind::bytes(64 << 10, 64 << 30),
            "all requests that are being received or wait for the engine";
        queue_spans_max as "queue_spans": Kind::count(1_000, 100_000_000),
            "spans that wait for the engine before senders are told to come back";
        queue_bytes_max as "queue_memory": Kind::bytes(1 << 20, 64 << 30), "memory that those may take";
        connections_max: Kind::count(1, 65_536), "connections of each protocol; more wait to be accepted";
        request_timeout: Kind::millis(100, 600_000), "one request may take so long to arrive; over gRPC, to be answered";
        hand_over_timeout: Kind::millis(100, 600_000), "the engine may take so long to take one request";
        retry_after: Kind::millis(100, 600_000), "senders that are told to come back are told to do so after this";
        future_max: Kind::seconds(1, 86_400), "spans that start later than this after their receipt are rejected";
        assume_weight: Kind::number(1.0, 1e6), "spans that one stands for whose sampler does not say so: 1 / its ratio";
    ];
}

impl Default for Receive {
    fn default() -> Receive {
        let (station, queue) = (receive::Config::default(), queue::Limits::default());
        Receive {
            // The ports that the OTLP specification names.
            grpc: (Ipv4Addr::LOCALHOST, 4317).into(),
            http: (Ipv4Addr::LOCALHOST, 4318).into(),
            tls: None,
            token: None,
            body_bytes_max: station.body_bytes_max as u64,
            decompressed_bytes_max: station.decompressed_bytes_max as u64,
            queue_spans_max: queue.spans_max,
            queue_bytes_max: queue.bytes_max as u64,
            connections_max: station.connections_max,
            requests_bytes_max: station.requests_bytes_max as u64,
            request_timeout: station.request_timeout,
            hand_over_timeout: station.hand_over_timeout,
            retry_after: station.retry_after,
            future_max: station.future_max,
            assume_weight: station.assume_weight,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Senders must present a certificate signed by this authority.
    pub client_ca: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    pub listen: SocketAddr,
    pub token: Option<Token>,
    /// Callers with tokens of their own.
    pub callers: Vec<Caller>,
    pub tls: Option<Tls>,
    /// Whose tokens it takes beside.
    pub oidc: Option<Oidc>,
    pub token_review: Option<TokenReview>,
    /// Names that it answers to, beside those of this machine and addresses.
    pub hosts: Vec<HostName>,
    /// Web origins that may call it, beside its own.
    pub origins: Vec<String>,
    /// What one SQL query may take.
    pub sql_timeout: Duration,
    pub sql_memory_bytes: u64,
    pub sql_rows_max: usize,
}

impl Api {
    pub const SETTINGS: &'static [Setting<Api>] = settings![Api;
        listen: Kind::Address, "HTTP API, metrics and health";
        sql_timeout: Kind::millis(100, 300_000), "what one SQL query may take";
        sql_memory_bytes as "sql_memory": Kind::bytes(1 << 20, 64 << 30), "what all queries at once may take";
        sql_rows_max: Kind::count(1, 1_000_000), "rows of one answer; the rest is left out";
    ];
}

impl Default for Api {
    fn default() -> Api {
        Api {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            token: None,
            callers: Vec::new(),
            tls: None,
            oidc: None,
            token_review: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            // A person waits this long; a scan of a full window takes about a second.
            sql_timeout: Duration::from_secs(10),
            // Aggregates over a window of 512 MiB fit well; a careless cross join does not.
            sql_memory_bytes: 256 << 20,
            // More than a person reads or a dashboard draws.
            sql_rows_max: 10_000,
        }
    }
}

/// Names of telemetry that metrics have series of: what comes past a bound is counted in `_other`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    pub services_max: usize,
    /// Entry operations.
    pub entries_max: usize,
    /// Operations of all services together; pods of all services together.
    pub operations_max: usize,
    pub pods_max: usize,
    /// Pairs of an entry operation and a service that its requests spend time at; pairs of caller and callee.
    pub paths_max: usize,
}

/// More series of one metric than a scraper stores gladly.
const SERIES_MAX: u64 = 1_000_000;

impl Metrics {
    pub const SETTINGS: &'static [Setting<Metrics>] = settings![Metrics;
        services_max: Kind::count(0, SERIES_MAX), "services that metrics are told of by name";
        entries_max: Kind::count(0, SERIES_MAX), "endpoints (root spans) that metrics are told of by name";
        operations_max: Kind::count(0, SERIES_MAX), "operations of all services together that metrics are told of by name";
        pods_max: Kind::count(0, SERIES_MAX), "pods of all services together that metrics are told of by name";
        paths_max: Kind::count(0, SERIES_MAX),
            "pairs of endpoint and service, and pairs of caller and callee, that metrics are told of by name";
    ];
}

impl Default for Metrics {
    fn default() -> Metrics {
        // 200 services of 20 operations each fit well; at these bounds an answer has some 150 000 lines.
        Metrics { services_max: 1_000, entries_max: 500, operations_max: 5_000, pods_max: 5_000, paths_max: 5_000 }
    }
}

/// What headroom as a whole may take.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Resident memory of the process, in bytes; None: three quarters of what its cgroup allows, if that says so.
    pub memory_bytes: Option<u64>,
    /// Spans a second that are analysed; of more, whole traces are shed. None: all.
    pub spans_per_second: Option<u64>,
}

impl Limits {
    pub const SETTINGS: &'static [Setting<Limits>] = settings![Limits;
        // Below 64 MiB not even the planned queries and an empty window have room.
        memory_bytes as "memory": Kind::bytes(64 << 20, 16 << 40),
            "resident memory of the process; without it three quarters of what its cgroup allows, if that says so";
        // Below a thousand spans a second a share says little of a service.
        spans_per_second: Kind::count(1_000, 1_000_000_000),
            "spans a second that are analysed; of more, whole traces are shed, fairly; without it all are";
    ];
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// None: the shipped rules.
    pub directory: Option<PathBuf>,
    pub limits: decide::Limits,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Journal {
    pub path: PathBuf,
    pub bytes_max: u64,
}

impl Default for Journal {
    fn default() -> Journal {
        Journal { path: PathBuf::new(), bytes_max: journal::writer::FILE_BYTES_MAX }
    }
}

impl Journal {
    pub const SETTINGS: &'static [Setting<Journal>] = settings![Journal;
        bytes_max as "size_max": Kind::bytes(1 << 20, 1 << 40), "at this size the file becomes `PATH.1`, in place of the one before";
    ];
}

/// Where workloads run.
#[derive(Clone, Debug, PartialEq)]
pub enum Cluster {
    /// The simulator's cluster, over loopback.
    Embedded { url: String },
    /// A Kubernetes API server, and what opts in there by a ServiceObjective.
    Kubernetes(Kubernetes),
    /// Services that nothing scales: traffic to them is shaped.
    Fixed(Vec<FixedService>),
}

/// A service whose replicas nobody moves.
#[derive(Clone, Debug, PartialEq)]
pub struct FixedService {
    /// `NAME`, `NAMESPACE/NAME` or `CLUSTER/NAMESPACE/NAME`, as its spans have it.
    pub service: String,
    /// Its pods or hosts, as its spans name them.
    pub instances: Vec<String>,
}

/// How Kubernetes is reached, and as whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kubernetes {
    /// Of a kubeconfig; None: the service account of the pod, else the kubeconfig's current context.
    pub context: Option<String>,
    /// Where the Lease lies; None: the namespace that the client is at home in.
    pub namespace: Option<String>,
    /// Name of the Lease; None: `headroom`.
    pub lease: Option<String>,
    /// Unique among replicas; None: the host's name, which in a pod is the pod's.
    pub identity: Option<String>,
    /// Where KEDA's external scaler is served; None: nowhere.
    pub scaler: Option<SocketAddr>,
    /// Nodes come for pods that find no room, so that theirs bounds nothing.
    pub nodes_grow: bool,
}

/// A configuration is written by hand.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

impl Config {
    /// Read and check a file. Paths in it are relative to the directory it lies in.
    pub fn load(path: &Path) -> Result<Config, Error> {
        let text = disk::read_text(path, CONFIG_BYTES_MAX)
            .map_err(|unfit| Error::Read { path: path.to_owned(), source: unfit.into() })?;
        Config::parse(&text, path)
    }

    /// Check a configuration given as text; `path` names it in messages and anchors relative paths.
    pub fn parse(text: &str, path: &Path) -> Result<Config, Error> {
        let syntax = |cause: String| Error::Syntax { path: path.to_owned(), cause };
        let unreadable = |error: serde_saphyr::Error| syntax(in_words(&error));
        let options =
            || serde_saphyr::options! { with_snippet: false, duplicate_keys: DuplicateKeyPolicy::PassThrough };
        // An empty file, or one of comments alone, is the configuration that changes nothing.
        let outline: Outline = serde_saphyr::from_str_with_options(text, options()).map_err(unreadable)?;
        let root = match &outline {
            Outline::Nothing => Node::default(),
            Outline::Section(_) => {
                let read = |deserializer: serde_saphyr::Deserializer<'_, '_>| Root(&outline).deserialize(deserializer);
                serde_saphyr::with_deserializer_from_str_with_options(text, options(), read).map_err(unreadable)?
            }
            Outline::Text | Outline::List(_) => {
                let cause = format!(
                    "line 1: the file is {}, where keys such as `mode: observe` are expected",
                    outline.in_words()
                );
                return Err(syntax(cause));
            }
        };
        let directory = path.parent().unwrap_or(Path::new(""));
        check::check(&root, directory).map_err(|problems| Error::Invalid { path: path.to_owned(), problems })
    }
}

/// Why a text is no YAML that can be read, for whoever wrote it.
fn in_words(error: &serde_saphyr::Error) -> String {
    match error.without_snippet() {
        serde_saphyr::Error::MultipleDocuments { location, .. } => format!(
            "a second document begins at line {}; a configuration is one document: remove the `---`, or write two files",
            location.line()
        ),
        error => one_line(&error.to_string()),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
