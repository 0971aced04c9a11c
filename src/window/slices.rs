//! The batches themselves, oldest first, each as it was received.

use std::collections::VecDeque;

use crate::model::{SpanBatch, SpanRow, Time};

/// Where a span lies: the slice's running number and the row in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowRef {
    pub slice: u64,
    pub row: u32,
}

struct Slice {
    batch: SpanBatch,
    bytes: usize,
    /// The latest end of its spans: a slice is old when all of it is.
    newest: Time,
}

#[derive(Default)]
pub(super) struct Slices {
    slices: VecDeque<Slice>,
    /// Running number of the front slice; numbers are never reused, so a stale reference finds nothing.
    first: u64,
    bytes: usize,
    evicted: u64,
}

impl Slices {
    pub fn next_id(&self) -> u64 {
        self.first + self.slices.len() as u64
    }

    pub fn push(&mut self, batch: SpanBatch, newest: Time) {
        let bytes = batch.record_batch().get_array_memory_size();
        self.bytes += bytes;
        self.slices.push_back(Slice { batch, bytes, newest });
    }

    pub fn evict(&mut self, older_than: Time, bytes_max: usize) {
        while let Some(front) = self.slices.front()
            && (front.newest < older_than || self.bytes > bytes_max)
        {
            self.bytes -= front.bytes;
            self.slices.pop_front();
            self.first += 1;
            self.evicted += 1;
        }
    }

    pub fn row(&self, at: RowRef) -> Option<SpanRow<'_>> {
        let index = usize::try_from(at.slice.checked_sub(self.first)?).ok()?;
        Some(self.slices.get(index)?.batch.row(at.row as usize))
    }

    pub fn batches(&self) -> impl Iterator<Item = &SpanBatch> {
        self.slices.iter().map(|slice| &slice.batch)
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}
