//! The tables: flat, each row a minute (or a quarter of an hour) of something that has a name, each number a sum.
//!
//! Requests are those that the seen ones stand for (adjusted count of sampling), and times are theirs: over `step_s`, `busy_s` is
//! the mean concurrency and `replica_s` over `watched_s` the mean number of replicas.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Schema, TimeUnit, TimestampMillisecondType};

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    Entries,
    Services,
    Crossings,
    /// Written last: a minute of which it tells has its other rows.
    Watch,
}

/// Its columns beside `minute` and `step_s`.
struct Table {
    name: &'static str,
    names: &'static [&'static str],
    sums: &'static [&'static str],
}

impl Of {
    pub const ALL: [Of; 4] = [Of::Entries, Of::Services, Of::Crossings, Of::Watch];

    const fn table(self) -> Table {
        match self {
            // An entry operation.
            Of::Entries => Table {
                name: "entries",
                names: &["entry"],
                sums: &["requests", "errors", "slow", "missed", "duration_s"],
            },
            // A service: what came (answered, refused or given up), and what became of it.
            Of::Services => Table {
                name: "services",
                names: &["service"],
                sums: &[
                    "arrivals",
                    "requests",
                    "errors",
                    "refused",
                    "gave_up",
                    "busy_s",
                    "own_s",
                    "waiting_s",
                    "replica_s",
                    "ready_s",
                ],
            },
            // What the requests of an entry operation ask of a service.
            Of::Crossings => Table { name: "crossings", names: &["entry", "service"], sums: &["calls", "work_s"] },
            // Of how much of the time it is known what came: without it, a row that is absent is a hole.
            Of::Watch => Table { name: "watch", names: &[], sums: &["watched_s"] },
        }
    }

    pub const fn name(self) -> &'static str {
        self.table().name
    }

    pub fn parse(name: &str) -> Option<Of> {
        Of::ALL.into_iter().find(|of| of.name() == name)
    }

    /// Columns that name what a row is of.
    pub const fn names(self) -> &'static [&'static str] {
        self.table().names
    }

    pub const fn sums(self) -> &'static [&'static str] {
        self.table().sums
    }

    /// All columns, but of the sums the first so many.
    pub fn columns(self, sums: usize) -> Vec<&'static str> {
        let sums = self.sums().iter().take(sums);
        ["minute", "step_s"].iter().chain(self.names()).chain(sums).copied().collect()
    }

    pub fn schema(self) -> Arc<Schema> {
        let minute = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let fields = [Field::new("minute", minute, false), Field::new("step_s", DataType::Int32, false)].into_iter();
        let fields = fields.chain(self.names().iter().map(|name| Field::new(*name, DataType::Utf8, false)));
        let fields = fields.chain(self.sums().iter().map(|name| Field::new(*name, DataType::Float64, false)));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// What a row is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its first second.
    pub second: i64,
    pub step_s: i64,
    pub names: Vec<Box<str>>,
}

/// Rows of one table, added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows(BTreeMap<Key, Vec<f64>>);

impl Rows {
    pub fn add(&mut self, second: i64, step_s: i64, names: &[&str], sums: &[f64]) {
        let names = names.iter().map(|name| Box::from(*name)).collect();
        self.merge(Key { second: second.div_euclid(step_s) * step_s, step_s, names }, sums);
    }

    fn merge(&mut self, key: Key, sums: &[f64]) {
        let row = self.0.entry(key).or_insert_with(|| vec![0.0; sums.len()]);
        row.iter_mut().zip(sums).for_each(|(sum, more)| *sum += more);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Key, &[f64])> {
        self.0.iter().map(|(key, sums)| (key, sums.as_slice()))
    }

    /// By the day (since 1970) that each begins in.
    pub fn by_day(self) -> BTreeMap<i64, Rows> {
        let mut days: BTreeMap<i64, Rows> = BTreeMap::new();
        for (key, sums) in self.0 {
            days.entry(key.second.div_euclid(86_400)).or_default().0.insert(key, sums);
        }
        days
    }

    pub fn batch(&self, of: Of) -> Result<RecordBatch, arrow::error::ArrowError> {
        let minutes = TimestampMillisecondArray::from_iter_values(self.0.keys().map(|key| key.second * 1_000));
        let steps = Int32Array::from_iter_values(self.0.keys().map(|key| key.step_s as i32)); // an hour at most
        let mut columns: Vec<ArrayRef> = vec![Arc::new(minutes.with_timezone("UTC")), Arc::new(steps)];
        for at in 0..of.names().len() {
            columns.push(Arc::new(StringArray::from_iter_values(self.0.keys().map(|key| &key.names[at]))));
        }
        for at in 0..of.sums().len() {
            columns.push(Arc::new(Float64Array::from_iter_values(self.0.values().map(|sums| sums[at]))));
        }
        RecordBatch::try_new(of.schema(), columns)
    }
}

/// One row of a batch.
pub struct Row<'a> {
    pub second: i64,
    pub step_s: i64,
    pub names: &'a [&'a str],
    pub sums: &'a [f64],
}

/// The columns of a batch, as rows are read from them.
struct Columns {
    minutes: ArrayRef,
    steps: ArrayRef,
    names: Vec<ArrayRef>,
    /// None of what another version did not write.
    sums: Vec<Option<ArrayRef>>,
}

impl Columns {
    /// None where one is missing that names a row.
    fn of(of: Of, batch: &RecordBatch) -> Option<Columns> {
        let column = |name: &str, kind: &DataType| cast(batch.column_by_name(name)?, kind).ok();
        let whole = |column: &ArrayRef| column.null_count() == 0;
        let milliseconds = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let name = |name: &&str| column(name, &DataType::Utf8).filter(whole);
        Some(Columns {
            minutes: column("minute", &milliseconds).filter(whole)?,
            steps: column("step_s", &DataType::Int32).filter(whole)?,
            names: of.names().iter().map(name).collect::<Option<Vec<_>>>()?,
            sums: of.sums().iter().map(|name| column(name, &DataType::Float64)).collect(),
        })
    }
}

/// Whether every row of a batch is one: who wrote it may not have been headroom.
pub fn is_sound(of: Of, batch: &RecordBatch) -> bool {
    let mut is_sound = true;
    let check = |row: Row<'_>| {
        is_sound &= (1..=86_400).contains(&row.step_s) && row.sums.iter().all(|sum| sum.is_finite());
    };
    each_row(of, batch, check).is_some() && is_sound
}

/// Every row of a batch; what another version did not write is zero. None where a column is missing that names a row.
pub fn each_row(of: Of, batch: &RecordBatch, mut each: impl FnMut(Row<'_>)) -> Option<()> {
    let columns = Columns::of(of, batch)?;
    let minutes = columns.minutes.as_primitive::<TimestampMillisecondType>();
    let steps = columns.steps.as_primitive::<Int32Type>();
    let texts: Vec<&StringArray> = columns.names.iter().map(|name| name.as_string::<i32>()).collect();
    let sums = columns.sums.iter().map(|sum| sum.as_ref().map(|sum| sum.as_primitive::<Float64Type>()));
    let sums: Vec<_> = sums.collect();
    let (mut names, mut values) = (vec![""; texts.len()], vec![0.0; sums.len()]);
    for row in 0..batch.num_rows() {
        texts.iter().zip(&mut names).for_each(|(text, name)| *name = text.value(row));
        for (sum, value) in sums.iter().zip(&mut values) {
            *value = sum.filter(|sum| sum.is_valid(row)).map_or(0.0, |sum| sum.value(row));
        }
        let (second, step_s) = (minutes.value(row).div_euclid(1_000), i64::from(steps.value(row)));
        each(Row { second, step_s, names: &names, sums: &values });
    }
    Some(())
}
