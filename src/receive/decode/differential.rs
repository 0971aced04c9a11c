//! The walk over protobuf bytes and the JSON reader against prost's structs: the same rows for every request, the
//! same judgement on every damaged one.
//! `reference` says what is right.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource as ProstResource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProstSpan, Status as ProstStatus};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use super::reference::{OPTIONS, difference, difference_in_json};
use super::{Encoding, decode};

// Requests of every shape: attributes that matter and others, values of every type, ids of every length.

fn any_value() -> impl Strategy<Value = AnyValue> {
    let scalar = prop_oneof![
        "[a-zé\"\\\\/\n]{0,6}".prop_map(Any::StringValue),
        prop_oneof![Just(8), Just(14), Just(200), any::<i64>()].prop_map(Any::IntValue),
        // Quarters: of longer fractions serde_json may read the neighbouring double.
        (-4000..4000i32).prop_map(|n| Any::DoubleValue(f64::from(n) / 4.0)),
        any::<bool>().prop_map(Any::BoolValue),
        vec(any::<u8>(), 0..4).prop_map(Any::BytesValue),
    ];
    let nested = scalar.prop_recursive(3, 12, 3, |inner| {
        let wrapped = option::of(inner).prop_map(|value| AnyValue { value });
        prop_oneof![
            vec(wrapped.clone(), 0..3).prop_map(|values| Any::ArrayValue(ArrayValue { values })),
            vec(wrapped, 0..3).prop_map(|values| {
                let pair = |value| KeyValue { key: "k".to_owned(), value: Some(value), key_strindex: 0 };
                Any::KvlistValue(KeyValueList { values: values.into_iter().map(pair).collect() })
            }),
        ]
    });
    option::of(nested).prop_map(|value| AnyValue { value })
}

fn attributes(keys: &'static [&'static str]) -> impl Strategy<Value = Vec<KeyValue>> {
    let one = (prop::sample::select(keys), option::of(any_value()));
    vec(one.prop_map(|(key, value)| KeyValue { key: key.to_owned(), value, key_strindex: 0 }), 0..6)
}

fn id(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), bytes), 1 => Just(vec![0; bytes]), 1 => vec(any::<u8>(), 0..20)]
}

fn span() -> impl Strategy<Value = ProstSpan> {
    const KEYS: &[&str] = &[
        "http.route",
        "http.response.status_code",
        "http.status_code",
        "rpc.method",
        "rpc.grpc.status_code",
        "peer.service",
        "db.system",
        "db.namespace",
        "messaging.system",
        "messaging.destination.name",
        "upstream_cluster",
        "server.address",
        "net.peer.name",
        "sampling.policy",
        "other",
        "",
    ];
    let times = prop_oneof![8 => 1u64..4_000_000_000, 1 => Just(0), 1 => any::<u64>()];
    let event = (attributes(KEYS), "[a-z]{0,3}").prop_map(|(attributes, name)| Event {
        time_unix_nano: 1,
        name,
        attributes,
        dropped_attributes_count: 2,
    });
    let link = (id(16), id(8), attributes(KEYS)).prop_map(|(trace_id, span_id, attributes)| Link {
        trace_id,
        span_id,
        attributes,
        flags: 7,
        ..Link::default()
    });
    let status = (-1..4i32, "[a-z]{0,3}").prop_map(|(code, message)| ProstStatus { code, message });
    (
        (id(16), id(8), prop_oneof![Just(vec![]), id(8)]),
        prop::sample::select(&["", "ot=th:8", "a=b,ot=rv:1;th:c", "ot=th:zz"][..]),
        ("[a-z/é]{0,8}", -1..7i32, times.clone(), times),
        (attributes(KEYS), vec(event, 0..2), vec(link, 0..2), option::of(status)),
    )
        .prop_map(|(ids, trace_state, (name, kind, start, end), (attributes, events, links, status))| ProstSpan {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state: trace_state.to_owned(),
            name,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            events,
            links,
            status,
            flags: 0x101,
            ..ProstSpan::default()
        })
}

fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    const KEYS: &[&str] = &[
        "service.name",
        "service.namespace",
        "service.version",
        "service.instance.id",
        "host.name",
        "k8s.pod.name",
        "k8s.namespace.name",
        "k8s.cluster.name",
        "k8s.deployment.name",
        "k8s.statefulset.name",
        "other",
    ];
    let scope = option::of(attributes(&["x", "tailsampling.policy"]).prop_map(|attributes| InstrumentationScope {
        name: "scope".to_owned(),
        attributes,
        ..InstrumentationScope::default()
    }));
    let scope_spans = (scope, vec(span(), 0..4)).prop_map(|(scope, spans)| ScopeSpans {
        scope,
        spans,
        schema_url: "https://x".to_owned(),
    });
    let resource =
        option::of(attributes(KEYS).prop_map(|attributes| ProstResource { attributes, ..ProstResource::default() }));
    let resource_spans = (resource, vec(scope_spans, 0..3)).prop_map(|(resource, scope_spans)| ResourceSpans {
        resource,
        scope_spans,
        schema_url: String::new(),
    });
    vec(resource_spans, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// How request bytes are damaged, or rearranged within what protobuf allows.
#[derive(Clone, Debug)]
enum Damage {
    Truncate(prop::sample::Index),
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Damage::Truncate),
        (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (index(), vec(any::<u8>(), 1..4)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        index().prop_map(Damage::Remove),
    ]
}

fn apply(damage: &Damage, bytes: &mut Vec<u8>) {
    let length = bytes.len();
    match damage {
        Damage::Truncate(at) => bytes.truncate(at.index(length + 1)),
        Damage::Insert(at, inserted) => {
            let at = at.index(length + 1);
            bytes.splice(at..at, inserted.iter().copied());
        }
        Damage::Set(at, byte) if length > 0 => bytes[at.index(length)] = *byte,
        Damage::Remove(at) if length > 0 => drop(bytes.remove(at.index(length))),
        Damage::Set(..) | Damage::Remove(_) => {}
    }
}

/// prost and the walk on the same bytes.
fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(difference(bytes), None);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn protobuf_gives_the_rows_of_prosts_structs(request in request()) {
        agree(&request.encode_to_vec())?;
    }

    #[test]
    fn damaged_protobuf_is_judged_as_prost_does(request in request(), damages in vec(damage(), 1..4)) {
        let mut bytes = request.encode_to_vec();
        damages.iter().for_each(|damage| apply(damage, &mut bytes));
        agree(&bytes)?;
    }

    #[test]
    fn split_messages_are_merged(first in request(), second in request()) {
        // A message written twice is the two merged: once as requests, once inside a single ResourceSpans.
        agree(&[first.encode_to_vec(), second.encode_to_vec()].concat())?;
        let halves = first.resource_spans.iter().chain(&second.resource_spans);
        let inner = halves.flat_map(|half| half.encode_to_vec()).collect::<Vec<u8>>();
        let mut bytes = vec![0x0a];
        prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
        agree(&[bytes, inner].concat())?;
    }

    #[test]
    fn any_bytes_are_judged_as_prost_does(bytes in vec(prop_oneof![any::<u8>(), 0u8..0x80], 0..64)) {
        agree(&bytes)?;
        let _ = decode(Encoding::Json, &bytes, &OPTIONS);
    }

    #[test]
    fn json_gives_the_rows_of_prosts_structs(request in request()) {
        prop_assert_eq!(difference_in_json(&request), None);
    }

    #[test]
    fn damaged_json_never_panics(request in request(), damages in vec(damage(), 1..4)) {
        let mut json = serde_json::to_vec(&request).unwrap();
        damages.iter().for_each(|damage| apply(damage, &mut json));
        let _ = decode(Encoding::Json, &json, &OPTIONS);
    }
}

#[test]
fn depth_is_bounded_where_prosts_is() {
    // ArrayValue in AnyValue in ArrayValue …, as deep as given.
    let nested = |depth: usize| {
        let mut value = AnyValue::default();
        for _ in 0..depth {
            value = AnyValue { value: Some(Any::ArrayValue(ArrayValue { values: vec![value] })) };
        }
        let attributes = vec![KeyValue { key: "x".to_owned(), value: Some(value), key_strindex: 0 }];
        let span = ProstSpan { attributes, ..ProstSpan::default() };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
            .encode_to_vec()
    };
    let left_out = |bytes: &[u8]| decode(Encoding::Protobuf, bytes, &OPTIONS).unwrap().mended.left_out;
    for depth in [1, 46, 47, 48, 49, 60] {
        agree(&nested(depth)).unwrap();
    }
    assert_eq!((left_out(&nested(40)), left_out(&nested(60))), (0, 1), "the attribute, not its span");
}
