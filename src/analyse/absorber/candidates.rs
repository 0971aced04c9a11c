//! Traces that may be part of the judge's sample: of each entry operation those that come first in an order of trace ids.
//!
//! The order is the same everywhere, so that the sample does not depend on which absorber a trace came to, or when.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::analyse::change::{Sample, SampledTrace, TRACES_EACH};
use crate::analyse::thresholds::memory::SPANS_MAX;
use crate::analyse::trace::Tree;
use crate::model::{Kind, Span, SpanBuilder, Symbol, Symbols, TraceId};

struct Candidate {
    order: u64,
    id: TraceId,
    spans: Vec<Span>,
}

#[derive(Default)]
pub struct Candidates {
    /// Each in its order, at most [`TRACES_EACH`].
    by_entry: HashMap<Symbol, Vec<Candidate>, RandomState>,
    spans: usize,
    /// Where the order ends for this tick, because there were too many spans.
    order_max: Option<u64>,
    /// Memory of a candidate that went.
    spare: Vec<Span>,
}

impl Candidates {
    pub fn offer(&mut self, entry: Symbol, id: TraceId, tree: &Tree<Span>) {
        let order = id.mixed();
        if self.order_max.is_some_and(|max| order > max) {
            return;
        }
        let known = self.by_entry.entry(entry).or_default();
        if known.len() == TRACES_EACH {
            if known.last().is_none_or(|last| (last.order, last.id) <= (order, id)) {
                return;
            }
            if let Some(last) = known.pop() {
                self.spans -= last.spans.len();
                self.spare = last.spans;
            }
        }
        let mut spans = std::mem::take(&mut self.spare);
        spans.clear();
        // What takes messages comes when it comes, in this trace's time or later: no part of its shape.
        let is_late = |top: usize| tree.nodes[top].span.kind == Kind::Consumer && tree.root != Some(top);
        if (0..tree.nodes.len()).any(|node| is_late(node)) {
            let of_requests = |node: usize| {
                let top = std::iter::successors(Some(node), |&at| tree.nodes[at].parent).last();
                (!top.is_some_and(is_late)).then(|| tree.nodes[node].span)
            };
            spans.extend((0..tree.nodes.len()).filter_map(of_requests));
        } else {
            spans.extend(tree.nodes.iter().map(|node| node.span));
        }
        self.spans += spans.len();
        let at = known.partition_point(|one| (one.order, one.id) < (order, id));
        known.insert(at, Candidate { order, id, spans });
        if self.spans > SPANS_MAX {
            self.shrink();
        }
    }

    /// Leaves the first in the order, with half of the spans.
    fn shrink(&mut self) {
        let all = self.by_entry.values().flatten();
        let mut orders: Vec<(u64, usize)> = all.map(|one| (one.order, one.spans.len())).collect();
        orders.sort_unstable();
        let mut spans = 0;
        let is_within = |&(_, len): &(u64, usize)| {
            spans += len;
            spans <= SPANS_MAX / 2
        };
        let max = orders.into_iter().take_while(is_within).last().map_or(0, |(order, _)| order);
        self.order_max = Some(max);
        self.by_entry.values_mut().for_each(|known| known.retain(|one| one.order <= max));
        self.spans = self.by_entry.values().flatten().map(|one| one.spans.len()).sum();
    }

    /// The candidates since the last call, in their order.
    pub fn take(&mut self, symbols: &Symbols) -> Sample {
        let mut all: Vec<(Symbol, Candidate)> = self
            .by_entry
            .drain()
            .flat_map(|(entry, known)| known.into_iter().map(move |candidate| (entry, candidate)))
            .collect();
        all.sort_unstable_by_key(|(_, one)| (one.order, one.id));
        let mut builder = SpanBuilder::with_capacity(self.spans);
        let mut traces = Vec::with_capacity(all.len());
        for (entry, Candidate { order, id, spans }) in all {
            let from = builder.len();
            spans.iter().for_each(|span| builder.append(&span.row(id, symbols)));
            traces.push(SampledTrace { order, entry: symbols.text(entry).clone(), rows: from..builder.len() });
        }
        (self.spans, self.order_max) = (0, None);
        Sample { traces, spans: builder.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Names, SpanId, SpanRow, Time};

    fn offer(candidates: &mut Candidates, symbols: &mut Symbols, service: &str, n: u128) {
        let trace_id = TraceId(n.to_be_bytes());
        let mut builder = SpanBuilder::new();
        let (span_id, kind) = (SpanId([1; 8]), Kind::Server);
        builder.append(&SpanRow { trace_id, span_id, kind, service, start: Time(1), ..SpanRow::default() });
        let batch = builder.finish();
        let tree = Tree::build(batch.spans(symbols, &mut Names::default()).map(|(_, span)| span));
        let entry = symbols.of(service);
        candidates.offer(entry, trace_id, &tree);
    }

    fn taken(offers: impl Iterator<Item = (u128, &'static str)>) -> Vec<(String, u64)> {
        let (mut candidates, mut symbols) = (Candidates::default(), Symbols::default());
        offers.for_each(|(n, service)| offer(&mut candidates, &mut symbols, service, n));
        let sample = candidates.take(&symbols);
        assert_eq!(sample.spans.len(), sample.traces.len(), "a span each");
        sample.traces.into_iter().map(|one| (one.entry.to_string(), one.order)).collect()
    }

    #[test]
    fn the_sample_does_not_depend_on_the_order_of_arrival() {
        let service = |n: u128| (n, if n.is_multiple_of(7) { "attic" } else { "shop" });
        let forward = taken((1..1000).map(service));
        let backward = taken((1..1000).rev().map(service));
        assert_eq!(forward, backward);
        assert_eq!(forward.len(), 2 * TRACES_EACH);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let names: Vec<&'static str> = (0..1000).map(|n| &*format!("service-{n}").leak()).collect();
        let kept = taken((0..20_000).map(|n| (n, names[n as usize % names.len()])));
        assert!((SPANS_MAX / 4..=SPANS_MAX).contains(&kept.len()), "{}", kept.len());
    }
}
