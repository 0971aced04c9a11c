//! What the operator wrote, checked.
//!
//! [`Config::load`] reads YAML into `raw` types (every value still text), and `check` makes a [`Config`]
//! of it or reports everything that is wrong at once. Nothing downstream checks again.

mod check;
mod objective;
mod problem;
mod raw;
mod token;
mod units;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

pub use objective::{Bounds, Objective, Pattern, Selector};
pub use problem::{Error, Problem};
pub use token::Token;
pub use units::{HumanBytes, HumanDuration, parse_bytes, parse_duration, parse_share};
use units::{serialize_bytes, serialize_duration};

/// The checked configuration. Serialises to JSON with tokens left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    pub mode: Mode,
    #[serde(serialize_with = "serialize_duration")]
    pub tick: Duration,
    /// What holds for entry operations that no objective names.
    pub default_objective: Bounds,
    /// In the order written; the first that matches holds.
    pub objectives: Vec<Objective>,
    /// What differs for one service, by its identity.
    pub services: BTreeMap<String, Service>,
    pub receive: Receive,
    pub api: Api,
    pub window: Window,
    pub rules: Rules,
    pub guard: Guard,
    /// None: decisions are kept in memory alone.
    pub journal: Option<Journal>,
    /// None: headroom finds bottlenecks and says what it would do, and touches nothing.
    pub cluster: Option<Cluster>,
}

impl Default for Config {
    /// `headroom serve` without a file: observes, on loopback alone.
    fn default() -> Config {
        Config {
            mode: Mode::Observe,
            // A burst is noticed within a second, and a tick's SQL takes a few hundredths of one.
            tick: Duration::from_secs(1),
            default_objective: Bounds::default(),
            objectives: Vec::new(),
            services: BTreeMap::new(),
            receive: Receive::default(),
            api: Api::default(),
            window: Window::default(),
            rules: Rules::default(),
            guard: Guard::default(),
            journal: None,
            cluster: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Say what would be done.
    #[default]
    Observe,
    /// Do it.
    Enforce,
}

/// What differs for one service; None: as for all, or as its workload states.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Service {
    pub min_replicas: Option<u32>,
    pub max_replicas: Option<u32>,
    pub step_factor_max: Option<f64>,
    pub cooldown: Option<Duration>,
    /// `false`: never fewer replicas of this service.
    pub scale_in: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Receive {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub tls: Option<Tls>,
    pub token: Option<Token>,
    /// Largest request as it is sent.
    #[serde(serialize_with = "serialize_bytes")]
    pub body_bytes_max: u64,
    /// Largest request once decompressed.
    #[serde(serialize_with = "serialize_bytes")]
    pub decompressed_bytes_max: u64,
    /// What may wait for the engine before senders are told to come back.
    pub queue_spans_max: usize,
    #[serde(serialize_with = "serialize_bytes")]
    pub queue_bytes_max: u64,
    pub connections_max: usize,
}

impl Default for Receive {
    fn default() -> Receive {
        Receive {
            // The ports that the OTLP specification names.
            grpc: (Ipv4Addr::LOCALHOST, 4317).into(),
            http: (Ipv4Addr::LOCALHOST, 4318).into(),
            tls: None,
            token: None,
            // The OpenTelemetry Collector's HTTP receiver takes 20 MiB; its gRPC receiver 4 MiB.
            body_bytes_max: 20 << 20,
            // Traces compress about tenfold; twice that before it counts as a bomb is 400 MiB, too much to hold
            // several of. 64 MiB holds about half a million spans.
            decompressed_bytes_max: 64 << 20,
            // About a second of what one core decodes; what cannot be taken in a second is better kept by the sender,
            // whose queue may be on disk.
            queue_spans_max: 500_000,
            queue_bytes_max: 128 << 20,
            // A Collector holds a handful; hundreds of agents on nodes still fit.
            connections_max: 1_024,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Senders must present a certificate signed by this authority.
    pub client_ca: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Api {
    pub listen: SocketAddr,
    pub token: Option<Token>,
    /// What one SQL query may take.
    #[serde(serialize_with = "serialize_duration")]
    pub sql_timeout: Duration,
    #[serde(serialize_with = "serialize_bytes")]
    pub sql_memory_bytes: u64,
    pub sql_rows_max: usize,
}

impl Default for Api {
    fn default() -> Api {
        Api {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            token: None,
            // A person waits this long; a scan of a full window takes about a second.
            sql_timeout: Duration::from_secs(10),
            // Aggregates over a window of 512 MiB fit well; a careless cross join does not.
            sql_memory_bytes: 256 << 20,
            // More than a person reads or a dashboard draws.
            sql_rows_max: 10_000,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Window {
    #[serde(serialize_with = "serialize_duration")]
    pub duration: Duration,
    #[serde(serialize_with = "serialize_bytes")]
    pub memory_bytes: u64,
}

impl Default for Window {
    fn default() -> Window {
        // Five minutes hold a burst from its onset to its recovery; at 81 bytes a span 512 MiB hold 20 000 spans a second.
        Window { duration: Duration::from_secs(300), memory_bytes: 512 << 20 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rules {
    /// None: the shipped rules.
    pub directory: Option<PathBuf>,
    pub operations_max: u64,
    pub call_depth_max: usize,
    pub text_bytes_max: usize,
    pub list_entries_max: usize,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            directory: None,
            // A rule over 1 200 operations takes some ten thousand; a million end an endless loop within 0.1 s.
            operations_max: 1_000_000,
            // Rules call functions, they do not recurse far; rhai's own default differs between build profiles.
            call_depth_max: 32,
            text_bytes_max: 64 << 10,
            list_entries_max: 10_000,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Guard {
    /// One step multiplies the replicas by this at most.
    pub step_factor_max: f64,
    #[serde(serialize_with = "serialize_duration")]
    pub cooldown: Duration,
    /// How long a lower need must have held before replicas are given back.
    #[serde(serialize_with = "serialize_duration")]
    pub stabilisation: Duration,
    /// Replicas headroom may have added at once, over all services.
    pub replicas_budget: u32,
    pub actions_per_minute: u32,
}

impl Default for Guard {
    fn default() -> Guard {
        Guard {
            // A tenfold burst needs one large step: pods take half a minute to come, so small steps come too late.
            step_factor_max: 10.0,
            // About the start-up time of a pod: before that an action has not shown its effect.
            cooldown: Duration::from_secs(30),
            // As the HorizontalPodAutoscaler's downscale stabilisation.
            stabilisation: Duration::from_secs(300),
            replicas_budget: 100,
            actions_per_minute: 10,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Journal {
    pub path: PathBuf,
    #[serde(serialize_with = "serialize_bytes")]
    pub bytes_max: u64,
}

/// Where workloads run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cluster {
    /// The simulator's cluster, over loopback.
    Embedded { url: String },
}

impl Config {
    /// Read and check a file. Paths in it are relative to the directory it lies in.
    pub fn load(path: &Path) -> Result<Config, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Config::parse(&text, path)
    }

    /// Check a configuration given as text; `path` names it in messages and anchors relative paths.
    pub fn parse(text: &str, path: &Path) -> Result<Config, Error> {
        let syntax = |cause: String| Error::Syntax { path: path.to_owned(), cause };
        // An empty file, or one of comments alone, is the configuration that changes nothing.
        let options = serde_saphyr::options! { with_snippet: false };
        let raw: Option<raw::Root> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax(one_line(&error.to_string())))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        check::check(&raw.unwrap_or_default(), directory)
            .map_err(|problems| Error::Invalid { path: path.to_owned(), problems })
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
