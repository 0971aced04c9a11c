//! Pause and resume: the events that people send.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::{Json, extract};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Refusal};
use crate::engine::Event;

/// Who asks for it, and why; both go into the journal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    by: String,
    reason: String,
}

type Body = Result<extract::Json<Asked>, JsonRejection>;

pub async fn pause(State(api): State<Api>, body: Body) -> Result<(StatusCode, Json<Value>), Refusal> {
    let by = signature(body)?;
    send(&api, Event::Paused { by: by.clone() })?;
    Ok((StatusCode::ACCEPTED, Json(json!({"paused": true, "by": by}))))
}

pub async fn resume(State(api): State<Api>, body: Body) -> Result<(StatusCode, Json<Value>), Refusal> {
    let by = signature(body)?;
    send(&api, Event::Resumed { by: by.clone() })?;
    Ok((StatusCode::ACCEPTED, Json(json!({"paused": false, "by": by}))))
}

/// One line for the journal: `who: why`.
fn signature(body: Body) -> Result<String, Refusal> {
    let remedy = "send JSON such as {\"by\": \"ada\", \"reason\": \"load test\"}";
    let Json(asked) = body.map_err(|rejected| Refusal::new(rejected.status(), rejected.body_text(), remedy))?;
    let (by, reason) = (asked.by.trim(), asked.reason.trim());
    if by.is_empty() || reason.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "`by` and `reason` may not be empty", remedy));
    }
    Ok(format!("{by}: {reason}"))
}

fn send(api: &Api, event: Event) -> Result<(), Refusal> {
    api.events.try_send(event).map_err(|_| {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the engine takes no events: it is shutting down, or far behind",
            "ask again in a second",
        )
    })
}
