//! The kept spans of all files as one supply, handed out in batches of the journal's sizes.
//!
//! A batch's borders are part of what the engine saw, and files have their own: a Collector writes what it
//! batched, Parquet has row groups.

use crate::model::{SpanBatch, SpanBuilder};
use crate::receive::decode::Options;
use crate::receive::files::{self, Damage, Spans};

pub struct Supply {
    files: std::vec::IntoIter<String>,
    options: Options,
    open: Option<Spans>,
    /// A batch of which the first rows are handed out already.
    begun: Option<(SpanBatch, usize)>,
    /// What the files read so far hold that is not as it was sent.
    notes: Vec<String>,
}

impl Supply {
    pub fn new(files: Vec<String>, assume_weight: Option<f64>) -> Supply {
        let options = Options { assume_weight, ..Options::default() };
        Supply { files: files.into_iter(), options, open: None, begun: None, notes: Vec::new() }
    }

    /// The next `n` spans as one batch; fewer when the files end.
    pub fn take(&mut self, n: u64) -> Result<SpanBatch, files::Error> {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        let mut builder = SpanBuilder::new();
        while builder.len() < n {
            let Some((batch, from)) = self.begun()? else { break };
            let to = batch.len().min(from + (n - builder.len()));
            if builder.is_empty() && from == 0 && to == batch.len() && to == n {
                return Ok(batch); // the file has the same border, mostly so
            }
            let columns = batch.columns();
            (from..to).for_each(|row| builder.append(&columns.row(row)));
            if to < batch.len() {
                self.begun = Some((batch, to));
            }
        }
        Ok(builder.finish())
    }

    /// The batches as the files have them.
    pub fn next_batch(&mut self) -> Result<Option<SpanBatch>, files::Error> {
        Ok(self.begun()?.map(|(batch, _)| batch))
    }

    /// How many spans are left.
    pub fn count_rest(&mut self) -> Result<u64, files::Error> {
        let mut rest = 0;
        while let Some((batch, from)) = self.begun()? {
            rest += (batch.len() - from) as u64;
        }
        Ok(rest)
    }

    /// What the files read so far hold that is not as it was sent, a sentence each.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn begun(&mut self) -> Result<Option<(SpanBatch, usize)>, files::Error> {
        if let Some(begun) = self.begun.take() {
            return Ok(Some(begun));
        }
        loop {
            if let Some(batch) = self.open.as_mut().and_then(Iterator::next) {
                return Ok(Some((batch?, 0)));
            }
            self.notes.extend(self.open.take().iter().flat_map(Spans::notes));
            let Some(file) = self.files.next() else { return Ok(None) };
            self.open = Some(files::open(&file, self.options, Damage::Refuse)?);
        }
    }
}
