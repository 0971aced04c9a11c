//! Arrow rows as JSON: ids in hex, instants in RFC 3339, whole numbers whole.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampNanosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};

use crate::model::Time;

/// One object a row, its keys in the order of the columns. Floats that JSON does not know become null.
pub fn json_rows(batch: &RecordBatch) -> Result<Vec<Map<String, Value>>, ArrowError> {
    let mut rows = vec![Map::new(); batch.num_rows()];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        // Dictionaries are how text is stored, not what it is.
        let column = match column.data_type() {
            DataType::Dictionary(_, values) => arrow::compute::cast(column, values)?,
            _ => column.clone(),
        };
        let formatter = ArrayFormatter::try_new(&column, &FormatOptions::new())?;
        for (index, row) in rows.iter_mut().enumerate() {
            row.insert(field.name().clone(), value(&column, index, &formatter));
        }
    }
    Ok(rows)
}

fn value(column: &dyn Array, index: usize, formatter: &ArrayFormatter<'_>) -> Value {
    macro_rules! number {
        ($type:ty) => {
            column.as_primitive::<$type>().value(index).into()
        };
    }
    if column.is_null(index) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => column.as_boolean().value(index).into(),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float32 => number!(Float32Type),
        DataType::Float64 => number!(Float64Type),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Time(column.as_primitive::<TimestampNanosecondType>().value(index)).to_string().into()
        }
        DataType::FixedSizeBinary(_) => hex::encode(column.as_fixed_size_binary().value(index)).into(),
        // Text, and the rarer types as Arrow displays them.
        _ => formatter.value(index).to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Kind, SpanBuilder, SpanId, SpanRow, Status, TraceId};

    #[test]
    fn a_span_reads_as_people_write_it() {
        let mut spans = SpanBuilder::new();
        spans.append(&SpanRow {
            trace_id: TraceId([0xab; 16]),
            span_id: SpanId([1; 8]),
            start: Time(1_767_225_599_999_000_000),
            duration_ns: 1_500,
            kind: Kind::Server,
            status: Status::Error,
            service: "auth",
            operation: "POST /login",
            ..SpanRow::default()
        });
        let rows = json_rows(spans.finish().record_batch()).unwrap();
        assert_eq!(rows.len(), 1);
        let expected = json!({
            "trace_id": "abababababababababababababababab", "span_id": "0101010101010101", "parent_span_id": null,
            "start": "2025-12-31T23:59:59.999Z", "duration_ns": 1500, "kind": "server", "status": "error",
            "service": "auth", "operation": "POST /login", "sampled_weight": null
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&rows[0][key], value, "{key}");
        }
    }
}
