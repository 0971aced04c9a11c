//! `/metrics`: the format that the asker prefers, compressed where it may be.

use std::io::Write;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::metrics::{Format, accepts_gzip};
use super::{Api, Refusal};

/// Smaller answers fit a packet or two as they are.
const COMPRESS_FROM_BYTES: usize = 2_000;

/// Written outside of the threads that answer everybody: many series take some hundredths of a second.
pub async fn metrics(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Refusal> {
    let format = Format::preferred(&all(&headers, header::ACCEPT));
    let may_compress = accepts_gzip(&all(&headers, header::ACCEPT_ENCODING));
    let writing = tokio::task::spawn_blocking(move || {
        let (snapshot, since_tick) = (api.snapshot(), api.since_tick());
        let body = api.metrics.write(format, &snapshot, since_tick);
        let is_worth_it = may_compress && body.len() >= COMPRESS_FROM_BYTES;
        if is_worth_it { compressed(&body).map(|body| (body, true)) } else { Ok((body, false)) }
    });
    let failed = |error: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error, "report it as a bug");
    let written = writing.await.map_err(|error| failed(error.to_string()))?;
    let (body, is_compressed) = written.map_err(|error| failed(error.to_string()))?;
    let kind = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept, accept-encoding")];
    let encoding = is_compressed.then_some([(header::CONTENT_ENCODING, "gzip")]);
    Ok(match encoding {
        Some(encoding) => (kind, encoding, body).into_response(),
        None => (kind, body).into_response(),
    })
}

/// A header may be sent in several lines.
fn all(headers: &HeaderMap, name: HeaderName) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

fn compressed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    // Lines repeat each other: the fastest level takes them to a twentieth, the best to a thirtieth, ten times as slowly.
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 16), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}
