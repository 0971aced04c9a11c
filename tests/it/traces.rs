//! Traces as they really are: one small shop, disturbed in one respect each, and what is right to say of it.

use std::time::Duration;

use headroom::analyse::{ClockState, Findings, HindranceKind, SightLevel, Verdict};
use headroom::engine::{Engine, Event, Settings};
use headroom::model::{ClusterState, Kind, Pod, SpanBuilder, SpanId, SpanRow, Terms, Time, TraceId, Workload};
use headroom::shape::{EntryTraffic, Level};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

const MS: i64 = 1_000_000;
const S: i64 = 1_000 * MS;
const START: Time = Time(1_767_600_000 * S);
/// `orders` becomes slow then.
const ONSET_S: i64 = 35;
const END_S: i64 = 47;
/// Traces a second.
const RATE: i64 = 40;

/// A span, and when it really ended.
#[derive(Clone, Debug)]
struct Span {
    trace: u128,
    id: u64,
    parent: u64,
    service: &'static str,
    pod: String,
    operation: &'static str,
    kind: Kind,
    start_ns: i64,
    duration_ns: i64,
    ended_ns: i64,
    http_status: &'static str,
}

/// front, orders and stock, each with two pods; a client may stand before them.
struct Shop {
    chance: Pcg64Mcg,
    next_id: u64,
    /// A client with a clock of its own, this far ahead, starts the traces.
    client_ahead_ns: Option<fn(&mut Pcg64Mcg) -> i64>,
    /// A gateway asks, and until so many seconds after the start turns this share of the requests away.
    turns_away: (i64, f64),
}

impl Shop {
    fn new() -> Shop {
        Shop { chance: Pcg64Mcg::seed_from_u64(7), next_id: 1, client_ahead_ns: None, turns_away: (0, 0.0) }
    }

    fn about(&mut self, ms: i64) -> i64 {
        (ms as f64 * self.chance.random_range(0.7..1.4) * MS as f64) as i64
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn trace(&mut self, start_ns: i64, orders_ms: i64) -> Vec<Span> {
        let trace = u128::from(self.id()) << 64 | u128::from(self.chance.random::<u64>());
        let stock_ns = self.about(10);
        let orders_ns = self.about(orders_ms) + stock_ns + MS;
        let front_ns = self.about(3) + orders_ns + MS;
        let ids: Vec<u64> = (0..6).map(|_| self.id()).collect();
        let pods: Vec<usize> = (0..3).map(|_| self.chance.random_range(0..2)).collect();
        let span = |place: usize, parent: u64, of: usize, operation, kind, start_ns: i64, duration_ns: i64| {
            let service = ["front", "orders", "stock"][of];
            let pod = format!("{service}-{}", pods[of]);
            let ended_ns = start_ns + duration_ns;
            Span {
                trace,
                id: ids[place],
                parent,
                service,
                pod,
                operation,
                kind,
                start_ns,
                duration_ns,
                ended_ns,
                http_status: "",
            }
        };
        let orders_at = start_ns + MS;
        let stock_at = orders_at + orders_ns - stock_ns - MS / 2;
        let mut spans = vec![
            span(0, 0, 0, "GET /shop", Kind::Server, start_ns, front_ns),
            span(1, ids[0], 0, "POST", Kind::Client, orders_at, orders_ns + MS / 2),
            span(2, ids[1], 1, "POST /orders", Kind::Server, orders_at + MS / 4, orders_ns),
            span(3, ids[2], 1, "GET", Kind::Client, stock_at, stock_ns + MS / 4),
            span(4, ids[3], 2, "GET /stock", Kind::Server, stock_at + MS / 8, stock_ns),
        ];
        if let Some(ahead) = self.client_ahead_ns {
            let ahead_ns = ahead(&mut self.chance);
            let root = Span {
                parent: 0,
                id: ids[5],
                service: "mobile-app",
                pod: String::new(),
                operation: "open shop",
                kind: Kind::Client,
                start_ns: start_ns - 30 * MS + ahead_ns,
                duration_ns: front_ns + 60 * MS,
                ended_ns: start_ns + front_ns + 30 * MS,
                ..spans[0].clone()
            };
            spans[0].parent = root.id;
            spans.push(root);
        }
        spans
    }
}

/// What was said tick by tick; seconds since the start.
struct Course(Vec<(i64, Findings)>);

impl Course {
    /// Runs the shop; `disturb` changes each trace.
    fn of(mut shop: Shop, mut disturb: impl FnMut(&mut Vec<Span>)) -> Course {
        let mut spans: Vec<Span> = Vec::new();
        for n in 0..END_S * RATE {
            let at = n * S / RATE;
            let orders_ms = if at < ONSET_S * S { 20 } else { 900 };
            let mut trace = shop.trace(START.0 + at, orders_ms);
            disturb(&mut trace);
            spans.append(&mut trace);
        }
        spans.sort_by_key(|span| (span.ended_ns, span.id));
        let mut engine = Engine::new(START, Settings::default(), &[]).unwrap();
        if shop.turns_away.0 > 0 {
            engine.observe(START, Event::Cluster(shapeable_orders()));
        }
        let (mut course, mut sent) = (Vec::new(), 0);
        for half in 1..=2 * END_S {
            let now = START + Duration::from_millis(500) * half as u32;
            let mut builder = SpanBuilder::new();
            while let Some(span) = spans.get(sent).filter(|span| span.ended_ns + 300 * MS <= now.0) {
                builder.append(&row(span));
                sent += 1;
            }
            engine.ingest(now, builder.finish());
            let (until_s, share) = shop.turns_away;
            if half % 2 == 0 && half / 2 <= until_s {
                let (entry, level) = ("front GET /shop".into(), Level::new(4, false));
                let (offered, admitted) = (RATE as u64, ((1.0 - share) * RATE as f64) as u64);
                engine.observe(now, Event::Traffic(vec![EntryTraffic { entry, level, offered, admitted }]));
            }
            if half % 2 == 0 {
                engine.tick(now);
                course.push((half / 2, engine.findings().clone()));
            }
        }
        Course(course)
    }

    fn at(&self, second: i64) -> &Findings {
        &self.0.iter().find(|(at, _)| *at == second).expect("a tick").1
    }

    /// When `orders` was first blamed; the names blamed before are none.
    #[track_caller]
    fn orders_blamed_at(&self) -> i64 {
        let blamed = self.0.iter().filter_map(|(at, findings)| Some((*at, findings.bottlenecks.first()?)));
        let (at, first) = blamed.map(|(at, b)| (at, b.clone())).next().expect("somebody is blamed");
        assert_eq!(first.service, "orders", "at {at} s: {}", first.summary());
        at
    }

    /// `orders` is blamed soon after the onset, and nothing is called healthy from then on.
    #[track_caller]
    fn check(&self) {
        let at = self.orders_blamed_at();
        assert!((ONSET_S..=ONSET_S + 7).contains(&at), "blamed at {at} s");
        let healthy = self.0.iter().filter(|(second, found)| *second > at && found.verdict() == Verdict::Healthy);
        assert_eq!(healthy.count(), 0);
    }

    fn hindrances(&self, second: i64) -> Vec<HindranceKind> {
        self.at(second).hindrances().iter().map(|one| one.kind).collect()
    }
}

fn shapeable_orders() -> ClusterState {
    let pod = |name: &str| Pod { name: name.into(), created_at: START, ready_at: Some(START) };
    let workload = Workload {
        service: "orders".into(),
        replicas: 2,
        min_replicas: 2,
        max_replicas: 2,
        pods: ["orders-0", "orders-1"].map(pod).into(),
        terms: Terms { shapeable: true, ..Terms::default() },
        ..Workload::default()
    };
    ClusterState { at: START, workloads: vec![workload] }
}

fn row(span: &Span) -> SpanRow<'_> {
    SpanRow {
        trace_id: TraceId(span.trace.to_be_bytes()),
        span_id: SpanId(span.id.to_be_bytes()),
        parent_span_id: (span.parent > 0).then(|| SpanId(span.parent.to_be_bytes())),
        start: Time(span.start_ns),
        duration_ns: span.duration_ns,
        kind: span.kind,
        promoted: ["", span.http_status, ""],
        service: span.service,
        pod: &span.pod,
        operation: span.operation,
        sampled_weight: Some(1.0),
        ..SpanRow::default()
    }
}

/// A number from 0 to 1 of an id, the same every time.
fn share(id: u64) -> f64 {
    let mixed = (id ^ (id >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 29)) as f64 / u64::MAX as f64
}

#[test]
fn a_clean_stream_is_blind_before_its_first_request_then_healthy_then_orders_is_blamed() {
    let course = Course::of(Shop::new(), |_| {});
    assert_eq!(course.at(1).verdict(), Verdict::Blind);
    assert_eq!((course.at(30).verdict(), course.at(30).sight.level), (Verdict::Healthy, SightLevel::Clear));
    assert_eq!(course.hindrances(30), []);
    course.check();
}

#[test]
fn behind_a_gateway_that_sends_no_spans_the_first_service_is_the_endpoint() {
    let course = Course::of(Shop::new(), |trace| trace[0].parent = trace[0].id ^ 1);
    assert_eq!(course.at(3).verdict(), Verdict::Blind, "where traces begin is not known yet");
    let known = (1..30).find(|&second| !course.at(second).entries.is_empty());
    assert!(known.is_some_and(|second| second <= 8), "{known:?}");
    let entry = &course.at(30).entries[0];
    assert_eq!((&*entry.entry, entry.remote_parent_share), ("front GET /shop", 1.0));
    assert_eq!(course.hindrances(30), [HindranceKind::SilentCaller]);
    course.check();
}

#[test]
fn where_some_callers_send_spans_and_some_do_not_both_are_analysed() {
    let course = Course::of(Shop::new(), |trace| {
        if share(trace[0].id) < 0.4 {
            trace[0].parent = trace[0].id ^ 1;
        }
    });
    let entry = &course.at(30).entries[0];
    assert!((entry.remote_parent_share - 0.4).abs() < 0.1, "{}", entry.remote_parent_share);
    assert!(entry.requests as i64 > 2 * RATE, "{}", entry.requests);
    course.check();
}

#[test]
fn where_the_root_is_lost_its_calls_tell_of_it() {
    let course = Course::of(Shop::new(), |trace| _ = trace.remove(0));
    assert_eq!(course.at(30).entries[0].entry, "front POST");
    course.check();
}

#[test]
fn a_client_whose_clock_is_wrong_leaves_the_services_as_they_are() {
    let wrong: [fn(&mut Pcg64Mcg) -> i64; 4] =
        [|_| -3_600 * S, |_| 120 * S, |_| 86_400 * S, |chance| chance.random_range(-3 * 86_400..86_400) * S];
    for ahead in wrong {
        let shop = Shop { client_ahead_ns: Some(ahead), ..Shop::new() };
        let course = Course::of(shop, |_| {});
        assert_eq!(course.at(30).entries[0].entry, "mobile-app open shop");
        assert_eq!(course.at(30).sight.clocks[0].service, "mobile-app");
        course.check();
    }
}

#[test]
fn a_server_whose_clock_is_wrong_is_corrected_up_to_ten_minutes_and_named() {
    for (ahead_s, state) in [
        (-5, ClockState::Corrected),
        (300, ClockState::Corrected),
        (-590, ClockState::Corrected),
        (3_600, ClockState::FarOff),
    ] {
        let course = Course::of(Shop::new(), |trace| {
            trace.iter_mut().filter(|span| span.service == "stock").for_each(|span| span.start_ns += ahead_s * S);
        });
        let found: Vec<_> =
            course.at(30).sight.clocks.iter().map(|one| (&*one.service, one.state, one.ahead_s)).collect();
        assert_eq!(found, [("stock", state, ahead_s as f64), ("stock", state, ahead_s as f64)], "both pods");
        course.check();
    }
}

#[test]
fn milliseconds_for_nanoseconds_are_named_and_never_healthy() {
    let course = Course::of(Shop::new(), |trace| {
        trace
            .iter_mut()
            .for_each(|span| (span.start_ns, span.duration_ns) = (span.start_ns / MS, span.duration_ns / MS));
    });
    assert!(course.0.iter().all(|(_, found)| found.verdict() == Verdict::Blind));
    assert_eq!(course.hindrances(30), [HindranceKind::WrongUnit; 3], "of three services");
}

#[test]
fn lost_spans_make_sight_partial_within_seconds_and_blame_nobody() {
    for lost in [0.2, 0.5, 0.8] {
        let course = Course::of(Shop::new(), |trace| {
            if trace[0].start_ns > START.0 + 20 * S {
                trace.retain(|span| share(span.id ^ 0x55) >= lost);
            }
        });
        let partial = (20..28).find(|&at| course.at(at).verdict() == Verdict::Partial);
        assert!(partial.is_some(), "{lost}: {:?}", course.at(26).sight);
        let blamed = course.0.iter().filter(|(at, found)| *at < ONSET_S && !found.bottlenecks.is_empty());
        assert_eq!(blamed.count(), 0, "{lost}");
        let healthy = course.0.iter().filter(|(at, found)| *at > 27 && found.verdict() == Verdict::Healthy);
        assert_eq!(healthy.count(), 0, "{lost}");
    }
}

#[test]
fn what_a_gateway_turned_away_is_not_taken_for_requests_that_need_less() {
    let (until_s, turned_away) = (25, 0.6);
    let course = Course::of(Shop { turns_away: (until_s, turned_away), ..Shop::new() }, |trace| {
        if trace[0].start_ns < START.0 + until_s * S && share(trace[0].id) < turned_away {
            trace.truncate(1);
            let span = &mut trace[0];
            (span.http_status, span.duration_ns, span.ended_ns) = ("429", MS, span.start_ns + MS);
        }
    });
    for second in [20, until_s + 7] {
        let load = course.at(second).loads.iter().find(|load| load.service.name() == "orders").unwrap();
        let calls = load.asked_by.iter().find(|asked| asked.entry == "front GET /shop").unwrap().calls;
        assert!((0.9..=1.1).contains(&calls), "{calls} calls for each request at {second} s");
    }
    course.check();
}
