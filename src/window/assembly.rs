//! Traces put together from spans that come in any order, late, twice, or without their root.
//!
//! Work that a trace set off and that begins when it is closed, such as taking its messages, is a later part of it, and
//! analysed by itself: no trace stays open for it.
//!
//! A trace is complete when its root has been seen and telemetry is complete up to the root's end. One whose root has not
//! come is complete a [moment](RootGrace) after its newest span where it begins with a span whose caller sends none, and
//! is closed as partial when it has been idle for long where it does not. Closed ids are remembered for a while, so that a
//! late or repeated span is counted as such and opens no second trace.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use slab::Slab;

use super::Config;
use super::root_grace::RootGrace;
use crate::model::{ClockStep, Kind, Span, Symbols, Time, TraceId, first_top};

/// How long a closed trace's id is remembered: well past the late spans of a Collector's retries.
const CLOSED_MEMORY: Duration = Duration::from_secs(60);
/// Closed ids remembered at most, about 70 bytes each; at more than this a minute the oldest are forgotten earlier.
const CLOSED_MAX: usize = 1_000_000;

/// When a span ended, by the receiver's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    At(Time),
    /// Its host's clock cannot be used: before it was received.
    Before(Time),
}

/// How long a trace waits for its root where nobody is known to send one: until it is, nothing can be said of the system.
const FIRST_PATIENCE: Duration = Duration::from_secs(2);

/// Where a trace begins whose root has not come, going by the first of its spans that is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// There: its caller sends no spans.
    Here,
    /// Before it, as its caller sent spans at other times.
    Elsewhere,
    /// Nobody was seen yet who calls it.
    Unknown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssemblyCounters {
    pub closed: u64,
    /// Closed without their root.
    pub partial: u64,
    pub duplicate_spans: u64,
    /// Spans of traces that were closed before they came.
    pub late_spans: u64,
    /// Roots among them, of traces that were closed without one.
    pub late_roots: u64,
    /// Spans past `trace_spans_max`.
    pub surplus_spans: u64,
    /// Traces closed early because `open_traces_max` was reached.
    pub forced: u64,
}

/// A trace that will not change any more.
#[derive(Clone, Debug, PartialEq)]
pub struct AssembledTrace {
    pub id: TraceId,
    /// As they came; one that was sent twice may be there twice.
    pub spans: Vec<Span>,
    pub has_root: bool,
}

struct OpenTrace {
    id: TraceId,
    spans: Vec<Span>,
    /// End of the root span, once seen (the latest, should there be several).
    root_end: Option<Time>,
    newest_end: Time,
    /// It is closed already, and this is work that it set off.
    is_later_part: bool,
    /// Its root has not come for a moment, and it does not begin where traces begin without one: it waits until it is idle.
    waits: bool,
    /// How long it then waits at most.
    patience: Duration,
    /// The earliest of its entries in the queue.
    queued: Time,
}

impl OpenTrace {
    /// A rooted trace is due at its root's end; children that outlive it are clipped anyway.
    fn due(&self, config: &Config, grace: &RootGrace) -> Time {
        let wait = if self.is_later_part {
            config.trace_idle
        } else if self.waits {
            self.patience.max(grace.wait()).min(config.trace_idle)
        } else {
            grace.wait().min(config.trace_idle)
        };
        self.root_end.unwrap_or(self.newest_end + wait)
    }
}

/// How a trace was closed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closed {
    WithRoot,
    /// Without, where traces begin so.
    Begun,
    /// Without, as it had been idle for long.
    Idle,
}

#[derive(Default)]
pub(super) struct Assembly {
    /// Where each open trace is. The map alone is small: what one looks up is near.
    places: HashMap<TraceId, usize, RandomState>,
    open: Slab<OpenTrace>,
    /// Open traces by the event time at which they may be closed, each with its place. A trace is due later with every
    /// span that comes before its root, so an entry is a lower bound: it is put back when its turn comes too early.
    queue: BinaryHeap<Reverse<(Time, TraceId, usize)>>,
    /// How each was closed, and when it ended.
    closed: HashMap<TraceId, (Closed, Time), RandomState>,
    closed_by_time: VecDeque<(Time, TraceId)>,
    grace: RootGrace,
    /// Open traces that wait until they are idle.
    waiting: usize,
    /// Spans of open traces.
    spans: usize,
    /// Memory of traces that are gone, for new ones.
    spare: Vec<Vec<Span>>,
    /// Spans at hand, each with when it ended, and the places of their traces.
    coming: Vec<(TraceId, Span, Ended)>,
    coming_places: Vec<Option<usize>>,
    counters: AssemblyCounters,
}

/// Memory kept for new traces: of as many as close at once, of none that was large, and of none that its trace hardly
/// used, or in time every small trace would have the room of a large one.
const SPARE_MAX: usize = 1_000;
const SPARE_SPANS_MAX: usize = 256;
const SPARE_USED_MIN: usize = 4;
/// Spans whose places are looked up together: they stay in the cache until they are put there.
const AT_ONCE: usize = 256;

impl Assembly {
    /// Adds spans of traces, each with when it ended.
    ///
    /// Most of the cost is to wait for memory: hundreds of thousands of open traces are in no cache. So all places are looked
    /// up first, in a loop in which the processor asks for many at once, and the spans are put there in a second one.
    pub fn add(&mut self, config: &Config, received_at: Time, spans: impl IntoIterator<Item = (TraceId, Span, Ended)>) {
        let mut spans = spans.into_iter();
        loop {
            let mut coming = std::mem::take(&mut self.coming);
            coming.extend(spans.by_ref().take(AT_ONCE));
            let mut places = std::mem::take(&mut self.coming_places);
            places.extend(coming.iter().map(|(id, ..)| self.place(*id)));
            let is_last = coming.is_empty();
            for ((id, span, end), place) in coming.drain(..).zip(places.drain(..)) {
                match place {
                    Some(place) => self.put(config, place, span, end),
                    None => match self.later_part(id, &span) {
                        Some(place) => self.put(config, place, span, end),
                        None => self.count_late(config, received_at, id, span),
                    },
                }
            }
            (self.coming, self.coming_places) = (coming, places);
            if is_last {
                return;
            }
        }
    }

    /// The place of a trace, opened if it is new; None for one that was closed.
    fn place(&mut self, id: TraceId) -> Option<usize> {
        match self.places.entry(id) {
            Entry::Occupied(place) => Some(*place.get()),
            Entry::Vacant(_) if self.closed.contains_key(&id) => None,
            Entry::Vacant(new) => {
                let spans = self.spare.pop().unwrap_or_default();
                let trace = OpenTrace {
                    id,
                    spans,
                    root_end: None,
                    newest_end: Time::MIN,
                    is_later_part: false,
                    waits: false,
                    patience: Duration::ZERO,
                    queued: Time(i64::MAX),
                };
                Some(*new.insert(self.open.insert(trace)))
            }
        }
    }

    /// The place of a later part of a trace that is closed, opened if it is new; None where a span is simply late.
    fn later_part(&mut self, id: TraceId, span: &Span) -> Option<usize> {
        if let Some(&place) = self.places.get(&id) {
            return Some(place);
        }
        let &(closed, ended) = self.closed.get(&id)?;
        // Only a root tells when the rest was over.
        let began_after = closed == Closed::WithRoot && span.start >= ended;
        if span.parent.is_none() || span.kind != Kind::Consumer && !began_after {
            return None;
        }
        let spans = self.spare.pop().unwrap_or_default();
        let part = OpenTrace {
            id,
            spans,
            root_end: None,
            newest_end: Time::MIN,
            is_later_part: true,
            waits: false,
            patience: Duration::ZERO,
            queued: Time(i64::MAX),
        };
        let place = self.open.insert(part);
        self.places.insert(id, place);
        Some(place)
    }

    fn count_late(&mut self, config: &Config, received_at: Time, id: TraceId, span: Span) {
        self.counters.late_spans += 1;
        if span.parent.is_some() {
            return;
        }
        let closed = self.closed.get(&id).map(|(closed, _)| *closed);
        self.counters.late_roots += u64::from(closed != Some(Closed::WithRoot));
        if closed == Some(Closed::Begun) {
            self.grace.came_late(received_at, config.trace_idle);
        }
    }

    fn put(&mut self, config: &Config, place: usize, span: Span, ended: Ended) {
        let trace = &mut self.open[place];
        if trace.spans.len() >= config.trace_spans_max {
            self.counters.surplus_spans += 1;
            return;
        }
        trace.spans.push(span);
        self.spans += 1;
        let end = match ended {
            Ended::At(end) => {
                trace.newest_end = trace.newest_end.max(end);
                end
            }
            // With the newest of what was seen of its trace: a root is sent last, and ends soon after what it waits for.
            Ended::Before(_) if trace.newest_end > Time::MIN => trace.newest_end,
            Ended::Before(received_at) => {
                trace.newest_end = received_at;
                received_at
            }
        };
        if span.parent.is_none() || trace.is_later_part && span.kind == Kind::Consumer {
            trace.root_end = Some(trace.root_end.map_or(end, |known| known.max(end)));
        }
        if std::mem::take(&mut trace.waits) {
            self.waiting -= 1;
        }
        let due = trace.due(config, &self.grace);
        // One that is due at the end of time is queued as well, or it would stay open for good.
        if due < trace.queued || trace.spans.len() == 1 {
            trace.queued = due;
            self.queue.push(Reverse((due, trace.id, place)));
        }
    }

    /// Closes every trace that is due at `complete_to`, in order of (due, id). `begins` says of the first span of a trace
    /// without a root whether traces begin there.
    pub fn close(
        &mut self,
        config: &Config,
        complete_to: Time,
        mut begins: impl FnMut(&Span) -> Beginning,
    ) -> Vec<AssembledTrace> {
        let mut traces = Vec::new();
        while let Some(&Reverse((queued, id, place))) = self.queue.peek() {
            let forced = self.open.len() > config.open_traces_max;
            if queued > complete_to && !forced {
                break;
            }
            self.queue.pop();
            // Its place may be another's by now.
            let Some(trace) = self.open.get_mut(place).filter(|trace| trace.id == id && trace.queued == queued) else {
                continue;
            };
            let mut due = trace.due(config, &self.grace);
            let is_rooted = trace.root_end.is_some();
            if due <= queued && !is_rooted && !trace.waits && !trace.is_later_part && !forced {
                match first_top(&trace.spans).map_or(Beginning::Elsewhere, |top| begins(&trace.spans[top])) {
                    Beginning::Here => self.grace.closed(complete_to),
                    beginning => {
                        trace.waits = true;
                        trace.patience =
                            if beginning == Beginning::Unknown { FIRST_PATIENCE } else { config.trace_idle };
                        self.waiting += 1;
                        due = trace.due(config, &self.grace);
                    }
                }
            }
            if due > queued {
                trace.queued = due;
                self.queue.push(Reverse((due, id, place)));
                continue;
            }
            let trace = self.open.remove(place);
            self.places.remove(&id);
            self.waiting -= usize::from(trace.waits);
            if trace.is_later_part && !is_rooted {
                // Nobody took a message: what came was late, and began as it ended.
                self.counters.late_spans += trace.spans.len() as u64;
                self.spans -= trace.spans.len();
                continue;
            }
            self.counters.forced += u64::from(due > complete_to);
            self.counters.closed += 1;
            self.counters.partial += u64::from(!is_rooted);
            let closed = match (is_rooted, trace.waits) {
                (true, _) => Closed::WithRoot,
                (false, false) => Closed::Begun,
                (false, true) => Closed::Idle,
            };
            let ended = trace.root_end.unwrap_or(trace.newest_end);
            if !trace.is_later_part && self.closed.insert(id, (closed, ended)).is_none() {
                self.closed_by_time.push_back((due, id));
            }
            self.spans -= trace.spans.len();
            traces.push(AssembledTrace { id, has_root: is_rooted, spans: trace.spans });
        }
        self.forget(complete_to - CLOSED_MEMORY);
        traces
    }

    fn forget(&mut self, before: Time) {
        while let Some(&(closed_at, id)) = self.closed_by_time.front()
            && (closed_at < before || self.closed.len() > CLOSED_MAX)
        {
            self.closed_by_time.pop_front();
            self.closed.remove(&id);
        }
    }

    pub fn is_open(&self, id: &TraceId) -> bool {
        self.places.contains_key(id)
    }

    /// Bytes of the spans of open traces.
    pub fn bytes(&self) -> usize {
        self.spans * size_of::<Span>()
    }

    /// Writes the spans of open traces in the symbols of another table.
    pub fn translate(&mut self, from: &Symbols, to: &mut Symbols) {
        // Symbols are numbered as they come: in the same order on every run.
        let mut open: Vec<_> = self.open.iter_mut().map(|(_, trace)| trace).collect();
        open.sort_unstable_by_key(|trace| trace.id);
        let spans = open.into_iter().flat_map(|trace| &mut trace.spans);
        spans.for_each(|span| *span = span.translated(from, to));
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        for (_, trace) in &mut self.open {
            step.move_all(trace.spans.iter_mut().map(|span| &mut span.start).chain(&mut trace.root_end));
            step.move_all([&mut trace.newest_end, &mut trace.queued]);
        }
        let queue = std::mem::take(&mut self.queue).into_iter();
        self.queue = queue.map(|Reverse((due, id, place))| Reverse((step.time(due), id, place))).collect();
        step.move_all(self.closed_by_time.iter_mut().map(|(at, _)| at));
        step.move_all(self.closed.values_mut().map(|(_, ended)| ended));
        self.grace.step_clock(step);
    }

    pub fn recycle(&mut self, traces: Vec<AssembledTrace>, repeated: usize) {
        self.counters.duplicate_spans += repeated as u64;
        let is_fit =
            |spans: &Vec<Span>| spans.capacity() <= SPARE_SPANS_MAX && spans.len() * SPARE_USED_MIN >= spans.capacity();
        let fit = traces.into_iter().map(|trace| trace.spans).filter(is_fit);
        for mut spans in fit.take(SPARE_MAX.saturating_sub(self.spare.len())) {
            spans.clear();
            self.spare.push(spans);
        }
    }

    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Open traces whose root has not come for longer than roots take.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How much later traces are closed whose root never comes, as long as there are any.
    pub fn root_delay(&self, complete_to: Time) -> Duration {
        self.grace.delay(complete_to)
    }

    pub fn counters(&self) -> AssemblyCounters {
        self.counters
    }
}
