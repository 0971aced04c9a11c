//! Series from files: CSV, plain or compressed, and Parquet. A column of times, and columns of counts.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::forecast::{Absent, Series, Step};
use crate::model::Time;

/// Bytes of a file that is read, after decompression: two years of minutes of a hundred columns have fewer.
const BYTES_MAX: u64 = 2 << 30;

/// Columns that are taken where none are named.
const COLUMNS_MAX: usize = 1_000;

/// What a column of times may be called, in the order they are looked for; else it is the first.
const TIMES: [&str; 5] = ["time_s", "time", "timestamp", "ts", "at"];

/// Why a file holds no series.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error("{path} line {line}: `{text}` is no {what}; {remedy}")]
    Cell { path: String, line: u64, text: String, what: &'static str, remedy: &'static str },
    #[error("{path}: {cause}; expected is CSV with a head, or Parquet, with a column of times and columns of counts")]
    NotATable { path: String, cause: String },
    #[error("{path} has no column `{name}`; its columns are {known}")]
    NoColumn { path: String, name: String, known: String },
}

/// Counts of each column, as (second, count).
pub struct Counts {
    columns: Vec<(String, Vec<(i64, f64)>)>,
}

/// Reads the named columns, or all of numbers.
pub fn read(path: &str, wanted: &[String]) -> Result<Counts, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let mut begins = [0; 4];
    let read = file.read(&mut begins).map_err(io)?;
    drop(file);
    let whole = || File::open(path).map(BufReader::new).map_err(io);
    match &begins[..read] {
        b"PAR1" => parquet(path, wanted),
        [0x1f, 0x8b, ..] => text(path, Box::new(flate2::read::MultiGzDecoder::new(whole()?)), wanted),
        [0x28, 0xb5, 0x2f, 0xfd] => text(path, Box::new(zstd::Decoder::new(whole()?).map_err(io)?), wanted),
        _ => text(path, Box::new(whole()?), wanted),
    }
}

impl Counts {
    /// Buckets of `step`, or where none is said of a minute, a quarter of an hour or an hour: the shortest that holds a count. Every column
    /// begins and ends with the file, so that one without a count at the ends was zero there, or unknown.
    pub fn series(&self, step: Option<Step>, absent: Absent) -> Result<Vec<Series>, crate::forecast::Error> {
        let mut seconds: Vec<i64> =
            self.columns.iter().flat_map(|(_, counts)| counts.iter().map(|count| count.0)).collect();
        seconds.sort_unstable();
        seconds.dedup();
        let every = seconds.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(1);
        let usual = [Step::MINUTE, Step::QUARTER_HOUR, Step::HOUR].into_iter().find(|step| step.seconds() >= every);
        let step = step.or(usual).unwrap_or(Step::HOUR);
        let series = |(name, counts): &(String, Vec<(i64, f64)>)| Series::of_counts(name, counts, every, step, absent);
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
            let known = names.join(", ");
            let missing = || Error::NoColumn { path: path.to_owned(), name: name.clone(), known };
            Ok((place(name).ok_or_else(missing)?, name.clone()))
        };
        wanted.iter().map(one).collect::<Result<Vec<_>, Error>>()?
    };
    if counts.is_empty() {
        let cause = format!("there is no column of counts among {}", names.join(", "));
        return Err(Error::NotATable { path: path.to_owned(), cause });
    }
    Ok(Head { time, counts })
}

fn text(path: &str, source: Box<dyn Read>, wanted: &[String]) -> Result<Counts, Error> {
    let failed = |cause: csv::Error| Error::NotATable { path: path.to_owned(), cause: cause.to_string() };
    let mut reader = csv::ReaderBuilder::new().flexible(false).trim(csv::Trim::All).from_reader(source.take(BYTES_MAX));
    let names: Vec<String> = reader.headers().map_err(failed)?.iter().map(str::to_owned).collect();
    let head = head(path, &names, wanted, |_| true)?;
    let mut columns: Vec<(String, Vec<(i64, f64)>)> =
        head.counts.iter().map(|(_, name)| (name.clone(), Vec::new())).collect();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(failed)? {
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let wrong = |at: usize, what, remedy| {
            let text: String = cell(at).chars().take(40).collect();
            Error::Cell { path: path.to_owned(), line, text, what, remedy }
        };
        let second = second(cell(head.time))
            .ok_or_else(|| wrong(head.time, "time", "write Unix seconds, or a time in UTC such as 2026-11-24T14:03"))?;
        for ((at, _), (_, counts)) in head.counts.iter().zip(&mut columns) {
            if cell(*at).is_empty() {
                continue; // nobody counted
            }
            let count = cell(*at).parse::<f64>().ok().filter(|count| count.is_finite() && *count >= 0.0);
            counts.push((second, count.ok_or_else(|| wrong(*at, "count", "leave it empty where nobody counted"))?));
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

fn parquet(path: &str, wanted: &[String]) -> Result<Counts, Error> {
    let broken = |cause: String| Error::NotATable { path: path.to_owned(), cause };
    let file = File::open(Path::new(path)).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|cause| broken(cause.to_string()))?;
    let schema = builder.schema().clone();
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let head = head(path, &names, wanted, |at| schema.field(at).data_type().is_numeric())?;
    let mut columns: Vec<(String, Vec<(i64, f64)>)> =
        head.counts.iter().map(|(_, name)| (name.clone(), Vec::new())).collect();
    for batch in builder.build().map_err(|cause| broken(cause.to_string()))? {
        let batch = batch.map_err(|cause| broken(cause.to_string()))?;
        let seconds = seconds(&batch, head.time).map_err(broken)?;
        for ((at, _), (_, counts)) in head.counts.iter().zip(&mut columns) {
            let values = cast(batch.column(*at), &DataType::Float64).map_err(|cause| broken(cause.to_string()))?;
            let values = values.as_primitive::<Float64Type>();
            let known = seconds.iter().enumerate().filter(|(row, _)| values.is_valid(*row));
            counts.extend(known.map(|(row, second)| (*second, values.value(row))));
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
