//! From the socket to the core: the answer waits for the core, what was received can be kept, and nothing that has
//! begun is cut off by a drain.

use std::io::Cursor;
use std::sync::Mutex;

use headroom::receive::files::{Damage, OtlpJsonLines, open};
use headroom::receive::{Encoding, Tapped, decode};
use reqwest::{Client, StatusCode};

use super::*;

fn post(receivers: &Receivers, operation: &str) -> reqwest::RequestBuilder {
    Client::new()
        .post(format!("http://{}/v1/traces", receivers.http().unwrap()))
        .header("content-type", "application/x-protobuf")
        .body(request(vec![span(operation)]).encode_to_vec())
}

#[tokio::test]
async fn a_drain_answers_what_has_begun() {
    let (receivers, mut outlet) = start(config(), Limits::default()).await;
    let (address, begun) = (receivers.http().unwrap(), post(&receivers, "begun"));
    let answer = tokio::spawn(async move { begun.send().await.unwrap().status() });
    let received = tokio::time::timeout(DEADLINE, outlet.next()).await.unwrap().unwrap();
    let drain = tokio::spawn(receivers.shutdown(DEADLINE));
    // New connections are refused while the request that has begun still waits for the core.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!answer.is_finished() && !drain.is_finished());
    received.ack.taken();
    assert_eq!(answer.await.unwrap(), StatusCode::OK);
    assert!(drain.await.unwrap(), "everything was answered");
    assert!(outlet.next().await.is_none(), "nothing more can come");
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline_unacknowledged() {
    let (receivers, mut outlet) = start(config(), Limits::default()).await;
    let begun = post(&receivers, "begun");
    let answer = tokio::spawn(async move { begun.send().await });
    let received = tokio::time::timeout(DEADLINE, outlet.next()).await.unwrap().unwrap();
    let counters = receivers.counters();
    assert!(!receivers.shutdown(Duration::ZERO).await);
    assert!(answer.await.unwrap().is_err(), "the sender keeps its spans");
    received.ack.taken();
    assert_eq!(counters.accepted_spans(), 0);
}

#[tokio::test]
async fn what_the_core_refuses_or_does_not_take_in_time_is_overload() {
    let hurried = Config { hand_over_timeout: Duration::from_millis(1), ..config() };
    let (receivers, mut outlet) = start(hurried, Limits::default()).await;
    assert_eq!(post(&receivers, "not taken").send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    // The sender keeps the spans, so the core need not look at them.
    assert!(outlet.try_next().is_none());

    let (receivers, mut outlet) = start(config(), Limits::default()).await;
    let refused = post(&receivers, "refused");
    let answer = tokio::spawn(async move { refused.send().await.unwrap().status() });
    tokio::time::timeout(DEADLINE, outlet.next()).await.unwrap().unwrap().ack.refused();
    assert_eq!(answer.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(receivers.counters().accepted_spans(), 0);
}

#[tokio::test]
async fn a_slow_sender_is_not_waited_for() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let hurried = Config { request_timeout: Duration::from_millis(1), ..config() };
    let (receivers, _outlet) = start(hurried, Limits::default()).await;
    let mut stream = tokio::net::TcpStream::connect(receivers.http().unwrap()).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let bytes = tokio::time::timeout(DEADLINE, stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..bytes]);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn what_was_accepted_can_be_kept() {
    let kept = Arc::new(Mutex::new(OtlpJsonLines::new(Cursor::new(Vec::new()))));
    let tap = {
        let kept = kept.clone();
        Arc::new(move |tapped: &Tapped| {
            assert_eq!((tapped.received_at, tapped.encoding), (NOW, Encoding::Protobuf));
            kept.lock().unwrap().write_encoded(tapped.encoding, &tapped.request).unwrap();
        })
    };
    let (inlet, mut outlet) = queue(Limits::default());
    let receivers = Receivers::start(config(), inlet, Arc::new(|| NOW.into()), Some(tap)).await.unwrap();
    for (operation, take) in [("kept", true), ("refused", false), ("kept too", true)] {
        let request = post(&receivers, operation);
        let answer = tokio::spawn(async move { request.send().await.unwrap().status() });
        let ack = tokio::time::timeout(DEADLINE, outlet.next()).await.unwrap().unwrap().ack;
        if take {
            ack.taken()
        } else {
            ack.refused()
        }
        assert_eq!(answer.await.unwrap().is_success(), take);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), kept.lock().unwrap().get_ref().get_ref()).unwrap();
    let spans = open(file.path().to_str().unwrap(), decode::Options::default(), Damage::Refuse).unwrap();
    let batches = spans.collect::<Result<Vec<_>, _>>().unwrap();
    let operations: Vec<_> = batches.iter().flat_map(|batch| batch.iter()).map(|row| row.operation).collect();
    assert_eq!(operations, ["kept", "kept too"]);
}

#[tokio::test]
async fn requests_under_way_share_a_budget() {
    let bytes = request(vec![span("first")]).encode_to_vec().len();
    let tight = Config { requests_bytes_max: bytes + 10, ..config() };
    let (receivers, mut outlet) = start(tight, Limits::default()).await;
    let first = post(&receivers, "first");
    let answer = tokio::spawn(async move { first.send().await.unwrap().status() });
    let received = tokio::time::timeout(DEADLINE, outlet.next()).await.unwrap().unwrap();
    assert_eq!(post(&receivers, "second").send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    received.ack.taken();
    assert_eq!(answer.await.unwrap(), StatusCode::OK);
}
