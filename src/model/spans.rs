//! The `spans` table: one Arrow schema and one checked view; `builder` fills it.
//!
//! Shapes and units are those of OTLP (opentelemetry-proto `trace/v1/trace.proto`): `start` is
//! nanoseconds since the Unix epoch, `duration_ns` is end minus start. About 86 bytes a span:
//! repeated text is dictionary-encoded with 16-bit keys within one batch, and past
//! [`DICTIONARY_VALUES_MAX`] distinct values the rest becomes [`OTHER`].

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, FixedSizeBinaryArray, PrimitiveArray, RecordBatch, StringArray,
    UInt8Array,
};
use arrow::datatypes::{
    ArrowDictionaryKeyType, DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit,
    TimestampNanosecondType, UInt8Type, UInt16Type,
};

use super::{ServiceId, SpanBuilder, SpanId, Time, TraceId, Work, older_spans};

/// Distinct values one dictionary column of one batch keeps; below the 65 536 that 16-bit keys could name.
pub const DICTIONARY_VALUES_MAX: usize = 60_000;

/// What the values past [`DICTIONARY_VALUES_MAX`] become.
pub const OTHER: &str = "_other";

/// Span attributes kept as columns of their own, in the order of the schema.
pub const PROMOTED: [&str; 3] = ["http.route", "http.response.status_code", "rpc.method"];

/// `SpanKind` of OTLP; the discriminants are those of the protocol and the dictionary keys of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Kind {
    #[default]
    Unspecified = 0,
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

impl Kind {
    pub const NAMES: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

    /// Unknown numbers are `Unspecified`, as protobuf's open enums ask.
    pub const fn from_otlp(number: i64) -> Kind {
        match number {
            1 => Kind::Internal,
            2 => Kind::Server,
            3 => Kind::Client,
            4 => Kind::Producer,
            5 => Kind::Consumer,
            _ => Kind::Unspecified,
        }
    }

    /// The side of a call that receives it.
    pub const fn is_callee(self) -> bool {
        matches!(self, Kind::Server | Kind::Consumer)
    }

    /// The side of a call that makes it.
    pub const fn is_caller(self) -> bool {
        matches!(self, Kind::Client | Kind::Producer)
    }
}

/// `StatusCode` of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Status {
    #[default]
    Unset = 0,
    Ok = 1,
    Error = 2,
}

impl Status {
    pub const NAMES: [&str; 3] = ["unset", "ok", "error"];

    pub const fn from_otlp(number: i64) -> Status {
        match number {
            1 => Status::Ok,
            2 => Status::Error,
            _ => Status::Unset,
        }
    }
}

/// One span, borrowed: what the builder takes and what a row of a batch gives back. An empty text means absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpanRow<'a> {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_span_id: Option<SpanId>,
    pub start: Time,
    pub duration_ns: i64,
    pub kind: Kind,
    pub status: Status,
    pub service: &'a str,
    pub operation: &'a str,
    pub namespace: &'a str,
    pub pod: &'a str,
    pub workload: &'a str,
    pub version: &'a str,
    pub cluster: &'a str,
    /// For a caller's span, who it says it calls: `peer.service`, the database, queue or host.
    pub peer: &'a str,
    /// How many spans this one stands for (`ot=th` in tracestate, or configured); None when not known.
    pub sampled_weight: Option<f64>,
    pub promoted: [&'a str; PROMOTED.len()],
    /// As far as the span itself tells.
    pub work: Work,
    /// Of a span that takes a message, the span that sent it where the two are in different traces: trace id and span id in
    /// hex, with `-` between.
    pub link: &'a str,
    /// The rule by which a tail sampler chose the trace, where it says so.
    pub sampled_by: &'a str,
}

impl SpanRow<'_> {
    pub fn end(&self) -> Time {
        Time(self.start.0.saturating_add(self.duration_ns))
    }

    pub fn service_id(&self) -> ServiceId {
        ServiceId::new(self.cluster, self.namespace, self.service)
    }

    /// `http.response.status_code` as a number; 0 when absent.
    pub fn http_status(&self) -> u16 {
        status_number(self.promoted[1])
    }
}

/// An HTTP status as it is written; 0 for what is none.
pub(super) fn status_number(text: &str) -> u16 {
    text.parse().unwrap_or(0)
}

/// Dictionary columns in schema order, after `status`.
const TEXT_COLUMNS: [&str; 8] = ["service", "operation", "namespace", "pod", "workload", "version", "cluster", "peer"];

/// Places of text columns, promoted attributes included.
pub(super) mod text {
    pub const SERVICE: usize = 0;
    pub const OPERATION: usize = 1;
    pub const NAMESPACE: usize = 2;
    pub const POD: usize = 3;
    pub const WORKLOAD: usize = 4;
    pub const VERSION: usize = 5;
    pub const CLUSTER: usize = 6;
    pub const PEER: usize = 7;
    pub const HTTP_ROUTE: usize = 8;
    pub const HTTP_STATUS: usize = 9;
    pub const RPC_METHOD: usize = 10;
    pub const LINK: usize = 11;
    pub const SAMPLED_BY: usize = 12;
}

/// Text columns that came later, after [`WORK`].
pub(super) const LATER_TEXTS: [&str; 2] = ["link", "sampled_by"];
const TEXTS: usize = TEXT_COLUMNS.len() + PROMOTED.len() + LATER_TEXTS.len();

/// Where a text column stands in the schema.
const fn place_of(text: usize) -> usize {
    if text < text::LINK { 7 + text } else { WORK_COLUMN + 1 + text - text::LINK }
}

pub(super) fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8))
}

pub(super) fn enum_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
}

pub(super) const WORK: &str = "work";

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        Field::new("trace_id", DataType::FixedSizeBinary(16), false),
        Field::new("span_id", DataType::FixedSizeBinary(8), false),
        Field::new("parent_span_id", DataType::FixedSizeBinary(8), true),
        Field::new("start", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("duration_ns", DataType::Int64, false),
        Field::new("kind", enum_type(), false),
        Field::new("status", enum_type(), false),
    ];
    fields.extend(TEXT_COLUMNS.iter().chain(PROMOTED.iter()).map(|name| Field::new(*name, text_type(), false)));
    fields.push(Field::new("sampled_weight", DataType::Float64, true));
    fields.push(Field::new(WORK, enum_type(), false));
    fields.extend(LATER_TEXTS.iter().map(|name| Field::new(*name, text_type(), false)));
    Arc::new(Schema::new(fields))
});

const WEIGHT_COLUMN: usize = 7 + TEXT_COLUMNS.len() + PROMOTED.len();
pub(super) const WORK_COLUMN: usize = WEIGHT_COLUMN + 1;

/// The schema of the `spans` table.
pub fn schema() -> SchemaRef {
    SCHEMA.clone()
}

pub(super) fn dictionary<K: ArrowDictionaryKeyType>(keys: PrimitiveArray<K>, values: StringArray) -> ArrayRef {
    dictionary_of(keys, Arc::new(values))
}

/// The same over values that are shared.
pub(super) fn dictionary_of<K: ArrowDictionaryKeyType>(keys: PrimitiveArray<K>, values: ArrayRef) -> ArrayRef {
    // Keys are indices that were handed out for exactly these values.
    Arc::new(DictionaryArray::<K>::try_new(keys, values).expect("keys index the values"))
}

/// A record batch that has been checked to be of the `spans` schema.
#[derive(Clone, Debug)]
pub struct SpanBatch {
    batch: RecordBatch,
}

/// The batch at hand is not a `spans` table.
#[derive(Debug, thiserror::Error)]
#[error("not a headroom spans table: expected columns {expected}, found {found}")]
pub struct NotSpans {
    expected: String,
    found: String,
}

impl SpanBatch {
    pub fn empty() -> SpanBatch {
        SpanBuilder::new().finish()
    }

    /// Of columns that the builder made.
    pub(super) fn of(batch: RecordBatch) -> SpanBatch {
        SpanBatch { batch }
    }

    /// The same table with other columns, of the schema and as long.
    pub(super) fn with_columns(&self, columns: Vec<ArrayRef>) -> SpanBatch {
        // Whoever calls this has made them so.
        SpanBatch::of(RecordBatch::try_new(self.batch.schema(), columns).expect("columns follow the schema"))
    }

    pub fn record_batch(&self) -> &RecordBatch {
        &self.batch
    }

    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One row. Panics past the end, as indexing does.
    pub fn row(&self, index: usize) -> SpanRow<'_> {
        self.columns().row(index)
    }

    pub fn iter(&self) -> impl Iterator<Item = SpanRow<'_>> {
        let columns = self.columns();
        (0..self.len()).map(move |index| columns.row(index))
    }

    /// The columns, downcast once; for loops over many rows.
    pub fn columns(&self) -> Columns<'_> {
        let column = |index: usize| self.batch.column(index);
        Columns {
            trace_id: column(0).as_fixed_size_binary(),
            span_id: column(1).as_fixed_size_binary(),
            parent: column(2).as_fixed_size_binary(),
            start: column(3).as_primitive(),
            duration: column(4).as_primitive(),
            kind: column(5).as_dictionary::<UInt8Type>().keys(),
            status: column(6).as_dictionary::<UInt8Type>().keys(),
            text: std::array::from_fn(|i| {
                let dictionary = column(place_of(i)).as_dictionary::<UInt16Type>();
                (dictionary.keys(), dictionary.values().as_string::<i32>())
            }),
            weight: column(WEIGHT_COLUMN).as_primitive(),
            work: column(WORK_COLUMN).as_dictionary::<UInt8Type>().keys(),
        }
    }
}

impl TryFrom<RecordBatch> for SpanBatch {
    type Error = NotSpans;

    fn try_from(batch: RecordBatch) -> Result<SpanBatch, NotSpans> {
        // Types decide, not metadata: a Parquet reader adds its own.
        let same = |a: &Schema, b: &Schema| {
            a.fields().len() == b.fields().len()
                && a.fields()
                    .iter()
                    .zip(b.fields())
                    .all(|(x, y)| x.name() == y.name() && x.data_type() == y.data_type())
        };
        let batch = older_spans::completed(batch);
        if same(&batch.schema(), &schema()) {
            let mut columns = batch.columns().to_vec();
            columns[5] = with_names(&columns[5], &Kind::NAMES);
            columns[6] = with_names(&columns[6], &Status::NAMES);
            columns[WORK_COLUMN] = with_names(&columns[WORK_COLUMN], &Work::NAMES);
            // Types and lengths are those of the batch that was given.
            let batch = RecordBatch::try_new(batch.schema(), columns).expect("the same columns");
            return Ok(SpanBatch { batch });
        }
        let names = |s: &Schema| s.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
        Err(NotSpans { expected: names(&schema()), found: names(&batch.schema()) })
    }
}

/// A column of an enumeration whose keys are its numbers. A Parquet reader and SQL make dictionaries of their own;
/// a name that is not of the enumeration becomes its first.
fn with_names(column: &ArrayRef, names: &[&str]) -> ArrayRef {
    let column = column.as_dictionary::<UInt8Type>();
    let values = column.values().as_string::<i32>();
    if values.iter().eq(names.iter().map(|name| Some(*name))) {
        return Arc::new(column.clone());
    }
    let number = |text: &str| names.iter().position(|name| *name == text).unwrap_or(0) as u8; // fewer than 256 names
    let numbers: Vec<u8> = values.iter().map(|value| number(value.unwrap_or(""))).collect();
    let keys = column.keys().iter().map(|key| numbers[key.unwrap_or(0) as usize]);
    dictionary(UInt8Array::from_iter_values(keys), StringArray::from_iter_values(names))
}

/// Typed columns of a [`SpanBatch`].
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    trace_id: &'a FixedSizeBinaryArray,
    span_id: &'a FixedSizeBinaryArray,
    parent: &'a FixedSizeBinaryArray,
    start: &'a PrimitiveArray<TimestampNanosecondType>,
    duration: &'a PrimitiveArray<Int64Type>,
    kind: &'a PrimitiveArray<UInt8Type>,
    status: &'a PrimitiveArray<UInt8Type>,
    text: [(&'a PrimitiveArray<UInt16Type>, &'a StringArray); TEXTS],
    weight: &'a PrimitiveArray<Float64Type>,
    work: &'a PrimitiveArray<UInt8Type>,
}

impl<'a> Columns<'a> {
    pub fn trace_id(&self, row: usize) -> TraceId {
        let mut id = TraceId::default();
        id.0.copy_from_slice(self.trace_id.value(row));
        id
    }

    pub fn span_id(&self, row: usize) -> SpanId {
        Self::span_id_of(self.span_id, row)
    }

    /// None of a root.
    pub fn parent(&self, row: usize) -> Option<SpanId> {
        self.parent.is_valid(row).then(|| Self::span_id_of(self.parent, row))
    }

    pub fn start(&self, row: usize) -> Time {
        Time(self.start.value(row))
    }

    pub fn duration_ns(&self, row: usize) -> i64 {
        self.duration.value(row)
    }

    pub fn end(&self, row: usize) -> Time {
        Time(self.start.value(row).saturating_add(self.duration.value(row)))
    }

    pub fn kind(&self, row: usize) -> Kind {
        Kind::from_otlp(i64::from(self.kind.value(row)))
    }

    pub fn status(&self, row: usize) -> Status {
        Status::from_otlp(i64::from(self.status.value(row)))
    }

    /// How many spans this one stands for.
    pub fn weight(&self, row: usize) -> Option<f64> {
        self.weight.is_valid(row).then(|| self.weight.value(row))
    }

    pub fn work(&self, row: usize) -> Work {
        Work::ALL.get(usize::from(self.work.value(row))).copied().unwrap_or_default()
    }

    /// Keys and values of the text column at this [place](text).
    pub(super) fn texts(&self, place: usize) -> (&'a [u16], &'a StringArray) {
        let (keys, values) = self.text[place];
        (keys.values(), values)
    }

    fn span_id_of(array: &FixedSizeBinaryArray, row: usize) -> SpanId {
        let mut id = SpanId::default();
        id.0.copy_from_slice(array.value(row));
        id
    }

    pub fn row(&self, row: usize) -> SpanRow<'a> {
        let text = |index: usize| {
            let (keys, values) = self.text[index];
            values.value(keys.value(row) as usize)
        };
        SpanRow {
            trace_id: self.trace_id(row),
            span_id: self.span_id(row),
            parent_span_id: self.parent(row),
            start: self.start(row),
            duration_ns: self.duration_ns(row),
            kind: self.kind(row),
            status: self.status(row),
            service: text(text::SERVICE),
            operation: text(text::OPERATION),
            namespace: text(text::NAMESPACE),
            pod: text(text::POD),
            workload: text(text::WORKLOAD),
            version: text(text::VERSION),
            cluster: text(text::CLUSTER),
            peer: text(text::PEER),
            promoted: [text::HTTP_ROUTE, text::HTTP_STATUS, text::RPC_METHOD].map(text),
            sampled_weight: self.weight(row),
            work: self.work(row),
            link: text(text::LINK),
            sampled_by: text(text::SAMPLED_BY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(n: u8, service: &'a str) -> SpanRow<'a> {
        SpanRow {
            trace_id: TraceId([n; 16]),
            span_id: SpanId([n; 8]),
            parent_span_id: (n > 1).then_some(SpanId([1; 8])),
            start: Time(1_000 + i64::from(n)),
            duration_ns: 5,
            kind: Kind::Server,
            status: Status::Error,
            service,
            operation: "GET /",
            promoted: ["/", "503", ""],
            sampled_weight: n.is_multiple_of(2).then_some(100.0),
            ..SpanRow::default()
        }
    }

    #[test]
    fn rows_come_back_as_they_went_in() {
        let mut builder = SpanBuilder::new();
        let rows = [row(1, "a"), row(2, "b"), row(3, "a")];
        rows.iter().for_each(|r| builder.append(r));
        let batch = builder.finish();
        assert_eq!(batch.iter().collect::<Vec<_>>(), rows);
        assert_eq!(batch.row(0).http_status(), 503);
    }

    #[test]
    fn past_the_dictionary_limit_values_become_other() {
        let mut builder = SpanBuilder::new();
        for n in 0..DICTIONARY_VALUES_MAX + 10 {
            let name = format!("op{n}");
            builder.append(&SpanRow { operation: &name, ..row(1, "a") });
        }
        assert_eq!(builder.overflowed(), 10);
        let batch = builder.finish();
        assert_eq!(batch.row(DICTIONARY_VALUES_MAX + 9).operation, OTHER);
        assert_eq!(batch.row(7).operation, "op7");
    }

    #[test]
    fn enumerations_keep_their_meaning_under_other_dictionaries() {
        let mut builder = SpanBuilder::new();
        builder.append(&row(1, "a"));
        let batch = builder.finish();
        let mut columns = batch.record_batch().columns().to_vec();
        columns[5] = dictionary(UInt8Array::from(vec![0]), StringArray::from(vec!["server"]));
        columns[6] = dictionary(UInt8Array::from(vec![1]), StringArray::from(vec!["ok", "error"]));
        let other = SpanBatch::try_from(RecordBatch::try_new(schema(), columns).unwrap()).unwrap();
        assert_eq!(other.row(0), batch.row(0));
    }

    #[test]
    fn other_tables_are_refused_by_name() {
        let other = RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)])));
        let message = SpanBatch::try_from(other).unwrap_err().to_string();
        assert!(message.contains("found x"), "{message}");
    }
}
