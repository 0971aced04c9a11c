//! A history: kept by a real daemon that is killed, filled from access logs, and forecast from.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use headroom::history::{Counted, Of, Reader, Store};
use reqwest::Method;
use serde_json::{Value, json};

use crate::demo::Cluster;
use crate::process::{Daemon, http, run};

/// One entry operation at a steady pace, and what it asks for.
const STEADY: &str = "
description: forty requests a second, as ever
horizon_s: 400
services:
  ingress:
    pods: { shared: { cores: 4, burst_cores: 4 } }
    replicas: 2
    max_replicas: 2
    operations:
      GET /page: { own_ms: 1, calls: [{ service: content, operation: GET /content }] }
  content:
    pods: { workers: { threads: 8, queue: 64 } }
    replicas: 3
    max_replicas: 3
    operations:
      GET /content: { own_ms: 30 }
entries:
  - service: ingress
    operation: GET /page
    objective: { latency_ms: 300 }
    traffic: { rate: 40 }
";

const PER_MINUTE: f64 = 40.0 * 60.0;

fn counts(directory: &Path, of: Of, step_s: i64) -> Counted {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut reader = Reader::new(Store::open(directory.join("history").to_str().unwrap()).unwrap());
    runtime.block_on(reader.counts(of, "main", step_s, false)).unwrap()
}

#[test]
fn a_killed_daemon_loses_the_last_minute_at_most_and_counts_none_twice() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("steady.yaml"), STEADY).unwrap();
    let otlp = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let to = format!("http://{otlp}");
    let cluster = Cluster::start(directory, &["--scenario", "steady.yaml", "--speed", "10", "--otlp-grpc", &to]);
    let config = json!({
        "receive": {"grpc": otlp, "http": "127.0.0.1:0"},
        "api": {"listen": "127.0.0.1:0"},
        "history": {"store": "history"},
        "cluster": {"embedded": {"url": cluster.url}},
    });
    std::fs::write(directory.join("headroom.yaml"), config.to_string()).unwrap();
    let start = || Daemon::start(directory, &["--config", "headroom.yaml"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clock = cluster.clock();
    let origin = headroom::commands::demo::course::START;
    let wait_until = |t_s: u64| runtime.block_on(clock.sleep_until(origin + Duration::from_secs(t_s)));

    let daemon = start();
    wait_until(215); // in the fourth minute
    drop(daemon); // by SIGKILL
    let minutes = |counted: &Counted, name: &str| -> Vec<(i64, f64)> {
        counted.columns[name].iter().map(|(second, count)| ((second - origin.second()) / 60, *count)).collect()
    };
    let entry = "ingress GET /page";
    let before = minutes(&counts(directory, Of::Entries, 60), entry);
    assert_eq!(before.last().map(|of| of.0), Some(2), "what ended before the minute of the kill is there: {before:?}");

    let daemon = start();
    wait_until(330);
    let (_, metrics) = http(Method::GET, &format!("{}/metrics", daemon.api), None);
    let written = metrics.lines().find(|line| line.starts_with("headroom_history_writes_total{outcome=\"written\"}"));
    assert!(written.is_some_and(|line| !line.ends_with(" 0")), "{written:?}");
    assert_eq!(daemon.terminate(), 0);

    let after = minutes(&counts(directory, Of::Entries, 60), entry);
    assert!(after.starts_with(&before), "a restart changes nothing: {before:?} and {after:?}");
    assert!(after.iter().any(|(minute, _)| *minute == 4), "{after:?}");
    assert!(after.iter().all(|(minute, _)| *minute != 3), "nobody saw the whole of the minute of the kill: {after:?}");
    // The last second of a minute may be missing; none counts twice.
    assert!(after.iter().all(|(_, count)| (0.9..1.1).contains(&(count / PER_MINUTE))), "{after:?}");
    let services = minutes(&counts(directory, Of::Services, 60), "content");
    assert!(services.iter().all(|(_, count)| (0.9..1.1).contains(&(count / PER_MINUTE))), "{services:?}");
    assert_eq!(services.iter().map(|of| of.0).collect::<Vec<_>>(), after.iter().map(|of| of.0).collect::<Vec<_>>());
}

#[test]
fn a_store_that_cannot_be_had_is_told_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    for (store, cause) in [
        (
            "s3://bucket/prefix",
            "history.store: `s3://bucket/prefix` is no folder; this build keeps a history in a folder alone",
        ),
        ("file", "file: "),
    ] {
        let config = json!({"history": {"store": store}, "receive": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0"}, "api": {"listen": "127.0.0.1:0"}});
        std::fs::write(directory.path().join("headroom.yaml"), config.to_string()).unwrap();
        let (code, _, error) = run(directory.path(), &["serve", "--config", "headroom.yaml"]);
        assert!(code == 2 && error.contains(cause), "{code} {error}");
    }
    let config = json!({"history": {"cluster": "a/b", "minutes": "30d", "quarters": "7d"}});
    std::fs::write(directory.path().join("headroom.yaml"), config.to_string()).unwrap();
    let (code, out, error) = run(directory.path(), &["check-config", "headroom.yaml"]);
    assert_ne!(code, 0);
    for cause in ["history.cluster: `a/b` cannot be a part of a path", "history.quarters: is less than minutes, 30d"] {
        assert!(format!("{out}{error}").contains(cause), "{cause}: {out}{error}");
    }
}

/// 2026-10-05 00:00 UTC, a Monday.
const MONDAY: i64 = 1_791_158_400;

/// A fortnight of a log, with as many requests in each quarter of an hour as it is o'clock, but for the second Wednesday, of which the
/// log is missing.
fn log(hours: std::ops::Range<i64>) -> String {
    let mut log = String::new();
    for hour in hours.filter(|hour| hour / 24 != 9) {
        for n in 0..4 * (hour % 24) {
            let at = MONDAY + hour * 3_600 + (n % 4) * 900 + n / 4 * 30;
            let at = chrono::DateTime::from_timestamp(at, 0).unwrap().format("%d/%b/%Y:%H:%M:%S +0000");
            writeln!(log, r#"10.0.0.{n} - - [{at}] "GET /exam/{} HTTP/1.1" 200 5 "-" "-""#, 4_711 + hour * 31 + n)
                .unwrap();
        }
    }
    log
}

fn import(directory: &Path, log: &str) -> Value {
    let args = ["import", log, "--to", "history/", "--service", "ingress", "--json"];
    let (code, out, error) = run(directory, &args);
    assert_eq!(code, 0, "{out}{error}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn logs_fill_a_history_once_whatever_they_overlap() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("first.log"), log(0..10 * 24)).unwrap();
    std::fs::write(directory.join("all.log"), log(0..14 * 24)).unwrap();
    let first = import(directory, "first.log");
    assert_eq!(first["minutes_known_before"], 0, "{first:#}");
    let again = import(directory, "first.log");
    assert_eq!((&again["minutes_added"], &again["minutes_known_before"]), (&json!(0), &first["minutes_added"]));
    let before = counts(directory, Of::Entries, 900);
    let all = import(directory, "all.log");
    assert_eq!(all["minutes_known_before"], first["minutes_added"], "{all:#}");
    let after = counts(directory, Of::Entries, 900);
    let entry = "ingress GET /exam/{id}";
    assert!(after.columns[entry].starts_with(&before.columns[entry][..before.columns[entry].len() - 1]));
    for (second, count) in &after.columns[entry][..after.columns[entry].len() - 1] {
        let hour = (second - MONDAY) / 3_600;
        assert_ne!(hour / 24, 9, "of a log that is missing nothing is known");
        assert_eq!(*count, (hour % 24) as f64, "hour {hour}");
    }
}

#[test]
fn a_history_is_asked_with_sql() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("a.log"), log(0..48)).unwrap();
    import(directory, "a.log");
    let ask = |query: &str| run(directory, &["sql", query, "--history", "history", "--csv"]);
    let (code, out, error) = ask(
        "select e.cluster, e.entry, sum(e.requests) as requests, count(distinct e.minute) as busy, (select sum(watched_s) / 3600 from watch) as hours
         from entries e group by 1, 2",
    );
    assert_eq!(code, 0, "{error}");
    // Twice as many in four quarters of an hour as it is o'clock; the log is of 46 hours and a half, from the first line to the last.
    let rows: Vec<&str> = out.lines().collect();
    assert_eq!(rows[0], "cluster,entry,requests,busy,hours");
    assert!(rows.len() == 2 && rows[1].starts_with("main,ingress GET /exam/{id},2208.0,"), "{out}");
    let (code, _, error) = ask("select * from spans");
    assert!(code == 2 && error.contains("entries") && error.contains("crossings"), "{error}");
}

#[cfg(feature = "forecast")]
#[test]
fn a_history_is_forecast_and_measured_as_a_file_is() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("all.log"), log(0..14 * 24)).unwrap();
    import(directory, "all.log");
    let (code, out, error) =
        run(directory, &["forecast", "history", "--step", "1h", "--horizon", "1h", "--course", "12h"]);
    assert_eq!(code, 0, "{error}");
    // The model's hash is another in each version.
    let told: String = out.lines().map(|line| line.split("; model").next().unwrap().to_owned() + "\n").collect();
    insta::assert_snapshot!("forecast_of_a_history", told);
    let (code, out, error) = run(directory, &["backtest", "history", "--step", "1h", "--horizon", "1h", "--json"]);
    assert!(code < 2, "{error}");
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["series"][0]["series"], "ingress GET /exam/{id}", "{document:#}");
    for (args, cause) in [
        (&["history", "--services"][..], "there is no series to forecast"),
        (&["history", "--cluster", "eu"], "has no cluster `eu`; it has main"),
        (&["history", "--column", "x"], "has no column `x`; its columns are ingress GET /exam/{id}"),
        (&["."], "is no history: it has no cluster of minutes"),
        (
            &["s3://bucket/history"],
            "s3://bucket/history is no folder, and this build keeps a history in a folder alone",
        ),
    ] {
        let (code, out, error) = run(directory, &[&["forecast"], args].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{error}");
        assert!(error.contains(cause) && error.lines().count() == 1, "{cause}: {error}");
    }
}
