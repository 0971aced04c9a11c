use super::*;
use crate::model::{Kind, SpanBuilder, SpanId, SpanRow, TraceId};

fn batch(spans: &[(u8, u8, u8, i64, i64)]) -> SpanBatch {
    let mut builder = SpanBuilder::new();
    for &(trace, id, parent, start_ms, duration_ms) in spans {
        builder.append(&SpanRow {
            trace_id: TraceId([trace; 16]),
            span_id: SpanId([id; 8]),
            parent_span_id: (parent > 0).then_some(SpanId([parent; 8])),
            start: Time(start_ms * 1_000_000),
            duration_ns: duration_ms * 1_000_000,
            kind: Kind::Server,
            service: "a",
            operation: "op",
            ..SpanRow::default()
        });
    }
    builder.finish()
}

const SECOND: Time = Time::from_secs(1);

/// Closes what is complete; no trace is known to begin without its root.
fn close(window: &mut Window, now: Time) -> Vec<AssembledTrace> {
    window.close(now, |_, _| Beginning::Elsewhere)
}

#[test]
fn a_trace_closes_when_telemetry_is_complete_to_its_roots_end() {
    let mut window = Window::new(Config::default());
    window.ingest(SECOND, batch(&[(1, 2, 1, 100, 50)]));
    window.ingest(SECOND, batch(&[(1, 1, 0, 90, 100)]));
    assert_eq!(close(&mut window, Time::from_secs(2)), [], "2 s less the default lag of 2.5 s is before the end");
    let closed = close(&mut window, Time::from_secs(3));
    assert_eq!(closed.len(), 1);
    assert!(closed[0].has_root);
    assert_eq!(closed[0].spans.len(), 2);
}

#[test]
fn late_and_repeated_spans_are_counted_and_open_nothing() {
    let mut window = Window::new(Config::default());
    window.ingest(SECOND, batch(&[(1, 1, 0, 90, 100), (1, 1, 0, 90, 100)]));
    let closed = close(&mut window, Time::from_secs(3));
    assert_eq!((closed.len(), closed[0].spans.len()), (1, 2), "the tree finds what repeats");
    window.recycle(closed, 1);
    window.ingest(Time::from_secs(3), batch(&[(1, 2, 1, 100, 50)]));
    assert_eq!(close(&mut window, Time::from_secs(30)), []);
    let counters = window.counters().assembly;
    assert_eq!((counters.duplicate_spans, counters.late_spans, counters.closed), (1, 1, 1));
}

#[test]
fn a_trace_without_a_root_closes_as_partial_once_idle() {
    let mut window = Window::new(Config::default());
    window.ingest(SECOND, batch(&[(1, 2, 1, 100, 50)]));
    assert_eq!(close(&mut window, Time::from_secs(9)), []);
    let closed = close(&mut window, Time::from_secs(13));
    assert!(!closed[0].has_root);
    assert_eq!(window.counters().assembly.partial, 1);
}

/// Closes what is complete, where `service operation` begins traces without a root.
fn close_begun_by(window: &mut Window, now: Time, entry: &str) -> Vec<AssembledTrace> {
    let is_entry = |span: &Span, symbols: &Symbols| {
        let name = format!("{} {}", symbols.text(span.service), symbols.text(span.operation));
        if name == entry { Beginning::Here } else { Beginning::Elsewhere }
    };
    window.close(now, is_entry)
}

#[test]
fn a_trace_that_begins_where_callers_send_no_spans_closes_a_moment_after_its_newest_span() {
    let mut window = Window::new(Config::default());
    window.ingest(SECOND, batch(&[(1, 2, 1, 100, 500), (1, 3, 2, 200, 100)]));
    assert_eq!(close_begun_by(&mut window, Time::from_secs(4), "a op"), [], "its root may still come");
    let closed = close_begun_by(&mut window, Time::from_secs(5), "a op");
    assert_eq!((closed.len(), closed[0].spans.len(), closed[0].has_root), (1, 2, false));
    assert_eq!(window.waiting_traces(), 0);
}

#[test]
fn where_nobody_is_known_to_call_a_trace_waits_two_seconds_for_its_root() {
    let closed_at = |beginning| {
        let mut window = Window::new(Config::default());
        window.ingest(SECOND, batch(&[(1, 2, 1, 100, 500)]));
        (2..30).find(|&second| !window.close(Time::from_secs(second), |_, _| beginning).is_empty())
    };
    assert_eq!(
        [Beginning::Here, Beginning::Unknown, Beginning::Elsewhere].map(closed_at),
        [Some(5), Some(6), Some(14)]
    );
}

#[test]
fn a_trace_that_begins_elsewhere_waits_and_is_taken_up_by_its_next_span() {
    let mut window = Window::new(Config::default());
    window.ingest(SECOND, batch(&[(1, 3, 2, 200, 100)]));
    assert_eq!(close_begun_by(&mut window, Time::from_secs(5), "b op"), []);
    assert_eq!(window.waiting_traces(), 1, "it is overdue");
    window.ingest(Time::from_secs(6), batch(&[(1, 2, 1, 100, 5_500)]));
    assert_eq!(window.waiting_traces(), 0);
    assert_eq!(close_begun_by(&mut window, Time::from_secs(10), "a op").len(), 1);
}

#[test]
fn a_root_that_comes_after_its_trace_was_closed_without_it_is_counted() {
    let mut window = Window::new(Config::default());
    window.ingest(SECOND, batch(&[(1, 2, 1, 100, 500)]));
    assert_eq!(close_begun_by(&mut window, Time::from_secs(6), "a op").len(), 1);
    window.ingest(Time::from_secs(7), batch(&[(1, 1, 0, 50, 6_900), (1, 3, 1, 700, 10)]));
    let counters = window.counters().assembly;
    assert_eq!((counters.late_roots, counters.late_spans, counters.partial), (1, 2, 1));
}

/// Found by the fuzz target of the engine: a sender, and a clock, at the end of what a time can say.
#[test]
fn traces_that_are_due_at_the_end_of_time_are_closed_when_there_are_too_many() {
    const LAST_MS: i64 = i64::MAX / 1_000_000;
    let mut window = Window::new(Config { open_traces_max: 1, ..Config::default() });
    window.ingest(Time(i64::MAX), batch(&[1, 2, 3].map(|trace| (trace, 2, 1, LAST_MS, 10))));
    assert_eq!((close(&mut window, SECOND).len(), window.open_traces()), (2, 1));
}

/// Traces of the rows of the table, in order.
fn held(window: &Window) -> Vec<u8> {
    window.batches().flat_map(SpanBatch::iter).map(|span| span.trace_id.0[0]).collect()
}

#[test]
fn old_slices_go_and_their_traces_stay() {
    let mut window = Window::new(Config { duration: Duration::from_secs(10), ..Config::default() });
    window.ingest(SECOND, batch(&[(1, 1, 0, 90, 100)]));
    window.ingest(Time::from_secs(9), batch(&[(2, 1, 0, 8000, 100)]));
    assert_eq!(held(&window), [1, 2]);
    window.forget(Time::from_secs(12));
    assert_eq!(held(&window), [2]);
    assert_eq!(close(&mut window, Time::from_secs(12)).len(), 2);
}

#[test]
fn the_byte_bound_is_kept_by_the_oldest_slices() {
    let one = batch(&[(1, 1, 0, 90, 100)]).record_batch().get_array_memory_size();
    let mut window = Window::new(Config { bytes_max: 3 * one, ..Config::default() });
    for n in 0..10 {
        window.ingest(SECOND, batch(&[(n, 1, 0, 90, 100)]));
    }
    assert!(window.bytes() <= 3 * one);
    assert!(held(&window).len() < 3, "open traces take their part");
    assert_eq!(held(&window).last(), Some(&9));
    let counters = window.counters();
    assert_eq!(counters.spans_evicted as usize, 10 - window.held());
    assert_eq!(close(&mut window, Time::from_secs(4)).len(), 10, "what is analysed does not depend on the table");
}

#[test]
fn slices_are_merged_and_their_rows_keep_their_order() {
    let mut window = Window::new(Config::default());
    // Past the number of batches that are merged, and a rest that is not.
    const BATCHES: u64 = 1100;
    let trace = |n: u64| 1 + (n % 200) as u8;
    for n in 0..BATCHES {
        window.ingest(Time::from_secs(2), batch(&[(trace(2 * n), 1, 2, 0, 5), (trace(2 * n + 1), 3, 2, 0, 5)]));
    }
    assert!(window.batches().count() < 100);
    assert_eq!(held(&window), (0..2 * BATCHES).map(trace).collect::<Vec<_>>());
    assert_eq!(window.held(), 2 * BATCHES as usize);
}

#[test]
fn renewed_symbols_stand_for_the_same_texts() {
    let mut window = Window::new(Config::default());
    window.symbols().of("of a pod that is gone");
    window.ingest(SECOND, batch(&[(1, 1, 0, 90, 100)]));
    window.renew_symbols();
    let closed = close(&mut window, Time::from_secs(4));
    let span = closed[0].spans[0];
    let texts = [span.service, span.operation, span.pod].map(|text| window.symbols().text(text).to_string());
    assert_eq!(texts, ["a", "op", ""]);
}

#[test]
fn the_lag_is_learnt_from_the_spans() {
    let mut window = Window::new(Config::default());
    for n in 0..50 {
        let start = n * 100;
        let spans: Vec<_> = (1..=10).map(|id| (n as u8, id, 0, start, 0)).collect();
        window.ingest(Time(start * 1_000_000 + 430_000_000), batch(&spans));
    }
    let lag = SECOND.0 - window.complete_to(SECOND).0;
    assert_eq!(lag, 500_000_000, "430 ms, rounded up to a cell");
}

/// One second of a stream: `traces` roots that end at `end` and are received 300 ms later or, replayed, at `received`.
fn roots(second: i64, traces: u32, end: Time) -> SpanBatch {
    let mut builder = SpanBuilder::new();
    for n in 0..traces {
        let mut id = [7; 16];
        id[..8].copy_from_slice(&second.to_be_bytes());
        id[8..12].copy_from_slice(&n.to_be_bytes());
        let span = SpanRow { trace_id: TraceId(id), span_id: SpanId([1; 8]), service: "a", ..SpanRow::default() };
        builder.append(&SpanRow { start: end, ..span });
    }
    builder.finish()
}

#[test]
fn a_queue_sent_again_after_an_outage_does_not_blind_the_present() {
    let mut window = Window::new(Config::default());
    for second in 100..130 {
        let end = Time::from_secs(second);
        let received = end + Duration::from_millis(300);
        window.ingest(received, roots(second, 300, end));
        // From 110 s on, four times as much that is a minute old.
        if second >= 110 {
            window.ingest(received, roots(-second, 1_200, end - Duration::from_secs(60)));
        }
        let now = received + Duration::from_millis(200);
        let closed = close(&mut window, now);
        if second > 101 {
            let present = closed.iter().filter(|trace| trace.id.0[0] == 0).count();
            assert_eq!(present, 300, "at {second} s, complete to {}", window.complete_to(now));
        }
    }
}

#[test]
fn the_past_is_refused_while_the_present_is_shed() {
    let mut window = Window::new(Config { spans_per_second: Some(1_000), ..Config::default() });
    let past = |second: i64| roots(-second, 10, Time::from_secs(second - 60));
    let present = |second, traces| roots(second, traces, Time::from_secs(second));
    for second in 100..104 {
        let now = Time::from_secs(second);
        assert!(window.has_room(now, &past(second)), "nothing is shed at {second} s");
        window.ingest(now, present(second, 100));
    }
    for tenth in 1_040..1_060 {
        window.ingest(Time(tenth * 100_000_000), roots(tenth, 300, Time(tenth * 100_000_000)));
    }
    let now = Time::from_secs(106);
    assert!(window.admitted_share() < 0.6, "{}", window.admitted_share());
    assert!(!window.has_room(now, &past(106)));
    assert!(window.has_room(now, &present(106, 10)), "what tells of the present is judged trace by trace");
    let counters = window.counters();
    assert_eq!(counters.admission.admitted + counters.admission.shed, counters.spans);
}

#[test]
fn what_cannot_be_analysed_in_time_is_refused_until_it_is() {
    let mut window = Window::new(Config { bytes_max: 1, ..Config::default() });
    assert!(window.has_room(SECOND, &roots(1, 5, SECOND)), "an empty window takes a batch of any size");
    window.ingest(SECOND, roots(1, 5, SECOND));
    assert!(!window.has_room(SECOND, &roots(2, 5, SECOND)));
    close(&mut window, Time::from_secs(4));
    assert!(window.has_room(SECOND, &roots(2, 5, SECOND)));
}

#[test]
fn every_bound_can_be_set() {
    crate::model::setting::check(Config::SETTINGS, &["spans_per_second", "seed", "operations", "sidecars"]);
}
