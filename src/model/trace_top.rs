//! Where a trace begins as far as it can be seen: the first of its spans that hang from none of the others.

use std::cmp::Reverse;

use super::{Span, SpanId};

/// Spans up to which looking through their ids is quicker than sorting them.
const FEW: usize = 32;

/// The first span, by start and then the longest, whose parent is not among them: its place. None of no spans, and where
/// parents go round in a circle.
pub fn first_top(spans: &[Span]) -> Option<usize> {
    let mut sorted: Vec<SpanId> = Vec::new();
    if spans.len() > FEW {
        sorted.extend(spans.iter().map(|span| span.id));
        sorted.sort_unstable();
    }
    let is_there = |id: &SpanId| {
        if sorted.is_empty() { spans.iter().any(|span| span.id == *id) } else { sorted.binary_search(id).is_ok() }
    };
    let is_top = |span: &Span| span.parent.is_none_or(|parent| !is_there(&parent));
    let tops = spans.iter().enumerate().filter(|(_, span)| is_top(span));
    tops.min_by_key(|(_, span)| (span.start, Reverse(span.duration_ns), span.id)).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Names, SpanBuilder, SpanRow, Symbols, Time};

    /// The first top of spans of (id, parent, start).
    fn first(spans: &[(u8, u8, i64)]) -> Option<u8> {
        let mut builder = SpanBuilder::new();
        for &(id, parent, start) in spans {
            builder.append(&SpanRow {
                span_id: SpanId([id; 8]),
                parent_span_id: (parent > 0).then_some(SpanId([parent; 8])),
                start: Time(start),
                ..SpanRow::default()
            });
        }
        let spans: Vec<Span> =
            builder.finish().spans(&mut Symbols::default(), &mut Names::default()).map(|(_, span)| span).collect();
        first_top(&spans).map(|place| spans[place].id.0[0])
    }

    #[test]
    fn the_first_whose_parent_is_not_there_is_the_top() {
        assert_eq!(first(&[]), None);
        assert_eq!(first(&[(2, 1, 0), (3, 2, 1), (4, 9, 5)]), Some(2));
        assert_eq!(first(&[(3, 2, 0), (2, 1, 3), (4, 9, 5)]), Some(2), "a child with a clock that is behind is no top");
        assert_eq!(first(&[(1, 2, 0), (2, 1, 1)]), None, "a circle has none");
        let many: Vec<(u8, u8, i64)> = (1..=100).map(|id| (id, id - 1, i64::from(id))).rev().collect();
        assert_eq!(first(&many), Some(1));
    }
}
