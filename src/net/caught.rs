//! A request's border: a panic of whoever answers it is this request's failure, and nobody else's.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

/// What comes of an answer; None where it panicked. What it worked on is not looked at again.
pub async fn caught<F: Future>(answering: F) -> Option<F::Output> {
    AssertUnwindSafe(answering).catch_unwind().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_the_failure_of_one_answer() {
        assert_eq!(caught(async { 1 }).await, Some(1));
        assert_eq!(caught(async { [1, 2].iter().position(|n| *n == 3).expect("three is there") }).await, None);
    }
}
