//! The traces that one absorber keeps for people between two ticks, as rows: bounded, and more of those that missed
//! their objective.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, FixedSizeBinaryBuilder, Int64Builder, RecordBatch, StringViewBuilder,
    TimestampNanosecondBuilder,
};

use super::tally::Walked;
use crate::analyse::rollup::exemplars::{CRITICAL_PATH, ExemplarTables, Missed, TRACES, keep_slowest};
use crate::analyse::thresholds::memory::{MISSED_KEPT, SEGMENTS_KEPT_TICK_MAX, SEGMENTS_TICK_MAX};
use crate::analyse::trace::{SegmentKind, Tree};
use crate::model::{Span, Symbol, Symbols, TraceId};

// Ids have the width their builder was made with, and columns are built from the field lists of their schema: the
// `expect`s below cannot fail on any span.

#[derive(Default)]
pub struct ExemplarRows {
    missed: BTreeMap<Symbol, Vec<Missed>>,
    segments: usize,
    traces: TraceRows,
    paths: PathRows,
}

impl ExemplarRows {
    pub fn add(&mut self, id: TraceId, tree: &Tree<Span>, walked: &Walked, symbols: &Symbols) {
        let root = walked.node;
        if walked.missed {
            let slowest = self.missed.entry(walked.entry).or_default();
            keep_slowest(slowest, (Reverse(walked.duration_ns), id), MISSED_KEPT);
        }
        let segments_max = if walked.missed { SEGMENTS_TICK_MAX } else { SEGMENTS_KEPT_TICK_MAX };
        if self.segments >= segments_max {
            return;
        }
        self.segments += walked.path.len();
        self.traces.push(id, tree, root, walked, symbols);
        self.paths.push(id, tree, walked, symbols);
    }

    /// The rows since the last call.
    pub fn take(&mut self, symbols: &Symbols) -> ExemplarTables {
        self.segments = 0;
        let missed = std::mem::take(&mut self.missed).into_iter();
        ExemplarTables {
            traces: self.traces.finish(),
            critical_path: self.paths.finish(),
            missed: missed.map(|(entry, slowest)| (symbols.text(entry).clone(), slowest)).collect(),
        }
    }
}

fn texts() -> StringViewBuilder {
    StringViewBuilder::new().with_deduplicate_strings()
}

fn times() -> TimestampNanosecondBuilder {
    TimestampNanosecondBuilder::new().with_timezone("UTC")
}

struct TraceRows {
    ids: FixedSizeBinaryBuilder,
    starts: TimestampNanosecondBuilder,
    durations: Int64Builder,
    entries: StringViewBuilder,
    spans: Int64Builder,
    flags: [BooleanBuilder; 3],
}

impl Default for TraceRows {
    fn default() -> TraceRows {
        TraceRows {
            ids: FixedSizeBinaryBuilder::new(16),
            starts: times(),
            durations: Int64Builder::new(),
            entries: texts(),
            spans: Int64Builder::new(),
            flags: std::array::from_fn(|_| BooleanBuilder::new()),
        }
    }
}

impl TraceRows {
    fn push(&mut self, id: TraceId, tree: &Tree<Span>, root: usize, walked: &Walked, symbols: &Symbols) {
        // The builder is one of 16 bytes, and so is an id, by its type.
        self.ids.append_value(id.0).expect("16 bytes");
        self.starts.append_value(tree.nodes[root].start.0);
        self.durations.append_value(walked.duration_ns);
        self.entries.append_value(symbols.text(walked.entry));
        self.spans.append_value(tree.nodes.len() as i64);
        let flags = [walked.slow, walked.error, walked.missed];
        self.flags.iter_mut().zip(flags).for_each(|(column, flag)| column.append_value(flag));
    }

    fn finish(&mut self) -> RecordBatch {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.ids.finish()),
            Arc::new(self.starts.finish()),
            Arc::new(self.durations.finish()),
            Arc::new(self.entries.finish()),
            Arc::new(self.spans.finish()),
        ];
        columns.extend(self.flags.iter_mut().map(|f| Arc::new(f.finish()) as ArrayRef));
        self.entries = texts();
        // Every `push` appends one value to each column, in the order and of the types of the schema.
        RecordBatch::try_new(TRACES.clone(), columns).expect("columns follow the schema")
    }
}

struct PathRows {
    traces: FixedSizeBinaryBuilder,
    spans: FixedSizeBinaryBuilder,
    starts: TimestampNanosecondBuilder,
    /// service, operation, kind
    texts: [StringViewBuilder; 3],
    exclusive: Int64Builder,
    queue: Int64Builder,
    entries: StringViewBuilder,
    durations: Int64Builder,
    missed: BooleanBuilder,
}

impl Default for PathRows {
    fn default() -> PathRows {
        PathRows {
            traces: FixedSizeBinaryBuilder::new(16),
            spans: FixedSizeBinaryBuilder::new(8),
            starts: times(),
            texts: std::array::from_fn(|_| texts()),
            exclusive: Int64Builder::new(),
            queue: Int64Builder::new(),
            entries: texts(),
            durations: Int64Builder::new(),
            missed: BooleanBuilder::new(),
        }
    }
}

impl PathRows {
    fn push(&mut self, id: TraceId, tree: &Tree<Span>, walked: &Walked, symbols: &Symbols) {
        for segment in &walked.path {
            let span = &tree.nodes[segment.node].span;
            let nanos = segment.nanos();
            let queue = if segment.kind == SegmentKind::Queue { nanos } else { 0 };
            // The builders are of 16 and 8 bytes, and so are the ids, by their types.
            self.traces.append_value(id.0).expect("16 bytes");
            self.spans.append_value(span.id.0).expect("8 bytes");
            self.starts.append_value(segment.from.0);
            let values = [symbols.text(span.service_name), symbols.text(span.operation), segment.kind.as_str()];
            self.texts.iter_mut().zip(values).for_each(|(column, text)| column.append_value(text));
            self.exclusive.append_value(nanos - queue);
            self.queue.append_value(queue);
            self.entries.append_value(symbols.text(walked.entry));
            self.durations.append_value(walked.duration_ns);
            self.missed.append_value(walked.missed);
        }
    }

    fn finish(&mut self) -> RecordBatch {
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(self.traces.finish()), Arc::new(self.spans.finish()), Arc::new(self.starts.finish())];
        columns.extend(self.texts.iter_mut().map(|t| Arc::new(t.finish()) as ArrayRef));
        columns.push(Arc::new(self.exclusive.finish()));
        columns.push(Arc::new(self.queue.finish()));
        columns.push(Arc::new(self.entries.finish()));
        columns.push(Arc::new(self.durations.finish()));
        columns.push(Arc::new(self.missed.finish()));
        self.texts = std::array::from_fn(|_| texts());
        self.entries = texts();
        // Every segment appends one value to each column, in the order and of the types of the schema.
        RecordBatch::try_new(CRITICAL_PATH.clone(), columns).expect("columns follow the schema")
    }
}
