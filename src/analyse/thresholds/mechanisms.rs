//! What a fault may be, where two stretches of time stand beside each other: how likely each kind is before anything is seen,
//! and the chance that it shows in each component (`findings::Components`).
//!
//! In the order of the components. Only the order of size of a chance counts, as what is clear says eight (log) and more: what
//! makes a kind is nearly certain, what mostly comes with it is a half, what seldom does a tenth. Where a kind says nothing of
//! a component, healthy time is as good an explanation, so neither its growth nor its calm counts. Without one of the kinds,
//! the places where it is shown are ranked by components that have nothing to do with it. Chosen on drawn systems (seeds
//! 2001 to 2026 and 5001 to 5016); a factor of two in any of them moves at most three of 544
//! first places there.

/// How likely a kind is, and what it shows: own time, calls to it, its calls, calls that stopped, errors, calls to it that
/// fail, its calls that fail, calls made more often.
pub type Shows = (f64, [f64; 8]);

//                             own  calls in out  lost failing refused cut asks more
/// It is slow: its callers may give up, and answer with errors of their own.
pub const SLOW: Shows = (0.36, [0.7, 0.7, 0.2, 0.2, 0.3, 0.4, 0.1, 0.2]);
/// Calls to it are not answered.
pub const GONE: Shows = (0.18, [0.1, 0.4, 0.0, 0.1, 0.1, 0.95, 0.0, 0.1]);
/// Errors begin in it; what it would have called next is not called.
pub const FAILING: Shows = (0.18, [0.1, 0.1, 0.0, 0.3, 0.95, 0.2, 0.1, 0.1]);
/// It answers early.
pub const EARLY: Shows = (0.08, [0.1, 0.0, 0.0, 0.95, 0.1, 0.0, 0.0, 0.0]);
/// It asks more of others for each request.
pub const ASKS_MORE: Shows = (0.12, [0.2, 0.2, 0.3, 0.1, 0.1, 0.1, 0.0, 0.95]);
/// It is slow to take answers, from whomever: a starved caller.
pub const STARVED: Shows = (0.04, [0.3, 0.2, 0.9, 0.2, 0.3, 0.2, 0.4, 0.0]);
/// Its calls fail, to whomever: cut off.
pub const CUT_OFF: Shows = (0.04, [0.2, 0.1, 0.4, 0.4, 0.5, 0.1, 0.95, 0.2]);
