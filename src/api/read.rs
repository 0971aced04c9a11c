//! Findings and actions, from the snapshot.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Api, Readiness, Refusal, Snapshot};
use crate::guard::Decision;
use crate::journal::{Entry, ExplainError, What, explain};
use crate::model::Pause;

/// Decisions in one answer when the caller names no limit: a screen or two.
const DECISIONS_DEFAULT: usize = 100;

/// The process runs and answers; nothing more is promised.
pub async fn livez() -> &'static str {
    "ok\n"
}

pub async fn readyz(State(api): State<Api>) -> Result<&'static str, Refusal> {
    let not_ready = |error: String| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error, "wait; the daemon's log says what it is about")
    };
    match *api.readiness.borrow() {
        Readiness::Ready => match api.since_tick() {
            since if since > api.ticks_late => {
                let error = format!("the last tick was {:.0} s ago", since.as_secs_f64());
                Err(Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    error,
                    "look at the daemon's log and its processor time",
                ))
            }
            _ => Ok("ok\n"),
        },
        Readiness::Starting(what) => Err(not_ready(format!("starting: waiting for {what}"))),
        Readiness::Draining => Err(not_ready("draining: it finishes what it has and takes nothing new".into())),
    }
}

pub async fn status(State(api): State<Api>) -> Json<Value> {
    let snapshot = api.snapshot();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "at": snapshot.at.to_string(),
        "tick": snapshot.tick,
        "mode": snapshot.mode,
        "paused": snapshot.pauses.all().map(|pause| &pause.by),
        "pauses": pauses(&snapshot),
        "verdict": snapshot.findings.verdict(),
        "summary": snapshot.findings.summary(),
        "bottleneck": snapshot.findings.bottleneck(),
        "interventions": snapshot.interventions,
        "blind": snapshot.findings.blind,
        "seen_share": snapshot.findings.sight.share,
        "complete_to": snapshot.findings.complete_to.to_string(),
        "spans": snapshot.spans,
        "tables": snapshot.tables.iter().map(|table| table.name).collect::<Vec<_>>(),
    }))
}

/// All that is paused: everything first (`service` is null), then services by name.
pub(super) fn pauses(snapshot: &Snapshot) -> Value {
    let one = |(service, pause): (Option<&str>, &Pause)| {
        json!({
            "service": service,
            "by": pause.by,
            "since": pause.since.to_string(),
            "until": pause.until.map(|until| until.to_string()),
        })
    };
    snapshot.pauses.iter().map(one).collect()
}

/// The worst bottleneck (verdict `healthy` without one, `partial` while a part is not seen, `blind` while nothing is known),
/// its sentence, and all of them, worst first.
pub async fn bottleneck(State(api): State<Api>) -> Json<Value> {
    let snapshot = api.snapshot();
    let worst = snapshot.findings.bottleneck();
    answer(
        &snapshot,
        &[
            ("summary", json!(snapshot.findings.summary())),
            ("bottleneck", json!(worst)),
            ("bottlenecks", json!(snapshot.findings.bottlenecks)),
        ],
    )
}

pub async fn findings(State(api): State<Api>) -> Json<Value> {
    let snapshot = api.snapshot();
    answer(&snapshot, &[("findings", json!(snapshot.findings))])
}

pub async fn services(State(api): State<Api>) -> Json<Value> {
    let snapshot = api.snapshot();
    answer(&snapshot, &[("services", json!(snapshot.findings.services))])
}

pub async fn entries(State(api): State<Api>) -> Json<Value> {
    let snapshot = api.snapshot();
    answer(&snapshot, &[("entries", json!(snapshot.findings.entries))])
}

/// What is planned, what it raises and why, and what that costs.
pub async fn schedule(State(api): State<Api>) -> Json<Value> {
    let snapshot = api.snapshot();
    answer(&snapshot, &[("schedule", json!(*snapshot.plan))])
}

/// How much of what happens is seen, for each endpoint and service, and what hinders it.
pub async fn sight(State(api): State<Api>) -> Json<Value> {
    let snapshot = api.snapshot();
    let findings = &snapshot.findings;
    answer(
        &snapshot,
        &[
            ("verdict", json!(findings.verdict())),
            ("summary", json!(findings.summary())),
            ("sight", json!(findings.sight)),
            ("hindrances", json!(findings.hindrances())),
        ],
    )
}

pub async fn interventions(State(api): State<Api>) -> Json<Value> {
    let snapshot = api.snapshot();
    answer(&snapshot, &[("interventions", json!(snapshot.interventions))])
}

/// What people were told of and is not over, and what became of the messages to each receiver.
pub async fn notices(State(api): State<Api>) -> Json<Value> {
    let snapshot = api.snapshot();
    let receivers: Vec<Value> = api.notices.iter().map(|outbox| json!(outbox.shown())).collect();
    answer(&snapshot, &[("standing", json!(snapshot.notices)), ("receivers", receivers.into())])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    service: Option<String>,
    limit: Option<usize>,
}

/// Newest first.
pub async fn decisions(
    State(api): State<Api>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let Query(wanted) = wanted.map_err(|rejected| {
        Refusal::new(StatusCode::BAD_REQUEST, rejected.body_text(), "the parameters are service=NAME and limit=N")
    })?;
    let snapshot = api.snapshot();
    let decisions: Vec<&Decision> = (snapshot.history.iter().rev())
        .filter_map(|entry| match &entry.what {
            What::Decided { decision } => Some(decision),
            _ => None,
        })
        .filter(|decision| {
            wanted.service.as_ref().is_none_or(|service| decision.proposal.service().as_str() == service)
        })
        .take(wanted.limit.unwrap_or(DECISIONS_DEFAULT))
        .collect();
    Ok(answer(&snapshot, &[("decisions", json!(decisions))]))
}

/// Explanations that are told at once; the others wait for their turn.
static EXPLAINING: Semaphore = Semaphore::const_new(2);

/// Findings, proposal, decision, change and effect of a decision or an intervention; the state and the changes of a time or a service; `text` is the same in prose.
pub async fn explanation(
    State(api): State<Api>,
    asked: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let Path(asked) = asked.map_err(|rejected| {
        Refusal::new(StatusCode::BAD_REQUEST, rejected.body_text(), "ask for an id, a time such as 14:03, or a service")
    })?;
    // Each holds a copy of the whole history while it is told.
    let _one = EXPLAINING.acquire().await;
    let snapshot = api.snapshot();
    let (now, mut entries): (_, Vec<Entry>) = (snapshot.at, snapshot.history.iter().cloned().collect());
    // What is found is recorded where it changes: of what is well from the start on nothing was.
    if snapshot.tick > 0 {
        entries.push(Entry { at: now, what: What::Found { findings: snapshot.findings.clone() } });
    }
    let explanation = explain(&entries, &asked, now).map_err(|error| {
        let status = match error {
            ExplainError::Question { .. } => StatusCode::BAD_REQUEST,
            ExplainError::NotFound { .. } | ExplainError::NoDecision { .. } | ExplainError::Empty => {
                StatusCode::NOT_FOUND
            }
        };
        let remedy = "see /api/v1/decisions for what is at hand; for more run `headroom explain ID --journal FILE`";
        Refusal::new(status, error.to_string(), remedy)
    })?;
    let mut answer = json!(explanation);
    answer["text"] = explanation.to_string().into();
    Ok(Json(answer))
}

/// When it was so, and what.
fn answer(snapshot: &Snapshot, parts: &[(&str, Value)]) -> Json<Value> {
    let mut answer = serde_json::Map::new();
    answer.insert("at".into(), snapshot.at.to_string().into());
    answer.insert("blind".into(), snapshot.findings.blind.into());
    answer.extend(parts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Json(Value::Object(answer))
}
