//! The spans themselves, oldest first: batches as they came, merged into large slices of exact size as soon as
//! there are enough of them. They are kept for people: what is analysed of a span is in its trace.

use std::collections::VecDeque;

use super::merge::merge;
use crate::model::{ClockStep, SpanBatch, Time};

/// Rows that are merged into one slice. The dictionaries of a thousand operations and hundreds of pods are then
/// a byte or two a span, and what is merged was received a moment ago.
const MERGE_ROWS: usize = 1 << 16;
/// Batches that are merged however few rows they have: a flood of tiny requests would hold a dictionary each.
const MERGE_BATCHES: usize = 1 << 10;

struct Slice {
    batch: SpanBatch,
    /// Arrow memory, dictionaries and slack included.
    bytes: usize,
    /// The latest end of its spans: a slice is old when all of it is.
    newest: Time,
}

#[derive(Default)]
pub(super) struct Slices {
    slices: VecDeque<Slice>,
    /// How many at the end are as they came, and their rows.
    fresh: usize,
    fresh_rows: usize,
    rows: usize,
    bytes: usize,
    evicted: u64,
    evicted_rows: u64,
}

impl Slices {
    /// Takes a batch whose last span ended at `newest`.
    pub fn push(&mut self, batch: SpanBatch, newest: Time) {
        let bytes = batch.record_batch().get_array_memory_size();
        self.rows += batch.len();
        self.bytes += bytes;
        self.fresh += 1;
        self.fresh_rows += batch.len();
        self.slices.push_back(Slice { batch, bytes, newest });
        if self.fresh_rows >= MERGE_ROWS || self.fresh >= MERGE_BATCHES {
            self.merge_fresh();
        }
    }

    fn merge_fresh(&mut self) {
        let fresh = self.slices.split_off(self.slices.len().saturating_sub(self.fresh));
        (self.fresh, self.fresh_rows) = (0, 0);
        self.merge(Vec::from(fresh));
    }

    /// Joins neighbours into one slice; into several where they have too many different texts for one.
    fn merge(&mut self, mut slices: Vec<Slice>) {
        let batches: Vec<&SpanBatch> = slices.iter().map(|slice| &slice.batch).collect();
        match merge(&batches) {
            Some(batch) => {
                let bytes = batch.record_batch().get_array_memory_size();
                self.bytes = self.bytes - slices.iter().map(|slice| slice.bytes).sum::<usize>() + bytes;
                let newest = slices.iter().map(|slice| slice.newest).max().unwrap_or(Time::MIN);
                self.slices.push_back(Slice { batch, bytes, newest });
            }
            None if slices.len() > 1 => {
                let rest = slices.split_off(slices.len() / 2);
                self.merge(slices);
                self.merge(rest);
            }
            None => self.slices.extend(slices),
        }
    }

    /// Forgets what is older than the window, and the oldest while there are more bytes than allowed.
    pub fn evict(&mut self, older_than: Time, bytes_max: usize) {
        while let Some(front) = self.slices.front()
            && (front.newest < older_than || self.bytes > bytes_max)
        {
            let (rows, bytes) = (front.batch.len(), front.bytes);
            if self.fresh == self.slices.len() {
                self.fresh -= 1;
                self.fresh_rows -= rows;
            }
            self.slices.pop_front();
            self.rows -= rows;
            self.bytes -= bytes;
            self.evicted += 1;
            self.evicted_rows += rows as u64;
        }
    }

    /// The table goes on saying what the senders said; only its age is kept.
    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.slices.iter_mut().map(|slice| &mut slice.newest));
    }

    pub fn batches(&self) -> impl Iterator<Item = &SpanBatch> {
        self.slices.iter().map(|slice| &slice.batch)
    }

    pub fn spans(&self) -> usize {
        self.rows
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    pub fn evicted_rows(&self) -> u64 {
        self.evicted_rows
    }
}
