//! Traces put together from spans that come in any order, late, twice, or without their root.
//!
//! A trace is complete when its root has been seen and telemetry is complete up to the root's end; one
//! without a root is closed as partial when it has been idle for long. Closed ids are remembered for a while,
//! so that a late or repeated span is counted as such and opens no second trace.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

use super::Config;
use crate::model::{Span, Symbols, Time, TraceId};

/// How long a closed trace's id is remembered: well past the late spans of a Collector's retries.
const CLOSED_MEMORY: Duration = Duration::from_secs(60);
/// Closed ids remembered at most, about 60 bytes each; at more than this a minute the oldest are forgotten earlier.
const CLOSED_MAX: usize = 1_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssemblyCounters {
    pub closed: u64,
    /// Closed without their root.
    pub partial: u64,
    pub duplicate_spans: u64,
    /// Spans of traces that were closed before they came.
    pub late_spans: u64,
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
    spans: Vec<Span>,
    /// End of the root span, once seen (the latest, should there be several).
    root_end: Option<Time>,
    newest_end: Time,
    /// The earliest of its entries in the queue.
    queued: Time,
}

impl OpenTrace {
    /// A rooted trace is due at its root's end; children that outlive it are clipped anyway.
    fn due(&self, config: &Config) -> Time {
        self.root_end.unwrap_or(self.newest_end + config.trace_idle)
    }
}

#[derive(Default)]
pub(super) struct Assembly {
    open: HashMap<TraceId, OpenTrace, RandomState>,
    /// Open traces by the event time at which they may be closed. A trace is due later with every span that comes
    /// before its root, so an entry is a lower bound: it is put back when its turn comes too early.
    queue: BinaryHeap<Reverse<(Time, TraceId)>>,
    closed: HashSet<TraceId, RandomState>,
    closed_by_time: VecDeque<(Time, TraceId)>,
    /// Spans of open traces.
    spans: usize,
    /// Memory of traces that are gone, for new ones.
    spare: Vec<Vec<Span>>,
    counters: AssemblyCounters,
}

/// Memory kept for new traces: of as many as close at once, and of none that was large.
const SPARE_MAX: usize = 1_000;
const SPARE_SPANS_MAX: usize = 64;

impl Assembly {
    /// Adds a span that ended at `end`, by the receiver's clock.
    pub fn add(&mut self, config: &Config, id: TraceId, span: Span, end: Time) {
        let trace = match self.open.entry(id) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(_) if self.closed.contains(&id) => {
                self.counters.late_spans += 1;
                return;
            }
            Entry::Vacant(new) => new.insert(OpenTrace {
                spans: self.spare.pop().unwrap_or_default(),
                root_end: None,
                newest_end: Time::MIN,
                queued: Time(i64::MAX),
            }),
        };
        if trace.spans.len() >= config.trace_spans_max {
            self.counters.surplus_spans += 1;
            return;
        }
        trace.spans.push(span);
        self.spans += 1;
        trace.newest_end = trace.newest_end.max(end);
        if span.parent.is_none() {
            trace.root_end = Some(trace.root_end.map_or(end, |known| known.max(end)));
        }
        let due = trace.due(config);
        if due < trace.queued {
            trace.queued = due;
            self.queue.push(Reverse((due, id)));
        }
    }

    /// Closes every trace that is due at `complete_to`, in order of (due, id).
    pub fn close(&mut self, config: &Config, complete_to: Time) -> Vec<AssembledTrace> {
        let mut traces = Vec::new();
        while let Some(&Reverse((queued, id))) = self.queue.peek() {
            let forced = self.open.len() > config.open_traces_max;
            if queued > complete_to && !forced {
                break;
            }
            self.queue.pop();
            let Some(trace) = self.open.get_mut(&id) else { continue };
            if trace.queued != queued {
                continue;
            }
            let due = trace.due(config);
            if due > queued {
                trace.queued = due;
                self.queue.push(Reverse((due, id)));
                continue;
            }
            let Some(trace) = self.open.remove(&id) else { continue };
            self.counters.forced += u64::from(due > complete_to);
            self.counters.closed += 1;
            self.counters.partial += u64::from(trace.root_end.is_none());
            if self.closed.insert(id) {
                self.closed_by_time.push_back((due, id));
            }
            self.spans -= trace.spans.len();
            traces.push(AssembledTrace { id, has_root: trace.root_end.is_some(), spans: trace.spans });
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
        self.open.contains_key(id)
    }

    /// Bytes of the spans of open traces.
    pub fn bytes(&self) -> usize {
        self.spans * size_of::<Span>()
    }

    /// Writes the spans of open traces in the symbols of another table.
    pub fn translate(&mut self, from: &Symbols, to: &mut Symbols) {
        // Symbols are numbered as they come: in the same order on every run.
        let mut open: Vec<_> = self.open.iter_mut().collect();
        open.sort_unstable_by_key(|(id, _)| **id);
        let spans = open.into_iter().flat_map(|(_, trace)| &mut trace.spans);
        spans.for_each(|span| *span = span.translated(from, to));
    }

    pub fn settle(&mut self, traces: Vec<AssembledTrace>, repeated: usize) {
        self.counters.duplicate_spans += repeated as u64;
        let fit = traces.into_iter().map(|trace| trace.spans).filter(|spans| spans.capacity() <= SPARE_SPANS_MAX);
        for mut spans in fit.take(SPARE_MAX.saturating_sub(self.spare.len())) {
            spans.clear();
            self.spare.push(spans);
        }
    }

    pub fn open(&self) -> usize {
        self.open.len()
    }

    pub fn counters(&self) -> AssemblyCounters {
        self.counters
    }
}
