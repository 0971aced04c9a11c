use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{SpanBuilder, SpanId, SpanRow};

fn id(n: u64) -> TraceId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes());
    id[8..].copy_from_slice(&n.to_be_bytes());
    TraceId(id)
}

fn batch(spans: impl IntoIterator<Item = (u64, &'static str, Option<f64>)>) -> SpanBatch {
    let mut builder = SpanBuilder::new();
    for (n, service, sampled_weight) in spans {
        builder.append(&SpanRow {
            trace_id: id(n),
            span_id: SpanId([1; 8]),
            service,
            sampled_weight,
            ..SpanRow::default()
        });
    }
    builder.finish()
}

fn none_open(_: &TraceId) -> bool {
    false
}

/// Tenths of a second, in which each service's requests come; what was admitted of each, after the first two seconds: spans
/// and what they stand for.
fn flood(per_second: u64, tenths: i64, offered: &[(&'static str, u64)]) -> BTreeMap<&'static str, (f64, f64)> {
    let mut admission = Admission::default();
    let mut admitted = BTreeMap::new();
    let mut trace = 0;
    for tenth in 0..tenths {
        for &(service, per_tenth) in offered {
            let spans: Vec<_> = (0..per_tenth).map(|n| (trace + n, service, Some(1.0))).collect();
            trace += per_tenth;
            let kept = admission.admit(Some(per_second), Time(tenth * 100_000_000), batch(spans), none_open);
            if tenth >= 20 {
                let (spans, stands_for) = admitted.entry(service).or_insert((0.0, 0.0));
                *spans += kept.len() as f64;
                *stands_for += kept.iter().filter_map(|span| span.sampled_weight).sum::<f64>();
            }
        }
    }
    let seconds = (tenths - 20) as f64 / 10.0;
    admitted.values_mut().for_each(|(spans, stands_for)| {
        *spans /= seconds;
        *stands_for /= seconds;
    });
    admitted
}

#[test]
fn a_loud_service_is_thinned_and_a_quiet_one_is_not() {
    // 60 000 and 200 spans a second, where 20 000 may be taken.
    let admitted = flood(20_000, 60, &[("loud", 6_000), ("quiet", 20)]);
    assert_eq!(admitted["quiet"], (200.0, 200.0));
    let (spans, stands_for) = admitted["loud"];
    assert!((17_000.0..=22_000.0).contains(&spans), "{spans}");
    assert!((stands_for / 60_000.0 - 1.0).abs() < 0.02, "corrected for what was shed: {stands_for}");
}

#[test]
fn within_the_capacity_nothing_is_touched() {
    let mut admission = Admission::default();
    for tenth in 0..30 {
        let offered = batch((0..100).map(|n| (tenth * 100 + n, "s", None)));
        let kept = admission.admit(Some(1_500), Time(tenth as i64 * 100_000_000), offered, none_open);
        assert_eq!((kept.len(), kept.row(7).sampled_weight), (100, None));
    }
    assert_eq!(admission.counters(), AdmissionCounters { admitted: 3_000, shed: 0 });
    assert_eq!(admission.share(), 1.0);
}

#[test]
fn a_flood_that_is_over_leaves_no_trace_after_a_second() {
    let mut admission = Admission::default();
    let mut offer = |tenth: i64, spans: u64| {
        let offered = batch((0..spans).map(|n| (tenth as u64 * 10_000 + n, "s", None)));
        admission.admit(Some(10_000), Time(tenth * 100_000_000), offered, none_open).len() as u64
    };
    (0..30).for_each(|tenth| _ = offer(tenth, 3_000));
    assert!(offer(30, 3_000) < 1_500);
    (31..41).for_each(|tenth| _ = offer(tenth, 500));
    assert_eq!(offer(41, 500), 500);
}

#[test]
fn a_trace_that_is_open_when_a_flood_begins_is_finished() {
    let mut admission = Admission::default();
    for tenth in 0..20 {
        let offered = batch((0..3_000).map(|n| (tenth * 3_000 + n, "s", None)));
        admission.admit(Some(10_000), Time(tenth as i64 * 100_000_000), offered, none_open);
    }
    let known = id(7_000_000);
    let late = batch((7_000_000..7_000_100).map(|n| (n, "s", None)));
    let kept = admission.admit(Some(10_000), Time(2_000_000_000), late, |trace| *trace == known);
    let mut found = kept.iter().filter(|span| span.trace_id == known);
    assert_eq!(found.next().map(|span| span.sampled_weight), Some(None));
}

proptest! {
    /// However the spans of a trace are spread over requests, and whatever the shares do in between: all or none.
    #[test]
    fn a_trace_is_taken_whole_or_not_at_all(spread in prop::collection::vec(0_i64..15, 200), loud in 500_u64..3_000) {
        let mut admission = Admission::default();
        let mut taken: BTreeMap<TraceId, usize> = BTreeMap::new();
        for tenth in 0..60_i64 {
            let noise = batch((0..loud + tenth as u64 * 20).map(|n| (1_000_000 + tenth as u64 * 10_000 + n, "loud", None)));
            admission.admit(Some(5_000), Time(tenth * 100_000_000), noise, none_open);
            // Each trace has a part in each service, up to 1.5 s apart; of every other one the loud part comes first.
            let parts = |first: bool| {
                let at = |n: usize| 20 + n as i64 % 20 + if first { 0 } else { spread[n] };
                let service = |n: usize| if n.is_multiple_of(2) == first { "quiet" } else { "loud" };
                let now = (0..spread.len()).filter(|&n| at(n) == tenth);
                batch(now.map(|n| (n as u64, service(n), None)).collect::<Vec<_>>())
            };
            for offered in [parts(true), parts(false)] {
                let kept = admission.admit(Some(5_000), Time(tenth * 100_000_000), offered, none_open);
                kept.iter().for_each(|span| *taken.entry(span.trace_id).or_default() += 1);
            }
        }
        prop_assert!(taken.len() >= spread.len() / 2, "those that the quiet service shows first are taken");
        prop_assert!(taken.values().all(|parts| *parts == 2), "{taken:?}");
    }

    #[test]
    fn the_level_divides_the_capacity(mut demands in prop::collection::vec(0.1_f64..1e6, 1..50), share in 0.05_f64..0.95) {
        let capacity = demands.iter().sum::<f64>() * share;
        let level = fair_level(&mut demands, capacity);
        let taken: f64 = demands.iter().map(|demand| demand.min(level)).sum();
        prop_assert!((taken / capacity - 1.0).abs() < 1e-9);
    }
}

#[test]
fn the_past_has_what_the_present_leaves_and_is_not_thinned() {
    let capacity = Some(20_000);
    let mut admission = Admission::default();
    let mut trace = 0;
    // A minute after the spans of `batch` ended; the present ends as it is received.
    let at = |tenth: i64| Time(60_000_000_000 + tenth * 100_000_000);
    let mut spans = |count: u64, end: Time| {
        let mut builder = SpanBuilder::new();
        for n in trace..trace + count {
            builder.append(&SpanRow { trace_id: id(n), service: "s", start: end, ..SpanRow::default() });
        }
        trace += count;
        builder.finish()
    };
    let mut taken = BTreeMap::new();
    for tenth in 0..120 {
        // 5 000 spans a second of the present, for four seconds in between 60 000.
        let flood = (40..80).contains(&tenth);
        let present = if flood { 6_000 } else { 500 };
        admission.admit(capacity, at(tenth), spans(present, at(tenth)), none_open);
        // A queue that is sent again as fast as it is taken.
        while admission.has_room_for_past(capacity, at(tenth)) {
            let past = admission.admit(capacity, at(tenth), spans(200, Time(0)), none_open);
            assert_eq!(past.len(), 200);
            *taken.entry(if flood { "flood" } else { "calm" }).or_insert(0) += 200;
        }
        assert!(flood || tenth >= 80 || admission.share() == 1.0, "the past sheds nothing of the present");
    }
    // 15 000 a second beside the 5 000 of the present, and two seconds of it that had gathered.
    let calm = f64::from(taken["calm"]);
    assert!((12_000.0 * 8.0..=15_000.0 * 10.0).contains(&calm), "{calm} in eight seconds");
    assert!(taken.get("flood").is_none_or(|&taken| taken <= 5_000), "{taken:?} before the flood is noticed");
}

#[test]
fn the_past_alone_gets_its_turn_after_a_flood() {
    let mut admission = Admission::default();
    let present = |tenth: i64| batch((0..6_000).map(move |n| (tenth as u64 * 6_000 + n, "s", None)));
    (0..20).for_each(|tenth| _ = admission.admit(Some(20_000), Time(tenth * 100_000_000), present(tenth), none_open));
    assert!(!admission.has_room_for_past(Some(20_000), Time(2_000_000_000)));
    assert!(admission.has_room_for_past(Some(20_000), Time(4_000_000_000)), "nothing else has come since");
}
