//! Pause and resume: what people ask of the engine. The answer comes when the engine has taken it, so that whoever looks
//! at the status right after sees what they did.

use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::{Extension, Json, extract};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};

use super::access::Identity;
use super::read::pauses;
use super::{Api, Refusal, Snapshot};
use crate::config::parse_duration;
use crate::engine::Event;
use crate::model::pause::SERVICES_MAX;
use crate::model::{nearest, printable};

/// An event for the engine, and the word that it was taken: by then the snapshot shows it.
pub struct Control {
    pub event: Event,
    pub taken: oneshot::Sender<()>,
}

/// Who asks for it, and why; both go into the journal. Whose token names them is who they are; what anybody else claims to
/// be is marked as claimed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    #[serde(default)]
    by: String,
    reason: String,
    /// This service alone.
    #[serde(default)]
    service: Option<String>,
    /// It ends by itself after so long: `30m`.
    #[serde(default, rename = "for")]
    lasting: Option<String>,
}

/// A name and a sentence; they are kept in memory and in the journal.
const BY_CHARACTERS_MAX: usize = 128;
const REASON_CHARACTERS_MAX: usize = 1_000;
const SERVICE_CHARACTERS_MAX: usize = 512;
/// Whoever pauses for longer forgets that it is paused.
const LASTING_MAX: Duration = Duration::from_secs(30 * 86_400);

/// The engine takes events between two of its steps; a tick of the largest system takes some tenths of a second.
const TAKEN_MAX: Duration = Duration::from_secs(5);

const REMEDY: &str = "send JSON such as {\"by\": \"ada\", \"reason\": \"load test\", \"service\": \"auth\", \"for\": \"30m\"}; \
                      the last two may be left out";

type Body = Result<extract::Json<Asked>, JsonRejection>;

pub async fn pause(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let asked = read(body)?;
    let by = signature(&identity, &asked)?;
    let lasting = asked.lasting.as_deref().map(lasting).transpose()?;
    let until = lasting.map(|lasting| api.clock.now() + lasting);
    let service = service(&asked)?;
    let paused = &api.snapshot().pauses;
    let is_new = service.as_deref().is_some_and(|name| !paused.iter().any(|(known, _)| known == Some(name)));
    if is_new && paused.services() >= SERVICES_MAX {
        let error = format!("{SERVICES_MAX} services are paused already");
        return Err(Refusal::new(StatusCode::CONFLICT, error, "pause everything: leave `service` out"));
    }
    let note = service.as_deref().and_then(|service| unseen(&api.snapshot(), service));
    order(&api, Event::Paused { by: by.clone(), service: service.clone(), until }).await?;
    Ok(answer(
        &api,
        &json!({"paused": true, "by": by, "service": service, "until": until.map(|at| at.to_string()), "note": note}),
    ))
}

pub async fn resume(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let asked = read(body)?;
    let by = signature(&identity, &asked)?;
    if asked.lasting.is_some() {
        let remedy = "leave `for` out, and pause again when it is to pause again";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "`for` goes with pause alone", remedy));
    }
    let service = service(&asked)?;
    order(&api, Event::Resumed { by: by.clone(), service: service.clone() }).await?;
    Ok(answer(&api, &json!({"paused": false, "by": by, "service": service})))
}

/// What was done, and all that is paused now.
fn answer(api: &Api, done: &Value) -> Json<Value> {
    let mut answer = done.clone();
    answer["pauses"] = pauses(&api.snapshot());
    Json(answer)
}

fn read(body: Body) -> Result<Asked, Refusal> {
    let Json(asked) = body.map_err(|rejected| Refusal::new(rejected.status(), rejected.body_text(), REMEDY))?;
    Ok(asked)
}

fn bad(error: impl Into<String>, remedy: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, error, remedy)
}

/// One line for the journal: `who: why`.
fn signature(identity: &Identity, asked: &Asked) -> Result<String, Refusal> {
    let reason = asked.reason.trim();
    let by = match identity {
        Identity::Named { name, .. } => name.as_str(),
        Identity::Unnamed => asked.by.trim(),
    };
    if by.is_empty() || reason.is_empty() {
        return Err(bad("`by` and `reason` may not be empty", REMEDY));
    }
    for (what, text, characters_max) in [("by", by, BY_CHARACTERS_MAX), ("reason", reason, REASON_CHARACTERS_MAX)] {
        if text.chars().count() > characters_max {
            return Err(bad(format!("`{what}` is longer than {characters_max} characters"), "say it shorter"));
        }
    }
    let who = match identity {
        Identity::Named { .. } => printable(by).into_owned(),
        // It may not look like a name that a token stands for, with a reason of its own behind it.
        Identity::Unnamed => {
            let name: String = by.chars().map(|c| if ":()".contains(c) { ' ' } else { c }).collect();
            format!("{} (claimed)", printable(name.trim()))
        }
    };
    Ok(format!("{who}: {}", printable(reason)))
}

/// The service that is asked for, by its identity or bare name; None: all.
fn service(asked: &Asked) -> Result<Option<String>, Refusal> {
    let Some(service) = asked.service.as_deref().map(str::trim) else { return Ok(None) };
    if service.is_empty() || service.chars().count() > SERVICE_CHARACTERS_MAX || service.chars().any(char::is_control) {
        let error =
            format!("`service` is no name of a service: empty, or not 1 to {SERVICE_CHARACTERS_MAX} characters");
        return Err(bad(error, "name one of /api/v1/services, or leave it out for all"));
    }
    Ok(Some(service.to_owned()))
}

fn lasting(text: &str) -> Result<Duration, Refusal> {
    let remedy = "write a duration such as 30m, 2h or 90s, of 30 days at most";
    match parse_duration(text) {
        Some(lasting) if lasting > Duration::ZERO && lasting <= LASTING_MAX => Ok(lasting),
        _ => Err(bad(format!("`for` is `{}`", printable(text)), remedy)),
    }
}

/// A word on a service that is not seen: it may be written otherwise.
fn unseen(snapshot: &Snapshot, service: &str) -> Option<String> {
    let seen = snapshot.findings.services.iter().map(|finding| &finding.service);
    let is_seen = seen.clone().any(|known| known.as_str() == service || known.name() == service);
    let known: Vec<&str> = seen.map(|known| known.as_str()).collect();
    let nearest = nearest(service, &known);
    let hint = nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    (!is_seen).then(|| format!("no spans of a service {} are seen now{hint}", printable(service)))
}

/// One order at a time: however many come at once, the engine's thread is back at its spans between two of them.
static ORDERING: Semaphore = Semaphore::const_new(1);

/// Hands an event to the engine and waits until it is taken.
async fn order(api: &Api, event: Event) -> Result<(), Refusal> {
    let _one = ORDERING.acquire().await;
    let unavailable = |remedy: &str| {
        let error = "the engine takes no events: it is shutting down, or far behind";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error, remedy)
    };
    let (taken_in, taken) = oneshot::channel();
    api.controls.try_send(Control { event, taken: taken_in }).map_err(|_| unavailable("ask again in a second"))?;
    match tokio::time::timeout(TAKEN_MAX, taken).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(unavailable("look at /readyz, and ask again once it is ready")),
        Err(_) => Err(Refusal::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("the engine has not taken it within {} s", TAKEN_MAX.as_secs()),
            "it takes it as soon as it can: look at /api/v1/status before you ask again",
        )),
    }
}
