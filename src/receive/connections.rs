//! The two protocols of the receivers: how each speaks HTTP, and who answers its requests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::intake::Intake;
use super::{grpc, http as otlp_http};
use crate::net::{Http, Limits, Listener};

/// Which of the two protocols a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    /// What is offered while TLS is set up (ALPN).
    pub const fn alpn(self) -> &'static [&'static [u8]] {
        match self {
            Protocol::Grpc => &[b"h2"],
            Protocol::Http => &[b"h2", b"http/1.1"],
        }
    }

    pub const fn http(self) -> Http {
        Http {
            name: match self {
                Protocol::Grpc => "OTLP/gRPC",
                Protocol::Http => "OTLP/HTTP",
            },
            http2_only: matches!(self, Protocol::Grpc),
            // A request of a megabyte arrives without waiting for window updates; HTTP/2's default of 64 KiB costs round trips.
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 4 << 20,
            // A sender that makes use of it puts a usual request into a few frames; HTTP/2's default of 16 KiB makes it thirty.
            frame_bytes_max: 1 << 17,
            // A Collector's queue sends with ten consumers by default, all over one connection.
            streams_max: 128,
        }
    }

    /// Serves a socket until `stop`; see [`Listener::serve`].
    pub async fn serve(self, listener: Listener, intake: Arc<Intake>, stop: CancellationToken) {
        let answer = move |_: IpAddr, request: Request<Incoming>| {
            let intake = intake.clone();
            async move {
                let response: Response<tonic::body::Body> = match self {
                    Protocol::Grpc => grpc::answer(intake, request).await,
                    Protocol::Http => otlp_http::answer(intake, request).await,
                };
                response
            }
        };
        listener.serve(answer, stop).await;
    }
}

/// How long a connection may take to its first request: some round trips of the slowest network.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// An exporter sends every few seconds, or every minute where little happens.
const IDLE: Duration = Duration::from_secs(300);

pub(super) fn limits(connections_max: usize) -> Limits {
    Limits { connections_max, first_request: FIRST_REQUEST, idle: IDLE }
}
