//! What must stay as it is however long, and however bad: memory over virtual hours, and the finding of a fault that grows.

use headroom::analyse::Verdict;
use headroom::commands::demo::course;
use headroom::engine::{Engine, Settings};
use headroom::model::spans::{Kind, Status};
use headroom::model::{SpanBuilder, SpanId, SpanRow, Time, TraceId};
use headroom::simulate::Scenario;

const SECOND: i64 = 1_000_000_000;
/// Names a turn: more than are remembered have come before the first hour is over.
const NAMES: i64 = 60;

/// What the engine holds, in bytes or entries, by name.
fn held(engine: &Engine, now: Time) -> [(&'static str, usize); 4] {
    let tables = engine.tables();
    let rows = tables.iter().filter(|(name, _, _)| *name != "spans").flat_map(|(_, _, batches)| batches);
    [
        ("bytes of the window", engine.window_bytes()),
        ("open traces", engine.open_traces()),
        ("bytes of the other tables", rows.map(arrow::array::RecordBatch::get_array_memory_size).sum()),
        ("bytes of what is learnt", serde_json::to_vec(&engine.learnt(now)).unwrap().len()),
    ]
}

/// Requests of the last seconds: an operation that always comes, sixty whose names never come again, and pods that are
/// replaced every twenty minutes.
fn requests(now: Time, number: i64) -> SpanBuilder {
    let mut builder = SpanBuilder::new();
    let pod = format!("shop-5f-{}", number / 120);
    for n in 0..NAMES + 2 {
        let once = format!("GET /item/{number}/{n}");
        let trace_id = TraceId((i128::from(number) * 64 + i128::from(n) + 1).to_be_bytes());
        builder.append(&SpanRow {
            trace_id,
            span_id: SpanId([1; 8]),
            start: Time(now.0 - SECOND - n * SECOND / 40),
            duration_ns: 20_000_000,
            kind: Kind::Server,
            status: Status::Ok,
            service: "shop",
            operation: if n < NAMES { &once } else { "GET /" },
            pod: &pod,
            sampled_weight: Some(1.0),
            ..SpanRow::default()
        });
    }
    builder
}

#[test]
fn memory_stays_as_it_is_over_virtual_hours() {
    const TURN: i64 = 10 * SECOND;
    const HOURS: usize = 2;
    const TURNS_AN_HOUR: usize = 360;
    // Names are forgotten by halves, so what is held rises and falls: the most of each hour is compared.
    const LOOK_EVERY: usize = 10;
    let start = Time::from_secs(1_767_600_000);
    let mut engine = Engine::new(start, Settings::default(), &[]).unwrap();
    let mut by_hour = [held(&engine, start); HOURS];
    for number in 0..HOURS * TURNS_AN_HOUR {
        let now = Time(start.0 + number as i64 * TURN);
        engine.ingest(now, requests(now, number as i64).finish());
        engine.tick(now);
        if number % LOOK_EVERY == 0 {
            let most = &mut by_hour[number / TURNS_AN_HOUR];
            most.iter_mut().zip(held(&engine, now)).for_each(|(most, (_, held))| most.1 = most.1.max(held));
        }
    }
    let (first, last) = (by_hour[0], by_hour[HOURS - 1]);
    for ((what, first), (_, last)) in first.into_iter().zip(last) {
        assert!(last <= first + first / 5 + 64, "{what}: {first} at most in the first hour, {last} in hour {HOURS}");
    }
    assert!(first[0].1 > 0 && first[2].1 > 0 && first[3].1 > 0, "it held something: {first:?}");
}

/// Ticks from five seconds after the onset on, and how many of them named the verdict's service, whatever the verdict.
fn ticks_named(fault: &str, service: &str) -> (usize, usize, Vec<Verdict>) {
    let calm = include_str!("demo/small.yaml").replacen("factor: 7", "factor: 1", 1).replacen(
        "targets: [auth]",
        "targets: []",
        1,
    );
    let faulty = calm.replacen("\nentries:", &format!("\nfaults:\n  - {fault}\n\nentries:"), 1);
    assert!(faulty.contains(fault));
    let mut scenario = Scenario::from_yaml("growing", &faulty).unwrap();
    scenario.horizon_s = 55.0;
    let (mut ticks, mut named, mut verdicts) = (0, 0, Vec::new());
    // Nobody acts on it, so the fault stays.
    let watched = course::run(
        &scenario,
        1,
        &[],
        None,
        |_| Ok(()),
        |moment| {
            if moment.now.seconds_since(course::START) >= 36.0 {
                ticks += 1;
                let found = moment.engine.findings().bottlenecks.iter().find(|b| b.service == service);
                named += usize::from(found.is_some());
                verdicts.extend(found.map(|b| b.verdict));
            }
            Ok(())
        },
    );
    watched.unwrap();
    (ticks, named, verdicts)
}

/// The same fault, worse each time: once it is named it stays named, and is never called healthy.
#[track_caller]
fn stays_named(service: &str, fault: impl Fn(f64) -> String, degrees: &[f64]) {
    let mut share_before = 0.0;
    for degree in degrees {
        let (ticks, named, verdicts) = ticks_named(&fault(*degree), service);
        let share = named as f64 / ticks as f64;
        assert!(!verdicts.contains(&Verdict::Healthy), "at {degree}: {verdicts:?}");
        assert!(share >= 0.9 * share_before, "at {degree} it is named in {share} of the ticks, {share_before} before");
        share_before = share;
    }
    assert!(share_before > 0.9, "the worst is named in {share_before} of the ticks only");
}

#[test]
fn a_dependency_that_becomes_slower_stays_named() {
    let fault = |factor| format!("slow_peer: {{ peer: content-db, factor: {factor}, from_s: 30, to_s: 400 }}");
    stays_named("content-api", fault, &[30.0, 60.0, 200.0]);
}

#[test]
fn a_service_that_fails_more_often_stays_named() {
    let fault = |share| {
        format!("failing_operation: {{ service: auth, operation: POST /login, share: {share}, from_s: 30, to_s: 400 }}")
    };
    stays_named("auth", fault, &[0.1, 0.4, 1.0]);
}
