//! What causes explain.

/// Chance of what a cause must show: nothing is certain. At one, a single odd second rules the right cause out.
pub const SURE: f64 = 0.97;
/// Chances of the signs at a place (`signs::AT`), and of those on the calls to it (`signs::OF`). Of each cause twice: where
/// requests are held up there, and where they fail for it; what is seen is held against the better of both. Only their
/// order of size counts, as each sign says three or four (log) where it is clear. Without one of them, the cause that
/// shows it is not told from those that do not.
pub type Chances = ([f64; 8], [f64; 4]);
//    slow  vain  turned gone  pod   version asked errors  longer failed all   more
pub const SATURATED: [Chances; 2] = [
    ([SURE, 0.30, 0.20, 0.01, 0.10, 0.02, 0.10, 0.10], [SURE, 0.20, 0.02, 0.20]),
    ([0.50, 0.90, 0.90, 0.10, 0.20, 0.02, 0.10, 0.20], [0.60, 0.95, 0.30, 0.30]),
];
pub const DEGRADED: [Chances; 2] = [
    ([SURE, 0.10, 0.05, 0.01, 0.03, 0.02, 0.02, 0.05], [SURE, 0.10, 0.02, 0.10]),
    ([SURE, 0.90, 0.30, 0.05, 0.05, 0.02, 0.02, 0.20], [0.90, 0.95, 0.20, 0.30]),
];
pub const REGRESSION: [Chances; 2] = [
    ([SURE, 0.10, 0.05, 0.01, 0.10, SURE, 0.02, 0.10], [0.90, 0.10, 0.02, 0.10]),
    ([0.90, 0.90, 0.30, 0.10, 0.10, SURE, 0.02, 0.30], [0.80, 0.95, 0.30, 0.30]),
];
pub const AMPLIFICATION: [Chances; 2] = [
    // Each call may be served as fast as ever: then those who wait are the callers that make more of them.
    ([0.30, 0.10, 0.10, 0.01, 0.10, 0.02, SURE, 0.10], [0.30, 0.10, 0.02, 0.30]),
    ([0.50, 0.90, 0.90, 0.10, 0.20, 0.02, SURE, 0.20], [0.60, 0.95, 0.30, SURE]),
];
pub const BAD_INSTANCE: [Chances; 2] = [
    ([0.60, 0.10, 0.05, 0.01, SURE, 0.10, 0.02, 0.10], [0.60, 0.10, 0.02, 0.10]),
    ([0.60, 0.90, 0.30, 0.02, SURE, 0.10, 0.02, 0.20], [0.60, 0.95, 0.02, 0.30]),
];
pub const FAILING: [Chances; 2] = [([0.10, 0.05, 0.05, 0.01, 0.05, 0.02, 0.02, SURE], [0.10, SURE, 0.20, 0.30]); 2];
pub const UNREACHABLE: [Chances; 2] = [([0.30, SURE, 0.30, 0.60, 0.02, 0.02, 0.02, 0.10], [0.50, SURE, 0.60, 0.30]); 2];
/// Of a callee that sends no spans there are only the calls to it.
const NO_SPANS: [f64; 8] = [0.0; 8];
pub const SLOW_PEER: [Chances; 2] = [(NO_SPANS, [SURE, 0.30, 0.02, 0.20]), (NO_SPANS, [SURE, 0.95, 0.90, 0.30])];
pub const FAILING_PEER: [Chances; 2] = [(NO_SPANS, [0.10, SURE, 0.10, 0.30]); 2];
pub const GONE_PEER: [Chances; 2] = [(NO_SPANS, [0.60, SURE, SURE, 0.30]); 2];
pub const PEER_ASKED_MORE: [Chances; 2] = [(NO_SPANS, [0.60, 0.30, 0.10, SURE]); 2];
/// A place whose cause is over, while what queued meanwhile is served, or while its callers still give up. Without it: a queue
/// that is worked off is another cause.
pub const WORKED_OFF: [Chances; 2] = [
    ([SURE, 0.10, 0.10, 0.01, 0.20, 0.02, 0.10, 0.05], [SURE, 0.10, 0.02, 0.10]),
    ([0.60, 0.90, 0.50, 0.50, 0.30, 0.02, 0.20, 0.40], [0.60, 0.95, 0.60, 0.30]),
];
/// Who waits for the place: whatever may follow is explained, and nothing of it must be seen. Smaller, in an outage that lasts
/// the callers' signs, which are all that is left, add up to a cause at the caller.
pub const VICTIM: Chances = ([SURE, SURE, SURE, SURE, 0.80, 0.02, 0.90, 0.90], [SURE, SURE, SURE, 0.90]);
/// The same of what it mostly shows, shows now and then, and hardly ever. Without it: what callers show of a fault
/// is not explained by it, or is explained by anything.
pub const MOSTLY: f64 = 0.85;
/// Between the two, of calls that too many requests make.
pub const OFTEN: f64 = 0.6;
pub const SOMETIMES: f64 = 0.3;
pub const SELDOM: f64 = 0.1;
/// Share of the blame that makes a service a candidate without any other sign. Without it: every service is weighed
/// each second.
pub const BLAMED_MIN: f64 = 0.1;
/// Requests that missed tell by so many of them at most whose time it is. Larger, a loud endpoint's time outweighs
/// what all requests of a service show.
pub const BLAME_REQUESTS: f64 = 6.0;
/// Least share of the blame that a cause is taken to explain. Without it: one that explains none is ruled out for
/// ever.
pub const EXPLAINED_MIN: f64 = 0.03;
/// What a cause that is not known explains of the blame, and of all other signs together. Smaller, a guess is told;
/// larger, nothing is.
pub const UNKNOWN_EXPLAINS: f64 = 0.7;
/// How much likelier (log) an unknown cause makes all else that is seen.
pub const UNKNOWN_SIGNS: f64 = 2.0;
/// What must be so and is not counts as this much at most. Without it: a load that is not known rules saturation
/// out.
pub const MUST_MAX: f64 = 6.0;
/// Who waits turns calls away, or leaves them unanswered, beyond doubt from here on: then its concurrency is not
/// seen.
pub const FEW_ANSWERED: f64 = 2.0;
/// Least share of what a new cause explains that is taken to be its own.
pub const OWN_EVIDENCE_MIN: f64 = 0.000_1;
/// What is slow spends more time of its own in two of three cases; in the others something before it holds calls up. Larger, a
/// delay on the way to a service is no cause; at zero, the first second of a burst is told as slow work.
pub const OWN_TIME_GROWS: f64 = 0.65;
/// A queue that still grows is hardly one that is worked off (log); the first of three seconds may yet have grown. Nearer to
/// zero, what was told wrongly in the first second is taken to be over instead of being corrected.
pub const WORKED_OFF_GROWS: f64 = -2.0;
/// While a queue is worked off, its place shows less than while the cause was there. Larger, what is over is told
/// as going on.
pub const WORKED_OFF_LOG: f64 = -0.2;
