//! Pause and resume: the events that people send.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::{Extension, Json, extract};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Identity;
use super::{Api, Refusal};
use crate::engine::Event;
use crate::model::printable;

/// Who asks for it, and why; both go into the journal. Whose token names them is who they are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    #[serde(default)]
    by: String,
    reason: String,
}

/// A name and a sentence; they are kept in memory and in the journal.
const BY_CHARACTERS_MAX: usize = 128;
const REASON_CHARACTERS_MAX: usize = 1_000;

type Body = Result<extract::Json<Asked>, JsonRejection>;

pub async fn pause(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let by = signature(&identity, body)?;
    send(&api, Event::Paused { by: by.clone() })?;
    Ok((StatusCode::ACCEPTED, Json(json!({"paused": true, "by": by}))))
}

pub async fn resume(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let by = signature(&identity, body)?;
    send(&api, Event::Resumed { by: by.clone() })?;
    Ok((StatusCode::ACCEPTED, Json(json!({"paused": false, "by": by}))))
}

/// One line for the journal: `who: why`.
fn signature(identity: &Identity, body: Body) -> Result<String, Refusal> {
    let remedy = "send JSON such as {\"by\": \"ada\", \"reason\": \"load test\"}";
    let Json(asked) = body.map_err(|rejected| Refusal::new(rejected.status(), rejected.body_text(), remedy))?;
    let by = match identity {
        Identity::Named { name, .. } => name.as_str(),
        Identity::Unnamed => asked.by.trim(),
    };
    let reason = asked.reason.trim();
    if by.is_empty() || reason.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "`by` and `reason` may not be empty", remedy));
    }
    for (what, text, characters_max) in [("by", by, BY_CHARACTERS_MAX), ("reason", reason, REASON_CHARACTERS_MAX)] {
        if text.chars().count() > characters_max {
            let error = format!("`{what}` is longer than {characters_max} characters");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, error, "say it shorter"));
        }
    }
    Ok(format!("{}: {}", printable(by), printable(reason)))
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
