//! `headroom diagnose` and `headroom score`, as a person runs them.

use std::path::Path;

use serde_json::{Value, json};

use super::shop::{Fault, Shop, Span, Trace};
use crate::process::run;

/// OTLP JSON lines, a trace a line.
fn write(directory: &Path, name: &str, traces: &[Trace]) {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let resource = |span: &Span| {
        let attributes = [
            attribute("service.name", &span.service),
            attribute("k8s.pod.name", &span.pod),
            attribute("service.version", span.version),
        ];
        let peer = (!span.peer.is_empty()).then(|| attribute("peer.service", span.peer));
        json!({
            "resource": {"attributes": attributes},
            "scopeSpans": [{"spans": [{
                "traceId": hex(&span.trace_id()),
                "spanId": hex(&span.id.to_be_bytes()),
                "parentSpanId": if span.parent > 0 { hex(&span.parent.to_be_bytes()) } else { String::new() },
                "name": span.operation,
                "kind": span.kind as u8,
                "startTimeUnixNano": span.start_ns.to_string(),
                "endTimeUnixNano": span.end_ns.to_string(),
                "attributes": peer.into_iter().collect::<Vec<Value>>(),
                "status": {"code": if span.failed { 2 } else { 0 }},
            }]}],
        })
    };
    let lines: Vec<String> = (traces.iter())
        .map(|trace| json!({"resourceSpans": trace.iter().map(resource).collect::<Vec<Value>>()}).to_string())
        .collect();
    std::fs::write(directory.join(name), lines.join("\n")).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shop(fault: Fault, seed: u64) -> Vec<Trace> {
    Shop { fault, ..Shop::new(seed) }.run(200)
}

#[test]
fn diagnose_reads_as_a_table_with_its_evidence() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "healthy.jsonl", &shop(Fault::None, 1));
    write(directory.path(), "incident.jsonl", &shop(Fault::SlowPod("stock", 1), 2));
    let (code, table, error) = run(directory.path(), &["diagnose", "--baseline", "healthy.jsonl", "incident.jsonl"]);
    assert_eq!((code, error.as_str()), (0, ""));
    insta::assert_snapshot!("diagnose_table", table);
}

#[test]
fn diagnose_json_is_one_document_best_first() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "healthy.jsonl", &shop(Fault::None, 1));
    write(directory.path(), "incident.jsonl", &shop(Fault::SlowWork("payment"), 2));
    let args = ["diagnose", "--json", "--baseline", "healthy.jsonl", "incident.jsonl"];
    let (code, out, _) = run(directory.path(), &args);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, document["traces"].as_u64()), (0, Some(200)));
    let first = &document["suspects"][0];
    assert_eq!((first["rank"].as_u64(), first["service"].as_str()), (Some(1), Some("payment")), "{document:#}");
    for field in ["pod", "operation", "verdict", "score", "evidence", "exemplars"] {
        assert!(first.get(field).is_some(), "{field} is missing: {first:#}");
    }
    let missed: Vec<&str> =
        document["objectives_missed"].as_array().unwrap().iter().filter_map(|m| m["entry"].as_str()).collect();
    assert_eq!(missed, ["front POST /order"], "browsing does not pay");
    assert_eq!(run(directory.path(), &args).1, out, "the same files, the same document");
}

#[test]
fn without_a_baseline_the_calm_before_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let (mut traces, mut later) = (shop(Fault::None, 1), shop(Fault::Starved("order"), 2));
    later.iter_mut().flatten().for_each(|span| {
        span.start_ns += 20_000_000_000;
        span.end_ns += 20_000_000_000;
    });
    traces.extend(later);
    write(directory.path(), "all.jsonl", &traces);
    let (_, out, _) = run(directory.path(), &["diagnose", "--json", "all.jsonl"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["baseline"], json!({"from": "calm_stretch", "traces": 200}));
    assert_eq!(document["suspects"][0]["service"], "order", "{document:#}");
    write(directory.path(), "healthy.jsonl", &shop(Fault::None, 1));
    let (_, out, _) = run(directory.path(), &["diagnose", "--json", "healthy.jsonl"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["baseline"]["from"], "all_but_slowest");
    assert_eq!(document["objectives_missed"], json!([]));
}

#[test]
fn a_baseline_of_another_system_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut other = shop(Fault::None, 1);
    other.iter_mut().flatten().for_each(|span| span.service.insert_str(0, "other-"));
    write(directory.path(), "other.jsonl", &other);
    write(directory.path(), "incident.jsonl", &shop(Fault::SlowWork("payment"), 2));
    let (code, out, error) = run(directory.path(), &["diagnose", "--baseline", "other.jsonl", "incident.jsonl"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(error.contains("share no operations"), "{error}");
}

#[test]
fn score_tells_how_often_the_first_suspect_is_right() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "healthy.jsonl", &shop(Fault::None, 1));
    write(directory.path(), "a.jsonl", &shop(Fault::Starved("order"), 2));
    write(directory.path(), "b.jsonl", &shop(Fault::SlowWork("payment"), 3));
    write(directory.path(), "c.jsonl", &shop(Fault::None, 4));
    let label = |incident: &str, service: &str, fault: &str| json!({"incident": incident, "normal": "healthy.jsonl", "service": service, "pod": "", "fault": fault});
    let labels = json!({
        "shop-a": label("a.jsonl", "order", "starved"),
        "shop-b": label("b.jsonl", "payment", "slow"),
        "shop-c": label("c.jsonl", "cart", "invisible"),
    });
    std::fs::write(directory.path().join("labels.json"), labels.to_string()).unwrap();
    let (code, out, _) = run(directory.path(), &["score", ".", "--json"]);
    let score: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, score["cases"].as_u64()), (0, Some(3)));
    assert_eq!(score["by_fault"]["starved"]["ac1"], 1.0, "{score:#}");
    assert_eq!(score["by_fault"]["slow"]["avg5"], 1.0);
    assert!(score["brier"].as_f64().unwrap() < 0.1, "what cannot be seen gets a low score: {score:#}");
    assert!(score["seconds_per_case"].as_f64().unwrap() > 0.0);
    assert_eq!(score["results"][0]["case"], "shop-a");
    let (_, table, _) = run(directory.path(), &["score", "."]);
    // The last line is a measured time.
    insta::assert_snapshot!("score_table", table.rsplit_once(" s a case").unwrap().0.rsplit_once('\n').unwrap().0);
}

#[test]
fn what_cannot_be_read_is_said_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("empty.jsonl"), "").unwrap();
    std::fs::write(directory.path().join("labels.json"), r#"{"a-1": {"incident": "x"}}"#).unwrap();
    let cases: [(&[&str], &str); 4] = [
        (&["diagnose", "nowhere.jsonl"], "nowhere.jsonl"),
        (&["diagnose", "empty.jsonl"], "no usable span in empty.jsonl"),
        (&["score", "nowhere"], "labels.json"),
        (&["score", "."], "missing field `normal`"),
    ];
    for (args, cause) in cases {
        let (code, out, error) = run(directory.path(), args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(error.contains(cause) && error.lines().count() == 1, "{args:?}: {error}");
    }
}
