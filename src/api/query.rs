//! One read-only SQL query over given tables, within limits of memory, rows and bytes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;

use super::Table;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What sorts, joins and aggregates may hold at once.
    pub memory_bytes: usize,
    /// Rows and bytes of the answer; past them it is cut short and says so.
    pub rows_max: usize,
    pub answer_bytes_max: usize,
    /// Cores one query may use.
    pub partitions: usize,
}

#[derive(Debug)]
pub struct Answer {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    /// There were more rows than the limits let through.
    pub truncated: bool,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum QueryError {
    #[error("{cause}; the tables are {tables}")]
    Invalid { cause: String, tables: String },
    #[error("the query needs more memory than it may use; select less, or raise api.sql_memory")]
    Memory,
    #[error("the query failed: {cause}; simplify it")]
    Failed { cause: String },
}

pub async fn query(tables: &[Table], sql: &str, limits: &Limits) -> Result<Answer, QueryError> {
    let invalid = |error: DataFusionError| QueryError::Invalid {
        cause: one_line(&error),
        tables: tables.iter().map(|table| table.name).collect::<Vec<_>>().join(", "),
    };
    let context = context(tables, limits).map_err(failed)?;
    // Reading alone: no DDL, no DML (COPY is DML, and would write files), no SET.
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let frame = context.sql_with_options(sql, options).await.map_err(invalid)?;
    let mut stream = frame.execute_stream().await.map_err(failed)?;
    let mut answer = Answer { schema: stream.schema(), batches: Vec::new(), truncated: false };
    let (mut rows, mut bytes) = (0, 0);
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(failed)?;
        let room = limits.rows_max - rows;
        if batch.num_rows() > room {
            answer.batches.push(batch.slice(0, room));
            answer.truncated = true;
            break;
        }
        rows += batch.num_rows();
        bytes += batch.get_array_memory_size();
        answer.batches.push(batch);
        if bytes > limits.answer_bytes_max {
            answer.truncated = true;
            break;
        }
    }
    Ok(answer)
}

fn context(tables: &[Table], limits: &Limits) -> Result<SessionContext, DataFusionError> {
    let config = SessionConfig::new().with_target_partitions(limits.partitions.max(1)).with_information_schema(true);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(limits.memory_bytes, 1.0)
        // A query that would spill to disk is refused instead: the daemon's disk is for its journal.
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()?;
    let context = SessionContext::new_with_config_rt(config, runtime);
    for table in tables {
        let provider = MemTable::try_new(table.schema.clone(), vec![table.batches.clone()])?;
        context.register_table(table.name, Arc::new(provider))?;
    }
    Ok(context)
}

fn failed(error: DataFusionError) -> QueryError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => QueryError::Memory,
        _ => QueryError::Failed { cause: one_line(&error) },
    }
}

fn one_line(error: &DataFusionError) -> String {
    error.strip_backtrace().split_whitespace().collect::<Vec<_>>().join(" ")
}
