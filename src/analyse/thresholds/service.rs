//! A service beside healthy time.

/// Time a request spends in a place has grown: well clear of noise, small against what misses an objective. Lower,
/// noise accuses; higher, what misses a tight objective is nobody's.
pub const GROWN: f64 = 1.5;
/// One pod is far from its siblings. Lower, the slowest of any few pods is bad.
pub const FAR: f64 = 3.0;
/// Requests of a pod below which its mean says nothing. Without it: one slow request is a bad pod.
pub const POD_REQUESTS: i64 = 5;
/// Requests of a new version from which their mean may say that it is far slower: where times spread by half
/// (lognormal), each of three at three times the mean is two deviations off. Without it: a bad release is named
/// when it serves many.
pub const FAR_REQUESTS: i64 = 3;
/// A share of errors that objectives commonly allow, and that a service may have without being the matter. Without
/// it: a stray error makes a service fail.
pub const ERRORS: f64 = 0.01;
/// Seconds that tell whether calls are answered any more: a call may take a second, and more would be late.
/// Shorter, a service that stalls for a second is gone; longer, `unreachable` comes late.
pub const UNREACHABLE_SECONDS: i64 = 2;
/// A service that answers less than this share of its calls, and of what it used to answer, is gone. Without it: a
/// service that answers one call in twenty to a probe is not gone.
pub const UNANSWERED: f64 = 0.1;
/// Calls that ended in vain from which on that is no accident. Without it: one refused connection is an outage.
pub const IN_VAIN_MIN: i64 = 3;
/// Least spread (log) of the times of single requests: buckets are read at their edge. Without it: requests that
/// all fall into one bucket make the smallest difference certain.
pub const LEAST_SPREAD: f64 = 0.2;
/// Standard errors by which a pod or a version must stand clear of `GROWN` before it is accused: dozens of pods are
/// asked each second of the day, so chance must not do in a million answers. Lower, healthy pods are restarted;
/// higher, bad pods of quiet services are never named.
pub const CLEAR: f64 = 4.5;
