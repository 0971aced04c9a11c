//! Judging requests that were sent elsewhere: on whether their service still holds users back, within seconds; held until the
//! deadline, and then given back.

use super::judge::{Next, State, Tick};
use super::report::Stage;
use crate::model::{ClockStep, Time, Workload};

/// What is remembered of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Relief {
    /// Since when its service holds nobody back.
    relieved_since: Option<Time>,
    /// Since when it does, moments of calm in between included.
    troubled_since: Option<Time>,
    is_told: bool,
    /// It lasted: what comes later is another matter.
    is_proven: bool,
    /// It had no effect, and is given back.
    is_in_vain: bool,
}

impl Relief {
    /// Relief → Relief, told once its service holds nobody back for some seconds, and asking for the return from the deadline on or
    /// once it had no effect. Relief → Ended: another hand set other weights.
    pub(super) fn next(mut self, tick: &Tick<'_>, workload: &Workload) -> Next {
        if let Some(next) = tick.another_hand(workload) {
            return next;
        }
        if self.is_in_vain || tick.now >= tick.record.deadline {
            return (State::Relief(self), tick.give_back());
        }
        // What was seen up to here may be of the time before.
        let is_seen = tick.sight.is_some() && tick.findings.complete_to > tick.record.applied_at;
        if self.is_proven || !is_seen {
            return (State::Relief(self), Vec::new());
        }
        let (service, config) = (tick.report.service.as_str(), tick.config);
        if tick.findings.bottlenecks.iter().any(|b| b.service == service) {
            self.relieved_since = None;
            let since = *self.troubled_since.get_or_insert(tick.now.max(tick.record.applied_at));
            // What is left of it may be the cause still: the next step is its rule's to ask for.
            if tick.now < since + config.prove_relief || tick.done.may_go_further(workload) {
                return (State::Relief(self), Vec::new());
            }
            self.is_in_vain = true;
            let seconds = config.prove_relief.as_secs_f64();
            let mut said = tick.in_vain(&format!(
                "{service} has held users back for {seconds} s since the last step; the weights are given back"
            ));
            said.extend(tick.give_back());
            return (State::Relief(self), said);
        }
        let since = *self.relieved_since.get_or_insert(tick.now);
        self.is_proven = tick.now >= since + config.calm;
        if tick.now < since + config.shaping_calm {
            return (State::Relief(self), Vec::new());
        }
        self.troubled_since = None;
        let is_news = !std::mem::replace(&mut self.is_told, true);
        let reason = format!("{service} holds nobody back any more; held until {}", tick.record.deadline);
        let said = is_news.then(|| tick.enter(Stage::Judging, &reason));
        (State::Relief(self), said.into_iter().collect())
    }

    pub(super) fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.relieved_since.iter_mut().chain(&mut self.troubled_since));
    }
}
