//! One listening socket: accepts, wraps in TLS, serves HTTP/1 and HTTP/2 with bounds on both, drains.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::often::Often;
use super::places::{Limits, Place, Places, Receipt, Taken};

/// How HTTP is spoken. What is not here is the same for all.
#[derive(Clone, Copy, Debug)]
pub struct Http {
    /// For the log.
    pub name: &'static str,
    pub http2_only: bool,
    /// What a sender may have on the way before it is told that it was read.
    pub stream_window_bytes: u32,
    pub connection_window_bytes: u32,
    pub frame_bytes_max: u32,
    /// Requests of one HTTP/2 connection at once.
    pub streams_max: u32,
}

/// For the next head on a connection that was answered already; the first has a deadline of its own.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Names, a token and a trace context are some hundred bytes.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Streams that were opened and reset before they were looked at (CVE-2023-44487), and errors that are a sender's own: past
/// these the connection ends.
const RESETS_PENDING_MAX: usize = 20;
const ERROR_RESETS_MAX: usize = 64;
/// Finds senders that vanished without a word, at the cost of a ping in half a minute.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection whose time is up may finish what it is about to send.
const GOODBYE: Duration = Duration::from_secs(1);
/// Connections that were sent away and are not gone yet: far fewer than the descriptors that are kept for files.
const ENDING_MAX: usize = 16;
/// How often it is looked whether the listener itself is to stop, while these are waited for.
const ENDING_LOOK: Duration = Duration::from_millis(100);
/// When the system has no more descriptors, accepting again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Http {
    fn builder(self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .initial_stream_window_size(self.stream_window_bytes)
            .initial_connection_window_size(self.connection_window_bytes)
            .max_frame_size(self.frame_bytes_max)
            .max_concurrent_streams(self.streams_max)
            .max_header_list_size(HEAD_BYTES_MAX as u32) // far below 4 GiB
            .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
            .max_local_error_reset_streams(ERROR_RESETS_MAX);
        if self.http2_only { builder.http2_only() } else { builder }
    }
}

/// Connections that wait to be accepted, where the system allows as many (Linux: `net.core.somaxconn`): of more, each waits a
/// second or longer for its next try.
const BACKLOG: u32 = 4_096;

/// A socket that listens.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port is free again as soon as nobody listens there.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A socket and how its connections are treated.
pub struct Listener {
    pub socket: TcpListener,
    pub http: Http,
    pub tls: Option<TlsAcceptor>,
    pub limits: Limits,
}

impl Listener {
    /// Accepts until `stop`, then lets every connection finish the requests it has begun. Dropping the future ends them at
    /// once. `answer` is given each request with a [`Receipt`] in its extensions, and its peer.
    pub async fn serve<A, F, B>(self, answer: A, stop: CancellationToken)
    where
        A: Fn(IpAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Listener { socket, http, tls, limits } = self;
        let places = Places::new(limits);
        let (unaccepted, refused) = (Often::new(), Often::new());
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                // Ended connections are let go while others are waited for.
                Some(ended) = connections.join_next() => {
                    // The sender was not answered, and sends again.
                    if let Err(error) = ended {
                        tracing::error!(%error, listener = http.name, "a connection's task failed");
                    }
                    continue;
                }
                accepted = socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok((stream, peer)) => (stream, peer.ip()),
                Err(error) => {
                    if let Some(times) = unaccepted.happened() {
                        tracing::warn!(%error, times, listener = http.name, "cannot accept a connection");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Who was sent away holds its descriptor until its task has ended: no more come in meanwhile.
            while connections.len() >= limits.connections_max + ENDING_MAX && !stop.is_cancelled() {
                let _ = tokio::time::timeout(ENDING_LOOK, connections.join_next()).await;
            }
            let place = loop {
                match places.take(peer) {
                    Taken::Place(place) => break Some(place),
                    Taken::Wait(left) => tokio::select! {
                        () = tokio::time::sleep(left) => {}
                        () = stop.cancelled() => break None,
                    },
                    Taken::Full => {
                        if let Some(times) = refused.happened() {
                            tracing::warn!(times, %peer, listener = http.name, "all connections are busy: another was refused");
                        }
                        break None;
                    }
                }
            };
            let Some(place) = place else { continue };
            let (tls, places, answer, stop) = (tls.clone(), places.clone(), answer.clone(), stop.clone());
            connections.spawn(async move {
                let connection = Connection { peer, http, places, place, stop };
                connection.run(stream, tls, answer).await;
            });
        }
        drop(socket);
        while connections.join_next().await.is_some() {}
    }
}

struct Connection {
    peer: IpAddr,
    http: Http,
    places: Arc<Places>,
    place: Place,
    stop: CancellationToken,
}

impl Connection {
    async fn run<A, F, B>(self, stream: TcpStream, tls: Option<TlsAcceptor>, answer: A)
    where
        A: Fn(IpAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // An answer is smaller than a packet; with Nagle's algorithm it would wait for the sender's delayed
        // acknowledgement. Fails only when the connection is gone already.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.converse(stream, answer).await };
        let accepted = tokio::select! {
            accepted = tls.accept(stream) => accepted,
            () = self.places.time_is_up(&self.place.seat) => return,
            () = self.place.seat.evicted.cancelled() => return,
        };
        match accepted {
            Ok(stream) => self.converse(stream, answer).await,
            Err(error) => tracing::debug!(%error, listener = self.http.name, "TLS handshake failed"),
        }
    }

    async fn converse<S, A, F, B>(self, stream: S, answer: A)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Fn(IpAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Connection { peer, http, places, place, stop } = self;
        let seat = place.seat.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let receipt = Receipt::begin(&seat);
            request.extensions_mut().insert(receipt.clone());
            let answering = answer(peer, request);
            async move {
                let response = answering.await;
                drop(receipt);
                Ok::<_, Infallible>(response)
            }
        });
        let builder = http.builder();
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = place.seat.evicted.cancelled() => return,
            () = places.time_is_up(&place.seat) => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(GOODBYE, connection).await {
                    Ok(ended) => ended,
                    Err(_) => return,
                }
            }
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, listener = http.name, "connection ended");
        }
    }
}
