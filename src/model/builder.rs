//! Builds batches of the `spans` table row by row.
//!
//! What the spans of one resource have in common is looked up once ([`SpanBuilder::source`]); a row then costs five
//! texts of its own.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray, UInt8Array,
};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};

use super::spans::{Kind, PROMOTED, SpanBatch, SpanRow, Status, dictionary_of, schema};
use super::texts::{Cell, TextColumn, Utf8, names};
use super::{SpanId, Time, TraceId, Work};

static KINDS: LazyLock<ArrayRef> = LazyLock::new(|| names(&Kind::NAMES));
static WORKS: LazyLock<ArrayRef> = LazyLock::new(|| names(&Work::NAMES));
static STATUSES: LazyLock<ArrayRef> = LazyLock::new(|| names(&Status::NAMES));

/// Who sent spans: the columns that are the same for all spans of a resource. An empty text means absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source<'a> {
    pub service: Utf8<'a>,
    pub namespace: Utf8<'a>,
    pub pod: Utf8<'a>,
    pub workload: Utf8<'a>,
    pub version: Utf8<'a>,
    pub cluster: Utf8<'a>,
}

/// The columns that are a span's own.
#[derive(Clone, Copy, Debug)]
pub struct SpanCells<'a> {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_span_id: Option<SpanId>,
    pub start: Time,
    pub duration_ns: i64,
    pub kind: Kind,
    pub status: Status,
    pub operation: Utf8<'a>,
    pub peer: Utf8<'a>,
    pub sampled_weight: Option<f64>,
    pub promoted: [Cell<'a>; PROMOTED.len()],
    pub work: Work,
    pub link: Utf8<'a>,
    pub sampled_by: Utf8<'a>,
}

/// The columns of a [`Source`].
const SOURCE_COLUMNS: usize = 6;

/// See the module.
#[derive(Default)]
pub struct SpanBuilder {
    trace_ids: Vec<[u8; 16]>,
    span_ids: Vec<[u8; 8]>,
    parents: Vec<[u8; 8]>,
    has_parent: Vec<bool>,
    starts: Vec<i64>,
    durations: Vec<i64>,
    kinds: Vec<u8>,
    statuses: Vec<u8>,
    /// Filled up to the rows of the sources before the present one.
    sources: [TextColumn; SOURCE_COLUMNS],
    /// The keys of the present source.
    source: [u16; SOURCE_COLUMNS],
    operations: TextColumn,
    peers: TextColumn,
    promoted: [TextColumn; PROMOTED.len()],
    weights: Vec<f64>,
    has_weight: Vec<bool>,
    works: Vec<u8>,
    links: TextColumn,
    samplers: TextColumn,
}

impl SpanBuilder {
    pub fn new() -> SpanBuilder {
        SpanBuilder::default()
    }

    /// With room for so many rows.
    pub fn with_capacity(rows: usize) -> SpanBuilder {
        SpanBuilder {
            trace_ids: Vec::with_capacity(rows),
            span_ids: Vec::with_capacity(rows),
            parents: Vec::with_capacity(rows),
            has_parent: Vec::with_capacity(rows),
            starts: Vec::with_capacity(rows),
            durations: Vec::with_capacity(rows),
            kinds: Vec::with_capacity(rows),
            statuses: Vec::with_capacity(rows),
            sources: std::array::from_fn(|_| TextColumn::with_capacity(rows)),
            source: [0; SOURCE_COLUMNS],
            operations: TextColumn::with_capacity(rows),
            peers: TextColumn::with_capacity(rows),
            promoted: std::array::from_fn(|_| TextColumn::with_capacity(rows)),
            weights: Vec::with_capacity(rows),
            has_weight: Vec::with_capacity(rows),
            works: Vec::with_capacity(rows),
            links: TextColumn::with_capacity(rows),
            samplers: TextColumn::with_capacity(rows),
        }
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Values that became [`OTHER`](super::spans::OTHER) because a dictionary was full.
    pub fn overflowed(&self) -> u64 {
        self.texts().map(TextColumn::overflowed).sum()
    }

    /// Values that were longer than a text may be, and were cut.
    pub fn cut(&self) -> u64 {
        self.texts().map(TextColumn::cut).sum()
    }

    fn texts(&self) -> impl Iterator<Item = &TextColumn> {
        self.sources.iter().chain([&self.operations, &self.peers, &self.links, &self.samplers]).chain(&self.promoted)
    }

    /// A row on its own.
    pub fn append(&mut self, row: &SpanRow<'_>) {
        self.source(&Source {
            service: row.service.into(),
            namespace: row.namespace.into(),
            pod: row.pod.into(),
            workload: row.workload.into(),
            version: row.version.into(),
            cluster: row.cluster.into(),
        });
        self.push(&SpanCells {
            trace_id: row.trace_id,
            span_id: row.span_id,
            parent_span_id: row.parent_span_id,
            start: row.start,
            duration_ns: row.duration_ns,
            kind: row.kind,
            status: row.status,
            operation: row.operation.into(),
            peer: row.peer.into(),
            sampled_weight: row.sampled_weight,
            promoted: row.promoted.map(Cell::from),
            work: row.work,
            link: row.link.into(),
            sampled_by: row.sampled_by.into(),
        });
    }

    /// Says whose the rows are that are pushed from now on.
    pub fn source(&mut self, source: &Source<'_>) {
        self.fill_sources();
        let Source { service, namespace, pod, workload, version, cluster } = *source;
        let texts = [service, namespace, pod, workload, version, cluster];
        for ((key, column), text) in self.source.iter_mut().zip(&mut self.sources).zip(texts) {
            *key = column.key(text);
        }
    }

    fn fill_sources(&mut self) {
        let rows = self.len();
        self.sources.iter_mut().zip(self.source).for_each(|(column, key)| column.fill(key, rows));
    }

    /// A row of the present source.
    #[inline]
    pub fn push(&mut self, span: &SpanCells<'_>) {
        self.trace_ids.push(span.trace_id.0);
        self.span_ids.push(span.span_id.0);
        self.parents.push(span.parent_span_id.unwrap_or_default().0);
        self.has_parent.push(span.parent_span_id.is_some());
        self.starts.push(span.start.0);
        self.durations.push(span.duration_ns);
        self.kinds.push(span.kind as u8);
        self.statuses.push(span.status as u8);
        self.operations.append(Cell::Text(span.operation));
        self.peers.append(Cell::Text(span.peer));
        self.promoted.iter_mut().zip(span.promoted).for_each(|(column, cell)| column.append(cell));
        self.weights.push(span.sampled_weight.unwrap_or_default());
        self.has_weight.push(span.sampled_weight.is_some());
        self.works.push(span.work as u8);
        self.links.append(Cell::Text(span.link));
        self.samplers.append(Cell::Text(span.sampled_by));
    }

    pub fn finish(mut self) -> SpanBatch {
        self.fill_sources();
        let [service, namespace, pod, workload, version, cluster] = self.sources.map(TextColumn::finish);
        let [first, second, third] = self.promoted.map(TextColumn::finish);
        let columns = vec![
            ids(self.trace_ids, None),
            ids(self.span_ids, None),
            ids(self.parents, Some(self.has_parent.into())),
            Arc::new(TimestampNanosecondArray::new(exact(self.starts), None).with_timezone("UTC")),
            Arc::new(Int64Array::new(exact(self.durations), None)),
            dictionary_of(UInt8Array::new(exact(self.kinds), None), KINDS.clone()),
            dictionary_of(UInt8Array::new(exact(self.statuses), None), STATUSES.clone()),
            service,
            self.operations.finish(),
            namespace,
            pod,
            workload,
            version,
            cluster,
            self.peers.finish(),
            first,
            second,
            third,
            Arc::new(Float64Array::new(exact(self.weights), Some(self.has_weight.into()))),
            dictionary_of(UInt8Array::new(exact(self.works), None), WORKS.clone()),
            self.links.finish(),
            self.samplers.finish(),
        ];
        // Every column has a row for each push, and the types of the schema.
        SpanBatch::of(RecordBatch::try_new(schema(), columns).expect("columns follow the schema"))
    }
}

/// Without the room that growing left: batches are kept for minutes.
fn exact<T: arrow::datatypes::ArrowNativeType>(mut values: Vec<T>) -> ScalarBuffer<T> {
    values.shrink_to_fit();
    ScalarBuffer::from(values)
}

fn ids<const N: usize>(ids: Vec<[u8; N]>, known: Option<NullBuffer>) -> ArrayRef {
    let mut bytes = ids.into_flattened();
    bytes.shrink_to_fit();
    // `N` bytes a row; 8 and 16 fit any integer.
    Arc::new(FixedSizeBinaryArray::try_new(N as i32, Buffer::from(bytes), known).expect("fixed width ids"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_holds_until_the_next() {
        let mut builder = SpanBuilder::new();
        let span = |operation: &'static str| SpanCells {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([1; 8]),
            parent_span_id: None,
            start: Time(1),
            duration_ns: 1,
            kind: Kind::Server,
            status: Status::Unset,
            operation: operation.into(),
            peer: Utf8::EMPTY,
            sampled_weight: None,
            promoted: [Cell::from("/"), Cell::Number(200), Cell::from("")],
            work: Work::Request,
            link: Utf8::EMPTY,
            sampled_by: Utf8::EMPTY,
        };
        builder.source(&Source { service: "unused".into(), ..Source::default() });
        builder.source(&Source { service: "a".into(), pod: "a-0".into(), ..Source::default() });
        builder.push(&span("x"));
        builder.push(&span("y"));
        builder.source(&Source { service: "b".into(), ..Source::default() });
        builder.push(&span("x"));
        let batch = builder.finish();
        let rows: Vec<_> = batch.iter().map(|row| (row.service, row.pod, row.operation, row.http_status())).collect();
        assert_eq!(rows, [("a", "a-0", "x", 200), ("a", "a-0", "y", 200), ("b", "", "x", 200)]);
    }
}
