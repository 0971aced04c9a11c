//! The children of a daemon: a few that run, one at least that waits warm, and callers in a queue.
//!
//! Nobody holds a place for good. A statement is killed at its time limit; and while others wait, the one that ran longest
//! gives its place up, the sooner the more wait. So `select 1` is answered within two seconds whatever else is asked.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::message::{Form, Limits, Request};
use super::process::{Broken, Child, Killer, Program};
use super::{QueryError, Shelf, Table};
use crate::clock::Stopwatch;

/// What all statements of a daemon may take.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub timeout: Duration,
    /// Of all that run at once.
    pub memory_bytes: u64,
    /// Of one answer.
    pub rows_max: usize,
    pub answer_bytes_max: usize,
}

/// Callers that wait for a place; the next is told to come back.
const WAITING_MAX: usize = 32;
/// While one waits, a statement that ran for this long gives way; with more of them it gives way sooner, but not before it
/// had the shorter time.
const SHARE: Duration = Duration::from_secs(2);
const SHARE_MIN: Duration = Duration::from_millis(250);
/// How often those who wait look whether somebody is to give way.
const LOOK: Duration = Duration::from_millis(50);
/// A child beyond the first, and tables on the shelf, are kept this long after they were last used.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// What a child may take for itself beside what its statements may: code that is written to, text of the answer, buffers
/// that DataFusion does not count.
const PROCESS_BYTES: u64 = 64 << 20;
/// Processor time beyond the time limit: the parent's own deadline comes first, this is for a child without a parent.
const CPU_MARGIN_S: u64 = 5;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counters {
    pub started: AtomicU64,
    pub answered: AtomicU64,
    pub refused: AtomicU64,
    pub timed_out: AtomicU64,
    pub gave_way: AtomicU64,
    pub busy: AtomicU64,
    /// Ended by a limit of the system's, or by itself.
    pub died: AtomicU64,
}

/// See the module. Cloning shares it.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    runtime: Handle,
    program: Program,
    shelf: Shelf,
    settings: Settings,
    children_max: usize,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    idle: Mutex<Vec<Child>>,
    running: Mutex<Vec<Arc<Running>>>,
    last_used: Mutex<Stopwatch>,
    counters: Arc<Counters>,
}

/// A statement in a child.
struct Running {
    since: Stopwatch,
    killer: Killer,
    /// Set when it was told to give way, to how long it had run.
    gave_way: OnceLock<Duration>,
}

impl Pool {
    /// Starts the first child, so that nobody waits for it. `shelf_bytes` is kept at what the tables on the shelf take.
    pub fn start(runtime: Handle, settings: Settings, shelf_bytes: Arc<AtomicU64>) -> std::io::Result<Pool> {
        // Half of the processors are the loop's.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let children_max = (cores / 2).clamp(2, 4);
        let shared = Arc::new(Shared {
            runtime: runtime.clone(),
            program: Program::own()?,
            shelf: Shelf::new(shelf_bytes)?,
            settings,
            children_max,
            places: Arc::new(Semaphore::new(children_max)),
            waiting: AtomicUsize::new(0),
            idle: Mutex::default(),
            running: Mutex::default(),
            last_used: Mutex::new(Stopwatch::start()),
            counters: Arc::default(),
        });
        let warm = shared.clone();
        runtime.spawn_blocking(move || warm.warm());
        runtime.spawn(upkeep(Arc::downgrade(&shared)));
        Ok(Pool(shared))
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.0.counters
    }

    /// The answer as one JSON document.
    pub async fn ask(&self, tables: Arc<[Table]>, sql: String) -> Result<Vec<u8>, QueryError> {
        let place = self.0.place().await.inspect_err(|error| self.0.count(error))?;
        let shared = self.0.clone();
        let answering = self.0.runtime.spawn_blocking(move || {
            let _place = place;
            shared.answer(&tables, &sql)
        });
        let answer = answering.await.unwrap_or_else(|error| Err(QueryError::Failed { cause: error.to_string() }));
        match &answer {
            Ok(_) => _ = self.0.counters.answered.fetch_add(1, Ordering::Relaxed),
            Err(error) => self.0.count(error),
        }
        answer
    }
}

/// Counts a caller that waits, for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Waits for a place, and sees to it that one becomes free.
    async fn place(&self) -> Result<OwnedSemaphorePermit, QueryError> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= WAITING_MAX {
            return Err(QueryError::Busy { waiting: before });
        }
        let acquiring = self.places.clone().acquire_owned();
        let mut acquiring = std::pin::pin!(acquiring);
        loop {
            tokio::select! {
                place = acquiring.as_mut() => {
                    return place.map_err(|_| QueryError::Busy { waiting: 0 }); // the semaphore is never closed
                }
                () = tokio::time::sleep(LOOK) => self.make_room(),
            }
        }
    }

    /// Ends the statement that ran longest, once it has had its share.
    fn make_room(&self) {
        let waiting = u32::try_from(self.waiting.load(Ordering::Relaxed)).unwrap_or(u32::MAX).max(1);
        let share = (SHARE / (1 + waiting)).max(SHARE_MIN);
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.iter().any(|running| running.gave_way.get().is_some()) {
            return; // a place is about to be free
        }
        let longest = running.iter().max_by_key(|running| running.since.elapsed());
        if let Some(longest) = longest.filter(|longest| longest.since.elapsed() > share)
            && longest.gave_way.set(longest.since.elapsed()).is_ok()
        {
            longest.killer.kill();
        }
    }

    fn answer(self: &Arc<Shared>, tables: &[Table], sql: &str) -> Result<Vec<u8>, QueryError> {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Stopwatch::start();
        let process = |error: std::io::Error| QueryError::Process { cause: error.to_string() };
        // Held until the answer is there: its room is not given back meanwhile.
        let mut selection = self.shelf.select(tables, sql).map_err(process)?;
        let Settings { timeout, memory_bytes, rows_max, answer_bytes_max } = self.settings;
        let memory_bytes = memory_bytes / self.children_max as u64;
        let request = Request {
            sql: sql.to_owned(),
            tables: std::mem::take(&mut selection.tables),
            limits: Limits {
                memory_bytes,
                process_bytes: memory_bytes + PROCESS_BYTES,
                cpu_s: Some(timeout.as_secs() + CPU_MARGIN_S),
                partitions: 1,
            },
            form: Form::Document { rows_max, bytes_max: answer_bytes_max },
        };
        let mut child = self.child().map_err(process)?;
        let running =
            Arc::new(Running { since: Stopwatch::start(), killer: child.killer(), gave_way: OnceLock::new() });
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(running.clone());
        let mut answer = Vec::new();
        let asked = child.ask(&request, Some(timeout), |text| {
            answer.extend_from_slice(text);
            Ok(())
        });
        self.running.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, &running));
        match asked {
            // One that was told to give way at this very moment is gone, though it answered.
            Ok(end) => {
                if running.gave_way.get().is_none() {
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(child);
                } else {
                    self.replace(child);
                }
                end.map(|()| answer)
            }
            Err(broken) => {
                if matches!(broken, Broken::TimedOut) {
                    child.killer().kill();
                }
                let died = self.replace(child);
                Err(match (running.gave_way.get(), broken) {
                    (Some(ran), _) => QueryError::GaveWay { ran_s: ran.as_secs_f64() },
                    (None, Broken::TimedOut) => QueryError::TimedOut { limit_s: timeout.as_secs_f64() },
                    (None, Broken::Io(error) | Broken::Output(error)) => {
                        died.unwrap_or_else(|| QueryError::Failed { cause: error.to_string() })
                    }
                })
            }
        }
    }

    /// One that waits, else a new one.
    fn child(&self) -> std::io::Result<Child> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(child) if child.is_alive() => return Ok(child),
                // It died while it waited, of memory that others took.
                Some(child) => drop(child.end()),
                None => return self.start_child(),
            }
        }
    }

    fn start_child(&self) -> std::io::Result<Child> {
        self.counters.started.fetch_add(1, Ordering::Relaxed);
        Child::start(&self.program, self.shelf.file()?)
    }

    /// Ends one that is of no use any more, and has the next caller find a warm one.
    fn replace(self: &Arc<Shared>, child: Child) -> Option<QueryError> {
        let died = child.end();
        let shared = self.clone();
        self.runtime.spawn_blocking(move || shared.warm());
        died
    }

    /// Starts one that waits, if none does; where that fails the next caller is told so.
    fn warm(&self) {
        if self.idle.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
            && let Ok(child) = self.start_child()
        {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        }
    }

    fn count(&self, error: &QueryError) {
        let Counters { refused, timed_out, gave_way, busy, died, .. } = &*self.counters;
        let counter = match error {
            QueryError::Invalid { .. } | QueryError::TooLarge { .. } | QueryError::Failed { .. } => refused,
            QueryError::TimedOut { .. } => timed_out,
            QueryError::GaveWay { .. } => gave_way,
            QueryError::Busy { .. } => busy,
            QueryError::Memory | QueryError::Stack | QueryError::Process { .. } => died,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends children that nobody needs, and empties the shelf.
async fn upkeep(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(IDLE_MAX / 3).await;
        let Some(shared) = shared.upgrade() else { return };
        if shared.last_used.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < IDLE_MAX {
            continue;
        }
        let surplus = {
            let mut idle = shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let from = 1.min(idle.len());
            idle.split_off(from)
        };
        let runtime = shared.runtime.clone();
        let ending = runtime.spawn_blocking(move || {
            surplus.into_iter().for_each(|child| {
                child.killer().kill();
                drop(child.end());
            });
            shared.shelf.clear();
        });
        let _ = ending.await;
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Each would end by itself, as its socket closes; killed and waited for, it leaves no zombie.
        for child in self.idle.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            child.killer().kill();
            drop(child.end());
        }
    }
}

#[cfg(test)]
mod tests;
