//! The rollups as Arrow tables: rows become columns once, when they leave the absorber, and stay so.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Int32Array, Int64Array, RecordBatch, StringViewArray,
    StringViewBuilder, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType};

use super::rows::*;
use crate::model::time::NANOS_PER_SECOND;
use crate::model::{ClockStep, Time};

/// What a column of a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Text,
    Bucket,
    Flag,
}

/// A rollup table: what SQL calls it, and its columns.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub schema: SchemaRef,
}

impl Table {
    fn of<K: Key>() -> Table {
        let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        let key = |(name, column): &(&str, Column)| {
            let kind = match column {
                Column::Text => DataType::Utf8View,
                Column::Bucket => DataType::Int32,
                Column::Flag => DataType::Boolean,
            };
            Field::new(*name, kind, false)
        };
        let sum = |name: &&str| Field::new(*name, DataType::Int64, false);
        let fields = [Field::new("second", time, false)].into_iter();
        let fields = fields.chain(K::COLUMNS.iter().map(key)).chain(K::Sums::FIELDS.iter().map(sum));
        Table { name: K::NAME, schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())) }
    }
}

/// By [`Key::TABLE`].
pub static TABLES: LazyLock<[Table; 7]> = LazyLock::new(|| {
    [
        Table::of::<EntryKey<()>>(),
        Table::of::<PathKey<()>>(),
        Table::of::<HealthKey<()>>(),
        Table::of::<DurationKey<()>>(),
        Table::of::<EdgeKey<()>>(),
        Table::of::<OperationKey<()>>(),
        Table::of::<CrossingKey<()>>(),
    ]
});

/// The columns of one table while rows are written.
enum Cells {
    Times(Vec<i64>),
    Texts(StringViewBuilder),
    Buckets(Vec<i32>),
    Flags(BooleanBuilder),
    Sums(Vec<i64>),
}

/// One row being written: each call fills the next column.
pub struct Writer<'a> {
    columns: std::slice::IterMut<'a, Cells>,
}

impl Writer<'_> {
    fn time(&mut self, second: i64) {
        if let Some(Cells::Times(column)) = self.columns.next() {
            column.push(second.saturating_mul(NANOS_PER_SECOND));
        }
    }

    pub fn text(&mut self, text: &str) {
        if let Some(Cells::Texts(column)) = self.columns.next() {
            column.append_value(text);
        }
    }

    pub fn bucket(&mut self, bucket: i32) {
        if let Some(Cells::Buckets(column)) = self.columns.next() {
            column.push(bucket);
        }
    }

    pub fn flag(&mut self, flag: bool) {
        if let Some(Cells::Flags(column)) = self.columns.next() {
            column.append_value(flag);
        }
    }

    pub fn sum(&mut self, sum: i64) {
        if let Some(Cells::Sums(column)) = self.columns.next() {
            column.push(sum);
        }
    }
}

/// Rows as a batch of their table. `text` finds what a key's text is written as.
pub fn batch<'a, K: Key + 'a>(
    rows: impl Iterator<Item = &'a (K, K::Sums)>,
    mut text: impl FnMut(&'a K::Text) -> &'a str,
) -> RecordBatch
where
    K::Sums: 'a,
{
    let schema = &TABLES[K::TABLE].schema;
    let cells = |field: &Arc<Field>| match field.data_type() {
        DataType::Timestamp(..) => Cells::Times(Vec::new()),
        DataType::Utf8View => Cells::Texts(StringViewBuilder::new().with_deduplicate_strings()),
        DataType::Int32 => Cells::Buckets(Vec::new()),
        DataType::Boolean => Cells::Flags(BooleanBuilder::new()),
        _ => Cells::Sums(Vec::new()),
    };
    let mut columns: Vec<Cells> = schema.fields().iter().map(cells).collect();
    for (key, sums) in rows {
        let mut row = Writer { columns: columns.iter_mut() };
        row.time(key.second());
        key.write(&mut row, &mut text);
        sums.write(&mut row);
    }
    let columns = columns.into_iter().map(|cells| -> ArrayRef {
        match cells {
            Cells::Times(times) => Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC")),
            Cells::Texts(mut texts) => Arc::new(texts.finish()),
            Cells::Buckets(buckets) => Arc::new(Int32Array::from(buckets)),
            Cells::Flags(mut flags) => Arc::new(flags.finish()),
            Cells::Sums(sums) => Arc::new(Int64Array::from(sums)),
        }
    });
    // Key and sums write a cell into each column of the schema, which is made of the same lists.
    RecordBatch::try_new(schema.clone(), columns.collect()).expect("columns follow the schema")
}

enum Cell<'a> {
    Times(&'a [i64]),
    Texts(&'a StringViewArray),
    Buckets(&'a [i32]),
    Flags(&'a BooleanArray),
    Sums(&'a [i64]),
}

/// One row being read: each call gives the next column.
pub struct Reader<'a> {
    columns: Vec<Cell<'a>>,
    at: usize,
    row: usize,
}

impl<'a> Reader<'a> {
    fn of(batch: &'a RecordBatch) -> Reader<'a> {
        let cell = |column: &'a ArrayRef| match column.data_type() {
            DataType::Timestamp(..) => Cell::Times(column.as_primitive::<TimestampNanosecondType>().values()),
            DataType::Utf8View => Cell::Texts(column.as_string_view()),
            DataType::Int32 => Cell::Buckets(column.as_primitive::<Int32Type>().values()),
            DataType::Boolean => Cell::Flags(column.as_boolean()),
            _ => Cell::Sums(column.as_primitive::<Int64Type>().values()),
        };
        Reader { columns: batch.columns().iter().map(cell).collect(), at: 0, row: 0 }
    }

    fn next(&mut self) -> &Cell<'a> {
        self.at += 1;
        &self.columns[self.at - 1]
    }

    fn second(&mut self) -> i64 {
        let row = self.row;
        if let Cell::Times(times) = self.next() { times[row].div_euclid(NANOS_PER_SECOND) } else { 0 }
    }

    pub fn text(&mut self) -> &'a str {
        let row = self.row;
        if let &Cell::Texts(texts) = self.next() { texts.value(row) } else { "" }
    }

    pub fn bucket(&mut self) -> i32 {
        let row = self.row;
        if let Cell::Buckets(buckets) = self.next() { buckets[row] } else { 0 }
    }

    pub fn flag(&mut self) -> bool {
        let row = self.row;
        if let Cell::Flags(flags) = self.next() { flags.value(row) } else { false }
    }

    fn sum(&mut self) -> i64 {
        let row = self.row;
        if let Cell::Sums(sums) = self.next() { sums[row] } else { 0 }
    }
}

/// The rows of one absorber over one tick: a batch for each table.
#[derive(Clone, Debug)]
pub struct Rollups([RecordBatch; 7]);

impl Default for Rollups {
    fn default() -> Rollups {
        Rollups(std::array::from_fn(|table| RecordBatch::new_empty(TABLES[table].schema.clone())))
    }
}

impl Rollups {
    /// Batches in the order of the [tables](TABLES).
    pub fn new(batches: [RecordBatch; 7]) -> Rollups {
        debug_assert!(batches.iter().zip(&*TABLES).all(|(batch, table)| batch.schema() == table.schema));
        Rollups(batches)
    }

    pub fn batch(&self, table: usize) -> &RecordBatch {
        &self.0[table]
    }

    /// The rows of a key's table.
    pub fn rows<'a, K: StoredKey<'a> + 'a>(&'a self) -> impl Iterator<Item = (K, K::Sums)> {
        let batch = &self.0[K::TABLE];
        let mut row = Reader::of(batch);
        (0..batch.num_rows()).filter_map(move |at| {
            (row.row, row.at) = (at, 0);
            let second = row.second();
            let key = K::read(second, &mut row)?;
            Some((key, K::Sums::of(K::Sums::FIELDS.iter().map(|_| row.sum()))))
        })
    }

    /// All clocks stepped at `now`: rows of the seconds until then move with them. Those of later ones tell of spans that
    /// came after the step and before its notice, and stand where they belong.
    pub fn step_clock(&mut self, now: Time, step: ClockStep) {
        let second = |second: i64| if second <= now.second() { step.second(second) } else { second };
        let moved = |nanos: i64| second(nanos.div_euclid(NANOS_PER_SECOND)).saturating_mul(NANOS_PER_SECOND);
        for batch in &mut self.0 {
            let times: TimestampNanosecondArray =
                batch.column(0).as_primitive::<TimestampNanosecondType>().unary(moved);
            let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
            let columns = [times].into_iter().chain(batch.columns()[1..].iter().cloned()).collect();
            // The same columns but for other times.
            *batch = RecordBatch::try_new(batch.schema(), columns).expect("columns follow the schema");
        }
    }

    /// The newest second that the rows tell of; None without rows.
    pub fn newest_second(&self) -> Option<i64> {
        let seconds = |batch: &RecordBatch| {
            let times = batch.column(0).as_primitive::<TimestampNanosecondType>();
            times.values().iter().max().map(|time| time.div_euclid(NANOS_PER_SECOND))
        };
        self.0.iter().filter_map(seconds).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_from_their_table() {
        let key = |second: i64, operation| EdgeKey {
            second,
            caller: "shop",
            version: "1",
            operation,
            callee: "db",
            answered: second % 2 == 0,
        };
        let sums = |calls: i64| EdgeSums { calls, gap_ns: -calls, ..EdgeSums::default() };
        let rows = [(key(7, "GET /a/long/operation"), sums(3)), (key(8, ""), sums(4))];
        let mut batches = Rollups::default().0;
        batches[EdgeKey::<&str>::TABLE] = batch(rows.iter(), |text| text);
        let rollups = Rollups::new(batches);
        assert_eq!(rollups.rows::<EdgeKey<&str>>().collect::<Vec<_>>(), rows);
        assert_eq!(rollups.newest_second(), Some(8));
        assert_eq!(rollups.rows::<EntryKey<&str>>().count(), 0);
        assert_eq!(Rollups::default().newest_second(), None);
    }
}
