//! The tasks of `serve`: each has a name, all have this one owner, and none ends unseen.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::error;

use super::panics::words_of;
use crate::commands::error::Error;

/// What becomes of `serve` when a task ends while it should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `serve` ends too: without it headroom only seems to work.
    Critical,
    /// It is logged, and the rest goes on: what it writes is for people.
    Helper,
}

struct Task {
    name: &'static str,
    role: Role,
}

/// See the module. Dropping it ends all of them.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<Result<(), String>>,
    running: HashMap<Id, Task>,
}

impl Tasks {
    /// Starts a task that has nothing to say of its end.
    pub fn spawn(&mut self, name: &'static str, role: Role, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_fallible(name, role, async {
            task.await;
            Ok(())
        });
    }

    /// Starts a task that tells why it ended.
    pub fn spawn_fallible(
        &mut self,
        name: &'static str,
        role: Role,
        task: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        let id = self.set.spawn(task).id();
        self.running.insert(id, Task { name, role });
    }

    /// Starts a thread of its own, for what computes rather than waits; its end is that of a task.
    pub fn spawn_thread(
        &mut self,
        name: &'static str,
        role: Role,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        let (ended, end) = oneshot::channel();
        let thread = move || {
            // What it worked on is not looked at again after a panic.
            let outcome = catch_unwind(AssertUnwindSafe(run)).map_err(|panic| panicked(&*panic));
            // Nobody waits for it after a second signal.
            let _ = ended.send(outcome);
        };
        std::thread::Builder::new().name(format!("headroom-{name}")).spawn(thread).map_err(Error::Runtime)?;
        let gone = || Err("its thread is gone".to_owned());
        self.spawn_fallible(name, role, async move { end.await.unwrap_or_else(|_| gone()) });
        Ok(())
    }

    /// Waits until a critical task ends, and says which one and why. Helpers that end are logged. Cancel safe.
    pub async fn failure(&mut self) -> Error {
        loop {
            let Some((task, cause)) = self.next_end().await else { return std::future::pending().await };
            error!(task = task.name, cause, "a task ended by itself");
            if task.role == Role::Critical {
                return Error::TaskEnded { task: task.name, cause };
            }
        }
    }

    /// Waits until a task has ended, in the course of a drain; false when it takes longer. A panic is logged.
    pub async fn ended(&mut self, name: &str, limit: Duration) -> bool {
        let waiting = async {
            while self.is_running(name)
                && let Some((task, cause)) = self.next_end().await
            {
                if cause != RETURNED {
                    error!(task = task.name, cause, "a task failed while it was drained");
                }
            }
        };
        tokio::time::timeout(limit, waiting).await.is_ok()
    }

    pub fn is_running(&self, name: &str) -> bool {
        self.running.values().any(|task| task.name == name)
    }

    /// The next task that ends, and why; None when there is none left.
    async fn next_end(&mut self) -> Option<(Task, String)> {
        let (id, cause) = match self.set.join_next_with_id().await? {
            Ok((id, Ok(()))) => (id, RETURNED.to_owned()),
            Ok((id, Err(cause))) => (id, cause),
            Err(error) => (error.id(), cause_of(error)),
        };
        let task = self.running.remove(&id).unwrap_or(Task { name: "unnamed", role: Role::Critical });
        Some((task, cause))
    }
}

/// The cause of an end that was none.
const RETURNED: &str = "it returned";

fn cause_of(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => panicked(&*panic),
        Err(_) => "it was cancelled".into(),
    }
}

/// The words of a panic, where they are text.
fn panicked(panic: &(dyn Any + Send)) -> String {
    format!("it panicked: {}", words_of(panic))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    /// Far longer than anything here takes.
    const LONG: Duration = Duration::from_secs(30);

    async fn failure(tasks: &mut Tasks) -> String {
        tokio::time::timeout(LONG, tasks.failure()).await.unwrap().to_string()
    }

    #[tokio::test]
    async fn a_critical_task_that_returns_fails_or_panics_is_named_with_its_cause() {
        let mut tasks = Tasks::default();
        tasks.spawn("engine", Role::Critical, pending());
        tasks.spawn("rule watcher", Role::Critical, ready(()));
        assert!(failure(&mut tasks).await.starts_with("the rule watcher ended by itself: it returned;"));
        tasks.spawn_fallible("API server", Role::Critical, ready(Err("the socket is gone".into())));
        assert!(failure(&mut tasks).await.starts_with("the API server ended by itself: the socket is gone;"));
        tasks.spawn("cluster adapter", Role::Critical, async { panic!("index out of bounds") });
        let said = failure(&mut tasks).await;
        assert!(said.starts_with("the cluster adapter ended by itself: it panicked: index out of bounds;"), "{said}");
        assert!(tasks.is_running("engine") && !tasks.is_running("rule watcher"));
    }

    #[tokio::test]
    async fn a_panic_of_a_thread_is_seen_as_that_of_a_task() {
        let mut tasks = Tasks::default();
        tasks.spawn_thread("engine", Role::Critical, || panic!("no such symbol")).unwrap();
        let said = failure(&mut tasks).await;
        assert!(said.starts_with("the engine ended by itself: it panicked: no such symbol;"), "{said}");
    }

    #[tokio::test]
    async fn a_helper_that_ends_ends_nothing_else() {
        let mut tasks = Tasks::default();
        tasks.spawn("status writer", Role::Helper, async { panic!("no such field") });
        tasks.spawn("engine", Role::Critical, async {
            tokio::task::yield_now().await;
        });
        assert!(failure(&mut tasks).await.starts_with("the engine "));
        assert!(!tasks.is_running("status writer"));
    }

    #[tokio::test]
    async fn a_drain_waits_for_one_task_and_not_for_ever() {
        let mut tasks = Tasks::default();
        tasks.spawn("engine", Role::Critical, ready(()));
        tasks.spawn("cluster adapter", Role::Critical, pending());
        assert!(tasks.ended("engine", LONG).await);
        assert!(tasks.ended("engine", Duration::ZERO).await, "gone already");
        assert!(!tasks.ended("cluster adapter", Duration::ZERO).await);
    }
}
