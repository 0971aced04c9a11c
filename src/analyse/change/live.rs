//! What changed of late, asked in the loop as `diagnose` asks it of files: a sample of the traces of the last seconds
//! beside a sample of healthy time.
//!
//! Objectives tell that requests are slow or fail. A service that answers at once, with OK and without doing its work,
//! misses none of them; the shape of its traces tells. The sample is bounded, and with it what it costs, however many
//! spans come: a share of the loud entry operations, all of the quiet ones.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::analyse::change::{Parameters, Profile, Suspect, localise_from};
use crate::analyse::findings::Verdict;
use crate::analyse::trace::Tree;
use crate::model::{ClockStep, Span, SpanRow, Symbol, Symbols, Time, TraceId};

/// Spans a second in the sample; as many may come at once.
const SPANS_PER_SECOND: i64 = 1_000;
/// Traces of one entry operation between two ticks. An average of more is hardly better, and others have room.
const TRACES_EACH: u32 = 10;
/// What is judged as one: the shorter tells sooner, the longer of quieter ones; as the rest of the analysis does.
const VIEWS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(8)];
/// Rows of healthy time that are compared in a tick, in a millisecond or two. Of more, the answer is that of an earlier tick …
const ROWS_A_TICK: usize = 1_000;
/// … of this many at most, unless an objective is missed.
const TICKS_MAX: usize = 5;
/// How long a portion of the sample waits before it counts as healthy, and for how long before it nothing may have been
/// missed; as for the rest of healthy time (`baseline`).
const QUARANTINE: Duration = Duration::from_secs(15);
/// Spans of one half of healthy time: the older half is forgotten when the newer has as many. A few minutes.
const HALF_SPANS: u64 = 100_000;
/// Traces of healthy time from which on anything can be said to have changed.
const HEALTHY_TRACES_MIN: u64 = 300;
/// A change of which it is more likely than not that it is a fault is not learnt …
const LIKELY: f64 = 0.5;
/// … until it has lasted this long without an objective missed. Then it is how the system is meant to be: a release that
/// no longer calls somebody.
const ACCEPTED_AFTER: Duration = Duration::from_secs(600);
/// Answers in a row by which a service is failing before that is told: where users will feel it, they do by then.
const ANSWERS_MIN: usize = 3;
/// Time without a missed objective before that: what was given up while one was missed ends, is analysed and leaves the
/// sample within it.
const CALM: Duration = Duration::from_secs(20);
/// Suspects that are told, and how likely they are at least.
const TOLD_MAX: usize = 3;
const TOLD_SCORE_MIN: f64 = 0.1;

pub struct Changes {
    parameters: Parameters,
    /// Spans that may still be taken, and until when that was counted.
    room: i64,
    counted_to: Time,
    /// Traces of each entry operation since the last tick.
    taken: HashMap<Symbol, u32, RandomState>,
    under_way: Portion,
    /// Portions that are over and not yet healthy time, oldest first.
    waiting: VecDeque<Portion>,
    healthy: Profile,
    /// The newer half of `healthy`.
    newer: Profile,
    missed_at: Option<Time>,
    suspected_since: Option<Time>,
    suspected_at: Option<Time>,
    suspects: Vec<Suspect>,
    /// Ticks since they were asked for.
    ticks: usize,
    /// How often in a row each service was surely failing.
    failing: BTreeMap<String, usize>,
}

/// The sample between two ticks.
#[derive(Default)]
struct Portion {
    from: Time,
    to: Time,
    profile: Profile,
}

impl Default for Changes {
    fn default() -> Changes {
        Changes {
            parameters: Parameters::default(),
            room: 0,
            counted_to: Time::MIN,
            taken: HashMap::default(),
            under_way: Portion::default(),
            waiting: VecDeque::new(),
            healthy: Profile::default(),
            newer: Profile::default(),
            missed_at: None,
            suspected_since: None,
            suspected_at: None,
            suspects: Vec::new(),
            ticks: 0,
            failing: BTreeMap::new(),
        }
    }
}

impl Changes {
    /// Makes room for the spans of the time since the last call.
    pub fn refill(&mut self, now: Time) {
        let nanos = now.nanos_since(self.counted_to.max(now - Duration::from_secs(1))).max(0);
        self.room = (self.room + nanos * SPANS_PER_SECOND / 1_000_000_000).min(SPANS_PER_SECOND);
        self.counted_to = now;
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all([&mut self.counted_to]);
        let bad = [&mut self.missed_at, &mut self.suspected_since, &mut self.suspected_at];
        step.move_all(bad.into_iter().flatten());
        let portions = self.waiting.iter_mut().chain([&mut self.under_way]);
        step.move_all(portions.flat_map(|portion| [&mut portion.from, &mut portion.to]));
    }

    /// Takes a complete trace into the sample, if there is room for it.
    pub fn offer(&mut self, entry: Symbol, trace: TraceId, tree: &Tree<Span>, symbols: &Symbols) {
        if self.room <= 0 {
            return;
        }
        let taken = self.taken.entry(entry).or_default();
        if *taken < TRACES_EACH {
            *taken += 1;
            self.room -= tree.nodes.len() as i64;
            // Pods are told apart by all of their requests elsewhere (`service_now`), and would be most of the rows here.
            self.under_way.profile.absorb(&tree.map(|span| SpanRow { pod: "", ..span.row(trace, symbols) }));
        }
    }

    /// The symbols are about to be renewed.
    pub fn forget_symbols(&mut self) {
        self.taken.clear();
    }

    /// Who behaves otherwise than in healthy time, most likely first. Asked anew at each tick where an objective is `missed`
    /// or little is to be compared, and else every so often: a change that nobody feels can wait for it.
    pub fn find(&mut self, now: Time, missed: bool) -> &[Suspect] {
        if missed {
            self.missed_at = Some(now);
        }
        self.taken.clear();
        let next = Portion { from: now, ..Portion::default() };
        self.waiting.push_back(Portion { to: now, ..std::mem::replace(&mut self.under_way, next) });
        self.ticks += 1;
        if missed || self.ticks > (self.healthy.rows() / ROWS_A_TICK).min(TICKS_MAX - 1) {
            self.ticks = 0;
            self.localise(now);
        }
        self.learn(now);
        &self.suspects
    }

    /// Who fails, surely and not only just now, though nobody misses an objective. Slowness that nobody feels is not told.
    pub fn silent_failures(&self, now: Time) -> Vec<Suspect> {
        if self.missed_at.is_some_and(|missed| missed + CALM > now) {
            return Vec::new();
        }
        let lasts = |suspect: &&Suspect| self.failing.get(&suspect.service).is_some_and(|times| *times >= ANSWERS_MIN);
        self.suspects.iter().filter(lasts).cloned().collect()
    }

    fn localise(&mut self, now: Time) {
        self.suspects.clear();
        if self.healthy.traces() >= HEALTHY_TRACES_MIN {
            let (mut incident, mut portions) = (Profile::default(), self.waiting.iter().rev().peekable());
            // Where there is much to compare, the longer alone: the shorter would show little of each.
            for view in if self.healthy.rows() > ROWS_A_TICK { &VIEWS[1..] } else { &VIEWS[..] } {
                while let Some(portion) = portions.next_if(|portion| portion.to + *view > now) {
                    incident.merge(&portion.profile);
                }
                self.suspects = localise_from(TOLD_SCORE_MIN, &self.healthy, &incident, &self.parameters).suspects;
                if self.suspects.first().is_some_and(Suspect::is_sure) {
                    break;
                }
            }
            self.suspects.retain(|suspect| suspect.score >= TOLD_SCORE_MIN);
            self.suspects.truncate(TOLD_MAX);
        }
        let is_failing = |s: &&Suspect| s.is_sure() && s.verdict == Verdict::Failing && !s.peer;
        let failing = self.suspects.iter().filter(is_failing);
        let times = |service: &str| self.failing.get(service).copied().unwrap_or(0) + 1;
        self.failing = failing.map(|suspect| (suspect.service.clone(), times(&suspect.service))).collect();
        if self.suspects.first().is_some_and(|suspect| suspect.score >= LIKELY) {
            self.suspected_since.get_or_insert(now);
            self.suspected_at = Some(now);
        } else {
            self.suspected_since = None;
        }
    }

    /// Learns the portions whose quarantine is over.
    fn learn(&mut self, now: Time) {
        let lasted = |since: Time| since + ACCEPTED_AFTER <= now;
        if self.suspected_since.is_some_and(|since| lasted(since) && self.missed_at.is_none_or(|missed| missed < since))
        {
            (self.healthy, self.newer) = Default::default();
            (self.suspected_since, self.suspected_at) = (None, None);
            self.suspects.clear();
        }
        while self.waiting.front().is_some_and(|portion| portion.to + QUARANTINE <= now)
            && let Some(portion) = self.waiting.pop_front()
        {
            let is_clear = |bad: Option<Time>| bad.is_none_or(|bad| bad + QUARANTINE < portion.from);
            if is_clear(self.missed_at) && is_clear(self.suspected_at) {
                self.healthy.merge(&portion.profile);
                self.newer.merge(&portion.profile);
            }
        }
        if self.newer.spans() >= HALF_SPANS {
            self.healthy = std::mem::take(&mut self.newer);
            self.newer = Profile::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, SpanBuilder, SpanId};

    /// Shop asks stock for every order, and keeps asking or not.
    struct Shop {
        changes: Changes,
        symbols: Symbols,
        orders: u128,
        missed: bool,
    }

    impl Shop {
        fn new() -> Shop {
            Shop { changes: Changes::default(), symbols: Symbols::default(), orders: 0, missed: false }
        }

        fn order(&mut self, now: Time, asks_stock: bool) {
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
                builder.append(&row(2, Some(1), Kind::Client, "shop", "GET /stock", own_ns, 3 * own_ns));
                builder.append(&row(
                    3,
                    Some(2),
                    Kind::Server,
                    "stock",
                    "GET /stock",
                    own_ns + 500_000,
                    3 * own_ns - 500_000,
                ));
            }
            let batch = builder.finish();
            let tree = Tree::build(batch.spans(&mut self.symbols).map(|(_, span)| span));
            let root = tree.nodes[tree.root.unwrap()].span;
            let entry = self.symbols.entry(root.service, root.operation);
            self.changes.offer(entry, trace_id, &tree, &self.symbols);
        }

        /// Seconds of twenty orders each; every so many of them does not ask.
        fn seconds(&mut self, seconds: std::ops::Range<i64>, every: Option<u128>) {
            for second in seconds {
                let now = Time::from_secs(second);
                self.changes.refill(now);
                for order in 0..20 {
                    self.order(now, every.is_none_or(|every| order % every != 0));
                }
                self.changes.find(now, self.missed);
            }
        }

        fn silent_failures(&self) -> Vec<String> {
            let silent_failures = self.changes.silent_failures(self.changes.under_way.from);
            silent_failures.into_iter().map(|suspect| suspect.service).collect()
        }
    }

    #[test]
    fn a_service_that_answers_early_is_named_though_nothing_is_missed() {
        let mut shop = Shop::new();
        shop.seconds(0..100, None);
        assert_eq!(shop.changes.suspects, vec![]);
        shop.seconds(100..106, Some(3));
        assert_eq!(shop.silent_failures(), ["shop"]);
        let now = shop.changes.under_way.from;
        shop.changes.find(now, true);
        assert_eq!(shop.silent_failures(), [""; 0], "where one is missed, the bottleneck says more");
    }

    #[test]
    fn a_change_is_not_learnt_until_it_has_lasted() {
        let mut shop = Shop::new();
        shop.seconds(0..100, None);
        shop.seconds(100..690, Some(3));
        assert_eq!(shop.silent_failures(), ["shop"], "for ten minutes");
        shop.seconds(690..800, Some(3));
        assert_eq!(shop.changes.suspects, vec![], "then it is how the shop works");
    }

    #[test]
    fn what_was_missed_is_not_learnt() {
        let mut shop = Shop::new();
        shop.seconds(0..61, None);
        let known = shop.changes.healthy.traces();
        shop.missed = true;
        shop.seconds(61..120, None);
        let learnt = shop.changes.healthy.traces() - known;
        assert_eq!(learnt, 0, "neither during it nor in the fifteen seconds before");
    }

    #[test]
    fn the_sample_is_bounded() {
        let mut shop = Shop::new();
        shop.changes.refill(Time::from_secs(1));
        (0..10_000).for_each(|_| shop.order(Time::from_secs(1), true));
        assert_eq!(shop.changes.under_way.profile.traces(), u64::from(TRACES_EACH));
        shop.changes.forget_symbols();
        (0..10_000).for_each(|_| shop.order(Time::from_secs(1), true));
        let most = SPANS_PER_SECOND as u64 + 3;
        assert!(shop.changes.under_way.profile.spans() <= most, "{}", shop.changes.under_way.profile.spans());
    }
}
