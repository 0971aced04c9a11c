//! What spans show of each fault is what the fault is.

use std::time::Duration;

use headroom::simulate::{Delivery, Scenario, Simulation};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::{SEED, START, attribute, spans, text};

/// `front` calls `cart` and `search`, both call `stock`, which asks a database; `mail` takes messages of `cart`.
const SHOP: &str = "description: two callers of one service
horizon_s: 120
network_ms: 0.2
truth: { verdict: unknown, at: [stock], onset_s: 20, window_s: 60 }
services:
  front:
    pods: { workers: { threads: 64, queue: 64 } }
    replicas: 2
    max_replicas: 4
    operations:
      GET /:
        own_ms: 1
        calls:
          - { service: cart, operation: GET /cart, timeout_ms: 20000 }
          - { service: search, operation: GET /search, timeout_ms: 20000 }
  cart:
    pods: { workers: { threads: 64, queue: 64 } }
    replicas: 2
    max_replicas: 4
    operations:
      GET /cart:
        own_ms: 2
        calls:
          - { service: stock, operation: GET /stock, timeout_ms: 1500 }
          - { service: mail, operation: orders, queue_ms: 300 }
  search:
    pods: { workers: { threads: 64, queue: 64 } }
    replicas: 2
    max_replicas: 4
    operations:
      GET /search: { own_ms: 2, calls: [{ service: stock, operation: GET /stock, timeout_ms: 1500 }] }
  stock:
    pods: { workers: { threads: 64, queue: 64 } }
    replicas: 2
    max_replicas: 4
    proxy: true
    operations:
      GET /stock: { own_ms: 5, calls: [{ peer: db, span: SELECT, timeout_ms: 1500 }] }
  mail:
    pods: { workers: { threads: 8, queue: 64 } }
    replicas: 1
    max_replicas: 4
    operations:
      orders: { own_ms: 40 }
peers:
  db: { system: postgresql, namespace: stock, latency_ms: 3, connections: 100 }
entries:
  - { service: front, operation: GET /, timeout_ms: 30000, objective: { latency_ms: 200 }, traffic: { rate: 30 } }
telemetry: { skew_ms: 0, late_share: 0 }
";

const KIND_SERVER: i32 = 2;
const KIND_CLIENT: i32 = 3;
const KIND_PRODUCER: i32 = 4;
const KIND_CONSUMER: i32 = 5;

/// A minute of the shop with a fault from 20 to 40 s.
fn play(fault: &str) -> Vec<Delivery> {
    let file = if fault.is_empty() { SHOP.to_owned() } else { format!("{SHOP}faults: [{fault}]\n") };
    let scenario = Scenario::from_yaml("shop", &file).expect("valid");
    Simulation::new(&scenario, SEED, START).run_until(START + Duration::from_secs(60))
}

/// A call of a service: its CLIENT span and what stands in its attributes.
struct Call<'a> {
    span: &'a Span,
    callee: &'a str,
    ms: f64,
    has_failed: bool,
}

fn duration_ms(span: &Span) -> f64 {
    (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e6
}

fn has_failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == 2)
}

fn started_within(span: &Span, from_s: u64, to_s: u64) -> bool {
    let at = |s: u64| (START + Duration::from_secs(s)).0 as u64;
    (at(from_s)..at(to_s)).contains(&span.start_time_unix_nano)
}

/// Calls that a service made to another between two seconds.
fn calls<'a>(all: &'a [Delivery], caller: &str, callee: &str, from_s: u64, to_s: u64) -> Vec<Call<'a>> {
    let of_caller = spans(all).filter(|(r, s)| text(r, "service.name") == caller && s.kind == KIND_CLIENT);
    let call = of_caller.map(|(_, span)| Call {
        span,
        callee: text(&span.attributes, "server.address"),
        ms: duration_ms(span),
        has_failed: has_failed(span),
    });
    call.filter(|call| call.callee == callee && started_within(call.span, from_s, to_s)).collect()
}

fn taken(all: &[Delivery], service: &str, from_s: u64, to_s: u64) -> Vec<Span> {
    let of_service = spans(all).filter(|(r, s)| text(r, "service.name") == service && s.kind == KIND_SERVER);
    of_service.filter(|(_, s)| started_within(s, from_s, to_s)).map(|(_, s)| s.clone()).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn median_ms(calls: &[Call<'_>]) -> f64 {
    median(calls.iter().map(|call| call.ms).collect())
}

#[test]
fn refused_calls_end_within_a_millisecond_and_leave_no_server_span() {
    for (how, says) in [("refused", "connection_refused"), ("rejected", "503")] {
        let all = play(&format!("{{ unreachable: {{ callee: stock, how: {how}, from_s: 20, to_s: 40 }} }}"));
        for caller in ["cart", "search"] {
            let refused = calls(&all, caller, "stock", 21, 39);
            assert!(refused.len() > 100 || caller == "search", "{}", refused.len());
            assert!(refused.iter().all(|call| call.has_failed && call.ms < 1.0), "{how}");
            let said = refused.iter().all(|call| {
                let status = attribute(&call.span.attributes, "http.response.status_code").is_some();
                text(&call.span.attributes, "error.type") == says || (status && says == "503")
            });
            assert!(said, "{how}");
        }
        assert_eq!(taken(&all, "stock", 21, 39).len(), 0);
        assert!(calls(&all, "cart", "stock", 42, 55).iter().all(|call| !call.has_failed && call.ms > 3.0));
    }
}

#[test]
fn a_black_hole_is_left_at_the_callers_timeout() {
    let all = play("{ unreachable: { callee: stock, caller: cart, how: black_hole, from_s: 20, to_s: 40 } }");
    let hung = calls(&all, "cart", "stock", 21, 38);
    assert!(hung.len() > 100 && hung.iter().all(|call| call.has_failed && (call.ms - 1_500.0).abs() < 1.0));
    assert!(hung.iter().all(|call| text(&call.span.attributes, "error.type") == "timeout"));
    // Nobody else is concerned; users ask search only after cart, which fails.
    assert!(calls(&all, "search", "stock", 2, 55).iter().all(|call| !call.has_failed));
}

#[test]
fn a_peer_can_be_unreachable_as_well() {
    let all = play("{ unreachable: { callee: db, how: refused, from_s: 20, to_s: 40 } }");
    let queries = calls(&all, "stock", "db", 21, 39);
    assert!(queries.len() > 100 && queries.iter().all(|call| call.has_failed && call.ms < 1.0));
}

#[test]
fn a_slow_edge_delays_the_calls_of_whom_it_concerns_before_they_are_taken() {
    let all = play("{ slow_edge: { callee: stock, caller: search, delay_ms: 300, from_s: 20, to_s: 40 } }");
    let (before, during) = (calls(&all, "search", "stock", 2, 19), calls(&all, "search", "stock", 21, 39));
    let added = median_ms(&during) - median_ms(&before);
    assert!((270.0..330.0).contains(&added), "{added}");
    let others = median_ms(&calls(&all, "cart", "stock", 21, 39)) / median_ms(&calls(&all, "cart", "stock", 2, 19));
    assert!((0.9..1.1).contains(&others), "{others}");
    let served = |from, to| median(taken(&all, "stock", from, to).iter().map(duration_ms).collect());
    assert!((0.9..1.1).contains(&(served(21, 39) / served(2, 19))), "its own time is as ever");
    // Without a caller all are concerned.
    let all = play("{ slow_edge: { callee: stock, delay_ms: 300, from_s: 20, to_s: 40 } }");
    assert!(["cart", "search"].iter().all(|caller| median_ms(&calls(&all, caller, "stock", 21, 39)) > 270.0));
}

#[test]
fn a_lossy_link_fails_a_share_of_the_calls_or_sends_them_again() {
    let lossy = |more: &str| {
        play(&format!("{{ lossy_link: {{ callee: stock, caller: search, share: 0.3, {more} from_s: 20, to_s: 40 }} }}"))
    };
    let all = lossy("");
    let during = calls(&all, "search", "stock", 21, 39);
    let failed = during.iter().filter(|call| call.has_failed).count() as f64 / during.len() as f64;
    assert!((0.25..0.35).contains(&failed), "{failed}");
    assert!(during.iter().filter(|call| call.has_failed).all(|call| call.ms < 1.0));
    let all = lossy("retransmit_ms: 200,");
    let during = calls(&all, "search", "stock", 21, 39);
    let late = |from: f64, to: f64| {
        let within = during.iter().filter(|call| (from..to).contains(&call.ms)).count();
        within as f64 / during.len() as f64
    };
    // Lost once: 0.3 * 0.7, twice: 0.09 * 0.7.
    assert!((late(200.0, 350.0) - 0.21).abs() < 0.05 && (late(600.0, 750.0) - 0.063).abs() < 0.03);
    assert!(during.iter().filter(|call| call.has_failed).all(|call| call.ms > 1_400.0), "only those lost thrice");
}

/// Two connections a pod, each held for 200 ms: ten calls a second of fifteen that want one.
#[test]
fn an_exhausted_pool_makes_calls_wait_at_the_caller() {
    let pool = |more: &str| {
        let fault = "callee: stock, caller: cart, connections: 2, held_ms: 195";
        play(&format!("{{ exhausted_pool: {{ {fault}, {more} from_s: 20, to_s: 40 }} }}"))
    };
    let all = pool("wait_in_span: true,");
    let waited = calls(&all, "cart", "stock", 26, 38);
    assert!(median_ms(&waited) > 500.0, "{}", median_ms(&waited));
    assert!(waited.iter().any(|call| call.has_failed && (call.ms - 1_500.0).abs() < 1.0), "some give up");
    let served = |all: &[Delivery], from, to| median(taken(all, "stock", from, to).iter().map(duration_ms).collect());
    assert!(served(&all, 26, 38) < 1.2 * served(&all, 2, 19));
    let after = calls(&all, "cart", "stock", 44, 55);
    assert!(median_ms(&after) < 20.0 && after.iter().all(|call| !call.has_failed), "it is over");
    // Outside the span the same wait is the caller's own time, and who gave up never called.
    let all = pool("");
    let sent = calls(&all, "cart", "stock", 26, 38);
    assert!(median_ms(&sent) < 20.0, "{}", median_ms(&sent));
    // But for the few whose timeout ends just after they have got a connection.
    let failed = sent.iter().filter(|call| call.has_failed).count();
    assert!(failed * 5 < sent.len(), "{failed} of {}", sent.len());
    let cart = taken(&all, "cart", 26, 38);
    assert!(median(cart.iter().map(duration_ms).collect()) > 500.0);
    assert!(cart.iter().any(has_failed) && cart.len() > sent.len());
}

#[test]
fn lost_spans_never_arrive() {
    let kept = |loss: &str, service: &str| {
        let all = play(&format!("{{ lost_spans: {{ {loss}, from_s: 20, to_s: 40 }} }}"));
        taken(&all, service, 21, 39).len() as f64 / taken(&play(""), service, 21, 39).len() as f64
    };
    assert!((kept("share: 0.6", "cart") - 0.4).abs() < 0.06);
    assert!((kept("share: 0.6", "stock") - 0.4).abs() < 0.06);
    assert!((kept("share: 0.6, service: stock", "stock") - 0.4).abs() < 0.06);
    assert_eq!(kept("share: 0.6, service: stock", "cart"), 1.0);
    // One of two pods, all of it.
    assert!((kept("share: 1, service: cart, pod: 1", "cart") - 0.5).abs() < 0.1);
}

/// Whoever cannot see the fault has the same traffic, to the nanosecond.
#[test]
fn a_wrong_clock_moves_the_spans_of_its_service_alone() {
    let (right, wrong) = (play(""), play("{ wrong_clock: { service: cart, ahead_s: -2.5, from_s: 0, to_s: 100 } }"));
    let starts = |all: &[Delivery], service: &str| -> Vec<u64> {
        let mut starts: Vec<u64> = spans(all)
            .filter(|(r, _)| text(r, "service.name") == service)
            .map(|(_, s)| s.start_time_unix_nano)
            .collect();
        starts.sort_unstable();
        starts
    };
    assert_eq!(starts(&right, "search"), starts(&wrong, "search"));
    let moved: Vec<u64> = starts(&right, "cart").into_iter().map(|at| at - 2_500_000_000).collect();
    assert_eq!(moved, starts(&wrong, "cart"));
}

#[test]
fn a_message_is_taken_later_than_it_is_sent_and_nobody_waits_for_it() {
    let all = play("");
    let of_kind = |kind: i32| spans(&all).filter(move |(_, s)| s.kind == kind);
    let sent: Vec<&Span> = of_kind(KIND_PRODUCER).map(|(_, s)| s).collect();
    assert!(sent.len() > 1_000 && sent.iter().all(|s| duration_ms(s) < 1.0 && s.name == "send orders"));
    let mut waits = Vec::new();
    for (resource, consumed) in of_kind(KIND_CONSUMER).filter(|(_, s)| started_within(s, 0, 50)) {
        assert_eq!((text(resource, "service.name"), consumed.name.as_str()), ("mail", "process orders"));
        let producer = sent.iter().find(|s| s.span_id == consumed.parent_span_id).expect("its parent is the sender");
        assert_eq!(producer.trace_id, consumed.trace_id);
        waits.push((consumed.start_time_unix_nano - producer.end_time_unix_nano) as f64 / 1e6);
    }
    assert!(waits.len() > 1_000 && (250.0..350.0).contains(&median(waits)));
    let cart = median(taken(&all, "cart", 2, 55).iter().map(duration_ms).collect());
    assert!(cart < 30.0, "{cart}: 40 ms of mail are not among them");
}

#[test]
fn a_proxy_sends_a_server_span_around_that_of_its_service() {
    let all = play("");
    let served = taken(&all, "stock", 2, 50);
    let (inner, outer): (Vec<&Span>, Vec<&Span>) =
        served.iter().partition(|s| served.iter().any(|other| other.span_id == s.parent_span_id));
    assert_eq!(inner.len(), outer.len());
    assert!(inner.len() > 1_000);
    for span in inner.iter().take(200) {
        let proxy = outer.iter().find(|s| s.span_id == span.parent_span_id).expect("a parent");
        assert!(proxy.start_time_unix_nano <= span.start_time_unix_nano);
        assert!(proxy.end_time_unix_nano >= span.end_time_unix_nano);
        assert_eq!((&proxy.name, &proxy.trace_id), (&span.name, &span.trace_id));
    }
}

#[test]
fn columns_can_be_left_out() {
    let file = SHOP.replace(
        "telemetry: { skew_ms: 0,",
        "telemetry: { versions: false, pods: false, callees: service, skew_ms: 0,",
    );
    let scenario = Scenario::from_yaml("shop", &file).expect("valid");
    let all = Simulation::new(&scenario, SEED, START).run_until(START + Duration::from_secs(20));
    for (resource, span) in spans(&all) {
        for key in ["service.version", "k8s.pod.name", "k8s.node.name"] {
            assert!(attribute(resource, key).is_none(), "{key}");
        }
        if span.name == "GET" {
            assert!(!text(&span.attributes, "service.peer.name").is_empty(), "{:?}", span.attributes);
            assert!(attribute(&span.attributes, "server.address").is_none());
        }
    }
}

#[test]
fn faults_that_make_no_sense_are_refused_with_every_reason() {
    let faults = "faults:
  - unreachable: { callee: shelf, how: refused, from_s: 20, to_s: 40 }
  - slow_edge: { callee: stock, caller: mail, delay_ms: 1e9, from_s: 20, to_s: 10 }
  - lossy_link: { callee: mail, caller: cart, share: 1.5, from_s: 20, to_s: 40 }
  - exhausted_pool: { callee: stock, caller: carts, connections: 1, held_ms: -1, from_s: 20, to_s: 40 }
  - lost_spans: { share: 0.5, pod: 1, from_s: 20, to_s: 40 }
  - wrong_clock: { service: cart, ahead_s: 1e6, from_s: 20, to_s: 40 }
";
    let file = format!("{SHOP}{faults}").replace("{ peer: db, span: SELECT,", "{ peer: db, span: SELECT, queue_ms: 5,");
    let invalid = Scenario::from_yaml("shop", &file).expect_err("wrong").to_string();
    insta::assert_snapshot!(invalid.replace("; ", "\n"));
    let both = SHOP.replace(
        "- { service: search, operation: GET /search, timeout_ms: 20000 }",
        "- { service: mail, operation: orders }",
    );
    let mixed = Scenario::from_yaml("shop", &both).expect_err("calls and messages").to_string();
    assert!(mixed.contains("services.mail.operations.orders: takes messages"), "{mixed}");
}
