//! The `interventions` table: one row for each report, so that the life of one is the rows of its id by `at`.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, Float64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampNanosecondArray, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use crate::model::Time;
use crate::verify::InterventionReport;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false);
    Arc::new(Schema::new(vec![
        text("id"),
        time("at"),
        text("stage"),
        text("decision"),
        text("rule"),
        text("service"),
        Field::new("replicas_from", DataType::UInt32, false),
        Field::new("replicas_to", DataType::UInt32, false),
        time("applied_at"),
        time("deadline"),
        text("reason"),
        Field::new("waiting_ms_before", DataType::Float64, false),
        Field::new("waiting_ms_now", DataType::Float64, true),
        Field::new("idle_pods", DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))), false),
    ]))
});

/// `stage` is `applied`, `judging`, `verified`, `no_effect`, `given_back` or `superseded`.
pub fn schema() -> SchemaRef {
    SCHEMA.clone()
}

/// One row a report, with the time it was made, in their order.
pub fn table<'a>(reports: impl IntoIterator<Item = (Time, &'a InterventionReport)>) -> Result<RecordBatch, ArrowError> {
    let rows: Vec<(Time, &InterventionReport)> = reports.into_iter().collect();
    let text = |get: fn(&InterventionReport) -> String| {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, report)| get(report)))) as ArrayRef
    };
    let times = |get: &dyn Fn(&(Time, &InterventionReport)) -> Time| {
        let nanos = rows.iter().map(|row| get(row).0).collect::<Vec<i64>>();
        Arc::new(TimestampNanosecondArray::from(nanos).with_timezone("UTC")) as ArrayRef
    };
    let counts = |get: fn(&InterventionReport) -> u32| {
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|(_, report)| get(report)))) as ArrayRef
    };
    let mut idle_pods = ListBuilder::new(StringBuilder::new());
    for (_, report) in &rows {
        idle_pods.append_value(report.idle_pods.iter().map(Some));
    }
    let columns = vec![
        text(|r| r.id.to_string()),
        times(&|(at, _)| *at),
        text(|r| r.stage.as_str().to_owned()),
        text(|r| r.decision.to_string()),
        text(|r| r.origin.to_string()),
        text(|r| r.service.to_string()),
        counts(|r| r.from),
        counts(|r| r.to),
        times(&|(_, r)| r.applied_at),
        times(&|(_, r)| r.deadline),
        text(|r| r.reason.clone()),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|(_, r)| r.waiting_ms_before))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|(_, r)| r.waiting_ms_now))),
        Arc::new(idle_pods.finish()),
    ];
    RecordBatch::try_new(schema(), columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Stage;

    #[test]
    fn a_life_is_the_rows_of_its_id() {
        let applied = InterventionReport {
            id: "i-1-1".parse().unwrap(),
            decision: "d-1-1".parse().unwrap(),
            origin: "out".into(),
            service: "a".into(),
            from: 4,
            to: 9,
            applied_at: Time::from_secs(1),
            deadline: Time::from_secs(151),
            stage: Stage::Applied,
            reason: "its pods are coming".into(),
            waiting_ms_before: 40.0,
            waiting_ms_now: None,
            idle_pods: Vec::new(),
        };
        let verified = InterventionReport {
            stage: Stage::Verified,
            reason: "waiting fell".into(),
            waiting_ms_now: Some(1.5),
            idle_pods: vec!["a-8".into()],
            ..applied.clone()
        };
        let table = table([(Time::from_secs(1), &applied), (Time::from_secs(40), &verified)]).unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&[table]).unwrap().to_string();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn none_is_an_empty_table() {
        assert_eq!(table([]).unwrap().num_rows(), 0);
    }
}
