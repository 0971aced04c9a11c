//! What changed of late, asked in the loop as `diagnose` asks it of files: a sample of the traces of the last seconds
//! beside a sample of healthy time.
//!
//! Objectives tell that requests are slow or fail. A service that answers at once, with OK and without doing its work,
//! misses none of them; the shape of its traces tells. The sample is bounded, and with it its cost, however many spans
//! come: a share of the loud entry operations, all of the quiet ones.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::sample::{SPANS_PER_SECOND, Sample, SampledTrace, TRACES_EACH};
use super::{Parameters, Profile, localise_from};
use crate::analyse::findings::{Suspect, Verdict};
use crate::analyse::thresholds::sample::{
    ACCEPTED_AFTER, ANSWERS_MIN, CALM, HALF_SPANS, HEALTHY_TRACES_MIN, LIKELY, QUARANTINE, ROWS_A_TICK, TICKS_MAX,
    TOLD_MAX, TOLD_SCORE_MIN, VIEWS,
};
use crate::analyse::trace::Tree;
use crate::model::{ClockStep, SpanBatch, SpanRow, Time};

pub struct Changes {
    parameters: Parameters,
    /// Spans that may still be taken, and until when that was counted.
    room: i64,
    counted_to: Time,
    /// The end of the newest portion.
    sampled_to: Time,
    /// Portions that are not yet healthy time, oldest first.
    waiting: VecDeque<Portion>,
    healthy: Profile,
    /// The newer half of `healthy`.
    newer: Profile,
    missed_at: Option<Time>,
    suspicion: Suspicion,
    /// Ticks since suspects were looked for.
    ticks: usize,
}

/// The sample of one tick.
struct Portion {
    from: Time,
    to: Time,
    profile: Profile,
}

/// Who is suspected, and for how long.
#[derive(Clone, Debug, Default, PartialEq)]
struct Suspicion {
    suspects: Vec<Suspect>,
    /// How often in a row each service was surely failing.
    failing: BTreeMap<String, usize>,
    /// Since when, and when last, it was more likely than not that something is at fault.
    since: Option<Time>,
    at: Option<Time>,
}

/// The answer of a tick: what is told, and what is learned from it afterwards.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Who behaves otherwise than in healthy time, most likely first.
    pub suspects: Vec<Suspect>,
    /// Those that fail, surely and not only just now, though nobody misses an objective. Slowness that nobody feels is
    /// not told.
    pub silent_failures: Vec<Suspect>,
    missed_at: Option<Time>,
    was_asked: bool,
    /// The change has lasted: it is how the system is meant to be.
    is_accepted: bool,
    suspicion: Suspicion,
}

impl Default for Changes {
    fn default() -> Changes {
        Changes {
            parameters: Parameters::default(),
            room: 0,
            counted_to: Time::MIN,
            sampled_to: Time::default(),
            waiting: VecDeque::new(),
            healthy: Profile::default(),
            newer: Profile::default(),
            missed_at: None,
            suspicion: Suspicion::default(),
            ticks: 0,
        }
    }
}

impl Changes {
    /// Takes in the samples of all absorbers of a tick, in the order of the traces and as far as there is room.
    pub fn take_in<'a>(&mut self, now: Time, samples: impl IntoIterator<Item = &'a Sample>) {
        let from = std::mem::replace(&mut self.sampled_to, now);
        let nanos = now.nanos_since(self.counted_to.max(now - Duration::from_secs(1))).max(0);
        self.room = (self.room + nanos * SPANS_PER_SECOND / 1_000_000_000).min(SPANS_PER_SECOND);
        self.counted_to = now;
        let of_sample = |sample: &'a Sample| sample.traces.iter().map(move |trace| (trace, &sample.spans));
        let mut traces: Vec<(&SampledTrace, &SpanBatch)> = samples.into_iter().flat_map(of_sample).collect();
        traces.sort_by_key(|(trace, _)| trace.order);
        let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
        let mut profile = Profile::default();
        for (trace, spans) in traces {
            if self.room <= 0 {
                break;
            }
            let taken = taken.entry(&trace.entry).or_default();
            if *taken < TRACES_EACH {
                *taken += 1;
                self.room -= trace.rows.len() as i64;
                let columns = spans.columns();
                let tree = Tree::build(trace.rows.clone().map(|row| columns.row(row)));
                // Pods are told apart by all of their requests elsewhere (`service_state`), and would be most of the
                // rows here.
                profile.absorb(&tree.map(|span| SpanRow { pod: "", ..*span }));
            }
        }
        self.waiting.push_back(Portion { from, to: now, profile });
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all([&mut self.counted_to, &mut self.sampled_to]);
        let bad = [&mut self.missed_at, &mut self.suspicion.since, &mut self.suspicion.at];
        step.move_all(bad.into_iter().flatten());
        step.move_all(self.waiting.iter_mut().flat_map(|portion| [&mut portion.from, &mut portion.to]));
    }

    /// Who behaves otherwise than in healthy time. Asked anew at each tick where an objective is `missed` or little is to
    /// be compared, and else every so often: a change that nobody feels can wait for it.
    pub fn find(&self, now: Time, missed: bool) -> Answer {
        let missed_at = if missed { Some(now) } else { self.missed_at };
        let was_asked = missed || self.ticks + 1 > (self.healthy.rows() / ROWS_A_TICK).min(TICKS_MAX - 1);
        let mut suspicion = if was_asked { self.localise(now) } else { self.suspicion.clone() };
        let lasted = |since: Time| since + ACCEPTED_AFTER <= now && missed_at.is_none_or(|missed| missed < since);
        let is_accepted = suspicion.since.is_some_and(lasted);
        if is_accepted {
            suspicion = Suspicion { failing: suspicion.failing, ..Suspicion::default() };
        }
        let lasts =
            |suspect: &&Suspect| suspicion.failing.get(&suspect.service).is_some_and(|times| *times >= ANSWERS_MIN);
        let is_calm = missed_at.is_none_or(|missed| missed + CALM <= now);
        let silent_failures = suspicion.suspects.iter().filter(lasts).filter(|_| is_calm).cloned().collect();
        let suspects = suspicion.suspects.clone();
        Answer { suspects, silent_failures, missed_at, was_asked, is_accepted, suspicion }
    }

    fn localise(&self, now: Time) -> Suspicion {
        let mut suspects = Vec::new();
        if self.healthy.traces() >= HEALTHY_TRACES_MIN {
            let (mut incident, mut portions) = (Profile::default(), self.waiting.iter().rev().peekable());
            // Where there is much to compare, the longer alone: the shorter would show little of each.
            for view in if self.healthy.rows() > ROWS_A_TICK { &VIEWS[1..] } else { &VIEWS[..] } {
                while let Some(portion) = portions.next_if(|portion| portion.to + *view > now) {
                    incident.merge(&portion.profile);
                }
                suspects = localise_from(TOLD_SCORE_MIN, &self.healthy, &incident, &self.parameters).suspects;
                if suspects.first().is_some_and(Suspect::is_sure) {
                    break;
                }
            }
            suspects.retain(|suspect| suspect.score >= TOLD_SCORE_MIN);
            suspects.truncate(TOLD_MAX);
        }
        // An early return has status OK. Errors that objectives allow are no matter, and others are missed objectives.
        let has_errors =
            |s: &Suspect| [s.components.failing, s.components.refused].iter().flatten().any(|log| *log > 0.0);
        let is_failing = |s: &&Suspect| s.is_sure() && s.verdict == Verdict::Failing && !s.peer && !has_errors(s);
        let times = |service: &str| self.suspicion.failing.get(service).copied().unwrap_or(0) + 1;
        let failing = suspects.iter().filter(is_failing).map(|s| (s.service.clone(), times(&s.service))).collect();
        let is_likely = suspects.first().is_some_and(|suspect| suspect.score >= LIKELY);
        let (since, at) =
            if is_likely { (self.suspicion.since.or(Some(now)), Some(now)) } else { (None, self.suspicion.at) };
        Suspicion { suspects, failing, since, at }
    }

    /// Learns from the answer of a tick, if there was one, and the portions whose quarantine is over.
    pub fn learn(&mut self, now: Time, answer: Option<Answer>) {
        if let Some(answer) = answer {
            self.missed_at = answer.missed_at;
            self.ticks = if answer.was_asked { 0 } else { self.ticks + 1 };
            self.suspicion = answer.suspicion;
            if answer.is_accepted {
                (self.healthy, self.newer) = Default::default();
            }
        }
        while self.waiting.front().is_some_and(|portion| portion.to + QUARANTINE <= now)
            && let Some(portion) = self.waiting.pop_front()
        {
            let is_clear = |bad: Option<Time>| bad.is_none_or(|bad| bad + QUARANTINE < portion.from);
            if is_clear(self.missed_at) && is_clear(self.suspicion.at) {
                self.healthy.merge(&portion.profile);
                self.newer.merge(&portion.profile);
            }
        }
        if self.newer.spans() >= HALF_SPANS {
            self.healthy = std::mem::take(&mut self.newer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, SpanBuilder, SpanId, TraceId};

    /// Shop asks stock for every order, and keeps asking or not.
    struct Shop {
        changes: Changes,
        orders: u128,
        missed: bool,
        answer: Option<Answer>,
    }

    impl Shop {
        fn new() -> Shop {
            Shop { changes: Changes::default(), orders: 0, missed: false, answer: None }
        }

        /// An order, by a span or by three; each with its own order among traces.
        fn order(&mut self, now: Time, asks_stock: bool) -> Sample {
            self.orders += 1;
            let trace_id = TraceId(self.orders.to_be_bytes());
            // Durations differ, as they do.
            let own_ns = 1_000_000 * (10 + self.orders as i64 * 7 % 5);
            let row = |id: u8, parent: Option<u8>, kind, service, operation, from, to| SpanRow {
                trace_id,
                span_id: SpanId([id; 8]),
                parent_span_id: parent.map(|id| SpanId([id; 8])),
                kind,
                service,
                operation,
                pod: "0",
                start: Time(now.0 + from),
                duration_ns: to - from,
                ..SpanRow::default()
            };
            let mut builder = SpanBuilder::new();
            let end = if asks_stock { 4 * own_ns } else { own_ns };
            builder.append(&row(1, None, Kind::Server, "shop", "POST /order", 0, end));
            if asks_stock {
                let (from, to) = (own_ns, 3 * own_ns);
                builder.append(&row(2, Some(1), Kind::Client, "shop", "GET /stock", from, to));
                builder.append(&row(3, Some(2), Kind::Server, "stock", "GET /stock", from + 500_000, to - 500_000));
            }
            let spans = builder.finish();
            let entry = "shop POST /order".into();
            Sample { traces: vec![SampledTrace { order: trace_id.mixed(), entry, rows: 0..spans.len() }], spans }
        }

        /// A tick with so many orders; every so many of them does not ask.
        fn tick(&mut self, now: Time, orders: u64, every: Option<u64>) {
            let asks = |order: u64| every.is_none_or(|every| !order.is_multiple_of(every));
            let samples: Vec<Sample> = (0..orders).map(|order| self.order(now, asks(order))).collect();
            self.changes.take_in(now, &samples);
            let answer = self.changes.find(now, self.missed);
            self.answer = Some(answer.clone());
            self.changes.learn(now, Some(answer));
        }

        fn seconds(&mut self, seconds: std::ops::Range<i64>, every: Option<u64>) {
            seconds.for_each(|second| self.tick(Time::from_secs(second), 20, every));
        }

        fn suspects(&self) -> usize {
            self.answer.as_ref().map_or(0, |answer| answer.suspects.len())
        }

        fn silent_failures(&self) -> Vec<String> {
            let told = self.answer.iter().flat_map(|answer| &answer.silent_failures);
            told.map(|suspect| suspect.service.clone()).collect()
        }
    }

    #[test]
    fn a_service_that_answers_early_is_named_though_nothing_is_missed() {
        let mut shop = Shop::new();
        shop.seconds(0..100, None);
        assert_eq!(shop.suspects(), 0);
        shop.seconds(100..106, Some(3));
        assert_eq!(shop.silent_failures(), ["shop"]);
        shop.missed = true;
        shop.seconds(106..107, Some(3));
        assert_eq!(shop.silent_failures(), [""; 0], "where one is missed, the bottleneck says more");
    }

    #[test]
    fn an_answer_changes_nothing() {
        let mut shop = Shop::new();
        shop.seconds(0..100, None);
        shop.seconds(100..106, Some(3));
        let now = Time::from_secs(106);
        assert_eq!(shop.changes.find(now, false), shop.changes.find(now, false));
    }

    #[test]
    fn a_change_is_not_learned_until_it_has_lasted() {
        let mut shop = Shop::new();
        shop.seconds(0..100, None);
        shop.seconds(100..690, Some(3));
        assert_eq!(shop.silent_failures(), ["shop"], "for ten minutes");
        shop.seconds(690..800, Some(3));
        assert_eq!(shop.suspects(), 0, "then it is how the shop works");
    }

    #[test]
    fn what_was_missed_is_not_learned() {
        let mut shop = Shop::new();
        shop.seconds(0..61, None);
        let known = shop.changes.healthy.traces();
        shop.missed = true;
        shop.seconds(61..120, None);
        let learned = shop.changes.healthy.traces() - known;
        assert_eq!(learned, 0, "neither during it nor in the fifteen seconds before");
    }

    #[test]
    fn the_sample_is_bounded_and_the_same_in_any_order() {
        let mut shop = Shop::new();
        let now = Time::from_secs(1);
        let mut samples: Vec<Sample> = (0..10_000).map(|_| shop.order(now, true)).collect();
        let taken = |samples: &[Sample]| {
            let mut changes = Changes::default();
            changes.take_in(now, samples);
            changes.waiting.pop_back().expect("taken in").profile
        };
        let forward = taken(&samples);
        assert_eq!(forward.traces(), TRACES_EACH as u64);
        samples.reverse();
        assert_eq!(taken(&samples), forward);
        for (n, sample) in samples.iter_mut().enumerate() {
            sample.traces[0].entry = format!("shop POST /order/{n}").as_str().into();
        }
        let most = SPANS_PER_SECOND as u64 + 3;
        assert!(taken(&samples).spans() <= most, "{}", taken(&samples).spans());
    }

    #[test]
    fn while_nothing_is_asked_portions_do_not_pile_up() {
        let mut changes = Changes::default();
        for second in 0..1000 {
            changes.take_in(Time::from_secs(second), []);
            changes.learn(Time::from_secs(second), None);
        }
        assert!(changes.waiting.len() < 20, "{}", changes.waiting.len());
    }
}
