//! The tick's SQL: planned once, run every tick over whatever the tables hold then.
//!
//! Deterministic: one partition, integer sums, a total ORDER BY, and no `now()`, `random()` or `uuid()`
//! (time is the one-row table `tick`). The text of each query is in `queries/`; an operator may give his own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::executor::block_on;

/// The queries of a tick: name and shipped text.
pub const SHIPPED: [(&str, &str); 6] = [
    ("entries", include_str!("../queries/entries.sql")),
    ("blame", include_str!("../queries/blame.sql")),
    ("services", include_str!("../queries/services.sql")),
    ("pods", include_str!("../queries/pods.sql")),
    ("durations", include_str!("../queries/durations.sql")),
    ("edges", include_str!("../queries/edges.sql")),
];

/// Functions that would let a query see anything but its tables.
const NOT_DETERMINISTIC: [&str; 6] = ["now", "random", "uuid", "current_date", "current_time", "current_timestamp"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("query {name} cannot be planned: {cause}; compare it with the shipped src/analyse/queries/{name}.sql")]
    Plan { name: String, cause: String },
    #[error("query {name} gives columns {found}, the analysis needs {expected}")]
    Columns { name: String, expected: String, found: String },
    #[error("there is no query named {name}; the queries are {known}")]
    UnknownQuery { name: String, known: String },
    #[error("query {name} failed: {cause}")]
    Run { name: String, cause: String },
}

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
    plans: BTreeMap<String, Arc<dyn ExecutionPlan>>,
}

impl Sql {
    /// Plans every query over the given tables. `overrides` replaces shipped texts by name.
    pub fn plan(
        tables: impl IntoIterator<Item = (&'static str, SchemaRef)>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Sql, Error> {
        if let Some(name) = overrides.keys().find(|name| !SHIPPED.iter().any(|(known, _)| known == name)) {
            let known = SHIPPED.map(|(name, _)| name).join(", ");
            return Err(Error::UnknownQuery { name: name.clone(), known });
        }
        let config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
        let context = SessionContext::new_with_config(config);
        for function in NOT_DETERMINISTIC {
            context.deregister_udf(function);
        }
        let mut sql = Sql { context, tables: BTreeMap::new(), plans: BTreeMap::new() };
        for (name, schema) in tables {
            let live = Arc::new(Live { schema: schema.clone(), batches: RwLock::default() });
            let failed =
                |cause: datafusion::error::DataFusionError| Error::Plan { name: name.into(), cause: one_line(&cause) };
            let table =
                StreamingTable::try_new(schema, vec![live.clone() as Arc<dyn PartitionStream>]).map_err(failed)?;
            sql.context.register_table(name, Arc::new(table)).map_err(failed)?;
            sql.tables.insert(name, live);
        }
        for (name, shipped) in SHIPPED {
            let expected = sql.plan_one(name, shipped)?;
            let text = overrides.get(name).map_or(shipped, String::as_str);
            let plan = sql.plan_one(name, text)?;
            if let Some((expected, found)) = differing_columns(&expected.schema(), &plan.schema()) {
                return Err(Error::Columns { name: name.into(), expected, found });
            }
            sql.plans.insert(name.into(), plan);
        }
        Ok(sql)
    }

    fn plan_one(&self, name: &str, text: &str) -> Result<Arc<dyn ExecutionPlan>, Error> {
        let planned = block_on(async { self.context.sql(text).await?.create_physical_plan().await });
        planned.map_err(|cause| Error::Plan { name: name.into(), cause: one_line(&cause) })
    }

    /// Replaces the content of a table. A name that was not planned for is a mistake of this crate.
    pub fn set(&self, table: &str, batches: Vec<RecordBatch>) {
        if let Some(live) = self.tables.get(table) {
            *live.batches.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = batches;
        }
    }

    pub fn run(&self, name: &str) -> Result<Vec<RecordBatch>, Error> {
        let failed =
            |cause: datafusion::error::DataFusionError| Error::Run { name: name.into(), cause: one_line(&cause) };
        let Some(plan) = self.plans.get(name) else {
            return Err(Error::UnknownQuery { name: name.into(), known: String::new() });
        };
        // Joins remember their build side; a plan is run anew from the start.
        let plan = reset_plan_states(plan.clone()).map_err(failed)?;
        block_on(collect(plan, self.context.task_ctx())).map_err(failed)
    }
}

fn one_line(cause: &datafusion::error::DataFusionError) -> String {
    cause.strip_backtrace().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn differing_columns(expected: &SchemaRef, found: &SchemaRef) -> Option<(String, String)> {
    let columns = |schema: &SchemaRef| {
        let column = |f: &Arc<arrow::datatypes::Field>| format!("{} {}", f.name(), f.data_type());
        schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
    };
    let (expected, found) = (columns(expected), columns(found));
    (expected != found).then_some((expected, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::judge::tick_schema;
    use crate::analyse::learned::baseline::Baseline;
    use crate::analyse::rollup::TABLES;

    /// The first line of what planning says of an operator's own text for a query.
    fn refusal(name: &str, text: &str) -> String {
        let tables = TABLES.iter().map(|t| (t.name, t.schema.clone()));
        let tables = tables.chain([("baseline_paths", Baseline::schema()), ("tick", tick_schema())]);
        let overrides = BTreeMap::from([(name.to_owned(), text.to_owned())]);
        Sql::plan(tables, &overrides).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn an_own_query_gives_the_columns_the_analysis_reads_or_is_refused_when_it_is_planned() {
        let shipped = SHIPPED.iter().find(|(name, _)| *name == "durations").map_or("", |(_, text)| text);
        assert_eq!(refusal("durations", shipped), "");
        let other_type = shipped.replace("SUM(d.requests)", "CAST(SUM(d.requests) AS DOUBLE)");
        assert_eq!(
            refusal("durations", &other_type),
            "query durations gives columns service Utf8View, bucket Int32, requests Float64, the analysis needs \
             service Utf8View, bucket Int32, requests Int64"
        );
        let list = shipped.replace("SUM(d.requests) AS requests", "array_agg(d.requests) AS requests");
        assert!(refusal("durations", &list).starts_with("query durations gives columns"));
        let other_name = shipped.replace("AS requests", "AS asked");
        assert!(refusal("durations", &other_name).starts_with("query durations gives columns"));
        assert!(refusal("durations", "SELECT now()").starts_with("query durations cannot be planned"));
        assert!(refusal("durables", shipped).starts_with("there is no query named durables; the queries are entries"));
    }
}
