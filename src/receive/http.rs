//! OTLP/HTTP: `POST /v1/traces`, protobuf or JSON, answered in the request's own content type.
//!
//! Source: OTLP specification 1.x, "OTLP/HTTP".

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use prost::Message;
use serde_json::json;

use super::body::Compression;
use super::decode::{Encoding, Rejected};
use super::grpc::response;
use super::intake::Intake;
use super::refusal::Refusal;
use crate::net::{Receipt, caught};

const TRACES: &str = "/v1/traces";

/// Answers one request.
pub(super) async fn answer(intake: Arc<Intake>, request: Request<Incoming>) -> Response<tonic::body::Body> {
    let content_type = header(request.headers(), CONTENT_TYPE).parse::<Encoding>().ok();
    let (parts, mut body) = request.into_parts();
    let taken = caught(take(&intake, &parts, &mut body, content_type)).await;
    match taken.unwrap_or(Err(Refusal::Failed)) {
        Ok((encoding, rejected)) => accepted(encoding, &rejected),
        Err(refusal) => {
            intake.counters.refuse(&refusal);
            // A sender that asked first (`expect: 100-continue`) is not sending yet, and reading would invite it to.
            if !parts.headers.contains_key(EXPECT) {
                discard(&mut body, intake.body_bytes_max).await;
            }
            // Whoever sends neither content type is most likely a person with curl.
            refused(content_type.unwrap_or(Encoding::Json), &refusal)
        }
    }
}

async fn take(
    intake: &Intake,
    parts: &http::request::Parts,
    body: &mut Incoming,
    content_type: Option<Encoding>,
) -> Result<(Encoding, Rejected), Refusal> {
    intake.authorise(&parts.headers)?;
    if parts.uri.path() != TRACES {
        return Err(Refusal::Unserved { what: parts.uri.path().to_owned(), traces: TRACES });
    }
    if parts.method != Method::POST {
        return Err(Refusal::Method(parts.method.to_string()));
    }
    let encoding = content_type.ok_or_else(|| Refusal::ContentType(header(&parts.headers, CONTENT_TYPE).to_owned()))?;
    let compression = Compression::from_header(header(&parts.headers, CONTENT_ENCODING))?;
    let charge = intake.charge();
    let reading = intake.meter(body, &charge)?.collect();
    let body = match tokio::time::timeout(intake.request_timeout, reading).await {
        Ok(body) => body?.to_bytes(),
        Err(_) => return Err(Refusal::TooSlow { timeout: intake.request_timeout }),
    };
    if let Some(receipt) = parts.extensions.get::<Receipt>() {
        receipt.received();
    }
    let request = intake.decompress(compression, body, &charge)?;
    Ok((encoding, intake.take(encoding, request).await?))
}

fn header(headers: &HeaderMap, name: http::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// Reads on for a while: a sender in the middle of its body would see its connection reset rather than the answer.
async fn discard(body: &mut Incoming, bytes_max: usize) {
    let mut left = bytes_max;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // A sender that stalls has had its chance.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
}

/// Enough for any sender that is still sending.
const DISCARD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

fn accepted(encoding: Encoding, rejected: &Rejected) -> Response<tonic::body::Body> {
    let response = response(rejected);
    let body = match encoding {
        Encoding::Protobuf => response.encode_to_vec(),
        Encoding::Json => match response.partial_success {
            None => b"{}".to_vec(),
            Some(partial) => json!({ "partialSuccess": {
                "rejectedSpans": partial.rejected_spans.to_string(),
                "errorMessage": partial.error_message,
            }})
            .to_string()
            .into_bytes(),
        },
    };
    with_body(encoding, body)
}

fn refused(encoding: Encoding, refusal: &Refusal) -> Response<tonic::body::Body> {
    let mut response = with_body(encoding, refusal.to_status(encoding));
    *response.status_mut() = refusal.http_status();
    let headers = response.headers_mut();
    match refusal {
        Refusal::Unauthenticated => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        Refusal::Method(_) => drop(headers.insert(ALLOW, HeaderValue::from_static("POST"))),
        Refusal::ContentEncoding(_) => {
            drop(headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd, deflate")));
        }
        Refusal::Overloaded { retry_after } => {
            // Whole seconds, and never zero: that would be at once.
            let seconds = retry_after.as_secs_f64().ceil().max(1.0) as u64;
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        _ => {}
    }
    response
}

fn with_body(encoding: Encoding, body: Vec<u8>) -> Response<tonic::body::Body> {
    let mut response = Response::new(tonic::body::Body::new(Full::new(Bytes::from(body))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    response
}
