//! Traces put together from spans that come in any order, late, twice, or without their root.
//!
//! A trace is complete when its root has been seen and telemetry is complete up to the root's end; one
//! without a root is closed as partial when it has been idle for long. Closed ids are remembered for a while,
//! so that a late or repeated span is counted as such and opens no second trace.

use std::collections::BTreeSet;
use std::time::Duration;

use indexmap::IndexMap;

use super::{Config, RowRef};
use crate::model::{SpanId, SpanRow, Time, TraceId};

/// How long a closed trace's id is remembered: well past the late spans of a Collector's retries.
const CLOSED_MEMORY: Duration = Duration::from_secs(60);

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
    /// In order of arrival; the critical path does not depend on it.
    pub spans: Vec<RowRef>,
    pub has_root: bool,
}

struct OpenTrace {
    spans: Vec<(SpanId, RowRef)>,
    /// End of the root span, once seen (the latest, should there be several).
    root_end: Option<Time>,
    newest_end: Time,
    /// The key under which it stands in `due`.
    due: Time,
}

#[derive(Default)]
pub(super) struct Assembly {
    open: IndexMap<TraceId, OpenTrace>,
    /// Open traces by the event time at which they may be closed.
    due: BTreeSet<(Time, TraceId)>,
    closed: IndexMap<TraceId, ()>,
    closed_by_time: BTreeSet<(Time, TraceId)>,
    counters: AssemblyCounters,
}

impl Assembly {
    pub fn add(&mut self, config: &Config, span: &SpanRow<'_>, end: Time, at: RowRef) {
        if self.closed.contains_key(&span.trace_id) {
            self.counters.late_spans += 1;
            return;
        }
        let is_root = span.parent_span_id.is_none();
        let trace = self.open.entry(span.trace_id).or_insert_with(|| OpenTrace {
            spans: Vec::with_capacity(8),
            root_end: None,
            newest_end: Time::MIN,
            due: Time::MIN,
        });
        if trace.spans.iter().any(|(id, _)| *id == span.span_id) {
            self.counters.duplicate_spans += 1;
            return;
        }
        if trace.spans.len() >= config.trace_spans_max {
            self.counters.surplus_spans += 1;
            return;
        }
        trace.spans.push((span.span_id, at));
        trace.newest_end = trace.newest_end.max(end);
        if is_root {
            trace.root_end = Some(trace.root_end.map_or(end, |known| known.max(end)));
        }
        // A rooted trace is due at its root's end; children that outlive it are clipped anyway.
        let due = trace.root_end.unwrap_or(trace.newest_end + config.trace_idle);
        if due != trace.due {
            self.due.remove(&(trace.due, span.trace_id));
            self.due.insert((due, span.trace_id));
            trace.due = due;
        }
    }

    /// Closes every trace that is due at `complete_to`, in order of (due, id).
    pub fn close(&mut self, config: &Config, complete_to: Time) -> Vec<AssembledTrace> {
        let mut traces = Vec::new();
        while let Some(&(due, id)) = self.due.first() {
            let forced = self.open.len() > config.open_traces_max;
            if due > complete_to && !forced {
                break;
            }
            self.counters.forced += u64::from(due > complete_to);
            self.due.pop_first();
            let Some(trace) = self.open.swap_remove(&id) else { continue };
            self.counters.closed += 1;
            self.counters.partial += u64::from(trace.root_end.is_none());
            self.closed.insert(id, ());
            self.closed_by_time.insert((due, id));
            traces.push(AssembledTrace {
                id,
                has_root: trace.root_end.is_some(),
                spans: trace.spans.into_iter().map(|(_, at)| at).collect(),
            });
        }
        let forget = complete_to - CLOSED_MEMORY;
        while let Some(&(closed_at, id)) = self.closed_by_time.first()
            && closed_at < forget
        {
            self.closed_by_time.pop_first();
            self.closed.swap_remove(&id);
        }
        traces
    }

    pub fn open(&self) -> usize {
        self.open.len()
    }

    pub fn counters(&self) -> AssemblyCounters {
        self.counters
    }
}
