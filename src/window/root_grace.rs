//! How long a trace waits for its root once telemetry is complete to the newest of its spans.
//!
//! A root is the last span of its trace to be sent: it comes as much later as its service still works after its last call
//! was answered. Mostly that is far less than a second, and where nobody will send a root, waiting longer is in vain. When
//! roots come to traces that were closed already, the wait was too short for how the system is now, and it is doubled.

use std::time::Duration;

use crate::model::{ClockStep, Time};

/// Few services work longer than this after their last call, and a verdict may be this much later where roots never come.
const LEAST: Duration = Duration::from_secs(1);
/// Roots that came too late since the last change, and their share of the traces that did not wait for one, from which the
/// wait is too short: fewer are spans that an exporter sent again.
const LATE_MIN: u64 = 3;
const LATE_SHARE: f64 = 0.05;
/// Closed traces of which the share is taken.
const CLOSED_MAX: u64 = 1_000;
/// A slowdown is over after some minutes; then the wait is tried shorter again.
const RELAX: Duration = Duration::from_secs(120);
/// After the last trace without a root, seconds are still taken for complete only when such a trace would be there: as
/// long as the pauses of a small endpoint.
const DELAY_KEPT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct RootGrace {
    wait: Duration,
    closed: u64,
    late: u64,
    /// When it was last changed.
    changed_at: Option<Time>,
    /// When a trace was last closed without its root, after this wait.
    waited_at: Option<Time>,
}

impl Default for RootGrace {
    fn default() -> RootGrace {
        RootGrace { wait: LEAST, closed: 0, late: 0, changed_at: None, waited_at: None }
    }
}

impl RootGrace {
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// How much later than others those traces are closed whose root never comes, as long as there are any.
    pub fn delay(&self, complete_to: Time) -> Duration {
        if self.waited_at.is_some_and(|at| at + DELAY_KEPT > complete_to) { self.wait } else { Duration::ZERO }
    }

    /// A trace was closed at this event time without waiting longer for its root.
    pub fn closed(&mut self, complete_to: Time) {
        self.waited_at = Some(complete_to);
        self.closed += 1;
        if self.closed >= CLOSED_MAX {
            (self.closed, self.late) = (self.closed / 2, self.late / 2);
        }
        let changed_at = *self.changed_at.get_or_insert(complete_to);
        if complete_to > changed_at + RELAX {
            self.set(complete_to, (self.wait / 2).max(LEAST));
        }
    }

    /// The root of such a trace came after all. It waits no longer than `max`.
    pub fn came_late(&mut self, received_at: Time, max: Duration) {
        self.late += 1;
        if self.late >= LATE_MIN && self.late as f64 > self.closed as f64 * LATE_SHARE {
            self.set(received_at, (self.wait * 2).min(max).max(LEAST));
        }
    }

    fn set(&mut self, at: Time, wait: Duration) {
        *self = RootGrace { wait, changed_at: Some(at), waited_at: self.waited_at, ..RootGrace::default() };
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.changed_at.iter_mut().chain(&mut self.waited_at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(10);

    #[test]
    fn roots_that_come_too_late_make_it_wait_longer_until_none_does() {
        let (mut grace, mut seconds) = (RootGrace::default(), Vec::new());
        for second in 0..600 {
            let at = Time::from_secs(second);
            (0..20).for_each(|_| grace.closed(at));
            // For a minute, services work five seconds longer after their last call.
            for _ in 0..20 {
                if (100..160).contains(&second) && grace.wait() < Duration::from_secs(5) {
                    grace.came_late(at, MAX);
                }
            }
            seconds.push(grace.wait().as_secs());
        }
        assert_eq!(seconds[99], 1);
        assert!(seconds[103..160].iter().all(|&wait| wait == 8), "{:?}", &seconds[100..160]);
        assert_eq!(seconds[599], 1);
    }

    #[test]
    fn seconds_are_complete_later_while_traces_wait_in_vain() {
        let mut grace = RootGrace::default();
        assert_eq!(grace.delay(Time::from_secs(1)), Duration::ZERO);
        grace.closed(Time::from_secs(1));
        assert_eq!([2, 10, 11].map(|second| grace.delay(Time::from_secs(second)).as_secs()), [1, 1, 0]);
    }

    #[test]
    fn it_never_waits_longer_than_a_trace_may_be_idle() {
        let mut grace = RootGrace::default();
        (0..100).for_each(|_| grace.came_late(Time::from_secs(1), MAX));
        assert_eq!(grace.wait(), MAX);
    }

    #[test]
    fn a_few_that_are_sent_again_change_nothing() {
        let mut grace = RootGrace::default();
        for second in 0..1_000 {
            (0..100).for_each(|_| grace.closed(Time::from_secs(second)));
            grace.came_late(Time::from_secs(second), MAX);
        }
        assert_eq!(grace.wait(), LEAST);
    }
}
