//! What is told to people.

/// A suspect at least this likely is told to people unasked: of five such four are faults at least. What is lost of
/// a trace's shape seldom comes above 0.95, as an operation may be meant to have changed (`Parameters::other_mix`).
/// Lower, people are told guesses.
pub const SURE: f64 = 0.8;
/// More decimals than this are never needed: a share that differs less from its objective does not miss it. Without
/// it: a share is told with sixteen digits.
pub const DECIMALS_MAX: usize = 6;
/// A change below a fifth explains nothing, so it is not worth a line. Without it: each sentence lists what did not
/// change.
pub const TELLING_FACTOR: f64 = 1.2;

/// What hinders seeing, and is worth telling.
pub mod hindrances {
    /// Below this share of what it concerns nothing is told: a pod that restarts, or a batch that was sent again. Without
    /// it: `doctor` lists every accident.
    pub const SHARE_MIN: f64 = 0.01;
    /// Below this share requests of an endpoint without their caller's span are lost spans rather than a silent caller.
    /// Without it: a caller is told to send no spans since a batch was lost.
    pub const SILENT_CALLER_MIN: f64 = 0.05;
    /// Requests below which a share is chance. Without it: one of three requests is a third of the traffic.
    pub const REQUESTS_MIN: u64 = 10;
}
