//! More calls than requests explain.

/// Calls for each request count as amplified from half as many again: a single retry of every second call. Without
/// it: another mix of requests is a caller that asks too much.
pub const AMPLIFIED: f64 = 1.5;
/// Standard deviations of a count above what chance explains, as for objectives (`objective::exceeds`). Without it:
/// seven calls where three are expected accuse a caller.
pub const DEVIATIONS: f64 = 3.0;
