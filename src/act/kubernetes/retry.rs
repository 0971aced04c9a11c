//! Calls of the API server that are worth a second try: a few, soon, and each after a drawn pause, so that many
//! clients do not come back together. Every attempt is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kube::Error;
use kube::runtime::watcher;
use rand::RngExt;

/// With the pauses below they end well within the five seconds that the adapter gives a change.
const ATTEMPTS_MAX: u32 = 4;

/// The first pause is drawn from up to this, each further one from up to twice the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// A server that asks for a longer pause is left alone; the next tick decides anew.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What every API server writes into `Retry-After` of a 429. The client library passes the header on only where the
/// body repeats it, which that of the API server's own flow control does not.
const THROTTLED: Duration = Duration::from_secs(1);

/// Attempts of this process so far. One for all clients in it, as the server that they call is one.
pub static ATTEMPTS: Attempts = Attempts::new();

/// Why a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    First,
    /// The object had moved on, or a test of the patch failed (409, 422).
    Conflict,
    /// 429.
    Throttled,
    /// 5xx.
    Server,
    /// It broke or was refused.
    Connection,
    /// 410: a watch that asked for changes the server no longer has.
    Expired,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It failed and another follows.
    Again,
    /// It failed for good, or the budget is spent.
    Failed,
}

impl Reason {
    pub const ALL: [Reason; 6] =
        [Reason::First, Reason::Conflict, Reason::Throttled, Reason::Server, Reason::Connection, Reason::Expired];

    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::First => "first",
            Reason::Conflict => "conflict",
            Reason::Throttled => "throttled",
            Reason::Server => "server",
            Reason::Connection => "connection",
            Reason::Expired => "expired",
        }
    }

    /// Why a watch has to be taken up again.
    pub fn of_watch(error: &watcher::Error) -> Reason {
        let code = match error {
            watcher::Error::WatchError(status) => Some(status.code),
            watcher::Error::InitialListFailed(Error::Api(status))
            | watcher::Error::WatchStartFailed(Error::Api(status))
            | watcher::Error::WatchFailed(Error::Api(status)) => Some(status.code),
            _ => None,
        };
        match code {
            Some(410) => Reason::Expired,
            Some(429) => Reason::Throttled,
            Some(500..) => Reason::Server,
            _ => Reason::Connection,
        }
    }
}

impl Outcome {
    pub const ALL: [Outcome; 3] = [Outcome::Done, Outcome::Again, Outcome::Failed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Again => "again",
            Outcome::Failed => "failed",
        }
    }
}

/// Counts by reason and outcome.
#[derive(Debug)]
pub struct Attempts([[AtomicU64; Outcome::ALL.len()]; Reason::ALL.len()]);

impl Attempts {
    const fn new() -> Attempts {
        Attempts([const { [const { AtomicU64::new(0) }; Outcome::ALL.len()] }; Reason::ALL.len()])
    }

    pub fn count(&self, reason: Reason, outcome: Outcome) {
        self.0[reason as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// All of them, those that are 0 too.
    pub fn all(&self) -> impl Iterator<Item = (Reason, Outcome, u64)> + '_ {
        let of = |reason: Reason, outcome: Outcome| self.0[reason as usize][outcome as usize].load(Ordering::Relaxed);
        let each = move |reason| Outcome::ALL.into_iter().map(move |outcome| (reason, outcome, of(reason, outcome)));
        Reason::ALL.into_iter().flat_map(each)
    }
}

/// Calls until it succeeds, fails for good, or the budget is spent. Only for calls that may be made twice.
pub async fn retried<T, F>(call: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    counted(&ATTEMPTS, call, tokio::time::sleep).await
}

async fn counted<T, F, S>(
    attempts: &Attempts,
    mut call: impl FnMut() -> F,
    mut sleep: impl FnMut(Duration) -> S,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
    S: Future<Output = ()>,
{
    let (mut reason, mut pause, mut left) = (Reason::First, PAUSE_FIRST, ATTEMPTS_MAX);
    loop {
        left -= 1;
        let error = match call().await {
            Ok(done) => {
                attempts.count(reason, Outcome::Done);
                return Ok(done);
            }
            Err(error) => error,
        };
        let Some((why, asked)) = passing(&error).filter(|(_, asked)| left > 0 && *asked <= PAUSE_MAX) else {
            attempts.count(reason, Outcome::Failed);
            return Err(error);
        };
        attempts.count(reason, Outcome::Again);
        reason = why;
        // Beside the pause that was asked for, so that those who were sent away together do not come back together.
        let drawn = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        sleep(asked + drawn).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What may have passed by the next try, and the pause that the server asks for; None where another try would end the
/// same way.
fn passing(error: &Error) -> Option<(Reason, Duration)> {
    match error {
        Error::Api(status) => {
            let asked = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
            let asked = Duration::from_secs(asked.into());
            match status.code {
                429 => Some((Reason::Throttled, if asked.is_zero() { THROTTLED } else { asked })),
                500 | 502 | 503 | 504 => Some((Reason::Server, asked)),
                _ => None,
            }
        }
        // The connection broke or was refused: a server that restarts, or one behind a balancer that went away.
        Error::HyperError(_) | Error::Service(_) => Some((Reason::Connection, Duration::ZERO)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16, retry_after_seconds: u32) -> Error {
        let details = serde_json::json!({"retryAfterSeconds": retry_after_seconds});
        let status =
            Status { details: serde_json::from_value(details).unwrap(), ..Status::failure("busy", "").with_code(code) };
        Error::Api(Box::new(status))
    }

    /// The attempts that a server takes which always answers this, as `reason outcome count`, and the pauses.
    async fn attempts(code: u16, retry_after_seconds: u32) -> (Vec<String>, Vec<Duration>) {
        let (attempts, mut pauses) = (Attempts::new(), Vec::new());
        let call = || std::future::ready(Err::<(), _>(answer(code, retry_after_seconds)));
        let ended = counted(&attempts, call, |pause| {
            pauses.push(pause);
            std::future::ready(())
        });
        assert!(ended.await.is_err());
        let some = attempts.all().filter(|(_, _, count)| *count > 0);
        (
            some.map(|(reason, outcome, count)| format!("{} {} {count}", reason.as_str(), outcome.as_str())).collect(),
            pauses,
        )
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_a_few_times_and_what_will_not_once() {
        assert_eq!(attempts(503, 0).await.0, ["first again 1", "server again 2", "server failed 1"]);
        assert_eq!(attempts(429, 0).await.0, ["first again 1", "throttled again 2", "throttled failed 1"]);
        for code in [409, 422, 403] {
            assert_eq!(attempts(code, 0).await.0, ["first failed 1"], "{code}");
        }
        assert_eq!(attempts(429, 30).await.0, ["first failed 1"], "a server that wants to be left alone is");
    }

    #[tokio::test]
    async fn a_server_that_asks_for_a_pause_gets_it_and_all_pauses_end_soon() {
        let (_, pauses) = attempts(429, 0).await;
        assert!(pauses.iter().all(|pause| *pause > THROTTLED), "{pauses:?}");
        let (_, pauses) = attempts(503, 0).await;
        assert!(pauses.iter().sum::<Duration>() < Duration::from_secs(1), "{pauses:?}");
        assert!(pauses.is_sorted(), "each is longer than the one before: {pauses:?}");
    }

    #[tokio::test]
    async fn the_first_success_ends_it() {
        let (attempts, mut calls) = (Attempts::new(), 0);
        let call = || {
            calls += 1;
            std::future::ready(if calls == 2 { Ok(7) } else { Err(answer(500, 0)) })
        };
        assert_eq!(counted(&attempts, call, |_| std::future::ready(())).await.unwrap(), 7);
        let done = |(reason, outcome, count)| (reason == Reason::Server && outcome == Outcome::Done).then_some(count);
        assert_eq!(attempts.all().find_map(done), Some(1));
    }
}
