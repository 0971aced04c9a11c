//! One request to a receiver, and what its answer means for the message.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::forms::Posted;
use crate::net::https::root_cause;

/// So much of an answer is read, for the reason in it.
const ANSWER_BYTES_MAX: usize = 16 << 10;
const REASON_CHARACTERS_MAX: usize = 200;

/// A receiver that asks for more is asked again after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
#[error("the certificates of this machine cannot be used to reach receivers over https: {0}; install ca-certificates")]
pub struct Error(String);

/// Why a message was not delivered by one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The receiver will not take it, however often it is sent.
    Refused {
        status: u16,
        reason: String,
    },
    /// It may take it later.
    Unavailable {
        status: u16,
        reason: String,
        retry_after: Option<Duration>,
    },
    Unreachable {
        cause: String,
    },
    TimedOut {
        after: Duration,
    },
}

impl Failure {
    /// As metrics call it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Failure::Refused { .. } => "refused",
            Failure::Unavailable { .. } => "unavailable",
            Failure::Unreachable { .. } => "unreachable",
            Failure::TimedOut { .. } => "timed_out",
        }
    }

    /// Sending it again may help.
    pub const fn is_temporary(&self) -> bool {
        !matches!(self, Failure::Refused { .. })
    }

    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Failure::Unavailable { retry_after, .. } => *retry_after,
            Failure::Refused { .. } | Failure::Unreachable { .. } | Failure::TimedOut { .. } => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused { status, reason } | Failure::Unavailable { status, reason, .. } => {
                write!(f, "it answered {status}{}{reason}", if reason.is_empty() { "" } else { ": " })
            }
            Failure::Unreachable { cause } => write!(f, "cannot be reached: {cause}"),
            Failure::TimedOut { after } => write!(f, "no answer within {} s", after.as_secs_f64()),
        }
    }
}

/// Cloning shares its connections.
#[derive(Clone)]
pub struct Client {
    pooled: Pooled<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

impl Client {
    /// Trusts the certificate authorities of this machine. One request takes no longer than `timeout`, the connection
    /// included.
    pub fn new(timeout: Duration) -> Result<Client, Error> {
        let failed = |error: &dyn fmt::Display| Error(error.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?;
        // A machine without any is one of plain http alone: that is found out when https is asked for.
        let tls = match tls.clone().with_native_roots() {
            Ok(tls) => tls.with_no_client_auth(),
            Err(_) => tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth(),
        };
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Ok(Client { pooled: Pooled::builder(TokioExecutor::new()).build(connector), timeout })
    }

    /// Posts it; an answer of 2xx means that the receiver has it.
    pub async fn post(&self, posted: &Posted) -> Result<(), Failure> {
        let mut request = Request::post(posted.uri.clone())
            .header(CONTENT_TYPE, posted.content_type)
            .header(USER_AGENT, concat!("headroom/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &posted.headers {
            request = request.header(*name, value);
        }
        let unreachable = |error: &dyn std::error::Error| Failure::Unreachable { cause: root_cause(error) };
        let request = request.body(Full::new(posted.body.clone())).map_err(|error| unreachable(&error))?;
        let answered = async {
            let response = self.pooled.request(request).await.map_err(|error| unreachable(&error))?;
            judge(response).await
        };
        match tokio::time::timeout(self.timeout, answered).await {
            Ok(answered) => answered,
            Err(_) => Err(Failure::TimedOut { after: self.timeout }),
        }
    }
}

async fn judge(response: Response<Incoming>) -> Result<(), Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    let read = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = read.map(|body| body.to_bytes()).unwrap_or_default();
    let words = String::from_utf8_lossy(&body).split_whitespace().collect::<Vec<_>>().join(" ");
    let reason: String = words.chars().take(REASON_CHARACTERS_MAX).collect();
    let status_code = status.as_u16();
    let is_temporary = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    Err(if is_temporary {
        Failure::Unavailable { status: status_code, reason, retry_after }
    } else {
        Failure::Refused { status: status_code, reason }
    })
}
