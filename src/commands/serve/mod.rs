//! `headroom serve`: the daemon. Everything is checked before a socket is opened, and everything is drained
//! before it ends.

mod adapter;
mod core;
mod delay;
mod kubernetes;
mod learnt;
mod log;
mod memory;
pub(super) mod rules;
mod shutdown;
pub(super) mod stations;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use super::{Answer, Error};
use crate::api::{self, Api, Metrics, Readiness, Snapshot, Sql};
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::{Engine, Event};
use crate::receive::{self, Receivers, SourceClocks, Stamp, queue};
use shutdown::Signals;

/// Receive traces, find what holds requests back, and act on it (or, by default, say what it would do).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom serve                             OTLP on 4317 and 4318, API on 8080
  headroom serve --config headroom.yaml
  headroom serve --config headroom.yaml --log warn,headroom=debug

Without a configuration it observes, and listens on loopback alone.
SIGTERM and SIGINT drain: senders get their answers, the last tick is made and
the journal written. A second signal leaves at once.")]
pub struct Args {
    /// Configuration, YAML; without it the defaults hold
    #[arg(long, short, value_name = "FILE", env = "HEADROOM_CONFIG")]
    config: Option<PathBuf>,
    /// What to log: a level, or a filter such as warn,headroom=debug
    #[arg(long, value_name = "FILTER", env = "HEADROOM_LOG", default_value = "info")]
    log: String,
    /// Write the addresses that are listened on as JSON, once they accept
    #[arg(long, value_name = "FILE")]
    ports_file: Option<PathBuf>,
    /// Act on the Kubernetes of this context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// Everything is drained within this, as a cluster kills what takes longer (Kubernetes' default grace is 30 s).
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Of which senders may take this much: an exporter's own timeout is 10 s, its batch is mostly here already.
const DRAIN_RECEIVERS_MAX: Duration = Duration::from_secs(5);

/// And the last call of the cluster, and the leave taken of it, this much.
const LEAVE_MAX: Duration = Duration::from_secs(3);
/// Of which what was learnt may take this much to be kept: one write, and its repetitions.
const KEEP_MAX: Duration = Duration::from_secs(3);

/// Events waiting for the engine: far more than a tick brings.
const EVENTS_MAX: usize = 256;

/// Permits waiting for the cluster: `guard.actions_per_minute` bounds them well below.
const PERMITS_MAX: usize = 64;

pub fn run(args: Args) -> Result<Answer, Error> {
    log::start(&args.log)?;
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    kubernetes::complete(&mut config, args.context);
    let runtime = Builder::new_multi_thread().enable_all().thread_name("headroom").build().map_err(Error::Runtime)?;
    // Queries of people have one thread of their own: a careless one cannot take the receivers' or the engine's.
    let queries = Builder::new_multi_thread()
        .enable_all()
        .worker_threads(1)
        .thread_name("headroom-sql")
        .build()
        .map_err(Error::Runtime)?;
    let ended = runtime.block_on(async {
        let clock = stations::clock(&config).await?;
        serve(&config, clock, queries.handle(), args.ports_file.as_deref()).await
    });
    // What still runs has had its deadline.
    [runtime, queries].into_iter().for_each(Runtime::shutdown_background);
    ended.map(|()| Answer::Yes)
}

/// Where it listens; written to `--ports-file` and to the log.
#[derive(Serialize)]
struct Ports {
    api: SocketAddr,
    grpc: Option<SocketAddr>,
    http: Option<SocketAddr>,
}

/// The daemon from its first check to its last tick. `queries` runs SQL; the clock may be a scaled one.
pub async fn serve(config: &Config, clock: Clock, queries: &Handle, ports_file: Option<&Path>) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let rules = rules::load(&config.rules)?;
    let mut engine = Engine::new(clock.now(), stations::settings(config), &rules)?;
    if let Some(learnt) = config.learnt.as_ref().and_then(|path| learnt::read(path, clock.now())) {
        engine.observe(clock.now(), Event::Learnt(learnt));
    }
    let journal = config.journal.as_ref().map(stations::journal).transpose()?;
    let kubernetes = kubernetes::Reached::of(config).await?;

    let listen = |source| Error::Listen { what: "the API", address: config.api.listen, source };
    let listener = TcpListener::bind(config.api.listen).await.map_err(listen)?;
    let (inlet, outlet) = queue(stations::queue_limits(config));
    let receivers = Receivers::start(stations::receive(config), inlet, stamps(clock.clone()), None).await?;
    let metrics = Metrics::default().with_receivers(receivers.counters());
    let metrics = Arc::new(if kubernetes.is_some() { metrics.with_api_server() } else { metrics });

    let (events_in, events) = mpsc::channel(EVENTS_MAX);
    let (permits_in, permits) = mpsc::channel(PERMITS_MAX);
    let (snapshots, snapshot) = watch::channel(Arc::new(Snapshot { mode: config.mode, ..Snapshot::default() }));
    let (readiness_in, readiness) = watch::channel(Readiness::Starting("the first tick"));

    let (taker, taken) = learnt::Taker::new();
    let core = core::Core {
        engine,
        clock: clock.clone(),
        tick: config.tick,
        journal,
        permits: permits_in,
        snapshots,
        metrics: metrics.clone(),
        memory: stations::memory(config),
        delay: delay::Delay::default(),
        learnt: taker,
        sources: SourceClocks::default(),
    };
    let (core_ended, mut core_end) = oneshot::channel();
    let handle = Handle::current();
    std::thread::Builder::new()
        .name("headroom-engine".into())
        .spawn(move || {
            core.run(&handle, outlet, events);
            // Nobody waits for it after a second signal.
            let _ = core_ended.send(());
        })
        .map_err(Error::Runtime)?;

    let mut place = config.learnt.clone().map(learnt::Place::File);
    let (kept_in, kept) = oneshot::channel::<()>();
    let adapter = adapter::Adapter {
        clock: clock.clone(),
        pace: adapter::Pace::new(config.tick),
        bounds: config.services.clone(),
        permits,
        events: events_in.clone(),
        metrics: metrics.clone(),
        last_words: kept,
    };
    let cluster = match (stations::embedded(config)?, kubernetes) {
        (Some(cluster), _) => Some(tokio::spawn(adapter.run(cluster))),
        (None, Some(kubernetes)) => {
            let (cluster, shelf) = kubernetes.start(clock.clone(), snapshot.clone());
            place = place.or(Some(learnt::Place::ConfigMap(shelf)));
            Some(tokio::spawn(adapter.run(cluster)))
        }
        (None, None) => {
            drop(adapter);
            None
        }
    };
    let keeper = place.map(|place| tokio::spawn(learnt::keep(place, clock, events_in.clone(), taken)));
    if let Some(directory) = config.rules.directory.clone() {
        tokio::spawn(rules::watch(directory, rules, events_in.clone()));
    }

    let ports = Ports { api: listener.local_addr().map_err(listen)?, grpc: receivers.grpc(), http: receivers.http() };
    let api = Api {
        snapshot: snapshot.clone(),
        readiness,
        events: events_in,
        metrics,
        sql: Arc::new(Sql::new(queries.clone(), &config.api)),
        token: config.api.token.clone(),
    };
    tokio::spawn(axum::serve(listener, api::router(api)).into_future());
    if let Some(path) = ports_file {
        write_ports(path, &ports)?;
    }
    let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    info!(api = %ports.api, grpc = address(ports.grpc), http = address(ports.http), mode = ?config.mode, "listening");

    let ready = become_ready(snapshot, &readiness_in);
    tokio::select! {
        () = ready => {}
        () = signals.next() => {}
        _ = &mut core_end => return Err(Error::EngineStopped),
    }

    info!("draining; a second signal leaves at once");
    readiness_in.send_replace(Readiness::Draining);
    let drained = async {
        if !receivers.shutdown(DRAIN_RECEIVERS_MAX).await {
            warn!("some senders were cut off unacknowledged; they send again");
        }
        // The receivers were the queue's only inlets: the engine takes what waits, ticks once more and ends.
        core_end.await.map_err(|_| Error::EngineStopped)?;
        // Only who leads may keep what was learnt, so that goes before the leave.
        if let Some(keeper) = keeper
            && tokio::time::timeout(KEEP_MAX, keeper).await.is_err()
        {
            warn!("what was learnt of late could not be kept in time");
        }
        drop(kept_in);
        // The adapter ends by itself, once it has heard of the engine's end.
        if let Some(cluster) = cluster
            && tokio::time::timeout(LEAVE_MAX, cluster).await.is_err()
        {
            warn!("the cluster did not answer to the end");
        }
        Ok::<(), Error>(())
    };
    tokio::select! {
        ended = drained => ended?,
        () = signals.next() => return Err(Error::LeftEarly("a second signal came")),
        () = tokio::time::sleep(DRAIN_MAX) => return Err(Error::LeftEarly("draining took too long")),
    }
    info!("drained");
    Ok(())
}

/// What the receivers stamp requests with.
fn stamps(clock: Clock) -> receive::Clock {
    Arc::new(move || {
        let received_at = clock.now();
        let ahead = Duration::from_nanos(clock.system_ahead_ns().max(0) as u64); // not negative
        Stamp { received_at, latest: received_at + ahead }
    })
}

/// Says so once the engine has ticked; then waits for ever, as readiness ends by a signal alone.
async fn become_ready(mut snapshot: watch::Receiver<Arc<Snapshot>>, readiness: &watch::Sender<Readiness>) {
    if snapshot.wait_for(|snapshot| snapshot.tick > 0).await.is_ok() {
        readiness.send_replace(Readiness::Ready);
        info!("ready");
    }
    std::future::pending().await
}

/// Whole or not at all, so that whoever waits for the file reads all of it.
fn write_ports(path: &Path, ports: &Ports) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let beside = path.with_extension("tmp");
    // Addresses always serialise; an error here could only be the disk's.
    let text = serde_json::to_string(ports).map_err(|error| failed(error.into()))?;
    std::fs::write(&beside, text).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}
