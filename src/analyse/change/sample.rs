//! Whole traces that absorbers hand over, to be compared in their shape with healthy time.

use std::ops::Range;

pub use crate::analyse::thresholds::memory::{SPANS_PER_SECOND, TRACES_EACH};
use crate::model::{SpanBatch, Text};

#[derive(Clone, Debug)]
pub struct Sample {
    pub traces: Vec<SampledTrace>,
    pub spans: SpanBatch,
}

#[derive(Clone, Debug)]
pub struct SampledTrace {
    /// Its place among all traces, by a hash of its id.
    pub order: u64,
    pub entry: Text,
    /// Its spans.
    pub rows: Range<usize>,
}

impl Default for Sample {
    fn default() -> Sample {
        Sample { traces: Vec::new(), spans: SpanBatch::empty() }
    }
}
