//! The rollups of the last while, oldest first.

use std::collections::VecDeque;

use arrow::array::RecordBatch;

use super::tables::Rollups;
use crate::model::{ClockStep, Time};

struct Sealed {
    newest_second: i64,
    rollups: Rollups,
}

#[derive(Default)]
pub struct Store {
    sealed: VecDeque<Sealed>,
}

impl Store {
    pub fn push(&mut self, rollups: Rollups) {
        if let Some(newest_second) = rollups.newest_second() {
            self.sealed.push_back(Sealed { newest_second, rollups });
        }
    }

    pub fn evict(&mut self, before_second: i64) {
        while self.sealed.front().is_some_and(|sealed| sealed.newest_second < before_second) {
            self.sealed.pop_front();
        }
    }

    /// All clocks stepped at `now`.
    pub fn step_clock(&mut self, now: Time, step: ClockStep) {
        for sealed in &mut self.sealed {
            sealed.rollups.step_clock(now, step);
            sealed.newest_second = sealed.rollups.newest_second().unwrap_or(sealed.newest_second);
        }
    }

    /// The batches of the table at `index` of [`TABLES`](super::TABLES) that tell of `since_second` or later: a tick asks
    /// for the last seconds, and its cost must not grow with what is kept for people.
    pub fn batches(&self, index: usize, since_second: i64) -> Vec<RecordBatch> {
        let recent = self.since(since_second);
        recent.map(|rollups| rollups.batch(index).clone()).filter(|batch| batch.num_rows() > 0).collect()
    }

    /// The rollups that tell of `since_second` or later, and of earlier seconds too.
    pub(super) fn since(&self, since_second: i64) -> impl Iterator<Item = &Rollups> {
        let recent = self.sealed.iter().filter(move |sealed| sealed.newest_second >= since_second);
        recent.map(|sealed| &sealed.rollups)
    }
}
