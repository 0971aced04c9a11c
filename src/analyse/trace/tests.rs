use proptest::prelude::*;

use super::*;
use crate::model::{Kind, SpanId, SpanRow, Time, TraceId};

/// `(id, parent, start, end, service, kind)`; parent 0 is none.
type Short = (u8, u8, i64, i64, &'static str, Kind);

fn span(&(id, parent, start, end, service, kind): &Short) -> SpanRow<'static> {
    SpanRow {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([id; 8]),
        parent_span_id: (parent > 0).then_some(SpanId([parent; 8])),
        start: Time(start),
        duration_ns: end - start,
        kind,
        service,
        operation: "op",
        ..SpanRow::default()
    }
}

/// The path as `id kind from..to`, earliest first.
fn path(spans: &[Short]) -> Vec<String> {
    let tree = Tree::build(spans.iter().map(span));
    let mut segments = critical_path(&tree, tree.root.expect("a root"));
    segments.reverse();
    segments
        .iter()
        .map(|s| format!("{} {} {}..{}", tree.nodes[s.node].span.span_id.0[0], s.kind.as_str(), s.from.0, s.to.0))
        .collect()
}

use Kind::{Client, Consumer, Internal, Server};

#[test]
fn sequential_calls_alternate_with_own_time() {
    let spans = [(1, 0, 0, 100, "a", Server), (2, 1, 10, 40, "a", Internal), (3, 1, 50, 90, "a", Internal)];
    assert_eq!(path(&spans), ["1 own 0..10", "2 own 10..40", "1 own 40..50", "3 own 50..90", "1 own 90..100"]);
}

#[test]
fn of_parallel_calls_the_one_that_ends_last_counts() {
    let spans = [(1, 0, 0, 100, "a", Server), (2, 1, 10, 60, "a", Internal), (3, 1, 10, 90, "a", Internal)];
    assert_eq!(path(&spans), ["1 own 0..10", "3 own 10..90", "1 own 90..100"]);
}

#[test]
fn the_gap_around_a_callee_is_queue_time() {
    let spans = [(1, 0, 0, 100, "a", Server), (2, 1, 10, 90, "a", Client), (3, 2, 40, 85, "b", Server)];
    assert_eq!(path(&spans), ["1 own 0..10", "2 queue 10..40", "3 own 40..85", "2 queue 85..90", "1 own 90..100"]);
}

#[test]
fn a_caller_that_nobody_answers_is_a_peer() {
    let spans = [(1, 0, 0, 100, "a", Server), (2, 1, 10, 90, "a", Client)];
    assert_eq!(path(&spans), ["1 own 0..10", "2 peer 10..90", "1 own 90..100"]);
}

#[test]
fn a_child_that_outlives_its_parent_is_clipped_and_a_consumer_was_not_waited_for() {
    let spans = [(1, 0, 0, 100, "a", Server), (2, 1, 50, 150, "a", Internal), (3, 1, 20, 400, "b", Consumer)];
    assert_eq!(path(&spans), ["1 own 0..50", "2 own 50..100"]);
}

#[test]
fn a_skewed_callee_is_centred_in_its_call() {
    let spans = [(1, 0, 0, 100, "a", Client), (2, 1, 1000, 1060, "b", Server), (3, 2, 1010, 1020, "b", Internal)];
    let tree = Tree::build(spans.iter().map(span));
    assert_eq!((tree.nodes[1].start, tree.nodes[1].end, tree.nodes[1].adjusted), (Time(20), Time(80), true));
    assert_eq!(tree.nodes[2].start, Time(30), "its subtree moves with it");
}

#[test]
fn missing_parents_and_cycles_become_orphans() {
    let spans = [
        (1, 0, 0, 100, "a", Server),
        (2, 9, 10, 20, "b", Server),
        (3, 4, 30, 40, "c", Internal),
        (4, 3, 30, 35, "c", Internal),
        (5, 5, 50, 60, "d", Internal),
    ];
    let tree = Tree::build(spans.iter().map(span));
    let orphans: Vec<u8> = tree.orphans.iter().map(|&o| tree.nodes[o].span.span_id.0[0]).collect();
    assert_eq!(orphans, [2, 3, 5]);
    assert_eq!(path(&spans), ["1 own 0..100"]);
}

/// `id service<parent`, in order; `.` is no parent.
fn shape(spans: &[SpanRow<'_>]) -> String {
    let tree = Tree::build(spans.iter().copied());
    let id = |node: usize| tree.nodes[node].span.span_id.0[0];
    let one = |(at, node): (usize, &Node<SpanRow<'_>>)| {
        let parent = node.parent.map_or(".".to_owned(), |parent| id(parent).to_string());
        format!("{} {}<{parent}", id(at), node.span.service)
    };
    tree.nodes.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}

fn shape_of(spans: &[Short]) -> String {
    shape(&spans.iter().map(span).collect::<Vec<_>>())
}

#[test]
fn zipkins_two_sides_of_a_call_are_two_spans() {
    let shared = [
        (1, 0, 0, 100, "a", Server),
        (2, 1, 10, 90, "a", Client),
        (2, 1, 20, 80, "b", Server),
        (3, 2, 30, 40, "b", Client),
        (3, 2, 32, 38, "c", Server),
        (4, 2, 12, 14, "a", Internal),
    ];
    assert_eq!(
        shape_of(&shared),
        "1 a<., 2 a<1, 2 b<2, 3 b<2, 3 c<3",
        "what the client does itself is part of the call"
    );
    assert_eq!(path(&shared)[..3], ["1 own 0..10", "2 queue 10..20", "2 own 20..30"]);
    let tree = Tree::build(shared.iter().map(span));
    assert_eq!(tree.nodes[3].parent, Some(2), "the callee's call, not the caller's");
    // Sent twice they are still two, and where the caller's is lost the callee hangs below whoever called.
    let twice: Vec<Short> = shared.iter().chain(&shared).copied().collect();
    assert_eq!(shape_of(&twice), shape_of(&shared));
    assert_eq!(shape_of(&[shared[0], shared[2], shared[3]]), "1 a<., 2 b<1, 3 b<2");
}

#[test]
fn a_client_within_a_client_is_one_call_and_a_client_around_several_is_none() {
    let once = [
        (1, 0, 0, 100, "a", Server),
        (2, 1, 10, 90, "a", Client),
        (3, 2, 11, 89, "a", Client),
        (4, 3, 30, 80, "b", Server),
    ];
    assert_eq!(shape_of(&once), "1 a<., 2 a<1, 4 b<2");
    assert_eq!(path(&once), ["1 own 0..10", "2 queue 10..30", "4 own 30..80", "2 queue 80..90", "1 own 90..100"]);
    let mut tried_again = once.to_vec();
    tried_again[2].3 = 40;
    tried_again.extend([(5, 2, 45, 89, "a", Client), (6, 5, 50, 80, "b", Server)]);
    tried_again[3] = (4, 3, 30, 39, "b", Server);
    let tree = Tree::build(tried_again.iter().map(span));
    assert_eq!((tree.folded, tree.nodes[1].span.kind), (0, Internal));
    assert_eq!(tree.nodes.iter().filter(|node| node.span.kind == Client).count(), 2, "two calls");
}

#[test]
fn a_client_that_is_answered_and_asks_for_a_token_first_makes_two_calls() {
    let spans = [
        (1, 0, 0, 100, "a", Server),
        (2, 1, 10, 90, "a", Client),
        (3, 2, 12, 30, "a", Client),
        (4, 3, 15, 25, "auth", Server),
        (5, 2, 40, 80, "b", Server),
    ];
    assert_eq!(shape_of(&spans), "1 a<., 2 a<1, 3 a<2, 4 auth<3, 5 b<2");
}

#[test]
fn what_a_client_does_to_connect_is_part_of_its_call() {
    let spans = [(1, 0, 0, 100, "a", Server), (2, 1, 10, 90, "a", Client), (3, 2, 12, 60, "a", Internal)];
    assert_eq!(path(&spans), ["1 own 0..10", "2 peer 10..90", "1 own 90..100"]);
}

#[test]
fn a_server_within_a_server_is_one_request_by_the_inner_name() {
    let spans = [(1, 0, 0, 100, "a", Server), (2, 1, 10, 90, "a", Server), (3, 2, 20, 30, "a", Client)];
    let mut spans: Vec<SpanRow<'_>> = spans.iter().map(span).collect();
    spans[1].operation = "GET /item/{id}";
    assert_eq!(shape(&spans), "1 a<., 3 a<1");
    let tree = Tree::build(spans);
    assert_eq!((tree.nodes[0].span.operation, tree.nodes[0].duration_ns()), ("GET /item/{id}", 100));
}

#[test]
fn a_sidecar_is_part_of_the_workload_in_its_pod() {
    let spans = [
        (1, 0, 0, 100, "a", Server),
        (2, 1, 10, 90, "a", Client),
        (3, 2, 12, 88, "a.default", Client),
        (4, 3, 20, 80, "b.default", Server),
        (5, 4, 30, 70, "b", Server),
        (6, 5, 40, 50, "b", Client),
    ];
    let in_pods = |pods: [&'static str; 6]| -> Vec<SpanRow<'static>> {
        spans.iter().zip(pods).map(|(short, pod)| SpanRow { pod, ..span(short) }).collect()
    };
    assert_eq!(shape(&in_pods(["a-0", "a-0", "a-0", "b-0", "b-0", "b-0"])), "1 a<., 2 a<1, 4 b<2, 6 b<4");
    // A gateway in a pod of its own is a service, and so is one whose pod nobody names.
    let apart = "1 a<., 2 a<1, 3 a.default<2, 4 b.default<3, 5 b<4, 6 b<5";
    assert_eq!(shape(&in_pods(["a-0", "a-0", "x-0", "y-0", "b-0", "b-0"])), apart);
    assert_eq!(shape(&in_pods([""; 6])), apart);
}

/// An independent account of the same: for each instant, who holds the root back. Quadratic and obvious.
fn brute_force(tree: &Tree<SpanRow<'_>>, node: usize, from: i64, to: i64, owner: &mut [usize]) {
    let mut cursor = to;
    let mut left: Vec<usize> = tree.children(node).to_vec();
    left.retain(|&c| tree.nodes[c].span.kind != Consumer);
    while let Some(position) = (0..left.len()).max_by_key(|&i| {
        let child = &tree.nodes[left[i]];
        (child.end.0.min(to), std::cmp::Reverse(child.start), left[i])
    }) {
        let child = left.remove(position);
        let (a, b) = (tree.nodes[child].start.0.max(from), tree.nodes[child].end.0.min(cursor));
        if a < b {
            owner[b as usize..cursor as usize].fill(node);
            brute_force(tree, child, a, b, owner);
            cursor = a;
        }
    }
    owner[from as usize..cursor as usize].fill(node);
}

/// Any set of spans: parents before or after, missing, cyclic; ids that repeat.
fn any_spans() -> impl Strategy<Value = Vec<Short>> {
    let kind = prop_oneof![Just(Server), Just(Client), Just(Internal), Just(Consumer)];
    let service = prop_oneof![Just("a"), Just("b"), Just("c")];
    let span = (1u8..20, 0u8..20, 0i64..200, 0i64..120, service, kind)
        .prop_map(|(id, parent, start, length, service, kind)| (id, parent, start, start + length, service, kind));
    proptest::collection::vec(span, 0..25).prop_map(|mut spans| {
        spans.push((100, 0, 0, 300, "a", Server));
        // Half of them hang from the root, so that trees grow.
        for (i, span) in spans.iter_mut().enumerate() {
            if i % 2 == 0 && span.0 != 100 {
                span.1 = 100;
            }
        }
        spans
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn segments_are_disjoint_and_sum_to_the_duration(spans in any_spans()) {
        let tree = Tree::build(spans.iter().map(span));
        let root = tree.root.expect("one was pushed");
        let segments = critical_path(&tree, root);
        prop_assert_eq!(segments.iter().map(Segment::nanos).sum::<i64>(), tree.nodes[root].duration_ns());
        for pair in segments.windows(2) {
            prop_assert!(pair[1].to <= pair[0].from, "later segment first, no overlap");
        }
    }

    #[test]
    fn order_and_duplicates_do_not_matter(spans in any_spans(), seed in any::<u64>()) {
        let mut shuffled = spans.clone();
        shuffled.extend_from_slice(&spans);
        let mut state = seed | 1;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(i, (state >> 33) as usize % (i + 1));
        }
        prop_assert_eq!(path(&spans), path(&shuffled));
    }

    #[test]
    fn the_brute_force_twin_agrees(spans in any_spans()) {
        let tree = Tree::build(spans.iter().map(span));
        let root = tree.root.expect("one was pushed");
        let (start, end) = (tree.nodes[root].start.0, tree.nodes[root].end.0);
        prop_assume!(start >= 0);
        let mut expected = vec![usize::MAX; end as usize];
        brute_force(&tree, root, start, end, &mut expected);
        let mut found = vec![usize::MAX; end as usize];
        for segment in critical_path(&tree, root) {
            found[segment.from.0 as usize..segment.to.0 as usize].fill(segment.node);
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn every_span_is_in_the_tree_once(spans in any_spans()) {
        let tree = Tree::build(spans.iter().map(span));
        let mut reached = vec![0; tree.nodes.len()];
        let mut pending: Vec<usize> = tree.root.iter().chain(&tree.orphans).copied().collect();
        while let Some(node) = pending.pop() {
            reached[node] += 1;
            pending.extend(tree.children(node));
        }
        prop_assert!(reached.iter().all(|&times| times == 1));
        prop_assert_eq!(tree.nodes.len() + tree.duplicates + tree.folded, spans.len());
    }
}
