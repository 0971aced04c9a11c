//! Delivers what waits for one receiver, in order: again and again while it cannot be had, with growing pauses.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tracing::{debug, info, warn};

use super::client::Client;
use super::forms;
use super::outbox::Outbox;
use crate::clock::Clock;

/// How long to wait before a message is sent again.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After the first failure; each further pause is twice as long.
    pub first: Duration,
    pub most: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        // A receiver that restarts is there again within seconds; one that is down for an hour is asked once a minute.
        Pace { first: Duration::from_secs(1), most: Duration::from_secs(60) }
    }
}

impl Pace {
    /// Drawn from the upper half, so that receivers that were down together are not asked together.
    fn pause(self, failures: u32) -> Duration {
        let longest = self.first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(self.most);
        longest.mul_f64(rand::rng().random_range(0.5..1.0))
    }
}

/// Runs for as long as headroom does.
pub async fn run(outbox: Arc<Outbox>, client: Client, pace: Pace, retry_for: Duration) {
    let receiver = outbox.receiver().clone();
    // Not a demo's time: receivers have their own clocks.
    let clock = Clock::system();
    let mut failures = 0;
    loop {
        let (message, waited) = outbox.next().await;
        let posted = match forms::posted(&receiver, &message, clock.now()) {
            Ok(posted) => posted,
            Err(reason) => {
                outbox.give_up(&message, reason);
                continue;
            }
        };
        let outcome = client.post(&posted).await;
        outbox.attempted(&message, &outcome);
        let Err(failure) = outcome else {
            if failures > 0 {
                info!(receiver = receiver.name, failures, "the receiver of notices answers again");
            }
            failures = 0;
            debug!(receiver = receiver.name, id = message.id, "notice delivered");
            continue;
        };
        if !failure.is_temporary() {
            outbox.give_up(&message, failure.to_string());
            continue;
        }
        if waited >= retry_for {
            let reason = format!("{failure}; tried for {} s (notify.retry_for)", retry_for.as_secs());
            outbox.give_up(&message, reason);
            continue;
        }
        failures += 1;
        if failures == 1 {
            warn!(receiver = receiver.name, %failure, "a notice cannot be delivered; it is sent again");
        }
        let pause = failure.retry_after().unwrap_or_else(|| pace.pause(failures));
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests;
