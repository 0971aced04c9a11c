//! The rollups of the window as Arrow tables, a batch a tick, oldest first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringViewBuilder, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::rows::*;
use crate::model::time::NANOS_PER_SECOND;
use crate::model::{ClockStep, Time};

/// A rollup table: what SQL calls it, and its columns.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub schema: SchemaRef,
}

fn table(name: &'static str, keys: Vec<Field>, sums: &[&str]) -> Table {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let mut fields = vec![Field::new("second", time, false)];
    fields.extend(keys);
    fields.extend(sums.iter().map(|name| Field::new(*name, DataType::Int64, false)));
    Table { name, schema: Arc::new(Schema::new(fields)) }
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8View, false)
}

/// In the order of [`Store::batches`].
pub static TABLES: LazyLock<[Table; 6]> = LazyLock::new(|| {
    let bucket = || Field::new("bucket", DataType::Int32, false);
    let flag = |name: &str| Field::new(name, DataType::Boolean, false);
    [
        table("entry_seconds", vec![text("entry"), bucket()], EntrySums::FIELDS),
        table(
            "path_seconds",
            vec![
                text("entry"),
                flag("missed"),
                flag("near"),
                text("service"),
                text("operation"),
                text("peer"),
                text("kind"),
            ],
            PathSums::FIELDS,
        ),
        table("service_health", vec![text("service"), text("pod"), text("version")], HealthSums::FIELDS),
        table("service_durations", vec![text("service"), bucket()], CountSums::FIELDS),
        table(
            "service_edges",
            vec![text("caller"), text("version"), text("operation"), text("callee"), flag("answered")],
            EdgeSums::FIELDS,
        ),
        table("service_operations", vec![text("service"), text("version"), text("operation")], OperationSums::FIELDS),
    ]
});

/// The rows of one tick, sealed.
struct Sealed {
    newest_second: i64,
    batches: [RecordBatch; 6],
}

#[derive(Default)]
pub struct Store {
    sealed: VecDeque<Sealed>,
}

impl Store {
    pub fn push(&mut self, rows: &Rows) {
        let seconds = [
            rows.entries.keys().map(|k| k.second).max(),
            rows.health.keys().map(|k| k.second).max(),
            rows.edges.keys().map(|k| k.second).max(),
        ];
        let Some(newest_second) = seconds.into_iter().flatten().max() else { return };
        self.sealed.push_back(Sealed { newest_second, batches: batches(rows) });
    }

    pub fn evict(&mut self, before_second: i64) {
        while self.sealed.front().is_some_and(|sealed| sealed.newest_second < before_second) {
            self.sealed.pop_front();
        }
    }

    /// All clocks stepped at `now`: rows of the seconds until then move with them. Those of later ones tell of spans that
    /// came after the step and before its notice, and stand where they belong.
    pub fn step_clock(&mut self, now: Time, step: ClockStep) {
        let second = |second: i64| if second <= now.second() { step.second(second) } else { second };
        for sealed in &mut self.sealed {
            sealed.newest_second = second(sealed.newest_second);
            for (table, batch) in sealed.batches.iter_mut().enumerate() {
                let seconds: &TimestampNanosecondArray = batch.column(0).as_primitive();
                let moved =
                    seconds.unary(|nanos| second(nanos.div_euclid(NANOS_PER_SECOND)).saturating_mul(NANOS_PER_SECOND));
                let moved: ArrayRef = Arc::new(TimestampNanosecondArray::with_timezone(moved, "UTC"));
                let columns = [moved].into_iter().chain(batch.columns()[1..].iter().cloned()).collect();
                *batch = self::batch(table, columns);
            }
        }
    }

    /// The batches of the table at `index` of [`TABLES`] that speak of `since_second` or later: what a tick asks
    /// for is the last seconds, and the cost of a tick must not grow with what is kept for people.
    pub fn batches(&self, index: usize, since_second: i64) -> Vec<RecordBatch> {
        let recent = self.sealed.iter().filter(|sealed| sealed.newest_second >= since_second);
        recent.map(|sealed| sealed.batches[index].clone()).filter(|batch| batch.num_rows() > 0).collect()
    }
}

/// Columns of keys, built side by side.
struct Columns {
    seconds: Vec<i64>,
    texts: Vec<StringViewBuilder>,
}

impl Columns {
    fn new(texts: usize) -> Columns {
        let builder = || StringViewBuilder::new().with_deduplicate_strings();
        Columns { seconds: Vec::new(), texts: (0..texts).map(|_| builder()).collect() }
    }

    fn push<'a>(&mut self, second: i64, texts: impl IntoIterator<Item = &'a str>) {
        self.seconds.push(second.saturating_mul(NANOS_PER_SECOND));
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.append_value(text));
    }

    fn finish(self) -> (ArrayRef, Vec<ArrayRef>) {
        let seconds = TimestampNanosecondArray::from(self.seconds).with_timezone("UTC");
        let texts = self.texts.into_iter().map(|mut t| Arc::new(t.finish()) as ArrayRef).collect();
        (Arc::new(seconds), texts)
    }
}

/// The columns of the sums, a vector a field.
fn sum_columns(width: usize, rows: impl Iterator<Item = Vec<i64>>) -> Vec<ArrayRef> {
    let mut columns: Vec<Vec<i64>> = vec![Vec::new(); width];
    for row in rows {
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }
    columns.into_iter().map(|column| Arc::new(Int64Array::from(column)) as ArrayRef).collect()
}

fn batch(table: usize, columns: Vec<ArrayRef>) -> RecordBatch {
    // The columns are built from the same field lists as the schema.
    RecordBatch::try_new(TABLES[table].schema.clone(), columns).expect("columns follow the schema")
}

fn batches(rows: &Rows) -> [RecordBatch; 6] {
    [
        entries(&rows.entries),
        paths(&rows.paths),
        health(&rows.health),
        durations(&rows.durations),
        edges(&rows.edges),
        operations(&rows.operations),
    ]
}

fn entries(rows: &BTreeMap<EntryKey, EntrySums>) -> RecordBatch {
    let mut keys = Columns::new(1);
    rows.keys().for_each(|k| keys.push(k.second, [&*k.entry]));
    let (second, texts) = keys.finish();
    let buckets: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.keys().map(|k| k.bucket)));
    let sums = sum_columns(EntrySums::FIELDS.len(), rows.values().map(EntrySums::values));
    batch(0, [second].into_iter().chain(texts).chain([buckets]).chain(sums).collect())
}

fn paths(rows: &BTreeMap<PathKey, PathSums>) -> RecordBatch {
    let mut keys = Columns::new(5);
    for k in rows.keys() {
        keys.push(k.second, [&*k.entry, &*k.service, &*k.operation, &*k.peer, k.kind.as_str()]);
    }
    let (second, mut texts) = keys.finish();
    let flag =
        |of: fn(&PathKey) -> bool| -> ArrayRef { Arc::new(BooleanArray::from_iter(rows.keys().map(|k| Some(of(k))))) };
    texts.splice(1..1, [flag(|k| k.missed), flag(|k| k.near)]);
    let sums = sum_columns(PathSums::FIELDS.len(), rows.values().map(PathSums::values));
    batch(1, [second].into_iter().chain(texts).chain(sums).collect())
}

fn health(rows: &BTreeMap<HealthKey, HealthSums>) -> RecordBatch {
    let mut keys = Columns::new(3);
    rows.keys().for_each(|k| keys.push(k.second, [&*k.service, &*k.pod, &*k.version]));
    let (second, texts) = keys.finish();
    let sums = sum_columns(HealthSums::FIELDS.len(), rows.values().map(HealthSums::values));
    batch(2, [second].into_iter().chain(texts).chain(sums).collect())
}

fn durations(rows: &BTreeMap<DurationKey, CountSums>) -> RecordBatch {
    let mut keys = Columns::new(1);
    rows.keys().for_each(|k| keys.push(k.second, [&*k.service]));
    let (second, texts) = keys.finish();
    let buckets: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.keys().map(|k| k.bucket)));
    let sums = sum_columns(CountSums::FIELDS.len(), rows.values().map(CountSums::values));
    batch(3, [second].into_iter().chain(texts).chain([buckets]).chain(sums).collect())
}

fn edges(rows: &BTreeMap<EdgeKey, EdgeSums>) -> RecordBatch {
    let mut keys = Columns::new(4);
    rows.keys().for_each(|k| keys.push(k.second, [&*k.caller, &*k.version, &*k.operation, &*k.callee]));
    let (second, texts) = keys.finish();
    let answered: ArrayRef = Arc::new(BooleanArray::from_iter(rows.keys().map(|k| Some(k.answered))));
    let sums = sum_columns(EdgeSums::FIELDS.len(), rows.values().map(EdgeSums::values));
    batch(4, [second].into_iter().chain(texts).chain([answered]).chain(sums).collect())
}

fn operations(rows: &BTreeMap<OperationKey, OperationSums>) -> RecordBatch {
    let mut keys = Columns::new(3);
    rows.keys().for_each(|k| keys.push(k.second, [&*k.service, &*k.version, &*k.operation]));
    let (second, texts) = keys.finish();
    let sums = sum_columns(OperationSums::FIELDS.len(), rows.values().map(OperationSums::values));
    batch(5, [second].into_iter().chain(texts).chain(sums).collect())
}
