//! ExportTraceServiceRequest in OTLP/JSON: ids in hex, 64-bit integers as strings or numbers, enumerations as
//! numbers or names, keys in lowerCamelCase or snake_case, unknown fields ignored, null the same as absent.
//!
//! serde fills structs that borrow from the request and hold only what columns are made of.
//! Source: OTLP specification, "JSON Protobuf Encoding"; protobuf, "ProtoJSON Format".

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::attributes::{Attributes, Resource, Slots, Value};
use super::rows::{Rows, Span};
use super::{DecodeError, Decoded, Options, meter};
use crate::model::{Kind, Status, Utf8};

/// Decodes one request.
pub fn decode(request: &[u8], options: &Options) -> Result<Decoded, DecodeError> {
    // serde would take a list for a struct.
    if request.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(DecodeError::Json("an object is expected".to_owned()));
    }
    let request: Request<'_> = serde_json::from_slice(request).map_err(|error| DecodeError::Json(describe(&error)))?;
    let mut rows = Rows::new(options, 0);
    for resource_spans in &request.resource_spans {
        let mut resource = Resource::default();
        for KeyValue { key, value } in &resource_spans.resource.attributes {
            resource.set((&*key.0).into(), value.borrow());
        }
        rows.enter(resource);
        for span in resource_spans.scope_spans.iter().flat_map(|scope| &scope.spans) {
            let ids = [&span.trace_id, &span.span_id, &span.parent_span_id].map(HexId::bytes);
            let mut attributes = Attributes::default();
            for KeyValue { key, value } in &span.attributes {
                attributes.set((&*key.0).into(), value.borrow());
            }
            rows.push(&Span {
                trace_id: ids[0],
                span_id: ids[1],
                parent_span_id: ids[2],
                trace_state: (&*span.trace_state.0).into(),
                name: (&*span.name.0).into(),
                kind: Kind::from_otlp(span.kind.0),
                status: Status::from_otlp(span.status.code.0),
                start_time_unix_nano: span.start_time_unix_nano.0,
                end_time_unix_nano: span.end_time_unix_nano.0,
                attributes,
            });
        }
    }
    rows.finish()
}

/// serde_json's message without its line when that is the only one: a file's own line number would contradict it.
fn describe(error: &serde_json::Error) -> String {
    let whole = error.to_string();
    let cause = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(cause, _)| cause);
    match error.line() {
        0 => cause.to_owned(),
        1 => format!("{cause} at column {}", error.column()),
        line => format!("{cause} at line {line} column {}", error.column()),
    }
}

// The messages. Every field may be absent or null.

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default, alias = "resource_spans", rename = "resourceSpans", deserialize_with = "list")]
    resource_spans: Vec<ResourceSpans<'a>>,
}

#[derive(Deserialize)]
struct ResourceSpans<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    resource: ResourceAttributes<'a>,
    #[serde(borrow, default, alias = "scope_spans", rename = "scopeSpans", deserialize_with = "list")]
    scope_spans: Vec<ScopeSpans<'a>>,
}

#[derive(Default, Deserialize)]
struct ResourceAttributes<'a> {
    #[serde(borrow, default, deserialize_with = "list")]
    attributes: Vec<KeyValue<'a>>,
}

#[derive(Deserialize)]
struct ScopeSpans<'a> {
    #[serde(borrow, default, deserialize_with = "list")]
    spans: Vec<JsonSpan<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonSpan<'a> {
    #[serde(default, alias = "trace_id", deserialize_with = "or_default")]
    trace_id: HexId,
    #[serde(default, alias = "span_id", deserialize_with = "or_default")]
    span_id: HexId,
    #[serde(default, alias = "parent_span_id", deserialize_with = "or_default")]
    parent_span_id: HexId,
    #[serde(borrow, default, alias = "trace_state", deserialize_with = "or_default")]
    trace_state: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    name: Text<'a>,
    #[serde(default, deserialize_with = "or_default")]
    kind: Enumeration,
    #[serde(default, alias = "start_time_unix_nano", deserialize_with = "or_default")]
    start_time_unix_nano: Integer<u64>,
    #[serde(default, alias = "end_time_unix_nano", deserialize_with = "or_default")]
    end_time_unix_nano: Integer<u64>,
    #[serde(borrow, default, deserialize_with = "list")]
    attributes: Vec<KeyValue<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    status: JsonStatus,
}

#[derive(Default, Deserialize)]
struct JsonStatus {
    #[serde(default, deserialize_with = "or_default")]
    code: Enumeration,
}

#[derive(Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    key: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    value: AnyValue<'a>,
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A list, or null. What its elements become is paid for before they are there; twice, as a list that grows is copied.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct ListVisitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_none<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
            deserializer.deserialize_seq(self)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element()? {
                if !meter::pay(2 * size_of::<T>()) {
                    return Err(A::Error::custom("too large"));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }
    deserializer.deserialize_option(ListVisitor(PhantomData))
}

// The scalars.

/// A string, borrowed unless it has escapes.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_bytes<E>(self, text: &'de [u8]) -> Result<Text<'de>, E> {
                Ok(Text(std::str::from_utf8(text).map_or_else(|_| replaced(), Cow::Borrowed)))
            }
            fn visit_bytes<E: serde::de::Error>(self, text: &[u8]) -> Result<Text<'de>, E> {
                if !meter::pay(text.len()) {
                    return Err(E::custom("too large"));
                }
                Ok(Text(std::str::from_utf8(text).map_or_else(|_| replaced(), |text| Cow::Owned(text.to_owned()))))
            }
        }
        // As bytes: half of a surrogate pair, or a byte that is not UTF-8, spoils this text and not the request.
        deserializer.deserialize_bytes(TextVisitor)
    }
}

fn replaced() -> Cow<'static, str> {
    meter::mended();
    Cow::Borrowed(Utf8::REPLACED.as_str())
}

/// The longest id kept, one byte more than a trace id has: longer ones are as wrong.
const ID_BYTES_MAX: usize = 17;

/// Bytes in hex, in either case.
#[derive(Default)]
struct HexId {
    bytes: [u8; ID_BYTES_MAX],
    length: usize,
}

impl HexId {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl<'de> Deserialize<'de> for HexId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HexId, D::Error> {
        struct HexVisitor;
        impl Visitor<'_> for HexVisitor {
            type Value = HexId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id in hex")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HexId, E> {
                let mut id = HexId { length: (text.len() / 2).min(ID_BYTES_MAX), ..HexId::default() };
                let all_hex = text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
                let head = &text.as_bytes()[..(2 * id.length).min(text.len())];
                if !all_hex || hex::decode_to_slice(head, &mut id.bytes[..id.length]).is_err() {
                    return Err(E::custom("an id is not in hex"));
                }
                Ok(id)
            }
        }
        deserializer.deserialize_str(HexVisitor)
    }
}

/// A 64-bit integer: a string as ProtoJSON writes it, or a number as people do.
#[derive(Clone, Copy, Default)]
struct Integer<T>(T);

impl<'de, T> Deserialize<'de> for Integer<T>
where
    T: TryFrom<i128> + std::str::FromStr,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Integer<T>, D::Error> {
        struct IntegerVisitor<T>(PhantomData<T>);
        impl<T: TryFrom<i128> + std::str::FromStr> Visitor<'_> for IntegerVisitor<T> {
            type Value = Integer<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer of 64 bits, as a string or a number")
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Integer<T>, E> {
                exact(i128::from(number))
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Integer<T>, E> {
                exact(i128::from(number))
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Integer<T>, E> {
                // 1.5e9 is an integer too; what is past 64 bits saturates here and is refused there.
                if number.fract() == 0.0 { exact(number as i128) } else { Err(E::custom("a number is not an integer")) }
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Integer<T>, E> {
                text.parse().map(Integer).map_err(|_| E::custom("a string is not an integer of 64 bits"))
            }
        }
        fn exact<T: TryFrom<i128>, E: serde::de::Error>(number: i128) -> Result<Integer<T>, E> {
            T::try_from(number).map(Integer).map_err(|_| E::custom("an integer does not fit 64 bits"))
        }
        deserializer.deserialize_any(IntegerVisitor(PhantomData))
    }
}

/// A span kind or status code, as its number or its name.
#[derive(Default)]
struct Enumeration(i64);

/// The names of the two enumerations that are read, with their numbers; they do not overlap.
const ENUMERATION_NAMES: [(&str, i64); 9] = [
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
    ("STATUS_CODE_UNSET", 0),
    ("STATUS_CODE_OK", 1),
    ("STATUS_CODE_ERROR", 2),
];

impl<'de> Deserialize<'de> for Enumeration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Enumeration, D::Error> {
        struct EnumerationVisitor;
        impl Visitor<'_> for EnumerationVisitor {
            type Value = Enumeration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an enumeration's number or name")
            }
            fn visit_u64<E>(self, number: u64) -> Result<Enumeration, E> {
                Ok(Enumeration(i64::try_from(number).unwrap_or(0)))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Enumeration, E> {
                Ok(Enumeration(number))
            }
            fn visit_str<E>(self, name: &str) -> Result<Enumeration, E> {
                // A name of a later version is unspecified, as an unknown number is.
                let known = ENUMERATION_NAMES.iter().find(|(known, _)| *known == name);
                Ok(Enumeration(known.map_or_else(|| name.parse().unwrap_or(0), |(_, number)| *number)))
            }
        }
        deserializer.deserialize_any(EnumerationVisitor)
    }
}

/// An attribute's value; lists, maps and bytes are passed over.
#[derive(Default)]
enum AnyValue<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Int(i64),
    Double(f64),
    Bool(bool),
}

impl AnyValue<'_> {
    fn borrow(&self) -> Value<'_> {
        match self {
            AnyValue::Absent => Value::Absent,
            AnyValue::Text(text) => Value::Text((&**text).into()),
            AnyValue::Int(number) => Value::Int(*number),
            AnyValue::Double(number) => Value::Double(*number),
            AnyValue::Bool(truth) => Value::Bool(*truth),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for AnyValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AnyValue<'a>, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = AnyValue<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an attribute value such as {\"stringValue\":\"…\"}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyValue<'de>, A::Error> {
                let mut value = AnyValue::Absent;
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    let one = match &*key.0 {
                        "stringValue" | "string_value" => {
                            map.next_value::<Option<Text<'de>>>()?.map(|text| AnyValue::Text(text.0))
                        }
                        "intValue" | "int_value" => {
                            map.next_value::<Option<Integer<i64>>>()?.map(|number| AnyValue::Int(number.0))
                        }
                        "doubleValue" | "double_value" => {
                            map.next_value::<Option<Double>>()?.map(|d| AnyValue::Double(d.0))
                        }
                        "boolValue" | "bool_value" => map.next_value::<Option<bool>>()?.map(AnyValue::Bool),
                        _ => map.next_value::<IgnoredAny>().map(|_| None)?,
                    };
                    value = one.unwrap_or(value);
                }
                Ok(value)
            }
        }
        deserializer.deserialize_map(ValueVisitor)
    }
}

/// A double: a number, or a string such as "NaN" or "Infinity".
struct Double(f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Double, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written<'a> {
            Number(f64),
            Name(#[serde(borrow)] Text<'a>),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Double(number)),
            Written::Name(name) => name.0.parse().map(Double).map_err(|_| D::Error::custom("a string is not a number")),
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn other_signals_and_empty_requests_hold_no_spans() {
        for request in ["{}", r#"{"resourceMetrics":[]}"#, r#"{"resourceSpans":null}"#, r#"{"resourceSpans":[{}]}"#] {
            assert!(decoded(request).batch.is_empty(), "{request}");
        }
    }

    #[test]
    fn damage_is_named() {
        let message = |request: &str| decode(request.as_bytes(), &Options::default()).unwrap_err().to_string();
        insta::assert_snapshot!(message(r#"{"resourceSpans":[{"scopeSpans":"#), @"not an OTLP trace request in JSON: EOF while parsing a value at column 32");
        insta::assert_snapshot!(message(r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}"#), @"not an OTLP trace request in JSON: an id is not in hex at column 59");
        insta::assert_snapshot!(message(r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"-1"}]}]}]}"#), @"not an OTLP trace request in JSON: a string is not an integer of 64 bits at column 68");
        insta::assert_snapshot!(message("[]"), @"not an OTLP trace request in JSON: an object is expected");
        // What is passed over is not recursed into, so its depth needs no limit.
        let deep = format!("{{\"unknown\":{}", "[".repeat(1_000_000));
        assert!(message(&deep).contains("EOF while parsing a list"));
    }
}
