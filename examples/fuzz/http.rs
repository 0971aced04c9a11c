//! Whole HTTP requests with JSON in them, to a receiver as it is and an engine behind it: nothing panics, each is answered
//! or its connection closed, and no request brings more than its budget.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use headroom::clock::{Clock, Stopwatch};
use headroom::engine::{Engine, Settings};
use headroom::receive::queue::{self, Outlet};
use headroom::receive::{Config, Receivers, Stamp};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::json;

use crate::Outcome;
use crate::counted::{held_bytes, most_bytes};
use crate::mutate::{choose, mutate, times};

/// As `limits.memory: 256MiB` divides it.
const REQUESTS_BYTES: usize = 64 << 20;
const DECOMPRESSED_BYTES: usize = REQUESTS_BYTES / 3;
const DECODED_BYTES: usize = 32 << 20;
/// All that one request may bring: while it is decompressed it is there once and twice more while it grows, then what is
/// decoded of it, and the engine's part of it.
const BUDGET_BYTES: usize = REQUESTS_BYTES + 2 * DECODED_BYTES;
/// The engine's window, so that what it keeps is not taken for what a request brings.
const WINDOW_BYTES: usize = 4 << 20;
const BODY_BYTES_MAX: usize = 64 << 10;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Of what waits for more it is enough to see that nothing breaks.
const BROKEN_TIMEOUT: Duration = Duration::from_millis(20);
/// `HTTP/1.1 200`
const STATUS_END: usize = 12;
const TICK_EVERY: usize = 50;

const PIECES: &[&str] = &[
    "{}",
    "[]",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "1e999",
    "18446744073709551615",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"traceId\":\"5b8efff798038103d269b633813fc60c\"",
    "\"spanId\":\"eee19b7ec3c1b174\"",
    "\"spans\":[",
    "\"attributes\":[{\"key\":\"a\",\"value\":",
    "{\"arrayValue\":{\"values\":[",
    "{\"kvlistValue\":{\"values\":[",
    "\"resourceSpans\":[",
    "\"scopeSpans\":[",
    "\"startTimeUnixNano\":\"0\"",
    "\"endTimeUnixNano\":\"18446744073709551615\"",
    "\"kind\":3",
    "\"status\":{\"code\":2}",
    "\"name\":\"",
    "é",
    "\u{202e}",
    "  ",
    "\\",
    "//",
    "{\"stringValue\":\"x\"}",
    "{\"intValue\":\"9\"}",
    "{\"doubleValue\":\"NaN\"}",
    "{\"bytesValue\":\"AA==\"}",
    "\"events\":[{}]",
    "\"links\":[{}]",
];
const HEADS: &[&str] = &[
    "POST /v1/traces HTTP/1.1",
    "POST /v1/traces HTTP/1.1",
    "POST /v1/traces HTTP/1.1",
    "POST /v1/traces HTTP/1.1",
    "PUT /v1/traces HTTP/1.1",
    "POST /v1/metrics HTTP/1.1",
    "POST /v1/traces HTTP/1.0",
    "POST //v1/traces?x=1 HTTP/1.1",
    "GET / HTTP/1.1",
    "POST /v1/traces HTTP/9.9",
    "",
];
const TYPES: &[&str] = &[
    "application/json",
    "application/json",
    "application/json; charset=utf-8",
    "application/x-protobuf",
    "text/plain",
    "",
];
const HEADERS: &[&str] = &[
    "Expect: 100-continue\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
    "Content-Encoding: zstd\r\n",
    "Origin: null\r\n",
    "Connection: close\r\n",
    "Authorization: Bearer x\r\n",
    "X: \u{1}\r\n",
    ": \r\n",
    "A b: c\r\n",
    "Host: \r\n",
    "Upgrade: h2c\r\n",
];

fn seed_body(now: i64) -> String {
    let span = |n: u8, parent: u8| {
        json!({
            "traceId": format!("{:032x}", 77 + u32::from(n / 3)), "spanId": format!("{:016x}", n + 1),
            "parentSpanId": if parent == 0 { String::new() } else { format!("{parent:016x}") },
            "name": "GET /", "kind": 2 + n % 2, "startTimeUnixNano": (now - 20_000_000).to_string(),
            "endTimeUnixNano": (now - 10_000_000).to_string(), "status": {"code": n % 3},
            "attributes": [{"key": "http.route", "value": {"stringValue": "/"}}, {"key": "n", "value": {"intValue": "3"}}],
        })
    };
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]});
    let spans: Vec<_> = (0..4).map(|n| span(n, n % 3)).collect();
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "x"}, "spans": spans}]}]})
        .to_string()
}

/// A request as it goes over the wire.
struct Request {
    bytes: Vec<u8>,
    /// Its head says where it ends, and is not broken: it is answered.
    is_whole: bool,
}

fn request(chance: &mut Pcg64Mcg, now: i64) -> Request {
    let mut body = seed_body(now).into_bytes();
    mutate(&mut body, PIECES, BODY_BYTES_MAX, chance);
    let mut headers = String::new();
    let is_packed = chance.random_bool(0.3);
    if is_packed {
        headers.push_str("Content-Encoding: gzip\r\n");
        body = packed(&body, chance);
    }
    let mut is_whole = chance.random_bool(0.8);
    if !is_whole {
        headers.push_str(choose(chance, HEADERS));
    }
    let length = if is_whole { body.len() } else { times(chance) };
    let content_type = choose(chance, TYPES);
    let head = format!(
        "{}\r\nHost: localhost\r\nContent-Type: {content_type}\r\n{headers}Content-Length: {length}\r\n\r\n",
        choose(chance, HEADS)
    );
    let mut bytes = head.into_bytes();
    if chance.random_bool(0.1) {
        mutate(&mut bytes, PIECES, BODY_BYTES_MAX, chance);
        is_whole = false;
    }
    bytes.extend(body);
    Request { bytes, is_whole }
}

/// Gzip, of the body or of a part of it many times: kilobytes that become megabytes.
fn packed(body: &[u8], chance: &mut Pcg64Mcg) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let (from, many) = (chance.random_range(0..=body.len()), times(chance) * times(chance));
    let to = (from + times(chance)).min(body.len());
    let part = &body[from..to];
    let often = if chance.random_bool(0.3) { many.min((48 << 20) / part.len().max(1)) } else { 1 };
    // Writing to memory does not fail.
    let _ = encoder.write_all(&body[..from]);
    (0..often).for_each(|_| _ = encoder.write_all(part));
    let _ = encoder.write_all(&body[to..]);
    encoder.finish().unwrap_or_default()
}

/// Takes batches as the daemon does, and ticks.
async fn core(mut outlet: Outlet, clock: Clock) {
    let mut engine = Engine::new(clock.now(), Settings::default(), &[]).expect("the engine starts");
    engine.set_window_bytes_max(WINDOW_BYTES);
    let mut taken = 0;
    while let Some(received) = outlet.next().await {
        engine.ingest(received.received_at, received.batch);
        drop(engine.take_records());
        received.ack.taken();
        taken += 1;
        if taken % TICK_EVERY == 0 {
            drop(engine.tick(clock.now()));
        }
    }
}

pub fn run(duration: Duration, seed: u64) -> Outcome {
    let panics = Arc::<Mutex<Vec<String>>>::default();
    let heard = panics.clone();
    std::panic::set_hook(Box::new(move |panic| heard.lock().unwrap().push(panic.to_string())));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let clock = Clock::system();
    let config = Config {
        grpc: None,
        http: Some(([127, 0, 0, 1], 0).into()),
        body_bytes_max: DECOMPRESSED_BYTES,
        decompressed_bytes_max: DECOMPRESSED_BYTES,
        requests_bytes_max: REQUESTS_BYTES,
        decoded_bytes_max: DECODED_BYTES,
        ..Config::default()
    };
    let (inlet, outlet) = queue::queue(queue::Limits { bytes_max: DECODED_BYTES, ..queue::Limits::default() });
    let stamps = clock.clone();
    let now = Arc::new(move || Stamp::from(stamps.now()));
    let receivers = runtime.block_on(Receivers::start(config, inlet, now, None)).expect("it listens");
    let address = receivers.http().expect("it serves HTTP");
    let engine = runtime.spawn(core(outlet, clock.clone()));

    let mut chance = Pcg64Mcg::seed_from_u64(seed);
    let (mut answers, mut findings) = (BTreeMap::<String, u64>::new(), Vec::new());
    let (mut most, mut requests) = (0, 0_u64);
    let stopwatch = Stopwatch::start();
    while stopwatch.elapsed() < duration && findings.is_empty() {
        let request = request(&mut chance, clock.now().0);
        let _ = most_bytes();
        let before = held_bytes();
        let answer = exchange(address, &request);
        let brought = most_bytes().saturating_sub(before);
        most = most.max(brought);
        requests += 1;
        let shown = || String::from_utf8_lossy(&request.bytes).chars().take(400).collect::<String>();
        if brought > BUDGET_BYTES {
            findings.push(format!("{brought} bytes for a request of {}: {}", request.bytes.len(), shown()));
        }
        match answer {
            Ok(answer) => *answers.entry(answer).or_default() += 1,
            Err(cause) => findings.push(format!("{cause}: {}", shown())),
        }
        let panicked = std::mem::take(&mut *panics.lock().unwrap());
        findings.extend(panicked.iter().map(|panic| format!("{panic}: {}", shown())));
    }
    if engine.is_finished() {
        findings.push("the engine ended".into());
    }
    runtime.block_on(receivers.shutdown(Duration::from_secs(1)));
    Outcome { report: json!({"requests": requests, "answers": answers, "brought_bytes_max": most}), findings }
}

/// The first line's status, or how the connection ended.
fn exchange(address: SocketAddr, request: &Request) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot connect: {error}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    let timeout = if request.is_whole { ANSWER_TIMEOUT } else { BROKEN_TIMEOUT };
    stream.set_read_timeout(Some(timeout)).map_err(failed)?;
    stream.set_write_timeout(Some(timeout)).map_err(failed)?;
    // It may answer before it has read all, and close.
    let _ = stream.write_all(&request.bytes);
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    while answer.len() < STATUS_END {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(bytes) => answer.extend_from_slice(&part[..bytes]),
            Err(error) if error.kind() == ErrorKind::WouldBlock && request.is_whole => {
                return Err(format!("no answer within {} s", timeout.as_secs()));
            }
            Err(_) => break,
        }
        if answer.starts_with(b"HTTP/1.1 1") {
            answer.clear();
        }
    }
    let Some(status) = answer.get(STATUS_END - 3..STATUS_END) else { return Ok("closed".into()) };
    let status = String::from_utf8_lossy(status).into_owned();
    if status.starts_with('5') && status != "503" { Err(format!("answered {status}")) } else { Ok(status) }
}
