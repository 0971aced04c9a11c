//! Series from files: CSV, plain or compressed, and Parquet. A column of times, and columns of counts.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::rows::{self, Rows};
use crate::forecast::{Absent, Series, Step};
use crate::import;
use crate::model::{Time, printable};

/// Bytes of a file that is read, after decompression: two years of minutes of a hundred columns have fewer.
const BYTES_MAX: u64 = 2 << 30;

/// Counts that are held: sixteen bytes each.
const COUNTS_MAX: usize = 50_000_000;

/// The largest count: above it a number is no count of requests, and sums of it would lose what is small.
const COUNT_MAX: f64 = 1e15;

/// So much of a file is looked at for its first line: a longer one is no line of a log.
const FIRST_LINE_BYTES: usize = 64 << 10;

/// Columns that are taken where none are named.
const COLUMNS_MAX: usize = 1_000;

/// What a column of times may be called, in the order they are looked for; else it is the first.
const TIMES: [&str; 5] = ["time_s", "time", "timestamp", "ts", "at"];

/// Why a file holds no series.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {0}", path = .1)]
    Unfit(rows::Unfit, String),
    #[error("{path} has no head; begin it with names of its columns, such as time_s,requests")]
    NoHead { path: String },
    #[error("{path} has more than {COUNTS_MAX} counts; name some of its columns with --column")]
    Many { path: String },
    #[error("{path} line {line}: `{text}` is no {what}; {remedy}")]
    Cell { path: String, line: u64, text: String, what: &'static str, remedy: &'static str },
    #[error("{path}: {cause}; expected is CSV with a head, or Parquet, with a column of times and columns of counts")]
    NotATable { path: String, cause: String },
    #[error(
        "{path} is an access log; count its requests first: headroom import {path} --format {format} --to counts.csv"
    )]
    AccessLog { path: String, format: &'static str },
    #[error("{path} has no column `{name}`; its columns are {known}")]
    NoColumn { path: String, name: String, known: String },
}

/// Counts of each column.
pub struct Counts {
    columns: Vec<Column>,
}

pub(super) struct Column {
    pub name: String,
    /// (second, count)
    pub counts: Vec<(i64, f64)>,
    /// A row has no count: who says so of one does not leave rows out where nothing came.
    pub has_unknown: bool,
}

impl Column {
    fn named(name: &str) -> Column {
        Column { name: name.to_owned(), counts: Vec::new(), has_unknown: false }
    }
}

/// Reads the named columns, or all of numbers.
pub fn read(path: &str, wanted: &[String]) -> Result<Counts, Error> {
    let unfit = |unfit| Error::Unfit(unfit, path.to_owned());
    let unreadable = |source| unfit(rows::Unfit::Unreadable(source));
    let mut begins = Vec::new();
    rows::open(path).map_err(unfit)?.take(4).read_to_end(&mut begins).map_err(unreadable)?;
    let whole = || rows::open(path).map(BufReader::new).map_err(unfit);
    match begins.as_slice() {
        b"PAR1" => parquet(path, rows::open(path).map_err(unfit)?, wanted),
        [0x1f, 0x8b, ..] => text(path, Box::new(flate2::read::MultiGzDecoder::new(whole()?)), wanted),
        [0x28, 0xb5, 0x2f, 0xfd] => text(path, Box::new(zstd::Decoder::new(whole()?).map_err(unreadable)?), wanted),
        _ => text(path, Box::new(whole()?), wanted),
    }
}

impl Counts {
    /// Of a source that knows which buckets are known.
    pub(super) fn of(columns: Vec<Column>, path: &str) -> Result<Counts, Error> {
        if columns.iter().map(|column| column.counts.len()).sum::<usize>() > COUNTS_MAX {
            return Err(Error::Many { path: path.to_owned() });
        }
        Ok(Counts { columns })
    }

    /// Buckets of `step`, or where none is said of a minute, a quarter of an hour or an hour: the shortest that holds a count. Every column
    /// begins and ends with the file, so that one without a count at the ends was zero there, or unknown.
    pub fn series(&self, step: Option<Step>, absent: Absent) -> Result<Vec<Series>, crate::forecast::Error> {
        let mut seconds: Vec<i64> =
            self.columns.iter().flat_map(|column| column.counts.iter().map(|count| count.0)).collect();
        seconds.sort_unstable();
        seconds.dedup();
        let every = seconds.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(1);
        let usual = [Step::MINUTE, Step::QUARTER_HOUR, Step::HOUR].into_iter().find(|step| step.seconds() >= every);
        let step = step.or(usual).unwrap_or(Step::HOUR);
        let series = |Column { name, counts, has_unknown }: &Column| {
            let absent = if *has_unknown && absent == Absent::Guess { Absent::Unknown } else { absent };
            Series::of_counts(name, counts, every, step, absent)
        };
        self.columns.iter().map(series).collect()
    }
}

/// Which columns hold what.
struct Head {
    time: usize,
    counts: Vec<(usize, String)>,
}

fn head(path: &str, names: &[String], wanted: &[String], is_number: impl Fn(usize) -> bool) -> Result<Head, Error> {
    let place = |name: &str| names.iter().position(|known| known == name);
    let time = TIMES.iter().find_map(|name| place(name)).unwrap_or(0);
    let counts = if wanted.is_empty() {
        let numbers = (0..names.len()).filter(|at| *at != time && is_number(*at));
        numbers.take(COLUMNS_MAX).map(|at| (at, names[at].clone())).collect()
    } else {
        let one = |name: &String| {
            let known = rows::quoted(&names.join(", "));
            let missing = || Error::NoColumn { path: path.to_owned(), name: name.clone(), known };
            Ok((place(name).ok_or_else(missing)?, name.clone()))
        };
        wanted.iter().map(one).collect::<Result<Vec<_>, Error>>()?
    };
    if counts.is_empty() {
        let cause = format!("there is no column of counts among {}", rows::quoted(&names.join(", ")));
        return Err(Error::NotATable { path: path.to_owned(), cause });
    }
    Ok(Head { time, counts })
}

/// Of these columns the wanted ones, or all.
pub(super) fn chosen(path: &str, known: &[String], wanted: &[String]) -> Result<Vec<String>, Error> {
    let Some(missing) = wanted.iter().find(|name| !known.contains(name)) else {
        let chosen = if wanted.is_empty() { known } else { wanted };
        return Ok(chosen.iter().take(COLUMNS_MAX).cloned().collect());
    };
    let (path, name) = (path.to_owned(), missing.clone());
    Err(Error::NoColumn { path, name, known: rows::quoted(&known.join(", ")) })
}

fn text(path: &str, source: Box<dyn Read>, wanted: &[String]) -> Result<Counts, Error> {
    let mut source = BufReader::with_capacity(FIRST_LINE_BYTES, source);
    let unreadable = |source| Error::Unfit(rows::Unfit::Unreadable(source), path.to_owned());
    let begins = source.fill_buf().map_err(unreadable)?;
    let first = begins.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    if let Some(format) = import::Format::guess(std::iter::once(first)).and_then(|format| format.name()) {
        return Err(Error::AccessLog { path: path.to_owned(), format });
    }
    let failed = |cause: csv::Error| Error::NotATable { path: path.to_owned(), cause: cause.to_string() };
    let mut rows = Rows::of(Box::new(source.take(BYTES_MAX)));
    let names = rows.head().map_err(failed)?;
    if names.len() > 1 && names.iter().all(|name| second(name).is_some() || name.parse::<f64>().is_ok()) {
        return Err(Error::NoHead { path: path.to_owned() });
    }
    let head = head(path, &names, wanted, |_| true)?;
    let mut columns: Vec<Column> = head.counts.iter().map(|(_, name)| Column::named(name)).collect();
    let mut held = 0;
    while let Some((line, record)) = rows.read().map_err(failed)? {
        held += head.counts.len();
        if held > COUNTS_MAX {
            return Err(Error::Many { path: path.to_owned() });
        }
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let wrong = |at: usize, what, remedy| {
            let text = printable(&cell(at).chars().take(40).collect::<String>()).to_string();
            Error::Cell { path: path.to_owned(), line, text, what, remedy }
        };
        let second = second(cell(head.time)).ok_or_else(|| {
            wrong(
                head.time,
                "time",
                "write Unix seconds, or a time such as 2026-11-24T14:03 (UTC) or 2026-11-24T15:03+01:00",
            )
        })?;
        for ((at, _), column) in head.counts.iter().zip(&mut columns) {
            if cell(*at).is_empty() {
                column.has_unknown = true;
                continue;
            }
            let count = cell(*at).parse::<f64>().ok().filter(is_count);
            let remedy = "write one up to 1e15, or leave it empty where nobody counted";
            column.counts.push((second, count.ok_or_else(|| wrong(*at, "count", remedy))?));
        }
    }
    Ok(Counts { columns })
}

/// Unix seconds, or what is too large for them: milliseconds, microseconds, nanoseconds; or text.
fn second(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        return Some(whole_seconds(number));
    }
    Time::parse(text).map(Time::second)
}

/// Seconds reach 11 digits in the year 5138: a longer number counts something smaller.
fn whole_seconds(number: i64) -> i64 {
    let mut number = number;
    while number.unsigned_abs() >= 100_000_000_000 {
        number = number.div_euclid(1_000);
    }
    number
}

fn is_count(count: &f64) -> bool {
    (0.0..=COUNT_MAX).contains(count)
}

fn parquet(path: &str, file: File, wanted: &[String]) -> Result<Counts, Error> {
    let broken = |cause: String| Error::NotATable { path: path.to_owned(), cause };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|cause| broken(cause.to_string()))?;
    let schema = builder.schema().clone();
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let head = head(path, &names, wanted, |at| schema.field(at).data_type().is_numeric())?;
    let mut columns: Vec<Column> = head.counts.iter().map(|(_, name)| Column::named(name)).collect();
    let mut held = 0;
    for batch in builder.build().map_err(|cause| broken(cause.to_string()))? {
        let batch = batch.map_err(|cause| broken(cause.to_string()))?;
        let seconds = seconds(&batch, head.time).map_err(broken)?;
        for ((at, _), column) in head.counts.iter().zip(&mut columns) {
            let values = cast(batch.column(*at), &DataType::Float64).map_err(|cause| broken(cause.to_string()))?;
            let values = values.as_primitive::<Float64Type>();
            for (row, second) in seconds.iter().enumerate() {
                // What pandas does not know is no null but no number.
                let count = Some(values.value(row)).filter(|count| values.is_valid(row) && !count.is_nan());
                let Some(count) = count else {
                    column.has_unknown = true;
                    continue;
                };
                if !is_count(&count) {
                    return Err(broken(format!("{count} in `{}` is no count up to 1e15", rows::quoted(&column.name))));
                }
                column.counts.push((*second, count));
            }
        }
        held += seconds.len() * head.counts.len();
        if held > COUNTS_MAX {
            return Err(Error::Many { path: path.to_owned() });
        }
    }
    Ok(Counts { columns })
}

fn seconds(batch: &RecordBatch, at: usize) -> Result<Vec<i64>, String> {
    let column = batch.column(at);
    let as_second = |column: &dyn Array, kind: DataType| cast(column, &kind).map_err(|cause| cause.to_string());
    let whole = match column.data_type() {
        DataType::Timestamp(_, zone) => {
            let second = as_second(column, DataType::Timestamp(TimeUnit::Second, zone.clone()))?;
            as_second(&second, DataType::Int64)?
        }
        _ => as_second(column, DataType::Int64)?,
    };
    if whole.null_count() > 0 {
        return Err("a row has no time".to_owned());
    }
    Ok(whole.as_primitive::<Int64Type>().values().iter().copied().map(whole_seconds).collect())
}
