//! How long effects are waited for, each with the reason for its default.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// A pod that passes readiness still fills caches, pools and just-in-time compilers; for about 10 s its
    /// service times are near double, and judging then would blame the remedy.
    pub warm_up: Duration,
    /// At least so long at work before an intervention is said to have had no effect: the backlog of the time
    /// before must drain first.
    pub judge_at_least: Duration,
    /// Calm must last this long before anything is given back: shorter is a lull in the same burst.
    pub calm: Duration,
    /// Waiting that fell to this share of its worst is a proof at once …
    pub proof_share: f64,
    /// … and one that is still above this share at the deadline has not fallen.
    pub no_effect_share: f64,
    /// Below this, in milliseconds, waiting is noise and says nothing; blame alone decides. Runtimes that queue
    /// inside their own span show hardly any waiting.
    pub waiting_noise_ms: f64,
    /// The record's removal is asked for again when it has not happened for so long.
    pub close_again: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            warm_up: Duration::from_secs(10),
            judge_at_least: Duration::from_secs(30),
            calm: Duration::from_secs(60),
            proof_share: 0.5,
            no_effect_share: 0.8,
            waiting_noise_ms: 5.0,
            close_again: Duration::from_secs(5),
        }
    }
}
