//! headroom's own health: the engine, the receivers, SQL, the cluster's adapter, the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::declared::Name;
use super::histogram::Timings;
use super::labels::Labels;
use super::page::{Page, Value};
use crate::act::kubernetes::retry::ATTEMPTS;
use crate::api::{Snapshot, Spans};
use crate::gateway::Gateway;
use crate::gateway::asked::Unknown;
use crate::history;
use crate::notices::outbox::Outbox;
use crate::receive;
use crate::sql;

/// From a tick of an idle window to one that no longer keeps up with a second.
const TICK_BOUNDS: &[f64] = &[0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0, 2.0];

/// Tenths up to two ticks; later than that something is wrong, and how much matters less.
const DELAY_BOUNDS: &[f64] = &[
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 3.0, 5.0, 10.0,
    30.0,
];

/// What nobody else counts. Whoever counts holds it for an instant.
#[derive(Clone, Debug)]
pub struct Own {
    pub ticks: u64,
    pub ticks_skipped: u64,
    pub tick_duration: Timings,
    pub findings_delay: Timings,
    /// Readings of the cluster: answered and failed.
    pub polls: [u64; 2],
    pub journal_waiting: u64,
    pub journal_dropped: u64,
    /// By format, and what the last took, in seconds.
    pub scrapes: [u64; 3],
    pub scrape_seconds: f64,
}

impl Default for Own {
    fn default() -> Own {
        Own {
            ticks: 0,
            ticks_skipped: 0,
            tick_duration: Timings::new(TICK_BOUNDS),
            findings_delay: Timings::new(DELAY_BOUNDS),
            polls: [0; 2],
            journal_waiting: 0,
            journal_dropped: 0,
            scrapes: [0; 3],
            scrape_seconds: 0.0,
        }
    }
}

/// Formats in the order of [`Own::scrapes`].
pub const FORMATS: [&str; 3] = ["openmetrics", "text", "protobuf"];

impl Own {
    pub fn show(&self, page: &mut Page, snapshot: &Snapshot, tick_age_s: f64) {
        let none = Arc::default();
        let histogram = |timings: &Timings| Value::Histogram(Arc::new(timings.shown()));
        page.whole(Name::Ticks, &none, self.ticks);
        page.whole(Name::TicksSkipped, &none, self.ticks_skipped);
        page.add(Name::TickDuration, &none, histogram(&self.tick_duration));
        page.add(Name::FindingsDelay, &none, histogram(&self.findings_delay));
        page.number(Name::TickAge, &none, tick_age_s);
        // Before the first span there is no watermark to lag behind.
        let complete_to = snapshot.findings.complete_to;
        let lag = if complete_to.0 > 0 { snapshot.at.seconds_since(complete_to) } else { 0.0 };
        page.number(Name::Watermark, &none, lag);
        for (outcome, polls) in ["answered", "failed"].into_iter().zip(self.polls) {
            page.labelled(Name::Polls, &none, ("outcome", outcome), Value::Whole(polls));
        }
        page.whole(Name::JournalWaiting, &none, self.journal_waiting);
        page.whole(Name::JournalDropped, &none, self.journal_dropped);
        page.whole(Name::RuleFailures, &none, snapshot.rule_failures);
        for (format, scrapes) in FORMATS.into_iter().zip(self.scrapes) {
            page.labelled(Name::Scrapes, &none, ("format", format), Value::Whole(scrapes));
        }
        page.number(Name::ScrapeSeconds, &none, self.scrape_seconds);
        show_spans(page, &snapshot.spans);
    }
}

fn show_spans(page: &mut Page, spans: &Spans) {
    let none = Arc::default();
    for (name, value) in [
        (Name::AdmittedSpans, spans.admitted),
        (Name::ShedSpans, spans.shed),
        (Name::LateSpans, spans.late),
        (Name::DuplicateSpans, spans.duplicate),
        (Name::SurplusSpans, spans.surplus),
        (Name::EvictedSpans, spans.evicted),
        (Name::PartialTraces, spans.partial_traces),
        (Name::WithoutParent, spans.without_parent),
        (Name::WindowSpans, spans.held),
        (Name::WindowBytes, spans.held_bytes),
        (Name::OpenTraces, spans.open_traces),
        (Name::Resident, spans.resident_bytes),
    ] {
        page.whole(name, &none, value);
    }
    page.number(Name::AdmittedShare, &none, spans.admitted_share);
}

/// Panics that were caught, wherever.
pub fn show_panics(page: &mut Page, panics: Option<&AtomicU64>) {
    page.whole(Name::Panics, &Arc::default(), panics.map_or(0, |panics| panics.load(Ordering::Relaxed)));
}

/// The receivers' own counters.
pub fn show_receivers(page: &mut Page, counters: &receive::Counters) {
    let none = Arc::default();
    for (name, value) in [
        (Name::ReceiveRequests, counters.accepted_requests()),
        (Name::ReceiveAcknowledged, counters.accepted_spans()),
        (Name::ReceiveBytes, counters.accepted_bytes()),
        (Name::ReceiveOverflowed, counters.overflowed_texts()),
        (Name::ReceiveCut, counters.cut_texts()),
        (Name::ReceiveBroken, counters.broken_texts()),
        (Name::ReceiveLeftOut, counters.left_out_fields()),
        (Name::ReceiveUnnamed, counters.unnamed_spans()),
    ] {
        page.whole(name, &none, value);
    }
    for (reason, spans) in counters.rejected_spans() {
        page.labelled(Name::ReceiveRejected, &none, ("reason", reason), Value::Whole(spans));
    }
    for (reason, requests) in counters.refused_requests() {
        page.labelled(Name::ReceiveRefused, &none, ("reason", reason), Value::Whole(requests));
    }
}

/// What became of people's statements, and what the tables take that are kept for them.
pub fn show_sql(page: &mut Page, counters: &sql::Counters, shelf_bytes: &AtomicU64) {
    let none = Arc::default();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let sql::Counters { started, answered, refused, timed_out, gave_way, busy, died } = counters;
    for (outcome, counter) in [
        ("answered", answered),
        ("refused", refused),
        ("timed_out", timed_out),
        ("gave_way", gave_way),
        ("busy", busy),
        ("died", died),
    ] {
        page.labelled(Name::SqlStatements, &none, ("outcome", outcome), Value::Whole(read(counter)));
    }
    page.whole(Name::SqlProcesses, &none, read(started));
    page.whole(Name::SqlShelf, &none, read(shelf_bytes));
}

/// What waits for the receivers of notices, and what became of the rest.
pub fn show_notices(page: &mut Page, outboxes: &[Arc<Outbox>]) {
    let shown: Vec<_> = outboxes.iter().map(|outbox| outbox.shown()).collect();
    for one in &shown {
        let labels = Arc::new(Labels::default().with("receiver", &one.name));
        for (outcome, messages) in [("delivered", one.counts.delivered), ("dead", one.counts.dead)] {
            page.labelled(Name::NotifyMessages, &labels, ("outcome", outcome), Value::Whole(messages));
        }
        for (outcome, attempts) in &one.counts.attempts {
            page.labelled(Name::NotifyAttempts, &labels, ("outcome", *outcome), Value::Whole(*attempts));
        }
        page.whole(Name::NotifyQueued, &labels, one.waiting as u64);
        page.number(Name::NotifyOldest, &labels, one.oldest_s);
    }
    // All receivers are told the same.
    if let Some(grouped) = shown.iter().map(|one| one.counts.grouped).max() {
        page.labelled(Name::NotifySuppressed, &Arc::default(), ("reason", "grouped"), Value::Whole(grouped));
    }
}

/// What gateways were answered.
pub fn show_gateway(page: &mut Page, gateway: Option<&Gateway>) {
    let Some(counts) = gateway.map(Gateway::counts) else { return };
    let none = Arc::default();
    for (answer, count) in [("admitted", counts.admitted), ("shed", counts.shed)] {
        page.labelled(Name::GatewayAnswers, &none, ("answer", answer), Value::Whole(count));
    }
    for what in Unknown::ALL {
        page.labelled(Name::GatewayUnknown, &none, ("what", what.as_str()), Value::Whole(counts.of_unknown(what)));
    }
}

/// What was written of the history, and what waits for its store.
pub fn show_history(page: &mut Page, outbox: Option<&history::Outbox>) {
    let Some(counts) = outbox.map(history::Outbox::counts) else { return };
    let none = Arc::default();
    for (outcome, writes) in [("written", counts.written), ("failed", counts.failed), ("dropped", counts.dropped)] {
        page.labelled(Name::HistoryWrites, &none, ("outcome", outcome), Value::Whole(writes));
    }
    page.whole(Name::HistoryWaiting, &none, counts.waiting);
}

/// Calls of the Kubernetes API server.
pub fn show_api_server(page: &mut Page) {
    for (reason, outcome, attempts) in ATTEMPTS.all() {
        let labels = Labels::default().with("reason", reason.as_str());
        let outcome = ("outcome", outcome.as_str());
        page.labelled(Name::ApiAttempts, &Arc::new(labels), outcome, Value::Whole(attempts));
    }
}

/// The process, as its system tells of it; nothing where it does not.
pub fn show_process(page: &mut Page) {
    let none = Arc::default();
    let [version, commit] = [env!("CARGO_PKG_VERSION"), option_env!("HEADROOM_COMMIT").unwrap_or_default()];
    let labels = Labels::default().with("version", version).with("commit", commit);
    page.flag(Name::Build, &Arc::new(labels), true);
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let system = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    if let Some(Process { cpu_s, started_at_s }) = process(&stat, &system) {
        page.number(Name::Cpu, &none, cpu_s);
        page.number(Name::Start, &none, started_at_s);
    }
}

struct Process {
    cpu_s: f64,
    started_at_s: f64,
}

/// Linux counts both in hundredths of a second, whatever the kernel's own clock (`USER_HZ`).
fn process(stat: &str, system: &str) -> Option<Process> {
    // The name of the program stands in brackets and may hold anything; after it fields are counted from the third.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let hundredths = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    let booted_at = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok()?;
    Some(Process {
        cpu_s: (hundredths(14)? + hundredths(15)?) / 100.0,
        started_at_s: booted_at + hundredths(22)? / 100.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_read_from_what_linux_tells() {
        let stat = "77 (a) b) S 1 77 77 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 1000 99 5 1";
        let read = process(stat, "cpu 1 2\nbtime 1700000000\n").unwrap();
        assert_eq!((read.cpu_s, read.started_at_s), (3.0, 1_700_000_010.0));
        assert!(process("", "").is_none());
    }
}
