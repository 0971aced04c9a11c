//! What is wrong is answered in one line with its remedy, and disturbs nothing else.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Daemon, http, run};
use crate::receive::grpc::call_at;

/// Ports of the system's choice, and ticks as fast as they may be.
const LISTEN_ANYWHERE: &str = r#"
tick: 100ms
receive: {grpc: "127.0.0.1:0", http: "127.0.0.1:0", body_max: 1MiB, decompressed_max: 1MiB}
api: {listen: "127.0.0.1:0"}
"#;

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}

fn start(directory: &Path, more: &str) -> Daemon {
    write(directory, "headroom.yaml", &format!("{LISTEN_ANYWHERE}{more}"));
    Daemon::start(directory, &["--config", "headroom.yaml"])
}

/// One good span, taken.
fn send_good(daemon: &Daemon) {
    let span = json!({
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "POST /login", "kind": 2,
        "startTimeUnixNano": "1764000000000000000", "endTimeUnixNano": "1764000000007000000"
    });
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    let (status, answer) = http(Method::POST, &format!("{}/v1/traces", daemon.http), Some(&request));
    assert_eq!(status, 200, "{answer}");
}

/// A request to the OTLP/HTTP receiver as these bytes; the status, and the answer as text.
fn send(daemon: &Daemon, content_type: &str, encoding: Option<&str>, body: Vec<u8>) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.post(format!("{}/v1/traces", daemon.http)).header("content-type", content_type);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned())
    })
}

fn metric(daemon: &Daemon, name: &str) -> f64 {
    let (_, metrics) = http(Method::GET, &format!("{}/metrics", daemon.api), None);
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[test]
fn a_truncated_request_is_refused_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = start(directory.path(), "");
    // Field 1 of the request, said to be 40 bytes long, of which 3 come.
    let truncated = vec![0x0a, 40, 1, 2, 3];
    let cause = "not an OTLP trace request in protobuf: the message ends in the middle of a field";
    send_good(&daemon);
    let (status, answer) = send(&daemon, "application/x-protobuf", None, truncated.clone());
    assert!(status == 400 && answer.contains(cause), "{status} {answer}");
    send_good(&daemon);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let method = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let (code, answer) = runtime.block_on(call_at(&daemon.grpc, method, truncated));
    assert_eq!((code, answer.as_str()), (tonic::Code::InvalidArgument, cause));
    send_good(&daemon);
    assert_eq!(daemon.terminate(), 0);
}

#[test]
fn a_gzip_bomb_is_refused_before_it_fills_memory() {
    const MIB: usize = 1 << 20;
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        (0..48).for_each(|_| encoder.write_all(&[b' '; MIB]).unwrap());
        encoder.finish().unwrap()
    };
    assert!(bomb.len() < MIB, "small as it is sent: {}", bomb.len());
    let directory = tempfile::tempdir().unwrap();
    let daemon = start(directory.path(), "");
    send_good(&daemon);
    let before = daemon.memory_peak_kib();
    let (status, answer) = send(&daemon, "application/json", Some("gzip"), bomb);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["code"]), (413, &json!(8)), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("1048576 bytes once decompressed"), "{answer}");
    let grown = daemon.memory_peak_kib() - before;
    assert!(grown < 24 * 1024, "grown by {grown} KiB for a bomb of 48 MiB");
    send_good(&daemon);
    assert_eq!(daemon.terminate(), 0);
}

/// A rule that fails with its words at every tick, which shows that it is in force.
fn beat(words: &str) -> String {
    format!("fn evaluate(now) {{ throw \"{words}\" }}\n")
}

#[test]
fn rules_that_are_wrong_are_reported_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    write(&rules, "beat.rhai", &beat("first"));
    write(&rules, "timed.rhai", &beat("timed"));
    let mut daemon = start(directory.path(), "rules: {directory: rules}\n");

    // All in one go, so that one load brings them.
    let changed = directory.path().join("changed");
    std::fs::create_dir(&changed).unwrap();
    write(&changed, "beat.rhai", "fn evaluate(now) { throw \"unfinished\" ");
    write(&changed, "timed.rhai", &format!("const COOLDOWN = \"soon\";\n{}", beat("unreached")));
    write(&changed, "endless.rhai", "fn evaluate(now) { loop { } }\n");
    write(&changed, "types.rhai", "fn evaluate(now) { now.bottlenecks - \"one\" }\n");
    write(&changed, "well.rhai", "fn evaluate(now) { print(\"well\"); notify(\"auth\", \"all is well\") }\n");
    std::fs::rename(&rules, directory.path().join("before")).unwrap();
    std::fs::rename(&changed, &rules).unwrap();
    daemon.wait_for("rules reloaded");

    // Each says what and where, in one line; the last good versions of `beat` and `timed` are still heard.
    let wanted = [
        ("beat", "beat.rhai:1:"),
        ("timed", "const COOLDOWN is not a duration; write seconds(60)"),
        ("endless", "stopped after 200000 operations; end its loop sooner"),
        ("types", "no such function: - ("),
        ("beat", ": first"),
        ("timed", ": timed"),
    ];
    let mut missing: BTreeSet<(&str, &str)> = wanted.into();
    let mut heard = Vec::new();
    // Each is told when it begins and once more after each load, of which there may be two.
    for _ in 0..2 * wanted.len() {
        let said = daemon.wait_for("rule failed and was skipped");
        let error = said["error"].as_str().unwrap().to_owned();
        assert_eq!(error.lines().count(), 1, "{error}");
        missing.retain(|(rule, words)| said["rule"] != *rule || !error.contains(words));
        heard.push(error);
        if missing.is_empty() {
            break;
        }
    }
    assert!(missing.is_empty(), "{missing:?} of {heard:#?}");
    let said = daemon.wait_for("rule printed");
    assert_eq!((said["rule"].as_str(), said["text"].as_str()), (Some("well"), Some("well")));
    assert!(heard.iter().all(|error| !error.contains("unfinished") && !error.contains("unreached")), "{heard:#?}");
    assert!(metric(&daemon, "headroom_decide_rule_failures_total") >= 6.0);
    assert_eq!(
        metric(&daemon, "headroom_guard_decisions_total{rule=\"well\",action=\"notify\",outcome=\"notified\"}"),
        1.0,
        "`well` goes on"
    );
    send_good(&daemon);
    assert_eq!(daemon.terminate(), 0);
}

#[test]
fn a_configuration_with_an_unknown_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "headroom.yaml", "mode: observe\nwindow: {memroy: 1GiB}\n");
    let (code, out, error) = run(directory.path(), &["serve", "--config", "headroom.yaml"]);
    assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1), "{error}");
    insta::assert_snapshot!(error.trim(), @"headroom: headroom.yaml: window.memroy: unknown key; did you mean `memory`?");
    assert_eq!(run(directory.path(), &["check-config", "headroom.yaml"]).0, 1);
}

#[test]
fn a_scenario_with_a_cycle_is_refused_by_its_name() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenarios/login-storm.yaml");
    let text = std::fs::read_to_string(shipped).unwrap();
    let calls_nobody = "      GET /segment/{id}:\n        own_ms: 8\n";
    assert!(text.contains(calls_nobody));
    let calls_back =
        format!("{calls_nobody}        calls:\n          - {{ service: ingress, operation: \"GET /video/{{id}}\" }}\n");
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "circle.yaml", &text.replace(calls_nobody, &calls_back));
    let (code, out, error) = run(directory.path(), &["demo", "--scenario", "circle.yaml", "--speed", "max"]);
    assert_eq!((code, out.as_str()), (2, ""), "{error}");
    assert_eq!(
        error.trim_end(),
        "headroom: the scenario circle does not make sense: services: calls go in a circle: ingress GET /video/{id} \
         -> video-api GET /segment/{id} -> ingress GET /video/{id}; break one of them"
    );
}

#[test]
fn a_full_disk_is_said_once_and_serving_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    // Takes no byte, as a full disk does (full(4)).
    let daemon = start(directory.path(), "journal: {path: /dev/full}\n");
    // Every tick is an entry more that waits.
    let waiting = metric(&daemon, "headroom_journal_waiting");
    assert!(waiting > 0.0);
    send_good(&daemon);
    send_good(&daemon);
    assert_eq!(http(Method::GET, &format!("{}/readyz", daemon.api), None).0, 200);
    let (code, log) = daemon.terminate_and_read();
    assert_eq!(code, 0, "it drains as ever");
    let said = |line: &&Value| line["message"].as_str().is_some_and(|message| message.contains("journal"));
    let said: Vec<&str> = log.iter().filter(said).map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].starts_with("cannot write the journal: No space left on device"), "{}", said[0]);
    assert!(said[0].ends_with("free some space"), "{}", said[0]);
}
