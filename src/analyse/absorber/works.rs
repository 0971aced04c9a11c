//! Work that is no request: left aside, or judged by rules of its own.
//!
//! Most is known by what its spans say (`Span::work`). Streams that say nothing are known by how they behave: requests of
//! an endpoint that take long and end well, from the beginning on. What was once seen to be answered soon stays a request
//! however long it takes later: a system that hangs makes no streams.

use std::collections::{BTreeMap, VecDeque};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hex::FromHex;

use crate::analyse::thresholds::memory::{ENTRIES_MAX, SENT_MAX};
use crate::analyse::thresholds::works::{LONG_MIN, LONG_NS, SETTLED_MIN, SHORT_TIMES};
use crate::analyse::trace::TreeSpan;
use crate::model::{ClockStep, Span, SpanId, Symbol, Symbols, Text, Time, TraceId, Work};

/// How long the requests of one endpoint took.
#[derive(Clone, Copy, Debug, Default)]
struct Lives {
    short: u32,
    long: u32,
    is_settled: bool,
}

/// Endpoints by kind of work, with how many were left aside.
pub type Kinds = BTreeMap<Text, (Work, u64)>;

#[derive(Default)]
pub struct Works {
    generation: u32,
    lives: HashMap<Symbol, Lives, RandomState>,
    /// Since the last call, of other kinds than requests.
    kinds: HashMap<Symbol, (Work, u64), RandomState>,
    sent: HashMap<(TraceId, SpanId), Time, RandomState>,
    sent_by_age: VecDeque<(TraceId, SpanId)>,
}

impl Works {
    /// The kind of work of a request of an endpoint.
    pub fn of(&mut self, entry: Symbol, span: &Span, symbols: &Symbols) -> Work {
        if self.generation != symbols.generation() {
            self.generation = symbols.generation();
            self.lives.clear();
        }
        let work = match span.work {
            Work::Request if !span.is_declared && self.is_stream(entry, span) => Work::Stream,
            work => work,
        };
        if work != Work::Request {
            let (kind, aside) = self.kinds.entry(entry).or_default();
            *kind = work;
            *aside += u64::from(!work.is_timed());
        }
        work
    }

    fn is_stream(&mut self, entry: Symbol, span: &Span) -> bool {
        if self.lives.len() >= ENTRIES_MAX && !self.lives.contains_key(&entry) {
            return false;
        }
        let lives = self.lives.entry(entry).or_default();
        if lives.is_settled {
            return false;
        }
        let is_long = span.duration_ns >= LONG_NS && !span.has_failed();
        if is_long {
            lives.long = lives.long.saturating_add(1);
        } else {
            lives.short = lives.short.saturating_add(1);
        }
        lives.is_settled = lives.short >= SETTLED_MIN && lives.short > SHORT_TIMES * lives.long;
        // The first that are long may be streams or not: nothing is said of them.
        is_long || lives.long >= LONG_MIN && lives.short <= SHORT_TIMES * lives.long
    }

    /// Remembers when a message was sent, for whoever takes it later.
    pub fn note_sent(&mut self, trace: TraceId, span: SpanId, at: Time) {
        if self.sent.insert((trace, span), at).is_none() {
            self.sent_by_age.push_back((trace, span));
        }
        if self.sent_by_age.len() > SENT_MAX
            && let Some(oldest) = self.sent_by_age.pop_front()
        {
            self.sent.remove(&oldest);
        }
    }

    /// When the message was sent that a span of another trace, or of a later part of one, takes.
    pub fn sent_at(&self, trace: TraceId, sender: Option<SpanId>) -> Option<Time> {
        self.sent.get(&(trace, sender?)).copied()
    }

    /// When the message was sent that a span takes which is linked to its sender; a link as the table `spans` has it.
    pub fn sent_by(&self, link: &str) -> Option<Time> {
        let (trace, span) = link.split_once('-')?;
        let ids = (TraceId(<_>::from_hex(trace).ok()?), SpanId(<_>::from_hex(span).ok()?));
        self.sent.get(&ids).copied()
    }

    /// Endpoints of other kinds than requests since the last call.
    pub fn take(&mut self, symbols: &Symbols) -> Kinds {
        self.kinds.drain().map(|(entry, kind)| (symbols.text(entry).clone(), kind)).collect()
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.sent.values_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Names, SpanBuilder, SpanRow, Status};

    /// How many of requests of so many seconds, of which some failed, were left aside as streams.
    fn aside(requests: impl IntoIterator<Item = (f64, bool)>) -> usize {
        let (mut works, mut symbols) = (Works::default(), Symbols::default());
        let entry = symbols.of("shop GET /events");
        let mut is_stream = |(seconds, failed): (f64, bool)| {
            let mut builder = SpanBuilder::new();
            let status = if failed { Status::Error } else { Status::Unset };
            builder.append(&SpanRow { duration_ns: (seconds * 1e9) as i64, status, ..SpanRow::default() });
            let batch = builder.finish();
            let (_, span) = batch.spans(&mut symbols, &mut Names::default()).next().unwrap();
            works.of(entry, &span, &symbols) == Work::Stream
        };
        requests.into_iter().filter(|request| is_stream(*request)).count()
    }

    #[test]
    fn what_lives_long_from_the_beginning_is_a_stream() {
        assert_eq!(aside([(1800.0, false); 10]), 10);
        let half: Vec<(f64, bool)> = [(30.0, false), (5.0, false)].repeat(50);
        assert_eq!(aside(half), 98, "but for the first that seemed to be requests");
    }

    #[test]
    fn the_sender_of_a_message_is_found_by_its_link() {
        let mut works = Works::default();
        let (trace, span) = (TraceId([7; 16]), SpanId([9; 8]));
        works.note_sent(trace, span, Time(5));
        assert_eq!(works.sent_by(&format!("{trace}-{span}")), Some(Time(5)));
        assert_eq!(works.sent_by(&format!("{trace}-{}", SpanId([8; 8]))), None);
        assert_eq!([works.sent_by(""), works.sent_by("_other"), works.sent_by("07-09")], [None; 3]);
    }

    #[test]
    fn what_was_answered_soon_is_a_request_when_the_system_hangs() {
        let soon = [(0.1, false); 40];
        assert_eq!(aside(soon.into_iter().chain([(60.0, false); 100])), 0);
        assert_eq!(aside([(60.0, true); 50]), 0, "what fails after a minute is no stream");
    }
}
