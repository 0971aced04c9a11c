//! What a registrar sends: changes of the schedule as CloudEvents, signed by a shared secret or by whoever may operate
//! headroom. The same message twice is one; one that is not from whom it says does nothing.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tracing::warn;

use super::access::{self, Peer};
use super::{Api, Refusal};
use crate::config::Token;
use crate::model::Time;
use crate::schedule::{Planned, Settings, changes};

/// A message is signed for its moment: one that is older, or from a clock so far ahead, may be one that somebody kept.
const SIGNED_WITHIN: Duration = Duration::from_secs(300);

/// Messages that are remembered, so that one that is sent again does nothing again: far more than come while a signature
/// holds.
const SEEN_MAX: usize = 10_000;

/// Words of sources, on their way to the planner.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// All that a source says.
    All { source: String, events: Vec<Planned>, problems: Vec<crate::schedule::Problem> },
    /// What it says of some events, beside what it said of others.
    Of { source: String, events: Vec<Planned> },
}

/// Where a registrar's words come in.
pub struct Registrar {
    secret: Option<Token>,
    settings: Settings,
    heard: mpsc::Sender<Said>,
    /// Ids of the messages that were taken, oldest first.
    seen: Mutex<VecDeque<String>>,
}

impl Registrar {
    pub fn new(secret: Option<Token>, settings: Settings, heard: mpsc::Sender<Said>) -> Registrar {
        Registrar { secret, settings, heard, seen: Mutex::default() }
    }

    /// Whether it was taken before; it is from now on.
    fn is_again(&self, id: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.iter().any(|known| known == id) {
            return true;
        }
        if seen.len() >= SEEN_MAX {
            seen.pop_front();
        }
        seen.push_back(id.to_owned());
        false
    }

    fn forget(&self, id: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|known| known != id);
    }
}

const REMEDY: &str = "send a CloudEvent (1.0) as docs/schedule.md has it";

/// `POST /api/v1/schedule/changes`
pub async fn changed(State(api): State<Api>, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let (parts, body) = request.into_parts();
    let limit = super::BODY_BYTES_MAX;
    let Ok(body) = axum::body::to_bytes(body, limit).await else {
        let error = format!("the message is longer than {limit} bytes, or broke off");
        return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error, "send fewer events in one message").into_response();
    };
    if let Err(refusal) = sent_by(&api, &parts.headers, &body, peer).await {
        return refusal;
    }
    match take(&api, &parts.headers, &body) {
        Ok(answer) => (StatusCode::ACCEPTED, Json(answer)).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Whether whoever sent it may: by the signature, else by a token of the API.
async fn sent_by(api: &Api, headers: &HeaderMap, body: &Bytes, peer: Option<IpAddr>) -> Result<(), Response> {
    if !headers.contains_key("webhook-signature") {
        return access::may_operate(api, headers, peer, "/api/v1/schedule/changes").await;
    }
    signed(api, headers, body).map_err(|why| {
        let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
        warn!(peer, why, "a message of a registrar was refused");
        let remedy =
            "sign `webhook-id.webhook-timestamp.body` by schedule.webhook.secret (HMAC-SHA256), within five minutes";
        Refusal::new(StatusCode::UNAUTHORIZED, format!("the message's signature does not hold: {why}"), remedy)
            .into_response()
    })
}

/// Why the signature does not hold, where it does not.
fn signed(api: &Api, headers: &HeaderMap, body: &Bytes) -> Result<(), &'static str> {
    let secret = api.registrar.secret.as_ref().ok_or("no secret is configured")?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, stamp) = (text("webhook-id"), text("webhook-timestamp"));
    let second = stamp.parse::<i64>().map_err(|_| "webhook-timestamp is no number of seconds")?;
    let away = api.clock.now().nanos_since(Time::from_secs(second)).unsigned_abs();
    if u128::from(away) > SIGNED_WITHIN.as_nanos() {
        return Err("webhook-timestamp is more than five minutes away");
    }
    if !is_signed(secret.reveal(), id, second, body, text("webhook-signature")) {
        return Err("it is signed by another secret, or was changed");
    }
    Ok(())
}

/// Whether one of the signatures is that of this message (Standard Webhooks). The comparison takes a time that tells nothing.
fn is_signed(secret: &str, id: &str, second: i64, body: &[u8], signatures: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signed = [format!("{id}.{second}.").as_bytes(), body].concat();
    // A rotation signs by two secrets; nobody by more than a handful.
    signatures.split(' ').take(8).any(|signature| {
        let tag = signature.strip_prefix("v1,").and_then(|tag| STANDARD.decode(tag).ok());
        tag.is_some_and(|tag| hmac::verify(&key, &signed, &tag).is_ok())
    })
}

fn take(api: &Api, headers: &HeaderMap, body: &Bytes) -> Result<Value, Refusal> {
    let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error, REMEDY);
    let registrar: &Arc<Registrar> = &api.registrar;
    let message = message(headers, body).map_err(bad)?;
    let changed = changes::read(message, &registrar.settings).map_err(bad)?;
    let count = changed.events.len();
    if registrar.is_again(&changed.id) {
        return Ok(json!({"taken": 0, "again": true}));
    }
    let heard = Said::Of { source: changes::SOURCE.into(), events: changed.events };
    if registrar.heard.try_send(heard).is_err() {
        // It was not taken, so that it is none that comes again.
        registrar.forget(&changed.id);
        let error = "the planner takes no messages now: it is far behind, or shutting down";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error, "send it again in some seconds"));
    }
    Ok(json!({"taken": count, "again": false}))
}

/// The CloudEvent in structured mode, or put together of a request in binary mode.
fn message(headers: &HeaderMap, body: &Bytes) -> Result<Value, String> {
    let json: Value = serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/cloudevents+json") || !headers.contains_key("ce-specversion") {
        return Ok(json);
    }
    let mut event = Map::new();
    for (name, value) in headers {
        if let (Some(name), Ok(value)) = (name.as_str().strip_prefix("ce-"), value.to_str()) {
            event.insert(name.to_owned(), value.into());
        }
    }
    event.insert("data".into(), json);
    Ok(Value::Object(event))
}
