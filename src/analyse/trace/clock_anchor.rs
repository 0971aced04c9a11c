//! Which clock of a trace is right, where its hosts differ: the one that most of them share.
//!
//! A tree is corrected for skew from its root on down. A phone whose clock is an hour off would so draw a whole system an
//! hour into the past. Instead the hosts of a trace vote: those that agree with most others keep their times, and the rest
//! is moved beside them. Times that are nowhere near now do not count as long as others are.

use super::span::TreeSpan;
use super::tree::{Tree, is_call};
use crate::model::{Kind, Time};

/// Hosts differ by more than the time of a call and its centring in the caller: less does no harm.
const DIFFER_NS: i64 = 500_000_000;
/// Spans that ended longer ago than this, or are to end later than now by it, are not of now by their host's clock.
const PRESENT_NS: i64 = 60_000_000_000;

/// Where a host stands in a trace.
#[derive(Clone, Copy)]
struct Vote {
    /// The root, or the orphan, below which it is.
    top: usize,
    node: usize,
    /// How far it was moved, and how far its clock is off at least.
    shift_ns: i64,
    off_ns: i64,
    /// From the end of its span, by its own clock, to now: the distance.
    distance_ns: i64,
}

impl<S: TreeSpan> Tree<S> {
    /// Moves what hangs from each top so that the hosts which agree most keep the times they told.
    pub fn anchor(&mut self, now: Time) {
        if !self.nodes.iter().any(|node| node.adjusted) || !(0..self.nodes.len()).any(|node| self.differs(node)) {
            return;
        }
        let mut votes: Vec<Vote> =
            (0..self.nodes.len()).filter(|&node| self.is_vote(node)).map(|node| self.vote(node, now)).collect();
        votes.sort_unstable_by_key(|vote| (vote.top, vote.off_ns, vote.node));
        for of_top in votes.chunk_by(|a, b| a.top == b.top) {
            let groups = of_top.chunk_by(|a, b| b.off_ns.saturating_sub(a.off_ns) <= DIFFER_NS);
            let weight = |group: &&[Vote]| {
                let near = group.iter().filter(|vote| vote.distance_ns <= PRESENT_NS).count();
                let distance_ns = group.iter().map(|vote| vote.distance_ns).min().unwrap_or(i64::MAX);
                (near, group.len(), std::cmp::Reverse(distance_ns))
            };
            let Some(right) = groups.max_by_key(weight) else { continue };
            // The first of them keeps its time exactly.
            let Some(first) = right.iter().min_by_key(|vote| vote.node) else { continue };
            self.shift_below(first.top, first.shift_ns.saturating_neg());
        }
    }

    fn shift_below(&mut self, top: usize, by_ns: i64) {
        if by_ns.abs() <= DIFFER_NS {
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

    /// How far the clocks of hosts in this trace are ahead of where their calls belong, for those that differ: node, and
    /// nanoseconds. Messages are left out, as they are taken up whenever their consumer comes to them.
    pub fn clock_offsets(&self) -> impl Iterator<Item = (usize, i64)> {
        let is_one = |&node: &usize| self.differs(node) && self.is_vote(node);
        (0..self.nodes.len()).filter(is_one).map(|node| (node, -self.shift_ns(node)))
    }

    fn shift_ns(&self, node: usize) -> i64 {
        self.nodes[node].start.nanos_since(self.nodes[node].span.start())
    }

    /// How far a host's clock is off at least. What does not lie within its call is moved to the middle of it, and half of the time
    /// by which a call is longer than its answer is no clock's: a request that waits for seconds to be taken would else show a clock
    /// that is off by half of them, once it sticks out by a millisecond.
    fn off_ns(&self, node: usize) -> i64 {
        let (mut room_ns, mut below) = (0_i64, node);
        while let Some(parent) = self.nodes[below].parent {
            let room = self.nodes[parent].span.duration_ns().saturating_sub(self.nodes[below].span.duration_ns());
            room_ns = room_ns.saturating_add(room.max(0) / 2);
            below = parent;
        }
        let shift_ns = self.shift_ns(node);
        shift_ns.signum() * (shift_ns.saturating_abs() - room_ns).max(0)
    }

    fn differs(&self, node: usize) -> bool {
        self.off_ns(node).saturating_abs() > DIFFER_NS
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
        Vote { top: self.top_of(node), node, shift_ns: self.shift_ns(node), off_ns: self.off_ns(node), distance_ns }
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
        tree.anchor(NOW);
        let root = tree.root.unwrap();
        let offsets =
            tree.clock_offsets().map(|(node, ns)| (tree.nodes[node].span.service, (ns as f64 / 1e9).round() as i64));
        (NOW.seconds_since(tree.nodes[root].end), offsets.collect())
    }

    #[test]
    fn clocks_that_agree_are_left_alone() {
        assert_eq!(found(&[0, 0, 0, 0]), (2.0, vec![]));
    }

    /// Two seconds in a queue, and clocks that differ by five milliseconds: moved to the middle of its call, the answer would
    /// seem to come from a clock that is a second off.
    #[test]
    fn a_call_that_waited_long_tells_nothing_of_clocks() {
        let row = |n: u8, parent: Option<u8>, start_ms: i64, end_ms: i64, kind, service| SpanRow {
            span_id: SpanId([n; 8]),
            parent_span_id: parent.map(|n| SpanId([n; 8])),
            start: Time(NOW.0 - 5 * S + start_ms * 1_000_000),
            duration_ns: (end_ms - start_ms) * 1_000_000,
            kind,
            service,
            ..SpanRow::default()
        };
        let mut tree = Tree::build(vec![
            row(1, None, 0, 2_101, Kind::Server, "front"),
            row(2, Some(1), 0, 2_100, Kind::Client, "front"),
            row(3, Some(2), 2_065, 2_105, Kind::Server, "orders"),
        ]);
        assert!(tree.nodes.iter().any(|node| node.adjusted));
        tree.anchor(NOW);
        assert_eq!(NOW.seconds_since(tree.nodes[tree.root.unwrap()].end), 5.0 - 2.101);
        assert_eq!(tree.clock_offsets().count(), 0);
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
        tree.anchor(NOW);
        assert_eq!(NOW.seconds_since(tree.nodes[tree.root.unwrap()].end), 2.0);
        assert_eq!(tree.clock_offsets().count(), 0);
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
