//! Rows that wait before they are learned, so that no incident teaches itself to be normal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::analyse::rollup::Rollups;
use crate::analyse::thresholds::healthy::QUARANTINE;
use crate::model::{ClockStep, Text, Time};

#[derive(Default)]
pub struct Quarantine {
    /// With the time of their tick; of several absorbers together.
    waiting: VecDeque<(Time, Vec<Rollups>)>,
    /// When an entry operation last missed, or a service was last crossed by one that did.
    last_missed: BTreeMap<Text, Time>,
}

/// The rows of one tick whose quarantine is over.
pub struct Released {
    pub rollups: Vec<Rollups>,
    /// Entry operations and services of which nothing is to be learned.
    pub tainted: BTreeSet<Text>,
}

impl Quarantine {
    pub fn offer(&mut self, at: Time, rollups: Vec<Rollups>) {
        if rollups.iter().any(|one| one.newest_second().is_some()) {
            self.waiting.push_back((at, rollups));
        }
    }

    /// `names` (entry operations and services they cross) miss their objective now.
    pub fn missed(&mut self, at: Time, names: impl IntoIterator<Item = Text>) {
        self.last_missed.extend(names.into_iter().map(|name| (name, at)));
    }

    /// All clocks stepped at `now`.
    pub fn step_clock(&mut self, now: Time, step: ClockStep) {
        step.move_all(self.waiting.iter_mut().map(|(at, _)| at));
        step.move_all(self.last_missed.values_mut());
        let rollups = self.waiting.iter_mut().flat_map(|(_, rollups)| rollups);
        rollups.for_each(|rollups| rollups.step_clock(now, step));
    }

    /// The rows whose quarantine is over at `now`, tick by tick.
    pub fn release(&mut self, now: Time) -> Vec<Released> {
        let mut released = Vec::new();
        while self.waiting.front().is_some_and(|(at, _)| *at + QUARANTINE <= now)
            && let Some((at, rollups)) = self.waiting.pop_front()
        {
            // Missed while the rows waited, or just before they came: their quarantine looks both ways.
            let since = at - QUARANTINE;
            let tainted = self.last_missed.iter().filter(|(_, missed)| **missed >= since);
            released.push(Released { rollups, tainted: tainted.map(|(name, _)| name.clone()).collect() });
        }
        self.last_missed.retain(|_, missed| *missed + QUARANTINE + QUARANTINE > now);
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::by_hand::Rows;
    use crate::analyse::rollup::{EntryKey, EntrySums};

    #[test]
    fn an_incident_does_not_teach_itself_to_be_normal() {
        let mut quarantine = Quarantine::default();
        let mut learned = Vec::new();
        let mut release = |quarantine: &mut Quarantine, second: i64| {
            for Released { rollups, tainted } in quarantine.release(Time::from_secs(second)) {
                let rows = rollups.iter().flat_map(Rollups::rows::<EntryKey<&str>>);
                learned.extend(rows.filter(|(key, _)| !tainted.contains(key.entry)).map(|(key, _)| key.second));
            }
        };
        for second in 0..40 {
            let mut rows = Rows::default();
            let key = EntryKey { second, entry: "e".into(), bucket: 100 };
            Rows::add(&mut rows.entries, key, EntrySums { requests: 100, ..EntrySums::default() });
            quarantine.offer(Time::from_secs(second), vec![rows.tables()]);
            if second >= 30 {
                quarantine.missed(Time::from_secs(second), ["e".into()]);
            }
            release(&mut quarantine, second);
        }
        release(&mut quarantine, 60);
        let healthy: Vec<i64> = (0..15).collect();
        assert_eq!(learned, healthy, "15 and later lie within the quarantine of the miss");
    }
}
