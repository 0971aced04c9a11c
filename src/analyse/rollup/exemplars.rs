//! The traces of the last while, for people: tables `traces` and `critical_path`, and the ids that show a
//! finding. The loop itself works on rollups; these are bounded and go first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BooleanBuilder, FixedSizeBinaryBuilder, Int64Builder, RecordBatch, StringViewBuilder,
    TimestampNanosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::analyse::rollup::Absorbed;
use crate::analyse::trace::{SegmentKind, Tree};
use crate::model::{ClockStep, Span, Symbol, Symbols, Time, TraceId};

/// Segments kept, about 150 bytes each: a few minutes of a small system, seconds of a large one.
const SEGMENTS_MAX: usize = 200_000;
/// Segments taken in one tick: more would push out those of the ticks before within a few ticks, and cost more than
/// the analysis itself.
const SEGMENTS_TICK_MAX: usize = 10_000;
/// Of those, what traces that kept their objective may take: the others are looked for.
const SEGMENTS_KEPT_TICK_MAX: usize = SEGMENTS_TICK_MAX / 2;

// Ids have the width their builder was made with, and columns are built from the field lists of their schema: the
// `expect`s below cannot fail on any span.

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

pub static TRACES: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("trace_id", DataType::FixedSizeBinary(16), false),
        Field::new("start", time(), false),
        Field::new("duration_ns", DataType::Int64, false),
        Field::new("entry_operation", DataType::Utf8View, false),
        Field::new("spans", DataType::Int64, false),
        Field::new("slow", DataType::Boolean, false),
        Field::new("error", DataType::Boolean, false),
        Field::new("missed_objective", DataType::Boolean, false),
    ]))
});

/// One row a segment; `spans` has the rest of its span under (trace_id, span_id).
pub static CRITICAL_PATH: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("trace_id", DataType::FixedSizeBinary(16), false),
        Field::new("span_id", DataType::FixedSizeBinary(8), false),
        Field::new("start", time(), false),
        Field::new("service", DataType::Utf8View, false),
        Field::new("operation", DataType::Utf8View, false),
        Field::new("kind", DataType::Utf8View, false),
        Field::new("exclusive_ns", DataType::Int64, false),
        Field::new("queue_ns", DataType::Int64, false),
        Field::new("entry_operation", DataType::Utf8View, false),
        Field::new("trace_duration_ns", DataType::Int64, false),
        Field::new("missed_objective", DataType::Boolean, false),
    ]))
});

/// Missed traces kept for each entry operation and tick: more than a finding shows.
const MISSED_KEPT: usize = 8;

/// A trace that missed its objective: slowest first, then by id.
type Missed = (Reverse<i64>, TraceId);

/// The slowest missed traces of each entry operation.
type MissedByEntry = BTreeMap<Arc<str>, Vec<Missed>>;

#[derive(Default)]
pub struct Exemplars {
    /// A tick an element.
    missed: VecDeque<(Time, MissedByEntry)>,
    /// Of the tick at hand, by entry operation.
    missed_now: BTreeMap<Symbol, Vec<Missed>>,
    /// A batch of each table a tick, with the tick's time and the segments in it.
    batches: VecDeque<(Time, RecordBatch, RecordBatch)>,
    segments: usize,
    /// Segments taken since the last tick.
    taken: usize,
    traces: TraceRows,
    paths: PathRows,
}

impl Exemplars {
    pub fn add(&mut self, id: TraceId, tree: &Tree<Span>, absorbed: &Absorbed, symbols: &Symbols) {
        let Some(root) = tree.root else { return };
        if absorbed.missed {
            self.add_missed((Reverse(absorbed.duration_ns), id), absorbed.entry);
        }
        let room = if absorbed.missed { SEGMENTS_TICK_MAX } else { SEGMENTS_KEPT_TICK_MAX };
        if self.taken >= room {
            return;
        }
        self.taken += absorbed.path.len();
        self.traces.push(id, tree, root, absorbed, symbols);
        self.paths.push(id, tree, absorbed, symbols);
    }

    fn add_missed(&mut self, one: Missed, entry: Symbol) {
        let slowest = self.missed_now.entry(entry).or_default();
        if slowest.len() < MISSED_KEPT || slowest.last().is_some_and(|last| one < *last) {
            slowest.insert(slowest.partition_point(|known| *known < one), one);
            slowest.truncate(MISSED_KEPT);
        }
    }

    /// Seals what came since the last tick and forgets what is too old or too much.
    pub fn seal(&mut self, now: Time, keep_from: Time, exemplars_from: Time, symbols: &Symbols) {
        let (traces, paths) = (self.traces.finish(), self.paths.finish());
        self.segments += paths.num_rows();
        self.taken = 0;
        if !self.missed_now.is_empty() {
            let missed = std::mem::take(&mut self.missed_now).into_iter();
            self.missed
                .push_back((now, missed.map(|(entry, slowest)| (symbols.text(entry).clone(), slowest)).collect()));
        }
        if traces.num_rows() > 0 {
            self.batches.push_back((now, traces, paths));
        }
        while let Some((at, _, paths)) = self.batches.front()
            && (*at < keep_from || self.segments > SEGMENTS_MAX)
        {
            self.segments -= paths.num_rows();
            self.batches.pop_front();
        }
        while self.missed.front().is_some_and(|(at, _)| *at < exemplars_from) {
            self.missed.pop_front();
        }
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.missed.iter_mut().map(|(at, _)| at));
        step.move_all(self.batches.iter_mut().map(|(at, ..)| at));
    }

    /// Trace ids of an entry operation's missed requests up to the last seal, slowest first.
    pub fn slowest(&self, entry: &str, count: usize) -> Vec<TraceId> {
        let mut found: Vec<Missed> =
            self.missed.iter().filter_map(|(_, by_entry)| by_entry.get(entry)).flatten().copied().collect();
        found.sort_unstable();
        found.into_iter().take(count.min(MISSED_KEPT)).map(|(_, id)| id).collect()
    }

    pub fn tables(&self) -> [(&'static str, SchemaRef, Vec<RecordBatch>); 2] {
        [
            ("traces", TRACES.clone(), self.batches.iter().map(|(_, traces, _)| traces.clone()).collect()),
            ("critical_path", CRITICAL_PATH.clone(), self.batches.iter().map(|(_, _, paths)| paths.clone()).collect()),
        ]
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
    fn push(&mut self, id: TraceId, tree: &Tree<Span>, root: usize, absorbed: &Absorbed, symbols: &Symbols) {
        // The builder is one of 16 bytes, and so is an id, by its type.
        self.ids.append_value(id.0).expect("16 bytes");
        self.starts.append_value(tree.nodes[root].start.0);
        self.durations.append_value(absorbed.duration_ns);
        self.entries.append_value(symbols.text(absorbed.entry));
        self.spans.append_value(tree.nodes.len() as i64);
        let flags = [absorbed.slow, absorbed.error, absorbed.missed];
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
    fn push(&mut self, id: TraceId, tree: &Tree<Span>, absorbed: &Absorbed, symbols: &Symbols) {
        for segment in &absorbed.path {
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
            self.entries.append_value(symbols.text(absorbed.entry));
            self.durations.append_value(absorbed.duration_ns);
            self.missed.append_value(absorbed.missed);
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
