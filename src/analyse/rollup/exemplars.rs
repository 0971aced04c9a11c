//! The traces of the last while, for people: tables `traces` and `critical_path`, and the ids that show a
//! finding. The loop itself works on rollups; these are bounded and go first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::analyse::thresholds::memory::SEGMENTS_MAX;
use crate::model::{ClockStep, Text, Time, TraceId};

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

/// A trace that missed its objective: slowest first, then by id.
pub type Missed = (Reverse<i64>, TraceId);

/// The slowest of so many, at most: in order, whatever the order they came in.
pub fn keep_slowest(slowest: &mut Vec<Missed>, one: Missed, count: usize) {
    if slowest.len() < count || slowest.last().is_some_and(|last| one < *last) {
        slowest.insert(slowest.partition_point(|known| *known < one), one);
        slowest.truncate(count);
    }
}

/// The traces of one absorber over one tick.
#[derive(Clone, Debug)]
pub struct ExemplarTables {
    pub traces: RecordBatch,
    pub critical_path: RecordBatch,
    /// The slowest that missed, by entry operation.
    pub missed: BTreeMap<Text, Vec<Missed>>,
}

/// The traces of all absorbers, of the last while.
#[derive(Default)]
pub struct Exemplars {
    missed: VecDeque<(Time, BTreeMap<Text, Vec<Missed>>)>,
    /// With the time of their tick.
    tables: VecDeque<(Time, RecordBatch, RecordBatch)>,
    segments: usize,
}

impl Exemplars {
    pub fn push(&mut self, now: Time, new: ExemplarTables) {
        let ExemplarTables { traces, critical_path, missed } = new;
        self.segments += critical_path.num_rows();
        if !missed.is_empty() {
            self.missed.push_back((now, missed));
        }
        if traces.num_rows() > 0 {
            self.tables.push_back((now, traces, critical_path));
        }
    }

    /// Forgets tables that are too old or too many, and missed traces from before `missed_from`.
    pub fn evict(&mut self, tables_from: Time, missed_from: Time) {
        while let Some((at, _, critical_path)) = self.tables.front()
            && (*at < tables_from || self.segments > SEGMENTS_MAX)
        {
            self.segments -= critical_path.num_rows();
            self.tables.pop_front();
        }
        while self.missed.front().is_some_and(|(at, _)| *at < missed_from) {
            self.missed.pop_front();
        }
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.missed.iter_mut().map(|(at, _)| at));
        step.move_all(self.tables.iter_mut().map(|(at, ..)| at));
    }

    /// Ids of an entry operation's missed traces, slowest first.
    pub fn slowest(&self, entry: &str, count: usize) -> Vec<TraceId> {
        let mut slowest = Vec::new();
        let found = self.missed.iter().filter_map(|(_, by_entry)| by_entry.get(entry)).flatten();
        found.for_each(|one| keep_slowest(&mut slowest, *one, count));
        slowest.into_iter().map(|(_, id)| id).collect()
    }

    pub fn tables(&self) -> [(&'static str, SchemaRef, Vec<RecordBatch>); 2] {
        let batches = |of: fn(&(Time, RecordBatch, RecordBatch)) -> &RecordBatch| {
            self.tables.iter().map(|tables| of(tables).clone()).collect()
        };
        [
            ("traces", TRACES.clone(), batches(|(_, traces, _)| traces)),
            ("critical_path", CRITICAL_PATH.clone(), batches(|(.., critical_path)| critical_path)),
        ]
    }
}
