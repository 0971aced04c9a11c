//! The sample of traces that is compared in the loop.

use std::time::Duration;

/// What is judged as one: the shorter tells sooner, the longer of quieter ones; as the rest of the analysis does.
/// One alone is late for quiet services, or blurred for loud ones.
pub const VIEWS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(8)];
/// Rows of healthy time that are compared in a tick, in a millisecond or two. Of more, the answer is that of an
/// earlier tick … Without it: large systems spend their ticks on what nobody feels.
pub const ROWS_A_TICK: usize = 1_000;
/// … of this many at most, unless an objective is missed. Without it: an answer is half a minute old.
pub const TICKS_MAX: usize = 5;
/// How long a portion of the sample waits before it counts as healthy, and for how long before it nothing may have
/// been missed; as for the rest of healthy time (`baseline`). Without it: incidents are learned as normal.
pub const QUARANTINE: Duration = Duration::from_secs(15);
/// Spans of one half of healthy time: the older half is forgotten when the newer has as many. A few minutes.
/// Without it: a change of last week is news, or memory grows.
pub const HALF_SPANS: u64 = 100_000;
/// Traces of healthy time from which on anything can be said to have changed. Without it: the first minute of each
/// start is full of changes.
pub const HEALTHY_TRACES_MIN: u64 = 300;
/// A change of which it is more likely than not that it is a fault is not learned … Without it: faults are learned
/// as normal, or nothing is learned any more.
pub const LIKELY: f64 = 0.5;
/// … until it has lasted this long without an objective missed. Then it is how the system is meant to be: a release
/// that no longer calls somebody. Without it: a release that no longer calls somebody is suspected for ever.
pub const ACCEPTED_AFTER: Duration = Duration::from_secs(600);
/// Answers in a row by which a service is failing before that is told: where users will feel it, they do by then.
/// Without it: one odd view is told as an early return.
pub const ANSWERS_MIN: usize = 3;
/// Time without a missed objective before that: what was given up while one was missed ends, is analysed and leaves
/// the sample within it. Without it: what was given up in an outage is told as an early return after it.
pub const CALM: Duration = Duration::from_secs(20);
/// Suspects that are told, and how likely they are at least. Without it: findings carry a list of the improbable.
pub const TOLD_MAX: usize = 3;
/// Without it: the same.
pub const TOLD_SCORE_MIN: f64 = 0.1;
