//! SQL over HTTP: answers of one tick are kept for who asks the same, and every refusal has its status.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
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
use serde::Deserialize;
use tokio::runtime::Handle;

use super::{Api, Refusal, Snapshot};
use crate::config;
use crate::sql::{Counters, Pool, QueryError, Settings};

/// Largest answer, in bytes of JSON.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// All answers that are kept: eight of the largest, or the panels of many dashboards.
const ANSWERS_BYTES_MAX: u64 = 32 << 20;

/// An answer belongs to one tick, so it can never be stale; this only frees those that are no longer asked for.
const ANSWER_KEPT: Duration = Duration::from_secs(10);

/// What an entry of the cache takes beside its text.
const ENTRY_BYTES: usize = 512;

/// Asks children, and keeps answers.
pub struct Sql {
    runtime: Handle,
    pool: Pool,
    timeout: Duration,
    /// A dashboard asks the same of one tick from every open browser at once: the first asks a child, the others wait for
    /// the same answer. So the cache holds answers to come, not answers.
    answers: Cache<(u64, String), Coming>,
}

type Coming = Shared<BoxFuture<'static, Result<Bytes, Refusal>>>;

impl Sql {
    /// Starts the first child. `runtime` has the threads that wait for children; `shelf_bytes` is kept at what the tables
    /// take that children read.
    pub fn start(runtime: &Handle, config: &config::Api, shelf_bytes: Arc<AtomicU64>) -> std::io::Result<Sql> {
        let settings = Settings {
            timeout: config.sql_timeout,
            memory_bytes: config.sql_memory_bytes,
            rows_max: config.sql_rows_max,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let weight = |key: &(u64, String), coming: &Coming| {
            let text = coming.peek().and_then(|answer| answer.as_ref().ok()).map_or(0, Bytes::len);
            u32::try_from(ENTRY_BYTES + key.1.len() + text).unwrap_or(u32::MAX)
        };
        Ok(Sql {
            runtime: runtime.clone(),
            pool: Pool::start(runtime.clone(), settings, shelf_bytes)?,
            timeout: config.sql_timeout,
            answers: Cache::builder().max_capacity(ANSWERS_BYTES_MAX).weigher(weight).time_to_live(ANSWER_KEPT).build(),
        })
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    pub fn counters(&self) -> &Arc<Counters> {
        self.pool.counters()
    }

    async fn answer(&self, snapshot: Arc<Snapshot>, sql: String) -> Result<Bytes, Refusal> {
        let key = (snapshot.tick, sql.clone());
        let coming = self.answers.get_with(key.clone(), || self.start_query(snapshot, sql));
        let first = coming.peek().is_none();
        let answer = coming.clone().await;
        if answer.is_err() {
            // Being busy, or out of time, is true of now and not of the tick.
            self.answers.invalidate(&key);
        } else if first {
            // Weighed anew, with its text.
            self.answers.insert(key, coming);
        }
        answer
    }

    fn start_query(&self, snapshot: Arc<Snapshot>, sql: String) -> Coming {
        let pool = self.pool.clone();
        // A task of its own: one that waits goes on whether or not its caller is there to poll it.
        let asking = self.runtime.spawn(async move { pool.ask(snapshot.tables.clone(), sql).await });
        async move {
            let answer = asking.await.unwrap_or_else(|error| Err(QueryError::Failed { cause: error.to_string() }));
            answer.map(Bytes::from).map_err(|error| refusal(&error))
        }
        .boxed()
        .shared()
    }
}

/// Cause and remedy stand on both sides of the message's semicolon.
fn refusal(error: &QueryError) -> Refusal {
    let status = match error {
        QueryError::Invalid { .. } | QueryError::TooLarge { .. } => StatusCode::BAD_REQUEST,
        QueryError::Memory => StatusCode::PAYLOAD_TOO_LARGE,
        QueryError::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
        QueryError::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
        QueryError::GaveWay { .. } | QueryError::Process { .. } => StatusCode::SERVICE_UNAVAILABLE,
        QueryError::Stack | QueryError::Failed { .. } => StatusCode::UNPROCESSABLE_ENTITY,
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
