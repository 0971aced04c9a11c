//! Where rules run. A rule may be bounded in operations and still take seconds in one of them, or overflow a stack: the
//! shell gives it a thread with a large stack and a deadline of time, which the core knows nothing of.
//!
//! What is given up because of time is an input, as the time of a machine cannot be repeated: the engine records which
//! rule it was, and a replay gives up the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Something that runs rules. It tells by side effects alone.
pub type Job = Box<dyn FnOnce() + Send>;

pub trait Stage: Send {
    /// Runs a job to its end; false when it did not end though it was told to stop, and is left behind.
    fn run(&mut self, job: Job, progress: &Arc<Progress>) -> bool;
}

/// On the caller's own thread, for as long as it takes.
#[derive(Debug, Default)]
pub struct Here;

impl Stage for Here {
    fn run(&mut self, job: Job, _: &Arc<Progress>) -> bool {
        job();
        true
    }
}

/// How far a job has come, and whether it is to stop: looked at with every operation of a rule.
#[derive(Debug, Default)]
pub struct Progress {
    stop: AtomicBool,
    /// Which of the rules runs.
    pub(super) running: AtomicU64,
    /// Operations of the one that runs, so far, and how many it may have.
    pub(super) operations: AtomicU64,
    pub(super) operations_max: AtomicU64,
}

impl Progress {
    /// Ends the rule that runs at its next operation, and leaves out those after it.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self, rule: usize, operations_max: u64) {
        self.running.store(rule as u64, Ordering::Relaxed);
        self.operations.store(0, Ordering::Relaxed);
        self.operations_max.store(operations_max, Ordering::Relaxed);
    }

    pub(super) fn start_over(&self) {
        self.stop.store(false, Ordering::Relaxed);
        self.begin(0, u64::MAX);
    }
}
