//! Documents of other tracing systems: recognised by their shape, and read where they are files.
//!
//! Source: Tempo's HTTP API (`/api/traces/ID`), Jaeger's (`/api/traces`), Zipkin's API v2 (`Span`).

use std::fmt;

use serde::Deserialize;

use super::attributes::{Attributes, Slots, Value};
use super::json::{Request, describe, parse, read_tempo};
use super::loose::{Id, Integer, List, Maybe, Named, Object, Readable, Scalar, Text, text_of};
use super::resource::Resource;
use super::rows::{Rows, Span};
use super::{DecodeError, Decoded, Options};
use crate::model::{Kind, Status, Utf8};

/// Whose document it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    Tempo,
    Jaeger,
    Zipkin,
}

impl Format {
    pub const fn remedy(self) -> &'static str {
        match self {
            Format::Tempo => "send what the senders of these traces export, not what Tempo answers",
            Format::Jaeger => "send it to a Collector's `jaeger` receiver, which exports OTLP",
            Format::Zipkin => "send it to a Collector's `zipkin` receiver, which exports OTLP",
        }
    }

    /// Whose list of spans this is; None of a document that is no list, or another.
    pub(super) fn of_list(document: &[u8]) -> Option<Format> {
        let document = document.trim_ascii_start();
        // Past the first span's first fields there is nothing new to learn.
        let head = &document[..document.len().min(LIST_HEAD_BYTES)];
        let names_a_trace = || head.windows(ZIPKIN_KEY.len()).any(|key| key == ZIPKIN_KEY);
        (document.first() == Some(&b'[') && names_a_trace()).then_some(Format::Zipkin)
    }
}

const ZIPKIN_KEY: &[u8] = b"\"traceId\"";
const LIST_HEAD_BYTES: usize = 4096;

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Tempo => "this is a trace as Tempo's API answers it",
            Format::Jaeger => "this is Jaeger's JSON",
            Format::Zipkin => "this is Zipkin's JSON",
        })
    }
}

/// Decodes a document of any of them.
pub fn decode(document: &[u8], options: &Options) -> Result<Decoded, DecodeError> {
    let text = text_of(document);
    let mut rows = Rows::new(options, 0);
    if Format::of_list(document) == Some(Format::Zipkin) {
        let spans: List<ZipkinSpan<'_>> =
            serde_json::from_str(&text).map_err(|error| DecodeError::Json(describe(&error)))?;
        spans.0.iter().for_each(|span| span.read(&mut rows));
        return rows.finish();
    }
    let request: Request<'_> = parse(&text)?;
    let jaeger: Jaeger<'_> = parse(&text)?;
    read_tempo(&request, &mut rows);
    jaeger.data.0.iter().for_each(|trace| trace.read(&mut rows));
    rows.finish()
}

/// From microseconds to nanoseconds; 0, which no span starts at, past the year 2554.
fn nanos(micros: Maybe<Integer<u64>>) -> u64 {
    micros.0.and_then(|micros| micros.0.checked_mul(1000)).unwrap_or(0)
}

fn kind_of(name: &str) -> Kind {
    [Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer]
        .into_iter()
        .find(|kind| name.eq_ignore_ascii_case(Kind::NAMES[*kind as usize]))
        .unwrap_or_default()
}

/// A tag's value, of whatever type.
#[derive(Default)]
struct Tag<'a>(Value<'a>, Text<'a>);

impl<'de: 'a, 'a> Readable<'de> for Tag<'a> {
    fn of_scalar(scalar: Scalar<'de>) -> Option<Tag<'a>> {
        Some(match scalar {
            Scalar::Text(text) => Tag(Value::Absent, Text(text)),
            Scalar::Int(number) => Tag(Value::Int(i64::try_from(number).ok()?), Text::default()),
            Scalar::Double(number) => Tag(Value::Double(number), Text::default()),
            Scalar::Bool(truth) => Tag(Value::Bool(truth), Text::default()),
        })
    }
}

impl Tag<'_> {
    fn borrow(&self) -> Value<'_> {
        if self.0 == Value::Absent { Value::Text((&*self.1.0).into()) } else { self.0 }
    }
}

/// Both mark a span in error by the tag `error`, whose text may say how.
fn status_of(error: Option<Value<'_>>) -> Status {
    match error {
        None | Some(Value::Bool(false)) => Status::Unset,
        Some(Value::Text(text)) if text == "false".into() => Status::Unset,
        Some(_) => Status::Error,
    }
}

#[derive(Default, Deserialize)]
struct Jaeger<'a> {
    #[serde(borrow, default)]
    data: List<JaegerTrace<'a>>,
}

#[derive(Default, Deserialize)]
struct JaegerTrace<'a> {
    #[serde(borrow, default)]
    spans: List<JaegerSpan<'a>>,
    /// By the id that spans name.
    #[serde(borrow, default)]
    processes: Maybe<Named<'a, Object<JaegerProcess<'a>>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JaegerSpan<'a> {
    #[serde(default, rename = "traceID")]
    trace_id: Maybe<Id>,
    #[serde(default, rename = "spanID")]
    span_id: Maybe<Id>,
    /// Before there were references.
    #[serde(default, rename = "parentSpanID")]
    parent_span_id: Maybe<Id>,
    #[serde(borrow, default)]
    references: List<JaegerReference<'a>>,
    #[serde(borrow, default)]
    operation_name: Maybe<Text<'a>>,
    /// Microseconds, as is the duration.
    #[serde(default)]
    start_time: Maybe<Integer<u64>>,
    #[serde(default)]
    duration: Maybe<Integer<u64>>,
    #[serde(borrow, default)]
    tags: List<JaegerTag<'a>>,
    #[serde(borrow, default, rename = "processID")]
    process_id: Maybe<Text<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JaegerReference<'a> {
    #[serde(borrow, default)]
    ref_type: Maybe<Text<'a>>,
    #[serde(default, rename = "traceID")]
    trace_id: Maybe<Id>,
    #[serde(default, rename = "spanID")]
    span_id: Maybe<Id>,
}

#[derive(Default, Deserialize)]
struct JaegerTag<'a> {
    #[serde(borrow, default)]
    key: Maybe<Text<'a>>,
    #[serde(borrow, default)]
    value: Maybe<Tag<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JaegerProcess<'a> {
    #[serde(borrow, default)]
    service_name: Maybe<Text<'a>>,
    #[serde(borrow, default)]
    tags: List<JaegerTag<'a>>,
}

impl JaegerTrace<'_> {
    fn read<'a>(&'a self, rows: &mut Rows<'a>) {
        for span in &self.spans.0 {
            let mut resource = Resource::default();
            let processes = self.processes.0.iter().flat_map(|processes| &processes.0);
            if let Some((_, Object(process))) = processes.into_iter().find(|(id, _)| *id.0 == *span.process_id.as_str())
            {
                resource.set("service.name".into(), Value::Text(process.service_name.as_str().into()));
                for JaegerTag { key, value } in &process.tags.0 {
                    let key = if key.as_str() == "hostname" { "host.name" } else { key.as_str() };
                    resource.set(key.into(), value.0.as_ref().map_or(Value::Absent, Tag::borrow));
                }
            }
            rows.enter(resource);
            span.read(rows);
        }
    }
}

impl JaegerSpan<'_> {
    fn read(&self, rows: &mut Rows<'_>) {
        let mut attributes = Attributes::default();
        let (mut kind, mut error) = (Kind::Unspecified, None);
        for JaegerTag { key, value } in &self.tags.0 {
            let value = value.0.as_ref().map_or(Value::Absent, Tag::borrow);
            match (key.as_str(), value) {
                ("span.kind", Value::Text(name)) => kind = kind_of(name.as_str()),
                ("error", value) => error = Some(value),
                (key, value) => attributes.set(key.into(), value),
            }
        }
        let is_parent = |reference: &&JaegerReference<'_>| reference.ref_type.as_str() == "CHILD_OF";
        let parent = self.references.0.iter().find(is_parent).map_or(&self.parent_span_id, |parent| &parent.span_id);
        let followed = self.references.0.iter().find(|reference| reference.ref_type.as_str() == "FOLLOWS_FROM");
        let sent =
            followed.map(|sent| (whole_trace_id(&sent.trace_id), sent.span_id.0.as_ref().map_or(&[][..], Id::bytes)));
        let start = nanos(self.start_time);
        rows.push(&Span {
            trace_id: &whole_trace_id(&self.trace_id),
            span_id: self.span_id.0.as_ref().map_or(&[], Id::bytes),
            parent_span_id: parent.0.as_ref().map_or(&[], Id::bytes),
            trace_state: Utf8::EMPTY,
            name: self.operation_name.as_str().into(),
            kind,
            status: status_of(error),
            start_time_unix_nano: start,
            end_time_unix_nano: start.saturating_add(nanos(self.duration)),
            attributes,
            link: sent.as_ref().map(|(trace, span)| (&**trace, *span)),
        });
    }
}

/// Both systems may write trace ids of 8 bytes, which stand for the lower half.
fn whole_trace_id(id: &Maybe<Id>) -> Vec<u8> {
    let bytes = id.0.as_ref().map_or(&[][..], Id::bytes);
    if bytes.len() == 8 { [&[0; 8], bytes].concat() } else { bytes.to_vec() }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ZipkinSpan<'a> {
    #[serde(default)]
    trace_id: Maybe<Id>,
    #[serde(default)]
    id: Maybe<Id>,
    #[serde(default)]
    parent_id: Maybe<Id>,
    #[serde(borrow, default)]
    name: Maybe<Text<'a>>,
    #[serde(borrow, default)]
    kind: Maybe<Text<'a>>,
    /// Microseconds, as is the duration.
    #[serde(default)]
    timestamp: Maybe<Integer<u64>>,
    #[serde(default)]
    duration: Maybe<Integer<u64>>,
    #[serde(borrow, default)]
    local_endpoint: Maybe<Object<ZipkinEndpoint<'a>>>,
    #[serde(borrow, default)]
    remote_endpoint: Maybe<Object<ZipkinEndpoint<'a>>>,
    #[serde(borrow, default)]
    tags: Maybe<Named<'a, Tag<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ZipkinEndpoint<'a> {
    #[serde(borrow, default)]
    service_name: Maybe<Text<'a>>,
    #[serde(borrow, default)]
    ipv4: Maybe<Text<'a>>,
}

impl ZipkinSpan<'_> {
    fn read<'a>(&'a self, rows: &mut Rows<'a>) {
        let (mut resource, mut attributes) = (Resource::default(), Attributes::default());
        if let Some(Object(local)) = &self.local_endpoint.0 {
            resource.set("service.name".into(), Value::Text(local.service_name.as_str().into()));
            resource.set("host.name".into(), Value::Text(local.ipv4.as_str().into()));
        }
        if let Some(Object(remote)) = &self.remote_endpoint.0 {
            attributes.set("peer.service".into(), Value::Text(remote.service_name.as_str().into()));
            attributes.set("net.peer.name".into(), Value::Text(remote.ipv4.as_str().into()));
        }
        let mut error = None;
        for (key, tag) in self.tags.0.iter().flat_map(|tags| &tags.0) {
            match &*key.0 {
                "error" => error = Some(tag.borrow()),
                key => attributes.set(key.into(), tag.borrow()),
            }
        }
        rows.enter(resource);
        let start = nanos(self.timestamp);
        rows.push(&Span {
            trace_id: &whole_trace_id(&self.trace_id),
            span_id: self.id.0.as_ref().map_or(&[], Id::bytes),
            parent_span_id: self.parent_id.0.as_ref().map_or(&[], Id::bytes),
            trace_state: Utf8::EMPTY,
            name: self.name.as_str().into(),
            kind: kind_of(self.kind.as_str()),
            status: status_of(error),
            start_time_unix_nano: start,
            end_time_unix_nano: start.saturating_add(nanos(self.duration)),
            attributes,
            link: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Encoding, Options, decode, decode_foreign};
    use crate::model::{Kind, SpanId, Status, Time, TraceId};

    const TRACE: TraceId = TraceId([0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    const IDS: [SpanId; 2] = [SpanId([9; 8]), SpanId([8; 8])];

    /// A call of `shop` to `auth` as each of them writes it.
    const DOCUMENTS: [(&str, &str); 3] = [
        (
            "this is a trace as Tempo's API answers it and not OTLP: send what the senders of these traces export, not what Tempo answers",
            r#"{"batches":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
                "scopeSpans":[{"spans":[{"traceId":"AAAAAAAAAAABAgMEBQYHCA==","spanId":"CQkJCQkJCQk=","name":"GET",
                "kind":"SPAN_KIND_CLIENT","startTimeUnixNano":"5000","endTimeUnixNano":"9000"}]}]},
                {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"auth"}}]},
                "instrumentationLibrarySpans":[{"spans":[{"traceId":"AAAAAAAAAAABAgMEBQYHCA==","spanId":"CAgICAgICAg=",
                "parentSpanId":"CQkJCQkJCQk=","name":"GET /","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"6000",
                "endTimeUnixNano":"8000","status":{"code":"STATUS_CODE_ERROR"}}]}]}]}"#,
        ),
        (
            "this is Jaeger's JSON and not OTLP: send it to a Collector's `jaeger` receiver, which exports OTLP",
            r#"{"data":[{"traceID":"0102030405060708","spans":[{"traceID":"0102030405060708","spanID":"0909090909090909",
                "operationName":"GET","references":[],"startTime":5,"duration":4,"processID":"p1",
                "tags":[{"key":"span.kind","type":"string","value":"client"}]},{"traceID":"0102030405060708",
                "spanID":"0808080808080808","operationName":"GET /","startTime":6,"duration":2,"processID":"p2",
                "references":[{"refType":"CHILD_OF","traceID":"0102030405060708","spanID":"0909090909090909"}],
                "tags":[{"key":"span.kind","value":"server"},{"key":"error","type":"bool","value":true}]}],
                "processes":{"p1":{"serviceName":"shop"},"p2":{"serviceName":"auth","tags":[]}}}],"total":0}"#,
        ),
        (
            "this is Zipkin's JSON and not OTLP: send it to a Collector's `zipkin` receiver, which exports OTLP",
            r#" [{"traceId":"0102030405060708","id":"0909090909090909","kind":"CLIENT","name":"GET","timestamp":5,
                "duration":4,"localEndpoint":{"serviceName":"shop"}},{"traceId":"0102030405060708",
                "parentId":"0909090909090909","id":"0808080808080808","kind":"SERVER","name":"GET /","timestamp":6,
                "duration":2,"localEndpoint":{"serviceName":"auth"},"tags":{"error":"500"}}]"#,
        ),
    ];

    #[test]
    fn other_systems_documents_are_named_at_the_receiver_and_read_in_files() {
        let options = Options::default();
        for (named, document) in DOCUMENTS {
            let refused = decode(Encoding::Json, document.as_bytes(), &options).unwrap_err();
            assert_eq!(refused.to_string(), named);
            let read = decode_foreign(document.as_bytes(), &options).unwrap();
            let [call, answer] = [0, 1].map(|row| read.batch.row(row));
            assert_eq!((call.trace_id, call.span_id, call.parent_span_id), (TRACE, IDS[0], None), "{named}");
            assert_eq!((answer.trace_id, answer.span_id, answer.parent_span_id), (TRACE, IDS[1], Some(IDS[0])));
            assert_eq!((call.service, call.operation, call.kind), ("shop", "GET", Kind::Client), "{named}");
            assert_eq!((answer.service, answer.operation, answer.kind), ("auth", "GET /", Kind::Server), "{named}");
            assert_eq!([call.status, answer.status], [Status::Unset, Status::Error], "{named}");
            assert_eq!([call.start, call.end(), answer.start, answer.end()], [5000, 9000, 6000, 8000].map(Time));
        }
    }
}
