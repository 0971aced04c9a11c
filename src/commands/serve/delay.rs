//! How long it takes from the receipt of spans to the findings that know them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{SpanBatch, Time};

/// Requests that wait to be found, at most: some seconds of the most there can be. Of more, the later are not measured.
const REQUESTS_MAX: usize = 100_000;

/// Requests received, until the second in which their last span ended is part of what was found.
#[derive(Debug, Default)]
pub struct Delay {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    received_at: Time,
    /// When the newest of its spans ended; not later than it was received.
    ended: Time,
}

impl Delay {
    pub fn received(&mut self, received_at: Time, batch: &SpanBatch) {
        let columns = batch.columns();
        let newest = (0..batch.len()).map(|row| columns.end(row)).max();
        if let Some(ended) = newest.map(|newest| newest.min(received_at))
            && self.waiting.len() < REQUESTS_MAX
        {
            self.waiting.push_back(Waiting { received_at, ended });
        }
    }

    /// The delays of the requests that the findings up to `complete_to` know, when these were published at `now`.
    pub fn found(&mut self, complete_to: Time, now: Time) -> Vec<Duration> {
        let mut delays = Vec::new();
        self.waiting.retain(|one| {
            let known = one.ended < complete_to;
            if known {
                delays.push(Duration::from_nanos(now.nanos_since(one.received_at).max(0) as u64)); // not negative
            }
            !known
        });
        delays
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SpanBuilder, SpanRow};

    #[test]
    fn a_request_is_found_once_its_last_second_is() {
        let mut delay = Delay::default();
        let mut builder = SpanBuilder::new();
        for duration_ns in [1_000_000_000, 2_500_000_000] {
            builder.append(&SpanRow { duration_ns, ..SpanRow::default() });
        }
        delay.received(Time(2_600_000_000), &builder.finish());
        assert!(delay.found(Time::from_secs(2), Time(2_700_000_000)).is_empty());
        let found = delay.found(Time::from_secs(3), Time(3_300_000_000));
        assert_eq!(found, [Duration::from_millis(700)]);
        assert!(delay.found(Time::from_secs(9), Time::from_secs(9)).is_empty(), "once");
    }
}
