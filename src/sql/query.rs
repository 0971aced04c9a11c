//! One read-only statement, run within its limits by DataFusion; what comes goes to a sink, batch by batch.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;

use super::hex_ids::{self, HexIds};
use super::message::Limits;
use super::{QueryError, bounds};

/// Takes an answer as it comes.
pub(super) trait Sink {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), QueryError>;
    /// Break: enough.
    fn take(&mut self, batch: &RecordBatch) -> Result<ControlFlow<()>, QueryError>;
}

pub(super) async fn run(
    tables: Vec<(String, Arc<dyn TableProvider>)>,
    sql: &str,
    limits: &Limits,
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let names = tables.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let invalid = |error: DataFusionError| QueryError::Invalid { cause: one_line(&error), tables: names.clone() };
    bounds::check_text(sql)?;
    let context = context(limits).map_err(failed)?;
    for (name, table) in &tables {
        context.register_table(name, table.clone()).map_err(failed)?;
    }
    let state = context.state();
    let dialect = state.config().options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect).map_err(invalid)?;
    bounds::check_statement(&statement)?;
    let plan = state.statement_to_plan(statement).await.map_err(invalid)?;
    // Reading alone: no DDL, no DML (COPY is DML, and would write files), no SET.
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(&plan).map_err(invalid)?;
    let frame = context.execute_logical_plan(plan).await.map_err(invalid)?;
    let mut stream = frame.execute_stream().await.map_err(failed)?;
    sink.begin(&stream.schema())?;
    while let Some(batch) = stream.next().await {
        if sink.take(&batch.map_err(failed)?)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn context(limits: &Limits) -> Result<SessionContext, DataFusionError> {
    let config = SessionConfig::new().with_target_partitions(limits.partitions.max(1)).with_information_schema(true);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX), 1.0)
        // A query that would spill to disk is refused instead: the daemon's disk is for its journal.
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()?;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_analyzer_rules(hex_ids::analyzer_rules())
        .build();
    let mut context = SessionContext::new_with_state(state);
    context.register_expr_planner(Arc::new(HexIds))?;
    Ok(context)
}

fn failed(error: DataFusionError) -> QueryError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => QueryError::Memory,
        _ => QueryError::Failed { cause: one_line(&error) },
    }
}

/// Longest cause that is told: DataFusion repeats a whole expression.
const CAUSE_CHARACTERS_MAX: usize = 2_000;

fn one_line(error: &DataFusionError) -> String {
    let line = error.strip_backtrace().split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CAUSE_CHARACTERS_MAX) {
        Some((at, _)) => format!("{} …", &line[..at]),
        None => line,
    }
}
