//! What healthy time is, and from how much of it anything is known.

use std::time::Duration;

/// How long rows wait. An incident is noticed by its missed objective a few seconds after it began; what came in
/// between must not be learned. Shorter, the first seconds of each incident are learned as normal.
pub const QUARANTINE: Duration = Duration::from_secs(15);
/// Requests after which the old half of a baseline fades: a few minutes at a hundred a second, hours at one.
/// Without it: a busy service is held against last month.
pub const HALVE_AT_REQUESTS: i64 = 50_000;
/// Seconds after which a pod that served nothing is forgotten: far more than a second's rows are ever apart.
/// Without it: pods that are gone pile up.
pub const POD_REMEMBERED_S: i64 = 60;
/// Requests that make a baseline: the mean of fewer says little. Without it: a service is slow beside the five
/// requests it began with.
pub const BASELINE_REQUESTS: i64 = 50;
/// Requests that make a mean: with times spread as widely as their mean, it errs by a fifth, far from the half more
/// that counts as growth. Traces that are sampled one in a hundred reach it within a minute. Without it: requests
/// are set beside the mean of two.
pub const OPERATION_REQUESTS: i64 = 25;
/// Seconds of an hour, over the days before, from which its load is known. Without it: one minute of yesterday
/// excuses a burst of today.
pub const HOUR_SECONDS: i64 = 600;
/// Healthy time of longer ago is of other releases and other habits: a week has seen every day of it. Without it: a
/// system is held against what it was months ago.
pub const AGE_MAX_S: f64 = 7.0 * 24.0 * 3600.0;
/// The clocks of two machines may differ by so much; a snapshot from later than that is of another clock. Without
/// it: a snapshot of a clock that ran ahead is never too old.
pub const AHEAD_MAX_S: f64 = 60.0;
