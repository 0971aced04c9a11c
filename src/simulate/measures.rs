//! What users got and what it cost, counted as the closed loop asks: every request that arrives within the
//! measured window after the onset; slow, refused, failed, timed out and unfinished are all violations.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::scenario::{Announced, Entry, Scenario, seconds};
use super::status::{FAILED, OK, REFUSED, SHED, TIMED_OUT, UNREACHED};
use crate::model::time::NANOS_PER_SECOND;

/// The live view looks back this far: as long as a person remembers, and enough requests for a p99.
const LIVE_NS: i64 = 5 * NANOS_PER_SECOND;

/// Recovery is judged on windows of this length.
const RECOVERY_WINDOW_S: usize = 5;

/// Below this share of violations a window counts as recovered: what a p99 objective allows.
const RECOVERED_SHARE: f64 = 0.01;

/// True arrivals are counted with this resolution.
pub(super) const ARRIVALS_BUCKET_NS: i64 = 10_000_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Requests that arrived in the window (or until now).
    pub requests: u64,
    pub violations: u64,
    pub slo_violation_share: f64,
    /// Of the requests that arrived before the onset.
    pub slo_violation_share_before: f64,
    /// Seconds in the window in which more than 1 % of the arriving requests were violations.
    pub slo_violation_seconds: u32,
    /// From the onset to the start of the first window of 5 s, from which on every such window of the measured time
    /// has less than 1 % violations among the requests that arrive in it. None when the last one has not.
    pub recovered_s: Option<f64>,
    /// The same of those requests alone that the front door let in: what whoever shapes traffic answers for.
    #[serde(default)]
    pub recovered_let_in_s: Option<f64>,
    /// Of the violations, those that the front door answered 429.
    #[serde(default)]
    pub shed: u64,
    /// Over all services within the window, from a pod's creation until it stopped.
    pub pod_seconds: f64,
    pub entries: Vec<EntryMeasures>,
    /// Pods that were restarted since the start of the simulation.
    #[serde(default)]
    pub restarts: Vec<Restart>,
    /// From the onset to the arrival at headroom of each of the first twenty spans in which a fault shows: calls that it
    /// delays or ends, requests that it makes slow, cuts short, or lets wait where the scenario expects it.
    #[serde(default)]
    pub affected_arrived_s: Vec<f64>,
    /// From the onset to the end of the first call that a fault let be refused or time out.
    #[serde(default)]
    pub first_unanswered_s: Option<f64>,
    /// Names of the pods that a fault makes slow, whenever that is.
    #[serde(default)]
    pub bad_pods: Vec<String>,
    /// While the participants of each event of the calendar are there, and shortly after.
    #[serde(default)]
    pub events: Vec<EventMeasures>,
}

/// Requests of all users that arrived while an event's participants were there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventMeasures {
    pub title: String,
    /// Whether a calendar had it.
    pub announced: bool,
    pub requests: u64,
    pub violations: u64,
}

/// What a burst left behind is over by then.
const AFTERMATH_S: usize = 60;

/// A pod that was taken away for its controller to put another in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    /// Since the start of the simulation.
    pub at_s: f64,
    pub service: String,
    pub pod: String,
    /// A fault of the scenario was in this very pod at that time. The restart of any other pod is wrong.
    pub was_bad: bool,
}

/// One entry operation, over the same window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryMeasures {
    pub service: String,
    pub operation: String,
    /// Who asks, where the scenario tells clients apart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client: String,
    pub priority: u8,
    pub requests: u64,
    /// Answered well, but later than the objective's latency.
    pub slow: u64,
    /// Answered 503 by a full queue or a proxy somewhere, or 502 because nobody took a call.
    pub refused: u64,
    /// Answered 429 by the front door.
    #[serde(default)]
    pub shed: u64,
    /// Answered 500.
    #[serde(default)]
    pub failed: u64,
    /// The user, or a caller on the way, gave up.
    pub timed_out: u64,
    /// Not answered by now.
    pub unfinished: u64,
    pub violation_share: f64,
    /// From the onset to the first second in which the objective is missed, by its own quantile or error bound; None
    /// when it never is. It must be missed over the five seconds from it as well: one slow request among the fifty of
    /// a second is chance.
    #[serde(default)]
    pub first_missed_s: Option<f64>,
    /// Of the requests that ended, timeouts included; None when there was none.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

/// The last seconds, for a person who watches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Since the start of the simulation.
    pub at_s: f64,
    pub entries: Vec<LiveEntry>,
    pub services: Vec<LiveService>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveEntry {
    pub service: String,
    pub operation: String,
    /// Requests that arrived in the last whole second.
    pub load_per_s: u64,
    /// Over the requests that ended in the last 5 s.
    pub p99_ms: Option<f64>,
    pub objective_ms: f64,
    /// Requests that were answered badly, late or never, of those that ended in the last 5 s.
    pub violations: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveService {
    pub service: String,
    pub ready: u32,
    pub wanted: u32,
}

/// Requests by the second of their arrival.
#[derive(Clone, Copy, Default)]
struct Second {
    arrived: u64,
    good: u64,
    slow: u64,
    refused: u64,
    shed: u64,
    failed: u64,
    timed_out: u64,
}

/// Requests by the second in which it was settled whether they keep the objective: when they ended, or when they had
/// taken longer than it allows.
#[derive(Clone, Copy, Default)]
struct Settled {
    all: u64,
    slow: u64,
    /// Answered badly before the latency was over.
    failed: u64,
}

/// An objective is missed when it is missed over so many seconds, see [`EntryMeasures::first_missed_s`].
const MISSED_WINDOW_S: usize = 5;

struct EntryLedger {
    objective_ns: i64,
    seconds: Vec<Second>,
    settled: Vec<Settled>,
    /// Of requests of the window that ended, in microseconds.
    latencies_us: Vec<u32>,
    /// (ended, latency, violation) of the last seconds.
    recent: VecDeque<(i64, u32, bool)>,
}

/// Counts as the simulation goes.
pub(super) struct Ledger {
    onset: i64,
    window_end: i64,
    entries: Vec<EntryLedger>,
    /// By service and bucket of [`ARRIVALS_BUCKET_NS`].
    arrivals: Vec<Vec<u32>>,
    restarts: Vec<Restart>,
    first_unanswered: Option<i64>,
}

fn second_of(at: i64) -> usize {
    (at / NANOS_PER_SECOND) as usize
}

impl Ledger {
    pub fn new(scenario: &Scenario) -> Ledger {
        let onset = seconds(scenario.truth.onset_s);
        let entry = |e: &Entry| EntryLedger {
            objective_ns: (e.objective.latency_ms * 1e6) as i64,
            seconds: Vec::new(),
            settled: Vec::new(),
            latencies_us: Vec::new(),
            recent: VecDeque::new(),
        };
        Ledger {
            onset,
            window_end: onset + seconds(scenario.truth.window_s),
            entries: scenario.entries.iter().map(entry).collect(),
            arrivals: vec![Vec::new(); scenario.services.len()],
            restarts: Vec::new(),
            first_unanswered: None,
        }
    }

    /// A user's request.
    pub fn arrived(&mut self, entry: usize, at: i64) {
        let seconds = &mut self.entries[entry].seconds;
        if seconds.len() <= second_of(at) {
            seconds.resize(second_of(at) + 1, Second::default());
        }
        seconds[second_of(at)].arrived += 1;
    }

    /// The end of a request that [`Self::arrived`] before.
    pub fn ended(&mut self, entry: usize, arrived: i64, ended: i64, status: u16) {
        let ledger = &mut self.entries[entry];
        let second = &mut ledger.seconds[second_of(arrived)];
        let latency = ended - arrived;
        let good = status == OK && latency <= ledger.objective_ns;
        match status {
            OK if good => second.good += 1,
            OK => second.slow += 1,
            TIMED_OUT => second.timed_out += 1,
            FAILED => second.failed += 1,
            SHED => second.shed += 1,
            _ => {
                debug_assert!(status == REFUSED || status == UNREACHED, "{status}");
                second.refused += 1;
            }
        }
        ledger.settle(arrived + latency.min(ledger.objective_ns), good, latency > ledger.objective_ns);
        let latency_us = u32::try_from(latency / 1000).unwrap_or(u32::MAX);
        if (self.onset..self.window_end).contains(&arrived) {
            ledger.latencies_us.push(latency_us);
        }
        ledger.recent.push_back((ended, latency_us, !good));
        while ledger.recent.front().is_some_and(|r| r.0 <= ended - LIVE_NS) {
            ledger.recent.pop_front();
        }
    }

    /// A request reached a pod of the service, to be accepted or refused.
    pub fn reached(&mut self, service: usize, at: i64) {
        let bucket = (at / ARRIVALS_BUCKET_NS) as usize;
        let buckets = &mut self.arrivals[service];
        if buckets.len() <= bucket {
            buckets.resize(bucket + 1, 0);
        }
        buckets[bucket] += 1;
    }

    /// A fault let a call be refused or time out.
    pub fn unanswered(&mut self, at: i64) {
        self.first_unanswered.get_or_insert(at);
    }

    pub fn restarted(&mut self, restart: Restart) {
        self.restarts.push(restart);
    }

    pub fn arrivals(&self, service: usize, from: i64, to: i64) -> u64 {
        let buckets = &self.arrivals[service];
        let index = |at: i64| ((at.max(0) / ARRIVALS_BUCKET_NS) as usize).min(buckets.len());
        buckets[index(from)..index(to).max(index(from))].iter().map(|&n| u64::from(n)).sum()
    }

    /// `pod_lives`: creation and, if it has stopped, the stop of every pod.
    pub fn measures(
        &self,
        scenario: &Scenario,
        now: i64,
        affected: &[i64],
        pod_lives: impl Iterator<Item = (i64, Option<i64>)>,
    ) -> Measures {
        let window = second_of(self.onset)..second_of(self.window_end);
        let total = |range: std::ops::Range<usize>| {
            let all = self.entries.iter().flat_map(|e| slice(&e.seconds, range.clone()));
            all.fold((0, 0), |(arrived, bad), s| (arrived + s.arrived, bad + s.arrived - s.good))
        };
        let shed = |range: std::ops::Range<usize>| {
            self.entries.iter().flat_map(|e| slice(&e.seconds, range.clone())).map(|s| s.shed).sum::<u64>()
        };
        let let_in = |range: std::ops::Range<usize>| {
            let ((arrived, bad), shed) = (total(range.clone()), shed(range));
            (arrived - shed, bad - shed)
        };
        let (requests, violations) = total(window.clone());
        let (before, bad_before) = total(0..window.start);
        let end = now.min(self.window_end);
        let pod_ns: i64 = pod_lives
            .map(|(created, stopped)| (stopped.unwrap_or(end).min(end) - created.max(self.onset)).max(0))
            .sum();
        let bad_second = |s: &usize| {
            let (arrived, bad) = total(*s..*s + 1);
            bad as f64 > arrived as f64 * RECOVERED_SHARE
        };
        Measures {
            requests,
            violations,
            slo_violation_share: share(violations, requests),
            slo_violation_share_before: share(bad_before, before),
            slo_violation_seconds: window.clone().filter(bad_second).count() as u32,
            recovered_s: self.recovered(second_of(end), total),
            recovered_let_in_s: self.recovered(second_of(end), let_in),
            shed: shed(window.clone()),
            pod_seconds: pod_ns as f64 / NANOS_PER_SECOND as f64,
            entries: scenario
                .entries
                .iter()
                .zip(&self.entries)
                .map(|(e, l)| l.measures(scenario, e, window.clone()))
                .collect(),
            restarts: self.restarts.clone(),
            affected_arrived_s: affected.iter().map(|at| self.since_onset_s(*at)).collect(),
            first_unanswered_s: self.first_unanswered.map(|at| self.since_onset_s(at)),
            bad_pods: Vec::new(),
            events: scenario.calendar.events.iter().filter_map(event_measures(&total)).collect(),
        }
    }

    fn since_onset_s(&self, at: i64) -> f64 {
        (at - self.onset) as f64 / NANOS_PER_SECOND as f64
    }

    fn recovered(&self, end: usize, total: impl Fn(std::ops::Range<usize>) -> (u64, u64)) -> Option<f64> {
        let onset = second_of(self.onset);
        let starts = (onset..).step_by(RECOVERY_WINDOW_S).take_while(|s| s + RECOVERY_WINDOW_S <= end);
        let calm = |start: &usize| {
            let (arrived, bad) = total(*start..*start + RECOVERY_WINDOW_S);
            (bad as f64) < (arrived.max(1) as f64) * RECOVERED_SHARE
        };
        let starts: Vec<usize> = starts.collect();
        starts.iter().rev().take_while(|start| calm(start)).last().map(|start| (start - onset) as f64)
    }

    pub fn live_entries(&self, scenario: &Scenario, now: i64) -> Vec<LiveEntry> {
        let entry = |(e, ledger): (&Entry, &EntryLedger)| {
            let recent = || ledger.recent.iter().filter(|r| r.0 > now - LIVE_NS);
            let mut latencies: Vec<u32> = recent().map(|r| r.1).collect();
            let last = second_of(now).checked_sub(1).and_then(|s| ledger.seconds.get(s));
            LiveEntry {
                service: scenario.services[e.service].name.clone(),
                operation: e.operation.clone(),
                load_per_s: last.map_or(0, |s| s.arrived),
                p99_ms: quantile_ms(&mut latencies, 0.99),
                objective_ms: e.objective.latency_ms,
                violations: recent().filter(|r| r.2).count() as u64,
            }
        };
        scenario.entries.iter().zip(&self.entries).map(entry).collect()
    }
}

/// Of an event to which somebody came, from the seconds in which they did.
fn event_measures(
    total: &impl Fn(std::ops::Range<usize>) -> (u64, u64),
) -> impl Fn(&Announced) -> Option<EventMeasures> {
    move |event| {
        let (from_s, until_s) = event.load_s?;
        let (requests, violations) = total(from_s as usize..until_s as usize + AFTERMATH_S);
        let announced = event.announced.is_some();
        Some(EventMeasures { title: event.title.clone(), announced, requests, violations })
    }
}

impl EntryLedger {
    fn measures(&self, scenario: &Scenario, entry: &Entry, window: std::ops::Range<usize>) -> EntryMeasures {
        let sum = |field: fn(&Second) -> u64| slice(&self.seconds, window.clone()).iter().map(field).sum::<u64>();
        let (requests, good) = (sum(|s| s.arrived), sum(|s| s.good));
        let (slow, refused, timed_out) = (sum(|s| s.slow), sum(|s| s.refused), sum(|s| s.timed_out));
        let (failed, shed) = (sum(|s| s.failed), sum(|s| s.shed));
        let mut latencies = self.latencies_us.clone();
        EntryMeasures {
            service: scenario.services[entry.service].name.clone(),
            operation: entry.operation.clone(),
            client: entry.client.clone(),
            priority: entry.priority,
            requests,
            slow,
            refused,
            shed,
            failed,
            timed_out,
            unfinished: requests - good - slow - refused - shed - failed - timed_out,
            first_missed_s: self.first_missed_s(entry, window.start),
            violation_share: share(requests - good, requests),
            p50_ms: quantile_ms(&mut latencies, 0.5),
            p99_ms: quantile_ms(&mut latencies, 0.99),
        }
    }
}

impl EntryLedger {
    fn settle(&mut self, at: i64, good: bool, slow: bool) {
        if self.settled.len() <= second_of(at) {
            self.settled.resize(second_of(at) + 1, Settled::default());
        }
        let second = &mut self.settled[second_of(at)];
        second.all += 1;
        second.slow += u64::from(slow);
        second.failed += u64::from(!good && !slow);
    }

    fn first_missed_s(&self, entry: &Entry, onset: usize) -> Option<f64> {
        let missed = |seconds: &[Settled]| {
            let sum = |field: fn(&Settled) -> u64| seconds.iter().map(field).sum::<u64>() as f64;
            let all = sum(|s| s.all);
            sum(|s| s.slow) > (1.0 - entry.objective.quantile) * all || sum(|s| s.failed) > entry.objective.errors * all
        };
        let from = |second: usize, count: usize| missed(&self.settled[second..self.settled.len().min(second + count)]);
        let first = (onset..self.settled.len()).find(|&s| from(s, 1) && from(s, MISSED_WINDOW_S))?;
        Some((first - onset) as f64)
    }
}

/// The part of `seconds` that exists.
fn slice(seconds: &[Second], range: std::ops::Range<usize>) -> &[Second] {
    &seconds[range.start.min(seconds.len())..range.end.min(seconds.len())]
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The value at the quantile's rank (nearest rank); reorders its input.
fn quantile_ms(latencies_us: &mut [u32], quantile: f64) -> Option<f64> {
    let rank = ((latencies_us.len() as f64 * quantile).ceil() as usize).checked_sub(1)?;
    let (_, value, _) = latencies_us.select_nth_unstable(rank);
    Some(f64::from(*value) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let mut latencies: Vec<u32> = (1..=100).map(|ms| ms * 1000).collect();
        assert_eq!(quantile_ms(&mut latencies, 0.99), Some(99.0));
        assert_eq!(quantile_ms(&mut latencies, 0.5), Some(50.0));
        assert_eq!(quantile_ms(&mut [], 0.5), None);
    }

    #[test]
    fn an_objective_is_missed_in_the_second_that_settles_it() {
        let scenario = Scenario::by_name("exam-start").expect("shipped");
        let mut ledger = Ledger::new(&scenario);
        let onset = seconds(scenario.truth.onset_s);
        let mut ask = |after_s: f64, latency_ms: f64| {
            let at = onset + seconds(after_s);
            ledger.arrived(0, at);
            ledger.ended(0, at, at + (latency_ms * 1e6) as i64, OK);
        };
        (0..1_000).for_each(|n| ask(f64::from(n) / 50.0, 100.0));
        ask(2.5, 9_000.0); // alone: one of 250 in five seconds
        (0..10).for_each(|_| ask(6.9, 9_000.0)); // late for sure at 7.2 s, and answered at 15.9 s
        let none = std::iter::empty();
        let measures = ledger.measures(&scenario, onset + seconds(30.0), &[], none);
        assert_eq!(measures.entries.iter().map(|e| e.first_missed_s).collect::<Vec<_>>()[..2], [Some(7.0), None]);
    }

    #[test]
    fn everything_but_a_timely_answer_is_a_violation() {
        let scenario = Scenario::by_name("exam-start").expect("shipped");
        let mut ledger = Ledger::new(&scenario);
        let onset = seconds(scenario.truth.onset_s);
        let objective = (scenario.entries[0].objective.latency_ms * 1e6) as i64;
        let ends = [(OK, objective), (OK, objective + 1), (REFUSED, 5), (TIMED_OUT, 5)];
        for (status, latency) in ends {
            ledger.arrived(0, onset);
            ledger.ended(0, onset, onset + latency, status);
        }
        ledger.arrived(0, onset); // never answered
        ledger.arrived(0, onset - 1); // before: counted apart
        let measures =
            ledger.measures(&scenario, onset + seconds(10.0), &[], [(0, None), (0, Some(onset + 5))].into_iter());
        assert_eq!((measures.requests, measures.violations), (5, 4));
        assert_eq!(measures.slo_violation_share_before, 1.0);
        let entry = &measures.entries[0];
        assert_eq!((entry.slow, entry.refused, entry.timed_out, entry.unfinished), (1, 1, 1, 1));
        assert_eq!(measures.pod_seconds, 10.0 + 5e-9);
        assert_eq!(entry.first_missed_s, Some(0.0));
        // The window 0..5 s is bad, 5..10 s has nothing to complain of.
        assert_eq!(measures.recovered_s, Some(5.0));
    }

    #[test]
    fn what_the_front_door_turns_away_is_no_miss_of_those_who_are_let_in() {
        let scenario = Scenario::by_name("exam-start").expect("shipped");
        let mut ledger = Ledger::new(&scenario);
        let onset = seconds(scenario.truth.onset_s);
        for second in 0..20 {
            for (status, latency) in [(OK, 5), (SHED, 1), (if second < 5 { TIMED_OUT } else { OK }, 5)] {
                let at = onset + seconds(f64::from(second));
                ledger.arrived(0, at);
                ledger.ended(0, at, at + latency, status);
            }
        }
        let measures = ledger.measures(&scenario, onset + seconds(20.0), &[], std::iter::empty());
        assert_eq!((measures.requests, measures.violations, measures.shed), (60, 25, 20));
        assert_eq!((measures.recovered_s, measures.recovered_let_in_s), (None, Some(5.0)));
    }
}
