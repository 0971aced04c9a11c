//! ExportTraceServiceRequest, as protobuf or JSON, to a batch of the `spans` table.
//!
//! Both readers hand borrowed spans to the same [`rows`], which checks them and fills the columns; what a request
//! means is therefore decided once.

use std::str::FromStr;

use crate::model::{SpanBatch, Time};

pub mod attributes;
mod foreign;
mod json;
mod loose;
mod meter;
mod protobuf;
mod rejected;
pub mod resource;
mod rows;
mod tracestate;
mod wire;

#[cfg(test)]
mod differential;
#[cfg(any(test, fuzzing))]
pub mod reference;

pub use foreign::Format;
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
    /// Times in milliseconds or microseconds are taken as such: in files that are read as a whole. Where spans are
    /// analysed as they come, their sender is named instead.
    pub rescale: bool,
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
    pub mended: Mended,
}

/// How much is not what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Texts that became `_other` because a column had too many different ones.
    pub overflowed: u64,
    /// Texts that were longer than a column's may be, and end with `…`.
    pub cut: u64,
    /// Texts that were not UTF-8, and became U+FFFD.
    pub broken: u64,
    /// Attributes, events, links and fields that cannot be read, and were left out of spans that can.
    pub left_out: u64,
    /// Spans whose times were in milliseconds or microseconds, and were multiplied to nanoseconds.
    pub rescaled: u64,
    /// Spans of services that nobody named: their SDK has no `service.name`.
    pub unnamed: u64,
}

impl Mended {
    pub fn add(&mut self, other: Mended) {
        let Mended { overflowed, cut, broken, left_out, rescaled, unnamed } = other;
        self.overflowed += overflowed;
        self.cut += cut;
        self.broken += broken;
        self.left_out += left_out;
        self.rescaled += rescaled;
        self.unnamed += unnamed;
    }
}

/// The bytes are not an ExportTraceServiceRequest.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("not an OTLP trace request in protobuf: {0}")]
    Protobuf(#[from] WireError),
    #[error("not an OTLP trace request in JSON: {0}")]
    Json(String),
    #[error("{format} and not OTLP: {}", format.remedy())]
    Foreign { format: Format },
    #[error("the request has more than {limit} spans: make the exporter's batches smaller")]
    TooManySpans { limit: usize },
    #[error(
        "the request takes more than {limit_bytes} bytes of memory when it is read: make the exporter's batches smaller"
    )]
    TooMuchMemory { limit_bytes: usize },
}

/// Decodes one request. What cannot be read inside a part whose end is known is left out and counted: an attribute of its
/// span, a span of its request. Nothing is kept of a request whose parts cannot be told apart.
pub fn decode(encoding: Encoding, request: &[u8], options: &Options) -> Result<Decoded, DecodeError> {
    metered(options, || match encoding {
        Encoding::Protobuf => protobuf::decode(request, options),
        Encoding::Json => json::decode(request, options),
    })
}

/// Decodes a document that [`decode`] has found to be of another [`Format`].
pub fn decode_foreign(document: &[u8], options: &Options) -> Result<Decoded, DecodeError> {
    metered(options, || foreign::decode(document, options))
}

fn metered(options: &Options, decode: impl FnOnce() -> Result<Decoded, DecodeError>) -> Result<Decoded, DecodeError> {
    let memory_bytes = options.limits.map_or(usize::MAX, |limits| limits.memory_bytes);
    let (decoded, repairs, is_spent) = meter::metered(memory_bytes, decode);
    if is_spent {
        // Whatever else was found wrong comes of that.
        return Err(DecodeError::TooMuchMemory { limit_bytes: memory_bytes });
    }
    let decoded = decoded?;
    let mended = Mended { broken: repairs.broken, left_out: repairs.left_out, ..decoded.mended };
    Ok(Decoded { mended, ..decoded })
}
