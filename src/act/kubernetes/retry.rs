//! Calls of the API server that are worth a second try: a few, soon, and each after a drawn pause, so that many
//! clients do not come back together.

use std::time::Duration;

use kube::Error;
use rand::RngExt;

/// With the pauses below they end well within the five seconds that the adapter gives a change.
const ATTEMPTS_MAX: u32 = 4;

/// The first pause is drawn from up to this, each further one from up to twice the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// A server that asks for a longer pause is left alone; the next tick decides anew.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Calls until it succeeds, fails for good, or the budget is spent. Only for calls that may be made twice.
pub async fn retried<T, F>(mut call: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pause = PAUSE_FIRST;
    for _ in 1..ATTEMPTS_MAX {
        match call().await {
            Err(error) => match asked_pause(&error) {
                Some(asked) if asked <= PAUSE_MAX => {
                    let drawn = pause.mul_f64(rand::rng().random_range(0.5..1.0));
                    tokio::time::sleep(drawn.max(asked)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                _ => return Err(error),
            },
            done => return done,
        }
    }
    call().await
}

/// The pause that the server asks for; None where another try would end the same way.
fn asked_pause(error: &Error) -> Option<Duration> {
    match error {
        Error::Api(status) if matches!(status.code, 429 | 500 | 502 | 503 | 504) => {
            let asked = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
            Some(Duration::from_secs(asked.into()))
        }
        // The connection broke or was refused: a server that restarts, or one behind a balancer that went away.
        Error::HyperError(_) | Error::Service(_) => Some(Duration::ZERO),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    async fn attempts(code: u16, retry_after_seconds: u32) -> u32 {
        let mut attempts = 0;
        let details = serde_json::json!({"retryAfterSeconds": retry_after_seconds});
        let status =
            Status { details: serde_json::from_value(details).unwrap(), ..Status::failure("busy", "").with_code(code) };
        let ended = retried(|| {
            attempts += 1;
            std::future::ready(Err::<(), _>(Error::Api(Box::new(status.clone()))))
        });
        assert!(ended.await.is_err());
        attempts
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_a_few_times_and_what_will_not_once() {
        assert_eq!((attempts(503, 0).await, attempts(429, 0).await), (4, 4));
        assert_eq!((attempts(409, 0).await, attempts(422, 0).await, attempts(403, 0).await), (1, 1, 1));
        assert_eq!(attempts(429, 30).await, 1, "a server that wants to be left alone is");
    }

    #[tokio::test]
    async fn the_first_success_ends_it() {
        let mut attempts = 0;
        let answer = retried(|| {
            attempts += 1;
            let broken = || Error::Api(Status::failure("", "").with_code(500).boxed());
            std::future::ready(if attempts == 2 { Ok(7) } else { Err(broken()) })
        });
        assert_eq!(answer.await.unwrap(), 7);
    }
}
