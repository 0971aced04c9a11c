//! How causes follow one another, and when one is told.

use std::time::Duration;

/// Chance in a second that the cause changes into another: a few in an hour of trouble. Larger, what is told flips
/// with each odd second; smaller, the next bottleneck is told late.
pub const CHANGES: f64 = 0.01;
/// Chance in a second that a cause ends and leaves a queue to be worked off. Smaller, a queue is taken for another
/// cause; larger, what goes on is taken to be over.
pub const ENDS: f64 = 0.03;
/// Chance, before anything is seen, that the cause is none of those known.
pub const UNKNOWN: f64 = 0.3;
/// Chance that there is no second one. Smaller, consequences are told beside their cause.
pub const NO_SECOND: f64 = 0.97;
/// How likely a cause must be to be told. A wrong scale-out or restart costs more than a few seconds of `unknown`,
/// three or four times as much: where both would be as bad, it were a half.
pub const TOLD: f64 = 0.75;
/// The same of a second one: it comes on top of a first that explains most already.
pub const SECOND_TOLD: f64 = 0.95;
/// What a second one must explain of the blame.
pub const SECOND_SHARE_MIN: f64 = 0.15;
/// States less likely than this (log) are left out. Without it: every cause that was ever possible is weighed each
/// second.
pub const FORGOTTEN: f64 = -14.0;
/// No window counts for more than this (log) against what several have shown. Without it: a second in which most
/// spans come late changes what is told.
pub const WINDOW_SAYS_MAX: f64 = 12.0;
/// An endpoint that kept to its objective for so long has recovered: what it misses afterwards is another matter.
/// Shorter, a pause of two seconds starts another incident; longer, the next one is told as the last.
pub const RECOVERED: Duration = Duration::from_secs(10);
