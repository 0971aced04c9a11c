//! Receivers on loopback, with the clients of others: tonic's for gRPC, reqwest's for HTTP.
//!
//! - [`grpc`], [`http`]: what each protocol answers to good and bad requests
//! - [`access`]: TLS, client certificates, tokens, and refusing to be open to everyone
//! - [`connections`]: silence, slowness, floods
//! - [`flow`]: hand-over to the core, overload, the tap, drain

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headroom::model::Time;
use headroom::receive::queue::{Limits, Outlet};
use headroom::receive::{Config, Receivers, queue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::task::JoinHandle;

mod access;
mod connections;
mod flow;
pub(crate) mod grpc;
mod http;

/// What the receivers' clock says in these tests: 2026-01-01.
const NOW: Time = Time(1_767_225_600_000_000_000);

/// Far longer than anything here takes; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(30);

fn config() -> Config {
    let any_port: SocketAddr = ([127, 0, 0, 1], 0).into();
    Config { grpc: Some(any_port), http: Some(any_port), ..Config::default() }
}

async fn start(config: Config, limits: Limits) -> (Receivers, Outlet) {
    let (inlet, outlet) = queue(limits);
    let receivers = Receivers::start(config, inlet, Arc::new(|| NOW.into()), None).await.unwrap();
    (receivers, outlet)
}

/// A core that takes everything and hands back the operations it saw once the receivers are gone.
fn core(mut outlet: Outlet) -> JoinHandle<Vec<String>> {
    tokio::spawn(async move {
        let mut operations = Vec::new();
        while let Some(received) = outlet.next().await {
            assert_eq!(received.received_at, NOW);
            operations.extend(received.batch.iter().map(|row| row.operation.to_owned()));
            received.ack.taken();
        }
        operations
    })
}

async fn operations(receivers: Receivers, core: JoinHandle<Vec<String>>) -> Vec<String> {
    assert!(receivers.shutdown(DEADLINE).await, "drained");
    tokio::time::timeout(DEADLINE, core).await.unwrap().unwrap()
}

fn span(operation: &str) -> Span {
    let start = NOW.0 as u64 - 1_000_000_000;
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: operation.to_owned(),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 1_000,
        ..Span::default()
    }
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let name = AnyValue { value: Some(Value::StringValue("shop".to_owned())) };
    let attributes = vec![KeyValue { key: "service.name".to_owned(), value: Some(name), key_strindex: 0 }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, schema_url: String::new() }],
    }
}

/// A good span, one that ends before it starts, one from next year and one without an id.
fn mixed_request() -> ExportTraceServiceRequest {
    let backwards = Span { end_time_unix_nano: 1, ..span("backwards") };
    let next_year = NOW.0 as u64 + 365 * 86_400 * 1_000_000_000;
    let early = Span { start_time_unix_nano: next_year, end_time_unix_nano: next_year, ..span("early") };
    let nameless = Span { trace_id: vec![0; 16], ..span("nameless") };
    request(vec![span("good"), backwards, early, nameless])
}

const MIXED_MESSAGE: &str = "rejected 3 spans: \
    1 x trace_id is all zeros or not 16 bytes long \
    (first: \"nameless\" of \"shop\", trace \"00000000000000000000000000000000\"); \
    1 x the span ends before it starts (first: \"backwards\" of \"shop\", trace \"01010101010101010101010101010101\"); \
    1 x the span starts too far in the future; check the sender's clock \
    (first: \"early\" of \"shop\", trace \"01010101010101010101010101010101\")";

/// Larger than the limit given here, and quick to send.
const SMALL_LIMIT: usize = 64 << 10;

fn large_request() -> ExportTraceServiceRequest {
    request((0..2_000).map(|n| span(&format!("operation {n}"))).collect())
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A request that is valid, small as sent and far past `bytes` once decompressed.
fn bomb(bytes: usize) -> Vec<u8> {
    gzip(&request(vec![span(&"x".repeat(2 * bytes))]).encode_to_vec())
}

/// `google.rpc.Status`, `google.rpc.RetryInfo` and what they are made of, as a client sees them.
mod rpc {
    use super::Message;

    #[derive(Clone, PartialEq, Message)]
    pub struct Status {
        #[prost(int32, tag = "1")]
        pub code: i32,
        #[prost(string, tag = "2")]
        pub message: String,
        #[prost(message, repeated, tag = "3")]
        pub details: Vec<Any>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Any {
        #[prost(string, tag = "1")]
        pub type_url: String,
        #[prost(bytes = "vec", tag = "2")]
        pub value: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        pub retry_delay: Option<Duration>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Duration {
        #[prost(int64, tag = "1")]
        pub seconds: i64,
        #[prost(int32, tag = "2")]
        pub nanos: i32,
    }

    impl Status {
        /// The retry delay in nanoseconds.
        pub fn retry_delay(&self) -> Option<i64> {
            let info = self.details.iter().find(|any| any.type_url == "type.googleapis.com/google.rpc.RetryInfo")?;
            let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
            Some(delay.seconds * 1_000_000_000 + i64::from(delay.nanos))
        }
    }
}
