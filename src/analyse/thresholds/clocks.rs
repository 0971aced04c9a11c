//! Clocks of hosts that are off.

use std::time::Duration;

/// Hosts of a trace differ by more than the time of a call and its centring in the caller: less does no harm. Smaller,
/// each slow call is a clock that is off; larger, spans of a clock that is a second off come late.
pub const DIFFER_NS: i64 = 500_000_000;
/// Spans that ended longer ago than this, or are to end later than now by it, are not of now by their host's clock.
/// Smaller, a slow pipeline is a wrong clock; larger, a phone an hour off draws its trace out of the window.
pub const PRESENT_NS: i64 = 60_000_000_000;
/// A call may be so much longer than what its callee did, where it is to tell how far the callee's clock is off. Without
/// it: a call that waited is a clock that is off.
pub const ROOM_NS_MAX: i64 = 1_000_000_000;
/// Below this a correction changes nothing that is found. Without it: every host is corrected all the time.
pub const OFF_NS: i64 = 500_000_000;
/// A machine that is off by more has no clock that is kept by anything: what it says of times is not used. Without it: a
/// clock that begins in 1970 is corrected by half a century, and by another one after each restart.
pub const CORRECTED_NS_MAX: i64 = 600_000_000_000;
/// Traces that tell how far a clock is off. Without it: two odd traces move a host.
pub const SAMPLES_MIN: usize = 8;
/// More of them say the same. Without it: what is kept of a host grows with its load.
pub const SAMPLES_MAX: usize = 64;
/// Over how long they must tell it: traces that were under way when all clocks were set differ too, for a moment. Without
/// it: a step of all clocks is a clock that is off.
pub const LASTING: Duration = Duration::from_secs(3);
/// Samples after a longer silence begin anew. Without it: a host is corrected by what its clock was an hour ago.
pub const SILENCE: Duration = Duration::from_secs(30);
/// Eight of ten traces agree within this, or the spans are of many clocks: calls of some seconds move it so far. Smaller,
/// a server with slow calls is many devices; larger, phones are one host, and corrected by their middle.
pub const SPREAD_NS: i64 = 3_000_000_000;
/// Traces that were under way when a correction changed are measured by the one before. Without it: each correction is
/// corrected once more by them.
pub const SETTLE: Duration = Duration::from_secs(15);
/// A sender of many clocks that shows none that is off for so long has mended them. Without it: a clock that was set is
/// told for ever.
pub const FORGET: Duration = Duration::from_secs(600);
