//! OTLP JSON lines as the Collector's file exporter writes them: one ExportTraceServiceRequest a line.
//!
//! To the byte what the Collector writes, so that either's files serve where the other's do: ids in hex, 64-bit
//! integers as strings, enumerations as numbers, values that are protobuf's defaults left out, but `resource`,
//! `scope` and `status` always there. (serde on opentelemetry-proto's structs writes all defaults, and NaN as null.)

use std::fmt::Write as _;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use crate::receive::decode::Encoding;

/// Why a request cannot be written as a line.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("cannot write the line: {0}")]
    Io(#[from] io::Error),
    #[error("not an OTLP trace request in protobuf: {0}")]
    Protobuf(#[from] prost::DecodeError),
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Writes requests, each as one line.
pub struct OtlpJsonLines<W> {
    writer: W,
    line: String,
}

impl<W: Write> OtlpJsonLines<W> {
    pub fn new(writer: W) -> OtlpJsonLines<W> {
        OtlpJsonLines { writer, line: String::new() }
    }

    pub fn write(&mut self, request: &ExportTraceServiceRequest) -> Result<(), WriteError> {
        self.line.clear();
        write_request(request, &mut self.line);
        self.line.push('\n');
        Ok(self.writer.write_all(self.line.as_bytes())?)
    }

    /// Writes a request as it was received. JSON keeps its fields as they are, on one line.
    pub fn write_encoded(&mut self, encoding: Encoding, request: &[u8]) -> Result<(), WriteError> {
        match encoding {
            Encoding::Protobuf => self.write(&ExportTraceServiceRequest::decode(request)?),
            Encoding::Json => {
                let value: serde_json::Value = serde_json::from_slice(request)?;
                serde_json::to_writer(&mut self.writer, &value)?;
                Ok(self.writer.write_all(b"\n")?)
            }
        }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    pub fn get_ref(&self) -> &W {
        &self.writer
    }

    pub fn into_inner(self) -> W {
        self.writer
    }
}

/// A JSON object being written, which puts the commas.
struct Object<'o> {
    out: &'o mut String,
    is_empty: bool,
}

impl Object<'_> {
    fn write(out: &mut String, fields: impl FnOnce(&mut Object<'_>)) {
        out.push('{');
        fields(&mut Object { out, is_empty: true });
        out.push('}');
    }

    /// The name of the next field; its value is written to what is returned.
    fn name(&mut self, name: &str) -> &mut String {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        // Writing to a String cannot fail, here and below.
        let _ = write!(self.out, "\"{name}\":");
        self.out
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            write_text(text, self.name(name));
        }
    }

    fn number(&mut self, name: &str, number: i64) {
        if number != 0 {
            let _ = write!(self.name(name), "{number}");
        }
    }

    fn nanos(&mut self, name: &str, nanos: u64) {
        if nanos != 0 {
            let _ = write!(self.name(name), "\"{nanos}\"");
        }
    }

    fn id(&mut self, name: &str, id: &[u8]) {
        if !id.is_empty() {
            let _ = write!(self.name(name), "\"{}\"", hex::encode(id));
        }
    }

    fn list<T>(&mut self, name: &str, items: &[T], write: impl Fn(&T, &mut String)) {
        if items.is_empty() {
            return;
        }
        let out = self.name(name);
        out.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write(item, out);
        }
        out.push(']');
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' => out.write_str("\\\""),
            '\\' => out.write_str("\\\\"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            c if u32::from(c) < 0x20 => write!(out, "\\u{:04x}", u32::from(c)),
            c => out.write_char(c),
        };
    }
    out.push('"');
}

fn write_request(request: &ExportTraceServiceRequest, out: &mut String) {
    Object::write(out, |o| o.list("resourceSpans", &request.resource_spans, write_resource_spans));
}

fn write_resource_spans(resource_spans: &ResourceSpans, out: &mut String) {
    Object::write(out, |o| {
        write_resource(&resource_spans.resource.clone().unwrap_or_default(), o.name("resource"));
        o.list("scopeSpans", &resource_spans.scope_spans, write_scope_spans);
        o.text("schemaUrl", &resource_spans.schema_url);
    });
}

fn write_resource(resource: &Resource, out: &mut String) {
    Object::write(out, |o| {
        o.list("attributes", &resource.attributes, write_key_value);
        o.number("droppedAttributesCount", resource.dropped_attributes_count.into());
        o.list("entityRefs", &resource.entity_refs, |entity, out| {
            Object::write(out, |o| {
                o.text("schemaUrl", &entity.schema_url);
                o.text("type", &entity.r#type);
                o.list("idKeys", &entity.id_keys, |key, out| write_text(key, out));
                o.list("descriptionKeys", &entity.description_keys, |key, out| write_text(key, out));
            });
        });
    });
}

fn write_scope_spans(scope_spans: &ScopeSpans, out: &mut String) {
    Object::write(out, |o| {
        write_scope(&scope_spans.scope.clone().unwrap_or_default(), o.name("scope"));
        o.list("spans", &scope_spans.spans, write_span);
        o.text("schemaUrl", &scope_spans.schema_url);
    });
}

fn write_scope(scope: &InstrumentationScope, out: &mut String) {
    Object::write(out, |o| {
        o.text("name", &scope.name);
        o.text("version", &scope.version);
        o.list("attributes", &scope.attributes, write_key_value);
        o.number("droppedAttributesCount", scope.dropped_attributes_count.into());
    });
}

fn write_span(span: &Span, out: &mut String) {
    Object::write(out, |o| {
        o.id("traceId", &span.trace_id);
        o.id("spanId", &span.span_id);
        o.text("traceState", &span.trace_state);
        o.id("parentSpanId", &span.parent_span_id);
        o.number("flags", span.flags.into());
        o.text("name", &span.name);
        o.number("kind", span.kind.into());
        o.nanos("startTimeUnixNano", span.start_time_unix_nano);
        o.nanos("endTimeUnixNano", span.end_time_unix_nano);
        o.list("attributes", &span.attributes, write_key_value);
        o.number("droppedAttributesCount", span.dropped_attributes_count.into());
        o.list("events", &span.events, write_event);
        o.number("droppedEventsCount", span.dropped_events_count.into());
        o.list("links", &span.links, write_link);
        o.number("droppedLinksCount", span.dropped_links_count.into());
        write_status(&span.status.clone().unwrap_or_default(), o.name("status"));
    });
}

fn write_event(event: &Event, out: &mut String) {
    Object::write(out, |o| {
        o.nanos("timeUnixNano", event.time_unix_nano);
        o.text("name", &event.name);
        o.list("attributes", &event.attributes, write_key_value);
        o.number("droppedAttributesCount", event.dropped_attributes_count.into());
    });
}

fn write_link(link: &Link, out: &mut String) {
    Object::write(out, |o| {
        o.id("traceId", &link.trace_id);
        o.id("spanId", &link.span_id);
        o.text("traceState", &link.trace_state);
        o.list("attributes", &link.attributes, write_key_value);
        o.number("droppedAttributesCount", link.dropped_attributes_count.into());
        o.number("flags", link.flags.into());
    });
}

fn write_status(status: &Status, out: &mut String) {
    Object::write(out, |o| {
        o.text("message", &status.message);
        o.number("code", status.code.into());
    });
}

fn write_key_value(attribute: &KeyValue, out: &mut String) {
    Object::write(out, |o| {
        o.text("key", &attribute.key);
        write_any_value(&attribute.value.clone().unwrap_or_default(), o.name("value"));
    });
}

/// A oneof: the member that is set is written whatever its value.
fn write_any_value(any: &AnyValue, out: &mut String) {
    Object::write(out, |o| {
        let _ = match &any.value {
            Some(Value::StringValue(text)) => {
                write_text(text, o.name("stringValue"));
                Ok(())
            }
            Some(Value::BoolValue(truth)) => write!(o.name("boolValue"), "{truth}"),
            Some(Value::IntValue(number)) => write!(o.name("intValue"), "\"{number}\""),
            Some(Value::DoubleValue(number)) if number.is_finite() => write!(o.name("doubleValue"), "{number}"),
            Some(Value::DoubleValue(number)) => {
                let name = if number.is_nan() {
                    "NaN"
                } else if *number > 0.0 {
                    "Infinity"
                } else {
                    "-Infinity"
                };
                write!(o.name("doubleValue"), "\"{name}\"")
            }
            Some(Value::ArrayValue(array)) => {
                Object::write(o.name("arrayValue"), |o| o.list("values", &array.values, write_any_value));
                Ok(())
            }
            Some(Value::KvlistValue(list)) => {
                Object::write(o.name("kvlistValue"), |o| o.list("values", &list.values, write_key_value));
                Ok(())
            }
            Some(Value::BytesValue(bytes)) => write!(o.name("bytesValue"), "\"{}\"", STANDARD.encode(bytes)),
            // An index into a dictionary that traces do not have.
            Some(Value::StringValueStrindex(_)) | None => Ok(()),
        };
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the Collector's file exporter (0.161, `format: json`) wrote of a request with everything in it.
    const COLLECTORS_LINE: &str = concat!(
        r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"sh<o>p & é\u0001"}}]},"#,
        r#""scopeSpans":[{"scope":{"name":"s","version":"1"},"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","#,
        r#""spanId":"b7ad6b7169203331","name":"GET /","kind":2,"startTimeUnixNano":"1544712660000000000","#,
        r#""endTimeUnixNano":"1544712661000000000","status":{}},{"traceId":"0af7651916cd43dd8448eb211c80319c","#,
        r#""spanId":"b7ad6b7169203332","traceState":"ot=th:8","parentSpanId":"b7ad6b7169203331","flags":257,"name":"x","#,
        r#""kind":3,"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000","attributes":["#,
        r#"{"key":"s","value":{"stringValue":""}},{"key":"i","value":{"intValue":"-5"}},{"key":"d","value":{"doubleValue":1.5}},"#,
        r#"{"key":"dw","value":{"doubleValue":3}},{"key":"b","value":{"boolValue":false}},{"key":"by","value":{"bytesValue":"AQID"}},"#,
        r#"{"key":"a","value":{"arrayValue":{"values":[{"stringValue":"q"},{}]}}},"#,
        r#"{"key":"k","value":{"kvlistValue":{"values":[{"key":"z","value":{"intValue":"0"}}]}}},{"key":"none","value":{}}],"#,
        r#""droppedAttributesCount":3,"events":[{"timeUnixNano":"5","name":"e","attributes":[{"key":"x","value":{"boolValue":true}}],"#,
        r#""droppedAttributesCount":1}],"droppedEventsCount":2,"links":[{"traceId":"0af7651916cd43dd8448eb211c80319c","#,
        r#""spanId":"b7ad6b7169203331","traceState":"q=1","flags":1}],"droppedLinksCount":4,"status":{"message":"bad","code":2}}]}],"#,
        r#""schemaUrl":"http://s"},{"resource":{},"scopeSpans":[{"scope":{}}]}]}"#,
        "\n",
    );

    fn lines(write: impl FnOnce(&mut OtlpJsonLines<Vec<u8>>)) -> String {
        let mut lines = OtlpJsonLines::new(Vec::new());
        write(&mut lines);
        String::from_utf8(lines.into_inner()).unwrap()
    }

    #[test]
    fn a_line_is_the_collectors_to_the_byte() {
        let request: ExportTraceServiceRequest = serde_json::from_str(COLLECTORS_LINE).unwrap();
        let bytes = request.encode_to_vec();
        assert_eq!(lines(|l| l.write_encoded(Encoding::Protobuf, &bytes).unwrap()), COLLECTORS_LINE);
        let spread = serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(COLLECTORS_LINE).unwrap());
        assert_eq!(lines(|l| l.write_encoded(Encoding::Json, spread.unwrap().as_bytes()).unwrap()), COLLECTORS_LINE);
    }

    #[test]
    fn empty_lists_have_no_members() {
        let mut out = String::new();
        let empty = Value::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue::default());
        write_any_value(&AnyValue { value: Some(empty) }, &mut out);
        assert_eq!(out, r#"{"arrayValue":{}}"#);
    }

    #[test]
    fn numbers_json_does_not_know_have_names() {
        let value = |number| AnyValue { value: Some(Value::DoubleValue(number)) };
        let mut out = String::new();
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].iter().for_each(|n| write_any_value(&value(*n), &mut out));
        assert_eq!(out, r#"{"doubleValue":"NaN"}{"doubleValue":"Infinity"}{"doubleValue":"-Infinity"}"#);
    }
}
