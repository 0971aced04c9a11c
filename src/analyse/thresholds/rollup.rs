//! How requests are counted into rows.

/// A request that took more than this part of its objective is at risk: ordinary requests are well below, as an
/// objective lies above what is healthy by a factor, or it is missed all day. Smaller, ordinary requests are at
/// risk; larger, an endpoint of few requests is looked into when it has missed.
pub const AT_RISK: i64 = 2;
/// Requests that one may stand for; nobody samples less than one in a million, and sums must not overflow. Without
/// it: one span with an absurd `tracestate` overflows the sums of its second.
pub const WEIGHT_MAX: f64 = 1e6;
/// A message may wait for days; one that waited longer counts as a day, as spans do. Without it: sums of ages overflow.
pub const AGE_NS_MAX: i64 = 86_400 * 1_000_000_000;
