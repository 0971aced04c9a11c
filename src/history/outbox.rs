//! Between who adds rows up and who writes them: what waits, within bounds, as the bytes of its files.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::path::Path;
use tokio::sync::{Notify, mpsc, watch};
use tracing::warn;

use super::files::{FileWriter, Head, Partition};
use super::{Error, MINUTE_S, Minutes, Of, Rows, Seen};
use crate::model::Time;

/// Writings that wait for a store: one a minute, so four hours. A store that is gone for longer loses the oldest.
const WAITING_MAX: usize = 240;

/// And their bytes: a minute of a large system has some hundred thousand.
const BYTES_MAX: usize = 64 << 20;

/// The rows of about a minute, as files in the order that they are written in.
#[derive(Clone, Debug)]
pub struct Writing {
    number: u64,
    pub files: Vec<(Path, Bytes)>,
}

impl Writing {
    fn bytes(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// The files of these rows, for each day one a table. `kind` and `writer` make their names.
    pub fn of(tables: [Rows; 4], cluster: &str, number: u64, name: impl Fn(&Rows) -> String) -> Result<Writing, Error> {
        let mut files = Vec::new();
        for (of, rows) in Of::ALL.into_iter().zip(tables) {
            for (day, rows) in rows.by_day() {
                let partition = Partition { cluster: cluster.to_owned(), day, of };
                let mut file = FileWriter::new(of)?;
                file.write(&rows.batch(of).map_err(|cause| Error::Unwritable(cause.to_string()))?)?;
                let bytes = file.finish(&Head { step_s: MINUTE_S, ..Head::default() })?;
                files.push((partition.file(&name(&rows)), bytes));
            }
        }
        Ok(Writing { number, files })
    }
}

/// Since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub written: u64,
    /// Attempts.
    pub failed: u64,
    /// Lost, as too much waited.
    pub dropped: u64,
    pub waiting: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    writings: VecDeque<Writing>,
    bytes: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    news: Notify,
    closed: AtomicBool,
    leads: AtomicBool,
    written: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Outbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn counts(&self) -> Counts {
        let [written, failed, dropped] =
            [&self.written, &self.failed, &self.dropped].map(|count| count.load(Ordering::Relaxed));
        Counts { written, failed, dropped, waiting: self.waiting().writings.len() as u64 }
    }

    /// Takes one in, at the cost of the oldest.
    pub fn push(&self, writing: Writing) {
        let mut waiting = self.waiting();
        waiting.bytes += writing.bytes();
        waiting.writings.push_back(writing);
        while waiting.writings.len() > WAITING_MAX || waiting.bytes > BYTES_MAX && waiting.writings.len() > 1 {
            let Some(oldest) = waiting.writings.pop_front() else { break };
            waiting.bytes -= oldest.bytes();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        drop(waiting);
        self.news.notify_one();
    }

    /// The oldest, which stays until it is [written](Outbox::wrote).
    pub fn oldest(&self) -> Option<Writing> {
        self.waiting().writings.front().cloned()
    }

    pub fn wrote(&self, writing: &Writing) {
        let mut waiting = self.waiting();
        // It may have been dropped meanwhile; then it is written all the same.
        if waiting.writings.front().is_some_and(|oldest| oldest.number == writing.number) {
            waiting.writings.pop_front();
            waiting.bytes -= writing.bytes();
        }
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// What still waits is lost.
    pub fn give_up(&self) {
        let mut waiting = self.waiting();
        self.dropped.fetch_add(waiting.writings.len() as u64, Ordering::Relaxed);
        *waiting = Waiting::default();
    }

    /// Nothing comes any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.news.notify_one();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether this replica is the one that writes.
    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    /// Returns when something has come, or it was closed.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}

/// Adds up what ticks tell, and hands over a minute at a time. On a thread of its own, which waits for nobody.
pub struct Recorder {
    minutes: Minutes,
    outbox: Arc<Outbox>,
    cluster: String,
    /// Names of files are this writer's alone.
    writer: String,
    number: u64,
    /// Whether this replica leads; None where there is one alone.
    leads: Option<watch::Receiver<bool>>,
}

impl Recorder {
    pub fn new(outbox: Arc<Outbox>, cluster: &str, writer: String, leads: Option<watch::Receiver<bool>>) -> Recorder {
        Recorder { minutes: Minutes::default(), outbox, cluster: cluster.to_owned(), writer, number: 0, leads }
    }

    /// Until the engine is gone.
    pub fn run(mut self, mut seen: mpsc::Receiver<Seen>) {
        while let Some(seen) = seen.blocking_recv() {
            self.hear(&seen);
        }
        self.end();
    }

    pub fn hear(&mut self, seen: &Seen) {
        let leads = self.leads.as_ref().is_none_or(|leads| *leads.borrow());
        self.outbox.leads.store(leads, Ordering::Relaxed);
        if !leads {
            // The leader writes. What it wrote last is not known here, so that whoever begins to lead begins anew.
            self.minutes = Minutes::default();
            return;
        }
        self.minutes.add(seen);
        if let Some(tables) = self.minutes.take(seen.now) {
            self.hand_over(tables);
        }
    }

    /// The rest, of a minute that is not over.
    pub fn end(mut self) {
        if let Some(tables) = self.minutes.take_all() {
            self.hand_over(tables);
        }
        self.outbox.close();
    }

    fn hand_over(&mut self, tables: [Rows; 4]) {
        self.number += 1;
        let (writer, number) = (&self.writer, self.number);
        let name = |rows: &Rows| {
            let first = rows.iter().next().map_or(0, |(key, _)| key.second);
            let at = Time::from_secs(first).to_string();
            let at: String = at.chars().skip(11).take(5).filter(char::is_ascii_digit).collect();
            format!("m-{at}-{writer}-{number:06}")
        };
        match Writing::of(tables, &self.cluster, number, name) {
            Ok(writing) => self.outbox.push(writing),
            Err(error) => warn!("a minute of the history is lost: {error}"),
        }
    }
}
