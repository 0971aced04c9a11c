//! Every table that people ask, and every column of it, in words: for `headroom sql --describe`, and as the table
//! `described` beside the others.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::Table;
use crate::analyse::rollup::exemplars::{CRITICAL_PATH, TRACES};
use crate::analyse::rollup::sql::{INPUTS, sql_type};
use crate::journal::{decisions, interventions};
use crate::model::spans;

/// A table in words.
pub struct Described {
    pub name: &'static str,
    /// One row of it, in a line.
    pub row: &'static str,
    schema: SchemaRef,
    meanings: &'static [&'static str],
}

impl Described {
    /// Name, type and meaning of each column.
    pub fn columns(&self) -> impl Iterator<Item = (&str, String, &'static str)> {
        let fields = self.schema.fields().iter().zip(self.meanings);
        fields.map(|(field, meaning)| (field.name().as_str(), sql_type(field.data_type()), *meaning))
    }
}

/// In the order in which they are listed.
pub static DESCRIBED: LazyLock<Vec<Described>> = LazyLock::new(|| {
    let own = [
        Described {
            name: "spans",
            row: "a span as it was received, while it is in the window",
            schema: spans::schema(),
            meanings: SPANS,
        },
        Described {
            name: "traces",
            row: "a trace of the last minutes: of those that missed their objective more are kept",
            schema: TRACES.clone(),
            meanings: TRACES_IN_WORDS,
        },
        Described {
            name: "critical_path",
            row: "a stretch of the critical path of such a trace",
            schema: CRITICAL_PATH.clone(),
            meanings: CRITICAL_PATH_IN_WORDS,
        },
        Described {
            name: "decisions",
            row: "a decision of the guard; the last thousand",
            schema: decisions::schema(),
            meanings: DECISIONS,
        },
        Described {
            name: "interventions",
            row: "a stage that an intervention reached; the last thousand",
            schema: interventions::schema(),
            meanings: INTERVENTIONS,
        },
    ];
    // The tick's own table is not among those that people ask.
    let rollups = INPUTS.iter().filter(|input| input.name != "tick").map(|input| Described {
        name: input.name,
        row: input.row,
        schema: input.schema.clone(),
        meanings: input.meanings,
    });
    own.into_iter().chain(rollups).collect()
});

/// The same as a table: one row a column.
pub fn table() -> Table {
    static BATCH: LazyLock<RecordBatch> = LazyLock::new(|| {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        let schema = Schema::new(["table_name", "column_name", "type", "meaning"].map(text).to_vec());
        let rows: Vec<[String; 4]> = (DESCRIBED.iter())
            .flat_map(|table| {
                table
                    .columns()
                    .map(|(column, kind, meaning)| [table.name.to_owned(), column.to_owned(), kind, meaning.to_owned()])
            })
            .collect();
        let column = |n: usize| Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row[n]))) as ArrayRef;
        // Four columns of text, as many as the schema has.
        RecordBatch::try_new(Arc::new(schema), (0..4).map(column).collect()).expect("columns follow the schema")
    });
    Table { name: "described", schema: BATCH.schema(), batches: vec![BATCH.clone()] }
}

const SPANS: &[&str] = &[
    "id of the trace; compares with hexadecimal text",
    "id of the span; compares with hexadecimal text",
    "id of the parent's span; null of a root",
    "when it began",
    "nanoseconds from its start to its end",
    "`server`, `client`, `producer`, `consumer`, `internal` or `unspecified`",
    "`unset`, `ok` or `error`",
    "`service.name`",
    "the operation: the route where one is known, else the span's name",
    "`service.namespace`, or the Kubernetes namespace; empty where it is not known",
    "the pod or instance; empty where it is not known",
    "Deployment, StatefulSet or the like; empty where it is not known",
    "`service.version`; empty where it is not known",
    "`k8s.cluster.name`; empty where it is not known",
    "for a caller's span whom it says it calls: service, database, queue or host",
    "attribute `http.route`",
    "attribute `http.response.status_code`",
    "attribute `rpc.method`",
    "how many spans this one stands for; null where it is not known",
    "kind of work: `request`, `message`, `job`, `stream` or `probe`",
    "of a span that takes a message of another trace, trace id and span id of the sender's, with `-` between; empty elsewhere",
    "the rule by which a tail sampler chose the trace; empty where it does not say so",
];

const TRACES_IN_WORDS: &[&str] = &[
    "id of the trace; compares with hexadecimal text",
    "when its first request began",
    "nanoseconds that the request took",
    "the endpoint: `service operation` of the root span",
    "spans in it",
    "whether it took longer than the objective",
    "whether it failed",
    "whether it was slow or failed",
];

const CRITICAL_PATH_IN_WORDS: &[&str] = &[
    "id of the trace; compares with hexadecimal text",
    "id of the span whose time it is",
    "when the stretch began",
    "the service whose time it is",
    "its operation",
    "`own`, `queue` (waiting to be taken) or `peer` (a callee without spans)",
    "nanoseconds of this stretch",
    "of them, nanoseconds of waiting to be taken",
    "the endpoint of the trace",
    "nanoseconds that the request took",
    "whether the request was slow or failed",
];

const DECISIONS: &[&str] = &[
    "`d-<second>-<number>`, for `headroom explain`",
    "when it was decided",
    "who proposed it: a rule's name, `give_back`, `schedule:NAME`, `forecast:NAME` or `operator:NAME`",
    "the service that it is about",
    "the action as rules call it, such as `scale_out` or `notify`",
    "the verdict that the rule acted on; empty where it named none",
    "the rule's own words",
    "`permitted`, `observed`, `notified` or `refused`",
    "replicas before; null where it is refused or tells people",
    "replicas after; null where it is refused or tells people",
    "the gate that refused; of what is observed the first that would",
    "why it was refused or cut down",
    "what people are told; null of other actions",
];

const INTERVENTIONS: &[&str] = &[
    "`i-<second>-<number>`, of the decision with the same numbers",
    "when it reached the stage",
    "`applied`, `judging`, `verified`, `no_effect`, `given_back` or `superseded`",
    "the decision that led to it",
    "who proposed it",
    "the service that was changed",
    "replicas before",
    "replicas after",
    "when it was applied",
    "when it must be confirmed, or what was lent is given back",
    "what was measured, and what follows",
    "mean waiting of a request at the service before, in milliseconds",
    "the same now; null where it is not known",
    "ready pods that receive no spans",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_described() {
        for table in DESCRIBED.iter() {
            assert_eq!(table.meanings.len(), table.schema.fields().len(), "{}", table.name);
            assert!(
                table.meanings.iter().all(|meaning| !meaning.is_empty() && !meaning.ends_with('.')),
                "{}",
                table.name
            );
        }
    }
}
