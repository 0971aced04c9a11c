//! What a target needed of late: the highest need of any window that ends now.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{ClockStep, Time};

/// How far back needs are kept; a rule that asks for a longer window gets this one.
pub(super) const WINDOW_MAX: Duration = Duration::from_secs(3600);

/// A hole this long in what is known starts the history anew, as a restart does: nobody can say what was
/// needed meanwhile.
const HOLE_MAX: Duration = Duration::from_secs(30);

/// A monotonic queue: needs fall from front to back, so any window's highest is its first element, and there
/// are never more elements than distinct needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    falling: VecDeque<(Time, u32)>,
    /// Since when needs are known without a hole, and when one was last known.
    known: Option<(Time, Time)>,
}

impl Needs {
    pub(super) fn record(&mut self, now: Time, need: u32) {
        let since = match self.known {
            Some((since, last)) if now <= last + HOLE_MAX => since,
            _ => now,
        };
        self.known = Some((since, now));
        while self.falling.back().is_some_and(|(_, earlier)| *earlier <= need) {
            self.falling.pop_back();
        }
        self.falling.push_back((now, need));
        while self.falling.front().is_some_and(|(at, _)| *at + WINDOW_MAX < now) {
            self.falling.pop_front();
        }
    }

    pub(super) fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.falling.iter_mut().map(|(at, _)| at));
        step.move_all(self.known.iter_mut().flat_map(|(since, last)| [since, last]));
    }

    /// The highest need at or after `from`.
    pub(super) fn highest_since(&self, from: Time) -> Option<u32> {
        self.falling.iter().find(|(at, _)| *at >= from).map(|(_, need)| *need)
    }

    pub(super) fn known_since(&self) -> Option<Time> {
        self.known.map(|(since, _)| since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: i64) -> Time {
        Time::from_secs(n)
    }

    #[test]
    fn the_highest_of_any_window() {
        let mut needs = Needs::default();
        for (at, need) in [(0, 3), (10, 9), (20, 4), (30, 6), (40, 2)] {
            needs.record(secs(at), need);
        }
        assert_eq!(
            [0, 10, 11, 31, 41].map(|from| needs.highest_since(secs(from))),
            [Some(9), Some(9), Some(6), Some(2), None]
        );
        assert!(needs.falling.len() <= 4);
    }

    #[test]
    fn a_hole_starts_the_history_anew_but_forgets_no_need() {
        let mut needs = Needs::default();
        needs.record(secs(0), 9);
        needs.record(secs(30), 2);
        assert_eq!(needs.known_since(), Some(secs(0)));
        needs.record(secs(61), 2);
        assert_eq!(needs.known_since(), Some(secs(61)));
        assert_eq!(needs.highest_since(secs(0)), Some(9));
    }

    #[test]
    fn it_is_bounded_in_time() {
        let mut needs = Needs::default();
        (0..10_000).for_each(|n| needs.record(secs(n), 100_000 - n as u32));
        assert_eq!(needs.falling.len() as u64, WINDOW_MAX.as_secs() + 1);
    }
}
