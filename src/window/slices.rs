//! The spans themselves, oldest first: batches as they came, merged into large slices of exact size as soon as
//! there are enough of them.
//!
//! A row is known by its running number, which merging does not change: it only joins neighbours.

use std::collections::VecDeque;

use super::merge::merge;
use crate::model::spans::Columns;
use crate::model::{SpanBatch, SpanRow, Time};

/// Where a span lies: its running number since the start. Numbers are never used again, so one of a span that has
/// gone finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowRef(pub u64);

/// Rows that are merged into one slice. The dictionaries of a thousand operations and hundreds of pods are then
/// about a byte a span, and merging takes a few milliseconds at a time.
const MERGE_ROWS: usize = 1 << 17;
/// Batches that are merged however few rows they have: a flood of tiny requests would hold a dictionary each.
const MERGE_BATCHES: usize = 1 << 10;

struct Slice {
    batch: SpanBatch,
    /// Running number of its first row.
    first: u64,
    /// Arrow memory, dictionaries and slack included.
    bytes: usize,
    /// The latest end of its spans: a slice is old when all of it is.
    newest: Time,
    /// Rows that an open trace refers to.
    open: usize,
}

#[derive(Default)]
pub(super) struct Slices {
    slices: VecDeque<Slice>,
    /// Running number of the next row.
    next: u64,
    /// How many at the end are as they came, and their rows.
    fresh: usize,
    fresh_rows: usize,
    rows: usize,
    bytes: usize,
    evicted: u64,
    evicted_rows: u64,
}

impl Slices {
    /// The running number that the first row of the next batch will have.
    pub fn next_row(&self) -> u64 {
        self.next
    }

    /// Takes a batch; `open` of its rows belong to traces that are not closed yet.
    pub fn push(&mut self, batch: SpanBatch, newest: Time, open: usize) {
        let (first, bytes) = (self.next, batch.record_batch().get_array_memory_size());
        self.next += batch.len() as u64;
        self.rows += batch.len();
        self.bytes += bytes;
        self.fresh += 1;
        self.fresh_rows += batch.len();
        self.slices.push_back(Slice { batch, first, bytes, newest, open });
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
                let first = slices.first().map_or(self.next, |slice| slice.first);
                let newest = slices.iter().map(|slice| slice.newest).max().unwrap_or(Time::MIN);
                let open = slices.iter().map(|slice| slice.open).sum();
                self.slices.push_back(Slice { batch, first, bytes, newest, open });
            }
            None if slices.len() > 1 => {
                let rest = slices.split_off(slices.len() / 2);
                self.merge(slices);
                self.merge(rest);
            }
            None => self.slices.extend(slices),
        }
    }

    /// Forgets what is older than the window, and while there are more bytes than allowed, the oldest slices that no
    /// open trace refers to.
    pub fn evict(&mut self, older_than: Time, bytes_max: usize) {
        while self.slices.front().is_some_and(|front| front.newest < older_than) {
            self.remove(0);
        }
        let mut at = 0;
        while self.bytes > bytes_max
            && let Some(slice) = self.slices.get(at)
        {
            if slice.open == 0 {
                self.remove(at);
            } else {
                at += 1;
            }
        }
    }

    fn remove(&mut self, at: usize) {
        let fresh_from = self.slices.len() - self.fresh;
        let Some(slice) = self.slices.remove(at) else { return };
        if at >= fresh_from {
            self.fresh -= 1;
            self.fresh_rows -= slice.batch.len();
        }
        self.rows -= slice.batch.len();
        self.bytes -= slice.bytes;
        self.evicted += 1;
        self.evicted_rows += slice.batch.len() as u64;
    }

    /// The slice of a row, by its place.
    fn place(&self, at: RowRef) -> Option<usize> {
        let place = self.slices.partition_point(|slice| slice.first <= at.0).checked_sub(1)?;
        let slice = &self.slices[place];
        (at.0 - slice.first < slice.batch.len() as u64).then_some(place)
    }

    /// No open trace refers to these rows any more.
    pub fn settle(&mut self, rows: impl Iterator<Item = RowRef>) {
        let mut last = 0;
        for at in rows {
            if !self.slices.get(last).is_some_and(|slice| holds(slice, at)) {
                let Some(place) = self.place(at) else { continue };
                last = place;
            }
            self.slices[last].open = self.slices[last].open.saturating_sub(1);
        }
    }

    /// The spans of these rows; one whose slice has been evicted is left out.
    pub fn rows<'a>(&'a self, rows: &'a [RowRef]) -> impl Iterator<Item = SpanRow<'a>> {
        // The rows of a trace lie in few slices: the columns of the last one are kept at hand.
        let mut last: Option<(&Slice, Columns<'a>)> = None;
        rows.iter().filter_map(move |&at| {
            if !last.as_ref().is_some_and(|(slice, _)| holds(slice, at)) {
                let slice = &self.slices[self.place(at)?];
                last = Some((slice, slice.batch.columns()));
            }
            let (slice, columns) = last.as_ref()?;
            Some(columns.row((at.0 - slice.first) as usize)) // within the slice's rows, which are fewer than 2^32
        })
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

fn holds(slice: &Slice, at: RowRef) -> bool {
    at.0.checked_sub(slice.first).is_some_and(|row| row < slice.batch.len() as u64)
}
