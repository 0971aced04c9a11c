//! Real programs send, and headroom finds: a shop of three services with the OpenTelemetry SDK for Python, Envoy in
//! front of it, an OpenTelemetry Collector between them and a real `headroom serve`.
//!
//! `tests/real/setup.sh` brings the programs; `examples/real-sources` is the same for a reader to run.

pub mod ensemble;
pub mod probe;
pub mod programs;
pub mod target;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use ensemble::{Ensemble, Route};
use programs::Programs;
use target::Target;

use crate::skip::{measured, say};

/// Of one request: two of Envoy, two of each service that calls another, one of the last.
const SPANS_A_TRACE: u64 = 7;
/// A machine that compiles meanwhile is given this long for what takes a second or two.
const SOON: Duration = Duration::from_secs(60);
/// From the first slow request to the name in the API: the promise, spans' own way of up to a second included.
const NAMED_WITHIN: Duration = Duration::from_secs(5);
/// One stall of a busy machine may cost seconds; the promise is broken when it is not kept the second time.
const ATTEMPTS: usize = 2;

/// Requests a second before a burst, and how long they are learnt from.
const CALM_RATE: u32 = 25;
const HEALTHY_SECONDS: u64 = 10;

const STOCK: &str = "loopback/shop/stock";

/// One ensemble at a time: two would share two cores, and measure each other.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has nothing here that could be broken.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn every_span_arrives_by_either_protocol_and_compression() {
    let Some(programs) = Programs::find("every_span_arrives_by_either_protocol_and_compression") else { return };
    let _turn = turn();
    for (sdk, compression) in [("grpc", "zstd"), ("http", "gzip")] {
        // The Collector sends everything to both: to one by gRPC, to the other by HTTP.
        let (by_grpc, by_http) = (Target::start(), Target::start());
        let (grpc, http) = (by_grpc.grpc(), by_http.http());
        let collector = ["--to-grpc", &grpc, "--to-http", &http, "--compression", compression];
        let route = Route { sdk, collector: &collector, shop: &[], envoy: &[] };
        let ensemble = Ensemble::start(&programs, by_grpc.directory(), &route);
        let answered = ensemble.load("load", 50, 3).finish(SOON);
        assert_eq!(answered.report["failed"], 0, "{}", answered.report);
        for (protocol, target) in [("grpc", &by_grpc), ("http", &by_http)] {
            let way = format!("SDK {sdk}, Collector {protocol} {compression}");
            check_spans(&way, target, &answered.traces);
        }
    }
}

/// Each trace whole, each span told what it is.
fn check_spans(way: &str, target: &Target, traces: &[String]) {
    let requests = traces.len() as u64;
    probe::until(&format!("all spans are there: {way}"), SOON, || {
        (target.spans() >= SPANS_A_TRACE * requests).then_some(())
    });
    let expected = traces.iter().map(|trace| (trace.clone(), SPANS_A_TRACE)).collect();
    assert_eq!(target.traces(), expected, "{way}");

    let kinds = target.sql(
        r#"select namespace || '/' || service as service, pod, kind, operation, peer,
                  "http.response.status_code" as status, count(*) as n
           from spans group by 1, 2, 3, 4, 5, 6 order by service, kind"#,
    );
    let span = |service: &str, kind: &str, operation: &str, peer: &str| {
        json!({"service": format!("shop/{service}"), "pod": format!("{service}-0"), "kind": kind, "operation": operation,
               "peer": peer, "status": "200", "n": requests})
    };
    let all = [
        span("frontend", "client", "POST", "127.0.0.1"),
        span("frontend", "server", "GET /checkout/{item}", ""),
        span("ingress", "client", "router frontend egress", "frontend"),
        span("ingress", "server", "GET /checkout/{item}", ""),
        span("orders", "client", "GET", "127.0.0.1"),
        span("orders", "server", "POST /orders/{item}", ""),
        span("stock", "server", "GET /stock/{item}", ""),
    ];
    assert_eq!(json!(kinds), json!(all), "{way}");

    // A trace is analysed once telemetry is complete up to its end, so the last ones come a tick or two later. A service
    // that stalls for seconds exports its spans when their traces are analysed already: these are late, each one call
    // that is not known, and are counted.
    let edges =
        "select caller, callee, sum(calls) as calls from service_edges where answered group by 1, 2 order by 1, 2";
    let ((edges, late), _) = probe::until(&format!("the edges are known: {way}"), SOON, || {
        let (edges, late) = (target.sql(edges), target.late());
        let calls: u64 = edges.iter().filter_map(|edge| edge["calls"].as_u64()).sum();
        (calls + late >= 3 * requests).then_some((edges, late))
    });
    let names: Vec<_> = edges.iter().map(|edge| [&edge["caller"], &edge["callee"]]).collect();
    let all = [("frontend", "orders"), ("ingress", "frontend"), ("orders", "stock")]
        .map(|(caller, callee)| [caller, callee].map(|service| format!("loopback/shop/{service}")));
    assert_eq!(json!(names), json!(all), "{way}");
    let known = requests.saturating_sub(late)..=requests;
    assert!(edges.iter().all(|edge| edge["calls"].as_u64().is_some_and(|n| known.contains(&n))), "{way}: {edges:?}");
    measured("late_spans", late, "spans");
}

#[test]
fn a_slow_service_is_named_within_seconds() {
    let Some(programs) = Programs::find("a_slow_service_is_named_within_seconds") else { return };
    let _turn = turn();
    unless_the_machine_stalls(|| {
        let target = Target::start();
        let grpc = target.grpc();
        let route = Route { sdk: "grpc", collector: &["--to-grpc", &grpc], shop: &[], envoy: &[] };
        let ensemble = Ensemble::start(&programs, target.directory(), &route);
        let load = ensemble.load("load", 50, 600);
        healthy(&target);
        ensemble.slow_stock(200);
        let (named, took) = probe::until("a service is named", SOON, || target.bottleneck());
        ensemble.slow_stock(0);
        if took > NAMED_WITHIN {
            return Err(format!("named after {took:?}: {named:#}"));
        }
        measured("named_within_s", format!("{:.2}", took.as_secs_f64()), "s");
        measured("healthy_again_s", format!("{:.2}", healthy(&target).as_secs_f64()), "s");
        load.stop();
        only_stock_was_named(&target)
    });
}

#[test]
fn a_burst_that_is_too_much_for_one_service_is_its_saturation() {
    let Some(programs) = Programs::find("a_burst_that_is_too_much_for_one_service_is_its_saturation") else { return };
    let _turn = turn();
    unless_the_machine_stalls(|| {
        let target = Target::start();
        let grpc = target.grpc();
        // Four workers of 80 ms serve 50 requests a second: half as many are well served, and 75 are not. The others
        // wait before their span in `stock` begins.
        let route =
            Route { sdk: "http", collector: &["--to-grpc", &grpc], shop: &["--workers", "stock=4"], envoy: &[] };
        let ensemble = Ensemble::start(&programs, target.directory(), &route);
        ensemble.slow_stock(75);
        let load = ensemble.load("load", CALM_RATE, 600);
        healthy(&target);
        learn(&target);
        let burst = ensemble.load("burst", 50, 600);
        let (_, took) = probe::until("a service is named", SOON, || target.bottleneck());
        // Of the first second the cause is not always clear.
        let saturated = || target.bottleneck().filter(|found| found["verdict"] == "saturated");
        if probe::within(NAMED_WITHIN, saturated).is_none() {
            return Err(format!("not saturated within {NAMED_WITHIN:?}: {:?}", target.verdicts()));
        }
        burst.stop();
        measured("named_within_s_saturated", format!("{:.2}", took.as_secs_f64()), "s");
        measured("healthy_again_s_saturated", format!("{:.2}", healthy(&target).as_secs_f64()), "s");
        load.stop();
        only_stock_was_named(&target)
    });
}

/// Again, from the beginning, when it fails: a machine that stalls for a second or two holds every service back, and
/// what is named then was slow.
fn unless_the_machine_stalls(attempt: impl Fn() -> Result<(), String>) {
    let mut outcome = attempt();
    for _ in 1..ATTEMPTS {
        let Err(why) = &outcome else { break };
        say(&format!("once more, since this may have been a stall: {why}"));
        outcome = attempt();
    }
    outcome.unwrap_or_else(|why| panic!("{why}"));
}

/// By the journal, which has what no poll saw.
fn only_stock_was_named(target: &Target) -> Result<(), String> {
    let named = target.ever_named();
    if named == [STOCK] { Ok(()) } else { Err(format!("{named:?} were named")) }
}

/// Waits until healthy time has been learnt, and some seconds of it: of the first two or three nobody can say what load is
/// usual, as part of a second counts there for a whole one.
fn learn(target: &Target) {
    probe::until("healthy time is being learnt", SOON, || target.has_baseline().then_some(()));
    let enough = target.spans() + HEALTHY_SECONDS * u64::from(CALM_RATE) * SPANS_A_TRACE;
    probe::until("healthy time has been learnt", SOON, || (target.spans() >= enough).then_some(()));
}

/// Waits until all is well, and how long that took.
fn healthy(target: &Target) -> Duration {
    probe::until("it is healthy under load", SOON, || target.is_healthy().then_some(())).1
}

#[test]
fn nothing_acknowledged_is_lost_when_headroom_is_killed() {
    let Some(programs) = Programs::find("nothing_acknowledged_is_lost_when_headroom_is_killed") else { return };
    let _turn = turn();
    let mut target = Target::start();
    let (grpc, collector_holds) = (target.grpc(), "otelcol_exporter_queue_size");
    let route = Route { sdk: "grpc", collector: &["--to-grpc", &grpc, "--compression", "zstd"], shop: &[], envoy: &[] };
    let ensemble = Ensemble::start(&programs, target.directory(), &route);
    let load = ensemble.load("load", 50, 600);
    probe::until("spans flow", SOON, || (target.spans() >= 500).then_some(()));
    let seen = target.traces();
    let seen_spans: u64 = seen.values().sum();
    // The worst instant: spans have been acknowledged that no tick has seen.
    probe::until("spans come between two ticks", SOON, || (target.acknowledged() > target.spans()).then_some(()));
    target.kill();
    // In memory it all went with the process; what it acknowledged, the journal counted before.
    let acknowledged = target.journaled_spans();
    // Two seconds' worth.
    let (_, outage) = probe::until("the Collector's queue fills", SOON, || {
        (ensemble.collector_metric(collector_holds) >= 100 * SPANS_A_TRACE).then_some(())
    });
    let held = ensemble.collector_metric(collector_holds);
    target.start_again();
    probe::until("the queue empties into the second life", SOON, || (target.spans() >= held).then_some(()));
    let answered = load.stop();
    assert_eq!(answered.report["failed"], 0, "{}", answered.report);
    let sent = SPANS_A_TRACE * answered.traces.len() as u64;
    probe::until("what the queue held has arrived", SOON, || (target.journaled_spans() >= sent).then_some(()));
    probe::until("the Collector has its answers", SOON, || {
        (ensemble.collector_metric("otelcol_exporter_sent_spans") >= sent).then_some(())
    });

    // By counts: what the Collector holds for acknowledged, and not a span less.
    let confirmed = ensemble.collector_metric("otelcol_exporter_sent_spans");
    let counted = target.journaled_spans();
    assert!(counted >= confirmed, "{confirmed} spans were acknowledged, {counted} are counted");
    // By traces: a span that is in neither life's table was acknowledged between the last look at the first one and
    // its end, and there are exactly so many of those (fewer, if one of them came again).
    probe::until("a tick has seen them all", SOON, || (target.spans() >= target.acknowledged()).then_some(()));
    let again = target.traces();
    let spans_of = |trace: &String| seen.get(trace).unwrap_or(&0) + again.get(trace).unwrap_or(&0);
    let unseen: u64 = answered.traces.iter().map(|trace| SPANS_A_TRACE.saturating_sub(spans_of(trace))).sum();
    let missing = unseen.saturating_sub(acknowledged - seen_spans) + confirmed.saturating_sub(counted);
    measured("outage_s", format!("{:.2}", outage.as_secs_f64()), "s");
    measured("queued_spans", held, "spans");
    measured("repeated_spans", counted - confirmed, "spans");
    measured("missing_spans", missing, "spans");
    assert_eq!(missing, 0, "{unseen} spans unseen, {} of them acknowledged", acknowledged - seen_spans);
    let ids: BTreeSet<&String> = answered.traces.iter().collect();
    assert_eq!(ids.len(), answered.traces.len(), "a trace a request");
}
