//! Whether senders say how many requests a sampled trace stands for (`tracestate` with `ot=th`), and when that changed.
//!
//! A rate that is stated is corrected for, whatever it is. Where a sampler begins, or ends, to say so, what is counted
//! jumps while the load stays: then a lower count is no lower load.

use crate::analyse::rollup::{EntryKey, Rollups};
use crate::analyse::thresholds::telemetry::sampling::{CHANGED, ENOUGH, WEIGHT};
use crate::model::{ClockStep, Time};

#[derive(Debug, Default)]
pub struct Sampling {
    /// The usual share of traces that say nothing.
    silent: Option<f64>,
    changed_at: Option<Time>,
}

impl Sampling {
    /// Takes in the rows of a tick.
    pub fn see(&mut self, now: Time, rollups: &[Rollups]) {
        let rows = rollups.iter().flat_map(Rollups::rows::<EntryKey<&str>>);
        let (requests, silent) = rows.fold((0, 0), |sum, (_, of)| (sum.0 + of.requests, sum.1 + of.unweighted));
        if requests < ENOUGH {
            return;
        }
        let share = silent as f64 / requests as f64;
        let usual = self.silent.get_or_insert(share);
        if (share - *usual).abs() > CHANGED {
            self.changed_at = Some(now);
        }
        *usual += WEIGHT * (share - *usual);
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(&mut self.changed_at);
    }

    /// When it was last seen to be another than usual.
    pub fn changed_at(&self) -> Option<Time> {
        self.changed_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::EntrySums;
    use crate::analyse::rollup::by_hand::Rows;

    fn rows(second: i64, requests: i64, unweighted: i64) -> [Rollups; 1] {
        let mut rows = Rows::default();
        let key = EntryKey { second, entry: "e".into(), bucket: 100 };
        Rows::add(&mut rows.entries, key, EntrySums { requests, unweighted, ..EntrySums::default() });
        [rows.tables()]
    }

    /// When the last change was seen, of shares tick by tick.
    fn changed_at(shares: impl Iterator<Item = (i64, i64)>) -> Option<i64> {
        let mut sampling = Sampling::default();
        for (second, (requests, unweighted)) in shares.enumerate() {
            sampling.see(Time::from_secs(second as i64), &rows(second as i64, requests, unweighted));
        }
        sampling.changed_at().map(Time::second)
    }

    #[test]
    fn more_or_fewer_of_the_same_is_no_change() {
        assert_eq!(changed_at((0..600).map(|s| (if s < 300 { 1000 } else { 100 }, 0))), None);
        assert_eq!(changed_at((0..600).map(|s| if s < 300 { (1000, 1000) } else { (100, 100) })), None);
        assert_eq!(changed_at((0..600).map(|s| (1000, 300 + s % 50))), None);
    }

    #[test]
    fn a_sampler_that_begins_to_speak_is_one_for_as_long_as_it_is_unusual() {
        let changed = changed_at((0..600).map(|s| if s < 300 { (1000, 1000) } else { (100, 0) })).unwrap();
        assert!((380..420).contains(&changed), "{changed}");
    }
}
