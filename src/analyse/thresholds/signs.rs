//! What is seen, as evidence: log-likelihood ratios.

/// How far times and counts of a few seconds drift in healthy time (log): a tenth from one minute to the next, as
/// in recordings (`Parameters::drift`), and a little more within three seconds. Without it: any difference is
/// certain once enough requests show it.
pub const DRIFT: f64 = 0.13;
/// Typical effect of a fault (log), as `Parameters::effect`. Smaller, large effects are taken for chance; larger,
/// small ones are.
pub const EFFECT: f64 = 2.0;
/// The same of load (log): bursts that hurt double it. Larger, half as much again is no clear evidence, and neither
/// saturation nor slowness is told.
pub const LOAD_EFFECT: f64 = 0.7;
/// Below this sign of slower work, requests are worked on as fast as ever, and a queue under more load is that load's. Larger,
/// slow work is called saturation; at zero, chance in the times of a few requests calls a burst slow work.
pub const OWN_FLAT: f64 = 1.0;
/// No single sign of one window says more than this: a million requests show the same few seconds. Without it: one
/// loud service outweighs all others, and what was believed takes as long to be forgotten.
pub const STRONGEST: f64 = 8.0;
/// What a healthy share of failures is worth at most, in calls. Without it: after a day without errors the first
/// one is an outage.
pub const SHARE_CALLS_MAX: f64 = 2_000.0;
/// Chance that a share of failures simply jumps, as `Parameters::stray_errors`. Without it: five stray errors are
/// as sure as an outage.
pub const STRAY: f64 = 0.0003;
/// Share of failures that is expected where none was seen: half of what objectives commonly allow. Smaller, the
/// first error of a new endpoint is an outage; larger, a real one takes longer to be seen.
pub const RARE: f64 = 0.005;
/// What is seen by a test of its own, which chance passes less than once in a million, and is still not more than
/// three of four signs together … Without it: tests of their own outweigh everything, or nothing.
pub const SEEN: f64 = 6.0;
/// … and what its absence says. Nearer to zero, causes are told without what makes them; farther, one that is not
/// yet seen is never told.
pub const NOT_SEEN: f64 = -4.0;
/// The share of its concurrency that the load of a service would fill, were its callees as fast as ever, at which
/// it is as likely its own doing as theirs, and how wide that border is (log). Lower, workers that a callee holds
/// are scaled out; higher, a saturated service with one slow callee is a victim.
pub const OWN_SHARE: f64 = 0.85;
/// How wide that border is (log). Narrower, chance in a count of two seconds decides whose queue it is.
pub const OWN_SHARE_SPREAD: f64 = 0.08;
/// A factor (log) by which calls that grew are beyond doubt. Smaller, a retry of every third call is a caller that
/// asks too much.
pub const TWICE: f64 = 0.7;
/// Share of full evidence that fewer say, beyond chance. Smaller, a caller that asks half as much again is not seen.
pub const ASKED_LEAST: f64 = 0.3;
/// Nearly all calls fail, and so many do. Lower, a slow callee whose callers give up is told to be gone.
pub const ALL_FAILED: f64 = 0.95;
/// Fewer that fail say less, in proportion. Larger, a peer that is asked once a second and refuses every call is never gone;
/// smaller, one refused call is an outage.
pub const ALL_FAILED_MIN: f64 = 3.0;
/// A pod differs from its siblings from here on (log): half as much again is what pods differ by anyway. Without
/// it: the slowest of any few pods is bad.
pub const POD_GROWN: f64 = 0.4;
/// One request of a pod says no more than this, however slow it was. Without it: a child span that came late makes
/// its pod bad.
pub const POD_REQUEST: f64 = 2.0;
/// Nor do requests that it should have served. Without it: a pod that a balancer leaves out is bad beyond doubt.
pub const POD_MISSING_MAX: f64 = 4.0;
