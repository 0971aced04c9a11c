//! Whether spans tell of the present or of the past.

use std::time::Duration;

use super::{SpanBatch, Time};

/// Spans that ended longer ago than this when they were received tell of the past: twice what an SDK's batching (5 s at
/// most by default) puts in between.
pub const FRESH: Duration = Duration::from_secs(10);

/// Whether any span of a batch ended so shortly before it was received that it tells of the present. What a Collector
/// sends again after an outage does not.
pub fn is_fresh(received_at: Time, batch: &SpanBatch) -> bool {
    let columns = batch.columns();
    let oldest = received_at - FRESH;
    (0..batch.len()).any(|row| columns.end(row) >= oldest)
}
