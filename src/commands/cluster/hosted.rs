//! The simulation as several tasks share it: one moves it on with the clock, others ask it and change it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use crate::act::embedded::Write;
use crate::clock::{Clock, Stopwatch};
use crate::guard::ActError;
use crate::model::Time;
use crate::shape::{EntryTraffic, Limits};
use crate::simulate::{Delivery, Simulation};

/// The simulation moves in steps of this virtual time: short beside the 200 ms in which a Collector batches, and
/// short enough that a question waits for one step only.
const STEP: Duration = Duration::from_millis(50);

/// Changes remembered: far more than `guard.actions_per_minute` allows in a scenario.
const CHANGES_MAX: usize = 10_000;

/// A change that the cluster made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Applied {
    pub at: Time,
    #[serde(flatten)]
    pub write: Write,
}

pub struct Hosted {
    inner: Mutex<Inner>,
    horizon: Time,
    asked: Mutex<Stopwatch>,
    stop: Notify,
    /// Requests that wait to be sent or for their answer.
    pub waiting: AtomicU64,
    /// Requests that found no room in the queue, or were refused for good.
    pub dropped: AtomicU64,
    /// The most that the simulation was behind its clock, in nanoseconds of that clock.
    pub behind_ns: AtomicI64,
}

struct Inner {
    simulation: Simulation,
    changes: Vec<Applied>,
}

impl Hosted {
    pub fn new(simulation: Simulation, horizon: Time) -> Hosted {
        Hosted {
            inner: Mutex::new(Inner { simulation, changes: Vec::new() }),
            horizon,
            asked: Mutex::new(Stopwatch::start()),
            stop: Notify::new(),
            waiting: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            behind_ns: AtomicI64::new(0),
        }
    }

    /// A panic of the simulation ends its task, and what it leaves may still be read.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn read<T>(&self, read: impl FnOnce(&Simulation) -> T) -> T {
        read(&self.inner().simulation)
    }

    pub fn finished(&self) -> bool {
        self.read(Simulation::now) >= self.horizon
    }

    pub fn apply(&self, write: Write) -> Result<(), ActError> {
        let mut inner = self.inner();
        inner.simulation.apply(&write.change, write.resource_version)?;
        let at = inner.simulation.now();
        if inner.changes.len() < CHANGES_MAX {
            inner.changes.push(Applied { at, write });
        }
        Ok(())
    }

    /// What came to the front door since the last call.
    pub fn traffic(&self) -> Option<Vec<EntryTraffic>> {
        self.inner().simulation.traffic()
    }

    pub fn limit(&self, limits: &Limits) {
        self.inner().simulation.limit(limits);
    }

    pub fn changes(&self) -> Vec<Applied> {
        self.inner().changes.clone()
    }

    /// Somebody still takes an interest.
    pub fn asked(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Stopwatch::start();
    }

    /// Returns once nobody has asked for so long.
    pub async fn forgotten(&self, silence_max: Duration) {
        loop {
            let silence = self.asked.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            match silence_max.checked_sub(silence) {
                Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                _ => return,
            }
        }
    }

    pub fn stop(&self) {
        self.stop.notify_one();
    }

    pub async fn stopped(&self) {
        self.stop.notified().await;
    }

    /// One step towards `now`, no further than the horizon: what is to be sent, and whether there is more to do at once.
    fn step(&self, now: Time) -> (Vec<Delivery>, bool) {
        let mut inner = self.inner();
        let until = now.min(self.horizon).min(inner.simulation.now() + STEP);
        (inner.simulation.run_until(until), until < now)
    }
}

/// Moves the simulation on with the clock up to its horizon; what it sends goes into `queue`, as far as there is room.
pub async fn run(hosted: Arc<Hosted>, clock: Clock, queue: mpsc::Sender<Delivery>) {
    while !hosted.finished() {
        let (stepping, now) = (hosted.clone(), clock.now());
        hosted.behind_ns.fetch_max(now.nanos_since(hosted.read(Simulation::now)), Ordering::Relaxed);
        // Simulating takes a core while it lasts; the sockets go on beside it.
        let stepped = tokio::task::spawn_blocking(move || stepping.step(now)).await;
        let Ok((deliveries, behind)) = stepped else { return };
        for delivery in deliveries {
            hosted.waiting.fetch_add(1, Ordering::Relaxed);
            if queue.try_send(delivery).is_err() {
                hosted.waiting.fetch_sub(1, Ordering::Relaxed);
                hosted.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        if !behind {
            clock.sleep(STEP).await;
        }
    }
}
