//! What one span costs to decode: OTLP bytes to Arrow, beside prost's structs alone (the budget is a ratio to them,
//! for machines differ) and beside OTLP/JSON. Throughput is in spans.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use headroom::receive::Encoding;
use headroom::receive::decode::{Options, decode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// A Collector's batch: pods of many services, each with a few spans of about ten attributes.
const SERVICES: u64 = 60;
const SPANS_A_SERVICE: u64 = 17;
const OPERATIONS: u64 = 20;

fn text(key: &str, value: String) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::StringValue(value)) }), key_strindex: 0 }
}

fn number(key: &str, value: i64) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::IntValue(value)) }), key_strindex: 0 }
}

fn span(service: u64, n: u64) -> Span {
    let start = 1_767_225_600_000_000_000 + n * 1_000_000;
    let operation = (service * 31 + n * 7) % OPERATIONS;
    Span {
        trace_id: [n + 1, service + 1].map(u64::to_be_bytes).concat(),
        span_id: (service * 1_000 + n + 1).to_be_bytes().to_vec(),
        parent_span_id: (n + 1).to_be_bytes().to_vec(),
        name: format!("GET /service-{service}/operation-{operation}"),
        kind: 2 + (n % 2) as i32,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 5_000_000,
        attributes: vec![
            text("http.request.method", "GET".to_owned()),
            text("http.route", format!("/service-{service}/operation-{operation}")),
            number("http.response.status_code", 200),
            text("url.scheme", "https".to_owned()),
            text("url.path", format!("/service-{service}/operation-{operation}/{n}")),
            text("server.address", format!("service-{service}.shop.svc.cluster.local")),
            number("server.port", 8443),
            text("network.protocol.version", "1.1".to_owned()),
            text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)".to_owned()),
            number("thread.id", n as i64),
        ],
        ..Span::default()
    }
}

fn request() -> ExportTraceServiceRequest {
    let resource_spans = |service| ResourceSpans {
        resource: Some(Resource {
            attributes: vec![
                text("service.name", format!("service-{service}")),
                text("service.namespace", "shop".to_owned()),
                text("service.version", "1.4.2".to_owned()),
                text("k8s.pod.name", format!("service-{service}-7f8d7d756d-k7b9j")),
                text("k8s.deployment.name", format!("service-{service}")),
            ],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            spans: (0..SPANS_A_SERVICE).map(|n| span(service, n)).collect(),
            ..ScopeSpans::default()
        }],
        schema_url: String::new(),
    };
    ExportTraceServiceRequest { resource_spans: (0..SERVICES).map(resource_spans).collect() }
}

fn benches(criterion: &mut Criterion) {
    let request = request();
    let (protobuf, json) = (request.encode_to_vec(), serde_json::to_vec(&request).expect("structs become JSON"));
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(SERVICES * SPANS_A_SERVICE));
    group.bench_function("protobuf to prost structs", |b| {
        b.iter(|| ExportTraceServiceRequest::decode(protobuf.as_slice()).expect("a good request"));
    });
    group.bench_function("protobuf to Arrow", |b| {
        b.iter(|| decode(Encoding::Protobuf, &protobuf, &Options::default()).expect("a good request"));
    });
    group.bench_function("JSON to Arrow", |b| {
        b.iter(|| decode(Encoding::Json, &json, &Options::default()).expect("a good request"));
    });
    group.finish();
}

criterion_group!(decoding, benches);
criterion_main!(decoding);
