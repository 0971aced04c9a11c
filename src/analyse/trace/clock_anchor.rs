//! Which clock of a trace is right, where its hosts differ: the one that most of them share.
//!
//! A tree is corrected for skew from its root on down. A phone whose clock is an hour off would so draw a whole system an
//! hour into the past. Instead the hosts of a trace vote: those that agree with most others keep their times, and the rest
//! is moved beside them. Times that are nowhere near now do not count as long as others are.

use super::span::TreeSpan;
use super::tree::{Tree, is_call};
use crate::analyse::thresholds::clocks::{DIFFER_NS, PRESENT_NS, ROOM_NS_MAX};
use crate::model::{Kind, Time};

/// Where a host stands in a trace.
#[derive(Clone, Copy)]
struct Vote {
    /// The root, or the orphan, below which it is.
    top: usize,
    node: usize,
    /// How far it has to be moved at least, for its calls to lie where they were made.
    offset: Offset,
    /// From the end of its span, by its own clock, to now: the distance.
    distance_ns: i64,
}

#[derive(Clone, Copy, Default)]
struct Offset {
    ns: i64,
    /// Calls on the way leave so much room that it is no measure.
    is_vague: bool,
}

impl<S: TreeSpan> Tree<S> {
    /// Moves what hangs from each top so that the hosts which agree most keep the times they told. Returns how far the clocks
    /// of the others are ahead, in nanoseconds, with the nodes that show it.
    pub fn anchor(&mut self, now: Time) -> Vec<(usize, i64)> {
        let mut ahead = Vec::new();
        if !(0..self.nodes.len()).any(|node| self.needed(node).ns != 0) {
            return ahead;
        }
        let mut votes: Vec<Vote> =
            (0..self.nodes.len()).filter(|&node| self.is_vote(node)).map(|node| self.vote(node, now)).collect();
        votes.sort_unstable_by_key(|vote| (vote.top, vote.offset.ns, vote.node));
        for of_top in votes.chunk_by(|a, b| a.top == b.top) {
            let groups = of_top.chunk_by(|a, b| b.offset.ns.saturating_sub(a.offset.ns) <= DIFFER_NS);
            let weight = |group: &&[Vote]| {
                let near = group.iter().filter(|vote| vote.distance_ns <= PRESENT_NS).count();
                let distance_ns = group.iter().map(|vote| vote.distance_ns).min().unwrap_or(i64::MAX);
                (near, group.len(), std::cmp::Reverse(distance_ns))
            };
            let Some(right) = groups.max_by_key(weight) else { continue };
            // The first of them keeps its time.
            let Some(first) = right.iter().min_by_key(|vote| vote.node).copied() else { continue };
            self.shift_below(first.top, first.offset.ns.saturating_neg());
            let behind = |vote: &Vote| vote.offset.ns.saturating_sub(first.offset.ns);
            let differ = of_top.iter().filter(|vote| behind(vote).saturating_abs() > DIFFER_NS);
            let told = differ.filter(|vote| !vote.offset.is_vague && !first.offset.is_vague);
            ahead.extend(told.map(|vote| (vote.node, behind(vote).saturating_neg())));
        }
        ahead
    }

    fn shift_below(&mut self, top: usize, by_ns: i64) {
        if by_ns == 0 {
            return;
        }
        for node in 0..self.nodes.len() {
            if self.top_of(node) == top {
                let node = &mut self.nodes[node];
                (node.start, node.end) =
                    (Time(node.start.0.saturating_add(by_ns)), Time(node.end.0.saturating_add(by_ns)));
            }
        }
    }

    /// How far a callee has to be moved at least to lie within its call, by the clocks of both. The tree centres it there, which
    /// of a call that waited long says nothing of clocks.
    fn needed(&self, node: usize) -> Offset {
        let Some(parent) = self.nodes[node].parent.filter(|_| self.nodes[node].adjusted) else {
            return Offset::default();
        };
        let (callee, call) = (&self.nodes[node].span, &self.nodes[parent].span);
        let end = |span: &S| span.start().0.saturating_add(span.duration_ns());
        let (late, over) = (call.start().nanos_since(callee.start()), end(call).saturating_sub(end(callee)));
        let by = if late > 0 { late } else { over.min(0).max(late) };
        if by.saturating_abs() <= DIFFER_NS {
            return Offset::default();
        }
        Offset { ns: by, is_vague: call.duration_ns().saturating_sub(callee.duration_ns()) > ROOM_NS_MAX }
    }

    /// One vote a host on the way of a request, however many spans it sends: a browser sends dozens. What was done for a
    /// caller that gave up may have been done long after; of a call that went well, all lies within.
    fn is_vote(&self, node: usize) -> bool {
        if self.is_below_failed_call(node) {
            return false;
        }
        let span = &self.nodes[node].span;
        match self.nodes[node].parent {
            Some(parent) => span.kind() == Kind::Server && is_call(&self.nodes[parent].span, span),
            None => span.kind() != Kind::Consumer,
        }
    }

    fn is_below_failed_call(&self, node: usize) -> bool {
        let mut above = self.nodes[node].parent;
        while let Some(parent) = above {
            let span = &self.nodes[parent].span;
            if span.kind().is_caller() && span.has_failed() {
                return true;
            }
            above = self.nodes[parent].parent;
        }
        false
    }

    fn vote(&self, node: usize, now: Time) -> Vote {
        let span = &self.nodes[node].span;
        let end = Time(span.start().0.saturating_add(span.duration_ns()));
        let distance_ns = now.nanos_since(end).saturating_abs();
        let (mut top, mut offset) = (node, self.needed(node));
        while let Some(parent) = self.nodes[top].parent {
            top = parent;
            let needed = self.needed(top);
            offset.ns = offset.ns.saturating_add(needed.ns);
            offset.is_vague |= needed.is_vague;
        }
        Vote { top, node, offset, distance_ns }
    }

    fn top_of(&self, node: usize) -> usize {
        let mut top = node;
        while let Some(parent) = self.nodes[top].parent {
            top = parent;
        }
        top
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SpanId, SpanRow, Status};

    const S: i64 = 1_000_000_000;
    const NOW: Time = Time(10_000 * S);

    /// A client that asks a chain of services, each with its clock ahead by so many seconds; one request of 100 ms that
    /// ended 2 s ago.
    fn chain(ahead_s: &[i64]) -> Tree<SpanRow<'static>> {
        let names = ["phone", "front", "orders", "stock"];
        let mut rows = Vec::new();
        for (n, (&ahead, service)) in ahead_s.iter().zip(names).enumerate() {
            let inset = n as i64 * 10_000_000;
            let start = Time(NOW.0 - 2 * S - 100_000_000 + inset + ahead * S);
            let id = |place: usize| SpanId([place as u8 + 1; 8]);
            let server = SpanRow {
                span_id: id(2 * n),
                parent_span_id: (n > 0).then(|| id(2 * n - 1)),
                start,
                duration_ns: 100_000_000 - 2 * inset,
                kind: Kind::Server,
                service,
                ..SpanRow::default()
            };
            rows.push(server);
            rows.push(SpanRow {
                span_id: id(2 * n + 1),
                parent_span_id: Some(id(2 * n)),
                kind: Kind::Client,
                ..server
            });
        }
        Tree::build(rows)
    }

    /// How far the trace's root ends before now, and what clocks are found to be ahead by, in seconds.
    fn found(ahead_s: &[i64]) -> (f64, Vec<(&'static str, i64)>) {
        let mut tree = chain(ahead_s);
        let ahead = tree.anchor(NOW);
        let root = tree.root.unwrap();
        let offsets = ahead.iter().map(|&(node, ns)| (tree.nodes[node].span.service, (ns as f64 / 1e9).round() as i64));
        (NOW.seconds_since(tree.nodes[root].end), offsets.collect())
    }

    #[test]
    fn clocks_that_agree_are_left_alone() {
        assert_eq!(found(&[0, 0, 0, 0]), (2.0, vec![]));
    }

    #[test]
    fn work_for_a_caller_that_gave_up_tells_nothing_of_clocks() {
        let mut tree = chain(&[0, 2]);
        let rows: Vec<SpanRow<'_>> = tree.nodes.iter().map(|node| node.span).collect();
        let gave_up = |row: &SpanRow<'static>| {
            let status = if row.kind == Kind::Client { Status::Error } else { Status::Unset };
            SpanRow { status, ..*row }
        };
        tree = Tree::build(rows.iter().map(gave_up));
        assert_eq!(tree.anchor(NOW), []);
        assert_eq!(NOW.seconds_since(tree.nodes[tree.root.unwrap()].end), 2.0);
    }

    #[test]
    fn a_call_that_waited_long_and_sticks_out_by_a_little_tells_nothing_of_clocks() {
        let call = SpanRow { span_id: SpanId([1; 8]), duration_ns: 5 * S, kind: Kind::Client, ..SpanRow::default() };
        let taken = SpanRow {
            span_id: SpanId([2; 8]),
            parent_span_id: Some(SpanId([1; 8])),
            start: Time(5 * S - 39_000_000),
            duration_ns: 40_000_000,
            kind: Kind::Server,
            service: "stock",
            ..SpanRow::default()
        };
        let mut tree = Tree::build([call, taken]);
        assert_eq!(tree.anchor(Time(7 * S)), []);
        assert_eq!(tree.nodes[tree.root.unwrap()].start, Time(0));
    }

    #[test]
    fn a_phone_with_a_wrong_clock_is_moved_to_its_servers() {
        for ahead in [-86_400, -3_600, -10, 120, 86_400] {
            let (age, offsets) = found(&[ahead, 0, 0, 0]);
            assert!((age - 2.0).abs() < 0.1, "{ahead} s: the root ended {age} s ago");
            assert_eq!(offsets, [("phone", ahead)]);
            let (age, offsets) = found(&[ahead, 0]);
            assert!((age - 2.0).abs() < 0.1, "{ahead} s, one server: the root ended {age} s ago");
            assert_eq!(offsets, [("phone", ahead)]);
        }
    }

    #[test]
    fn a_server_with_a_wrong_clock_is_moved_to_its_neighbours() {
        for ahead in [-600, -5, 5, 600, 3_600] {
            assert_eq!(found(&[0, 0, ahead, 0]), (2.0, vec![("orders", ahead)]));
            assert_eq!(found(&[0, ahead]), (2.0, vec![("front", ahead)]));
        }
    }
}
