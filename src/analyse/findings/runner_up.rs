//! The second likeliest answer, and what it lost by.

use serde::{Deserialize, Serialize};

use super::{Components, Verdict};

/// What speaks for a place most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// Its own time grew, or calls to it wait.
    Slow,
    /// Calls that it makes wait longer, whomever it calls.
    ItsCallsLonger,
    /// It stopped making calls.
    FewerCalls,
    /// Errors begin in it.
    Errors,
    /// Calls to it fail, or are not answered.
    CallsFail,
    /// Calls that it makes fail, whomever it calls.
    ItsCallsFail,
    /// It makes more calls for each request.
    AsksMore,
    /// It is asked more often by as many requests of its callers.
    AskedMore,
    /// One pod differs from the others.
    OddPod,
    /// Its new version is slow.
    NewVersion,
}

/// The second likeliest place or verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunnerUp {
    /// The service, or the callee that sends no spans.
    pub service: String,
    pub verdict: Verdict,
    /// Probability that it is this, 0 to 1.
    pub score: f64,
    /// What speaks for it most; None where nothing that was seen of it does.
    pub shows: Option<Sign>,
    /// The same of the first.
    pub first_shows: Option<Sign>,
    /// It calls the first, itself or through others: what it shows may follow from that.
    pub waits_for_first: bool,
    /// The first calls it, itself or through others.
    pub first_waits: bool,
}

impl Components {
    /// The component that speaks for a fault most, if any does.
    pub fn strongest(&self) -> Option<Sign> {
        let Components { own, calls_in, calls_out, lost, failing, refused, cut_off, asks_more } = *self;
        let signs = [
            (Sign::Slow, own),
            (Sign::Slow, calls_in),
            (Sign::ItsCallsLonger, calls_out),
            (Sign::FewerCalls, lost),
            (Sign::Errors, failing),
            (Sign::CallsFail, refused),
            (Sign::ItsCallsFail, cut_off),
            (Sign::AsksMore, asks_more),
        ];
        let seen = signs.into_iter().filter_map(|(sign, log)| Some((sign, log.filter(|log| *log > 0.0)?)));
        seen.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(sign, _)| sign)
    }
}
