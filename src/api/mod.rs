//! HTTP API: health, metrics, what was found and done, pause, and SQL.
//!
//! Handlers read the [`Snapshot`] that the engine's thread publishes at each tick; they hold no lock of the
//! engine's and cannot slow it down. The only way back in is a bounded queue of events (pause, resume).

mod access;
mod act_metrics;
mod control;
pub mod history;
pub mod metrics;
mod origin;
mod read;
mod receive_metrics;
mod refusal;
mod snapshot;
mod sql;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use tokio::sync::{mpsc, watch};

use crate::config::HostName;
use crate::engine::Event;

pub use access::{Access, Peer};
pub use history::History;
pub use metrics::Metrics;
pub use refusal::Refusal;
pub use snapshot::{Readiness, Snapshot, Spans};
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
    pub events: mpsc::Sender<Event>,
    pub metrics: Arc<Metrics>,
    pub sql: Arc<Sql>,
    /// Without any token the API is open, and `config` has made sure that it listens on loopback alone.
    pub access: Arc<Access>,
    /// Names it answers to, and origins that may ask, beside its own.
    pub hosts: Arc<[HostName]>,
    pub origins: Arc<[String]>,
}

impl Api {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }
}

/// All routes.
pub fn router(api: Api) -> Router {
    let deadline = api.sql.timeout() + MARGIN;
    let operators = Router::new()
        .route("/api/v1/pause", post(control::pause))
        .route("/api/v1/resume", post(control::resume))
        .route_layer(middleware::from_fn(access::operators));
    let guarded = operators
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/status", get(read::status))
        .route("/api/v1/bottleneck", get(read::bottleneck))
        .route("/api/v1/findings", get(read::findings))
        .route("/api/v1/services", get(read::services))
        .route("/api/v1/entries", get(read::entries))
        .route("/api/v1/decisions", get(read::decisions))
        .route("/api/v1/interventions", get(read::interventions))
        .route("/api/v1/explain/{id}", get(read::explanation))
        .route("/api/v1/sql", post(sql::sql))
        .route_layer(middleware::from_fn_with_state(api.clone(), access::authenticate));
    let answers = guarded
        .fallback(access::not_found)
        .method_not_allowed_fallback(access::method_not_allowed)
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
