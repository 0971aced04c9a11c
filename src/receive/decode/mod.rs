//! ExportTraceServiceRequest, as protobuf or JSON, to a batch of the `spans` table.
//!
//! Both readers hand borrowed spans to the same [`rows`], which checks them and fills the columns; what a request
//! means is therefore decided once.

use std::str::FromStr;

use crate::model::{SpanBatch, Time};

pub mod attributes;
mod json;
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
}

/// A decoded request: the spans that can be used, and an account of those that cannot.
#[derive(Debug)]
pub struct Decoded {
    pub batch: SpanBatch,
    pub rejected: Rejected,
    /// Texts that became `_other` because a column had too many different ones.
    pub overflowed: u64,
}

/// The bytes are not an ExportTraceServiceRequest.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("not an OTLP trace request in protobuf: {0}")]
    Protobuf(#[from] WireError),
    #[error("not an OTLP trace request in JSON: {0}")]
    Json(String),
}

/// Decodes one request. Nothing is kept of one that is damaged anywhere.
pub fn decode(encoding: Encoding, request: &[u8], options: &Options) -> Result<Decoded, DecodeError> {
    match encoding {
        Encoding::Protobuf => Ok(protobuf::decode(request, options)?),
        Encoding::Json => json::decode(request, options),
    }
}
