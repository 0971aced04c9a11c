//! Connections that say nothing, little, or too much: honest senders are answered all the same.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;

use super::*;

/// Both receivers with few places, and a core that takes everything.
async fn few_places(connections_max: usize) -> (Receivers, JoinHandle<Vec<String>>) {
    let (receivers, outlet) = start(Config { connections_max, ..config() }, Limits::default()).await;
    (receivers, core(outlet))
}

fn open(address: SocketAddr, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    // A connection that had to give way already takes nothing.
    let _ = stream.write_all(first);
    stream
}

async fn is_taken_over_http(receivers: &Receivers, name: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v1/traces", receivers.http().unwrap());
    let sent = client.post(url).header("content-type", "application/x-protobuf");
    let sent = sent.body(request(vec![span(name)]).encode_to_vec()).send();
    let answer = tokio::time::timeout(DEADLINE, sent).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200, "{name}");
}

async fn is_taken_over_grpc(receivers: &Receivers, name: &str) {
    let sending = async {
        let mut client = TraceServiceClient::connect(format!("http://{}", receivers.grpc().unwrap())).await?;
        Ok::<_, Box<dyn std::error::Error>>(client.export(request(vec![span(name)])).await?)
    };
    tokio::time::timeout(DEADLINE, sending).await.unwrap().unwrap();
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_slow_connections_give_way_to_honest_senders() {
    let (receivers, core) = few_places(8).await;
    let (http, grpc) = (receivers.http().unwrap(), receivers.grpc().unwrap());
    let slow_body =
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{";
    let held: Vec<TcpStream> = (0..20)
        .flat_map(|_| {
            let first = [&b""[..], b"POST /v1/tra", slow_body];
            let second = [&b""[..], PREFACE, &[PREFACE, EMPTY_SETTINGS].concat()];
            let http = first.map(|first| open(http, first));
            http.into_iter().chain(second.map(|first| open(grpc, first))).collect::<Vec<_>>()
        })
        .collect();
    for n in 0..3 {
        is_taken_over_http(&receivers, &format!("http {n}")).await;
        is_taken_over_grpc(&receivers, &format!("grpc {n}")).await;
    }
    drop(held);
    assert_eq!(operations(receivers, core).await.len(), 6);
}

/// As an exporter does: one connection, kept.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_answered_keeps_its_connection() {
    let (receivers, core) = few_places(4).await;
    let mut client = TraceServiceClient::connect(format!("http://{}", receivers.grpc().unwrap())).await.unwrap();
    client.export(request(vec![span("first")])).await.unwrap();
    let held: Vec<TcpStream> = (0..40).map(|_| open(receivers.grpc().unwrap(), PREFACE)).collect();
    is_taken_over_grpc(&receivers, "newcomer").await;
    client.export(request(vec![span("second")])).await.expect("over the same connection");
    drop((held, client));
    assert_eq!(operations(receivers, core).await, ["first", "newcomer", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_request_is_closed() {
    let (receivers, _core) = few_places(100).await;
    let mut silent = vec![
        open(receivers.http().unwrap(), b""),
        open(receivers.http().unwrap(), b"POST /v1/traces HTTP/1.1\r\n"),
        open(receivers.grpc().unwrap(), b""),
        open(receivers.grpc().unwrap(), &[PREFACE, EMPTY_SETTINGS].concat()),
    ];
    for stream in &mut silent {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut said = Vec::new();
        // To its end, or to its being reset.
        match stream.read_to_end(&mut said) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}

/// HEADERS of a request for `/`, without its end, on stream `id`; a literal of HPACK's static table each.
fn headers(id: u32, flags: u8) -> Vec<u8> {
    let block = [0x83, 0x86, 0x84, 0x41, 0x01, b'x']; // POST, http, /, :authority x
    frame(1, flags, id, &block)
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Floods of HTTP/2: rapid reset, CONTINUATION without end, PING, SETTINGS, empty DATA.
#[tokio::test(flavor = "multi_thread")]
async fn floods_end_their_own_connection_at_most() {
    let (receivers, core) = few_places(100).await;
    const END_HEADERS: u8 = 4;
    let ids = (1..20_000).step_by(2);
    let rapid_reset: Vec<u8> =
        ids.flat_map(|id| [headers(id, END_HEADERS), frame(3, 0, id, &8u32.to_be_bytes())].concat()).collect();
    let continuation: Vec<u8> = [headers(1, 0)]
        .into_iter()
        .chain((0..20_000).map(|_| frame(9, 0, 1, &[0x40, 1, b'a', 1, b'b'])))
        .flatten()
        .collect();
    let pings: Vec<u8> = (0..50_000).flat_map(|_| frame(6, 0, 0, &[0; 8])).collect();
    let settings: Vec<u8> = (0..50_000).flat_map(|_| EMPTY_SETTINGS.to_vec()).collect();
    let empty_data: Vec<u8> =
        [headers(1, END_HEADERS)].into_iter().chain((0..50_000).map(|_| frame(0, 0, 1, &[]))).flatten().collect();
    let before = resident_kib();
    for flood in [rapid_reset, continuation, pings, settings, empty_data] {
        for address in [receivers.grpc().unwrap(), receivers.http().unwrap()] {
            let flood = [PREFACE, EMPTY_SETTINGS, &flood].concat();
            let flooding = tokio::task::spawn_blocking(move || {
                let mut stream = open(address, b"");
                stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
                // Reading nothing, as a flood does; it ends when the connection is closed or nothing more is taken.
                let _ = stream.write_all(&flood);
                stream
            });
            let stream = flooding.await.unwrap();
            is_taken_over_grpc(&receivers, "honest").await;
            is_taken_over_http(&receivers, "honest").await;
            drop(stream);
        }
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 200 * 1024, "grown by {grown} KiB");
    assert_eq!(operations(receivers, core).await.len(), 20);
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Shapes that two servers would read differently: one answer, and the connection is of no further use.
#[tokio::test(flavor = "multi_thread")]
async fn smuggled_requests_are_refused() {
    let (receivers, core) = few_places(100).await;
    let address = receivers.http().unwrap();
    for head in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Content-Length: 4\r\nContent-Length: 5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Content-Length: +4",
        "Content-Length : 4",
    ] {
        let answered = tokio::task::spawn_blocking(move || {
            let request = format!(
                "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}\r\n\r\n0\r\n\r\n\
                 POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
            );
            let mut stream = open(address, request.as_bytes());
            stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        });
        let answered = answered.await.unwrap();
        // The second may not be answered with 200 as a request of its own, unless the first was read as one whole.
        let answers: Vec<&str> = answered.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
        assert!(answers.iter().filter(|line| line.contains(" 200")).count() <= 1, "{head}: {answers:?}");
    }
    is_taken_over_http(&receivers, "honest").await;
    assert_eq!(operations(receivers, core).await, ["honest"]);
}
