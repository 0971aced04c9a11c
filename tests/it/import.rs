//! Access logs to counts, and counts to a forecast, with the real binary.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::process::run;

/// 2026-10-05 00:00 UTC, a Monday.
const MONDAY: i64 = 1_791_158_400;

/// Two weeks of hours, each with as many requests as it is o'clock, every fifth to an exam with an id.
fn log() -> String {
    let mut log = String::new();
    for hour in 0..14 * 24 {
        for n in 0..=hour % 24 {
            let at = chrono::DateTime::from_timestamp(MONDAY + hour * 3_600 + n * 60, 0).unwrap();
            let path = if n % 5 == 4 { format!("/exam/{}?t=1", 4_711 + n * 37 + hour) } else { "/".to_owned() };
            let at = at.format("%d/%b/%Y:%H:%M:%S +0000");
            writeln!(log, r#"10.0.0.{n} - - [{at}] "GET {path} HTTP/1.1" 200 512 "-" "curl""#).unwrap();
        }
    }
    log
}

fn import(directory: &Path, args: &[&str]) -> Value {
    let args = [&["import", "--to", "counts.csv", "--json"][..], args].concat();
    let (code, out, error) = run(directory, &args);
    assert_eq!(code, 0, "{out}{error}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_log_becomes_the_same_counts_however_it_is_packed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let log = log();
    std::fs::write(path("plain.log"), &log).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(std::fs::File::create(path("a.gz")).unwrap(), Default::default());
    gzip.write_all(log.as_bytes()).unwrap();
    gzip.finish().unwrap();
    std::fs::write(path("a.zst"), zstd::encode_all(log.as_bytes(), 1).unwrap()).unwrap();
    let mut seen = Vec::new();
    for name in ["plain.log", "a.gz", "a.zst", "plain.log"] {
        let report = import(directory.path(), &[name]);
        let lines = log.lines().count() as u64;
        assert_eq!((report["requests"].as_u64(), report["lines"].as_u64()), (Some(lines), Some(lines)), "{name}");
        assert_eq!(report["entries"].as_object().unwrap().len(), 2, "ids are grouped: {report:#}");
        seen.push(std::fs::read_to_string(path("counts.csv")).unwrap());
    }
    assert!(seen.iter().all(|counts| *counts == seen[0]), "the same log gives the same file");
    assert!(!path("counts.csv.part").exists());
    assert!(seen[0].starts_with("time_s,requests,GET /,GET /exam/{id}\r\n"), "{}", &seen[0][..80]);
}

#[test]
fn what_cannot_be_read_is_told_and_a_line_of_a_megabyte_costs_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log().into_bytes();
    log.extend(vec![b'x'; 1 << 20]);
    log.extend(b"\nnoise\n\xff\xff\n10.0.0.1 - - [05/Oct/2026:00:00:00 +0000] \"-\" 408 0\n");
    std::fs::write(directory.path().join("a.log"), &log).unwrap();
    let report = import(directory.path(), &["a.log", "--route", "GET /exam/*"]);
    let why: Vec<&str> = report["unread"].as_array().unwrap().iter().map(|one| one["why"].as_str().unwrap()).collect();
    assert_eq!(why.len(), 4, "{report:#}");
    assert!(report["entries"].get("GET /exam/*").is_some(), "{report:#}");
    let (code, _, error) = run(directory.path(), &["import", "a.log", "--to", "c.csv", "--pattern", "{time}{path}"]);
    assert_eq!(code, 2);
    assert!(error.contains("a field needs a text between it and the next"), "{error}");
    std::fs::write(directory.path().join("noise.log"), "noise\n").unwrap();
    assert_eq!(run(directory.path(), &["import", "noise.log", "--to", "c.csv"]).0, 1);
}

#[cfg(feature = "forecast")]
#[test]
fn what_was_imported_is_forecast() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.log"), log()).unwrap();
    import(directory.path(), &["a.log"]);
    let args = [
        "forecast",
        "counts.csv",
        "--column",
        "requests",
        "--step",
        "1h",
        "--absent",
        "zero",
        "--horizon",
        "1h",
        "--json",
    ];
    let (code, out, error) = run(directory.path(), &args);
    assert_eq!(code, 0, "{error}");
    let document: Value = serde_json::from_str(&out).unwrap();
    let said = &document["forecasts"][0];
    assert_eq!(said["at"], "2026-10-19T00:00:00.000Z");
    // At midnight one request comes.
    let half = said["quantiles"]["0.5"].as_f64().unwrap();
    assert!((0.0..6.0).contains(&half), "{out}");
    let (code, out, _) = run(directory.path(), &args[..args.len() - 1]);
    assert_eq!(code, 0);
    assert!(out.contains("19 OF 20") && out.contains("requests a bucket of 1h"), "{out}");
}

#[cfg(feature = "forecast")]
#[test]
fn a_file_that_is_no_series_is_told_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    for (text, cause) in [
        ("time_s,requests\n0,1\nyesterday,2\n", "line 3: `yesterday` is no time"),
        ("time_s,requests\n0,-1\n", "`-1` is no count"),
        ("time_s\n0\n", "no column of counts"),
        ("time_s,requests\n", "no counts"),
        ("time_s,requests\n0,1\n9000000000,1\n", "a longer --step"),
    ] {
        std::fs::write(directory.path().join("a.csv"), text).unwrap();
        let (code, out, error) = run(directory.path(), &["backtest", "a.csv"]);
        assert_eq!((code, out.as_str()), (2, ""), "{error}");
        assert!(error.contains(cause) && error.lines().count() == 1, "{cause}: {error}");
    }
    let (code, _, error) = run(directory.path(), &["backtest", "a.csv", "--column", "visits"]);
    assert_eq!(code, 2);
    assert!(error.contains("has no column `visits`; its columns are time_s, requests"), "{error}");
}
