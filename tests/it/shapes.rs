//! Traces of the shapes that real senders give them: the same trouble in the same shop is found in each.
//!
//! A shop, `front` calling `orders` calling `stock`, takes forty requests a second; from second 40 on `orders` takes a
//! second in place of twenty milliseconds. What is right of it must not depend on how the spans are written.

use std::collections::BTreeMap;
use std::time::Duration;

use headroom::analyse::{Findings, HindranceKind, Objective, Verdict};
use headroom::decide::shipped;
use headroom::engine::{Effect, Engine, Event, Settings};
use headroom::journal::What;
use headroom::model::{
    ClusterState, Declared, Kind, Pod, SpanBuilder, SpanId, SpanRow, Status, Time, TraceId, Work, Workload,
};

const START: Time = Time(1_790_000_000_000_000_000);
const RATE: u64 = 40;
const ONSET_S: u64 = 40;
const END_S: u64 = 58;
const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
/// From a span's end to its receipt.
const DELAY: Duration = Duration::from_millis(300);

/// A span with texts of its own.
#[derive(Clone, Debug, Default)]
struct Sent {
    trace: u64,
    id: u64,
    parent: u64,
    start: i64,
    duration: i64,
    kind: Kind,
    status: Status,
    service: String,
    operation: String,
    pod: String,
    peer: String,
    work: Work,
    link: String,
    sampled_by: String,
}

impl Sent {
    fn end(&self) -> Time {
        Time(self.start + self.duration)
    }

    fn append_to(&self, builder: &mut SpanBuilder) {
        let id = |id: u64| SpanId(id.to_be_bytes());
        builder.append(&SpanRow {
            trace_id: TraceId(u128::from(self.trace).to_be_bytes()),
            span_id: id(self.id),
            parent_span_id: (self.parent > 0).then(|| id(self.parent)),
            start: Time(self.start),
            duration_ns: self.duration,
            kind: self.kind,
            status: self.status,
            service: &self.service,
            operation: &self.operation,
            pod: &self.pod,
            peer: &self.peer,
            work: self.work,
            link: &self.link,
            sampled_by: &self.sampled_by,
            sampled_weight: Some(1.0),
            ..SpanRow::default()
        });
    }
}

/// The numbers of a linear congruential generator: the same shop on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    /// Around `typical`, a third more or less.
    fn about(&mut self, typical: i64) -> i64 {
        typical * (67 + self.below(66) as i64) / 100
    }
}

/// One request as the shop's services send it, its ids from `10 * request` on.
fn request(numbers: &mut Numbers, request: u64, at: i64, orders_ns: i64) -> Vec<Sent> {
    let pod = |numbers: &mut Numbers, service: &str| format!("{service}-{}", numbers.below(2));
    let stock = numbers.about(10 * MS);
    let orders = numbers.about(orders_ns) + stock;
    let front = numbers.about(3 * MS) + orders + MS;
    let of = |id: u64, parent: u64, service: &str, operation: &str, kind, start, duration| Sent {
        trace: request,
        id: 10 * request + id,
        parent: if parent > 0 { 10 * request + parent } else { 0 },
        start,
        duration,
        kind,
        service: service.into(),
        operation: operation.into(),
        ..Sent::default()
    };
    let [front_pod, orders_pod, stock_pod] = ["front", "orders", "stock"].map(|service| pod(numbers, service));
    let call = at + MS;
    let asked = call + MS / 4 + orders - stock - MS;
    let mut spans = vec![
        of(1, 0, "front", "GET /shop", Kind::Server, at, front),
        of(2, 1, "front", "POST", Kind::Client, call, orders + MS / 2),
        of(3, 2, "orders", "POST /orders", Kind::Server, call + MS / 4, orders),
        of(4, 3, "orders", "GET", Kind::Client, asked, stock + MS / 2),
        of(5, 4, "stock", "GET /stock", Kind::Server, asked + MS / 4, stock),
    ];
    for span in &mut spans {
        let pod = match &*span.service {
            "front" => &front_pod,
            "orders" => &orders_pod,
            _ => &stock_pod,
        };
        span.pod.clone_from(pod);
    }
    spans
}

/// The second of each tick, from the onset on, with its findings; and what was proposed.
struct Course {
    ticks: Vec<(u64, Findings)>,
    proposed: Vec<(u64, String)>,
    late_spans: u64,
    duplicates: u64,
}

impl Course {
    /// The first second in which this service is named, and the names of all others that were named after the onset.
    fn named(&self, service: &str) -> (Option<u64>, Vec<&str>) {
        let named = |findings: &&(u64, Findings)| findings.1.bottlenecks.iter().any(|b| b.service == service);
        let mut others: Vec<&str> = (self.ticks.iter().flat_map(|(_, findings)| &findings.bottlenecks))
            .map(|bottleneck| &*bottleneck.service)
            .filter(|other| *other != service)
            .collect();
        others.dedup();
        (self.ticks.iter().find(named).map(|(second, _)| *second), others)
    }

    fn last(&self) -> &Findings {
        &self.ticks.last().expect("there were ticks").1
    }

    fn entries(&self) -> BTreeMap<&str, (u64, bool)> {
        self.last().entries.iter().map(|entry| (&*entry.entry, (entry.requests, entry.missed))).collect()
    }

    /// `orders` alone is named, within five seconds.
    #[track_caller]
    fn finds_orders(&self) {
        let (at, others) = self.named("orders");
        assert!(at.is_some_and(|at| (ONSET_S..ONSET_S + 6).contains(&at)), "named at {at:?}, others {others:?}");
        assert!(others.is_empty(), "{others:?}");
    }
}

/// Runs the shop, each request as `shape` makes it of the plain one.
fn run(settings: Settings, mut shape: impl FnMut(&mut Numbers, u64, Vec<Sent>) -> Vec<Sent>) -> Course {
    let mut numbers = Numbers(7);
    let mut spans: Vec<Sent> = Vec::new();
    for n in 1..=END_S * RATE {
        let at = START.0 + (n * 1_000_000_000 / RATE) as i64 + numbers.below(20) as i64 * MS;
        let orders = if n < ONSET_S * RATE { 20 * MS } else { SECOND };
        let plain = request(&mut numbers, n, at, orders);
        spans.extend(shape(&mut numbers, n, plain));
    }
    spans.sort_by_key(|span| (span.end(), span.trace, span.id, span.kind.is_caller()));
    let mut engine = Engine::new(START, settings, &shipped()).unwrap();
    let mut left = spans.into_iter().peekable();
    let mut course = Course { ticks: Vec::new(), proposed: Vec::new(), late_spans: 0, duplicates: 0 };
    for tenth in 1..=END_S * 10 {
        let now = START + Duration::from_millis(100 * tenth);
        let mut builder = SpanBuilder::new();
        while let Some(span) = left.next_if(|span| span.end() + DELAY <= now) {
            span.append_to(&mut builder);
        }
        engine.ingest(now, builder.finish());
        if tenth % 10 == 0 {
            engine.observe(now, Event::Cluster(cluster(now)));
            let effects = engine.tick(now);
            let proposals = effects.iter().filter_map(|effect| match effect {
                Effect::Record(entry) => match &entry.what {
                    What::Decided { decision } => Some(format!("{:?}", decision.proposal.action)),
                    _ => None,
                },
                Effect::Apply(_) => None,
            });
            course.proposed.extend(proposals.map(|proposal| (tenth / 10, proposal)));
            course.ticks.push((tenth / 10, engine.findings().clone()));
        }
    }
    let counters = engine.window_counters().assembly;
    (course.late_spans, course.duplicates) = (counters.late_spans, counters.duplicate_spans);
    course.ticks.retain(|(second, _)| *second >= ONSET_S - 5);
    course
}

fn cluster(at: Time) -> ClusterState {
    let workload = |service: &str| Workload {
        service: service.into(),
        replicas: 2,
        min_replicas: 1,
        max_replicas: 8,
        pods: (0..2)
            .map(|n| Pod { name: format!("{service}-{n}"), created_at: START, ready_at: Some(START) })
            .collect(),
        ..Workload::default()
    };
    ClusterState { at, workloads: ["front", "mailer", "orders", "stock"].map(workload).into() }
}

#[test]
fn the_shop_as_the_conventions_have_it() {
    run(Settings::default(), |_, _, spans| spans).finds_orders();
}

#[test]
fn names_with_identifiers_are_one_endpoint() {
    let course = run(Settings::default(), |_, n, mut spans| {
        spans[0].operation = format!("GET /shop/item/{n}");
        spans[2].operation = format!("POST /orders/{:08x}-1/lines", n * 7919);
        spans
    });
    course.finds_orders();
    assert!(course.entries().contains_key("front GET /shop/item/{id}"), "{:?}", course.entries());
    assert_eq!(course.last().entries.len(), 1);
}

#[test]
fn names_that_never_repeat_are_grouped_by_their_place() {
    // Letters alone, so that no form gives them away.
    let word = |n: u64| -> String { (0..5).map(|at| char::from(b'a' + (n / 7_u64.pow(at) % 7) as u8)).collect() };
    let course = run(Settings::default(), |_, n, mut spans| {
        spans[0].operation = format!("GET /shop/{}/reviews", word(n));
        spans
    });
    course.finds_orders();
    assert!(course.entries().contains_key("front GET /shop/{*}/reviews"), "{:?}", course.entries());
}

#[test]
fn zipkins_shared_ids_lose_no_side_of_a_call() {
    let course = run(Settings::default(), |_, _, mut spans| {
        for (callee, caller) in [(2, 1), (4, 3)] {
            let (old, id, parent) = (spans[callee].id, spans[caller].id, spans[caller].parent);
            (spans[callee].id, spans[callee].parent) = (id, parent);
            spans.iter_mut().filter(|span| span.parent == old).for_each(|span| span.parent = id);
        }
        spans
    });
    course.finds_orders();
    assert_eq!((course.duplicates, course.last().service("orders").is_some()), (0, true));
}

#[test]
fn a_client_in_a_client_and_sidecars_are_part_of_what_they_stand_beside() {
    let course = run(Settings::default(), |_, _, mut spans| {
        let mut more = Vec::new();
        for (caller, callee) in [(1, 2), (3, 4)] {
            // The caller's library, its sidecar, and the sidecar of the callee.
            let (outer, inner) = (spans[caller].clone(), spans[callee].clone());
            let names =
                [outer.service.clone(), format!("{}.default", outer.service), format!("{}.default", inner.service)];
            let kinds = [Kind::Client, Kind::Client, Kind::Server];
            let pods = [&outer.pod, &outer.pod, &inner.pod];
            let mut parent = outer.id;
            for (n, ((service, kind), pod)) in names.into_iter().zip(kinds).zip(pods).enumerate() {
                let id = outer.id * 1_000 + n as u64;
                let inset = (n as i64 + 1) * 20_000;
                more.push(Sent {
                    id,
                    parent,
                    start: outer.start + inset,
                    duration: outer.duration - 2 * inset,
                    kind,
                    service,
                    pod: pod.clone(),
                    operation: "router egress".into(),
                    ..outer.clone()
                });
                parent = id;
            }
            spans[callee].parent = parent;
        }
        spans.extend(more);
        spans
    });
    course.finds_orders();
    let services: Vec<&str> = course.last().services.iter().map(|service| service.service.as_str()).collect();
    assert!(!services.iter().any(|service| service.contains(".default")), "{services:?}");
}

/// An order that is mailed: sent to a queue, and taken from it so many nanoseconds later.
fn mailed(numbers: &mut Numbers, n: u64, mut spans: Vec<Sent>, waits: i64) -> Vec<Sent> {
    let sent = Sent {
        id: 10 * n + 6,
        parent: 10 * n + 1,
        start: spans[0].start + MS,
        duration: 2 * MS,
        kind: Kind::Producer,
        operation: "publish orders".into(),
        peer: "kafka:orders".into(),
        ..spans[0].clone()
    };
    let took = numbers.about(100 * MS);
    let taken = Sent {
        id: 10 * n + 7,
        parent: sent.id,
        start: sent.start + waits,
        duration: took,
        kind: Kind::Consumer,
        service: "mailer".into(),
        operation: "process orders".into(),
        pod: format!("mailer-{}", n % 2),
        work: Work::Message,
        ..sent.clone()
    };
    let stored = Sent {
        id: 10 * n + 8,
        parent: taken.id,
        start: taken.start + took / 2,
        duration: took / 3,
        kind: Kind::Client,
        operation: "INSERT mail".into(),
        peer: "postgresql:mail".into(),
        work: Work::Request,
        ..taken.clone()
    };
    spans.extend([sent, taken, stored]);
    spans
}

/// Orders stay healthy, and from the onset on messages are taken so many nanoseconds late.
fn mail_course(settings: Settings, waits: i64) -> Course {
    run(settings, |numbers, n, _| {
        let at = START.0 + (n * 1_000_000_000 / RATE) as i64;
        let healthy = request(numbers, n, at, 20 * MS);
        let waits = if n < ONSET_S * RATE { 200 * MS } else { waits };
        mailed(numbers, n, healthy, waits)
    })
}

#[test]
fn a_message_that_is_taken_later_is_no_error_and_nobody_waits_for_it() {
    for waits in [200 * MS, 6 * SECOND, 15 * SECOND] {
        let course = mail_course(Settings::default(), waits);
        assert!(course.ticks.iter().all(|(_, f)| f.bottlenecks.is_empty()), "{:?}", course.named("").1);
        assert!(course.ticks.iter().all(|(_, f)| f.silent_failures.is_empty()), "waits {waits}");
        assert!(course.proposed.is_empty(), "{:?}", course.proposed);
        let errors = course.ticks.iter().filter_map(|(_, f)| f.service("mailer")).map(|mailer| mailer.error_share);
        assert!(errors.clone().count() > 3 && errors.fold(0.0, f64::max) == 0.0, "waits {waits}");
        if waits < 5 * SECOND {
            let rate = course.last().service("mailer").unwrap().throughput_per_s;
            assert!((rate - RATE as f64).abs() < 10.0, "{rate}");
        }
        assert!(course.entries().contains_key("front GET /shop"));
    }
}

#[test]
fn the_age_of_messages_has_an_objective_of_its_own() {
    let mut settings = Settings::default();
    settings.analyse.objectives =
        vec![Objective { entry: "mailer *".into(), latency_ns: 2 * SECOND, quantile: 0.99, errors: 0.01 }];
    let course = mail_course(settings, 6 * SECOND);
    let mailer = course.last().entries.iter().find(|entry| entry.entry == "mailer process orders").unwrap();
    assert_eq!((mailer.work, mailer.missed), (Work::Message, true));
    assert!(
        (6_000.0..8_000.0).contains(&mailer.p50_ms),
        "the age of a message when its work is done: {}",
        mailer.p50_ms
    );
    let (at, others) = course.named("mailer");
    assert!(at.is_some() && others.is_empty(), "{at:?} {others:?}");
}

#[test]
fn a_message_in_a_trace_of_its_own_is_as_old_as_its_link_says() {
    let mut settings = Settings::default();
    settings.analyse.objectives =
        vec![Objective { entry: "mailer *".into(), latency_ns: 2 * SECOND, quantile: 0.99, errors: 0.01 }];
    let course = run(settings, |numbers, n, _| {
        let at = START.0 + (n * 1_000_000_000 / RATE) as i64;
        let healthy = request(numbers, n, at, 20 * MS);
        let waits = if n < ONSET_S * RATE { 200 * MS } else { 6 * SECOND };
        let mut spans = mailed(numbers, n, healthy, waits);
        let (trace, taken) = (spans[6].trace + (1 << 40), 6);
        spans[taken].link =
            format!("{}-{}", TraceId(u128::from(spans[taken].trace).to_be_bytes()), SpanId(spans[5].id.to_be_bytes()));
        spans[taken].parent = 0;
        spans[6..].iter_mut().for_each(|span| span.trace = trace);
        spans
    });
    let mailer = course.last().entries.iter().find(|entry| entry.entry == "mailer process orders").unwrap();
    assert_eq!((mailer.work, mailer.missed), (Work::Message, true));
    assert!((6_000.0..8_000.0).contains(&mailer.p50_ms), "{}", mailer.p50_ms);
}

#[test]
fn of_traces_that_a_tail_sampler_says_it_chose_no_bottleneck_is_named() {
    let course = run(Settings::default(), |_, _, mut spans| {
        spans.iter_mut().for_each(|span| span.sampled_by = "slow-traces".into());
        spans
    });
    assert!(course.ticks.iter().all(|(_, f)| f.bottlenecks.is_empty() && f.verdict() == Verdict::Partial));
    assert_eq!(course.last().hindrances()[0].kind, HindranceKind::TailSampled);
}

#[test]
fn streams_and_probes_are_left_aside() {
    let course = run(Settings::default(), |numbers, n, mut spans| {
        if n.is_multiple_of(20) {
            // Open for half an hour: it began long before.
            let lived = numbers.about(1_800 * SECOND);
            for span in &mut spans {
                (span.start, span.duration) = (span.start - lived, span.duration + lived);
                span.operation = "GET /events".into();
            }
        } else if n.is_multiple_of(10) {
            spans.truncate(1);
            (spans[0].operation, spans[0].status) = ("GET /healthz".into(), Status::Error);
        }
        spans
    });
    course.finds_orders();
    assert_eq!(course.entries().keys().copied().collect::<Vec<_>>(), ["front GET /shop"]);
    let aside: BTreeMap<&str, Work> = course.last().aside.iter().map(|one| (&*one.entry, one.work)).collect();
    assert_eq!(aside, BTreeMap::from([("front GET /events", Work::Stream), ("front GET /healthz", Work::Probe)]));
}

#[test]
fn an_operator_says_what_an_endpoint_is() {
    let mut settings = Settings::default();
    let declared =
        |entry: &str, name: Option<&str>, work| Declared { entry: entry.into(), name: name.map(str::to_owned), work };
    settings.window.operations = vec![
        declared("front GET /slow", None, Some(Work::Stream)),
        declared("front GET /shop*", Some("GET /shop/{page}"), None),
    ];
    let course = run(settings, |_, n, mut spans| {
        if n.is_multiple_of(4) {
            spans[0].operation = "GET /slow".into();
            spans[0].duration += 5 * SECOND;
        }
        spans
    });
    course.finds_orders();
    assert_eq!(course.entries().keys().copied().collect::<Vec<_>>(), ["front GET /shop/{page}"]);
    assert_eq!(course.last().aside[0].entry, "front GET /slow");
}

#[test]
fn a_cause_that_all_pods_share_restarts_none() {
    let course = run(Settings::default(), |_, _, spans| spans);
    assert!(!course.proposed.iter().any(|(_, action)| action.contains("Restart")), "{:?}", course.proposed);
    let verdicts: Vec<Verdict> = course.last().bottlenecks.iter().map(|bottleneck| bottleneck.verdict).collect();
    assert!(!verdicts.contains(&Verdict::BadInstance), "{verdicts:?}");
}
