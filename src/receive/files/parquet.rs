//! Headroom's own files: the `spans` table in Parquet, column by column as it lies in memory.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::Error;
use crate::model::SpanBatch;
use crate::model::spans::schema;

/// Spans of a row group: what a reader must hold to skip or read one, about 12 MiB of columns.
const ROW_GROUP_SPANS: usize = 128 << 10;

/// Spans of a batch that is read, about as many as a Collector puts in a request.
const BATCH_SPANS: usize = 8192;

/// Writes batches as they come; the file is whole only after [`finish`](ParquetWriter::finish).
pub struct ParquetWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    spans: u64,
}

impl<W: Write + Send> ParquetWriter<W> {
    pub fn new(writer: W) -> Result<ParquetWriter<W>, ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_SPANS))
            .build();
        Ok(ParquetWriter { writer: ArrowWriter::try_new(writer, schema(), Some(properties))?, spans: 0 })
    }

    pub fn write(&mut self, batch: &SpanBatch) -> Result<(), ParquetError> {
        self.spans += batch.len() as u64;
        self.writer.write(batch.record_batch())
    }

    /// Completes the file and returns how many spans are in it.
    pub fn finish(self) -> Result<u64, ParquetError> {
        self.writer.close()?;
        Ok(self.spans)
    }
}

/// Writes a whole file and returns how many spans are in it.
pub fn write_parquet<'a>(
    batches: impl IntoIterator<Item = &'a SpanBatch>,
    writer: impl Write + Send,
) -> Result<u64, ParquetError> {
    let mut writer = ParquetWriter::new(writer)?;
    batches.into_iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()
}

/// The batches of a Parquet file.
pub struct Batches {
    path: String,
    reader: ParquetRecordBatchReader,
}

impl Batches {
    pub fn open(path: &str, file: &Path) -> Result<Batches, Error> {
        let failed = |cause| Error::Parquet { path: path.to_owned(), cause };
        let file = File::open(file).map_err(|cause| Error::Io { path: path.to_owned(), cause })?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
        let reader = builder.with_batch_size(BATCH_SPANS).build().map_err(failed)?;
        Ok(Batches { path: path.to_owned(), reader })
    }
}

impl Iterator for Batches {
    type Item = Result<SpanBatch, Error>;

    fn next(&mut self) -> Option<Result<SpanBatch, Error>> {
        let batch = self.reader.next()?;
        let batch = batch.map_err(|cause| Error::Parquet { path: self.path.clone(), cause: cause.into() });
        Some(batch.and_then(|batch| {
            SpanBatch::try_from(batch).map_err(|cause| Error::NotSpans { path: self.path.clone(), cause })
        }))
    }
}
