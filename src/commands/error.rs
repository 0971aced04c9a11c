//! Why a command could not do its work: one line with cause and remedy, exit code 2.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::analyse::learned::snapshot as learnt;
use crate::analyse::rollup::sql::QueryError;
use crate::config::HumanBytes;
use crate::disk;
use crate::guard::ActError;
use crate::model::Time;
use crate::net::TlsError;
use crate::receive::decode::DecodeError;
use crate::simulate::ScenarioError;
use crate::sql::QueryError as SqlError;
use crate::{config, engine, journal, notices, receive};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    Receive(#[from] receive::Error),
    #[error(transparent)]
    Spans(#[from] receive::files::Error),
    #[error(transparent)]
    KeepSpans(#[from] receive::files::WriteError),
    #[error("no usable span in {files}; {remedy}")]
    NoSpans { files: String, remedy: String },
    #[error(
        "{baseline} and the incident share no operations; give a baseline of the same system, with the same service and span names"
    )]
    NothingShared { baseline: String },
    #[error("{}: {source}; expected is an object of case to incident, normal, service and fault", path.display())]
    Labels { path: PathBuf, source: serde_json::Error },
    #[error(
        "a scenario has one kind of fault; name one, such as `headroom draw degraded`, or --recordings for several"
    )]
    OneKind,
    #[error("{} names no case; without cases there is no score", path.display())]
    NoCases { path: PathBuf },
    #[error("--fit {system} leaves no cases to choose from, or none to score; the systems are {known}")]
    NoSystem { system: String, known: String },
    #[error(transparent)]
    Query(#[from] SqlError),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error("the simulated spans cannot be read back: {0}; report it as a bug")]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Cluster(#[from] ActError),
    #[error(
        "{holder} leads by the Lease {lease} and would take it again; end it first, such as by `kubectl scale statefulset headroom --replicas 0`, or --force"
    )]
    StillLeads { lease: String, holder: String },
    #[error("the embedded cluster did not start: {0}; look at what it said above, or at the machine's limits")]
    ClusterStart(String),
    #[error(
        "{address} is not a loopback address; a demo and its cluster let everyone in, so name one of this machine alone"
    )]
    NotLoopback { address: SocketAddr },
    #[error("--api has nothing to serve at --speed max, which opens no socket; give a speed such as 4")]
    NoApiAtOnce,
    #[error("--learnt is read and written at --speed max alone; add that, or leave it out")]
    LearntAtOnce,
    #[error("cannot listen on {address} for {what}: {source}; free the port or configure another address")]
    Listen { what: &'static str, address: SocketAddr, source: io::Error },
    #[error("cannot read {}: {source}; {}", path.display(), disk::remedy(source))]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}; name a place that exists and can be written", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is one of the logs; write the counts to another file", path.display())]
    OntoItself { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Journal { path: PathBuf, source: journal::ReadError },
    #[error(
        "{}: the settings of the run that started at {at} cannot be read: {cause}; replay it with headroom {version}",
        path.display()
    )]
    Settings { path: PathBuf, at: Time, version: String, cause: serde_json::Error },
    #[error("{}: no run starts in this journal; name the journal before it too, with --journal", path.display())]
    NoStart { path: PathBuf },
    #[error(transparent)]
    Explain(#[from] journal::ExplainError),
    #[error("{}: {cause}", path.display())]
    Learnt { path: PathBuf, cause: learnt::Error },
    #[cfg(feature = "gateway")]
    #[error(transparent)]
    Gateway(#[from] crate::gateway::Error),
    #[cfg(not(feature = "gateway"))]
    #[error("this build of headroom answers no gateways; build it with `--features gateway`, or take a release")]
    NoGateways,
    #[cfg(not(feature = "calendar"))]
    #[error("this build of headroom reads no calendars; build it with `--features calendar`, or take a release")]
    NoCalendars,
    #[error(
        "{}: it is no iCalendar, or not the whole of one; nothing is planned from it, as that would take back what it said before",
        path.display()
    )]
    NoCalendar { path: PathBuf },
    #[error("{}: {cause}", path.display())]
    Rules { path: PathBuf, cause: String },
    #[error("{}: {cause}", path.display())]
    QueryFile { path: PathBuf, cause: String },
    #[error("{}", lines(errors))]
    Queries { errors: Vec<QueryError> },
    #[error("there is no table named `{name}`; the tables are {known}")]
    NoTable { name: String, known: String },
    #[error("there is no query named `{name}`; the queries are {known}")]
    NoQuery { name: String, known: String },
    #[error("the log filter `{filter}` is wrong: {cause}; write a level such as info, or target=level")]
    Log { filter: String, cause: String },
    #[error("cannot reach {server}: {cause}; start `headroom serve`, or name its address with --server")]
    Unreachable { server: String, cause: String },
    #[error("{server}: {error}; {remedy}")]
    Refused { server: String, status: u16, error: String, remedy: String },
    #[error(
        "api.token_review needs a Kubernetes to ask, and none is configured; add cluster.kubernetes, or run in one"
    )]
    NobodyToAsk,
    #[error("api.oidc: {0}; name PEM files that can be read")]
    Provider(String),
    #[error("api.tls: {0}; name PEM files that belong together")]
    Tls(#[from] TlsError),
    #[error("cannot prepare the processes that answer SQL: {0}; raise the limits of memory, files and processes")]
    SqlChild(io::Error),
    #[error(
        "limits.memory is {}, but this process may have {} of addresses (ulimit -v or -d); raise that to {}, or lower limits.memory",
        HumanBytes(*memory), HumanBytes(*given), HumanBytes(*needed)
    )]
    AddressSpace { memory: u64, given: u64, needed: u64 },
    #[cfg(feature = "forecast")]
    #[error(transparent)]
    Forecast(#[from] crate::forecast::Error),
    #[cfg(feature = "forecast")]
    #[error(transparent)]
    Series(#[from] super::forecast::FileError),
    #[cfg(feature = "forecast")]
    #[error(transparent)]
    PlannedEvents(#[from] super::forecast::EventsError),
    #[error(transparent)]
    History(#[from] crate::history::Error),
    #[error(transparent)]
    Notices(#[from] notices::client::Error),
    #[error("no receiver of notices is meant: {known}; add one to notify.receivers, or name one with --receiver")]
    NoReceiver { known: String },
    #[error("cannot start the runtime: {0}; raise the limit of threads or of memory")]
    Runtime(io::Error),
    #[error(
        "the {task} ended by itself: {cause}; what headroom did until then is kept, start it again and report this as a bug"
    )]
    TaskEnded { task: &'static str, cause: String },
    #[error("left before all was done: {0}; what was not acknowledged is sent again by its sender")]
    LeftEarly(&'static str),
    #[error("cannot write the output: {0}; free space, or write elsewhere")]
    Output(#[from] io::Error),
}

/// Each on lines of its own.
fn lines(errors: &[QueryError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Error {
    /// Whoever read the output has enough of it (`headroom sql … | head`): no error to speak of.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
