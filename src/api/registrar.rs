//! What a registrar sends: changes of the schedule as CloudEvents, signed by a shared secret or by whoever may operate
//! headroom. The same message twice is one; one that is not from whom it says does nothing.

use std::collections::{BTreeMap, VecDeque};
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
use tracing::{info, warn};

use super::access::{self, Peer};
use super::{Api, Planning, Refusal};
use crate::config::Token;
use crate::model::{Time, printable};
use crate::schedule::kinds::kind_of;
use crate::schedule::{Kind, Planned, Settings, changes};

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
    /// It was never read, and why.
    Hindered { source: String, problems: Vec<crate::schedule::Problem> },
}

/// Where a registrar's words come in.
pub struct Registrar {
    secret: Option<Token>,
    settings: Settings,
    kinds: Vec<Kind>,
    heard: mpsc::Sender<Said>,
    /// Ids of the messages that were taken, oldest first.
    seen: Mutex<VecDeque<String>>,
    /// By event the highest revision that was taken.
    words: Mutex<BTreeMap<String, i64>>,
}

impl Registrar {
    pub fn new(secret: Option<Token>, settings: Settings, kinds: Vec<Kind>, heard: mpsc::Sender<Said>) -> Registrar {
        Registrar { secret, settings, kinds, heard, seen: Mutex::default(), words: Mutex::default() }
    }

    /// Why a word on an event changes nothing; None where it does. It is the last one that is known from now on.
    fn without_effect(&self, event: &Planned, planning: &Planning, now: Time) -> Option<String> {
        let name = &event.title;
        if event.ends.max(event.starts) < now {
            return Some(format!("{name}: it is over, so that this changes nothing"));
        }
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let planned = planning.plan.events.iter().map(|raised| &raised.event).find(|known| known.id == event.id);
        let known = words.get(&event.id).copied().max(planned.map(|known| known.revision));
        if let Some(known) = known.filter(|known| *known >= event.revision) {
            let source = planned
                .filter(|planned| planned.revision == known)
                .map_or(changes::SOURCE, |planned| planned.source.as_str());
            return Some(format!(
                "{name}: {source} said something as late or later of it (revision {known}, this is {}), which holds",
                event.revision
            ));
        }
        // Of those that are forgotten the plan still tells.
        if words.len() >= SEEN_MAX {
            words.clear();
        }
        words.insert(event.id.clone(), event.revision);
        None
    }

    /// What its sender should know of an event that was taken.
    fn note(&self, event: &Planned) -> Option<String> {
        let is_none = !event.cancelled && kind_of(&self.kinds, event).is_none();
        let names: Vec<&str> = self.kinds.iter().map(|kind| kind.name.as_str()).collect();
        is_none.then(|| match event.categories.first() {
            Some(kind) => format!(
                "{}: `{kind}` is no kind under schedule.kinds ({}), so that it raises nothing unless a calendar says more of it",
                event.title,
                names.join(", ")
            ),
            None => format!("{}: it names no `kind`, so that it raises nothing unless a calendar says more of it", event.title),
        })
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

const REMEDY: &str = "send a CloudEvent (1.0) with specversion, id, source, type and time, whose data has `id` and `starts`, and \
                      `ends`, `kind`, `participants`, `title`, `cancelled`, `sequence` where they say something (docs/schedule.md)";

const NOT_SIGNED: &str =
    "sign `webhook-id.webhook-timestamp.body` by schedule.webhook.secret (HMAC-SHA256), within five minutes";

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
    match take(&api, &parts.headers, &body, peer) {
        Ok(answer) => (StatusCode::ACCEPTED, Json(answer)).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Whether whoever sent it may: by the signature, else by a token of the API. Where a secret is configured and no token is
/// asked for, nobody may without a signature.
async fn sent_by(api: &Api, headers: &HeaderMap, body: &Bytes, peer: Option<IpAddr>) -> Result<(), Response> {
    let is_signed = headers.contains_key("webhook-signature");
    if !is_signed && (api.registrar.secret.is_none() || api.access.asks_for_a_token()) {
        return access::may_operate(api, headers, peer, "/api/v1/schedule/changes").await;
    }
    let held =
        if is_signed { signed(api, headers, body) } else { Err("it has none, and schedule.webhook has a secret") };
    held.map_err(|why| {
        warn!(peer = in_words(peer), why, "a message of a registrar was refused");
        let error = format!("the message's signature does not hold: {why}");
        Refusal::new(StatusCode::UNAUTHORIZED, error, NOT_SIGNED).into_response()
    })
}

fn in_words(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string())
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
    if !is_signed(&secret.signing_key()?, id, second, body, text("webhook-signature")) {
        return Err("it is signed by another secret, or was changed");
    }
    Ok(())
}

/// Whether one of the signatures is that of this message (Standard Webhooks). The comparison takes a time that tells nothing.
fn is_signed(key: &[u8], id: &str, second: i64, body: &[u8], signatures: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signed = [format!("{id}.{second}.").as_bytes(), body].concat();
    // A rotation signs by two secrets; nobody by more than a handful.
    signatures.split(' ').take(8).any(|signature| {
        let tag = signature.strip_prefix("v1,").and_then(|tag| STANDARD.decode(tag).ok());
        tag.is_some_and(|tag| hmac::verify(&key, &signed, &tag).is_ok())
    })
}

fn take(api: &Api, headers: &HeaderMap, body: &Bytes, peer: Option<IpAddr>) -> Result<Value, Refusal> {
    let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error, REMEDY);
    let registrar: &Arc<Registrar> = &api.registrar;
    let message = message(mode(headers)?, headers, body).map_err(bad)?;
    let changed = changes::read(message, &registrar.settings).map_err(bad)?;
    if registrar.is_again(&changed.id) {
        return Ok(json!({"taken": 0, "again": true}));
    }
    let Ok(place) = registrar.heard.try_reserve() else {
        // It was not taken, so that it is none that comes again.
        registrar.forget(&changed.id);
        let error = "the planner takes no messages now: it is far behind, or shutting down";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error, "send it again in some seconds"));
    };
    let (planning, now) = (api.snapshot().plan.clone(), api.clock.now());
    let (mut taken, mut notes) = (0, Vec::new());
    for event in &changed.events {
        match registrar.without_effect(event, &planning, now) {
            Some(why) => notes.push(why),
            None => {
                taken += 1;
                notes.extend(registrar.note(event));
            }
        }
    }
    notes.extend(changed.not_read.iter().map(|name| format!("`{name}` means nothing here and was left alone")));
    info!(
        peer = in_words(peer),
        id = changed.id,
        events = changed.events.len(),
        taken,
        "a registrar's change was taken"
    );
    place.send(Said::Of { source: changes::SOURCE.into(), events: changed.events });
    let mut answer = json!({"taken": taken, "again": false});
    if !notes.is_empty() {
        answer["notes"] = notes.into();
    }
    Ok(answer)
}

/// How a CloudEvent comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// All of it is the body.
    Structured,
    /// Its data is the body, the rest stands in headers.
    Binary,
}

/// By its content type; a body of any other type is none.
fn mode(headers: &HeaderMap) -> Result<Mode, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/cloudevents+json" => Ok(Mode::Structured),
        "application/json" if headers.contains_key("ce-specversion") => Ok(Mode::Binary),
        "application/json" => Ok(Mode::Structured),
        _ => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("`{}` is not the type of a CloudEvent's body here", printable(&kind)),
            "send application/cloudevents+json, or application/json with the headers ce-…; several events go into `data` as a list",
        )),
    }
}

/// The CloudEvent in structured mode, or put together of a request in binary mode.
fn message(mode: Mode, headers: &HeaderMap, body: &Bytes) -> Result<Value, String> {
    let json: Value = serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    if mode == Mode::Structured {
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
