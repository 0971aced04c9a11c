//! The daemon while it runs: everything is started in one place, watched in one place and drained in one place.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::adapter::{Adapter, Pace};
use super::core::{Core, Inputs};
use super::delay::Delay;
use super::journal_thread::JournalThread;
use super::kubernetes::{self, Reached};
use super::learnt::{self, Place, Taker};
use super::memory::{self, Memory};
use super::panics;
use super::rule_thread::RuleThread;
use super::shutdown::Signals;
use super::tasks::{Role, Tasks};
use super::{feeds, gateways, history};
use crate::act::kubernetes::token_review::Reviewer;
use crate::analyse::Findings;
use crate::api::{self, Access, Api, Metrics, Provider, Readiness, Registrar, Reviews, Snapshot, Sql};
use crate::clock::Clock;
use crate::commands::error::Error;
use crate::commands::{query_files, rule_files, stations};
use crate::config::{self, Config, Mode};
use crate::disk;
use crate::engine::{Engine, Event};
use crate::model::Time;
use crate::net::{self, Listener, acceptor};
use crate::notices::{Notices, Standing};
use crate::receive::{self, Receivers, SourceClocks, Stamp, queue};
use crate::schedule::{Kept, Planner};

/// Everything is drained within this, as a cluster kills what takes longer (Kubernetes' default grace is 30 s).
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Of which senders may take this much: an exporter's own timeout is 10 s, its batch is mostly here already.
const DRAIN_RECEIVERS_MAX: Duration = Duration::from_secs(5);

/// And the last call of the cluster, and the leave taken of it, this much.
const LEAVE_MAX: Duration = Duration::from_secs(3);
/// Of which what was learnt, and the rest of the history, may take this much each to be kept: one write, and its repetitions.
const KEEP_MAX: Duration = Duration::from_secs(3);
/// Of which the last entries may take this much to reach a disk that is slow.
const WRITE_MAX: Duration = Duration::from_secs(2);

/// Events waiting for the engine: far more than a tick brings.
const EVENTS_MAX: usize = 256;

/// Orders of people waiting for it, each with its caller.
const CONTROLS_MAX: usize = 16;

/// Words of calendars, registrars and people waiting for the planner: each is taken at the next tick.
const HEARD_MAX: usize = 64;

/// Permits waiting for the cluster: `guard.actions_per_minute_max` bounds them well below.
const PERMITS_MAX: usize = 64;

const ENGINE: &str = "engine";
const ADAPTER: &str = "cluster adapter";
const JOURNAL: &str = "journal writer";
const KEEPER: &str = "keeper of what was learnt";

/// Where it listens; written to `--ports-file` and to the log.
#[derive(Serialize)]
struct Ports {
    api: SocketAddr,
    grpc: Option<SocketAddr>,
    http: Option<SocketAddr>,
    gateway: Option<SocketAddr>,
}

pub struct Running {
    tasks: Tasks,
    receivers: Receivers,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    readiness: watch::Sender<Readiness>,
    /// Dropped once what was learnt is kept: then the adapter may leave the cluster.
    kept: oneshot::Sender<()>,
}

impl Running {
    /// Checks everything before a socket is opened; on return all sockets accept.
    pub async fn start(
        config: &Config,
        clock: Clock,
        sql: &Handle,
        ports_file: Option<&Path>,
    ) -> Result<Running, Error> {
        #[cfg(not(feature = "calendar"))]
        if !config.schedule.calendars.is_empty() {
            return Err(Error::NoCalendars);
        }
        let rules = rule_files::load(&config.rules)?;
        let overrides = query_files::load(&config.analyse)?;
        let mut settings = stations::settings(config);
        settings.analyse.queries.clone_from(&overrides);
        settings.window.seed = RandomState::new().build_hasher().finish();
        let stage = Box::new(RuleThread::default());
        let mut engine = Engine::with_stage(clock.now(), settings, &rules, stage)?;
        let mut kept = Kept::default();
        if let Some(learnt) = config.learnt.as_ref().and_then(|path| learnt::read(path, clock.now())) {
            kept = Kept::of(&learnt);
            engine.observe(clock.now(), Event::Learnt(learnt));
        }
        let journal = config.journal.as_ref().map(stations::journal).transpose()?;
        let kubernetes = Reached::of(config).await?;
        let mut planner = planner(config, kubernetes.is_some());
        planner.restore(&kept);
        let access = access(&config.api, kubernetes.as_ref())?;
        let api_tls = config.api.tls.as_ref().map(|tls| acceptor(&stations::tls(tls), api::ALPN)).transpose()?;
        warn_of_clear_tokens(&config.api);
        warn_of_open_keys(config);

        let listen = |source| Error::Listen { what: "the API", address: config.api.listen, source };
        let listener = net::listen(config.api.listen).map_err(listen)?;
        let mut tasks = Tasks::default();
        let journal = match journal.map(JournalThread::new) {
            Some((thread, write)) => {
                tasks.spawn_thread(JOURNAL, Role::Critical, write)?;
                Some(thread)
            }
            None => None,
        };
        let limit = memory::limit(config);
        let (received, queued) = memory::within(limit, stations::receive(config), stations::queue_limits(config));
        let memory_is_full = received.memory_is_full.clone();
        let shelf_bytes = Arc::<AtomicU64>::default();
        if let Some(limit) = limit {
            tasks.spawn("memory watch", Role::Critical, memory::watch(limit, shelf_bytes.clone(), memory_is_full));
        }
        let descriptors = net::raise();
        let sockets = gateways::sockets(config);
        let connections_max = descriptors.share(received.connections_max, sockets);
        let received = receive::Config { connections_max, ..received };
        let (inlet, outlet) = queue(queued);
        let receivers = Receivers::start(received, inlet, stamps(clock.clone()), None).await?;
        let answers = Sql::start(sql, &config.api, shelf_bytes.clone()).map_err(Error::SqlChild)?;
        let metrics = Metrics::new(&config.metrics)
            .with_receivers(receivers.counters())
            .with_sql(answers.counters().clone(), shelf_bytes.clone())
            .with_panics(&panics::COUNT);
        let metrics = if kubernetes.is_some() { metrics.with_api_server() } else { metrics };
        let notices = Notices::new(&config.notify);
        let outboxes = notices.outboxes();
        let gateway = gateways::of(config, clock.clone());
        let gateway_address = gateways::listen(config, gateway.as_ref(), descriptors, &mut tasks)?;
        let (history_feed, history) = history::prepare(config)?;
        let metrics = metrics.with_notices(outboxes.clone()).with_gateway(gateway.clone());
        let metrics = metrics.with_history(history.as_ref().map(|kept| kept.outbox.clone()));
        let (feed, keeper) = metrics.feed();
        tasks.spawn_thread("keeper of metrics", Role::Critical, move || keeper.run())?;
        let metrics = Arc::new(metrics);
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let (permits_in, permits) = mpsc::channel(PERMITS_MAX);
        let (snapshots, snapshot) = watch::channel(Arc::new(before_the_first_tick(config.mode, clock.now())));
        let (limits_in, limits) = watch::channel(Arc::default());
        let (readiness, readiness_out) = watch::channel(Readiness::Starting("the first tick"));
        let (learnt, taken) = Taker::new();
        let (kept, last_words) = oneshot::channel::<()>();

        let core = Core {
            engine,
            clock: clock.clone(),
            tick: config.tick,
            journal,
            permits: permits_in,
            snapshots,
            limits: limits_in,
            gateway: gateway.clone(),
            metrics: metrics.clone(),
            feed,
            history: history_feed,
            memory: Memory::of(config),
            shelf_bytes,
            delay: Delay::default(),
            learnt,
            sources: SourceClocks::default(),
            planner,
            utilisation: config.analyse.station.target_utilisation,
            demand_due: None,
        };
        let handle = Handle::current();
        let (controls_in, controls) = mpsc::channel(CONTROLS_MAX);
        let (heard_in, heard) = mpsc::channel(HEARD_MAX);
        let inputs = Inputs { events, controls, heard };
        tasks.spawn_thread(ENGINE, Role::Critical, move || core.run(&handle, outlet, inputs))?;

        let adapter = Adapter {
            clock: clock.clone(),
            pace: Pace::new(config.tick),
            permits,
            events: events_in.clone(),
            limits,
            metrics: metrics.clone(),
            last_words,
        };
        if let Some(gateway) = gateway {
            let following = gateways::follow(gateway, adapter.limits.clone(), snapshot.clone());
            tasks.spawn("gateways", Role::Critical, following);
        }
        let (api_clock, feed_clock) = (clock.clone(), clock.clone());
        let mut place = config.learnt.clone().map(Place::File);
        let mut leads = None;
        match (stations::embedded(config)?, kubernetes) {
            (Some(cluster), _) => tasks.spawn(ADAPTER, Role::Critical, adapter.run(cluster)),
            (None, Some(kubernetes)) => {
                let (cluster, shelf) = kubernetes.start(clock.clone(), snapshot.clone(), &mut tasks);
                place = place.or(Some(Place::ConfigMap(shelf)));
                leads = Some(cluster.leads());
                let planning = kubernetes::plan(cluster.planned(), heard_in.clone());
                tasks.spawn("planner's view of CapacityEvents", Role::Helper, planning);
                tasks.spawn(ADAPTER, Role::Critical, adapter.run(cluster));
            }
            (None, None) => match stations::fixed(config, clock.clone()) {
                Some(cluster) => tasks.spawn(ADAPTER, Role::Critical, adapter.run(cluster)),
                None => drop(adapter),
            },
        }
        if let Some(history) = history {
            history.start(config, feed_clock.clone(), leads, &mut tasks)?;
        }
        if let Some(place) = place {
            tasks.spawn(KEEPER, Role::Critical, learnt::keep(place, clock, events_in.clone(), taken));
        }
        for calendar in config.schedule.calendars.iter().cloned() {
            let following =
                feeds::follow(calendar, config.schedule.station.clone(), feed_clock.clone(), heard_in.clone());
            tasks.spawn("calendar", Role::Helper, following);
        }
        let (secret, schedule) = (config.schedule.webhook.clone(), &config.schedule);
        let registrar = Registrar::new(secret, schedule.station.clone(), schedule.kinds.clone(), heard_in);
        if let Some(directory) = config.analyse.queries.clone() {
            let watching = query_files::watch(directory, overrides, events_in.clone());
            tasks.spawn("query watcher", Role::Critical, watching);
        }
        if let Some(directory) = config.rules.directory.clone() {
            let watching = rule_files::watch(directory, rules, events_in.clone());
            tasks.spawn("rule watcher", Role::Critical, watching);
        }

        if !outboxes.is_empty() {
            for delivering in notices.deliveries()? {
                tasks.spawn("delivery of notices", Role::Critical, delivering);
            }
            tasks.spawn("notices", Role::Critical, notices.follow(standing(snapshot.clone())));
        }

        let ports = Ports {
            api: listener.local_addr().map_err(listen)?,
            grpc: receivers.grpc(),
            http: receivers.http(),
            gateway: gateway_address,
        };
        let api = Api {
            snapshot: snapshot.clone(),
            readiness: readiness_out,
            controls: controls_in,
            metrics,
            sql: Arc::new(answers),
            registrar: Arc::new(registrar),
            notices: outboxes.into(),
            clock: api_clock,
            // Some ticks of any length, and what a machine that stalls for a moment needs.
            ticks_late: config.tick * 5 + Duration::from_secs(2),
            access,
            hosts: config.api.hosts.clone().into(),
            origins: config.api.origins.clone().into(),
        };
        let limits = api::limits(descriptors, sockets);
        let listener = Listener { socket: listener, http: api::HTTP, tls: api_tls, limits };
        tasks.spawn("API server", Role::Critical, listener.serve(api::answers(api), CancellationToken::new()));
        if let Some(path) = ports_file {
            write_ports(path, &ports)?;
        }
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        info!(api = %ports.api, grpc = address(ports.grpc), http = address(ports.http), gateway = address(ports.gateway), mode = ?config.mode, "listening");
        Ok(Running { tasks, receivers, snapshot, readiness, kept })
    }

    /// Until a signal asks to leave, or something that must run has ended: then why.
    pub async fn until_end(&mut self, signals: &mut Signals) -> Option<Error> {
        tokio::select! {
            () = become_ready(self.snapshot.clone(), &self.readiness) => None,
            () = signals.next() => None,
            failure = self.tasks.failure() => Some(failure),
            cause = self.receivers.failure() => Some(Error::TaskEnded { task: "OTLP receiver", cause }),
        }
    }

    /// Answers what has begun to arrive, ticks once more, keeps what was learnt and leaves the cluster, in this order.
    pub async fn drain(self, signals: &mut Signals) -> Result<(), Error> {
        info!("draining; a second signal leaves at once");
        self.readiness.send_replace(Readiness::Draining);
        tokio::select! {
            () = self.drained() => {}
            () = signals.next() => return Err(Error::LeftEarly("a second signal came")),
            () = tokio::time::sleep(DRAIN_MAX) => return Err(Error::LeftEarly("draining took too long")),
        }
        info!("drained");
        Ok(())
    }

    async fn drained(self) {
        let Running { mut tasks, receivers, kept, .. } = self;
        if !receivers.shutdown(DRAIN_RECEIVERS_MAX).await {
            warn!("some senders were cut off unacknowledged; they send again");
        }
        // The receivers were the queue's only inlets: the engine takes what waits, ticks once more and ends.
        tasks.ended(ENGINE, DRAIN_MAX).await;
        if !tasks.ended(JOURNAL, WRITE_MAX).await {
            warn!("the journal's disk did not answer; its last entries are lost");
        }
        // Only who leads may keep what was learnt, so that goes before the leave.
        if !tasks.ended(KEEPER, KEEP_MAX).await {
            warn!("learnt state was not written in time");
        }
        if !tasks.ended(history::WRITER, KEEP_MAX).await {
            warn!("the store of the history did not answer; its last minutes are lost");
        }
        drop(kept);
        // The adapter ends by itself, once it has heard of the engine's end.
        if !tasks.ended(ADAPTER, LEAVE_MAX).await {
            warn!("the cluster did not answer to the end");
        }
    }
}

/// What stands after each tick, for who tells people.
fn standing(snapshots: watch::Receiver<Arc<Snapshot>>) -> BoxStream<'static, Standing> {
    let next = async |mut snapshots: watch::Receiver<Arc<Snapshot>>| {
        snapshots.changed().await.ok()?;
        let snapshot = snapshots.borrow_and_update().clone();
        let standing = Standing { notices: snapshot.notices.clone(), follows: snapshot.follows(), at: snapshot.at };
        Some((standing, snapshots))
    };
    futures::stream::unfold(snapshots, next).boxed()
}

/// Whoever plans ahead, with the sources in the order that their words count in.
fn planner(config: &Config, is_kubernetes: bool) -> Planner {
    let calendars = config.schedule.calendars.iter().map(|calendar| calendar.name.as_str());
    let by_hand = is_kubernetes.then_some(kubernetes::CAPACITY_EVENTS);
    // A webhook says nothing until something changes: what was heard before a restart is all there is.
    let sources: Vec<&str> = calendars.chain(by_hand).collect();
    Planner::new(config.schedule.station.clone(), config.schedule.kinds.clone(), &sources)
}

/// Who may ask, by the tokens of the configuration and by those that others issue.
fn access(config: &config::Api, kubernetes: Option<&Reached>) -> Result<Arc<Access>, Error> {
    let provider = config.oidc.clone().map(|oidc| Provider::new(oidc, Clock::system())).transpose();
    let reviews = match (&config.token_review, kubernetes) {
        (None, _) => None,
        (Some(review), Some(reached)) => {
            let reviewer = Reviewer::new(reached.client(), review.audience.clone());
            Some(Reviews::new(reviewer, review.people.clone()))
        }
        (Some(_), None) => return Err(Error::NobodyToAsk),
    };
    let access = Access::new(config.token.as_ref(), config.callers.clone());
    Ok(Arc::new(access.with_issuers(provider.map_err(Error::Provider)?, reviews)))
}

/// A token that goes over a network in the clear is everybody's.
fn warn_of_clear_tokens(config: &config::Api) {
    if config.tls.is_none() && !config.listen.ip().is_loopback() {
        warn!(listen = %config.listen, "the API takes tokens without TLS: set api.tls, or put a proxy with TLS before it");
    }
}

/// A private key that everybody can read is nobody's. It is taken all the same: a cluster mounts its Secrets so.
fn warn_of_open_keys(config: &Config) {
    for tls in [&config.receive.tls, &config.api.tls, &config.gateway.tls].into_iter().flatten() {
        if disk::is_readable_by_all(&tls.key) {
            warn!(key = %tls.key.display(), "every account of this machine can read the private key; take that right away (chmod o-r)");
        }
    }
}

/// Nothing is known yet.
fn before_the_first_tick(mode: Mode, now: Time) -> Snapshot {
    Snapshot { mode, findings: Findings::blind(now), ..Snapshot::default() }
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
    // Addresses always serialise; an error here could only be the disk's.
    let text = serde_json::to_string(ports).map_err(|error| failed(error.into()))?;
    disk::replace_private(path, &text).map_err(failed)
}
