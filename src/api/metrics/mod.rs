//! Metrics for Prometheus and whoever reads its formats: each is [declared] once, gathered on a [page] when it is asked for,
//! and written in the format that the asker prefers.
//!
//! The engine hands over facts and waits for nobody: what closed in a tick goes to a thread that adds it [up](traffic), what
//! was decided is [counted](decided) as the journal gets it, and what was [found] is read from the published snapshot.

mod bounded;
mod decided;
pub mod declared;
mod documentation;
mod found;
mod histogram;
mod labels;
mod negotiation;
mod own;
mod page;
mod protobuf;
mod text;
mod traffic;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Snapshot;
use crate::clock::Stopwatch;
use crate::config;
use crate::gateway::Gateway;
use crate::history;
use crate::journal::Entry;
use crate::notices::outbox::Outbox;
use crate::receive;
use crate::sql::Counters;
use decided::Decided;
pub use documentation::table;
pub use negotiation::{Format, accepts_gzip};
use own::Own;
use page::Page;
use text::Text;
use traffic::Traffic;
pub use traffic::{Feed, Keeper};

/// Every metric of the daemon.
pub struct Metrics {
    own: Mutex<Own>,
    decided: Mutex<Decided>,
    traffic: Arc<Mutex<Traffic>>,
    receivers: Option<Arc<receive::Counters>>,
    sql: Option<(Arc<Counters>, Arc<AtomicU64>)>,
    /// Panics of whatever thread or task.
    panics: Option<&'static AtomicU64>,
    has_api_server: bool,
    notices: Vec<Arc<Outbox>>,
    gateway: Option<Arc<Gateway>>,
    history: Option<Arc<history::Outbox>>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new(&config::Metrics::default())
    }
}

impl Metrics {
    pub fn new(bounds: &config::Metrics) -> Metrics {
        Metrics {
            own: Mutex::default(),
            decided: Mutex::default(),
            traffic: Arc::new(Mutex::new(Traffic::new(bounds))),
            receivers: None,
            sql: None,
            panics: None,
            has_api_server: false,
            notices: Vec::new(),
            gateway: None,
            history: None,
        }
    }

    /// Calls of the API server too, where there is one.
    pub fn with_api_server(self) -> Metrics {
        Metrics { has_api_server: true, ..self }
    }

    /// What waits for the receivers of notices.
    pub fn with_notices(self, notices: Vec<Arc<Outbox>>) -> Metrics {
        Metrics { notices, ..self }
    }

    /// What gateways were answered, where any ask.
    pub fn with_gateway(self, gateway: Option<Arc<Gateway>>) -> Metrics {
        Metrics { gateway, ..self }
    }

    /// What waits for the store of the history, where one is kept.
    pub fn with_history(self, history: Option<Arc<history::Outbox>>) -> Metrics {
        Metrics { history, ..self }
    }

    /// What became of people's statements, and what the tables take that are kept for them.
    pub fn with_sql(self, counters: Arc<Counters>, shelf_bytes: Arc<AtomicU64>) -> Metrics {
        Metrics { sql: Some((counters, shelf_bytes)), ..self }
    }

    /// Panics of whatever thread or task.
    pub fn with_panics(self, panics: &'static AtomicU64) -> Metrics {
        Metrics { panics: Some(panics), ..self }
    }

    /// The receivers' counters beside those of the other stations.
    pub fn with_receivers(self, counters: Arc<receive::Counters>) -> Metrics {
        Metrics { receivers: Some(counters), ..self }
    }

    /// Where the engine puts what a tick closed, and who adds it up.
    pub fn feed(&self) -> (Feed, Keeper) {
        traffic::feed(self.traffic.clone())
    }

    /// Count what an entry of the journal tells.
    pub fn count(&self, entry: &Entry) {
        lock(&self.decided).count(entry);
    }

    /// Ticks that were due while another took long.
    pub fn ticks_skipped(&self, skipped: u64) {
        lock(&self.own).ticks_skipped += skipped;
    }

    pub fn tick(&self, duration: Duration) {
        let mut own = lock(&self.own);
        own.ticks += 1;
        own.tick_duration.observe(duration.as_secs_f64());
    }

    /// From the receipt of requests to the findings that know them.
    pub fn delays(&self, delays: &[Duration]) {
        let mut own = lock(&self.own);
        delays.iter().for_each(|delay| own.findings_delay.observe(delay.as_secs_f64()));
    }

    pub fn journal(&self, waiting: usize, dropped: u64) {
        let mut own = lock(&self.own);
        (own.journal_waiting, own.journal_dropped) = (waiting as u64, dropped);
    }

    /// One reading of the cluster's state.
    pub fn poll(&self, answered: bool) {
        lock(&self.own).polls[usize::from(!answered)] += 1;
    }

    /// All of them as they stand, in a format; `since_tick` is how long ago the snapshot was made.
    pub fn write(&self, format: Format, snapshot: &Snapshot, since_tick: Duration) -> Vec<u8> {
        let stopwatch = Stopwatch::start();
        let page = self.page(snapshot, since_tick);
        let written = match format {
            Format::OpenMetrics => Text::OpenMetrics.write(&page).into_bytes(),
            Format::Text => Text::Prometheus.write(&page).into_bytes(),
            Format::Protobuf => protobuf::write(&page),
        };
        let mut own = lock(&self.own);
        own.scrapes[format as usize] += 1;
        own.scrape_seconds = stopwatch.elapsed().as_secs_f64();
        written
    }

    fn page(&self, snapshot: &Snapshot, since_tick: Duration) -> Page {
        let mut page = Page::default();
        // The engine counts here as well: it is held for no longer than a copy takes.
        let (own, decided) = (lock(&self.own).clone(), lock(&self.decided).clone());
        own.show(&mut page, snapshot, since_tick.as_secs_f64());
        decided.show(&mut page, &snapshot.tallies, &snapshot.interventions);
        own::show_process(&mut page);
        own::show_panics(&mut page, self.panics);
        if let Some(counters) = &self.receivers {
            own::show_receivers(&mut page, counters);
        }
        if let Some((counters, shelf_bytes)) = &self.sql {
            own::show_sql(&mut page, counters, shelf_bytes);
        }
        own::show_notices(&mut page, &self.notices);
        own::show_gateway(&mut page, self.gateway.as_deref());
        own::show_history(&mut page, self.history.as_deref());
        if self.has_api_server {
            own::show_api_server(&mut page);
        }
        let traffic = lock(&self.traffic);
        found::show(&mut page, snapshot, &traffic);
        traffic.show(&mut page);
        page
    }
}

/// A count is a count, also after a panic elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
