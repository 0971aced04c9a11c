//! Who may ask, how long it may take, and what is answered where nothing is.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Api, Refusal};

/// Lets a request through when no token is configured or it presents the right one.
pub async fn authenticate(State(api): State<Api>, request: Request, next: Next) -> Response {
    match &api.token {
        Some(token) if !bearer(request.headers()).is_some_and(|presented| token.matches(presented)) => {
            let refusal = Refusal::new(
                StatusCode::UNAUTHORIZED,
                "this API asks for a bearer token",
                "send the header `Authorization: Bearer TOKEN`, with the token of `api` in the configuration",
            );
            ([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response()
        }
        _ => next.run(request).await,
    }
}

/// RFC 6750: the scheme's name is case-insensitive.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub async fn deadline(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("no answer within {} s", limit.as_secs()),
            "ask again; if it stays, look at the daemon's log",
        )
        .into_response(),
    }
}

pub async fn not_found(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("nothing is at {}", uri.path()),
        "the paths are /livez, /readyz, /metrics and /api/v1/{status,bottleneck,findings,services,entries,\
         decisions,interventions,explain/ID,pause,resume,sql}",
    )
}

pub async fn method_not_allowed(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not take this method", uri.path()),
        "use POST for pause, resume and sql, GET for all else",
    )
}
