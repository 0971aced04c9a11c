//! ExportTraceServiceRequest in OTLP/JSON: ids in hex, 64-bit integers as strings or numbers, enumerations as
//! numbers or names, keys in lowerCamelCase or snake_case, unknown fields ignored, null the same as absent.
//!
//! serde fills structs that borrow from the request and hold only what columns are made of. What is JSON and not of the
//! type that is expected there is left out and counted, so that one odd attribute does not cost its request.
//! Source: OTLP specification, "JSON Protobuf Encoding"; protobuf, "ProtoJSON Format".

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::attributes::{Attributes, Slots, Value};
use super::foreign::Format;
use super::loose::{Enumeration, Id, Integer, List, Maybe, Number, Object, Text, text_of};
use super::resource::Resource;
use super::rows::{Rows, Span};
use super::{DecodeError, Decoded, Options};
use crate::model::{Kind, Status};

/// Decodes one request.
pub fn decode(request: &[u8], options: &Options) -> Result<Decoded, DecodeError> {
    if let Some(format) = Format::of_list(request) {
        return Err(DecodeError::Foreign { format });
    }
    let text = text_of(request);
    let request: Request<'_> = parse(&text)?;
    if let Some(format) = request.format() {
        return Err(DecodeError::Foreign { format });
    }
    let mut rows = Rows::new(options, 0);
    request.resource_spans.0.iter().for_each(|resource_spans| resource_spans.read(&mut rows));
    rows.finish()
}

/// Reads what Tempo answers: the same messages under other names, and ids in base64.
pub fn read_tempo<'a>(request: &'a Request<'a>, rows: &mut Rows<'a>) {
    let inner = request.trace.0.as_deref();
    let all = [Some(request), inner].into_iter().flatten();
    let parts = all.flat_map(|request| request.resource_spans.0.iter().chain(&request.batches.0));
    parts.for_each(|resource_spans| resource_spans.read(rows));
}

/// A document that is one object.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    // serde would take a list for a struct.
    if text.trim_ascii_start().bytes().next().is_some_and(|first| first != b'{') {
        return Err(DecodeError::Json("an object is expected".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| DecodeError::Json(describe(&error)))
}

/// serde_json's message without its line when that is the only one: a file's own line number would contradict it.
pub fn describe(error: &serde_json::Error) -> String {
    let whole = error.to_string();
    let cause = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(cause, _)| cause);
    match error.line() {
        0 => cause.to_owned(),
        1 => format!("{cause} at column {}", error.column()),
        line => format!("{cause} at line {line} column {}", error.column()),
    }
}

// The messages. Every field may be absent or null.

#[derive(Default, Deserialize)]
pub struct Request<'a> {
    #[serde(borrow, default, alias = "resource_spans", rename = "resourceSpans")]
    resource_spans: List<ResourceSpans<'a>>,
    /// Tempo's name for the same.
    #[serde(borrow, default)]
    batches: List<ResourceSpans<'a>>,
    /// In which Tempo wraps a trace since its version 2.
    #[serde(borrow, default)]
    trace: Wrapped<'a>,
    /// In which Jaeger wraps traces.
    #[serde(default)]
    data: Traces,
}

#[derive(Default, Deserialize)]
struct ResourceSpans<'a> {
    #[serde(borrow, default)]
    resource: Maybe<Object<WithAttributes<'a>>>,
    #[serde(borrow, default, alias = "scope_spans", rename = "scopeSpans")]
    scope_spans: List<ScopeSpans<'a>>,
    /// What scopes were called before OTLP 0.15.
    #[serde(borrow, default, alias = "instrumentation_library_spans", rename = "instrumentationLibrarySpans")]
    library_spans: List<ScopeSpans<'a>>,
}

#[derive(Default, Deserialize)]
struct WithAttributes<'a> {
    #[serde(borrow, default)]
    attributes: List<KeyValue<'a>>,
}

#[derive(Default, Deserialize)]
struct ScopeSpans<'a> {
    #[serde(borrow, default, alias = "instrumentationLibrary", alias = "instrumentation_library")]
    scope: Maybe<Object<WithAttributes<'a>>>,
    #[serde(borrow, default)]
    spans: List<JsonSpan<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonSpan<'a> {
    #[serde(default, alias = "trace_id")]
    trace_id: Maybe<Id>,
    #[serde(default, alias = "span_id")]
    span_id: Maybe<Id>,
    #[serde(default, alias = "parent_span_id")]
    parent_span_id: Maybe<Id>,
    #[serde(borrow, default, alias = "trace_state")]
    trace_state: Maybe<Text<'a>>,
    #[serde(borrow, default)]
    name: Maybe<Text<'a>>,
    #[serde(default)]
    kind: Maybe<Enumeration>,
    #[serde(default, alias = "start_time_unix_nano")]
    start_time_unix_nano: Maybe<Integer<u64>>,
    #[serde(default, alias = "end_time_unix_nano")]
    end_time_unix_nano: Maybe<Integer<u64>>,
    #[serde(borrow, default)]
    attributes: List<KeyValue<'a>>,
    #[serde(default)]
    status: Maybe<Object<JsonStatus>>,
    #[serde(default)]
    links: List<JsonLink>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonLink {
    #[serde(default, alias = "trace_id")]
    trace_id: Maybe<Id>,
    #[serde(default, alias = "span_id")]
    span_id: Maybe<Id>,
}

#[derive(Default, Deserialize)]
struct JsonStatus {
    #[serde(default)]
    code: Maybe<Enumeration>,
}

#[derive(Default, Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow, default)]
    key: Maybe<Text<'a>>,
    #[serde(borrow, default)]
    value: AnyValue<'a>,
}

impl<'a> ResourceSpans<'a> {
    fn read(&'a self, rows: &mut Rows<'a>) {
        let mut resource = Resource::default();
        let attributes = self.resource.0.iter().flat_map(|resource| &resource.0.attributes.0);
        attributes.for_each(|KeyValue { key, value }| resource.set(key.as_str().into(), value.borrow()));
        rows.enter(resource);
        for of_scope in self.scope_spans.0.iter().chain(&self.library_spans.0) {
            let mut scope = Attributes::default();
            let attributes = of_scope.scope.0.iter().flat_map(|scope| &scope.0.attributes.0);
            attributes.for_each(|KeyValue { key, value }| scope.set(key.as_str().into(), value.borrow()));
            rows.enter_scope(scope);
            of_scope.spans.0.iter().for_each(|span| span.read(rows));
        }
    }
}

impl JsonSpan<'_> {
    fn read(&self, rows: &mut Rows<'_>) {
        let ids = [&self.trace_id, &self.span_id, &self.parent_span_id].map(bytes_of);
        let mut attributes = Attributes::default();
        for KeyValue { key, value } in &self.attributes.0 {
            attributes.set(key.as_str().into(), value.borrow());
        }
        let number = |enumeration: &Maybe<Enumeration>| enumeration.0.as_ref().map_or(0, |number| number.0);
        rows.push(&Span {
            trace_id: ids[0],
            span_id: ids[1],
            parent_span_id: ids[2],
            trace_state: self.trace_state.as_str().into(),
            name: self.name.as_str().into(),
            kind: Kind::from_otlp(number(&self.kind)),
            status: Status::from_otlp(self.status.0.as_ref().map_or(0, |status| number(&status.0.code))),
            start_time_unix_nano: self.start_time_unix_nano.0.map_or(0, |time| time.0),
            end_time_unix_nano: self.end_time_unix_nano.0.map_or(0, |time| time.0),
            attributes,
            link: self.links.0.first().map(|link| (bytes_of(&link.trace_id), bytes_of(&link.span_id))),
        });
    }
}

fn bytes_of(id: &Maybe<Id>) -> &[u8] {
    id.0.as_ref().map_or(&[][..], Id::bytes)
}

impl Request<'_> {
    /// Whose document this is, where it is not OTLP's.
    fn format(&self) -> Option<Format> {
        if !self.resource_spans.0.is_empty() {
            None
        } else if !self.batches.0.is_empty() || self.trace.0.is_some() {
            Some(Format::Tempo)
        } else {
            self.data.0.then_some(Format::Jaeger)
        }
    }
}

/// A request inside another.
#[derive(Default)]
struct Wrapped<'a>(Option<Box<Request<'a>>>);

impl<'de: 'a, 'a> Deserialize<'de> for Wrapped<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Wrapped<'a>, D::Error> {
        let request = Maybe::<Object<Request<'a>>>::deserialize(deserializer)?;
        Ok(Wrapped(request.0.map(|Object(request)| Box::new(request))))
    }
}

/// Whether a list holds traces as Jaeger writes them.
#[derive(Default)]
struct Traces(bool);

impl<'de> Deserialize<'de> for Traces {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Traces, D::Error> {
        #[derive(Default, Deserialize)]
        struct Trace {
            #[serde(default, rename = "traceID")]
            trace_id: Option<IgnoredAny>,
        }
        let traces = List::<Trace>::deserialize(deserializer)?;
        Ok(Traces(traces.0.iter().any(|trace| trace.trace_id.is_some())))
    }
}

/// An attribute's value; lists, maps and bytes are passed over.
#[derive(Default)]
enum AnyValue<'a> {
    #[default]
    Absent,
    Text(Text<'a>),
    Int(i64),
    Double(f64),
    Bool(bool),
}

impl AnyValue<'_> {
    fn borrow(&self) -> Value<'_> {
        match self {
            AnyValue::Absent => Value::Absent,
            AnyValue::Text(text) => Value::Text((&*text.0).into()),
            AnyValue::Int(number) => Value::Int(*number),
            AnyValue::Double(number) => Value::Double(*number),
            AnyValue::Bool(truth) => Value::Bool(*truth),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for AnyValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AnyValue<'a>, D::Error> {
        // Read as an object of one field, or of several of which the last counts.
        let fields = Maybe::<Object<Fields<'a>>>::deserialize(deserializer)?;
        Ok(fields.0.map_or(AnyValue::Absent, |Object(fields)| fields.0))
    }
}

/// The object of an attribute's value.
#[derive(Default)]
struct Fields<'a>(AnyValue<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'a>, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an attribute value such as {\"stringValue\":\"…\"}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut value = AnyValue::Absent;
                while let Some(key) = map.next_key::<Maybe<Text<'de>>>()? {
                    let one = match key.as_str() {
                        "stringValue" | "string_value" => map.next_value::<Maybe<Text<'de>>>()?.0.map(AnyValue::Text),
                        "intValue" | "int_value" => {
                            map.next_value::<Maybe<Integer<i64>>>()?.0.map(|number| AnyValue::Int(number.0))
                        }
                        "doubleValue" | "double_value" => {
                            map.next_value::<Maybe<Number>>()?.0.map(|number| AnyValue::Double(number.0))
                        }
                        "boolValue" | "bool_value" => map.next_value::<Maybe<bool>>()?.0.map(AnyValue::Bool),
                        "arrayValue" | "array_value" | "kvlistValue" | "kvlist_value" | "bytesValue"
                        | "bytes_value" => map.next_value::<IgnoredAny>().map(|_| Some(AnyValue::Absent))?,
                        _ => map.next_value::<IgnoredAny>().map(|_| None)?,
                    };
                    value = one.unwrap_or(value);
                }
                Ok(Fields(value))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Encoding;
    use super::*;

    fn decoded(request: &str) -> Decoded {
        decode(request.as_bytes(), &Options::default()).unwrap()
    }

    #[test]
    fn the_ways_senders_write_it_are_the_same() {
        let as_specified = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
            "scopeSpans":[{"scope":{},"spans":[{"traceId":"0AF7651916CD43DD8448EB211C80319C","spanId":"b7ad6b7169203331",
            "parentSpanId":"","name":"GET \u002f","kind":2,"startTimeUnixNano":"1544712660000000000",
            "endTimeUnixNano":"1544712661000000000","status":{"code":2},"somethingNew":[{}],
            "attributes":[{"key":"http.response.status_code","value":{"intValue":"503"}}]}]}]}]}"#;
        let otherwise = r#"{"resource_spans":[{"resource":{"attributes":[{"key":"service.name","value":{"string_value":"shop"}}]},
            "scope_spans":[{"spans":[{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"B7AD6B7169203331",
            "parent_span_id":null,"name":"GET /","kind":"SPAN_KIND_SERVER","start_time_unix_nano":1544712660000000000,
            "end_time_unix_nano":1.544712661e18,"status":{"code":"STATUS_CODE_ERROR","message":"x"},"events":null,
            "attributes":[{"key":"http.response.status_code","value":{"doubleValue":503.0}}]}]}]}]}"#;
        let (first, second) = (decoded(as_specified), decoded(otherwise));
        assert_eq!(first.batch.len(), 1);
        assert_eq!(first.batch.row(0), second.batch.row(0));
        let row = first.batch.row(0);
        assert_eq!((row.service, row.operation, row.http_status()), ("shop", "GET /", 503));
        assert_eq!((row.kind, row.status, row.duration_ns), (Kind::Server, Status::Error, 1_000_000_000));
    }

    #[test]
    fn links_of_consumers_and_the_policies_of_tail_samplers_are_read() {
        let request = r#"{"resourceSpans":[{"scopeSpans":[{"scope":{"attributes":[{"key":"tailsampling.policy","value":{"stringValue":"slow"}}]},
            "spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"process orders","kind":5,
            "startTimeUnixNano":"5","endTimeUnixNano":"7","links":[
              {"traceId":"0af7651916cd43dd8448eb211c80319d","spanId":"b7ad6b7169203332"},
              {"traceId":"0af7651916cd43dd8448eb211c80319e","spanId":"b7ad6b7169203333"}]}]},
            {"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203334","name":"GET","kind":3,
            "startTimeUnixNano":"5","endTimeUnixNano":"7","links":[{"traceId":"0af7651916cd43dd8448eb211c80319d","spanId":"00"}]}]}]}]}"#;
        let decoded = decoded(request);
        let said = |row: usize| (decoded.batch.row(row).link, decoded.batch.row(row).sampled_by);
        assert_eq!(said(0), ("0af7651916cd43dd8448eb211c80319d-b7ad6b7169203332", "slow"));
        assert_eq!(said(1), ("", ""));
    }

    #[test]
    fn other_signals_and_empty_requests_hold_no_spans() {
        for request in ["{}", r#"{"resourceMetrics":[]}"#, r#"{"resourceSpans":null}"#, r#"{"resourceSpans":[{}]}"#] {
            assert!(decoded(request).batch.is_empty(), "{request}");
        }
    }

    #[test]
    fn what_cannot_be_framed_is_refused_with_its_place() {
        let message = |request: &str| decode(request.as_bytes(), &Options::default()).unwrap_err().to_string();
        insta::assert_snapshot!(message(r#"{"resourceSpans":[{"scopeSpans":"#), @"not an OTLP trace request in JSON: EOF while parsing a value at column 32");
        insta::assert_snapshot!(message("[]"), @"not an OTLP trace request in JSON: an object is expected");
        // What is passed over is not recursed into, so its depth needs no limit.
        let deep = format!("{{\"unknown\":{}", "[".repeat(1_000_000));
        assert!(message(&deep).contains("EOF while parsing a list"));
    }

    #[test]
    fn what_is_of_another_type_costs_no_more_than_itself() {
        let span = |rest: &str| {
            let whole = r#""traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","startTimeUnixNano":"5","endTimeUnixNano":"7""#;
            format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{whole},"name":"good"}},{{{rest}}}]}}]}}]}}"#)
                .replace("WHOLE", whole)
        };
        let attribute = |value: &str| span(&format!(r#"WHOLE,"attributes":[{{"key":"http.route","value":{value}}}]"#));
        let kept = [
            attribute(r#""plain text""#),
            attribute(r#"{"stringValue":5}"#),
            attribute(r#"{"intValue":"five"}"#),
            attribute(r#"{"intValue":1.5}"#),
            attribute(r#"{"boolValue":"yes"}"#),
            attribute(r#"{"doubleValue":[1]}"#),
            attribute("[]"),
            span(r#"WHOLE,"attributes":{"http.route":"/"}"#),
            span(r#"WHOLE,"attributes":["http.route",7]"#).replace(",7", ""),
            span(r#"WHOLE,"name":{"a":[1,{}]}"#),
            span(r#"WHOLE,"kind":true"#),
            span(r#"WHOLE,"status":"ok""#),
        ];
        for request in kept {
            let decoded = super::super::decode(Encoding::Json, request.as_bytes(), &Options::default()).unwrap();
            assert_eq!((decoded.batch.len(), decoded.mended.left_out), (2, 1), "{request}");
        }
        let ids = r#""traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331""#;
        let times = r#""startTimeUnixNano":"-5","endTimeUnixNano":"7""#;
        let rejected = [span(r#""traceId":"xyz""#), span(&format!("{ids},{times}"))];
        for request in rejected {
            let decoded = decoded(&request);
            assert_eq!((decoded.batch.len(), decoded.rejected.count()), (1, 1), "{request}");
        }
    }

    #[test]
    fn scopes_by_their_old_name_are_read() {
        let new = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","startTimeUnixNano":"5","endTimeUnixNano":"7"}]}]}]}"#;
        let old = new.replace("scopeSpans", "instrumentationLibrarySpans");
        assert_eq!(decoded(&old).batch.row(0), decoded(new).batch.row(0));
    }
}
