//! Writes what waits, and keeps the files in order. A store that denies, throttles or is away is tried again, less and less often; it is
//! said once, and once more when it is over.

use std::sync::Arc;
use std::time::Duration;

use ring::digest::{Context, SHA256};
use tokio::time::timeout;
use tracing::{info, warn};

use super::outbox::Writing;
use super::read::Reader;
use super::tidy::{Tidied, Tidier};
use super::{Error, Keep, MINUTE_S, Of, Outbox, Rows, Store};
use crate::clock::Clock;
use crate::model::Time;

/// Between attempts, doubled up to a minute: then one attempt comes for each that is added.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Files are looked through so often, and first when a restart is over.
const TIDY_EVERY: Duration = Duration::from_secs(3_600);
const TIDY_FIRST: Duration = Duration::from_secs(60);

/// See the module.
pub struct Writer {
    store: Store,
    outbox: Arc<Outbox>,
    cluster: String,
    keep: Keep,
    clock: Clock,
    tidier: Tidier,
    /// Since it last succeeded.
    failures: u64,
    /// What was dropped before that.
    dropped: u64,
    tidy_due: Time,
}

impl Writer {
    pub fn new(store: Store, outbox: Arc<Outbox>, cluster: &str, keep: Keep, clock: Clock) -> Writer {
        let tidy_due = clock.now() + TIDY_FIRST;
        let (cluster, tidier) = (cluster.to_owned(), Tidier::default());
        Writer { store, outbox, cluster, keep, clock, tidier, failures: 0, dropped: 0, tidy_due }
    }

    /// Until the outbox is closed and empty, or the store fails after that.
    pub async fn run(mut self) {
        let mut again = AGAIN_FIRST;
        loop {
            match self.step().await {
                Ok(()) if self.outbox.is_closed() && self.outbox.oldest().is_none() => return,
                Ok(()) => {
                    again = AGAIN_FIRST;
                    self.healed();
                    // At the latest when it is time to tidy up.
                    let _ = timeout(AGAIN_MAX, self.outbox.news()).await;
                }
                Err(error) => {
                    self.failed(&error);
                    if self.outbox.is_closed() {
                        self.outbox.give_up();
                        warn!(lost = self.outbox.counts().dropped, "the last of the history is lost: {error}");
                        return;
                    }
                    // Sooner where another minute has come, or nothing comes any more.
                    let _ = timeout(again, self.outbox.news()).await;
                    again = (again * 2).min(AGAIN_MAX);
                }
            }
        }
    }

    /// Writes all that waits, oldest first, and tidies up when it is time.
    pub async fn step(&mut self) -> Result<(), Error> {
        while let Some(writing) = self.outbox.oldest() {
            put(&self.store, &writing).await?;
            self.outbox.wrote(&writing);
        }
        let now = self.clock.now();
        if now >= self.tidy_due && self.outbox.leads() && !self.outbox.is_closed() {
            self.tidy_due = now + TIDY_FIRST;
            let Tidied { parts, removed, broken } =
                self.tidier.tidy(&self.store, &self.cluster, &self.keep, now).await?;
            if broken > 0 {
                warn!(place = self.store.place(), broken, "files of the history are no Parquet; they are left aside");
            }
            if parts + removed > 0 {
                info!(parts, removed, "history tidied up");
            }
            self.tidy_due = now + TIDY_EVERY;
        }
        Ok(())
    }

    fn failed(&mut self, error: &Error) {
        self.outbox.failed();
        self.failures += 1;
        if self.failures == 1 {
            warn!("cannot keep the history: {error}; minutes wait in memory, and it is tried again");
        }
    }

    fn healed(&mut self) {
        let dropped = self.outbox.counts().dropped;
        if self.failures > 0 {
            info!(failures = self.failures, lost = dropped - self.dropped, "the history is kept again");
        }
        (self.failures, self.dropped) = (0, dropped);
    }
}

/// The files of a writing, in their order.
pub(super) async fn put(store: &Store, writing: &Writing) -> Result<(), Error> {
    for (path, bytes) in &writing.files {
        store.put(path, bytes.clone()).await?;
    }
    Ok(())
}

/// What became of counts from elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub minutes: usize,
    /// Minutes that the history knew already: they stay as they are.
    pub known: usize,
}

/// Fills holes with requests by entry operation: minutes of which the history knows nothing yet. `minutes` are in the order of time, each
/// that was looked at, also where nothing came. The same again, or after a kill, changes nothing.
pub async fn import<'n>(
    store: &Store,
    cluster: &str,
    minutes: impl Iterator<Item = (i64, Vec<(&'n str, f64)>)>,
) -> Result<Imported, Error> {
    let known = Reader::new(store.clone()).watched(cluster).await?;
    let mut imported = Imported::default();
    let (mut day, mut tables) = (i64::MIN, <[Rows; 4]>::default());
    for (minute, entries) in minutes {
        if minute.div_euclid(86_400) != day {
            day = minute.div_euclid(86_400);
            put_imported(store, cluster, std::mem::take(&mut tables)).await?;
        }
        if known.contains(minute) {
            imported.known += 1;
            continue;
        }
        for (entry, requests) in entries {
            tables[Of::Entries as usize].add(minute, MINUTE_S, &[entry], &[requests, 0.0, 0.0, 0.0, 0.0]);
        }
        tables[Of::Watch as usize].add(minute, MINUTE_S, &[], &[MINUTE_S as f64]);
        imported.minutes += 1;
    }
    put_imported(store, cluster, tables).await?;
    Ok(imported)
}

/// After a kill the same rows are written under the same names.
async fn put_imported(store: &Store, cluster: &str, tables: [Rows; 4]) -> Result<(), Error> {
    put(store, &Writing::of(tables, cluster, 0, |rows| format!("i-{}", fingerprint(rows)))?).await
}

fn fingerprint(rows: &Rows) -> String {
    let mut hash = Context::new(&SHA256);
    for (key, sums) in rows.iter() {
        hash.update(&key.second.to_le_bytes());
        key.names.iter().for_each(|name| hash.update(name.as_bytes()));
        sums.iter().for_each(|sum| hash.update(&sum.to_le_bytes()));
    }
    hex::encode(&hash.finish().as_ref()[..12])
}
