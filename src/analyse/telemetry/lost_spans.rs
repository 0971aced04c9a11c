//! Telemetry that was lost on its way: spans that name a parent which never came.
//!
//! An SDK whose queue is full drops spans and says so in its own log at best. Here it shows: what its callees sent has no
//! parent, and traces have no root. A whole trace that headroom itself shed leaves no such gap.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::analyse::thresholds::telemetry::lost_spans::{SHARE_MIN, SPANS_MIN, WINDOW};
use crate::model::{ClockStep, Text, Time};

/// Spans of one service that came without what called them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MissingParents {
    pub service: String,
    /// Spans that name a parent which never came, over the last half minute.
    pub without_parent: i64,
    /// Their share of the requests that the service took, 0 to 1.
    pub share: f64,
}

/// Requests that a service took, and what is missing of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceivedCounts {
    pub requests: i64,
    /// Of these, those whose parent never came.
    pub without_parent: i64,
    /// Calls to it that went well by their callers' word, and of which it sent no span.
    pub unanswered: i64,
    /// Requests whose span names no pod.
    pub without_pod: i64,
}

impl ReceivedCounts {
    pub fn add(&mut self, other: ReceivedCounts) {
        self.requests += other.requests;
        self.without_parent += other.without_parent;
        self.unanswered += other.unanswered;
        self.without_pod += other.without_pod;
    }
}

struct Tick {
    taken: BTreeMap<Text, ReceivedCounts>,
    /// Spans that came after their trace was closed: what was missing of it, some of it at least.
    late: u64,
}

#[derive(Default)]
pub struct LostSpans {
    ticks: VecDeque<(Time, Tick)>,
    without_parent: u64,
}

impl LostSpans {
    /// Takes in what was seen since the last tick.
    pub fn push(&mut self, now: Time, taken: BTreeMap<Text, ReceivedCounts>, late: u64) {
        self.without_parent += taken.values().map(|one| one.without_parent.max(0) as u64).sum::<u64>();
        self.ticks.push_back((now, Tick { taken, late }));
        while self.ticks.front().is_some_and(|(at, _)| *at + WINDOW <= now) {
            self.ticks.pop_front();
        }
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.ticks.iter_mut().map(|(at, _)| at));
    }

    /// Services with a gap, by name.
    pub fn find(&self) -> Vec<MissingParents> {
        let mut sums: BTreeMap<&Text, ReceivedCounts> = BTreeMap::new();
        for (service, taken) in self.ticks.iter().flat_map(|(_, tick)| &tick.taken) {
            sums.entry(service).or_default().add(*taken);
        }
        // As many as came late are not lost.
        let all: i64 = sums.values().map(|taken| taken.without_parent).sum();
        let late: u64 = self.ticks.iter().map(|(_, tick)| tick.late).sum();
        let lost_share = (1.0 - late as f64 / all.max(1) as f64).max(0.0);
        let gap = |(service, taken): (&Text, ReceivedCounts)| {
            let without_parent = (taken.without_parent as f64 * lost_share).round() as i64;
            let share = without_parent as f64 / taken.requests.max(1) as f64;
            let found = without_parent >= SPANS_MIN && share >= SHARE_MIN;
            found.then(|| MissingParents { service: service.to_string(), without_parent, share })
        };
        sums.into_iter().filter_map(gap).collect()
    }

    /// Spans without their parent, since the start.
    pub fn without_parent(&self) -> u64 {
        self.without_parent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_seen_while_it_lasts_and_half_a_minute_longer() {
        let mut gaps = LostSpans::default();
        let mut tick = |second: i64, without_parent: i64| {
            let taken = [
                ("a".into(), ReceivedCounts { requests: 100, without_parent, ..ReceivedCounts::default() }),
                ("b".into(), ReceivedCounts::default()),
            ];
            gaps.push(Time::from_secs(second), taken.into(), 0);
            gaps.find()
        };
        assert_eq!(tick(0, 0), []);
        assert_eq!(tick(1, 5), [], "an accident");
        assert_eq!(tick(2, 10), [MissingParents { service: "a".into(), without_parent: 15, share: 0.05 }]);
        assert_eq!(tick(20, 0).len(), 1);
        assert_eq!(tick(40, 0), []);
        assert_eq!(gaps.without_parent(), 15);
    }

    #[test]
    fn spans_that_come_late_are_not_lost() {
        let found = |late: u64| {
            let taken = ReceivedCounts { requests: 100, without_parent: 20, ..ReceivedCounts::default() };
            let mut gaps = LostSpans::default();
            gaps.push(Time::from_secs(1), [("a".into(), taken)].into(), late);
            gaps.find().first().map(|gap| gap.without_parent)
        };
        assert_eq!([0, 5, 15, 100].map(found), [Some(20), Some(15), None, None]);
    }
}
