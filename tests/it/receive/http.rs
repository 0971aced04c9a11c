//! OTLP/HTTP with reqwest.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use reqwest::{Client, Response, StatusCode};
use serde_json::json;

use super::*;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn url(receivers: &Receivers) -> String {
    format!("http://{}/v1/traces", receivers.http().unwrap())
}

async fn post(receivers: &Receivers, content_type: &str, encoding: Option<&str>, body: Vec<u8>) -> Response {
    let mut post = Client::new().post(url(receivers)).header("content-type", content_type).body(body);
    if let Some(encoding) = encoding {
        post = post.header("content-encoding", encoding);
    }
    post.send().await.unwrap()
}

/// The status and message of a refusal, whose body must be a google.rpc.Status in the given content type.
async fn refusal(response: Response, content_type: &str) -> (StatusCode, rpc::Status) {
    let http_status = response.status();
    assert_eq!(response.headers()["content-type"], content_type);
    let body = response.bytes().await.unwrap();
    let status = if content_type == PROTOBUF {
        rpc::Status::decode(body).unwrap()
    } else {
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let message = json["message"].as_str().unwrap().to_owned();
        rpc::Status { code: json["code"].as_i64().unwrap() as i32, message, details: Vec::new() }
    };
    assert!(!status.message.is_empty());
    (http_status, status)
}

#[tokio::test]
async fn every_encoding_and_compression_arrives_and_is_answered_in_kind() {
    let (receivers, outlet) = start(config(), Limits::default()).await;
    let core = core(outlet);
    let mut expected = Vec::new();
    for content_type in [PROTOBUF, JSON, "application/json; charset=utf-8"] {
        for encoding in [None, Some("gzip"), Some("zstd"), Some("deflate")] {
            let name = format!("{content_type} {encoding:?}");
            let request = request(vec![span(&name)]);
            let plain =
                if content_type == PROTOBUF { request.encode_to_vec() } else { serde_json::to_vec(&request).unwrap() };
            let body = match encoding {
                Some("gzip") => gzip(&plain),
                Some("zstd") => zstd::encode_all(plain.as_slice(), 1).unwrap(),
                Some(_) => {
                    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                    encoder.write_all(&plain).unwrap();
                    encoder.finish().unwrap()
                }
                None => plain,
            };
            let response = post(&receivers, content_type, encoding, body).await;
            assert_eq!(response.status(), StatusCode::OK, "{name}");
            assert!(content_type.starts_with(response.headers()["content-type"].to_str().unwrap()));
            let body = response.bytes().await.unwrap();
            if content_type == PROTOBUF {
                assert_eq!(ExportTraceServiceResponse::decode(body).unwrap(), ExportTraceServiceResponse::default());
            } else {
                assert_eq!(body, "{}");
            }
            expected.push(name);
        }
    }
    assert_eq!(operations(receivers, core).await, expected);
}

#[tokio::test]
async fn what_is_rejected_is_named() {
    let (receivers, outlet) = start(config(), Limits::default()).await;
    let core = core(outlet);
    let response = post(&receivers, PROTOBUF, None, mixed_request().encode_to_vec()).await;
    let answer = ExportTraceServiceResponse::decode(response.bytes().await.unwrap()).unwrap();
    let partial = answer.partial_success.unwrap();
    assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (3, MIXED_MESSAGE));
    let response = post(&receivers, JSON, None, serde_json::to_vec(&mixed_request()).unwrap()).await;
    assert_eq!(
        response.json::<serde_json::Value>().await.unwrap(),
        json!({ "partialSuccess": { "rejectedSpans": "3", "errorMessage": MIXED_MESSAGE } })
    );
    assert_eq!(operations(receivers, core).await, ["good", "good"]);
}

#[tokio::test]
async fn too_large_is_413() {
    let limited = Config { body_bytes_max: SMALL_LIMIT, decompressed_bytes_max: 2 * SMALL_LIMIT, ..config() };
    let (receivers, _outlet) = start(limited, Limits::default()).await;
    let response = post(&receivers, PROTOBUF, None, large_request().encode_to_vec()).await;
    let (http_status, status) = refusal(response, PROTOBUF).await;
    assert_eq!((http_status, status.code), (StatusCode::PAYLOAD_TOO_LARGE, 8));
    let response = post(&receivers, PROTOBUF, Some("gzip"), bomb(1 << 20)).await;
    let (http_status, status) = refusal(response, PROTOBUF).await;
    assert_eq!((http_status, status.code), (StatusCode::PAYLOAD_TOO_LARGE, 8));
    assert!(status.message.contains("131072 bytes once decompressed"), "{}", status.message);
}

#[tokio::test]
async fn undecodable_is_400() {
    let (receivers, _outlet) = start(config(), Limits::default()).await;
    let mut cut_off = request(vec![span("x")]).encode_to_vec();
    cut_off.truncate(cut_off.len() - 3);
    let cases = [
        (PROTOBUF, None, cut_off, "not an OTLP trace request in protobuf: the message ends in the middle of a field"),
        (JSON, None, b"{\"resourceSpans\":[".to_vec(), "not an OTLP trace request in JSON: EOF while parsing a list"),
        (PROTOBUF, Some("gzip"), b"not gzip".to_vec(), "the body cannot be decompressed as gzip"),
    ];
    for (content_type, encoding, body, message) in cases {
        let (http_status, status) = refusal(post(&receivers, content_type, encoding, body).await, content_type).await;
        assert_eq!((http_status, status.code), (StatusCode::BAD_REQUEST, 3));
        assert!(status.message.starts_with(message), "{}", status.message);
    }
}

#[tokio::test]
async fn what_is_not_served_says_what_is() {
    let (receivers, _outlet) = start(config(), Limits::default()).await;
    let (http_status, status) = refusal(post(&receivers, "text/plain", None, vec![1]).await, JSON).await;
    assert_eq!(http_status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(status.message.contains("application/x-protobuf"), "{}", status.message);
    let response = post(&receivers, PROTOBUF, Some("br"), vec![1]).await;
    assert_eq!(response.headers()["accept-encoding"], "gzip, zstd, deflate");
    assert_eq!(refusal(response, PROTOBUF).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let metrics = url(&receivers).replace("traces", "metrics");
    let response = Client::new().post(metrics).header("content-type", PROTOBUF).body(vec![1]).send().await.unwrap();
    let (http_status, status) = refusal(response, PROTOBUF).await;
    assert_eq!(http_status, StatusCode::NOT_FOUND);
    assert!(status.message.contains("traces only"), "{}", status.message);
    let response = Client::new().get(url(&receivers)).send().await.unwrap();
    assert_eq!(response.headers()["allow"], "POST");
    assert_eq!(refusal(response, JSON).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn overloaded_is_503_with_retry_after() {
    let hurried = Config { retry_after: Duration::from_millis(1500), ..config() };
    let (receivers, mut outlet) = start(hurried, Limits { spans_max: 1, ..Limits::default() }).await;
    let body = request(vec![span("first")]).encode_to_vec();
    let waits = tokio::spawn({
        let post = Client::new().post(url(&receivers)).header("content-type", PROTOBUF).body(body.clone());
        async move { post.send().await.unwrap().status() }
    });
    let received = tokio::time::timeout(DEADLINE, outlet.next()).await.unwrap().unwrap();
    let response = post(&receivers, PROTOBUF, None, body).await;
    assert_eq!(response.headers()["retry-after"], "2", "whole seconds, rounded up");
    let (http_status, status) = refusal(response, PROTOBUF).await;
    assert_eq!((http_status, status.code), (StatusCode::SERVICE_UNAVAILABLE, 14));
    assert_eq!(status.retry_delay(), Some(1_500_000_000));
    assert!(!waits.is_finished());
    received.ack.taken();
    assert_eq!(waits.await.unwrap(), StatusCode::OK);
}
