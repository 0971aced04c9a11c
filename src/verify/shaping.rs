//! Judging traffic that is kept away: on the queue at the service itself, within seconds; and its end, as soon as the load
//! fits again.
//!
//! With its record the limit goes, so its end is also its return.

use super::judge::{Next, State, Tick};
use super::report::Stage;
use crate::analyse::Offered;
use crate::model::Time;

/// What is remembered of a shaping.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shaping {
    /// The worst queue since it was decided, in milliseconds.
    pub(super) queue_ms_worst: f64,
    /// It has done what it promised.
    pub(super) has_shortened: bool,
    /// Since when all that comes would fit.
    pub(super) fits_since: Option<Time>,
}

/// All that comes fits where it leaves this much of what the service can do: at the edge it would be shed and let in by
/// turns.
const FITS_FACTOR: f64 = 0.9;

/// A queue of so many times the one that is aimed at is short still: one slow second is no overload.
const SHORT_QUEUES: f64 = 3.0;

impl Shaping {
    /// Shaping → Shaping, told once the queue has become shorter. Shaping → Ended: the load fits again, its time is over, or
    /// the queue is as long as before.
    pub(super) fn next(mut self, tick: &Tick<'_>) -> Next {
        let service = tick.report.service.as_str();
        if tick.now >= tick.record.deadline {
            return tick.end(Stage::GivenBack, "its time is over; all requests are let in again");
        }
        let Some(load) = tick.findings.load(service).filter(|_| !tick.findings.blind) else {
            return (State::Shaping(self), Vec::new());
        };
        let queue_ms = load.queue_ms;
        self.queue_ms_worst = self.queue_ms_worst.max(queue_ms);
        let aim_ms = load.offered.map_or(0.0, |offered| offered.queue_aim_ms);
        let is_short = queue_ms <= (SHORT_QUEUES * aim_ms).max(tick.config.waiting_noise_ms);
        let fits = is_short && load.offered.as_ref().and_then(Offered::factor).is_some_and(|f| f < FITS_FACTOR);
        self.fits_since = if fits { self.fits_since.or(Some(tick.now)) } else { None };
        if self.fits_since.is_some_and(|since| tick.now >= since + tick.config.shaping_calm) {
            return tick.end(Stage::GivenBack, "all requests that come fit again, and are let in");
        }
        let worst_ms = self.queue_ms_worst;
        if !self.has_shortened && (is_short || queue_ms <= tick.config.proof_share * worst_ms) {
            // What was seen then may be of the time before.
            let is_seen = tick.findings.complete_to > tick.record.applied_at;
            if is_seen {
                self.has_shortened = true;
                let reason = format!("requests queue for {queue_ms:.0} ms at {service}, {worst_ms:.0} ms at worst");
                return (State::Shaping(self), vec![tick.enter(Stage::Judging, &reason)]);
            }
        }
        let is_late = tick.now >= tick.record.applied_at + tick.config.shaping_within;
        if !self.has_shortened && is_late && queue_ms > tick.config.no_effect_share * worst_ms {
            let seconds = tick.config.shaping_within.as_secs_f64();
            return tick.no_effect(&format!(
                "after {seconds} s requests still queue for {queue_ms:.0} ms at {service}, {worst_ms:.0} ms at worst; all are let in again"
            ));
        }
        (State::Shaping(self), Vec::new())
    }
}

/// RunsOut → Ended at its deadline.
pub(super) fn runs_out(tick: &Tick<'_>) -> Next {
    if tick.now >= tick.record.deadline {
        return tick.end(Stage::GivenBack, "its time is over");
    }
    (State::RunsOut, Vec::new())
}
