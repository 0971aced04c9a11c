//! The command line: what it says, and with which exit code.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;

use headroom::action::{Action, ScaleOut};
use headroom::decide::Proposal;
use headroom::guard::{Decision, Outcome};
use headroom::journal::{Entry, What};
use headroom::model::{ServiceId, Time};
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Daemon, http, run};

const COMMANDS: [&str; 23] = [
    "serve",
    "demo",
    "diagnose",
    "doctor",
    "score",
    "draw",
    "replay",
    "sql",
    "queries",
    "status",
    "top",
    "notify-test",
    "explain",
    "pause",
    "resume",
    "give-back",
    "check-config",
    "config-schema",
    "report",
    "schedule",
    "crd",
    "completion",
    "version",
];

/// Whose pages are checked, and kept nowhere; two of them are of the feature `forecast`.
const NOT_KEPT: &[&str] = if cfg!(feature = "forecast") { &["import", "forecast", "backtest"] } else { &["import"] };

/// One `ExportTraceServiceRequest` in OTLP JSON: one span of one service.
fn request(service: &str) -> Value {
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
        "scopeSpans": [{"spans": [{
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "POST /login", "kind": 2,
            "startTimeUnixNano": "1764000000000000000", "endTimeUnixNano": "1764000000007000000"
        }]}]
    }]})
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}

/// Three spans of two services, as the Collector's file exporter writes them.
fn traces(directory: &Path) {
    let lines: Vec<String> = ["auth", "auth", "ingress"].map(|service| request(service).to_string()).into();
    write(directory, "traces.jsonl", &lines.join("\n"));
}

/// Ports of the system's choice, a journal, and ticks as fast as they may be.
const LISTEN_ANYWHERE: &str = r#"
tick: 100ms
receive: {grpc: "127.0.0.1:0", http: "127.0.0.1:0"}
api: {listen: "127.0.0.1:0"}
journal: {path: journal.jsonl}
"#;

#[test]
fn help_is_a_page() {
    let here = Path::new(".");
    let (code, top, _) = run(here, &["--help"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(if cfg!(feature = "forecast") { "help" } else { "help_without_forecasts" }, top);
    for command in COMMANDS.iter().chain(NOT_KEPT).copied() {
        let (code, page, _) = run(here, &[command, "--help"]);
        assert_eq!(code, 0, "{command}");
        assert!(page.contains("Examples:"), "{command} has no examples:\n{page}");
        assert!(page.contains("\nExit codes: 0 "), "{command} does not tell its exit codes:\n{page}");
        assert!(top.contains(command), "{command} is not on the first page");
        if !NOT_KEPT.contains(&command) {
            insta::assert_snapshot!(format!("help_{command}"), page);
        }
    }
}

#[test]
fn a_usage_error_is_one_line_and_exit_code_2() {
    for args in [&["serv"][..], &["serve", "--confg", "x"], &["sql"], &["explain", "d-1", "--server", "::"]] {
        let (code, out, error) = run(Path::new("."), args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {error}");
        assert!(error.starts_with("headroom: ") && error.lines().count() == 1, "{args:?}: {error}");
    }
    // FIELD 26: the tip ran into the error.
    let (_, _, error) = run(Path::new("."), &["serve", "--confg", "x"]);
    insta::assert_snapshot!(error.trim(), @"headroom: unexpected argument '--confg' found; a similar argument exists: '--config'; see `headroom --help`");
}

#[test]
fn a_demo_serves_its_api_to_this_machine_alone_and_only_while_it_plays() {
    let directory = tempfile::tempdir().unwrap();
    for (args, cause) in [
        (["demo", "--speed", "max", "--api", "127.0.0.1:8080"], "nothing to serve at --speed max"),
        (["demo", "--speed", "4", "--api", "0.0.0.0:8080"], "0.0.0.0:8080 is not a loopback address"),
    ] {
        let (code, _, error) = run(directory.path(), &args);
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(cause), "{error}");
    }
}

#[test]
fn version_and_manual_pages_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let (code, out, _) = run(directory.path(), &["version"]);
    assert_eq!((code, out.as_str()), (0, concat!("headroom ", env!("CARGO_PKG_VERSION"), " (no release)\n")));
    let (code, out, error) = run(directory.path(), &["man", "."]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(out, format!("{} pages in .\n", 24 + NOT_KEPT.len()));
    assert!(std::fs::read_to_string(directory.path().join("headroom-status.1")).unwrap().contains(".SH SYNOPSIS"));
}

/// FIELD 16, 17: an empty and a broken directory of rules were no problem, nor was a replay with one.
#[test]
fn rules_that_do_not_load_are_told_before_anything_runs() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    write(directory.path(), "headroom.yaml", "rules: {directory: rules}\n");
    traces(directory.path());
    let check = || run(directory.path(), &["check-config", "headroom.yaml"]);
    let replay = || run(directory.path(), &["replay", "traces.jsonl", "--rules", "rules"]);
    let (code, out, _) = check();
    assert!(code == 1 && out.contains("holds no rule"), "{out}");
    write(&rules, "a.rhai", "fn evaluate(now) { scale_out(\"a\" }");
    write(&rules, "b.rhai", "fn evaluate(now) { now.bottlenecks.filter(|b| b.verdict == \"satured\") }");
    for (code, out, error) in [check(), replay()] {
        assert_eq!((code, out.lines().count()), (1, 2), "{out}{error}");
        assert!(out.contains("a.rhai:1:34: ") && out.contains("b.rhai:1:60: no verdict is called `satured`"), "{out}");
    }
}

/// What `serve` would load, and objectives against recorded spans.
#[test]
fn check_config_looks_beyond_the_file() {
    let directory = tempfile::tempdir().unwrap();
    traces(directory.path());
    write(directory.path(), "cert.pem", "no certificate");
    let config = "receive: {tls: {cert: cert.pem, key: cert.pem}}\nobjectives: [{entry: \"auth POST /logn\"}]\n";
    write(directory.path(), "headroom.yaml", config);
    let (code, out, error) = run(directory.path(), &["check-config", "headroom.yaml", "--spans", "traces.jsonl"]);
    assert_eq!((code, out.lines().count()), (1, 2), "{out}{error}");
    assert!(out.contains("receive.tls: ") && out.contains("did you mean `auth POST /login`?"), "{out}");
}

/// FIELD 52: it ended at once with 'it is tried again at the next tick'.
#[test]
fn serve_starts_while_the_cluster_cannot_be_reached() {
    let directory = tempfile::tempdir().unwrap();
    // Port 9 (discard) answers nobody on a machine of this century.
    let config = format!("{LISTEN_ANYWHERE}cluster: {{embedded: {{url: \"http://127.0.0.1:9\"}}}}\n");
    write(directory.path(), "headroom.yaml", &config);
    let mut daemon = Daemon::start(directory.path(), &["--config", "headroom.yaml"]);
    let said = daemon.wait_for_start("cannot reach the cluster: ");
    assert!(said.contains("starting all the same, blind to it"), "{said}");
    assert_eq!(daemon.terminate(), 0);
}

#[test]
fn completion_is_written_for_three_shells() {
    for (shell, word) in [("bash", "complete"), ("zsh", "#compdef headroom"), ("fish", "complete -c headroom")] {
        let (code, script, _) = run(Path::new("."), &["completion", shell]);
        assert_eq!(code, 0);
        assert!(script.contains(word) && script.contains("check-config"), "{shell}");
        assert!(script.contains("login-storm"), "{shell} knows the scenarios");
    }
}

#[test]
fn check_config_says_no_with_every_problem() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "headroom.yaml", "objctives: []\nmode: on\nwindow: {memory: lots}\n");
    let (code, out, _) = run(directory.path(), &["check-config", "headroom.yaml"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(out);

    let (code, out, _) = run(directory.path(), &["check-config", "headroom.yaml", "--json"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &document["ok"], document["problems"].as_array().unwrap().len()), (1, &json!(false), 3));

    let (code, _, error) = run(directory.path(), &["check-config", "missing.yaml"]);
    assert_eq!((code, error.lines().count()), (2, 1), "{error}");
}

#[test]
fn every_example_configuration_passes() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut checked = 0;
    for file in std::fs::read_dir(&examples).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if name.starts_with("headroom") && name.ends_with(".yaml") {
            let (code, out, error) = run(&examples, &["check-config", &name]);
            assert_eq!(code, 0, "{name}: {out}{error}");
            checked += 1;
        }
    }
    assert!(checked > 0);
}

#[test]
fn the_schema_is_one_that_editors_read() {
    let (code, out, error) = run(Path::new("."), &["config-schema"]);
    assert_eq!(code, 0, "{error}");
    let schema: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let cooldown = &schema["properties"]["guard"]["properties"]["scale_out_cooldown"];
    assert_eq!((&cooldown["default"], &cooldown["type"]), (&json!("3s"), &json!(["string", "null"])));

    // The reference is a configuration.
    let directory = tempfile::tempdir().unwrap();
    let (_, reference, _) = run(directory.path(), &["config-schema", "--as", "reference"]);
    write(directory.path(), "headroom.yaml", &reference);
    let (code, out, _) = run(directory.path(), &["check-config", "headroom.yaml"]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn serve_refuses_a_configuration_it_does_not_understand() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "headroom.yaml", "recieve: {}\n");
    let (code, _, error) = run(directory.path(), &["serve", "--config", "headroom.yaml"]);
    assert_eq!(code, 2);
    insta::assert_snapshot!(error, @"headroom: headroom.yaml: recieve: unknown key; did you mean `receive`?");
}

#[test]
fn sql_asks_files() {
    let directory = tempfile::tempdir().unwrap();
    traces(directory.path());
    let query =
        "select service, count(*) as n, max(duration_ns) as slowest_ns from spans group by service order by service";
    let (code, out, error) = run(directory.path(), &["sql", query, "--file", "traces.jsonl"]);
    assert_eq!(code, 0, "{error}");
    insta::assert_snapshot!(out, @"
    +---------+---+------------+
    | service | n | slowest_ns |
    +---------+---+------------+
    | auth    | 2 | 7000000    |
    | ingress | 1 | 7000000    |
    +---------+---+------------+
    ");
    let (_, out, _) = run(directory.path(), &["sql", query, "--file", "traces.jsonl", "--json"]);
    let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows[0], json!({"service": "auth", "n": 2, "slowest_ns": 7_000_000}));
}

#[test]
fn sql_errors_are_one_line() {
    let directory = tempfile::tempdir().unwrap();
    traces(directory.path());
    write(directory.path(), "broken.jsonl", "{\"resourceSpans\": [");
    for (query, file) in [
        ("selec 1", "traces.jsonl"),
        ("select nothing from spans", "traces.jsonl"),
        ("drop table spans", "traces.jsonl"),
        ("select 1", "missing.jsonl"),
        ("select 1", "broken.jsonl"),
    ] {
        let (code, out, error) = run(directory.path(), &["sql", query, "--file", file]);
        assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1), "{query} on {file}: {error}");
    }
}

#[test]
fn explain_reads_a_journal() {
    let directory = tempfile::tempdir().unwrap();
    let decision = Decision {
        id: "d-1764000000-0".parse().unwrap(),
        at: Time::from_secs(1_764_000_000),
        proposal: Proposal {
            origin: "scale_out_bottleneck".into(),
            action: Action::ScaleOut(ScaleOut { service: ServiceId::from("auth"), to: 8, cooldown_s: None }),
            because: "ingress POST /login: auth is saturated".into(),
            verdict: "saturated".into(),
        },
        outcome: Outcome::Observed { from: 2, to: 8, refused_by: vec![] },
        notes: vec![],
    };
    let entry = Entry { at: decision.at, what: What::Decided { decision } };
    write(directory.path(), "journal.jsonl", &format!("{}\n", serde_json::to_string(&entry).unwrap()));
    let explain = |asked: &str| run(directory.path(), &["explain", asked, "--journal", "journal.jsonl"]);

    let (code, story, error) = explain("d-1764000000-0");
    assert_eq!(code, 0, "{error}");
    assert!(story.contains("auth is saturated") && story.contains("scale_out_bottleneck"), "{story}");
    assert_eq!(explain("16:00").1.lines().last(), story.lines().last(), "the same by its time");
    let (code, out, _) = explain("d-1-1");
    assert_eq!((code, out.lines().count()), (1, 1), "{out}");
    let (code, _, error) = explain("yesterday");
    assert_eq!((code, error.lines().count()), (2, 1), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    // Port 9 (discard) answers nobody on a machine of this century.
    let args = ["pause", "--by", "ada", "--reason", "test", "--server", "http://127.0.0.1:9"];
    let (code, _, error) = run(Path::new("."), &args);
    assert_eq!((code, error.lines().count()), (2, 1), "{error}");
    assert!(error.contains("cannot reach http://127.0.0.1:9") && error.contains("headroom serve"), "{error}");
}

#[test]
fn serve_lives_from_its_first_line_to_its_last_tick() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "headroom.yaml", LISTEN_ANYWHERE);
    let daemon = Daemon::start(directory.path(), &["--config", "headroom.yaml", "--ports-file", "ports.json"]);
    let get = |path: &str| http(Method::GET, &format!("{}{path}", daemon.api), None);

    let ports: Value = serde_json::from_slice(&std::fs::read(directory.path().join("ports.json")).unwrap()).unwrap();
    assert_eq!(daemon.api, format!("http://{}", ports["api"].as_str().unwrap()));
    assert_eq!(get("/livez"), (200, "ok\n".into()));
    assert_eq!(get("/readyz"), (200, "ok\n".into()));
    let (status, body) = get("/api/v1/bottleneck");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["bottleneck"]["verdict"]), (200, &json!("blind")), "no span came yet");
    assert!(get("/metrics").1.contains("headroom_engine_ticks_total"));

    let server = ["--server", &daemon.api];
    let (code, out, error) = run(directory.path(), &[&["sql", "show tables"][..], &server].concat());
    assert!(code == 0 && out.contains("spans"), "{out}{error}");
    let pause = ["pause", "--by", "ada", "--reason", "load test"];
    let (code, out, error) = run(directory.path(), &[&pause[..], &server].concat());
    assert_eq!((code, out.as_str()), (0, "paused everything by ada (claimed): load test\n"), "{error}");
    // FIELD 15: the status right after did not show it.
    let (code, out, error) = run(directory.path(), &[&["status"][..], &server].concat());
    assert!(code == 0 && out.contains("\npaused        everything, by ada (claimed): load test\n"), "{out}{error}");
    let for_a_while = ["pause", "auth", "--by", "ada", "--reason", "migration", "--for", "30m", "-o", "yaml"];
    let (code, out, error) = run(directory.path(), &[&for_a_while[..], &server].concat());
    assert!(code == 0 && out.contains("service: auth") && out.contains("until:"), "{out}{error}");
    let (code, out, error) =
        run(directory.path(), &[&["resume", "--by", "bob", "--reason", "over"][..], &server].concat());
    assert_eq!((code, out.as_str()), (0, "resumed everything by bob (claimed): over\n"), "{error}");
    let (code, out, error) = run(directory.path(), &[&["explain", "now"][..], &server].concat());
    // Nothing was decided, and it said that the journal was empty.
    assert!(
        code == 0 && out.contains("no spans received") && out.contains("Nothing was decided since"),
        "{out}{error}"
    );
    let (code, out, error) = run(directory.path(), &[&["explain", "d-0-1"][..], &server].concat());
    assert_eq!((code, out.lines().count()), (1, 1), "{out}{error}");

    // What is acknowledged is in the engine, and so in the journal, however soon the end comes.
    let (status, answer) = http(Method::POST, &format!("{}/v1/traces", daemon.http), Some(&request("auth")));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(daemon.terminate(), 0);
    let journal = std::fs::read_to_string(directory.path().join("journal.jsonl")).unwrap();
    let entries: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(entries.iter().any(|entry| entry["what"] == "ingested" && entry["spans"] == 1), "{journal}");
    assert!(
        entries.iter().any(|entry| entry["what"] == "paused" && entry["by"] == "ada (claimed): load test"),
        "{journal}"
    );
    assert!(entries.iter().any(|entry| entry["what"] == "ticked"), "{journal}");
}

#[test]
fn a_second_signal_leaves_at_once() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "headroom.yaml", LISTEN_ANYWHERE);
    let mut daemon = Daemon::start(directory.path(), &["--config", "headroom.yaml"]);
    // A request that never ends keeps the first signal's drain busy. `100 Continue` says that it has begun.
    let mut sender = TcpStream::connect(daemon.http.trim_start_matches("http://")).unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 100\r\nexpect: 100-continue\r\n\r\n";
    sender.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(&sender).read_line(&mut answer).unwrap();
    assert!(answer.contains("100 Continue"), "{answer}");
    daemon.signal();
    daemon.wait_for("draining; a second signal leaves at once");
    assert_eq!(daemon.terminate(), 2);
}

#[test]
fn a_port_in_use_is_named() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "headroom.yaml", LISTEN_ANYWHERE);
    let daemon = Daemon::start(directory.path(), &["--config", "headroom.yaml"]);
    let taken = daemon.api.trim_start_matches("http://");
    let config = LISTEN_ANYWHERE.replace(r#"listen: "127.0.0.1:0""#, &format!("listen: \"{taken}\""));
    write(directory.path(), "second.yaml", &config);
    let (code, _, error) = run(directory.path(), &["serve", "--config", "second.yaml"]);
    assert_eq!((code, error.lines().count()), (2, 1), "{error}");
    assert!(error.starts_with(&format!("headroom: cannot listen on {taken} for the API")), "{error}");
}

#[test]
fn rules_are_loaded_again_when_they_change() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    let rule = |because: &str| format!("fn evaluate(now) {{ [] }} // {because}\n");
    write(&rules, "nothing.rhai", &rule("first"));
    write(directory.path(), "headroom.yaml", &format!("{LISTEN_ANYWHERE}rules: {{directory: rules}}\n"));
    let mut daemon = Daemon::start(directory.path(), &["--config", "headroom.yaml"]);
    write(&rules, "nothing.rhai", &rule("second"));
    assert_eq!(daemon.wait_for("rules reloaded")["rules"], 1);
    assert_eq!(daemon.terminate(), 0);
}
