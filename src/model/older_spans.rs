//! Tables of spans that older versions wrote: the columns that they lack, filled with what their spans are taken for.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt8Array, UInt16Array};
use arrow::datatypes::{Field, Schema};

use super::Work;
use super::spans::{LATER_TEXTS, WORK, WORK_COLUMN, dictionary, enum_type, text_type};

/// With the columns `work` (all spans are requests), `link` and `sampled_by` (none), where a file was written before there
/// were any. Another table is given back as it is.
pub(super) fn completed(batch: RecordBatch) -> RecordBatch {
    let rows = batch.num_rows();
    let batch = if batch.num_columns() == WORK_COLUMN {
        let requests = UInt8Array::from(vec![Work::Request as u8; rows]);
        let works = dictionary(requests, StringArray::from_iter_values(Work::NAMES));
        with_columns(batch, [(Field::new(WORK, enum_type(), false), works)])
    } else {
        batch
    };
    if batch.num_columns() != WORK_COLUMN + 1 {
        return batch;
    }
    let none = || dictionary(UInt16Array::from(vec![0; rows]), StringArray::from_iter_values([""]));
    with_columns(batch, LATER_TEXTS.map(|name| (Field::new(name, text_type(), false), none())))
}

fn with_columns<const N: usize>(batch: RecordBatch, more: [(Field, ArrayRef); N]) -> RecordBatch {
    let schema = batch.schema();
    let (fields, arrays): (Vec<_>, Vec<_>) = more.into_iter().map(|(field, array)| (Arc::new(field), array)).unzip();
    let fields: Vec<_> = schema.fields().iter().cloned().chain(fields).collect();
    let columns = batch.columns().iter().cloned().chain(arrays).collect();
    // Columns more, of as many rows.
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap_or(batch)
}

#[cfg(test)]
mod tests {
    use crate::model::spans::WORK_COLUMN;
    use crate::model::{SpanBatch, SpanBuilder, SpanRow, Work};

    #[test]
    fn a_table_of_an_older_version_holds_requests_without_links() {
        let mut builder = SpanBuilder::new();
        builder.append(&SpanRow {
            service: "a",
            work: Work::Probe,
            link: "1-2",
            sampled_by: "slow",
            ..SpanRow::default()
        });
        let batch = builder.finish();
        let of = |columns: usize| {
            let without: Vec<usize> = (0..columns).collect();
            SpanBatch::try_from(batch.record_batch().project(&without).unwrap()).unwrap()
        };
        let (oldest, older) = (of(WORK_COLUMN), of(WORK_COLUMN + 1));
        let said = |batch: &SpanBatch| {
            let row = batch.row(0);
            (row.service.to_owned(), row.work, row.link.to_owned(), row.sampled_by.to_owned())
        };
        let texts = |link: &str, sampled_by: &str| (link.to_owned(), sampled_by.to_owned());
        let expected = |work, (link, sampled_by)| ("a".to_owned(), work, link, sampled_by);
        assert_eq!(said(&oldest), expected(Work::Request, texts("", "")));
        assert_eq!(said(&older), expected(Work::Probe, texts("", "")));
        assert_eq!(said(&batch), expected(Work::Probe, texts("1-2", "slow")));
    }
}
