//! Access logs to counts, and counts to a forecast, with the real binary.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

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
    let (code, out, _) = run(directory.path(), &["import", "noise.log", "--to", "c.csv"]);
    assert!(
        code == 1 && out.contains("1 line: of another form than --format says; the first is line 1: noise"),
        "{out}"
    );
    assert!(!directory.path().join("c.csv").exists());
}

#[cfg(feature = "forecast")]
#[test]
fn what_was_imported_is_forecast() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.log"), log()).unwrap();
    import(directory.path(), &["a.log"]);
    let args = ["forecast", "counts.csv", "--column", "requests", "--step", "1h", "--horizon", "1h", "--json"];
    let (code, out, error) = run(directory.path(), &args);
    assert_eq!(code, 0, "{error}");
    let document: Value = serde_json::from_str(&out).unwrap();
    let said = &document["forecasts"][0];
    assert_eq!(said["at"], "2026-10-19T00:00:00.000Z");
    // At midnight one request comes. Most minutes have none, and are counted as such.
    let half = said["quantiles"]["0.5"].as_f64().unwrap();
    assert!((0.0..6.0).contains(&half), "{out}");
    assert_eq!(
        document["data"][0],
        json!({"series": "requests", "buckets": 336, "known": 336, "absent_by_guess_zero": false})
    );
    let course = [&args[..args.len() - 3], &["--course", "1d", "--zone", "Europe/Berlin"]].concat();
    let (code, out, _) = run(directory.path(), &course);
    assert_eq!(code, 0);
    assert!(out.contains("19 OF 20") && out.contains("requests a bucket of 1h"), "{out}");
    assert!(out.contains("Mon 2026-10-19 02:00 CEST") && out.contains("336 of 336 buckets are known"), "{out}");
    let peak = out.lines().find(|line| line.starts_with("the highest of `requests`")).unwrap();
    assert!(peak.contains("CEST"), "{peak}");
    assert_eq!(
        out.lines().filter(|line| line.starts_with("requests ") && line.contains(" CEST ")).count(),
        24,
        "{out}"
    );
}

/// 53 % of the minutes had a line, and the others no row: only buckets that happened to be full were learnt from, without a word.
#[cfg(feature = "forecast")]
#[test]
fn a_minute_without_a_line_is_zero_and_holes_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = String::new();
    for minute in (0..4 * 1_440).filter(|minute| minute % 30 != 7) {
        let at = chrono::DateTime::from_timestamp(MONDAY + minute * 60, 0).unwrap().format("%d/%b/%Y:%H:%M:%S +0000");
        writeln!(log, r#"10.0.0.1 - - [{at}] "GET / HTTP/1.1" 200 1"#).unwrap();
    }
    std::fs::write(directory.path().join("a.log"), &log).unwrap();
    let report = import(directory.path(), &["a.log"]);
    assert_eq!((report["minutes"].as_u64(), report["empty_minutes"].as_u64()), (Some(5_568), Some(192)), "{report:#}");
    let forecast = |file: &str| {
        let args = ["forecast", file, "--column", "requests", "--step", "15m", "--horizon", "15m"];
        let (code, out, error) = run(directory.path(), &args);
        assert_eq!(code, 0, "{error}");
        out
    };
    let whole = forecast("counts.csv");
    assert!(whole.contains("384 of 384 buckets are known") && !whole.contains("--absent"), "{whole}");
    // The same as somebody else may write it, who leaves rows out.
    let counts = std::fs::read_to_string(directory.path().join("counts.csv")).unwrap();
    let holed: Vec<&str> = counts.lines().filter(|line| !line.ends_with(",0")).collect();
    std::fs::write(directory.path().join("holed.csv"), holed.join("\n")).unwrap();
    let args = ["forecast", "holed.csv", "--step", "15m", "--horizon", "15m"];
    let (_, told, _) = run(directory.path(), &args);
    assert!(
        told.contains("learnt from 192 of 384 buckets alone; if nothing came in the others, give --absent zero"),
        "{told}"
    );
}

#[test]
fn what_is_there_is_not_lost_to_a_wrong_format_or_to_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("a.log"), log()).unwrap();
    import(directory.path(), &["a.log"]);
    let before = std::fs::read(path("counts.csv")).unwrap();
    let (code, out, _) = run(directory.path(), &["import", "a.log", "--format", "json", "--to", "counts.csv"]);
    assert_eq!(code, 1);
    assert_eq!(std::fs::read(path("counts.csv")).unwrap(), before);
    for told in [
        "counts.csv is not written",
        "the first is line 1: 10.0.0.0 - - [05/Oct/2026",
        "they are read by --format combined",
    ] {
        assert!(out.contains(told), "{told}: {out}");
    }
    std::os::unix::fs::symlink("a.log", path("link.log")).unwrap();
    for (log, to) in [("a.log", "a.log"), ("a.log", "link.log"), ("link.log", "./a.log")] {
        let (code, _, error) = run(directory.path(), &["import", log, "--to", to]);
        assert!(code == 2 && error.contains("is one of the logs; write the counts to another file"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(path("a.log")).unwrap(), log());
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
        ("time_s,requests\n0,1e39\n", "`1e39` is no count; write one up to 1e15"),
        ("0,1\n60,2\n", "has no head"),
        (r#"{"time":"2026-10-10T11:55:36Z","path":"/"}"#, "headroom import a.csv --format json --to counts.csv"),
    ] {
        std::fs::write(directory.path().join("a.csv"), text).unwrap();
        let (code, out, error) = run(directory.path(), &["backtest", "a.csv"]);
        assert_eq!((code, out.as_str()), (2, ""), "{error}");
        assert!(error.contains(cause) && error.lines().count() == 1, "{cause}: {error}");
    }
    let (code, _, error) = run(directory.path(), &["backtest", "a.csv", "--column", "visits"]);
    assert_eq!(code, 2);
    assert!(error.contains("is an access log"), "{error}");
    std::fs::write(directory.path().join("a.csv"), "time_s,requests\n0,1\n").unwrap();
    let (code, _, error) = run(directory.path(), &["backtest", "a.csv", "--column", "visits"]);
    assert_eq!(code, 2);
    assert!(error.contains("has no column `visits`; its columns are time_s, requests"), "{error}");
    // It took ten gigabytes, and answered with two.
    let (code, _, error) = run(directory.path(), &["forecast", "/dev/zero"]);
    assert!(code == 2 && error.contains("it is no regular file; write what it gives into one first"), "{error}");
}

/// It measured nothing, and said that all was well.
#[cfg(feature = "forecast")]
#[test]
fn a_backtest_of_a_time_without_counts_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let counts: String = (0..96).map(|hour| format!("{},{}\n", MONDAY + hour * 3_600, hour % 24)).collect();
    std::fs::write(directory.path().join("a.csv"), format!("time_s,requests\n{counts}")).unwrap();
    for args in
        [&["--from", "2030-01-01"][..], &["--from", "2026-10-08", "--until", "2026-10-07"], &["--horizon", "7d"]]
    {
        let (code, out, error) = run(directory.path(), &[&["backtest", "a.csv"], args].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{error}");
        assert!(error.contains("it has counts from 2026-10-05T00:00:00.000Z to 2026-10-09T00"), "{error}");
    }
}
