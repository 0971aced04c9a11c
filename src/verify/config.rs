//! How long effects are waited for, each with the reason for its default.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::setting::{Kind, Setting};
use crate::settings;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    /// Traffic that is kept away shortens a queue within this time: one second of queue is worked off in two or three, and
    /// spans tell of it two seconds later.
    pub shaping_within: Duration,
    /// So long must all that comes fit before it is let in: what comes in bursts of seconds is one overload.
    pub shaping_calm: Duration,
    /// Requests that went elsewhere relieve a service within this time: what was begun before ends within seconds, and objectives are
    /// judged over windows of seconds.
    pub prove_relief: Duration,
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
            shaping_within: Duration::from_secs(20),
            shaping_calm: Duration::from_secs(5),
            prove_relief: Duration::from_secs(30),
            close_again: Duration::from_secs(5),
        }
    }
}

const DAY: u64 = 86_400;

impl Config {
    /// What an operator may set.
    pub const SETTINGS: &'static [Setting<Config>] = settings![Config;
        warm_up: Kind::seconds(0, DAY), "after a pod is ready, before its work is judged";
        judge_at_least: Kind::seconds(1, DAY), "at work before an action is said to have had no effect";
        calm: Kind::seconds(0, DAY), "without a missed objective before anything is given back";
        proof_share: Kind::Share, "waiting that fell to this share of its worst proves an action at once";
        no_effect_share: Kind::Share, "waiting above this share of its worst at the deadline has not fallen";
        waiting_noise_ms: Kind::number(0.0, 60_000.0), "milliseconds of waiting below which blame alone decides";
        shaping_within: Kind::seconds(1, DAY), "traffic that is kept away must shorten the queue within this time";
        shaping_calm: Kind::seconds(0, DAY), "all that comes must fit for so long before it is let in again";
        prove_relief: Kind::seconds(1, DAY), "requests that were sent elsewhere must relieve the service within this time";
        close_again: Kind::seconds(1, DAY), "before the removal of a record that has not happened is asked for again";
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_can_be_set() {
        crate::model::setting::check(Config::SETTINGS, &[]);
    }
}
