//! OTLP/gRPC with tonic's client.

use bytes::{Buf, BufMut};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::*;

async fn client(receivers: &Receivers) -> TraceServiceClient<Channel> {
    TraceServiceClient::connect(format!("http://{}", receivers.grpc().unwrap())).await.unwrap()
}

#[tokio::test]
async fn every_compression_arrives() {
    let (receivers, outlet) = start(config(), Limits::default()).await;
    let core = core(outlet);
    let mut plain = client(&receivers).await;
    let mut gzip = client(&receivers).await.send_compressed(CompressionEncoding::Gzip);
    let mut zstd = client(&receivers).await.send_compressed(CompressionEncoding::Zstd);
    for (client, name) in [(&mut plain, "plain"), (&mut gzip, "gzip"), (&mut zstd, "zstd")] {
        let response = client.export(request(vec![span(name)])).await.unwrap().into_inner();
        assert_eq!(response.partial_success, None, "{name}");
    }
    plain.export(ExportTraceServiceRequest::default()).await.expect("an empty request is a good one");
    let counters = receivers.counters();
    assert_eq!((counters.accepted_spans(), counters.accepted_requests()), (3, 4));
    drop((plain, gzip, zstd));
    assert_eq!(operations(receivers, core).await, ["plain", "gzip", "zstd"]);
}

#[tokio::test]
async fn what_is_rejected_is_named() {
    let (receivers, outlet) = start(config(), Limits::default()).await;
    let core = core(outlet);
    let response = client(&receivers).await.export(mixed_request()).await.unwrap().into_inner();
    let partial = response.partial_success.unwrap();
    assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (3, MIXED_MESSAGE));
    let rejected: Vec<_> = receivers.counters().rejected_spans().filter(|(_, count)| *count > 0).collect();
    assert_eq!(rejected, [("trace_id", 1), ("end_before_start", 1), ("far_future", 1)]);
    assert_eq!(operations(receivers, core).await, ["good"]);
}

#[tokio::test]
async fn too_large_is_resource_exhausted() {
    let limited = Config { body_bytes_max: SMALL_LIMIT, decompressed_bytes_max: 1 << 20, ..config() };
    let (receivers, outlet) = start(limited, Limits::default()).await;
    let core = core(outlet);
    // As sent.
    let refused = client(&receivers).await.export(large_request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("larger than 65536 bytes"), "{refused}");
    // Decompressed.
    let mut gzip = client(&receivers).await.send_compressed(CompressionEncoding::Gzip);
    let bomb = request(vec![span(&"x".repeat(4 << 20))]);
    let refused = gzip.export(bomb).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("once decompressed"), "{refused}");
    // The connection serves on.
    gzip.export(request(vec![span("after")])).await.unwrap();
    let refused: Vec<_> = receivers.counters().refused_requests().filter(|(_, count)| *count > 0).collect();
    assert_eq!(refused, [("too_large", 2)]);
    drop(gzip);
    assert_eq!(operations(receivers, core).await, ["after"]);
}

#[tokio::test]
async fn undecodable_is_invalid_argument() {
    let (receivers, _outlet) = start(config(), Limits::default()).await;
    let mut message = request(vec![span("cut off")]).encode_to_vec();
    message.truncate(message.len() - 3);
    let (code, text) = call(&receivers, "opentelemetry.proto.collector.trace.v1.TraceService/Export", message).await;
    assert_eq!(code, Code::InvalidArgument);
    assert_eq!(text, "not an OTLP trace request in protobuf: the message ends in the middle of a field");
}

#[tokio::test]
async fn other_signals_are_unimplemented() {
    let (receivers, _outlet) = start(config(), Limits::default()).await;
    for signal in ["metrics.v1.MetricsService", "logs.v1.LogsService"] {
        let path = format!("opentelemetry.proto.collector.{signal}/Export");
        let (code, text) = call(&receivers, &path, Vec::new()).await;
        assert_eq!(code, Code::Unimplemented);
        assert!(text.contains("traces only"), "{text}");
    }
}

async fn call(receivers: &Receivers, path: &str, message: Vec<u8>) -> (Code, String) {
    call_at(&receivers.grpc().unwrap().to_string(), path, message).await
}

/// One call with a message of the caller's making; the status it ends with.
pub(crate) async fn call_at(address: &str, path: &str, message: Vec<u8>) -> (Code, String) {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = ::http::uri::PathAndQuery::try_from(format!("/{path}")).unwrap();
    let status = grpc.unary(Request::new(message), path, Raw).await.unwrap_err();
    (status.code(), status.message().to_owned())
}

/// Sends and receives bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        message.advance(message.remaining());
        Ok(Some(()))
    }
}

#[tokio::test]
async fn overloaded_is_unavailable_with_retry_info() {
    // A core that takes nothing, and room for one request.
    let hurried = Config { retry_after: Duration::from_millis(1500), ..config() };
    let (receivers, mut outlet) = start(hurried, Limits { spans_max: 1, ..Limits::default() }).await;
    let (mut first, mut second) = (client(&receivers).await, client(&receivers).await);
    let waits = tokio::spawn(async move { first.export(Request::new(request(vec![span("first")]))).await });
    let received = tokio::time::timeout(DEADLINE, outlet.next()).await.unwrap().unwrap();
    let refused = second.export(request(vec![span("second")])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    let status = rpc::Status::decode(refused.details()).unwrap();
    assert_eq!((status.code, status.retry_delay()), (14, Some(1_500_000_000)));
    // The first is answered only now that the core has it.
    assert!(!waits.is_finished());
    received.ack.taken();
    waits.await.unwrap().unwrap();
    assert_eq!(receivers.counters().accepted_spans(), 1);
}
