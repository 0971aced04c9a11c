//! The machine fails: disks that are full, slow or read-only, a process that stands still, few descriptors, rules that are
//! gone. The daemon does what `docs/limits.md` says, and goes on.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use headroom::clock::{Clock, Stopwatch};
use headroom::journal::{What, read};
use reqwest::Method;
use serde_json::json;

use crate::process::{Daemon, headroom, http, pause, run};

const LISTEN_ANYWHERE: &str = r#"
tick: 100ms
receive: {grpc: "127.0.0.1:0", http: "127.0.0.1:0"}
api: {listen: "127.0.0.1:0"}
"#;

/// Far longer than anything here takes, on the busiest of machines.
const DEADLINE: Duration = Duration::from_secs(60);

fn write_config(directory: &Path, more: &str) {
    std::fs::write(directory.join("headroom.yaml"), format!("{LISTEN_ANYWHERE}{more}")).unwrap();
}

fn start(directory: &Path, more: &str) -> Daemon {
    write_config(directory, more);
    Daemon::start(directory, &["--config", "headroom.yaml"])
}

/// One good span; the answer's status.
fn send(daemon: &Daemon) -> u16 {
    let now = Clock::system().now().0;
    let span = json!({
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "POST /login", "kind": 2,
        "startTimeUnixNano": (now - 20_000_000).to_string(), "endTimeUnixNano": (now - 10_000_000).to_string()
    });
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    http(Method::POST, &format!("{}/v1/traces", daemon.http), Some(&request)).0
}

fn metric(daemon: &Daemon, name: &str) -> f64 {
    let (_, metrics) = http(Method::GET, &format!("{}/metrics", daemon.api), None);
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let stopwatch = Stopwatch::start();
    while !is_so() {
        assert!(stopwatch.elapsed() < DEADLINE, "{what}: not within {} s", DEADLINE.as_secs());
        pause(Duration::from_millis(50));
    }
}

/// Makes this many ticks more.
#[track_caller]
fn ticks_on(daemon: &Daemon, ticks: f64) {
    let before = metric(daemon, "headroom_engine_ticks_total");
    until("ticks", || metric(daemon, "headroom_engine_ticks_total") >= before + ticks);
}

/// A pipe that is full takes nothing until it is read, as a disk that hangs.
#[test]
fn a_disk_that_takes_nothing_holds_up_neither_spans_nor_ticks_and_gets_all_of_it_later() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("journal");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut disk = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    // Full from the start but for less than a page.
    let mut filler = headroom::disk::append_private(&pipe).unwrap();
    while filler.write(&[b'\n'; 4096]).is_ok() {}
    let daemon = start(directory.path(), "journal: {path: journal}\n");
    until("entries wait", || metric(&daemon, "headroom_journal_waiting") > 5.0);
    assert_eq!(send(&daemon), 200, "acknowledged all the same");
    ticks_on(&daemon, 5.0);
    assert_eq!(http(Method::GET, &format!("{}/readyz", daemon.api), None).0, 200);

    let read_on = std::thread::spawn(move || {
        let (mut text, mut part) = (Vec::new(), [0; 65_536]);
        while !text.ends_with(b"the end\n") {
            let bytes = disk.read(&mut part).unwrap();
            text.extend_from_slice(&part[..bytes]);
        }
        text
    });
    until("nothing waits", || metric(&daemon, "headroom_journal_waiting") == 0.0);
    assert_eq!(metric(&daemon, "headroom_journal_dropped"), 0.0);
    let (code, log) = daemon.terminate_and_read();
    filler.write_all(b"the end\n").unwrap();
    let text = read_on.join().unwrap();
    let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.len() > 1 && *line != b"the end\n");
    let journal = read(lines.collect::<Vec<_>>().concat().as_slice()).unwrap();
    let spans: u64 =
        journal.entries.iter().map(|e| if let What::Ingested { spans } = e.what { spans } else { 0 }).sum();
    assert_eq!((code, spans, journal.torn.len()), (0, 1, 0));
    let said = log.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.contains("the journal")));
    assert_eq!(said.count(), 1, "said once: {log:#?}");
}

#[test]
fn a_journal_that_cannot_be_opened_is_named_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Nobody, root neither, makes a file there; and nobody reads the pipe.
    for path in ["/sys/headroom.jsonl", "pipe"] {
        write_config(directory.path(), &format!("journal: {{path: {path}}}\n"));
        let (code, out, error) = run(directory.path(), &["serve", "--config", "headroom.yaml"]);
        assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1), "{error}");
        assert!(error.contains(path), "{error}");
    }
}

#[test]
fn a_process_that_stood_still_takes_what_is_sent_and_ticks_on() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = start(directory.path(), "");
    assert_eq!(send(&daemon), 200);
    daemon.send_signal("STOP");
    // Some thirty ticks.
    pause(Duration::from_secs(3));
    daemon.send_signal("CONT");
    assert_eq!(send(&daemon), 200);
    ticks_on(&daemon, 5.0);
    assert!(metric(&daemon, "headroom_engine_ticks_skipped_total") >= 10.0, "it says that it stood still");
    assert_eq!(http(Method::GET, &format!("{}/readyz", daemon.api), None).0, 200);
    assert_eq!(daemon.terminate(), 0);
}

#[test]
fn a_journal_whose_end_is_torn_is_carried_on_and_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut daemon = start(directory.path(), "journal: {path: journal.jsonl}\n");
    assert_eq!(send(&daemon), 200);
    daemon.kill();
    let whole = read(std::fs::read(&path).unwrap().as_slice()).unwrap();
    let spans = |entries: &[headroom::journal::Entry]| -> u64 {
        entries.iter().map(|e| if let What::Ingested { spans } = e.what { spans } else { 0 }).sum()
    };
    assert_eq!(spans(&whole.entries), 1, "what was acknowledged is there, whatever ended the process");
    // The kill came in the middle of a line.
    let torn = "{\"at\":1764000000000000000,\"ingested\":{\"sp";
    OpenOptions::new().append(true).open(&path).unwrap().write_all(torn.as_bytes()).unwrap();
    let daemon = start(directory.path(), "journal: {path: journal.jsonl}\n");
    assert_eq!(send(&daemon), 200);
    assert_eq!(daemon.terminate(), 0);
    let journal = read(std::fs::read(&path).unwrap().as_slice()).unwrap();
    assert_eq!((spans(&journal.entries), journal.torn.len()), (2, 1));
}

/// FIELD 55: an allocation failed and the daemon aborted, long before its own limit.
#[test]
fn where_the_system_gives_less_memory_than_was_asked_for_it_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    write_config(directory.path(), "limits: {memory: 256MiB}\n");
    let program = headroom(directory.path()).get_program().to_owned();
    let limited = "ulimit -v 524288; exec \"$0\" serve --config headroom.yaml";
    let output = Command::new("sh").arg("-c").arg(limited).arg(program).current_dir(directory.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("limits.memory is 256MiB, but this process may have 512MiB of addresses"), "{error}");
}

#[test]
fn with_few_descriptors_idle_connections_take_nothing_from_others() {
    let directory = tempfile::tempdir().unwrap();
    write_config(directory.path(), "journal: {path: journal.jsonl}\n");
    let mut daemon = Daemon::start_under(directory.path(), "ulimit -n 256", &["--config", "headroom.yaml"]);
    let said = daemon.wait_for_start("the limit of open files (ulimit -n) is too low for all connections");
    assert!(said.ends_with("raise it, or lower connections_max"), "{said}");
    let addresses = [&daemon.http, &daemon.api].map(|url| url.trim_start_matches("http://").to_owned());
    let idle: Vec<TcpStream> =
        addresses.iter().flat_map(|address| (0..200).map(move |_| TcpStream::connect(address).unwrap())).collect();
    assert_eq!(send(&daemon), 200);
    let query = json!({"query": "select 1 as n"});
    let (status, answer) = http(Method::POST, &format!("{}/api/v1/sql", daemon.api), Some(&query));
    assert_eq!(status, 200, "{answer}");
    ticks_on(&daemon, 3.0);
    drop(idle);
    let (code, log) = daemon.terminate_and_read();
    assert_eq!(code, 0);
    assert!(log.len() < 100, "{} lines", log.len());
}

#[test]
fn rules_stay_in_force_while_their_directory_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("beat.rhai"), "fn evaluate(now) { print(\"first\"); }\n").unwrap();
    let mut daemon = start(directory.path(), "rules: {directory: rules}\n");
    daemon.await_said("rule printed");
    std::fs::remove_dir_all(&rules).unwrap();
    let said = daemon.wait_for_start("rules not reloaded, the last good ones stay in force");
    assert!(said.contains("rules"), "{said}");
    ticks_on(&daemon, 5.0);
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("beat.rhai"), "fn evaluate(now) { print(\"second\"); }\n").unwrap();
    daemon.wait_for("rules reloaded");
    let (code, log) = daemon.terminate_and_read();
    let gone = log.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with("rules not")));
    assert_eq!((code, gone.count()), (0, 1), "said once, not every second");
}

#[test]
fn of_a_thousand_rules_as_many_are_in_force_as_may_be() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    let write = |n: usize| {
        std::fs::write(rules.join(format!("r{n:04}.rhai")), "fn evaluate(now) { if now.blind { } }\n").unwrap();
    };
    (0..1_000).for_each(write);
    let daemon = start(directory.path(), "rules: {directory: rules}\n");
    ticks_on(&daemon, 5.0);
    assert_eq!(metric(&daemon, "headroom_decide_rule_failures_total"), 744.0, "256 are in force");
    let (code, log) = daemon.terminate_and_read();
    let left_out =
        log.iter().filter(|line| line["error"].as_str().is_some_and(|e| e.contains("256 rules are the limit")));
    assert_eq!((code, left_out.count()), (0, 744));

    write(1_000);
    let (code, _, error) = run(directory.path(), &["serve", "--config", "headroom.yaml"]);
    assert_eq!(code, 2);
    assert!(error.contains("more than 1000 rules; name the directory of the rules alone"), "{error}");
}
