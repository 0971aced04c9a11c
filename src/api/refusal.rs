//! What a caller gets instead of an answer: `{"error": …, "remedy": …}` and a status.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    #[serde(skip)]
    pub status: StatusCode,
    pub error: String,
    pub remedy: String,
}

impl Refusal {
    pub fn new(status: StatusCode, error: impl Into<String>, remedy: impl Into<String>) -> Refusal {
        Refusal { status, error: error.into(), remedy: remedy.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}
