//! SQL over HTTP, kept from the loop's way: its own runtime, few queries at once, each with a deadline.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::{Json, extract};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::query::{Limits, QueryError, query};
use super::{Api, Refusal, Snapshot, rows};
use crate::config;

/// Queries that run or wait at once; the next is told to come back. They share one core.
const QUERIES_MAX: usize = 4;

/// Largest answer in Arrow bytes, before it becomes JSON of several times that.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Answers kept: the panels of a few dashboards. With [`ANSWER_BYTES_MAX`] that bounds what they hold.
const ANSWERS_KEPT_MAX: u64 = 32;

/// An answer belongs to one tick, so it can never be stale; this only frees those that are no longer asked for.
const ANSWER_KEPT: Duration = Duration::from_secs(10);

/// Runs queries and keeps answers.
pub struct Sql {
    runtime: Handle,
    slots: Arc<Semaphore>,
    limits: Limits,
    timeout: Duration,
    /// A dashboard asks the same of one tick from every open browser at once: the first asks DataFusion, the
    /// others wait for the same answer. So the cache holds answers to come, not answers.
    answers: Cache<(u64, String), Coming>,
}

type Coming = Shared<BoxFuture<'static, Result<Bytes, Refusal>>>;

#[derive(Serialize)]
struct Body {
    columns: Vec<Column>,
    rows: Vec<Map<String, Value>>,
    /// There were more rows than the limits let through.
    truncated: bool,
}

#[derive(Serialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
}

impl Sql {
    /// `runtime` runs the queries; give it one worker thread, so that they never take more than one core.
    pub fn new(runtime: Handle, config: &config::Api) -> Sql {
        Sql {
            runtime,
            slots: Arc::new(Semaphore::new(QUERIES_MAX)),
            limits: Limits {
                memory_bytes: usize::try_from(config.sql_memory_bytes).unwrap_or(usize::MAX) / QUERIES_MAX,
                rows_max: config.sql_rows_max,
                answer_bytes_max: ANSWER_BYTES_MAX,
                partitions: 1,
            },
            timeout: config.sql_timeout,
            answers: Cache::builder().max_capacity(ANSWERS_KEPT_MAX).time_to_live(ANSWER_KEPT).build(),
        }
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    async fn answer(&self, snapshot: Arc<Snapshot>, sql: String) -> Result<Bytes, Refusal> {
        let key = (snapshot.tick, sql.clone());
        let answer = self.answers.get_with(key.clone(), || self.start(snapshot, sql)).await;
        if answer.is_err() {
            // Being busy, or out of time, is true of now and not of the tick.
            self.answers.invalidate(&key);
        }
        answer
    }

    fn start(&self, snapshot: Arc<Snapshot>, sql: String) -> Coming {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            let error = format!("{QUERIES_MAX} queries are running or waiting already");
            let busy = Refusal::new(StatusCode::TOO_MANY_REQUESTS, error, "ask again in a second");
            return futures::future::ready(Err(busy)).boxed().shared();
        };
        let (limits, timeout) = (self.limits, self.timeout);
        let task = self.runtime.spawn(async move {
            let _slot = slot;
            match tokio::time::timeout(timeout, query(&snapshot.tables, &sql, &limits)).await {
                Ok(answer) => body(&answer.map_err(refusal)?),
                Err(_) => Err(Refusal::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    format!("the query took longer than {} s", timeout.as_secs_f64()),
                    "select less, or raise api.sql_timeout",
                )),
            }
        });
        let failed = |error: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error, "simplify the query");
        async move { task.await.unwrap_or_else(|error| Err(failed(format!("the query failed: {error}")))) }
            .boxed()
            .shared()
    }
}

/// The answer as JSON text, made on the queries' own runtime.
fn body(answer: &super::query::Answer) -> Result<Bytes, Refusal> {
    let failed = |error: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error, "cast the columns to text");
    let columns = (answer.schema.fields().iter())
        .map(|field| Column { name: field.name().clone(), data_type: field.data_type().to_string() })
        .collect();
    let mut rows = Vec::new();
    for batch in &answer.batches {
        rows.extend(rows::json_rows(batch).map_err(|error| failed(error.to_string()))?);
    }
    let text = serde_json::to_vec(&Body { columns, rows, truncated: answer.truncated });
    text.map(Bytes::from).map_err(|error| failed(error.to_string()))
}

/// Cause and remedy stand on both sides of the message's semicolon.
fn refusal(error: QueryError) -> Refusal {
    let status = match error {
        QueryError::Invalid { .. } => StatusCode::BAD_REQUEST,
        QueryError::Memory => StatusCode::PAYLOAD_TOO_LARGE,
        QueryError::Failed { .. } => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let message = error.to_string();
    let (cause, remedy) = message.rsplit_once("; ").unwrap_or((&message, ""));
    Refusal::new(status, cause, remedy)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    query: String,
}

pub async fn sql(
    State(api): State<Api>,
    body: Result<extract::Json<Asked>, JsonRejection>,
) -> Result<impl IntoResponse, Refusal> {
    let Json(asked) = body.map_err(|rejected| {
        let remedy = "send JSON such as {\"query\": \"select service, count(*) from spans group by service\"}";
        Refusal::new(rejected.status(), rejected.body_text(), remedy)
    })?;
    let answer = api.sql.answer(api.snapshot(), asked.query).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], answer))
}
