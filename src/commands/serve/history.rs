//! Between the engine and the history: after each tick what it tells is handed over, and nothing is waited for.

use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::kubernetes::host;
use super::tasks::{Role, Tasks};
use crate::api::Snapshot;
use crate::clock::Clock;
use crate::commands::error::Error;
use crate::config::Config;
use crate::engine::Closed;
use crate::history::{Outbox, Recorder, Replicas, Seen, Store, Writer};

/// The one that writes what waits.
pub const WRITER: &str = "writer of the history";

/// Ticks that may wait to be added up: that takes some milliseconds, and nothing there waits for a store.
const TICKS_WAITING_MAX: usize = 64;

/// Threads that may wait for a file system that hangs: one calls at a time, and gives up after its deadline.
const BLOCKED_MAX: usize = 4;

/// Portions of ticks that found no room: a minute of them at the usual pace. What comes on top is lost to the history.
const HELD_MAX: usize = 60;

/// The engine's end.
#[derive(Default)]
pub struct Feed {
    /// None where no history is kept.
    sender: Option<mpsc::Sender<Seen>>,
    /// What found no room, for the next tick.
    held: Vec<Closed>,
}

impl Feed {
    pub fn tick(&mut self, snapshot: &Snapshot, closed: &[Closed]) {
        let Some(sender) = &self.sender else { return };
        self.held.extend_from_slice(closed);
        let replicas = snapshot.findings.services.iter().map(|of| Replicas {
            service: of.service.as_str().into(),
            replicas: of.replicas,
            ready: of.ready,
        });
        let seen = Seen {
            now: snapshot.at,
            complete_to: (!snapshot.findings.blind).then_some(snapshot.findings.complete_to),
            closed: std::mem::take(&mut self.held),
            replicas: replicas.collect(),
        };
        if let Err(TrySendError::Full(seen)) = sender.try_send(seen) {
            self.held = seen.closed;
            self.held.truncate(HELD_MAX);
        }
    }
}

/// A history that is kept, before it is known who leads.
pub struct Kept {
    seen: mpsc::Receiver<Seen>,
    store: Store,
    pub outbox: Arc<Outbox>,
}

/// Where the configuration says that one is kept: what it is kept in is made, or there is an error before anything starts.
pub fn prepare(config: &Config) -> Result<(Feed, Option<Kept>), Error> {
    let Some(place) = &config.history.store else { return Ok((Feed::default(), None)) };
    let store = Store::make(place)?;
    let (sender, seen) = mpsc::channel(TICKS_WAITING_MAX);
    let kept = Kept { seen, store, outbox: Arc::default() };
    Ok((Feed { sender: Some(sender), held: Vec::new() }, Some(kept)))
}

impl Kept {
    /// Starts who adds up and who writes. `leads` says whether this replica does, where there are several.
    pub fn start(
        self,
        config: &Config,
        clock: Clock,
        leads: Option<watch::Receiver<bool>>,
        tasks: &mut Tasks,
    ) -> Result<(), Error> {
        let Kept { seen, store, outbox } = self;
        let cluster = &config.history.cluster;
        let recorder = Recorder::new(outbox.clone(), cluster, identity(&clock), leads);
        tasks.spawn_thread("recorder of the history", Role::Helper, move || recorder.run(seen))?;
        let writer = Writer::new(store, outbox, cluster, config.history.keep.clone(), clock);
        // Of its own: putting a day together computes for a while, and a file system that hangs keeps the threads that ask it.
        let runtime = Builder::new_current_thread().enable_time().max_blocking_threads(BLOCKED_MAX).build();
        let runtime = runtime.map_err(Error::Runtime)?;
        tasks.spawn_thread(WRITER, Role::Helper, move || {
            runtime.block_on(writer.run());
            runtime.shutdown_background();
        })
    }
}

/// No two lives of a process write files of one name.
fn identity(clock: &Clock) -> String {
    let host: String = host().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(63).collect();
    format!("{host}-{}", clock.now().0.div_euclid(1_000_000))
}
