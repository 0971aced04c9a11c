//! Services that were seen to be held back by a callee. What waited there meanwhile still waits when the callee is
//! well again, and is served late: that queue is not the service's own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::analyse::diagnosis::service_state::ServiceState;
use crate::analyse::thresholds::course::WAIT_MAX;
use crate::model::{ClockStep, Text, Time};

#[derive(Clone, Debug, Default)]
pub struct Backlog {
    /// Event time up to which a service was known to be one.
    until: BTreeMap<Text, Time>,
}

impl Backlog {
    /// These were held back in a stretch of time that ended at `to`.
    pub fn seen(&mut self, services: impl IntoIterator<Item = Text>, to: Time) {
        self.until.extend(services.into_iter().map(|service| (service, to)));
        self.until.retain(|_, until| *until + WAIT_MAX > to);
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.until.values_mut());
    }

    /// Those whose requests that ended after `from` may have begun to wait while they were held back.
    pub fn draining_backlog_since(&self, services: &BTreeMap<Text, ServiceState<'_>>, from: Time) -> BTreeSet<Text> {
        let wait = |service: &Text| {
            let wait_s = services.get(service).map_or(0.0, ServiceState::wait_s);
            // Times that no clock makes may have summed up to anything; then it is held.
            Duration::try_from_secs_f64(wait_s).map_or(WAIT_MAX, |wait| wait.min(WAIT_MAX))
        };
        let held = self.until.iter().filter(|(service, until)| **until + wait(service) > from);
        held.map(|(service, _)| service.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::HealthSums;

    #[test]
    fn a_victim_is_one_for_as_long_as_requests_wait_there() {
        let service = Text::from("page");
        let sums = HealthSums { requests: 10, wait_ns: 20_000_000_000, ..HealthSums::default() };
        let now = BTreeMap::from([(service.clone(), ServiceState { sums, ..ServiceState::default() })]);
        let mut victims = Backlog::default();
        victims.seen([service], Time::from_secs(100));
        let is_one = |from_s: i64| !victims.draining_backlog_since(&now, Time::from_secs(from_s)).is_empty();
        assert!(is_one(101), "requests wait two seconds");
        assert!(!is_one(102));
    }

    #[test]
    fn a_wait_that_is_no_time_is_the_longest() {
        let service = Text::from("page");
        let sums = HealthSums { requests: 1, wait_ns: i64::MIN, ..HealthSums::default() };
        let now = BTreeMap::from([(service.clone(), ServiceState { sums, ..ServiceState::default() })]);
        let mut victims = Backlog::default();
        victims.seen([service], Time::from_secs(100));
        assert_eq!(victims.draining_backlog_since(&now, Time::from_secs(159)).len(), 1);
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut victims = Backlog::default();
        victims.seen(["a".into()], Time::from_secs(100));
        victims.seen(["b".into()], Time::from_secs(200));
        assert_eq!(victims.until.len(), 1);
    }
}
