//! The traces of files of spans, put together in memory.

use indexmap::IndexMap;

use super::error::Error;
use crate::analyse::change::{Moment, Profile};
use crate::analyse::trace::Tree;
use crate::model::{Names, SpanBatch, SpanRow, Time, TraceId};
use crate::receive::decode::{Options, Rejected};
use crate::receive::files::{self, Damage};

/// All spans of some files, or of a simulation: about 90 bytes each, so a gigabyte holds ten million.
#[derive(Default)]
pub struct Traces {
    batches: Vec<SpanBatch>,
    /// (batch, row) of each trace's spans.
    rows: IndexMap<TraceId, Vec<(usize, usize)>>,
    /// What is not as it was sent.
    notes: Vec<String>,
}

impl Traces {
    pub fn read<P: AsRef<str>>(paths: &[P]) -> Result<Traces, Error> {
        let mut traces = Traces::default();
        let mut rejected = Rejected::default();
        for path in paths {
            let mut spans =
                files::open(path.as_ref(), Options { rescale: true, ..Options::default() }, Damage::Refuse)?;
            for batch in spans.by_ref() {
                traces.add(batch?);
            }
            rejected.merge(spans.rejected().clone());
            traces.notes.extend(spans.notes());
        }
        if traces.rows.is_empty() {
            let files: Vec<&str> = paths.iter().map(AsRef::as_ref).collect();
            let remedy =
                if rejected.is_empty() { "give files that hold traces".to_owned() } else { rejected.to_string() };
            return Err(Error::NoSpans { files: files.join(", "), remedy });
        }
        traces.group();
        Ok(traces)
    }

    /// Groups operations whose names hold identifiers: learns from all names, then names them, so that it does not matter
    /// which come first.
    pub fn group(&mut self) {
        let mut names = Names::default();
        self.batches.iter().for_each(|batch| drop(batch.grouped(&mut names)));
        self.batches.iter_mut().for_each(|batch| *batch = batch.grouped(&mut names));
    }

    pub fn add(&mut self, batch: SpanBatch) {
        let columns = batch.columns();
        for row in 0..batch.len() {
            self.rows.entry(columns.trace_id(row)).or_default().push((self.batches.len(), row));
        }
        self.batches.push(batch);
    }

    /// What the files hold that is not as it was sent, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn spans(&self) -> usize {
        self.rows.values().map(Vec::len).sum()
    }

    /// When each trace began, in the order of their indices: by its root, else by the earliest span that came.
    pub fn starts(&self) -> Vec<(TraceId, Time)> {
        let columns: Vec<_> = self.batches.iter().map(SpanBatch::columns).collect();
        let start = |(trace, rows): (&TraceId, &Vec<(usize, usize)>)| {
            let spans = rows.iter().map(|&(batch, row)| columns[batch].row(row));
            let first = spans.min_by_key(|span| (span.parent_span_id.is_some(), span.start));
            (*trace, first.map_or(Time::MIN, |span| span.start))
        };
        self.rows.iter().map(start).collect()
    }

    /// The profile of the traces that `choose` takes by their index; every index in `0..len()` is a trace.
    pub fn profile(&self, choose: impl Fn(usize) -> bool) -> Profile {
        let mut profile = Profile::default();
        let mut period: Option<(i64, i64)> = None;
        self.trees(choose, |_, tree| {
            for node in &tree.nodes {
                let (from, to) = period.unwrap_or((i64::MAX, i64::MIN));
                period = Some((from.min(node.start.0), to.max(node.end.0)));
            }
            profile.absorb(tree);
        });
        let (from, to) = period.unwrap_or_default();
        profile.observed(to.saturating_sub(from));
        profile
    }

    /// The root of each complete trace, with the trace's index.
    pub fn moments(&self) -> Vec<(usize, Moment)> {
        let mut moments = Vec::new();
        self.trees(
            |_| true,
            |index, tree| {
                if let Some(root) = tree.root {
                    let node = &tree.nodes[root];
                    let entry = format!("{} {}", node.span.service_id().as_str(), node.span.operation);
                    let (start_ns, duration_ns) = (node.start.0, node.duration_ns());
                    moments.push((index, Moment { start_ns, entry, duration_ns }));
                }
            },
        );
        moments
    }

    fn trees(&self, choose: impl Fn(usize) -> bool, mut each: impl FnMut(usize, &Tree<SpanRow<'_>>)) {
        let columns: Vec<_> = self.batches.iter().map(SpanBatch::columns).collect();
        for (index, rows) in self.rows.values().enumerate().filter(|(index, _)| choose(*index)) {
            each(index, &Tree::build(rows.iter().map(|&(batch, row)| columns[batch].row(row))));
        }
    }
}
