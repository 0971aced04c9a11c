//! Counters of requests, added up from the rows that each tick closes: every row once, also those of traces that closed
//! late. A thread of their own adds them up, so that neither a tick nor a scrape waits for the other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use tokio::sync::mpsc;

use super::bounded::{Bounded, Series};
use super::declared::Name;
use super::histogram::{Durations, Exemplar};
use super::labels::{Labels, OTHER};
use super::page::{Page, Value};
use crate::analyse::rollup::{
    DurationKey, EdgeKey, EntryKey, EntrySums, HealthKey, HealthSums, OperationKey, PathKey, PathKind,
};
use crate::config;
use crate::engine::Closed;
use crate::model::{Time, TraceId};

/// Names that are gone are looked for this often.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct EntryCounts {
    requests: u64,
    adjusted_milli: u64,
    errors: u64,
    slow: u64,
    missed: u64,
    durations: Durations,
}

#[derive(Debug, Default)]
pub struct ServiceCounts {
    work: Work,
    refused: u64,
    abandoned: u64,
    adjusted_milli: u64,
    durations: Durations,
}

/// What a service or a pod did.
#[derive(Debug, Default)]
struct Work {
    requests: u64,
    errors: u64,
    busy: f64,
    own: f64,
    waiting: f64,
}

#[derive(Debug, Default)]
struct OperationCounts {
    requests: u64,
    errors: u64,
    own: f64,
    waiting: f64,
    duration: f64,
}

#[derive(Debug, Default)]
struct PathCounts {
    seconds: f64,
    requests: u64,
    is_failure: bool,
}

#[derive(Debug, Default)]
struct CallCounts {
    calls: u64,
    errors: u64,
    seconds: f64,
}

#[derive(Debug)]
pub struct Traffic {
    pub entries: Bounded<EntryCounts>,
    pub services: Bounded<ServiceCounts>,
    operations: Bounded<OperationCounts>,
    pods: Bounded<Work>,
    paths: Bounded<PathCounts>,
    calls: Bounded<CallCounts>,
    swept_at: Time,
}

/// Sums never fall, so that counters do not.
fn count(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or(0)
}

fn seconds(nanos: i64) -> f64 {
    nanos.max(0) as f64 / 1e9
}

impl Work {
    fn add(&mut self, sums: &HealthSums) {
        self.requests += count(sums.requests);
        self.errors += count(sums.errors);
        self.busy += seconds(sums.hold_ns);
        self.own += seconds(sums.own_ns);
        self.waiting += seconds(sums.wait_ns);
    }
}

fn service_labels(name: &[&str]) -> Labels {
    Labels::service(name[0])
}

fn entry_labels(name: &[&str]) -> Labels {
    if name[0] == OTHER { Labels::default().with("entry", OTHER) } else { Labels::entry(name[0]) }
}

impl Traffic {
    pub fn new(bounds: &config::Metrics) -> Traffic {
        Traffic {
            entries: Bounded::new(bounds.entries_max),
            services: Bounded::new(bounds.services_max),
            operations: Bounded::new(bounds.operations_max),
            pods: Bounded::new(bounds.pods_max),
            paths: Bounded::new(bounds.paths_max),
            calls: Bounded::new(bounds.paths_max),
            swept_at: Time::MIN,
        }
    }

    /// Adds what closed in a tick.
    pub fn add(&mut self, now: Time, closed: &Closed) {
        self.add_entries(now, closed);
        self.add_services(now, closed);
        self.add_paths(now, closed);
        self.add_calls(now, closed);
        self.add_exemplars(&closed.traces);
        // A clock that was set back sweeps later, never at each tick.
        if self.swept_at == Time::MIN || now >= self.swept_at + SWEEP_EVERY || now < self.swept_at {
            self.swept_at = now;
            self.entries.forget_idle(now);
            self.services.forget_idle(now);
            self.operations.forget_idle(now);
            self.pods.forget_idle(now);
            self.paths.forget_idle(now);
            self.calls.forget_idle(now);
        }
    }

    fn add_entries(&mut self, now: Time, closed: &Closed) {
        for (EntryKey { entry, bucket, .. }, sums) in closed.rollups.rows::<EntryKey<&str>>() {
            let EntrySums { requests, slow, errors, missed, duration_ns, adjusted_milli, .. } = sums;
            let counts = self.entries.of(now, &[entry], &[OTHER], entry_labels);
            counts.requests += count(requests);
            counts.slow += count(slow);
            counts.errors += count(errors);
            counts.missed += count(missed);
            counts.adjusted_milli += count(adjusted_milli);
            counts.durations.add(bucket, count(requests));
            counts.durations.add_sum(seconds(duration_ns));
        }
    }

    /// The service's own name while it has room, so that what is counted of its parts adds up to what is counted of it.
    fn known<'a>(&self, service: &'a str) -> &'a str {
        if self.services.has_room_for(service) { service } else { OTHER }
    }

    fn add_services(&mut self, now: Time, closed: &Closed) {
        for (HealthKey { service, pod, version, .. }, sums) in closed.rollups.rows::<HealthKey<&str>>() {
            let service = self.known(service);
            let counts = self.services.of(now, &[service], &[OTHER], service_labels);
            counts.work.add(&sums);
            counts.refused += count(sums.refused);
            counts.abandoned += count(sums.gave_up);
            counts.adjusted_milli += count(sums.adjusted_milli);
            if !pod.is_empty() {
                let labels = |name: &[&str]| {
                    let version = name.get(2).copied().unwrap_or_default();
                    Labels::service(name[0]).with("k8s_pod_name", name[1]).with("service_version", version)
                };
                let pod = if service == OTHER { &[service, OTHER][..] } else { &[service, pod, version] };
                self.pods.of(now, pod, &[service, OTHER], labels).add(&sums);
            }
        }
        for (DurationKey { service, bucket, .. }, sums) in closed.rollups.rows::<DurationKey<&str>>() {
            let service = self.known(service);
            let counts = self.services.of(now, &[service], &[OTHER], service_labels);
            counts.durations.add(bucket, count(sums.requests));
        }
        for (OperationKey { service, operation, .. }, sums) in closed.rollups.rows::<OperationKey<&str>>() {
            let service = self.known(service);
            let duration = seconds(sums.own_ns) + seconds(sums.callees_ns) + seconds(sums.wait_ns);
            self.services.of(now, &[service], &[OTHER], service_labels).durations.add_sum(duration);
            let operation = if service == OTHER { OTHER } else { operation };
            let labels = |name: &[&str]| Labels::service(name[0]).with("operation", name[1]);
            let counts = self.operations.of(now, &[service, operation], &[service, OTHER], labels);
            counts.requests += count(sums.requests);
            counts.errors += count(sums.errors);
            counts.own += seconds(sums.own_ns);
            counts.waiting += seconds(sums.wait_ns);
            counts.duration += duration;
        }
    }

    fn add_paths(&mut self, now: Time, closed: &Closed) {
        for (key, sums) in closed.rollups.rows::<PathKey<&str>>() {
            let entry = if self.entries.has_room_for(key.entry) { key.entry } else { OTHER };
            let kind = key.kind.as_str();
            let labels = |name: &[&str]| {
                let of = entry_labels(&name[..1]).with("path_service", name[1]);
                of.with("peer", name[2]).with("kind", name[3])
            };
            let name = if entry == OTHER { [OTHER, OTHER, "", kind] } else { [entry, key.service, key.peer, kind] };
            let counts = self.paths.of(now, &name, &[entry, OTHER, "", kind], labels);
            counts.is_failure = !matches!(key.kind, PathKind::Time(_));
            counts.requests += count(sums.traces);
            counts.seconds += seconds(sums.exclusive_ns);
        }
    }

    fn add_calls(&mut self, now: Time, closed: &Closed) {
        for (EdgeKey { caller, callee, .. }, sums) in closed.rollups.rows::<EdgeKey<&str>>() {
            if sums.calls == 0 {
                continue; // a call that healthy requests make, and nobody made
            }
            let caller = self.known(caller);
            let callee = if caller == OTHER { OTHER } else { callee };
            let labels = |name: &[&str]| Labels::service(name[0]).with("callee", name[1]);
            let counts = self.calls.of(now, &[caller, callee], &[caller, OTHER], labels);
            counts.calls += count(sums.calls);
            counts.errors += count(sums.errors);
            counts.seconds += seconds(sums.caller_ns);
        }
    }

    fn add_exemplars(&mut self, traces: &RecordBatch) {
        let column = |name: &str| traces.column_by_name(name);
        let columns = (column("trace_id"), column("start"), column("duration_ns"), column("entry_operation"));
        let (Some(ids), Some(starts), Some(durations), Some(entries)) = columns else { return };
        let (ids, entries) = (ids.as_fixed_size_binary(), entries.as_string_view());
        let starts = starts.as_primitive::<arrow::datatypes::TimestampNanosecondType>();
        let durations = durations.as_primitive::<Int64Type>();
        for row in 0..traces.num_rows() {
            let (Some(series), Ok(id)) = (self.entries.get_mut(entries.value(row)), ids.value(row).try_into()) else {
                continue;
            };
            let duration = durations.value(row);
            let at = Time(starts.value(row).saturating_add(duration));
            series.durations.add_exemplar(Exemplar { trace: TraceId(id), seconds: seconds(duration), at });
        }
    }

    pub fn show(&self, page: &mut Page) {
        for Series { labels, value: of, .. } in self.entries.iter() {
            page.whole(Name::EntryRequests, labels, of.requests);
            page.number(Name::EntryAdjusted, labels, of.adjusted_milli as f64 / 1e3);
            page.whole(Name::EntryErrors, labels, of.errors);
            page.whole(Name::EntrySlow, labels, of.slow);
            page.whole(Name::EntryMissed, labels, of.missed);
            page.add(Name::EntryDuration, labels, Value::Histogram(Arc::new(of.durations.shown())));
        }
        for Series { labels, value: of, .. } in self.services.iter() {
            page.whole(Name::ServiceRequests, labels, of.work.requests);
            page.number(Name::ServiceAdjusted, labels, of.adjusted_milli as f64 / 1e3);
            page.whole(Name::ServiceErrors, labels, of.work.errors);
            page.whole(Name::ServiceRefused, labels, of.refused);
            page.whole(Name::ServiceAbandoned, labels, of.abandoned);
            page.number(Name::ServiceBusy, labels, of.work.busy);
            page.number(Name::ServiceOwn, labels, of.work.own);
            page.number(Name::ServiceWaiting, labels, of.work.waiting);
            page.add(Name::ServiceDuration, labels, Value::Histogram(Arc::new(of.durations.shown())));
        }
        for Series { labels, value: of, .. } in self.pods.iter() {
            page.whole(Name::PodRequests, labels, of.requests);
            page.whole(Name::PodErrors, labels, of.errors);
            page.number(Name::PodBusy, labels, of.busy);
            page.number(Name::PodOwn, labels, of.own);
            page.number(Name::PodWaiting, labels, of.waiting);
        }
        for Series { labels, value: of, .. } in self.operations.iter() {
            page.add(Name::OperationDuration, labels, Value::Summary { count: of.requests, sum: of.duration });
            page.whole(Name::OperationErrors, labels, of.errors);
            page.number(Name::OperationOwn, labels, of.own);
            page.number(Name::OperationWaiting, labels, of.waiting);
        }
        for Series { labels, value: of, .. } in self.paths.iter() {
            match of.is_failure {
                true => page.whole(Name::EntryFailures, labels, of.requests),
                false => page.number(Name::EntryPath, labels, of.seconds),
            }
        }
        for Series { labels, value: of, .. } in self.calls.iter() {
            page.whole(Name::CallRequests, labels, of.calls);
            page.whole(Name::CallErrors, labels, of.errors);
            page.number(Name::CallSeconds, labels, of.seconds);
        }
        self.show_bounds(page);
    }

    fn show_bounds(&self, page: &mut Page) {
        let none = Arc::default();
        for (dimension, max, names, other_rows) in [
            ("entries", self.entries.max(), self.entries.names(), self.entries.other_rows),
            ("services", self.services.max(), self.services.names(), self.services.other_rows),
            ("pods", self.pods.max(), self.pods.names(), self.pods.other_rows),
            ("operations", self.operations.max(), self.operations.names(), self.operations.other_rows),
            ("paths", self.paths.max(), self.paths.names(), self.paths.other_rows),
            ("calls", self.calls.max(), self.calls.names(), self.calls.other_rows),
        ] {
            let label = ("dimension", dimension);
            page.labelled(Name::Limit, &none, label, Value::Whole(max as u64));
            page.labelled(Name::Names, &none, label, Value::Whole(names as u64));
            page.labelled(Name::OtherRows, &none, label, Value::Whole(other_rows));
        }
    }
}

/// What closed in a tick, on its way to who adds it up.
type Handed = (Time, Vec<Closed>);

/// Ticks that may wait to be added up: far more than a scrape of many series holds one up.
const TICKS_WAITING_MAX: usize = 16;

/// The engine's end: hands over what closed, and never waits.
pub struct Feed {
    sender: mpsc::Sender<Handed>,
    /// What found no room, for the next tick. Its columns are in the tables for SQL as well.
    held: Vec<Closed>,
}

/// The other end.
pub struct Keeper {
    receiver: mpsc::Receiver<Handed>,
    traffic: Arc<Mutex<Traffic>>,
}

pub fn feed(traffic: Arc<Mutex<Traffic>>) -> (Feed, Keeper) {
    let (sender, receiver) = mpsc::channel(TICKS_WAITING_MAX);
    (Feed { sender, held: Vec::new() }, Keeper { receiver, traffic })
}

impl Feed {
    pub fn closed(&mut self, now: Time, closed: Vec<Closed>) {
        self.held.extend(closed);
        let handed = (now, std::mem::take(&mut self.held));
        if let Err(mpsc::error::TrySendError::Full((_, closed))) = self.sender.try_send(handed) {
            self.held = closed;
        }
    }
}

impl Keeper {
    /// Adds up until the engine is gone.
    pub fn run(mut self) {
        while let Some((now, closed)) = self.receiver.blocking_recv() {
            let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
            closed.iter().for_each(|one| traffic.add(now, one));
        }
    }
}

#[cfg(test)]
mod tests;
