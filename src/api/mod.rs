//! HTTP API: health, metrics, what was found and done, pause, and SQL.
//!
//! Handlers read the [`Snapshot`] that the engine's thread publishes at each tick; they hold no lock of the
//! engine's and cannot slow it down. The only way back in is a bounded queue of orders (pause, resume), each
//! answered once the engine has taken it.

mod access;
mod control;
pub mod history;
mod issued;
mod jwt;
pub mod metrics;
mod origin;
mod read;
mod refusal;
mod registrar;
mod scrape;
mod snapshot;
mod sql;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::future::BoxFuture;
use http::Request;
use hyper::body::Incoming;
use tokio::sync::{mpsc, watch};
use tower::Service;

use crate::clock::Clock;
use crate::config::HostName;
use crate::net::{Descriptors, Heard, Http, Limits, Receipt, caught};
use crate::notices::outbox::Outbox;

pub use access::{Access, Peer};
pub use control::Control;
pub use history::History;
pub use issued::{Provider, Reviews};
pub use metrics::Metrics;
pub use refusal::Refusal;
pub use registrar::{Registrar, Said};
pub use snapshot::{Planning, Readiness, Snapshot, Spans};
pub use sql::Sql;

/// Requests are small: a query, a reason.
const BODY_BYTES_MAX: usize = 64 << 10;

/// A request that takes longer than its query may has lost its way.
const MARGIN: Duration = Duration::from_secs(5);

/// What the handlers share. Cloning shares it.
#[derive(Clone)]
pub struct Api {
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    pub readiness: watch::Receiver<Readiness>,
    pub controls: mpsc::Sender<Control>,
    pub metrics: Arc<Metrics>,
    pub sql: Arc<Sql>,
    /// Where changes of the schedule come in.
    pub registrar: Arc<Registrar>,
    /// What waits for the receivers of notices.
    pub notices: Arc<[Arc<Outbox>]>,
    pub clock: Clock,
    /// So long after the last tick it is no longer ready.
    pub ticks_late: Duration,
    /// Without any token the API is open, and `config` has made sure that it listens on loopback alone.
    pub access: Arc<Access>,
    /// Names it answers to, and origins that may ask, beside its own.
    pub hosts: Arc<[HostName]>,
    pub origins: Arc<[String]>,
}

impl Api {
    /// How long ago the last tick was.
    fn since_tick(&self) -> Duration {
        let since = self.clock.now().nanos_since(self.snapshot.borrow().at);
        self.clock.wall_duration(Duration::from_nanos(since.max(0) as u64)) // not negative
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }
}

/// A few dashboards, a scraper, and people.
const CONNECTIONS_MAX: usize = 256;

/// How the API speaks HTTP: its requests are small, so that a body that stops holds little.
pub const HTTP: Http = Http {
    name: "API",
    http2_only: false,
    stream_window_bytes: BODY_BYTES_MAX as u32,
    connection_window_bytes: 2 * BODY_BYTES_MAX as u32,
    frame_bytes_max: 16 << 10,
    streams_max: 16,
};

/// What the API offers while TLS is set up.
pub const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Connections of the API, one of `sockets` that share the descriptors.
pub fn limits(descriptors: Descriptors, sockets: usize) -> Limits {
    Limits {
        connections_max: descriptors.share(CONNECTIONS_MAX, sockets),
        first_request: Duration::from_secs(10),
        // Scrapers come every minute at the latest.
        idle: Duration::from_secs(120),
    }
}

/// Answers the requests of a listener.
pub fn answers(api: Api) -> impl Fn(IpAddr, Request<Incoming>) -> Answering + Clone + Send + Sync + 'static {
    let router = router(api);
    move |peer, request| {
        // An answer may take longer than the places allow for; a body that trickles may not.
        let receipt = request.extensions().get::<Receipt>().cloned();
        let mut request = request.map(|body| Heard::new(body, receipt));
        request.extensions_mut().insert(Peer(peer));
        let mut router = router.clone();
        Box::pin(async move {
            let answering = Service::<Request<Heard<Incoming>>>::call(&mut router, request);
            match caught(answering).await {
                // A router is always ready, and its error has no value.
                Some(Ok(response)) => response,
                None => Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "headroom failed on this request",
                    "report it as a bug, with the line `panic` of the log",
                )
                .into_response(),
            }
        })
    }
}

type Answering = BoxFuture<'static, Response>;

/// All routes.
pub fn router(api: Api) -> Router {
    let deadline = api.sql.timeout() + MARGIN;
    let operators = Router::new()
        .route("/api/v1/pause", post(control::pause))
        .route("/api/v1/resume", post(control::resume))
        .route_layer(middleware::from_fn(access::operators));
    let guarded = operators
        .route("/metrics", get(scrape::metrics))
        .route("/api/v1/status", get(read::status))
        .route("/api/v1/bottleneck", get(read::bottleneck))
        .route("/api/v1/findings", get(read::findings))
        .route("/api/v1/services", get(read::services))
        .route("/api/v1/entries", get(read::entries))
        .route("/api/v1/sight", get(read::sight))
        .route("/api/v1/decisions", get(read::decisions))
        .route("/api/v1/notices", get(read::notices))
        .route("/api/v1/interventions", get(read::interventions))
        .route("/api/v1/schedule", get(read::schedule))
        .route("/api/v1/explain/{id}", get(read::explanation))
        .route("/api/v1/sql", post(sql::sql))
        .route_layer(middleware::from_fn_with_state(api.clone(), access::authenticate));
    let answers = guarded
        .fallback(access::not_found)
        .method_not_allowed_fallback(access::method_not_allowed)
        // A registrar that signs holds no token of the API; who may send is looked into there.
        .route("/api/v1/schedule/changes", post(registrar::changed))
        .layer(middleware::from_fn_with_state(api.clone(), origin::guard));
    Router::new()
        // Probes come from a kubelet that holds no token; they say nothing but yes or no.
        .route("/livez", get(read::livez))
        .route("/readyz", get(read::readyz))
        .method_not_allowed_fallback(access::method_not_allowed)
        .merge(answers)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(move |request, next| access::deadline(deadline, request, next)))
        .with_state(api)
}

#[cfg(test)]
mod tests;
