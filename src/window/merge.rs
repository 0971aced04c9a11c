//! Many small batches into one large: every column of exact size, every text once.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, FixedSizeBinaryArray, NullBufferBuilder, RecordBatch, StringArray,
    UInt8Array, UInt16Array,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute::concat;
use arrow::datatypes::{DataType, UInt8Type, UInt16Type};
use foldhash::fast::RandomState;
use indexmap::IndexSet;

use crate::model::SpanBatch;
use crate::model::spans::{self, DICTIONARY_VALUES_MAX};

/// The rows of all batches, in order. None when a column has more different texts than a dictionary may hold.
pub(super) fn merge(batches: &[&SpanBatch]) -> Option<SpanBatch> {
    let schema = spans::schema();
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let parts: Vec<&ArrayRef> = batches.iter().map(|batch| batch.record_batch().column(index)).collect();
        match field.data_type() {
            DataType::Dictionary(key, _) if **key == DataType::UInt16 => merge_texts(&parts),
            DataType::Dictionary(..) => merge_names(&parts),
            DataType::FixedSizeBinary(width) => merge_ids(&parts, *width),
            _ => concat(&parts.iter().map(|part| &***part).collect::<Vec<_>>()).ok(),
        }
    });
    let columns = columns.collect::<Option<Vec<_>>>()?;
    SpanBatch::try_from(RecordBatch::try_new(schema, columns).ok()?).ok()
}

/// One dictionary of the texts that are used, in order of first use.
fn merge_texts(parts: &[&ArrayRef]) -> Option<ArrayRef> {
    let rows = parts.iter().map(|part| part.len()).sum();
    let mut keys: Vec<u16> = Vec::with_capacity(rows);
    let mut texts: IndexSet<&str, RandomState> = IndexSet::default();
    for part in parts {
        let part = part.as_dictionary::<UInt16Type>();
        let values = part.values().as_string::<i32>();
        // Texts of this part that have a key already; one that is not used gets none.
        let mut known: Vec<Option<u16>> = vec![None; values.len()];
        for &key in part.keys().values() {
            let known = known.get_mut(usize::from(key))?;
            let key = match *known {
                Some(key) => key,
                None => {
                    let (index, _) = texts.insert_full(values.value(usize::from(key)));
                    if index >= DICTIONARY_VALUES_MAX {
                        return None;
                    }
                    *known.insert(index as u16) // below DICTIONARY_VALUES_MAX, which fits
                }
            };
            keys.push(key);
        }
    }
    let values = StringArray::from_iter_values(texts);
    let keys = UInt16Array::new(ScalarBuffer::from(keys), None);
    Some(Arc::new(DictionaryArray::try_new(keys, Arc::new(values)).ok()?))
}

/// Columns of an enumeration: all have the same names (`SpanBatch` sees to it), so the keys are joined.
fn merge_names(parts: &[&ArrayRef]) -> Option<ArrayRef> {
    let mut keys: Vec<u8> = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        keys.extend_from_slice(part.as_dictionary::<UInt8Type>().keys().values());
    }
    let values = parts.first()?.as_dictionary::<UInt8Type>().values().clone();
    let keys = UInt8Array::new(ScalarBuffer::from(keys), None);
    Some(Arc::new(DictionaryArray::try_new(keys, values).ok()?))
}

/// Columns of ids; no bit of the mask where no id is missing.
fn merge_ids(parts: &[&ArrayRef], width: i32) -> Option<ArrayRef> {
    let rows: usize = parts.iter().map(|part| part.len()).sum();
    let mut ids: Vec<u8> = Vec::with_capacity(rows * usize::try_from(width).ok()?);
    let mut present = NullBufferBuilder::new(rows);
    for part in parts {
        let part = part.as_fixed_size_binary();
        ids.extend_from_slice(part.value_data());
        match part.nulls() {
            Some(nulls) => present.append_buffer(nulls),
            None => present.append_n_non_nulls(part.len()),
        }
    }
    Some(Arc::new(FixedSizeBinaryArray::try_new(width, ids.into(), present.finish()).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Kind, SpanBuilder, SpanId, SpanRow, Status, Time, TraceId};

    fn batch<'a>(rows: impl IntoIterator<Item = SpanRow<'a>>) -> SpanBatch {
        let mut builder = SpanBuilder::new();
        rows.into_iter().for_each(|row| builder.append(&row));
        builder.finish()
    }

    fn row(n: u8) -> SpanRow<'static> {
        const TEXTS: [&str; 5] = ["", "a", "b", "auth", "GET /exam/{id}"];
        let text = |shift: u8| TEXTS[usize::from(n.rotate_left(shift.into())) % TEXTS.len()];
        SpanRow {
            trace_id: TraceId([n; 16]),
            span_id: SpanId([n; 8]),
            parent_span_id: (!n.is_multiple_of(3)).then_some(SpanId([n / 3; 8])),
            start: Time(i64::from(n)),
            duration_ns: i64::from(n) * 7,
            kind: Kind::from_otlp(i64::from(n % 6)),
            status: Status::from_otlp(i64::from(n % 3)),
            service: text(0),
            operation: text(1),
            pod: text(2),
            peer: text(3),
            promoted: [text(4), text(5), ""],
            sampled_weight: (!n.is_multiple_of(2)).then_some(f64::from(n)),
            ..SpanRow::default()
        }
    }

    proptest! {
        #[test]
        fn rows_come_out_as_they_went_in(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..8)) {
            let batches: Vec<SpanBatch> = parts.iter().map(|part| batch(part.iter().map(|&n| row(n)))).collect();
            let merged = merge(&batches.iter().collect::<Vec<_>>()).unwrap();
            let expected: Vec<SpanRow<'_>> = parts.iter().flatten().map(|&n| row(n)).collect();
            prop_assert_eq!(merged.iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn many_small_batches_take_little_more_than_their_columns() {
        let batches: Vec<SpanBatch> = (0..2000).map(|n| batch((0..10).map(|i| row(((n + i) % 250) as u8)))).collect();
        let merged = merge(&batches.iter().collect::<Vec<_>>()).unwrap();
        let bytes = |batch: &SpanBatch| batch.record_batch().get_array_memory_size() as f64;
        let (before, after) = (batches.iter().map(bytes).sum::<f64>() / 20_000.0, bytes(&merged) / 20_000.0);
        assert!(after < 86.0, "{after} bytes a span, {before} before");
    }

    #[test]
    fn more_texts_than_a_dictionary_holds_are_not_merged() {
        let of = |from: usize| {
            let names: Vec<String> = (from..from + DICTIONARY_VALUES_MAX / 2 + 1).map(|n| format!("op{n}")).collect();
            batch(names.iter().map(|name| SpanRow { operation: name, ..row(1) }))
        };
        let (one, other) = (of(0), of(DICTIONARY_VALUES_MAX));
        assert!(merge(&[&one, &one]).is_some());
        assert!(merge(&[&one, &other]).is_none());
    }
}
