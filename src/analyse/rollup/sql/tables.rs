//! The tables that a query of a tick may read, and the meaning of their columns.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::analyse::rollup::TABLES;

/// A table, documented.
#[derive(Debug)]
pub struct Input {
    pub name: &'static str,
    /// One row of it, in a line.
    pub row: &'static str,
    pub schema: SchemaRef,
    /// The meaning of each column, in the order of the schema.
    pub meanings: &'static [&'static str],
}

impl Input {
    /// Name, type and meaning of each column.
    pub fn columns(&self) -> impl Iterator<Item = (&str, String, &'static str)> {
        let fields = self.schema.fields().iter().zip(self.meanings);
        fields.map(|(field, meaning)| (field.name().as_str(), sql_type(field.data_type()), *meaning))
    }
}

/// How a column's type is told to people: texts are texts, however they are laid out.
pub fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Dictionary(_, values) => sql_type(values),
        DataType::Timestamp(_, Some(_)) => "timestamp (UTC)".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Int32 => "int".into(),
        DataType::Float64 => "double".into(),
        DataType::Boolean => "boolean".into(),
        DataType::UInt32 => "int".into(),
        DataType::FixedSizeBinary(bytes) => format!("id ({bytes} bytes)"),
        DataType::List(of) => format!("list of {}", sql_type(of.data_type())),
        other => other.to_string(),
    }
}

/// The table `tick`, one row: the times that the queries are asked about.
pub fn tick_schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let columns = ["slow_from", "fast_from", "complete_to"].map(|name| Field::new(name, time(), false));
    let at_risk_below = Field::new("at_risk_below", DataType::Int64, false);
    Arc::new(Schema::new(columns.into_iter().chain([at_risk_below]).collect::<Vec<_>>()))
}

/// The table `baseline_paths`.
pub fn baseline_paths_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8View, false);
    Arc::new(Schema::new(vec![
        text("entry"),
        text("service"),
        text("operation"),
        text("peer"),
        text("kind"),
        Field::new("ns_per_trace", DataType::Float64, false),
    ]))
}

const SECOND: &str = "the second of event time";

/// Every table, `tick` first.
pub static INPUTS: LazyLock<Vec<Input>> =
    LazyLock::new(|| {
        let tick = Input {
            name: "tick",
            row: "the only row: the times that the tick asks about (there is no now())",
            schema: tick_schema(),
            meanings: &[
                "start of the slow window, which trends need",
                "start of the fast window, which verdicts rest on",
                "end of both: telemetry is complete up to here",
                "endpoints with fewer requests than this also count requests at risk",
            ],
        };
        let baseline = Input {
            name: "baseline_paths",
            row: "critical-path time of a healthy request, by place",
            schema: baseline_paths_schema(),
            meanings: &[
                "the endpoint",
                "the service whose time it is",
                "its operation",
                "the callee without spans for kind `peer`, else empty",
                "`own`, `queue`, `peer`, `error`, `refused` or `gave_up`",
                "nanoseconds that a healthy request spends there",
            ],
        };
        let rollups = TABLES.iter().zip(ROLLUPS);
        let rollup =
            |(table, (row, meanings)): (&crate::analyse::rollup::Table, (&'static str, &'static [&'static str]))| {
                Input { name: table.name, row, schema: table.schema.clone(), meanings }
            };
        [tick].into_iter().chain(rollups.map(rollup)).chain([baseline]).collect()
    });

/// In the order of [`TABLES`].
const ROLLUPS: [(&str, &[&str]); 7] = [
    (
        "requests of an endpoint in one second, by duration",
        &[
            SECOND,
            "the endpoint: `service operation` of the root span",
            "histogram bucket of the root's duration",
            "requests",
            "requests slower than the objective",
            "requests in error",
            "requests slow or in error",
            "requests not missed, but slower than half the objective",
            "sum of durations",
            "thousandths of the requests that these stand for (sampling)",
            "requests whose sampling weight is unknown",
            "requests whose caller's span never came",
            "requests in whose trace other spans lack their parent",
        ],
    ),
    (
        "critical-path time of an endpoint's requests in one second, by place",
        &[
            SECOND,
            "the endpoint",
            "whether the requests missed the objective",
            "whether they were at risk: slower than half of it",
            "the service whose time it is",
            "its operation",
            "the callee without spans for kind `peer`, else empty",
            "`own`, `queue`, `peer`, `error`, `refused` or `gave_up`",
            "requests",
            "critical-path time",
        ],
    ),
    (
        "requests of a pod in one second",
        &[
            SECOND,
            "the service",
            "the pod; empty for calls that reached none",
            "its `service.version`",
            "requests taken and answered",
            "of these in error",
            "requests turned away at once",
            "calls that ended without an answer",
            "time from taken to answered",
            "of that, self time",
            "network and queue time of calls to it",
            "hold and wait, of requests and calls given up",
            "thousandths of the requests that these stand for",
            "self time of requests whose operation is known from healthy time",
            "self time that healthy requests of the same operations take",
            "and what their callees take",
            "requests whose operation is known from healthy time",
            "their self time over what is expected, as a logarithm in sixteenths of an octave",
            "the squares of that",
        ],
    ),
    (
        "requests of a service in one second, by duration",
        &[SECOND, "the service", "histogram bucket of the duration, waiting included", "requests"],
    ),
    (
        "calls from one service to another in one second",
        &[
            SECOND,
            "the calling service",
            "the caller's version",
            "the caller's operation that made the call",
            "the called service, or the peer without spans",
            "whether the callee sends spans",
            "calls",
            "of these in error",
            "time as the caller saw it",
            "time as the callee saw it",
            "the difference: network and queue",
            "thousandths of the calls that as many healthy requests make",
        ],
    ),
    (
        "requests of an operation in one second",
        &[
            SECOND,
            "the service",
            "its `service.version`",
            "the operation",
            "requests",
            "of these in error",
            "self time",
            "time in calls it makes",
            "network and queue time of calls to it",
        ],
    ),
    (
        "what the requests of an endpoint ask of one service in one second",
        &[
            SECOND,
            "the endpoint",
            "the service",
            "requests that the service took for it",
            "what those hold a worker for in healthy time; where that is not known, what they did hold one for",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_meaning() {
        for input in INPUTS.iter() {
            assert_eq!(input.meanings.len(), input.schema.fields().len(), "{}", input.name);
        }
        assert_eq!(INPUTS.len(), TABLES.len() + 2);
    }
}
