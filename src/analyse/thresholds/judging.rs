//! What is looked into, and over which time.

use std::time::Duration;

/// Seconds before the fast window that a trend needs, and a judgement on few requests. With less, one trace in a
/// hundred shows nothing; with more, the longer view still shows what is over.
pub const LONG_EXTRA: Duration = Duration::from_secs(5);
/// Requests in the fast window below which a longer one is asked as well: of a hundred, a share of one in a hundred
/// is no more than one request. Without it: quiet endpoints are judged by the three seconds in which they had two
/// requests.
pub const FEW_REQUESTS: i64 = 100;
/// As many in the longer one, which is not three times as long: below, requests at risk count as well. Without it:
/// at one trace in a hundred a miss is seen when the second or third request has missed.
pub const FEW_LONG: i64 = 3 * FEW_REQUESTS;
