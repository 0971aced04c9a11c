//! OTLP/gRPC: `TraceService.Export` on tonic's gRPC, with a codec that leaves the message as it arrived.
//!
//! Source: OTLP specification 1.x, "OTLP/gRPC".

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::{Buf, Bytes};
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};

use super::decode::{Encoding, Rejected};
use super::intake::Intake;
use super::refusal::Refusal;

/// The one method that is served.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Answers one call.
pub(super) async fn answer(intake: Arc<Intake>, request: Request<Incoming>) -> Response<tonic::body::Body> {
    let content_type = request.headers().get(CONTENT_TYPE);
    if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        // As gRPC over HTTP/2 asks: a client of another protocol would not look for a gRPC status.
        let mut response = Response::new(tonic::body::Body::default());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    match call(&intake, request).await {
        Ok(response) => response,
        Err(refusal) => {
            intake.counters.refuse(&refusal);
            Status::from(&refusal).into_http()
        }
    }
}

async fn call(intake: &Arc<Intake>, request: Request<Incoming>) -> Result<Response<tonic::body::Body>, Refusal> {
    intake.authorise(request.headers())?;
    if request.uri().path() != EXPORT {
        let what = request.uri().path().trim_start_matches('/').to_owned();
        return Err(Refusal::Unserved { what, traces: EXPORT });
    }
    // tonic knows statuses only; what lies behind one is kept here.
    let refused = Arc::new(OnceLock::new());
    let charge = intake.charge();
    let request = request.map(|body| {
        let refused = refused.clone();
        intake.meter(body, &charge).map_err(move |refusal| refuse(&refused, refusal))
    });
    let mut grpc = Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(intake.decompressed_bytes_max);
    let unary = grpc.unary(Export { intake: intake.clone(), refused: refused.clone() }, request);
    let timeout = intake.request_timeout;
    let response = tokio::time::timeout(timeout, unary).await.map_err(|_| Refusal::TooSlow { timeout })?;
    if let Some(refusal) = Arc::into_inner(refused).and_then(OnceLock::into_inner) {
        return Err(refusal);
    }
    match Status::from_header_map(response.headers()) {
        None => Ok(response),
        Some(status) => match status.code() {
            Code::Ok => Ok(response),
            // Names the encodings that are supported, as gRPC asks.
            Code::Unimplemented => Ok(response),
            // OTLP wants RESOURCE_EXHAUSTED where tonic says OUT_OF_RANGE.
            Code::OutOfRange | Code::ResourceExhausted => {
                Err(Refusal::TooLargeDecompressed { limit_bytes: intake.decompressed_bytes_max })
            }
            _ => Err(Refusal::Broken(status.message().to_owned())),
        },
    }
}

/// Keeps the refusal and gives tonic a status in its place.
fn refuse(refused: &OnceLock<Refusal>, refusal: Refusal) -> Status {
    let status = Status::from(&refusal);
    // Of one request the first refusal is its cause.
    let _ = refused.set(refusal);
    status
}

/// The method, for tonic.
struct Export {
    intake: Arc<Intake>,
    refused: Arc<OnceLock<Refusal>>,
}

impl UnaryService<Bytes> for Export {
    type Response = ExportTraceServiceResponse;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Self::Response>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (intake, refused) = (self.intake.clone(), self.refused.clone());
        Box::pin(async move {
            match intake.take(Encoding::Protobuf, request.into_inner()).await {
                Ok(rejected) => Ok(tonic::Response::new(response(&rejected))),
                Err(refusal) => Err(refuse(&refused, refusal)),
            }
        })
    }
}

/// The answer to an accepted request; `partial_success` is there only when something was rejected.
pub(super) fn response(rejected: &Rejected) -> ExportTraceServiceResponse {
    let partial_success = (!rejected.is_empty()).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(rejected.count()).unwrap_or(i64::MAX),
        error_message: rejected.to_string(),
    });
    ExportTraceServiceResponse { partial_success }
}

/// Hands over the bytes of a message without decoding them; encodes the answer.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = ExportTraceServiceResponse;
    type Decode = Bytes;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> RawCodec {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = ExportTraceServiceResponse;
    type Error = Status;

    fn encode(&mut self, response: ExportTraceServiceResponse, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        response.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
