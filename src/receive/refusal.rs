//! How a receiver says no: one list of causes, each with its gRPC code, its HTTP status and its `google.rpc.Status`.
//!
//! Source: OTLP specification 1.x, "OTLP/gRPC Response", "OTLP/HTTP Response"; `google/rpc/status.proto`,
//! `google/rpc/error_details.proto`.

use std::time::Duration;

use http::StatusCode;
use prost::Message;
use serde_json::json;
use tonic::Code;

use super::decode::{DecodeError, Encoding};

/// Why a whole request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no valid bearer token: send `authorization: Bearer TOKEN` with the token of headroom's configuration")]
    Unauthenticated,
    #[error(
        "the request is larger than {limit_bytes} bytes: make the exporter's batches smaller or raise headroom's limit"
    )]
    TooLarge { limit_bytes: usize },
    #[error(
        "the request is larger than {limit_bytes} bytes once decompressed: make the exporter's batches smaller or raise \
         headroom's limit"
    )]
    TooLargeDecompressed { limit_bytes: usize },
    #[error("{0}")]
    TooLargeDecoded(DecodeError),
    #[error("{0}")]
    Undecodable(DecodeError),
    #[error("{0}")]
    Foreign(DecodeError),
    #[error("a web page may not send spans here: send them to a collector")]
    Page,
    #[error("the body cannot be decompressed as {encoding}: {cause}")]
    Undecompressable { encoding: &'static str, cause: String },
    #[error("the request cannot be read: {0}")]
    Broken(String),
    #[error("headroom cannot take more spans now: keep them and try again after {} ms", retry_after.as_millis())]
    Overloaded { retry_after: Duration },
    #[error("the request was not complete after {} s", timeout.as_secs())]
    TooSlow { timeout: Duration },
    #[error("the body came too slowly: {bytes} bytes in {} s, {bytes_min} are the least", over.as_secs())]
    TooSlowly { bytes: usize, bytes_min: usize, over: Duration },
    #[error("headroom failed on this request, which is not tried again: report it as a bug")]
    Failed,
    #[error("{what} is not served here: headroom takes traces only, by {traces}")]
    Unserved { what: String, traces: &'static str },
    #[error("method {0} is not served here: POST traces")]
    Method(String),
    #[error("content type {0:?} is not supported: use application/x-protobuf or application/json")]
    ContentType(String),
    #[error("content encoding {0:?} is not supported: use gzip, zstd, deflate or none")]
    ContentEncoding(String),
    #[error("message encoding {0:?} is not supported: use gzip, zstd, deflate or none")]
    GrpcEncoding(String),
}

impl Refusal {
    /// Values of the metric label `reason`, in the order they are counted.
    pub const LABELS: [&'static str; 9] = [
        "unauthenticated",
        "too_large",
        "undecodable",
        "foreign",
        "overloaded",
        "too_slow",
        "unserved",
        "unsupported",
        "failed",
    ];

    pub fn label(&self) -> &'static str {
        match self {
            Refusal::Unauthenticated | Refusal::Page => "unauthenticated",
            Refusal::TooLarge { .. } | Refusal::TooLargeDecompressed { .. } | Refusal::TooLargeDecoded(_) => {
                "too_large"
            }
            Refusal::Undecodable(_) | Refusal::Undecompressable { .. } | Refusal::Broken(_) => "undecodable",
            Refusal::Foreign(_) => "foreign",
            Refusal::Overloaded { .. } => "overloaded",
            Refusal::TooSlow { .. } | Refusal::TooSlowly { .. } => "too_slow",
            Refusal::Failed => "failed",
            Refusal::Unserved { .. } | Refusal::Method(_) => "unserved",
            Refusal::ContentType(_) | Refusal::ContentEncoding(_) | Refusal::GrpcEncoding(_) => "unsupported",
        }
    }

    pub fn code(&self) -> Code {
        match self {
            Refusal::Unauthenticated => Code::Unauthenticated,
            Refusal::Page => Code::PermissionDenied,
            Refusal::TooLarge { .. } | Refusal::TooLargeDecompressed { .. } | Refusal::TooLargeDecoded(_) => {
                Code::ResourceExhausted
            }
            Refusal::Undecodable(_)
            | Refusal::Foreign(_)
            | Refusal::Undecompressable { .. }
            | Refusal::Broken(_)
            | Refusal::ContentType(_)
            | Refusal::ContentEncoding(_) => Code::InvalidArgument,
            Refusal::Overloaded { .. } => Code::Unavailable,
            Refusal::TooSlow { .. } | Refusal::TooSlowly { .. } => Code::DeadlineExceeded,
            // As OTLP has it this is not sent again: what failed once would fail for ever.
            Refusal::Failed => Code::Internal,
            Refusal::Unserved { .. } | Refusal::Method(_) | Refusal::GrpcEncoding(_) => Code::Unimplemented,
        }
    }

    pub fn http_status(&self) -> StatusCode {
        match self {
            Refusal::Unauthenticated => StatusCode::UNAUTHORIZED,
            Refusal::Page => StatusCode::FORBIDDEN,
            Refusal::TooLarge { .. } | Refusal::TooLargeDecompressed { .. } | Refusal::TooLargeDecoded(_) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Refusal::Undecodable(_) | Refusal::Foreign(_) | Refusal::Undecompressable { .. } | Refusal::Broken(_) => {
                StatusCode::BAD_REQUEST
            }
            Refusal::Overloaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::TooSlow { .. } | Refusal::TooSlowly { .. } => StatusCode::REQUEST_TIMEOUT,
            Refusal::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Unserved { .. } => StatusCode::NOT_FOUND,
            Refusal::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::ContentType(_) | Refusal::ContentEncoding(_) | Refusal::GrpcEncoding(_) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
        }
    }

    /// When to try again, for the one refusal that passes by itself.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Refusal::Overloaded { retry_after } = self { Some(*retry_after) } else { None }
    }

    /// `google.rpc.Status`, for the body of an HTTP answer.
    pub fn to_status(&self, encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Protobuf => self.to_message().encode_to_vec(),
            Encoding::Json => {
                let mut status = json!({ "code": self.code() as i32, "message": self.to_string() });
                if let Some(delay) = self.retry_after() {
                    let delay = format!("{}.{:03}s", delay.as_secs(), delay.subsec_millis());
                    status["details"] = json!([{ "@type": RETRY_INFO, "retryDelay": delay }]);
                }
                status.to_string().into_bytes()
            }
        }
    }

    fn to_message(&self) -> StatusMessage {
        let details = self.retry_after().map(|delay| {
            // A delay is seconds: far from both limits.
            let delay = DurationMessage { seconds: delay.as_secs() as i64, nanos: delay.subsec_nanos() as i32 };
            let value = RetryInfo { retry_delay: Some(delay) }.encode_to_vec();
            Any { type_url: RETRY_INFO.to_owned(), value }
        });
        StatusMessage { code: self.code() as i32, message: self.to_string(), details: details.into_iter().collect() }
    }
}

impl From<&Refusal> for tonic::Status {
    fn from(refusal: &Refusal) -> tonic::Status {
        let details = match refusal.retry_after() {
            Some(_) => refusal.to_message().encode_to_vec(),
            None => Vec::new(),
        };
        tonic::Status::with_details(refusal.code(), refusal.to_string(), details.into())
    }
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Message)]
struct StatusMessage {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<DurationMessage>,
}

/// `google.protobuf.Duration`
#[derive(Clone, PartialEq, Message)]
struct DurationMessage {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_says_when_to_come_back() {
        let refusal = Refusal::Overloaded { retry_after: Duration::from_millis(1500) };
        let json: serde_json::Value = serde_json::from_slice(&refusal.to_status(Encoding::Json)).unwrap();
        assert_eq!(json["code"], 14);
        assert_eq!(json["details"][0]["retryDelay"], "1.500s");
        let message = StatusMessage::decode(refusal.to_status(Encoding::Protobuf).as_slice()).unwrap();
        let info = RetryInfo::decode(message.details[0].value.as_slice()).unwrap();
        assert_eq!(info.retry_delay, Some(DurationMessage { seconds: 1, nanos: 500_000_000 }));
        let status = tonic::Status::from(&refusal);
        assert_eq!(StatusMessage::decode(status.details()).unwrap(), message);
    }
}
