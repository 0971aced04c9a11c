//! The tick's SQL: planned once, run every tick over the current content of the tables.
//!
//! Deterministic: one partition, integer sums, a total ORDER BY, and no `now()`, `random()` or `uuid()`: time is the
//! one-row table `tick`. The shipped texts are in `queries/`; an operator may replace each by a file of the same name.

mod check;
mod error;
mod queries;
mod tables;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::executor::block_on;

use check::one_line;
pub use error::{Error, Place, QueryError};
pub use queries::{Order, Query, SHIPPED, names, query};
pub use tables::{INPUTS, Input, baseline_paths_schema, sql_type, tick_schema};

/// An operator's texts, by the name of the query that each replaces.
pub type Overrides = BTreeMap<String, String>;

/// Functions that would let a query see anything but its tables.
const NOT_DETERMINISTIC: [&str; 6] = ["now", "random", "uuid", "current_date", "current_time", "current_timestamp"];

/// A table whose content is replaced every tick while the plans that read it stay.
struct Live {
    schema: SchemaRef,
    batches: RwLock<Vec<RecordBatch>>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for Live {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.batches.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        // Without projection the stream cannot fail to be made.
        Box::pin(MemoryStream::try_new(batches, self.schema.clone(), None).expect("no projection to fail"))
    }
}

pub struct Sql {
    context: SessionContext,
    tables: BTreeMap<&'static str, Arc<Live>>,
    plans: BTreeMap<&'static str, Arc<dyn ExecutionPlan>>,
}

impl Sql {
    /// Plans every query: the operator's text where there is one, else the shipped one.
    pub fn plan(overrides: &Overrides) -> Result<Sql, Error> {
        match Sql::check(overrides).into_iter().next() {
            Some(error) => Err(error.into()),
            None => Sql::plan_checked(overrides),
        }
    }

    /// Everything that is wrong with an operator's texts, a query at a time.
    pub fn check(overrides: &Overrides) -> Vec<QueryError> {
        if overrides.is_empty() {
            return Vec::new();
        }
        // They are part of this crate, and a test plans them.
        let shipped = Sql::plan_checked(&Overrides::new()).expect("the shipped queries can be planned");
        // With all functions and with places: only to plan, never to run.
        let config = session().set_bool("datafusion.sql_parser.collect_spans", true);
        let context = SessionContext::new_with_config(config);
        for (name, live) in &shipped.tables {
            register(&context, name, live).expect("the same tables were registered for the shipped queries");
        }
        let mut errors = Vec::new();
        for (name, text) in overrides {
            let checked = match (query(name), shipped.plans.get(name.as_str())) {
                (Some(query), Some(plan)) => check::check(&context, query, &plan.schema(), text)
                    .and_then(|()| shipped.plan_one(query, text).map(drop)),
                (_, _) => Err(unknown(name)),
            };
            errors.extend(checked.err());
        }
        errors
    }

    fn plan_checked(overrides: &Overrides) -> Result<Sql, Error> {
        let context = SessionContext::new_with_config(session());
        for function in NOT_DETERMINISTIC {
            context.deregister_udf(function);
        }
        let mut sql = Sql { context, tables: BTreeMap::new(), plans: BTreeMap::new() };
        for input in INPUTS.iter() {
            let live = Arc::new(Live { schema: input.schema.clone(), batches: RwLock::default() });
            let failed = |cause: DataFusionError| Error::Run { name: input.name.into(), cause: one_line(&cause) };
            register(&sql.context, input.name, &live).map_err(failed)?;
            sql.tables.insert(input.name, live);
        }
        for query in &SHIPPED {
            let text = overrides.get(query.name).map_or(query.text, String::as_str);
            sql.plans.insert(query.name, sql.plan_one(query, text)?);
        }
        Ok(sql)
    }

    fn plan_one(&self, query: &Query, text: &str) -> Result<Arc<dyn ExecutionPlan>, QueryError> {
        let planned = block_on(async { self.context.sql(text).await?.create_physical_plan().await });
        planned.map_err(|cause| check::Checked { query, text }.unplanned(&cause))
    }

    /// The columns of a query's answer.
    pub fn answer_schema(&self, name: &str) -> Option<SchemaRef> {
        self.plans.get(name).map(|plan| plan.schema())
    }

    /// Replaces the content of a table. A name that was not planned for is a mistake of this crate.
    pub fn set(&self, table: &str, batches: Vec<RecordBatch>) {
        if let Some(live) = self.tables.get(table) {
            *live.batches.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = batches;
        }
    }

    pub fn run(&self, name: &str) -> Result<Vec<RecordBatch>, Error> {
        let failed = |cause: DataFusionError| Error::Run { name: name.into(), cause: one_line(&cause) };
        let Some(plan) = self.plans.get(name) else { return Err(unknown(name).into()) };
        // Joins remember their build side; a plan is run anew from the start.
        let plan = reset_plan_states(plan.clone()).map_err(failed)?;
        let batches = block_on(collect(plan, self.context.task_ctx())).map_err(failed)?;
        for batch in &batches {
            let null = batch.columns().iter().position(|column| column.null_count() > 0);
            if let Some(index) = null {
                let column = batch.schema_ref().field(index).name().clone();
                return Err(Error::Null { name: name.into(), column });
            }
        }
        Ok(batches)
    }
}

fn session() -> SessionConfig {
    SessionConfig::new().with_target_partitions(1).with_information_schema(false)
}

fn register(context: &SessionContext, name: &str, live: &Arc<Live>) -> Result<(), DataFusionError> {
    let stream = live.clone() as Arc<dyn PartitionStream>;
    let table = StreamingTable::try_new(live.schema.clone(), vec![stream])?;
    context.register_table(name, Arc::new(table)).map(drop)
}

fn unknown(name: &str) -> QueryError {
    let cause = format!("there is no query named `{name}`");
    QueryError { file: format!("{name}.sql"), place: None, cause, remedy: format!("the queries are {}", names()) }
}
