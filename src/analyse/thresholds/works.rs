//! Work that is no request, and says nothing of it: streams and long polls, known by how long they take.

/// Nobody waits so long for an answer; long polls are answered after such a time, and streams live longer. Shorter, a
/// slow report is a stream and left aside; longer, streams count as requests that miss their objective.
pub const LONG_NS: i64 = 20_000_000_000;
/// As many that were long make a stream … Without it: one request that hung makes its endpoint a stream, and its outage is
/// not seen.
pub const LONG_MIN: u32 = 3;
/// … unless this many times as many were not. Without it: an endpoint with a few slow requests is left aside.
pub const SHORT_TIMES: u32 = 4;
/// As many that were not settle that these are requests, however long they take later. Without it: a system that hangs
/// turns its endpoints into streams, and nothing is told.
pub const SETTLED_MIN: u32 = 20;
