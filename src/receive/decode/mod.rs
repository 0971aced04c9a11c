//! ExportTraceServiceRequest, as protobuf or JSON, to a batch of the `spans` table.
//!
//! Both readers hand borrowed spans to the same [`rows`], which checks them and fills the columns; what a request
//! means is therefore decided once.

use std::str::FromStr;

use crate::model::{SpanBatch, Time};

pub mod attributes;
mod json;
mod meter;
mod protobuf;
mod rejected;
mod rows;
mod tracestate;
mod wire;

#[cfg(test)]
mod differential;
#[cfg(any(test, fuzzing))]
pub mod reference;

pub use rejected::{Reason, Rejected};
pub use wire::WireError;

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    pub const fn content_type(self) -> &'static str {
        match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }
}

impl FromStr for Encoding {
    type Err = ();

    /// From a content type; its parameters (`; charset=utf-8`) do not matter.
    fn from_str(content_type: &str) -> Result<Encoding, ()> {
        let essence = content_type.split(';').next().unwrap_or("").trim();
        [Encoding::Protobuf, Encoding::Json]
            .into_iter()
            .find(|encoding| essence.eq_ignore_ascii_case(encoding.content_type()))
            .ok_or(())
    }
}

/// What decoding depends on beside the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How many spans one span without a sampling threshold stands for, when the operator knows (1.0: nothing is
    /// sampled); None leaves it unknown.
    pub assume_weight: Option<f64>,
    /// Spans that start later are rejected; None when there is no clock to hold against them, as in files.
    pub start_max: Option<Time>,
    /// What one request may be, where others send it; None where it is one's own file.
    pub limits: Option<Limits>,
}

/// What one request may be once it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes taken while it is decoded, beside its own.
    pub memory_bytes: usize,
    /// Spans, those that are rejected included.
    pub spans: usize,
}

/// A decoded request: the spans that can be used, and an account of those that cannot.
#[derive(Debug)]
pub struct Decoded {
    pub batch: SpanBatch,
    pub rejected: Rejected,
    pub texts: MendedTexts,
}

/// Texts that are not what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MendedTexts {
    /// Became `_other` because a column had too many different ones.
    pub overflowed: u64,
    /// Were longer than a column's texts may be, and end with `…`.
    pub cut: u64,
    /// Were not UTF-8, and became U+FFFD.
    pub broken: u64,
}

/// The bytes are not an ExportTraceServiceRequest.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("not an OTLP trace request in protobuf: {0}")]
    Protobuf(#[from] WireError),
    #[error("not an OTLP trace request in JSON: {0}")]
    Json(String),
    #[error("the request has more than {limit} spans: make the exporter's batches smaller")]
    TooManySpans { limit: usize },
    #[error(
        "the request takes more than {limit_bytes} bytes of memory when it is read: make the exporter's batches smaller"
    )]
    TooMuchMemory { limit_bytes: usize },
}

/// Decodes one request. Nothing is kept of one that is damaged anywhere.
pub fn decode(encoding: Encoding, request: &[u8], options: &Options) -> Result<Decoded, DecodeError> {
    let memory_bytes = options.limits.map_or(usize::MAX, |limits| limits.memory_bytes);
    let (decoded, broken, is_spent) = meter::metered(memory_bytes, || match encoding {
        Encoding::Protobuf => protobuf::decode(request, options),
        Encoding::Json => json::decode(request, options),
    });
    if is_spent {
        // Whatever else was found wrong comes of that.
        return Err(DecodeError::TooMuchMemory { limit_bytes: memory_bytes });
    }
    let decoded = decoded?;
    Ok(Decoded { texts: MendedTexts { broken, ..decoded.texts }, ..decoded })
}
