//! Messages that wait for one receiver, in order, and what became of those before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;
use tracing::error;

use super::client::Failure;
use super::groups::Message;
use crate::clock::Stopwatch;
use crate::config::Receiver;

/// Messages that were given up and are still shown.
const DEAD_LETTERS_MAX: usize = 100;

pub struct Outbox {
    receiver: Receiver,
    queue_max: usize,
    state: Mutex<State>,
    /// Something came.
    came: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Arc<Message>, Waited)>,
    counts: Counts,
    dead_letters: VecDeque<DeadLetter>,
    last_failure: Option<String>,
}

/// Since when a message waits.
#[derive(Clone)]
struct Waited(Arc<Stopwatch>);

/// Since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    pub delivered: u64,
    pub dead: u64,
    /// Causes that shared a message with another.
    pub grouped: u64,
    /// Requests by how they ended.
    pub attempts: BTreeMap<&'static str, u64>,
}

/// A message that no receiver has, and why.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetter {
    pub message: Arc<Message>,
    pub receiver: String,
    pub reason: String,
}

/// A receiver as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    pub name: String,
    pub kind: &'static str,
    pub waiting: usize,
    /// How long the oldest of these has waited; 0 without any.
    pub oldest_s: f64,
    #[serde(flatten)]
    pub counts: Counts,
    /// Of the last request that failed, until one succeeds.
    pub last_failure: Option<String>,
    pub dead_letters: Vec<DeadLetter>,
}

impl Outbox {
    pub fn new(receiver: Receiver, queue_max: usize) -> Outbox {
        Outbox { receiver, queue_max, state: Mutex::default(), came: Notify::new() }
    }

    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// Takes a message; where there is no room the oldest that waits is given up, as the newest says how things are.
    pub fn push(&self, message: Arc<Message>) {
        let mut state = self.lock();
        if state.waiting.len() >= self.queue_max
            && let Some((oldest, _)) = state.waiting.pop_front()
        {
            self.bury(&mut state, oldest, format!("{} messages wait already (notify.queue_max)", self.queue_max));
        }
        let causes = message.firing.len() + message.resolved.len();
        state.counts.grouped += causes.saturating_sub(1) as u64;
        state.waiting.push_back((message, Waited(Arc::new(Stopwatch::start()))));
        drop(state);
        self.came.notify_one();
    }

    pub fn is_idle(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    /// The oldest that waits, and for how long it has; waits until there is one.
    pub async fn next(&self) -> (Arc<Message>, std::time::Duration) {
        loop {
            if let Some((message, Waited(since))) = self.lock().waiting.front() {
                return (message.clone(), since.elapsed());
            }
            self.came.notified().await;
        }
    }

    /// One request was made for a message.
    pub fn attempted(&self, message: &Message, outcome: &Result<(), Failure>) {
        let mut state = self.lock();
        let ended = outcome.as_ref().map_or_else(Failure::as_str, |()| "ok");
        *state.counts.attempts.entry(ended).or_default() += 1;
        state.last_failure = outcome.as_ref().err().map(ToString::to_string);
        if outcome.is_ok() {
            state.counts.delivered += 1;
            take(&mut state, message);
        }
    }

    /// A message will not be sent again.
    pub fn give_up(&self, message: &Message, reason: String) {
        let mut state = self.lock();
        if let Some(message) = take(&mut state, message) {
            self.bury(&mut state, message, reason);
        }
    }

    fn bury(&self, state: &mut State, message: Arc<Message>, reason: String) {
        let receiver = self.receiver.name.clone();
        error!(receiver, id = message.id, title = message.title(), reason, "a notice was not delivered");
        state.counts.dead += 1;
        if state.dead_letters.len() >= DEAD_LETTERS_MAX {
            state.dead_letters.pop_front();
        }
        state.dead_letters.push_back(DeadLetter { message, receiver, reason });
    }

    pub fn shown(&self) -> Shown {
        let state = self.lock();
        Shown {
            name: self.receiver.name.clone(),
            kind: self.receiver.kind.as_str(),
            waiting: state.waiting.len(),
            oldest_s: state.waiting.front().map_or(0.0, |(_, Waited(since))| since.elapsed().as_secs_f64()),
            counts: state.counts.clone(),
            last_failure: state.last_failure.clone(),
            dead_letters: state.dead_letters.iter().cloned().collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes it from those that wait, wherever it stands: the oldest may have been given up meanwhile.
fn take(state: &mut State, message: &Message) -> Option<Arc<Message>> {
    let place = state.waiting.iter().position(|(one, _)| one.id == message.id)?;
    state.waiting.remove(place).map(|(message, _)| message)
}
