//! Spans that were understood but cannot be used: how many, why, and one of each kind to look for.

use std::fmt;

/// Why a span is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    TraceId,
    SpanId,
    ParentSpanId,
    NoStart,
    TimeRange,
    EndBeforeStart,
    FarFuture,
    Damaged,
}

impl Reason {
    pub const ALL: [Reason; 8] = [
        Reason::TraceId,
        Reason::SpanId,
        Reason::ParentSpanId,
        Reason::NoStart,
        Reason::TimeRange,
        Reason::EndBeforeStart,
        Reason::FarFuture,
        Reason::Damaged,
    ];

    /// The value of the metric label `reason`.
    pub const fn label(self) -> &'static str {
        match self {
            Reason::TraceId => "trace_id",
            Reason::SpanId => "span_id",
            Reason::ParentSpanId => "parent_span_id",
            Reason::NoStart => "no_start",
            Reason::TimeRange => "time_range",
            Reason::EndBeforeStart => "end_before_start",
            Reason::FarFuture => "far_future",
            Reason::Damaged => "damaged",
        }
    }

    const fn explanation(self) -> &'static str {
        match self {
            Reason::TraceId => "trace_id is all zeros or not 16 bytes long",
            Reason::SpanId => "span_id is all zeros or not 8 bytes long",
            Reason::ParentSpanId => "parent_span_id is neither empty nor 8 bytes long",
            Reason::NoStart => "start_time_unix_nano is missing",
            Reason::TimeRange => "a time lies after the year 2262",
            Reason::EndBeforeStart => "the span ends before it starts",
            Reason::FarFuture => "the span starts too far in the future; check the sender's clock",
            Reason::Damaged => "the span's fields cannot be told apart",
        }
    }
}

/// The account of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    kinds: [Kind; Reason::ALL.len()],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kind {
    count: u64,
    /// The first span of this kind, as its sender would know it.
    example: String,
}

/// Characters of a span's name that an example quotes: enough to find it, and a hostile name cannot fill the answer.
const EXAMPLE_NAME_CHARS_MAX: usize = 80;

impl Rejected {
    pub(super) fn add(&mut self, reason: Reason, service: &str, operation: &str, trace_id: &[u8]) {
        let kind = &mut self.kinds[reason as usize];
        kind.count += 1;
        if kind.count == 1 {
            let shorten = |text: &str| text.chars().take(EXAMPLE_NAME_CHARS_MAX).collect::<String>();
            // A trace id of a wrong length may be of any length.
            let trace_id = hex::encode(&trace_id[..trace_id.len().min(16)]);
            kind.example = format!("{:?} of {:?}, trace {trace_id:?}", shorten(operation), shorten(service));
        }
    }

    /// Adds another request's account; of each reason the first example stays.
    pub fn merge(&mut self, other: Rejected) {
        for (own, other) in self.kinds.iter_mut().zip(other.kinds) {
            if own.count == 0 {
                own.example = other.example;
            }
            own.count += other.count;
        }
    }

    pub fn count(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.count).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Reasons that occurred, with their counts.
    pub fn by_reason(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.into_iter().map(|reason| (reason, self.kinds[reason as usize].count)).filter(|(_, n)| *n > 0)
    }
}

/// One line for `partial_success.error_message`, such as
/// `rejected 2 spans: 2 x the span ends before it starts (first: "GET /" of "shop", trace "0a…")`.
impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count();
        write!(f, "rejected {count} span{}", if count == 1 { "" } else { "s" })?;
        for (index, (reason, count)) in self.by_reason().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            let example = &self.kinds[reason as usize].example;
            write!(f, "{separator}{count} x {} (first: {example})", reason.explanation())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_what_and_why() {
        let mut rejected = Rejected::default();
        assert!(rejected.is_empty());
        rejected.add(Reason::EndBeforeStart, "shop", "GET /", &[0xab; 16]);
        rejected.add(Reason::EndBeforeStart, "shop", "GET /other", &[0xcd; 16]);
        rejected.add(Reason::TraceId, "shop", &"x".repeat(500), &[1; 40]);
        assert_eq!(rejected.count(), 3);
        insta::assert_snapshot!(rejected, @r#"rejected 3 spans: 1 x trace_id is all zeros or not 16 bytes long (first: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" of "shop", trace "01010101010101010101010101010101"); 2 x the span ends before it starts (first: "GET /" of "shop", trace "abababababababababababababababab")"#);
    }
}
