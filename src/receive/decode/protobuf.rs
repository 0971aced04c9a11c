//! ExportTraceServiceRequest from its protobuf bytes straight into rows, without structs between.
//!
//! Only the fields that columns are made of are looked at; all others are checked, so that a damaged request is
//! refused wherever the damage is. Fields may come in any order and messages may be split and repeated (the parts
//! are merged), as protobuf allows. The resource may come after its spans, so a `ResourceSpans` is read twice, the
//! first time stepping over the spans.
//! Source of the field numbers: opentelemetry-proto, `trace/v1/trace.proto`, `common/v1`, `resource/v1`.

use super::attributes::{Resource, Value};
use super::rows::{Rows, Span};
use super::wire::{DEPTH_MAX, Declaration, Reader, Shape, WireError};
use super::{Decoded, Options};
use crate::model::{Kind, Status};

/// Decodes one request. Refuses what prost would refuse.
pub fn decode(request: &[u8], options: &Options) -> Result<Decoded, WireError> {
    let mut rows = Rows::new(options);
    let mut request = Reader::new(request);
    while let Some(field) = request.next()? {
        match field.number {
            1 => {
                let (resource_spans, depth) = field.message(DEPTH_MAX)?;
                read_resource_spans(resource_spans, depth, &mut rows)?;
            }
            _ => request.skip(&field, DEPTH_MAX)?,
        }
    }
    Ok(rows.finish())
}

fn read_resource_spans(message: Reader<'_>, depth: u32, rows: &mut Rows<'_>) -> Result<(), WireError> {
    let mut resource = Resource::default();
    let mut first_pass = message;
    while let Some(field) = first_pass.next()? {
        match field.number {
            1 => {
                let (inner, depth) = field.message(depth)?;
                read_resource(inner, depth, &mut resource)?;
            }
            2 => drop(field.message(depth)?),
            _ => RESOURCE_SPANS_REST.check_field(&field, &mut first_pass, depth)?,
        }
    }
    // The first pass has checked every field but the scopes' content.
    let mut second_pass = message;
    while let Some(field) = second_pass.next()? {
        match field.number {
            2 => {
                let (inner, depth) = field.message(depth)?;
                read_scope_spans(inner, depth, &resource, rows)?;
            }
            1 => {}
            _ => second_pass.skip(&field, depth)?,
        }
    }
    Ok(())
}

fn read_resource<'a>(mut message: Reader<'a>, depth: u32, resource: &mut Resource<'a>) -> Result<(), WireError> {
    while let Some(field) = message.next()? {
        match field.number {
            1 => {
                let (inner, depth) = field.message(depth)?;
                let (key, value) = read_key_value(inner, depth)?;
                resource.set(key, value);
            }
            _ => RESOURCE_REST.check_field(&field, &mut message, depth)?,
        }
    }
    Ok(())
}

fn read_scope_spans(
    mut message: Reader<'_>,
    depth: u32,
    resource: &Resource<'_>,
    rows: &mut Rows<'_>,
) -> Result<(), WireError> {
    while let Some(field) = message.next()? {
        match field.number {
            2 => {
                let (inner, depth) = field.message(depth)?;
                rows.push(resource, &read_span(inner, depth)?);
            }
            _ => SCOPE_SPANS_REST.check_field(&field, &mut message, depth)?,
        }
    }
    Ok(())
}

fn read_span(mut message: Reader<'_>, depth: u32) -> Result<Span<'_>, WireError> {
    let mut span = Span::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => span.trace_id = field.bytes()?,
            2 => span.span_id = field.bytes()?,
            3 => span.trace_state = field.text()?,
            4 => span.parent_span_id = field.bytes()?,
            5 => span.name = field.text()?,
            6 => span.kind = Kind::from_otlp(enumeration(field.varint()?)),
            7 => span.start_time_unix_nano = field.fixed64()?,
            8 => span.end_time_unix_nano = field.fixed64()?,
            9 => {
                let (inner, depth) = field.message(depth)?;
                let (key, value) = read_key_value(inner, depth)?;
                span.attributes.set(key, value);
            }
            15 => {
                let (mut status, depth) = field.message(depth)?;
                while let Some(field) = status.next()? {
                    match field.number {
                        3 => span.status = Status::from_otlp(enumeration(field.varint()?)),
                        _ => STATUS_REST.check_field(&field, &mut status, depth)?,
                    }
                }
            }
            _ => SPAN_REST.check_field(&field, &mut message, depth)?,
        }
    }
    Ok(span)
}

/// Enumerations are 32 bits; a longer varint is cut, as protobuf says.
fn enumeration(varint: u64) -> i64 {
    i64::from(varint as i32)
}

fn read_key_value(mut message: Reader<'_>, depth: u32) -> Result<(&str, Value<'_>), WireError> {
    let (mut key, mut value) = ("", Value::Absent);
    while let Some(field) = message.next()? {
        match field.number {
            1 => key = field.text()?,
            2 => {
                let (inner, depth) = field.message(depth)?;
                read_any_value(inner, depth, &mut value)?;
            }
            _ => KEY_VALUE.check_field(&field, &mut message, depth)?,
        }
    }
    Ok((key, value))
}

/// Of a oneof the last one written counts; one that writes none leaves `value` as it was.
fn read_any_value<'a>(mut message: Reader<'a>, depth: u32, value: &mut Value<'a>) -> Result<(), WireError> {
    while let Some(field) = message.next()? {
        match field.number {
            1 => *value = Value::Text(field.text()?),
            2 => *value = Value::Bool(field.varint()? != 0),
            3 => *value = Value::Int(field.varint()? as i64), // two's complement, as int64 is written
            4 => *value = Value::Double(f64::from_bits(field.fixed64()?)),
            number => {
                ANY_VALUE.check_field(&field, &mut message, depth)?;
                if (5..=8).contains(&number) {
                    *value = Value::Absent;
                }
            }
        }
    }
    Ok(())
}

// What is checked and not kept.

static RESOURCE_SPANS_REST: Declaration = Declaration(&[(3, Shape::Text)]);

static RESOURCE_REST: Declaration = Declaration(&[(2, Shape::Varint), (3, Shape::Message(&ENTITY_REF))]);

static ENTITY_REF: Declaration = Declaration(&[(1, Shape::Text), (2, Shape::Text), (3, Shape::Text), (4, Shape::Text)]);

static SCOPE_SPANS_REST: Declaration = Declaration(&[(1, Shape::Message(&SCOPE)), (3, Shape::Text)]);

static SCOPE: Declaration =
    Declaration(&[(1, Shape::Text), (2, Shape::Text), (3, Shape::Message(&KEY_VALUE)), (4, Shape::Varint)]);

static SPAN_REST: Declaration = Declaration(&[
    (10, Shape::Varint),
    (11, Shape::Message(&EVENT)),
    (12, Shape::Varint),
    (13, Shape::Message(&LINK)),
    (14, Shape::Varint),
    (16, Shape::Fixed32),
]);

static EVENT: Declaration =
    Declaration(&[(1, Shape::Fixed64), (2, Shape::Text), (3, Shape::Message(&KEY_VALUE)), (4, Shape::Varint)]);

static LINK: Declaration = Declaration(&[
    (1, Shape::Bytes),
    (2, Shape::Bytes),
    (3, Shape::Text),
    (4, Shape::Message(&KEY_VALUE)),
    (5, Shape::Varint),
    (6, Shape::Fixed32),
]);

static STATUS_REST: Declaration = Declaration(&[(2, Shape::Text)]);

static KEY_VALUE: Declaration = Declaration(&[(1, Shape::Text), (2, Shape::Message(&ANY_VALUE)), (3, Shape::Varint)]);

static ANY_VALUE: Declaration = Declaration(&[
    (1, Shape::Text),
    (2, Shape::Varint),
    (3, Shape::Varint),
    (4, Shape::Fixed64),
    (5, Shape::Message(&ARRAY_VALUE)),
    (6, Shape::Message(&KEY_VALUE_LIST)),
    (7, Shape::Bytes),
    (8, Shape::Varint),
]);

static ARRAY_VALUE: Declaration = Declaration(&[(1, Shape::Message(&ANY_VALUE))]);

static KEY_VALUE_LIST: Declaration = Declaration(&[(1, Shape::Message(&KEY_VALUE))]);
