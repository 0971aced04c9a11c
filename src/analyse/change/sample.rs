//! Whole traces that absorbers hand over, to be compared in their shape with healthy time.

use std::ops::Range;

use crate::model::{SpanBatch, Text};

/// Spans a second in the sample; as many may come at once.
pub const SPANS_PER_SECOND: i64 = 1_000;
/// Traces of one entry operation between two ticks. An average of more is hardly better, and others have room.
pub const TRACES_EACH: usize = 10;

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
