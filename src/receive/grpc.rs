//! OTLP/gRPC: the one unary call `TraceService.Export`. Its frame is read here, so that a message is decompressed within
//! the limits of all requests together, and is the only one of its call.
//!
//! Source: OTLP specification 1.x, "OTLP/gRPC"; gRPC over HTTP/2, "Requests", "Responses".

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use tonic::Status;

use super::body::Compression;
use super::decode::{Encoding, Rejected};
use super::intake::Intake;
use super::refusal::Refusal;
use crate::net::{Receipt, caught};

/// The one method that is served.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip,zstd,deflate");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// A flag and a length stand before each message.
const PREFIX_BYTES: usize = 5;

/// Answers one call.
pub(super) async fn answer(intake: Arc<Intake>, request: Request<Incoming>) -> Response<tonic::body::Body> {
    let content_type = request.headers().get(CONTENT_TYPE);
    if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        // As gRPC over HTTP/2 asks: a client of another protocol would not look for a gRPC status.
        let mut response = Response::new(tonic::body::Body::default());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    match caught(call(&intake, request)).await.unwrap_or(Err(Refusal::Failed)) {
        Ok(rejected) => accepted(&rejected),
        Err(refusal) => {
            intake.counters.refuse(&refusal);
            let mut response = Status::from(&refusal).into_http();
            if matches!(refusal, Refusal::GrpcEncoding(_)) {
                response.headers_mut().insert(ACCEPT_ENCODING, ENCODINGS);
            }
            response
        }
    }
}

async fn call(intake: &Intake, request: Request<Incoming>) -> Result<Rejected, Refusal> {
    intake.authorise(request.headers())?;
    if request.uri().path() != EXPORT {
        let what = request.uri().path().trim_start_matches('/').to_owned();
        return Err(Refusal::Unserved { what, traces: EXPORT });
    }
    let (parts, body) = request.into_parts();
    let encoding = parts.headers.get(ENCODING).map_or("", |value| value.to_str().unwrap_or("?"));
    let compression = Compression::from_grpc(encoding).ok_or_else(|| Refusal::GrpcEncoding(encoding.to_owned()))?;
    let charge = intake.charge();
    let timeout = intake.request_timeout;
    let exporting = async {
        let body = intake.meter(body, &charge)?.collect().await?.to_bytes();
        if let Some(receipt) = parts.extensions.get::<Receipt>() {
            receipt.received();
        }
        let (is_compressed, message) = only_message(body)?;
        let compression = if is_compressed { compression } else { Compression::Identity };
        let message = intake.decompress(compression, message, &charge)?;
        intake.take(Encoding::Protobuf, message).await
    };
    tokio::time::timeout(timeout, exporting).await.map_err(|_| Refusal::TooSlow { timeout })?
}

/// The message of a unary call, and whether it is compressed.
fn only_message(body: Bytes) -> Result<(bool, Bytes), Refusal> {
    let broken = |cause: &str| Err(Refusal::Broken(cause.to_owned()));
    let Some(&[flag, ref length @ ..]) = body.first_chunk::<PREFIX_BYTES>() else {
        return broken("the call ends before its message");
    };
    let end = PREFIX_BYTES.saturating_add(u32::from_be_bytes(*length) as usize);
    if flag > 1 {
        return broken("the message's flag is neither 0 nor 1");
    }
    if body.len() < end {
        return broken("the call ends in the middle of its message");
    }
    if body.len() > end {
        return broken("a unary call has one message, and more came");
    }
    Ok((flag == 1, body.slice(PREFIX_BYTES..)))
}

fn accepted(rejected: &Rejected) -> Response<tonic::body::Body> {
    let message = response(rejected);
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(0)); // a sentence long
    // A BytesMut grows as it must.
    let _ = message.encode(&mut framed);
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    let frames = [Frame::data(framed.freeze()), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
    let mut response = Response::new(tonic::body::Body::new(StreamBody::new(futures::stream::iter(frames))));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// The answer to an accepted request; `partial_success` is there only when something was rejected.
pub(super) fn response(rejected: &Rejected) -> ExportTraceServiceResponse {
    let partial_success = (!rejected.is_empty()).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(rejected.count()).unwrap_or(i64::MAX),
        error_message: rejected.to_string(),
    });
    ExportTraceServiceResponse { partial_success }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(flag: u8, length: u32, message: &[u8]) -> Bytes {
        let mut body = vec![flag];
        body.extend(length.to_be_bytes());
        body.extend(message);
        body.into()
    }

    #[test]
    fn a_unary_call_has_exactly_one_whole_message() {
        assert_eq!(only_message(framed(0, 3, b"abc")).unwrap(), (false, Bytes::from_static(b"abc")));
        assert_eq!(only_message(framed(1, 0, b"")).unwrap(), (true, Bytes::new()));
        let two = [framed(0, 1, b"a"), framed(0, 1, b"b")].concat();
        for broken in [Bytes::new(), framed(0, 3, b"ab"), framed(0, u32::MAX, b"ab"), framed(2, 1, b"a"), two.into()] {
            assert!(matches!(only_message(broken.clone()), Err(Refusal::Broken(_))), "{broken:?}");
        }
    }
}
