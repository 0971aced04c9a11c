//! Connections of one listening socket: accepted, wrapped in TLS, served with HTTP, drained.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::intake::Intake;
use super::{grpc, http as otlp_http};

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

    fn builder(self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX);
        if self == Protocol::Grpc { builder.http2_only() } else { builder }
    }
}

/// How long TLS may take to be set up, or a request's headers to arrive: some round trips of the slowest network.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Finds senders that vanished without a word, at the cost of a ping in half a minute.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// A request of a megabyte arrives without waiting for window updates; HTTP/2's default of 64 KiB costs round trips.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// A sender that makes use of it puts a usual request into a few frames; HTTP/2's default of 16 KiB makes it thirty.
const FRAME_BYTES_MAX: u32 = 1 << 17;

/// When the system has no more descriptors, accepting again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket and what to do with its connections.
pub(super) struct Listener {
    pub socket: TcpListener,
    pub protocol: Protocol,
    pub tls: Option<TlsAcceptor>,
    pub intake: Arc<Intake>,
    pub connections_max: usize,
}

impl Listener {
    /// Accepts until `stop`, then lets every connection finish the requests it has begun. Dropping the future ends
    /// them at once.
    pub async fn serve(self, stop: CancellationToken) {
        let Listener { socket, protocol, tls, intake, connections_max } = self;
        let places = Arc::new(Semaphore::new(connections_max));
        let mut connections = JoinSet::new();
        loop {
            let accepting = async {
                // The semaphore is never closed.
                let place = places.clone().acquire_owned().await.expect("an open semaphore");
                (place, socket.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = stop.cancelled() => break,
                // Ended connections are let go while others are waited for.
                Some(ended) = connections.join_next() => {
                    // The sender was not answered, and sends again.
                    if let Err(error) = ended {
                        tracing::error!(%error, ?protocol, "a connection's task failed");
                    }
                    continue;
                }
                accepted = accepting => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, ?protocol, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (tls, intake, stop) = (tls.clone(), intake.clone(), stop.clone());
            connections.spawn(async move {
                connect(stream, protocol, tls, intake, stop).await;
                drop(place);
            });
        }
        drop(socket);
        while connections.join_next().await.is_some() {}
    }
}

async fn connect(
    stream: TcpStream,
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    intake: Arc<Intake>,
    stop: CancellationToken,
) {
    // An answer is smaller than a packet; with Nagle's algorithm it would wait for the sender's delayed
    // acknowledgement. Fails only when the connection is gone already.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return converse(stream, protocol, intake, stop).await };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, protocol, intake, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, ?protocol, "TLS handshake failed"),
        Err(_) => tracing::debug!(?protocol, "TLS handshake took too long"),
    }
}

async fn converse<S>(stream: S, protocol: Protocol, intake: Arc<Intake>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let intake = intake.clone();
        async move {
            let response: Response<tonic::body::Body> = match protocol {
                Protocol::Grpc => grpc::answer(intake, request).await,
                Protocol::Http => otlp_http::answer(intake, request).await,
            };
            Ok::<_, Infallible>(response)
        }
    });
    let builder = protocol.builder();
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, ?protocol, "connection ended");
    }
}
