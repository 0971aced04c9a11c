//! What the embedded cluster serves over HTTP on loopback. All bodies are JSON; what cannot be applied is answered
//! with the `ActError` it was.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::hosted::{Applied, Hosted};
use crate::act::embedded::{ClockReading, Write};
use crate::clock::Clock;
use crate::guard::ActError;
use crate::model::ClusterState;
use crate::shape::{EntryTraffic, Limits};
use crate::simulate::{Live, Measures, Simulation};

/// Answer of `GET /live`: the last seconds, for a person who watches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shown {
    pub live: Live,
    /// The scenario has come to its end.
    pub finished: bool,
    /// Requests that headroom has not acknowledged yet.
    pub waiting: u64,
    /// Requests given up.
    pub dropped: u64,
    /// The most that the cluster was behind its clock, in seconds of that clock.
    pub behind_s: f64,
}

pub fn router(hosted: Arc<Hosted>, clock: &Clock) -> Router {
    let reading = ClockReading {
        origin_wall_ns: clock.origin_wall().0,
        origin_virtual_ns: clock.origin_virtual().0,
        speed: clock.speed(),
    };
    Router::new()
        .route("/clock", get(move || async move { Json(reading) }))
        .route("/state", get(state))
        .route("/apply", post(apply))
        .route("/traffic", post(traffic))
        .route("/limits", post(limits))
        .route("/live", get(live))
        .route("/measures", get(measures))
        .route("/changes", get(changes))
        .route("/stop", post(stop))
        .layer(middleware::from_fn_with_state(hosted.clone(), heed))
        .with_state(hosted)
}

async fn heed(State(hosted): State<Arc<Hosted>>, request: Request, next: Next) -> Response {
    hosted.asked();
    next.run(request).await
}

async fn state(State(hosted): State<Arc<Hosted>>) -> Json<ClusterState> {
    Json(hosted.read(Simulation::state))
}

async fn apply(State(hosted): State<Arc<Hosted>>, Json(write): Json<Write>) -> Response {
    match hosted.apply(write) {
        Ok(()) => Json(json!({})).into_response(),
        Err(error) => {
            let status = match error {
                ActError::NotFound { .. } => StatusCode::NOT_FOUND,
                _ => StatusCode::CONFLICT,
            };
            (status, Json(error)).into_response()
        }
    }
}

async fn traffic(State(hosted): State<Arc<Hosted>>) -> Json<Option<Vec<EntryTraffic>>> {
    Json(hosted.traffic())
}

async fn limits(State(hosted): State<Arc<Hosted>>, Json(limits): Json<Limits>) -> Json<serde_json::Value> {
    hosted.limit(&limits);
    Json(json!({}))
}

async fn live(State(hosted): State<Arc<Hosted>>) -> Json<Shown> {
    Json(Shown {
        live: hosted.read(Simulation::live),
        finished: hosted.finished(),
        waiting: hosted.waiting.load(Ordering::Relaxed),
        dropped: hosted.dropped.load(Ordering::Relaxed),
        behind_s: hosted.behind_ns.load(Ordering::Relaxed) as f64 / 1e9,
    })
}

async fn measures(State(hosted): State<Arc<Hosted>>) -> Json<Measures> {
    Json(hosted.read(Simulation::measures))
}

/// Every change that was made, oldest first.
async fn changes(State(hosted): State<Arc<Hosted>>) -> Json<Vec<Applied>> {
    Json(hosted.changes())
}

async fn stop(State(hosted): State<Arc<Hosted>>) -> Json<serde_json::Value> {
    hosted.stop();
    Json(json!({}))
}
