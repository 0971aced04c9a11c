//! Where rows lie, and what a file of them is: `entries/cluster=main/day=2026-11-30/NAME.parquet`, partitioned as DataFusion, DuckDB and
//! Spark read it.
//!
//! NAME is `m-…` of one writing, `i-…` of an import, and `c-NUMBER` of what was put together of others, counted up in each partition.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::path::Path;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::{Error, Of};

/// Under these names a file says what it was put together of, and how long its rows are.
const HOLDS: &str = "headroom.holds";
const STEP: &str = "headroom.step_s";

/// Rows that a page of memory holds while they are written.
const ROW_GROUP: usize = 1 << 17;

/// A table's rows of a cluster and a day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    pub cluster: String,
    /// Since 1970.
    pub day: i64,
    pub of: Of,
}

impl Partition {
    /// The partition and the name of a file; None of what is none of them.
    pub fn of_file(path: &Path) -> Option<(Partition, String)> {
        let parts: Vec<_> = path.parts().collect();
        let [table, cluster, day, name] = parts.as_slice() else { return None };
        let of = Of::parse(table.as_ref())?;
        let cluster = cluster.as_ref().strip_prefix("cluster=")?.to_owned();
        let day = chrono::NaiveDate::parse_from_str(day.as_ref().strip_prefix("day=")?, "%Y-%m-%d").ok()?;
        let day = day.signed_duration_since(chrono::NaiveDate::default()).num_days();
        let name = name.as_ref().strip_suffix(".parquet")?.to_owned();
        Some((Partition { cluster, day, of }, name))
    }

    pub fn folder(&self) -> Path {
        let day = chrono::NaiveDate::default() + chrono::TimeDelta::days(self.day);
        Path::from_iter([self.of.name().to_owned(), format!("cluster={}", self.cluster), format!("day={day}")])
    }

    pub fn file(&self, name: &str) -> Path {
        self.folder().join(format!("{name}.parquet"))
    }
}

/// The name of the file that was put together as the so many-eth of its partition.
pub fn together(number: u32) -> String {
    format!("c-{number:06}")
}

/// Which one it is; None of what was not put together.
pub fn number(name: &str) -> Option<u32> {
    name.strip_prefix("c-")?.parse().ok()
}

/// What is written of a file beside its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// Names of the files whose rows are in it.
    pub holds: BTreeSet<String>,
    /// How long the rows of one that was put together are, in seconds.
    pub step_s: i64,
}

/// Takes batches until it is finished.
pub struct FileWriter(ArrowWriter<Vec<u8>>);

impl FileWriter {
    pub fn new(of: Of) -> Result<FileWriter, Error> {
        let zstd = ZstdLevel::try_new(3).map_err(unwritable)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(zstd))
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .build();
        ArrowWriter::try_new(Vec::new(), of.schema(), Some(properties)).map(FileWriter).map_err(unwritable)
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.0.write(batch).map_err(unwritable)
    }

    pub fn finish(mut self, head: &Head) -> Result<Bytes, Error> {
        if !head.holds.is_empty() {
            let holds = head.holds.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
            self.0.append_key_value_metadata(KeyValue::new(HOLDS.to_owned(), holds));
        }
        self.0.append_key_value_metadata(KeyValue::new(STEP.to_owned(), head.step_s.to_string()));
        self.0.into_inner().map(Bytes::from).map_err(unwritable)
    }
}

fn unwritable(cause: impl std::fmt::Display) -> Error {
    Error::Unwritable(cause.to_string())
}

/// What a file holds, of its columns those that are wanted; None where it is none that was written whole.
pub fn open(bytes: Bytes, columns: &[&str]) -> Option<(Head, ParquetRecordBatchReader)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?;
    let wanted = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let builder = builder.with_projection(wanted);
    let written = builder.metadata().file_metadata().key_value_metadata();
    let value = |key: &str| written?.iter().find(|one| one.key == key)?.value.as_deref();
    let holds = value(HOLDS).unwrap_or_default().lines().map(str::to_owned).collect();
    let step_s = value(STEP).and_then(|step| step.parse().ok()).unwrap_or(0);
    let head = Head { holds, step_s };
    Some((head, builder.build().ok()?))
}
