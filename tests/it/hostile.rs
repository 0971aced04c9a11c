//! The real binary against whoever wants to bring it down: small inputs, and what they may cost.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use headroom::clock::{Clock, Stopwatch};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Daemon, http, pause, run};

const LISTEN_ANYWHERE: &str = r#"
tick: 200ms
receive: {grpc: "127.0.0.1:0", http: "127.0.0.1:0"}
api: {listen: "127.0.0.1:0", sql_timeout: 3s}
limits: {memory: 256MiB}
"#;

fn start(directory: &Path, more: &str) -> Daemon {
    std::fs::write(directory.join("headroom.yaml"), format!("{LISTEN_ANYWHERE}{more}")).unwrap();
    Daemon::start(directory, &["--config", "headroom.yaml"])
}

fn sql(daemon: &Daemon, query: &str) -> (u16, Value) {
    let (status, answer) = http(Method::POST, &format!("{}/api/v1/sql", daemon.api), Some(&json!({"query": query})));
    (status, serde_json::from_str(&answer).unwrap_or(Value::String(answer)))
}

fn post(daemon: &Daemon, content_type: &str, encoding: &str, body: Vec<u8>) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let sent = client.post(format!("{}/v1/traces", daemon.http));
        let sent = sent.header("content-type", content_type).header("content-encoding", encoding).body(body);
        let answer = sent.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}

fn gzip(parts: &[(&[u8], usize)]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for (part, times) in parts {
        let many = part.repeat(1000.min(*times));
        (0..times / 1000).for_each(|_| encoder.write_all(&many).unwrap());
        (0..times % 1000).for_each(|_| encoder.write_all(part).unwrap());
    }
    encoder.finish().unwrap()
}

fn varint(number: usize) -> Vec<u8> {
    let (mut number, mut bytes) = (number, Vec::new());
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn metric(daemon: &Daemon, name: &str) -> f64 {
    let (_, metrics) = http(Method::GET, &format!("{}/metrics", daemon.api), None);
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[test]
fn no_statement_ends_the_daemon_or_keeps_others_from_asking() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = start(directory.path(), "");
    let chain = |text: &str, n: usize| format!("select 1{}", text.repeat(n));
    for query in [
        chain("+1", 1_000),
        chain(" is null", 3_000),
        chain(" union all select 1", 500),
        chain("::int", 2_000),
        chain(" except select 1", 1_000),
        "select length(repeat('x', 1000000000))".to_owned(),
        "select levenshtein(repeat('a', 1000000), repeat('b', 1000000))".to_owned(),
        "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t".to_owned(),
    ] {
        let (status, answer) = sql(&daemon, &query);
        assert!(
            status >= 400 && answer["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()),
            "{query:.50}: {answer}"
        );
        let stopwatch = Stopwatch::start();
        let (status, answer) = sql(&daemon, "select 1 as n");
        assert_eq!((status, &answer["rows"]), (200, &json!([{"n": 1}])), "after {query:.50}");
        assert!(stopwatch.elapsed() < Duration::from_secs(5));
    }
    assert!(daemon.memory_peak_kib() < 280 * 1024, "{} KiB", daemon.memory_peak_kib());
    assert_eq!(daemon.terminate(), 0);
}

#[test]
fn statements_over_files_end_with_a_message() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("traces.jsonl"), "{}\n").unwrap();
    for query in [format!("select 1{}", "+1".repeat(1_000)), "select length(repeat('x', 9000000000000))".into()] {
        let (code, out, error) = run(directory.path(), &["sql", &query, "--file", "traces.jsonl"]);
        assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1), "{error}");
    }
}

/// Kilobytes that become gigabytes.
#[test]
fn small_requests_do_not_become_large_ones() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = start(directory.path(), "");
    let head = br#"{"resourceSpans":[{"scopeSpans":[{"spans":["#;
    let tail = b"{}]}]}]}";
    let nested = |n: usize| gzip(&[(br#"{"resourceSpans":["#, 1), (b"{},", n), (b"{}]}", 1)]);
    let attributes = gzip(&[
        (br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":["#, 1),
        (b"{},", 5_000_000),
        (b"{}]}]}]}]}", 1),
    ]);
    for bomb in [gzip(&[(head, 1), (b"{},", 5_000_000), (tail, 1)]), nested(5_000_000), attributes] {
        let (status, answer) = post(&daemon, "application/json", "gzip", bomb);
        assert_eq!(status, 413, "{answer}");
    }
    // Spans without anything in them, two bytes each, in protobuf.
    let spans = 5_000_000;
    let scope_spans = [&[0x12][..], &varint(2 * spans)].concat();
    let resource_spans = [&[0x0a][..], &varint(scope_spans.len() + 2 * spans)].concat();
    let empty_spans = gzip(&[(&resource_spans, 1), (&scope_spans, 1), (&[0x12, 0], spans)]);
    let (status, answer) = post(&daemon, "application/x-protobuf", "gzip", empty_spans);
    assert_eq!(status, 413, "{answer}");
    let peak = daemon.memory_peak_kib();
    assert!(peak < 282 * 1024, "{peak} KiB with limits.memory 256 MiB");
    assert_eq!(daemon.terminate(), 0);
}

#[test]
fn one_broken_or_endless_text_does_not_spoil_its_request() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = start(directory.path(), "");
    let now = Clock::system().now().0;
    let span = |id: u8, name: &str| {
        format!(
            r#"{{"traceId":"{id:032x}","spanId":"{id:016x}","name":"{name}","startTimeUnixNano":"{}","endTimeUnixNano":"{now}"}}"#,
            now - 1_000_000
        )
    };
    let spans = [span(1, r"half \ud800 a pair"), span(2, &"x".repeat(100_000)), span(3, "whole")].join(",");
    let mut body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#).into_bytes();
    let (status, answer) = post(&daemon, "application/json", "identity", body.clone());
    assert_eq!((status, answer.as_str()), (200, "{}"));
    let at = body.windows(5).position(|bytes| bytes == b"whole").unwrap();
    body[at] = 0xff;
    assert_eq!(post(&daemon, "application/json", "identity", body).0, 200);
    assert!(metric(&daemon, "headroom_receive_broken_texts_total") >= 3.0);
    assert!(metric(&daemon, "headroom_receive_cut_texts_total") >= 2.0);
    assert_eq!(daemon.terminate(), 0);
}

#[test]
fn hostile_rules_do_not_hold_the_loop() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    for (name, body) in [
        ("nested", "let a = []; loop { a = [a]; }"),
        ("copies", "let a = []; a.pad(2000, 0); loop { let b = a; }"),
        ("searches", "let a = []; a.pad(2000, 0); loop { 1 in a; }"),
        ("counts", "let n = 0; loop { n += 1; }"),
    ] {
        std::fs::write(rules.join(format!("{name}.rhai")), format!("fn evaluate(now) {{ {body} }}\n")).unwrap();
    }
    let daemon = start(directory.path(), "rules: {directory: rules}\n");
    let ticks = || metric(&daemon, "headroom_engine_ticks_total");
    let before = ticks();
    pause(Duration::from_secs(6));
    let made = ticks() - before;
    assert!(made > 10.0, "{made} ticks in 6 s, of 30");
    assert_eq!(http(Method::GET, &format!("{}/readyz", daemon.api), None).0, 200);
    assert_eq!(daemon.terminate(), 0);
}

/// The API has TLS of its own, its clients know its authority, and nobody else is let in.
#[test]
fn the_api_speaks_tls_and_its_clients_check_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &authority).unwrap();
    let files = [("cert.pem", server.pem()), ("key.pem", key.serialize_pem()), ("ca.pem", authority.pem())];
    files.iter().for_each(|(name, pem)| std::fs::write(directory.path().join(name), pem).unwrap());
    let listen = LISTEN_ANYWHERE.replace("sql_timeout: 3s", "sql_timeout: 3s, tls: {cert: cert.pem, key: key.pem}");
    std::fs::write(directory.path().join("headroom.yaml"), listen).unwrap();
    let key_file = directory.path().join("key.pem");
    std::fs::set_permissions(&key_file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let mut daemon = Daemon::start(directory.path(), &["--config", "headroom.yaml"]);
    daemon.await_said("every account of this machine can read the private key; take that right away (chmod o-r)");
    let port = daemon.api.rsplit_once(':').unwrap().1;
    let (localhost, address) = (format!("https://localhost:{port}"), format!("https://127.0.0.1:{port}"));
    let status = |server: &str, more: &[&str]| run(directory.path(), &[&["status", "--server", server], more].concat());
    let (code, out, error) = status(&localhost, &["--ca-file", "ca.pem"]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("observe"), "{out}");
    // An authority that nobody named, a name that the certificate has not, and no TLS.
    for (server, more) in
        [(&localhost, &[][..]), (&address, &["--ca-file", "ca.pem"][..]), (&localhost.replace("https", "http"), &[])]
    {
        let (code, _, error) = status(server, more);
        assert_eq!(code, 2, "{server} {more:?}: {error}");
    }
    assert_eq!(daemon.terminate(), 0);
}

#[test]
fn what_it_writes_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let config = format!("{LISTEN_ANYWHERE}journal: {{path: journal.jsonl}}\n");
    std::fs::write(directory.path().join("headroom.yaml"), config).unwrap();
    let daemon = Daemon::start(directory.path(), &["--config", "headroom.yaml", "--ports-file", "ports.json"]);
    assert_eq!(daemon.terminate(), 0);
    for file in ["journal.jsonl", "ports.json"] {
        let mode = std::fs::metadata(directory.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}
