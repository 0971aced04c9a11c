//! What was learnt, kept over restarts: taken from the engine every minute and at the end, written to a file or to a
//! ConfigMap, and read back at the start and by whoever begins to lead.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::act::kubernetes::shelf::Shelf;
use crate::analyse::Learnt;
use crate::analyse::learned::snapshot::BYTES_MAX;
use crate::clock::Clock;
use crate::disk::{self, Unfit};
use crate::engine::{Engine, Event};
use crate::model::{ClockStep, Time};
use crate::schedule::Planner;

/// Far beyond what is written: what is larger is another file.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Healthy time changes over minutes; a crash loses so much of what was learnt.
const EVERY: Duration = Duration::from_secs(60);

/// Before the ConfigMap is asked for again where the API server does not answer.
const AGAIN: Duration = Duration::from_secs(5);

/// Where it is kept.
#[expect(clippy::large_enum_variant, reason = "there is one")]
pub enum Place {
    File(PathBuf),
    ConfigMap(Shelf),
}

/// The engine's end: what is to be kept.
pub struct Taker {
    taken: watch::Sender<Option<Arc<Learnt>>>,
    due: Option<Time>,
}

impl Taker {
    pub fn new() -> (Taker, watch::Receiver<Option<Arc<Learnt>>>) {
        let (taken, kept) = watch::channel(None);
        (Taker { taken, due: None }, kept)
    }

    /// After a tick.
    pub fn tick(&mut self, engine: &Engine, planner: &Planner, now: Time) {
        let due = *self.due.get_or_insert(now + EVERY);
        if now >= due && !self.taken.is_closed() {
            self.take(engine, planner, now);
        }
    }

    /// All clocks stepped.
    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(&mut self.due);
    }

    /// At the end, and when it is time.
    pub fn take(&mut self, engine: &Engine, planner: &Planner, now: Time) {
        self.due = Some(now + EVERY);
        let mut learnt = engine.learnt(now);
        let kept = planner.keep(now);
        if !kept.is_empty() {
            learnt.planned = serde_json::json!(kept);
        }
        // A short life without traffic must not wipe out what the one before knew.
        if !learnt.is_empty() {
            self.taken.send_replace(Some(Arc::new(learnt)));
        }
    }
}

/// Keeps what is taken until the engine is gone, the last of it included. From a ConfigMap it first tells the engine
/// what is there, and again whenever this replica begins to lead: another one may have learnt more.
pub async fn keep(
    place: Place,
    clock: Clock,
    events: mpsc::Sender<Event>,
    mut taken: watch::Receiver<Option<Arc<Learnt>>>,
) {
    match place {
        Place::File(path) => {
            while let Some(document) = next(&mut taken).await {
                if let Err(error) = disk::replace_private(&path, &document) {
                    warn!(path = %path.display(), "cannot write learnt state: {error}");
                }
            }
        }
        Place::ConfigMap(mut shelf) => {
            // Not written before it was read: what is there may be more than what is known here.
            recall(&shelf, &clock, &events).await;
            let mut refused = false;
            loop {
                tokio::select! {
                    document = next(&mut taken) => {
                        let Some(document) = document else { return };
                        if shelf.leads() {
                            match shelf.put(&document).await {
                                Ok(()) => refused = false,
                                Err(error) if !std::mem::replace(&mut refused, true) => {
                                    warn!(configmap = shelf.name(), "cannot write learnt state: {error}");
                                }
                                Err(_) => {}
                            }
                        }
                    }
                    () = shelf.begins_to_lead() => recall(&shelf, &clock, &events).await,
                }
            }
        }
    }
}

/// The next document to be written; None once the engine is gone and the last was written.
async fn next(taken: &mut watch::Receiver<Option<Arc<Learnt>>>) -> Option<String> {
    loop {
        taken.changed().await.ok()?;
        let Some(learnt) = taken.borrow_and_update().clone() else { continue };
        let (document, left_out) = learnt.encode(BYTES_MAX);
        if left_out > 0 {
            warn!(left_out, "learnt state of the services with the fewest requests is left out: no room");
        }
        return Some(document);
    }
}

async fn recall(shelf: &Shelf, clock: &Clock, events: &mpsc::Sender<Event>) {
    let mut silent = false;
    let document = loop {
        match shelf.get().await {
            Ok(document) => break document,
            Err(error) if !std::mem::replace(&mut silent, true) => {
                warn!(configmap = shelf.name(), "cannot read learnt state: {error}; trying again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    };
    if let Some(learnt) = document.and_then(|document| understood(&document, shelf.name(), clock.now())) {
        // Where the engine is gone nobody needs it.
        let _ = events.send(Event::Learnt(learnt)).await;
    }
}

/// What a file holds; None, and said why, where there is nothing to be learnt from it.
pub fn read(path: &Path, now: Time) -> Option<Learnt> {
    match disk::read_text(path, FILE_BYTES_MAX) {
        Ok(document) => understood(&document, &path.display().to_string(), now),
        Err(Unfit::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            warn!(path = %path.display(), "cannot read learnt state: {error}; learning from now on");
            None
        }
    }
}

fn understood(document: &str, place: &str, now: Time) -> Option<Learnt> {
    match Learnt::decode(document, now) {
        Ok(learnt) => {
            info!(place, written_at = %learnt.at, services = learnt.services.len(), "learnt state restored");
            Some(learnt)
        }
        Err(error) => {
            warn!(place, "cannot use learnt state: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_snapshot_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("learnt.json");
        let now = Time::from_secs(1_000);
        assert_eq!(read(&path, now), None, "nothing there yet");
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(read(&path, now), None);
        let (document, _) = Learnt { at: now, ..Learnt::default() }.encode(BYTES_MAX);
        disk::replace_private(&path, &document).unwrap();
        assert_eq!(read(&path, now), Some(Learnt { at: now, ..Learnt::default() }));
    }

    #[tokio::test]
    async fn the_last_is_written_after_the_engine_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("learnt.json");
        let (events, _engine) = mpsc::channel(1);
        let (taker, taken) = Taker::new();
        let learnt = Learnt { at: Time::from_secs(9), ..Learnt::default() };
        taker.taken.send_replace(Some(Arc::new(learnt.clone())));
        drop(taker);
        keep(Place::File(path.clone()), Clock::system(), events, taken).await;
        assert_eq!(read(&path, Time::from_secs(10)), Some(learnt));
    }
}
