//! The engine on its own thread: takes batches and events as they come, ticks by the clock, hands out effects,
//! publishes a snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::delay::Delay;
use super::history;
use super::journal_thread::JournalThread;
use super::learnt::Taker;
use super::log;
use super::memory::{Memory, resident_bytes};
use crate::analyse::Demand;
use crate::api::metrics::Feed;
use crate::api::{Control, History, Metrics, Planning, Said, Snapshot, Spans};
use crate::clock::{Clock, Stopwatch};
use crate::engine::{Effect, Engine, Event};
use crate::gateway::Gateway;
use crate::guard::ActError;
use crate::guard::Permit;
use crate::journal::Entry;
use crate::model::{ClockStep, Time};
use crate::receive::queue::Outlet;
use crate::receive::{Received, SourceClocks};
use crate::schedule::{Kept as KeptOfPlans, Planner};
use crate::shape::Limits;
use crate::sql::{Table, described};

pub struct Core {
    pub engine: Engine,
    pub clock: Clock,
    pub tick: Duration,
    pub journal: Option<JournalThread>,
    pub permits: mpsc::Sender<Permit>,
    pub snapshots: watch::Sender<Arc<Snapshot>>,
    /// What gateways are to keep, as of the last tick.
    pub limits: watch::Sender<Arc<Limits>>,
    /// Who answers them, and counts what came; None where none asks.
    pub gateway: Option<Arc<Gateway>>,
    pub metrics: Arc<Metrics>,
    /// What closes in a tick, for who adds it up.
    pub feed: Feed,
    /// The same, and who runs how often, for who keeps it.
    pub history: history::Feed,
    pub memory: Memory,
    /// What lies in memory for children to read, which is not of this process and yet its doing.
    pub shelf_bytes: Arc<AtomicU64>,
    pub delay: Delay,
    pub learnt: Taker,
    pub sources: SourceClocks,
    pub planner: Planner,
    /// The share of what a pod carries that it is to be used to.
    pub utilisation: f64,
    /// When what is learnt of demand is looked at again.
    pub demand_due: Option<Time>,
}

/// What it is told beside batches.
pub struct Inputs {
    pub events: mpsc::Receiver<Event>,
    /// By people, who wait for the answer.
    pub controls: mpsc::Receiver<Control>,
    /// Words of calendars, registrars and people on what is planned.
    pub heard: mpsc::Receiver<Said>,
}

/// What the thread wakes up for.
enum Wake {
    Tick,
    Batch(Received),
    Event(Event),
    Control(Control),
    /// The receivers are gone and nothing waits.
    Drained,
}

/// What entry operations ask of services changes by minutes.
const DEMAND_EVERY: Duration = Duration::from_secs(60);

/// What the entries so far come to, for the snapshot.
#[derive(Default)]
struct Kept {
    history: History,
}

impl Core {
    /// Runs until the receivers are gone and everything they took is in the engine; the last tick included.
    pub fn run(mut self, handle: &Handle, mut batches: Outlet, mut inputs: Inputs) {
        let mut next_due = Due::after(self.clock.now(), self.tick, Duration::ZERO);
        let mut kept = Kept::default();
        loop {
            // The engine itself runs outside of the runtime, which would not let it block.
            let wake = handle.block_on(next(&self.clock, next_due.at, &mut batches, &mut inputs));
            match wake {
                Wake::Batch(received) => self.take(&mut kept, received),
                Wake::Event(event) => {
                    if let Event::Learnt(learnt) = &event {
                        self.planner.restore(&KeptOfPlans::of(learnt));
                    }
                    self.engine.observe(self.clock.now(), event);
                }
                Wake::Control(control) => self.obey(&mut kept, control),
                Wake::Tick if next_due.put_off(self.engine.lag(self.clock.now())) => {}
                Wake::Tick => {
                    let due = next_due.at;
                    self.plan(&mut inputs.heard);
                    self.tick(&mut kept);
                    // Ticks that became due meanwhile are left out, so that batches get their turn.
                    let mut now = self.clock.now();
                    let interval_ns = self.tick.as_nanos().max(1) as i64; // a minute at most
                    self.metrics.ticks_skipped((now.nanos_since(due).max(0) / interval_ns) as u64); // not negative
                    if let Some(step) = self.sources.judge(now, self.clock.system_ahead_ns()) {
                        // What waits was stamped by the old time.
                        while let Some(received) = batches.try_next() {
                            self.take(&mut kept, received);
                        }
                        self.step_clock(&mut kept, step);
                        now = self.clock.now();
                        next_due.step_clock(step);
                    }
                    next_due = Due::after(now.max(next_due.at), self.tick, self.engine.lag(now));
                }
                Wake::Drained => {
                    while let Ok(event) = inputs.events.try_recv() {
                        self.engine.observe(self.clock.now(), event);
                    }
                    while let Ok(control) = inputs.controls.try_recv() {
                        self.obey(&mut kept, control);
                    }
                    self.tick(&mut kept);
                    self.learnt.take(&self.engine, &self.planner, self.clock.now());
                    return;
                }
            }
        }
    }

    /// Hears what is planned, and tells the engine of the floors that come of it.
    fn plan(&mut self, heard: &mut mpsc::Receiver<Said>) {
        let now = self.clock.now();
        while let Ok(said) = heard.try_recv() {
            match said {
                Said::All { source, events, problems } => self.planner.hear(&source, events, problems),
                Said::Of { source, events } => self.planner.hear_of(now, &source, events),
                Said::Hindered { source, problems } => self.planner.hear_problems(&source, problems),
            }
        }
        let is_due = self.demand_due.is_none_or(|due| now >= due);
        if is_due && self.planner.has_events() {
            self.demand_due = Some(now + DEMAND_EVERY);
            self.planner.learn(Demand::of(&self.engine.learnt(now), self.utilisation));
        }
        if let Some(floors) = self.planner.tick(now, self.engine.findings(), self.engine.cluster()) {
            self.engine.observe(now, Event::Floors(floors));
        }
    }

    /// What is planned, for whoever asks: the same as before where nothing is new.
    fn planning(&self, before: &Arc<Planning>) -> Arc<Planning> {
        if before.planned_at == self.planner.planned_at() {
            return before.clone();
        }
        let planner = &self.planner;
        let (plan, settings) = (planner.plan().clone(), planner.settings());
        Arc::new(Planning::of(planner.planned_at(), plan, settings, planner.problems()))
    }

    /// Does what people ask for, and shows it before it says so: the next tick may be a while away.
    fn obey(&mut self, kept: &mut Kept, Control { event, taken }: Control) {
        self.engine.observe(self.clock.now(), event);
        self.engine.take_records().into_iter().for_each(|entry| self.keep(kept, &entry));
        let (pauses, history) = (self.engine.pauses().clone(), kept.history.clone());
        self.snapshots
            .send_modify(|snapshot| *snapshot = Arc::new(Snapshot { pauses, history, ..(**snapshot).clone() }));
        // Who asked may have gone.
        let _ = taken.send(());
    }

    /// Takes a batch, or tells its sender to come again.
    fn take(&mut self, kept: &mut Kept, Received { received_at, batch, ack }: Received) {
        self.sources.hear(received_at, &batch);
        if !self.engine.has_room(received_at, &batch) {
            ack.refused();
            return;
        }
        self.delay.received(received_at, &batch);
        self.engine.ingest(received_at, batch);
        // Recorded first, acknowledged second: kill -9 in between makes the sender send again, and no acknowledged span
        // is missing from the journal's counts.
        self.engine.take_records().into_iter().for_each(|entry| self.keep(kept, &entry));
        match &self.journal {
            Some(journal) => journal.acknowledge(ack),
            None => ack.taken(),
        }
    }

    /// Follows the clocks of the senders, in one step that the journal knows.
    fn step_clock(&mut self, kept: &mut Kept, step: ClockStep) {
        self.engine.observe(self.clock.now(), Event::ClockStepped(step));
        self.clock.step(step);
        self.sources.stepped(step);
        self.learnt.step_clock(step);
        self.delay = Delay::default();
        self.engine.take_records().into_iter().for_each(|entry| self.keep(kept, &entry));
    }

    fn tick(&mut self, kept: &mut Kept) {
        let now = self.clock.now();
        if let Some(gateway) = &self.gateway {
            // Up to this instant: what is told only after a tick is a second old when the next one looks at it.
            self.engine.observe(now, Event::Traffic(gateway.take_traffic()));
        }
        let stopwatch = Stopwatch::start();
        let effects = self.engine.tick(now);
        let took = stopwatch.elapsed();
        let resident = resident_bytes();
        let held = resident.unwrap_or(0) + self.shelf_bytes.load(Ordering::Relaxed);
        let window_bytes = self.memory.window_bytes(held, self.engine.window_bytes());
        self.engine.set_window_bytes_max(window_bytes);
        let before = self.snapshots.borrow().clone();
        for effect in effects {
            match effect {
                Effect::Apply(permit) => {
                    // Recorded first here too, as far as the disk answers: what must not be lost lies on the object.
                    if let Some(journal) = &self.journal {
                        journal.written();
                    }
                    self.apply(now, permit);
                }
                Effect::Record(entry) => self.keep(kept, &entry),
            }
        }
        if let Some(journal) = &self.journal {
            let (waiting, dropped) = journal.waiting_and_dropped();
            self.metrics.journal(waiting, dropped);
        }
        let snapshot = Snapshot {
            tick: before.tick + 1,
            at: now,
            mode: before.mode,
            pauses: self.engine.pauses().clone(),
            findings: self.engine.findings().clone(),
            pods: self.engine.pods_with_spans().clone(),
            cluster: self.engine.cluster().clone(),
            interventions: self.engine.interventions(),
            breakers: self.engine.open_breakers(),
            tables: (self.engine.tables().into_iter())
                .map(|(name, schema, batches)| Table { name, schema, batches })
                .chain([described::table()])
                .collect(),
            history: kept.history.clone(),
            spans: self.spans(resident),
            rule_failures: self.engine.rule_failures(),
            tallies: self.engine.tallies().clone(),
            notices: self.engine.notices(),
            plan: self.planning(&before.plan),
        };
        self.metrics.tick(took);
        let closed = self.engine.take_closed();
        self.history.tick(&snapshot, &closed);
        self.feed.closed(now, closed);
        self.metrics.delays(&self.delay.found(snapshot.findings.complete_to, self.clock.now()));
        // Limits first: who answers gateways wakes up with the snapshot, and would keep those of the tick before for a second.
        let limits = self.engine.limits();
        self.limits.send_if_modified(|kept| {
            // Without any there is nothing to tell.
            let is_news = !limits.is_empty() || !kept.is_empty();
            if is_news {
                *kept = Arc::new(limits.clone());
            }
            is_news
        });
        self.snapshots.send_replace(Arc::new(snapshot));
        self.learnt.tick(&self.engine, &self.planner, now);
    }

    fn spans(&self, resident: Option<u64>) -> Spans {
        let counters = self.engine.window_counters();
        Spans {
            received: counters.spans,
            admitted: counters.admission.admitted,
            shed: counters.admission.shed,
            late: counters.assembly.late_spans,
            duplicate: counters.assembly.duplicate_spans,
            surplus: counters.assembly.surplus_spans,
            evicted: counters.spans_evicted,
            held: self.engine.window_spans() as u64,
            held_bytes: self.engine.window_bytes() as u64,
            open_traces: self.engine.open_traces() as u64,
            partial_traces: counters.assembly.partial,
            without_parent: self.engine.spans_without_parent(),
            admitted_share: self.engine.admitted_share(),
            resident_bytes: resident.unwrap_or(0),
        }
    }

    /// Keep one entry wherever entries are kept.
    fn keep(&mut self, kept: &mut Kept, entry: &Entry) {
        log::entry(entry);
        self.metrics.count(entry);
        if let Some(journal) = &mut self.journal {
            journal.append(entry);
        }
        kept.history.push(entry);
    }

    /// Hand a permit to the cluster's adapter. Where it cannot take it, that is the change's outcome.
    fn apply(&mut self, now: Time, permit: Permit) {
        let Err(refused) = self.permits.try_send(permit) else { return };
        let (permit, cause) = match refused {
            mpsc::error::TrySendError::Full(permit) => (permit, "it has not answered the changes before this one"),
            mpsc::error::TrySendError::Closed(permit) => (permit, "no cluster is configured"),
        };
        let error = ActError::Unreachable { cause: cause.into() };
        let (decision, change) = (permit.decision(), permit.change().clone());
        self.engine.observe(now, Event::Acted { decision, change, error: Some(error) });
    }
}

/// When to tick next.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Due {
    at: Time,
    /// What telemetry is to be complete to by then.
    complete_to: Time,
    /// How far it may be put off.
    latest: Time,
}

impl Due {
    fn step_clock(&mut self, step: ClockStep) {
        step.move_all([&mut self.at, &mut self.complete_to, &mut self.latest]);
    }

    /// The first instant, more than half a tick from now, at which telemetry has just become complete to the end of a
    /// second (or of whatever part of it ticks are apart): spans wait for the tick no longer than they must.
    fn after(now: Time, tick: Duration, lag: Duration) -> Due {
        let interval_ns = tick.as_nanos().clamp(1, i64::MAX as u128) as i64;
        let earliest = now.0 + interval_ns / 2 - nanos(lag);
        let complete_to = (earliest.div_euclid(interval_ns) + 1) * interval_ns;
        let at = Time(complete_to + nanos(lag));
        Due { at, complete_to: Time(complete_to), latest: at + tick / 2 }
    }

    /// Waits for what it is to be complete to, where the lag has grown meanwhile: a tick that comes a moment before it would
    /// leave a whole second to the next. By half a tick at most.
    fn put_off(&mut self, lag: Duration) -> bool {
        let wanted = Time(self.complete_to.0 + nanos(lag));
        let is_worth_it = wanted > self.at && wanted <= self.latest;
        if is_worth_it {
            self.at = wanted;
        }
        is_worth_it
    }
}

fn nanos(lag: Duration) -> i64 {
    lag.as_nanos().min(i64::MAX as u128 / 4) as i64
}

async fn next(clock: &Clock, due: Time, batches: &mut Outlet, inputs: &mut Inputs) -> Wake {
    tokio::select! {
        // Events are few; a tick that is due comes before the next of a flood of orders, or of batches.
        biased;
        Some(event) = inputs.events.recv() => Wake::Event(event),
        () = clock.sleep_until(due) => Wake::Tick,
        Some(control) = inputs.controls.recv() => Wake::Control(control),
        batch = batches.next() => batch.map_or(Wake::Drained, Wake::Batch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_come_when_a_second_has_just_become_complete() {
        let ms = |ms: i64| Time(ms * 1_000_000);
        let (second, lag) = (Duration::from_secs(1), Duration::from_millis(300));
        let next_tick = |now: Time, tick: Duration, lag: Duration| Due::after(now, tick, lag).at;
        assert_eq!(next_tick(ms(10_300), second, lag), ms(11_300));
        assert_eq!(next_tick(ms(10_900), second, lag), ms(12_300), "a tick that took long leaves half a second free");
        assert_eq!(next_tick(ms(10_300), second, Duration::from_millis(400)), ms(11_400), "a lag that grew");
        assert_eq!(next_tick(ms(10_300), second, Duration::from_millis(2_200)), ms(11_200));
        assert_eq!(next_tick(ms(10_000), Duration::from_millis(500), lag), ms(10_300));
    }

    #[test]
    fn a_tick_waits_for_a_lag_that_grew_a_little() {
        let ms = |ms: i64| Time(ms * 1_000_000);
        let (second, lag) = (Duration::from_secs(1), Duration::from_millis);
        let due = Due::after(ms(10_300), second, lag(300));
        let put_off = |grown: u64| {
            let mut due = due;
            due.put_off(lag(grown)).then_some(due.at)
        };
        assert_eq!([300, 200, 400, 900].map(put_off), [None, None, Some(ms(11_400)), None]);
    }
}
