//! Traces of the routes, so that a headroom knows them: each crosses `store`.

use std::net::SocketAddr;
use std::time::Duration;

use headroom::clock::Clock;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tonic::transport::{Channel, Endpoint};

use crate::Error;
use crate::questions::route;

/// Of the routes, so many are shown again each second: enough to see what they ask of `store`, and next to nothing beside the
/// questions.
const SHOWN_PER_S: usize = 20;

const MS: u64 = 1_000_000;

pub struct Teacher {
    client: TraceServiceClient<Channel>,
    routes: usize,
    shown: usize,
}

impl Teacher {
    pub async fn new(receiver: SocketAddr, routes: usize) -> Result<Teacher, Error> {
        let channel = Endpoint::from_shared(format!("http://{receiver}"))?.connect().await?;
        Ok(Teacher { client: TraceServiceClient::new(channel), routes, shown: 0 })
    }

    /// All of them once, and a few for some seconds more: by then it has judged what it was shown.
    pub async fn teach(&mut self, seconds: u64) -> Result<(), Error> {
        self.show(self.routes).await?;
        for _ in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.show(SHOWN_PER_S).await?;
        }
        Ok(())
    }

    /// Goes on for as long as it is waited for.
    pub async fn go_on(mut self) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.show(SHOWN_PER_S).await.is_err() {
                return;
            }
        }
    }

    async fn show(&mut self, count: usize) -> Result<(), Error> {
        let now_ns = Clock::system().now().0 as u64; // not before 1970
        let (mut shop, mut store) = (Vec::new(), Vec::new());
        for n in self.shown..self.shown + count {
            let (id, start_ns) = (n as u64 + 1, now_ns - 40 * MS);
            let operation = format!("GET {}", route(n % self.routes));
            let span = |place: u8, parent: u8, kind: SpanKind, name: &str, from_ms: u64, to_ms: u64| Span {
                trace_id: [now_ns.to_be_bytes(), id.to_be_bytes()].concat(),
                span_id: span_id(id, place),
                parent_span_id: if parent == 0 { Vec::new() } else { span_id(id, parent) },
                name: name.into(),
                kind: kind.into(),
                start_time_unix_nano: start_ns + from_ms * MS,
                end_time_unix_nano: start_ns + to_ms * MS,
                ..Span::default()
            };
            shop.push(span(1, 0, SpanKind::Server, &operation, 0, 30));
            shop.push(span(2, 1, SpanKind::Client, "GET", 5, 25));
            store.push(span(3, 2, SpanKind::Server, "GET /rows/{id}", 5, 25));
        }
        self.shown += count;
        let resource_spans = vec![of("shop", shop), of("store", store)];
        self.client.export(ExportTraceServiceRequest { resource_spans }).await?;
        Ok(())
    }
}

fn span_id(id: u64, place: u8) -> Vec<u8> {
    (id << 8 | u64::from(place)).to_be_bytes().to_vec()
}

fn of(service: &str, spans: Vec<Span>) -> ResourceSpans {
    let attribute = |key: &str, value: String| KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
        ..KeyValue::default()
    };
    let attributes =
        vec![attribute("service.name", service.into()), attribute("service.instance.id", format!("{service}-0"))];
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}
