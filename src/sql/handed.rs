//! A table that lies on the parent's shelf, as DataFusion reads it: batch by batch, and of each only the columns that
//! the statement needs, so that a child never holds a table whole.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Statistics, project_schema};
use datafusion::datasource::source::{DataSource, DataSourceExec};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};

use super::message::{Handed, Place};

type Result<T> = std::result::Result<T, DataFusionError>;

pub(super) struct HandedTable {
    file: Arc<File>,
    name: String,
    schema: SchemaRef,
    batches: Option<Arc<[(Place, usize)]>>,
}

impl HandedTable {
    pub fn open(file: &Arc<File>, handed: Handed) -> Result<HandedTable> {
        let bytes = read(file, handed.schema.offset, handed.schema.bytes)?;
        let mut decoder = StreamDecoder::new();
        decoder.decode(&mut Buffer::from(bytes))?;
        let schema = decoder.schema().ok_or_else(|| DataFusionError::Internal("a table without a schema".into()))?;
        Ok(HandedTable { file: file.clone(), name: handed.name, schema, batches: handed.batches.map(Arc::from) })
    }
}

impl fmt::Debug for HandedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandedTable").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for HandedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(batches) = self.batches.clone() else {
            let cause = format!("write the name of the table `{}` out in the statement", self.name);
            return Err(DataFusionError::Plan(cause));
        };
        let columns = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let source = Scan {
            file: self.file.clone(),
            schema: project_schema(&self.schema, Some(&columns))?,
            columns: columns.into(),
            batches,
            limit,
        };
        Ok(DataSourceExec::from_data_source(source))
    }
}

#[derive(Clone)]
struct Scan {
    file: Arc<File>,
    /// Of the columns read.
    schema: SchemaRef,
    columns: Arc<[usize]>,
    batches: Arc<[(Place, usize)]>,
    limit: Option<usize>,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl DataSource for Scan {
    fn open(&self, _partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let scan = self.clone();
        let mut left = self.limit.unwrap_or(usize::MAX);
        let batches = (0..self.batches.len()).map_while(move |index| {
            let wanted = left;
            if wanted == 0 {
                return None;
            }
            let batch = scan.batch(index).map(|batch| batch.slice(0, batch.num_rows().min(wanted)));
            left -= batch.as_ref().map_or(0, RecordBatch::num_rows);
            Some(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter(batches))))
    }

    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batches={}", self.batches.len())
    }

    fn output_partitioning(&self) -> Partitioning {
        Partitioning::UnknownPartitioning(1)
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        EquivalenceProperties::new(self.schema.clone())
    }

    /// How many rows there are: joins build on the smaller side.
    fn partition_statistics(&self, _partition: Option<usize>) -> Result<Arc<Statistics>> {
        let rows: usize = self.batches.iter().map(|(_, rows)| rows).sum();
        let rows = rows.min(self.limit.unwrap_or(usize::MAX));
        Ok(Arc::new(Statistics { num_rows: Precision::Exact(rows), ..Statistics::new_unknown(&self.schema) }))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        Some(Arc::new(Scan { limit, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    fn try_swapping_with_projection(&self, _: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(None)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
}

impl Scan {
    fn batch(&self, index: usize) -> Result<RecordBatch> {
        let (place, rows) = self.batches[index];
        if self.columns.is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            return Ok(RecordBatch::try_new_with_options(self.schema.clone(), Vec::new(), &options)?);
        }
        let streams = streams(&self.file, place)?;
        let columns: Vec<ArrayRef> = match streams.as_slice() {
            [all] => {
                let all = decode(&self.file, *all)?;
                self.columns.iter().map(|&column| all.column(column).clone()).collect()
            }
            each => {
                let column = |&column: &usize| Ok(decode(&self.file, each[column])?.column(0).clone());
                self.columns.iter().map(column).collect::<Result<_>>()?
            }
        };
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

/// Where the streams of a block lie: a count, their lengths, they themselves.
fn streams(file: &File, block: Place) -> Result<Vec<Place>> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default()) as usize;
    let count = number(&read(file, block.offset, 8)?);
    let lengths = read(file, block.offset + 8, 8 * count)?;
    let mut offset = block.offset + 8 * (1 + count as u64);
    let mut places = Vec::with_capacity(count);
    for length in lengths.chunks_exact(8) {
        places.push(Place { offset, bytes: number(length) });
        offset += number(length) as u64;
    }
    Ok(places)
}

fn decode(file: &File, place: Place) -> Result<RecordBatch> {
    let mut bytes = Buffer::from(read(file, place.offset, place.bytes)?);
    let mut decoder = StreamDecoder::new();
    while !bytes.is_empty() {
        if let Some(batch) = decoder.decode(&mut bytes)? {
            return Ok(batch);
        }
    }
    Err(ArrowError::IpcError("a stream without a batch".into()).into())
}

fn read(file: &File, offset: u64, bytes: usize) -> Result<Vec<u8>> {
    let mut read = vec![0; bytes];
    file.read_exact_at(&mut read, offset)?;
    Ok(read)
}
