//! The listening sockets, from start to drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::connections::{self, Protocol};
use super::counters::Counters;
use super::intake::{Clock, Intake, Tap};
use super::queue::Inlet;
use crate::net::{Listener, TlsError, acceptor, listen};

/// Why the receivers do not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} is open to other machines, but anyone may send: set a token or a client CA, or listen on 127.0.0.1")]
    Exposed(SocketAddr),
    #[error("the token is empty: set one or remove it")]
    EmptyToken,
    #[error("a request may be {decompressed} bytes decompressed but {body} before: the former must not be smaller")]
    Limits { body: usize, decompressed: usize },
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: std::io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Running receivers. Dropping them ends every connection at once; [`shutdown`](Receivers::shutdown) drains them.
#[derive(Debug)]
pub struct Receivers {
    grpc: Option<SocketAddr>,
    http: Option<SocketAddr>,
    counters: Arc<Counters>,
    stop: CancellationToken,
    listeners: JoinSet<()>,
}

impl Receivers {
    /// Checks the configuration and listens; on return every socket accepts. `tap` sees each request that was
    /// accepted.
    pub async fn start(config: Config, inlet: Inlet, clock: Clock, tap: Option<Tap>) -> Result<Receivers, Error> {
        check(&config)?;
        let intake = Arc::new(Intake::new(&config, inlet, clock, tap));
        let mut bound = Vec::new();
        for (protocol, address) in [(Protocol::Grpc, config.grpc), (Protocol::Http, config.http)] {
            let Some(address) = address else { continue };
            let tls = config.tls.as_ref().map(|tls| acceptor(tls, protocol.alpn())).transpose()?;
            let failed = |cause| Error::Listen { address, cause };
            let socket = listen(address).map_err(failed)?;
            let address = socket.local_addr().map_err(failed)?;
            let limits = connections::limits(config.connections_max);
            bound.push((protocol, address, Listener { socket, http: protocol.http(), tls, limits }));
        }
        // Nothing is served before everything could be bound.
        let stop = CancellationToken::new();
        let address_of = |wanted| bound.iter().find(|(p, ..)| *p == wanted).map(|(_, address, _)| *address);
        let (grpc, http) = (address_of(Protocol::Grpc), address_of(Protocol::Http));
        let mut listeners = JoinSet::new();
        for (protocol, _, listener) in bound {
            listeners.spawn(protocol.serve(listener, intake.clone(), stop.clone()));
        }
        Ok(Receivers { grpc, http, counters: intake.counters.clone(), stop, listeners })
    }

    /// Where OTLP/gRPC is served; tells the port when it was configured as 0.
    pub fn grpc(&self) -> Option<SocketAddr> {
        self.grpc
    }

    /// Where OTLP/HTTP is served.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Waits until a listener ends although nobody asked it to, and says why. Cancel safe.
    pub async fn failure(&mut self) -> String {
        match self.listeners.join_next().await {
            Some(Err(error)) => error.to_string(),
            Some(Ok(())) => "it stopped listening".into(),
            None => std::future::pending().await,
        }
    }

    /// Accepts no more, answers what has begun to arrive, then ends; what is not done by the deadline is cut off
    /// unacknowledged. The core must go on taking batches meanwhile. True when everything was answered.
    pub async fn shutdown(mut self, deadline: Duration) -> bool {
        self.stop.cancel();
        let draining = async { while self.listeners.join_next().await.is_some() {} };
        tokio::time::timeout(deadline, draining).await.is_ok()
    }
}

fn check(config: &Config) -> Result<(), Error> {
    if config.token.as_ref().is_some_and(super::Token::is_empty) {
        return Err(Error::EmptyToken);
    }
    if config.decompressed_bytes_max < config.body_bytes_max {
        return Err(Error::Limits { body: config.body_bytes_max, decompressed: config.decompressed_bytes_max });
    }
    let authenticated = config.token.is_some() || config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let exposed = [config.grpc, config.http].into_iter().flatten().find(|address| !address.ip().is_loopback());
    match exposed {
        Some(address) if !authenticated => Err(Error::Exposed(address)),
        _ => Ok(()),
    }
}
