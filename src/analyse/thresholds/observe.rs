//! What is set beside healthy time.

/// Healthy calls that the mean length of a kind of call is taken to rest on: more than make it known, and few
/// enough that it is not certain. Without it: a difference of a hundredth is certain.
pub const HEALTHY_CALLS: f64 = 100.0;
/// Healthy calls of a pair that are taken to have been without a failure, as their outcomes are not learned.
/// Smaller, the first failures of a pair are no news; larger, stray ones are.
pub const HEALTHY_OUTCOMES: f64 = 500.0;
/// A wait counts from this share of what a healthy request takes, and from half a millisecond: what is short beside
/// the work holds nobody up. Without it: a wait of a tenth of a millisecond in place of a hundredth is a fault.
pub const WAIT_SHARE_MIN: f64 = 0.3;
pub const WAIT_MIN_S: f64 = 0.000_5;
/// The spread of logarithms of times is read up to here: beyond, a mean says nothing anyway. Without it: one absurd
/// duration makes a variance that no count outweighs.
pub const LOG_SPREAD_MAX: f64 = 4.0;
/// Just after a start, a queue that is longer than the work counts as grown by this (log), and so does the load
/// that makes it. Without it: a service that saturates in the first half minute is not named.
pub const QUEUES_BY_ITSELF: f64 = 1.0;
/// Requests of a pod up to which their own spread is not looked at. Without it: two slow requests of a pod spread
/// so widely that they say nothing.
pub const FEW_COMPARED: i64 = 2;
