//! Whatever the input, the answer is a probability. What is right on systems with faults, tests/it/diagnose.rs shows.

use proptest::prelude::*;

use super::*;
use crate::analyse::findings::Components;
use crate::analyse::trace::Tree;
use crate::model::{Kind, SpanId, SpanRow, Status, Time, TraceId};

/// `(trace, id, parent, start, duration, service, kind, status)`; parent 0 is none.
type Short = (u8, u8, u8, i64, i64, &'static str, Kind, Status);

fn row(&(trace, id, parent, start, duration_ns, service, kind, status): &Short) -> SpanRow<'static> {
    SpanRow {
        trace_id: TraceId([trace + 1; 16]),
        span_id: SpanId([id; 8]),
        parent_span_id: (parent > 0).then_some(SpanId([parent; 8])),
        start: Time(start),
        duration_ns,
        kind,
        status,
        service,
        operation: ["get", "put"][usize::from(id % 2)],
        pod: ["pod-1", "pod-2"][usize::from(trace % 2)],
        version: ["1", "2"][usize::from(trace % 2)],
        peer: ["", "postgresql"][usize::from(id % 2)],
        ..SpanRow::default()
    }
}

fn trace_profile(spans: &[Short], trace: u8) -> Profile {
    let mut profile = Profile::default();
    profile.absorb(&Tree::build(spans.iter().filter(|span| span.0 == trace).map(row)));
    profile.observed(1_000_000_000);
    profile
}

const TRACES: u8 = 6;

fn profile(spans: &[Short]) -> Profile {
    let mut profile = Profile::default();
    (0..TRACES).for_each(|trace| profile.merge(&trace_profile(spans, trace)));
    profile
}

/// Any spans, many of them of no duration at all or beyond all reason.
fn any_spans() -> impl Strategy<Value = Vec<Short>> {
    let kind = prop_oneof![Just(Kind::Server), Just(Kind::Client), Just(Kind::Internal), Just(Kind::Producer)];
    let service = prop_oneof![Just("a"), Just("b"), Just("c")];
    let duration = prop_oneof![Just(0), 1..1_000_000_i64, Just(i64::MAX / 4)];
    let status = prop_oneof![Just(Status::Unset), Just(Status::Error)];
    let span = (0..TRACES, 1u8..12, 0u8..12, 0..1_000_i64, duration, service, kind, status);
    proptest::collection::vec(span, 0..60)
}

fn is_sound(diagnosis: &Diagnosis) {
    let sum: f64 = diagnosis.suspects.iter().map(|s| s.score).sum();
    assert!((0.0..=1.0).contains(&sum), "{diagnosis:?}");
    assert!((0.0..=1.0).contains(&diagnosis.nothing_probability), "{diagnosis:?}");
    for suspect in &diagnosis.suspects {
        let Components { own, calls_in, calls_out, lost, failing, refused, cut_off, asks_more } = suspect.components;
        let numbers = [own, calls_in, calls_out, lost, failing, refused, cut_off, asks_more];
        assert!(numbers.iter().flatten().all(|n| n.is_finite()), "{suspect:?}");
        assert!(suspect.evidence.iter().all(|e| e.now.is_finite()), "{suspect:?}");
    }
    assert!(diagnosis.suspects.is_sorted_by(|a, b| a.score >= b.score));
}

#[test]
fn nothing_gives_no_suspects() {
    let nothing = Profile::default();
    let diagnosis = localise(&nothing, &nothing, &Parameters::default());
    assert_eq!(diagnosis, Diagnosis { nothing_probability: 1.0, ..Diagnosis::default() });
    let spans: Vec<Short> = (1..9).map(|id| (0, id, id - 1, 0, 0, "a", Kind::Server, Status::Error)).collect();
    let one = profile(&spans);
    for (baseline, incident) in [(&nothing, &one), (&one, &nothing), (&one, &one)] {
        let diagnosis = localise(baseline, incident, &Parameters::default());
        is_sound(&diagnosis);
        assert!(diagnosis.suspects.iter().all(|s| s.score < 0.5), "{diagnosis:?}");
    }
}

#[test]
fn exemplars_are_the_slowest_traces_each_once() {
    let span = |trace: u8, id, duration| (trace, id, 0, 0, duration, "a", Kind::Server, Status::Unset);
    let spans = [span(0, 1, 10), span(0, 2, 90), span(1, 1, 50), span(2, 1, 70)];
    let profile = profile(&spans);
    let exemplars = profile.exemplars(services::Party::service("a"), &Callees::new(&profile, &profile));
    assert_eq!(exemplars, [TraceId([1; 16]), TraceId([3; 16]), TraceId([2; 16])]);
}

proptest! {
    #[test]
    fn any_input_gives_probabilities(before in any_spans(), now in any_spans()) {
        is_sound(&localise(&profile(&before), &profile(&now), &Parameters::default()));
    }

    #[test]
    fn profiles_merge_in_any_order(spans in any_spans(), first in 0..TRACES) {
        let mut rotated = Profile::default();
        (0..TRACES).for_each(|i| rotated.merge(&trace_profile(&spans, (first + i) % TRACES)));
        let mut grouped = Profile::default();
        for half in [0..TRACES / 2, TRACES / 2..TRACES] {
            let mut group = Profile::default();
            half.for_each(|trace| group.merge(&trace_profile(&spans, trace)));
            grouped.merge(&group);
        }
        prop_assert_eq!(&rotated, &profile(&spans));
        prop_assert_eq!(&grouped, &profile(&spans));
    }
}
