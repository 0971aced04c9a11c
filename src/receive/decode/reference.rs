//! The plain way to rows, by prost's structs: what the walk and the JSON reader are held against, by the tests
//! (`differential`) and by the fuzz targets (`fuzz/`). It shares only the last step (`rows`) with what it checks.

use std::fmt::Debug;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message;

use super::attributes::{Attributes, Slots, Value};
use super::resource::Resource;
use super::rows::{Rows, Span};
use super::{Decoded, Encoding, Options, Reason, decode};
use crate::model::{Kind, SpanRow, Status, Time};

/// Some of the times that tests write lie beyond.
pub const OPTIONS: Options =
    Options { assume_weight: None, start_max: Some(Time(3_000_000_000)), limits: None, rescale: false };

fn value(key_value: &KeyValue) -> Value<'_> {
    match key_value.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Any::StringValue(text)) => Value::Text(text.as_str().into()),
        Some(Any::BoolValue(truth)) => Value::Bool(*truth),
        Some(Any::IntValue(number)) => Value::Int(*number),
        Some(Any::DoubleValue(number)) => Value::Double(*number),
        _ => Value::Absent,
    }
}

/// The rows of a request.
pub fn reference(request: &ExportTraceServiceRequest) -> Decoded {
    let mut rows = Rows::new(&OPTIONS, 0);
    for resource_spans in &request.resource_spans {
        let mut resource = Resource::default();
        for attribute in resource_spans.resource.iter().flat_map(|resource| &resource.attributes) {
            resource.set(attribute.key.as_str().into(), value(attribute));
        }
        rows.enter(resource);
        for (span, scope) in
            resource_spans.scope_spans.iter().flat_map(|of| of.spans.iter().map(|span| (span, &of.scope)))
        {
            let mut scope_attributes = Attributes::default();
            for attribute in scope.iter().flat_map(|scope| &scope.attributes) {
                scope_attributes.set(attribute.key.as_str().into(), value(attribute));
            }
            rows.enter_scope(scope_attributes);
            let mut attributes = Attributes::default();
            span.attributes
                .iter()
                .for_each(|attribute| attributes.set(attribute.key.as_str().into(), value(attribute)));
            let status = span.status.as_ref().map_or(0, |status| status.code);
            rows.push(&Span {
                trace_id: &span.trace_id,
                span_id: &span.span_id,
                parent_span_id: &span.parent_span_id,
                trace_state: span.trace_state.as_str().into(),
                name: span.name.as_str().into(),
                kind: Kind::from_otlp(span.kind.into()),
                status: Status::from_otlp(status.into()),
                start_time_unix_nano: span.start_time_unix_nano,
                end_time_unix_nano: span.end_time_unix_nano,
                attributes,
                link: span.links.first().map(|link| (&*link.trace_id, &*link.span_id)),
            });
        }
    }
    rows.finish().expect("no limits are set")
}

/// What two ways of decoding must have in common.
pub fn rows(decoded: &Decoded) -> (Vec<SpanRow<'_>>, String) {
    (decoded.batch.iter().collect(), decoded.rejected.to_string())
}

/// What prost and the walk make of the same bytes, where they differ.
pub fn difference(protobuf: &[u8]) -> Option<String> {
    let walked = decode(Encoding::Protobuf, protobuf, &OPTIONS);
    match (ExportTraceServiceRequest::decode(protobuf), walked) {
        (Ok(request), Ok(walked)) => unequal(&rows(&walked), &rows(&reference(&request))),
        (Err(_), Err(_)) => None,
        // prost refuses a request for one text, attribute or span; the walk leaves that out and says so.
        (Err(_), Ok(walked)) if lost_something(&walked) => None,
        (prost, walked) => Some(format!("prost says {:?}, the walk {:?}", prost.map(drop), walked.map(drop))),
    }
}

fn lost_something(Decoded { mended, rejected, .. }: &Decoded) -> bool {
    let damaged = rejected.by_reason().any(|(reason, _)| reason == Reason::Damaged);
    mended.broken > 0 || mended.left_out > 0 || damaged
}

/// What the JSON reader makes of a request that serde writes, where it differs from the request.
pub fn difference_in_json(request: &ExportTraceServiceRequest) -> Option<String> {
    let json = serde_json::to_vec(request).ok()?;
    match decode(Encoding::Json, &json, &OPTIONS) {
        Ok(read) => unequal(&rows(&read), &rows(&reference(request))),
        Err(error) => Some(format!("the JSON reader refuses: {error}")),
    }
}

fn unequal<T: PartialEq + Debug>(read: &T, expected: &T) -> Option<String> {
    (read != expected).then(|| format!("read {read:?}, expected {expected:?}"))
}
