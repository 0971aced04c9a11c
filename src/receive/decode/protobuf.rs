//! ExportTraceServiceRequest from its protobuf bytes straight into rows, without structs between.
//!
//! Only the fields that columns are made of are looked at; all others are checked, so that damage is counted wherever
//! it is. It spoils the smallest part around it whose end is known: an attribute, a resource's list of them, a span. Fields may come in any order and messages may be split and repeated (the parts
//! are merged), as protobuf allows. The resource may come after its spans, so a `ResourceSpans` is read twice, the
//! first time stepping over the spans.
//! Source of the field numbers: opentelemetry-proto, `trace/v1/trace.proto`, `common/v1`, `resource/v1`.

use super::attributes::{Attributes, Slots, Value};
use super::resource::Resource;
use super::rows::{Rows, Span};
use super::wire::{DEPTH_MAX, Declaration, Key, Reader, Shape, WireError, spare, text_of};
use super::{DecodeError, Decoded, Options};
use crate::model::{Kind, Status, Utf8};

/// Decodes one request. Texts that are not UTF-8 are replaced; refused is a request whose spans cannot be told apart.
pub fn decode(request: &[u8], options: &Options) -> Result<Decoded, DecodeError> {
    const RESOURCE_SPANS: Key = Key::bytes(1);
    let mut rows = Rows::new(options, estimate_spans(request));
    Reader::new(request).each(|request, key| match key {
        RESOURCE_SPANS => {
            let (resource_spans, depth) = request.message(DEPTH_MAX)?;
            read_resource_spans(resource_spans, depth, &mut rows)
        }
        _ => REQUEST.check_field(key, request, DEPTH_MAX),
    })?;
    rows.finish()
}

/// Bytes of the smallest span that becomes a row: ids and times.
const SPAN_BYTES_MIN: usize = 16 + 8 + 8 + 8;

/// Spans that tell how large the others are.
const SAMPLE: usize = 64;

/// How many rows to make room for, a sixteenth to spare, going by the first spans: columns that grow are copied again
/// and again, and to walk through all spans beforehand takes a quarter of what decoding takes. What is damaged is found
/// out later.
fn estimate_spans(request: &[u8]) -> usize {
    const RESOURCE_SPANS: Key = Key::bytes(1);
    let mut message = Reader::new(request);
    let (mut spans, mut bytes) = (0, 0);
    while spans < SAMPLE
        && let Ok(RESOURCE_SPANS) = message.key()
        && let Ok((resource_spans, _)) = message.message(DEPTH_MAX)
    {
        bytes += resource_spans.len();
        spans += count_spans(resource_spans);
    }
    let all = request.len() * spans / bytes.max(1);
    (all + all / 16).min(request.len() / SPAN_BYTES_MIN)
}

fn count_spans(resource_spans: Reader<'_>) -> usize {
    const SCOPE_SPANS: Key = Key::bytes(2);
    const SPANS: Key = Key::bytes(2);
    let mut spans = 0;
    let _ = resource_spans.each(|message, key| match key {
        SCOPE_SPANS => message.message(DEPTH_MAX)?.0.each(|message, key| {
            spans += usize::from(key == SPANS);
            message.skip(key, DEPTH_MAX)
        }),
        _ => message.skip(key, DEPTH_MAX),
    });
    spans
}

fn read_resource_spans<'a>(message: Reader<'a>, depth: u32, rows: &mut Rows<'a>) -> Result<(), WireError> {
    const RESOURCE: Key = Key::bytes(1);
    const SCOPE_SPANS: Key = Key::bytes(2);
    let mut resource = Resource::default();
    message.each(|message, key| match key {
        RESOURCE => {
            let (inner, depth) = message.message(depth)?;
            spare(read_resource(inner, depth, &mut resource));
            Ok(())
        }
        SCOPE_SPANS => message.message(depth).map(drop),
        _ => RESOURCE_SPANS.check_field(key, message, depth),
    })?;
    rows.enter(resource);
    // The first pass has checked every field but the scopes' content.
    message.each(|message, key| match key {
        SCOPE_SPANS => {
            let (inner, depth) = message.message(depth)?;
            read_scope_spans(inner, depth, rows)
        }
        _ => message.skip(key, depth),
    })
}

fn read_resource<'a>(message: Reader<'a>, depth: u32, resource: &mut Resource<'a>) -> Result<(), WireError> {
    const ATTRIBUTES: Key = Key::bytes(1);
    message.each(|message, key| match key {
        ATTRIBUTES => {
            let (inner, depth) = message.message(depth)?;
            spare(read_attribute(inner, depth, resource));
            Ok(())
        }
        _ => RESOURCE.check_field(key, message, depth),
    })
}

fn read_scope_spans<'a>(message: Reader<'a>, depth: u32, rows: &mut Rows<'a>) -> Result<(), WireError> {
    const SCOPE_KEY: Key = Key::bytes(1);
    const SPANS: Key = Key::bytes(2);
    let mut scope = Attributes::default();
    rows.enter_scope(scope);
    message.each(|message, key| match key {
        SCOPE_KEY => {
            let (inner, depth) = message.message(depth)?;
            spare(read_scope(inner, depth, &mut scope));
            rows.enter_scope(scope);
            Ok(())
        }
        SPANS => {
            let (inner, depth) = message.message(depth)?;
            let mut span = Span::default();
            match read_span(inner, depth, &mut span) {
                Ok(()) => rows.push(&span),
                Err(_) => rows.reject_damaged(&span),
            }
            Ok(())
        }
        _ => SCOPE_SPANS.check_field(key, message, depth),
    })
}

/// A scope comes before its spans: all writers put it there.
fn read_scope<'a>(message: Reader<'a>, depth: u32, scope: &mut Attributes<'a>) -> Result<(), WireError> {
    const ATTRIBUTES: Key = Key::bytes(3);
    message.each(|message, key| match key {
        ATTRIBUTES => {
            let (inner, depth) = message.message(depth)?;
            spare(read_attribute(inner, depth, scope));
            Ok(())
        }
        _ => SCOPE.check_field(key, message, depth),
    })
}

fn read_span<'a>(message: Reader<'a>, depth: u32, span: &mut Span<'a>) -> Result<(), WireError> {
    const TRACE_ID: Key = Key::bytes(1);
    const SPAN_ID: Key = Key::bytes(2);
    const TRACE_STATE: Key = Key::bytes(3);
    const PARENT_SPAN_ID: Key = Key::bytes(4);
    const NAME: Key = Key::bytes(5);
    const KIND: Key = Key::varint(6);
    const START_TIME: Key = Key::fixed64(7);
    const END_TIME: Key = Key::fixed64(8);
    const ATTRIBUTES: Key = Key::bytes(9);
    const LINKS: Key = Key::bytes(13);
    const STATUS: Key = Key::bytes(15);
    const FLAGS: Key = Key::fixed32(16);
    message.each(|message, key| {
        // Half of all fields, and not to be found through the jump that tells the others apart.
        if key == ATTRIBUTES {
            let (inner, depth) = message.message(depth)?;
            spare(read_attribute(inner, depth, &mut span.attributes));
            return Ok(());
        }
        match key {
            TRACE_ID => span.trace_id = message.bytes()?,
            SPAN_ID => span.span_id = message.bytes()?,
            TRACE_STATE => span.trace_state = message.text()?,
            PARENT_SPAN_ID => span.parent_span_id = message.bytes()?,
            NAME => span.name = message.text()?,
            KIND => span.kind = Kind::from_otlp(enumeration(message.varint()?)),
            START_TIME => span.start_time_unix_nano = message.fixed64()?,
            END_TIME => span.end_time_unix_nano = message.fixed64()?,
            LINKS => {
                let (inner, depth) = message.message(depth)?;
                let mut link = (&[][..], &[][..]);
                let read = read_link(inner, depth, &mut link);
                span.link = span.link.or(read.is_ok().then_some(link));
                spare(read);
            }
            STATUS => {
                let (inner, depth) = message.message(depth)?;
                spare(read_status(inner, depth, &mut span.status));
            }
            FLAGS => _ = message.fixed32()?, // every SDK writes it
            _ => SPAN.check_field(key, message, depth)?,
        }
        Ok(())
    })
}

fn read_link<'a>(message: Reader<'a>, depth: u32, link: &mut (&'a [u8], &'a [u8])) -> Result<(), WireError> {
    const TRACE_ID: Key = Key::bytes(1);
    const SPAN_ID: Key = Key::bytes(2);
    message.each(|message, key| {
        match key {
            TRACE_ID => link.0 = message.bytes()?,
            SPAN_ID => link.1 = message.bytes()?,
            _ => LINK.check_field(key, message, depth)?,
        }
        Ok(())
    })
}

fn read_status(message: Reader<'_>, depth: u32, status: &mut Status) -> Result<(), WireError> {
    const CODE: Key = Key::varint(3);
    message.each(|message, key| match key {
        CODE => {
            *status = Status::from_otlp(enumeration(message.varint()?));
            Ok(())
        }
        _ => STATUS.check_field(key, message, depth),
    })
}

/// Enumerations are 32 bits; a longer varint is cut, as protobuf says.
fn enumeration(varint: u64) -> i64 {
    i64::from(varint as i32)
}

const KEY: Key = Key::bytes(1);
const VALUE: Key = Key::bytes(2);

/// A KeyValue, into the slot of its key. All writers put the key first and the value last, so that a value nobody
/// wants is checked and not made; written otherwise, it is read in full.
#[inline(always)]
fn read_attribute<'a>(message: Reader<'a>, depth: u32, slots: &mut impl Slots<'a>) -> Result<(), WireError> {
    let mut rest = message;
    if rest.key()? == KEY {
        let name = rest.text()?;
        if rest.key()? == VALUE {
            let (inner, depth) = rest.message(depth)?;
            if rest.is_empty() {
                let mut ignored = Value::Absent;
                let slot = slots.slot(name).unwrap_or(&mut ignored);
                *slot = Value::Absent;
                return read_any_value(inner, depth, slot);
            }
        }
    }
    read_scattered_attribute(message, depth, slots)
}

#[inline(never)]
fn read_scattered_attribute<'a>(message: Reader<'a>, depth: u32, slots: &mut impl Slots<'a>) -> Result<(), WireError> {
    let (mut name, mut value) = (Utf8::EMPTY, Value::Absent);
    message.each(|message, key| match key {
        KEY => {
            name = message.text()?;
            Ok(())
        }
        VALUE => {
            let (inner, depth) = message.message(depth)?;
            read_any_value(inner, depth, &mut value)
        }
        _ => KEY_VALUE.check_field(key, message, depth),
    })?;
    slots.set(name, value);
    Ok(())
}

const TEXT: Key = Key::bytes(1);
const BOOL: Key = Key::varint(2);
const INT: Key = Key::varint(3);
const DOUBLE: Key = Key::fixed64(4);

/// Of a oneof the last one written counts; one that writes none leaves `value` as it was. All writers write one, and
/// nearly all of those are text or whole numbers.
#[inline(always)]
fn read_any_value<'a>(message: Reader<'a>, depth: u32, value: &mut Value<'a>) -> Result<(), WireError> {
    let mut rest = message;
    match rest.key()? {
        TEXT => {
            let bytes = rest.bytes()?;
            if rest.is_empty() {
                *value = Value::Text(text_of(bytes));
                return Ok(());
            }
        }
        INT => {
            let number = rest.varint()?;
            if rest.is_empty() {
                *value = Value::Int(number as i64); // two's complement, as int64 is written
                return Ok(());
            }
        }
        _ => {}
    }
    read_rare_value(message, depth, value)
}

#[inline(never)]
fn read_rare_value<'a>(message: Reader<'a>, depth: u32, value: &mut Value<'a>) -> Result<(), WireError> {
    message.each(|message, key| {
        match key {
            TEXT => *value = Value::Text(message.text()?),
            INT => *value = Value::Int(message.varint()? as i64),
            BOOL => *value = Value::Bool(message.varint()? != 0),
            DOUBLE => *value = Value::Double(f64::from_bits(message.fixed64()?)),
            _ => {
                ANY_VALUE.check_field(key, message, depth)?;
                if (5..=8).contains(&key.number()) {
                    *value = Value::Absent;
                }
            }
        }
        Ok(())
    })
}

// All fields of each message: what is checked and not kept, and what has the wrong wire type.

static REQUEST: Declaration = Declaration(&[(1, Shape::Message(&RESOURCE_SPANS))]);

static RESOURCE_SPANS: Declaration =
    Declaration(&[(1, Shape::Message(&RESOURCE)), (2, Shape::Message(&SCOPE_SPANS)), (3, Shape::Text)]);

static RESOURCE: Declaration =
    Declaration(&[(1, Shape::Message(&KEY_VALUE)), (2, Shape::Varint), (3, Shape::Message(&ENTITY_REF))]);

static ENTITY_REF: Declaration = Declaration(&[(1, Shape::Text), (2, Shape::Text), (3, Shape::Text), (4, Shape::Text)]);

static SCOPE_SPANS: Declaration =
    Declaration(&[(1, Shape::Message(&SCOPE)), (2, Shape::Message(&SPAN)), (3, Shape::Text)]);

static SCOPE: Declaration =
    Declaration(&[(1, Shape::Text), (2, Shape::Text), (3, Shape::Message(&KEY_VALUE)), (4, Shape::Varint)]);

static SPAN: Declaration = Declaration(&[
    (1, Shape::Bytes),
    (2, Shape::Bytes),
    (3, Shape::Text),
    (4, Shape::Bytes),
    (5, Shape::Text),
    (6, Shape::Varint),
    (7, Shape::Fixed64),
    (8, Shape::Fixed64),
    (9, Shape::Message(&KEY_VALUE)),
    (10, Shape::Varint),
    (11, Shape::Message(&EVENT)),
    (12, Shape::Varint),
    (13, Shape::Message(&LINK)),
    (14, Shape::Varint),
    (15, Shape::Message(&STATUS)),
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

static STATUS: Declaration = Declaration(&[(2, Shape::Text), (3, Shape::Varint)]);

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
