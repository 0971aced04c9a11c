//! Judging requests that were sent elsewhere: on whether their service still holds users back, within seconds; held until the
//! deadline, and then given back.

use super::judge::{Next, State, Tick};
use super::report::Stage;
use crate::model::Workload;

/// What is remembered of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Relief {
    /// It has done what it promised.
    has_relieved: bool,
    /// It had no effect, and is given back.
    is_in_vain: bool,
}

impl Relief {
    /// Relief → Relief, told once its service holds nobody back, and asking for the return from the deadline on or once it had no
    /// effect. Relief → Ended: another hand set other weights.
    pub(super) fn next(mut self, tick: &Tick<'_>, workload: &Workload) -> Next {
        if let Some(next) = tick.another_hand(workload) {
            return next;
        }
        if self.is_in_vain || tick.now >= tick.record.deadline {
            return (State::Relief(self), tick.give_back());
        }
        let (service, config) = (tick.report.service.as_str(), tick.config);
        // What was seen up to here may be of the time before.
        let is_seen = tick.sight.is_some() && tick.findings.complete_to > tick.record.applied_at;
        if self.has_relieved || !is_seen {
            return (State::Relief(self), Vec::new());
        }
        if !tick.findings.bottlenecks.iter().any(|b| b.service == service) {
            self.has_relieved = true;
            let reason = format!("{service} holds nobody back any more; held until {}", tick.record.deadline);
            return (State::Relief(self), vec![tick.enter(Stage::Judging, &reason)]);
        }
        // What is left of it may be the cause still: the next step is its rule's to ask for.
        if tick.now < tick.record.applied_at + config.prove_relief || tick.done.may_go_further(workload) {
            return (State::Relief(self), Vec::new());
        }
        self.is_in_vain = true;
        let seconds = config.prove_relief.as_secs_f64();
        let cause =
            format!("{seconds} s after the last step {service} still holds users back; the weights are given back");
        let mut said = tick.in_vain(&cause);
        said.extend(tick.give_back());
        (State::Relief(self), said)
    }
}
