//! An operator's own queries: on the command line, at the start, on reload, and what becomes of the findings.

use std::fs;
use std::path::Path;

use headroom::analyse::rollup::sql::{SHIPPED, query};
use headroom::analyse::{Bottleneck, Overrides};
use headroom::commands::demo::course::{self, START};
use headroom::engine::{Effect, Engine, Event, Settings};
use headroom::journal::{Entry, What};
use headroom::model::Time;
use headroom::receive::decode;
use headroom::receive::files::OtlpJsonLines;
use headroom::simulate::{Scenario, Simulation};
use prost::Message;
use serde_json::Value;

use crate::process::{Daemon, headroom, http, run};

/// The store saturates at 30 s.
const SCENARIO: &str = "
description: a step at 30 s
horizon_s: 60
truth: { targets: [store], verdict: saturated, onset_s: 30, window_s: 16 }
services:
  ingress:
    pods: { shared: { cores: 8, burst_cores: 8, in_flight_max: 20000 } }
    replicas: 2
    max_replicas: 2
    operations:
      GET /item: { own_ms: 1, calls: [{ service: store, operation: GET /item }] }
  store:
    pods: { workers: { threads: 4, queue: 200 } }
    replicas: 2
    max_replicas: 2
    operations:
      GET /item: { own_ms: 40, sigma: 0.2 }
entries:
  - service: ingress
    operation: GET /item
    objective: { latency_ms: 300 }
    traffic: { rate: 90, shapes: [{ step: { at_s: 30, factor: 6 } }] }
";

const END_S: i64 = 42;

/// The shipped `blame` without any row: then nobody can be named.
fn blame_of_nobody() -> String {
    let shipped = query("blame").unwrap().text;
    let changed = shipped.replace("WHERE s.exclusive_ns >", "WHERE false AND s.exclusive_ns >");
    assert_ne!(changed, shipped);
    changed
}

fn overriding(name: &str, text: String) -> Overrides {
    Overrides::from([(name.to_owned(), text)])
}

/// Runs the scenario; the queries change at a second. The worst bottleneck at the end, and the journal.
fn played(
    settings: Settings,
    reload: Option<(i64, Overrides)>,
    mut kept: Option<&mut OtlpJsonLines<&mut Vec<u8>>>,
) -> (Bottleneck, Vec<Entry>) {
    let scenario = Scenario::from_yaml("step", SCENARIO).unwrap();
    let mut simulation = Simulation::new(&scenario, 1, START);
    let mut engine = Engine::new(START, settings, &[]).unwrap();
    let mut entries = Vec::new();
    for second in 1..=END_S {
        let now = Time(START.0 + second * course::TICK_NS);
        for delivery in simulation.run_until(now) {
            if let Some(kept) = &mut kept {
                kept.write(&delivery.request).unwrap();
            }
            let options = decode::Options { assume_weight: Some(1.0), ..decode::Options::default() };
            let bytes = delivery.request.encode_to_vec();
            engine.ingest(delivery.at, decode::decode(decode::Encoding::Protobuf, &bytes, &options).unwrap().batch);
        }
        if let Some((at, queries)) = &reload
            && *at == second
        {
            engine.observe(now, Event::Queries(queries.clone()));
        }
        engine.observe(now, Event::Cluster(simulation.state()));
        for effect in engine.tick(now) {
            if let Effect::Record(entry) = effect {
                entries.push(entry);
            }
        }
    }
    (engine.findings().bottleneck(), entries)
}

fn settings(queries: Overrides) -> Settings {
    let scenario = Scenario::from_yaml("step", SCENARIO).unwrap();
    let mut settings = course::settings(&scenario);
    settings.analyse.queries = queries;
    settings
}

#[test]
fn an_own_query_changes_the_finding_from_the_start_and_on_reload() {
    let own = || overriding("blame", blame_of_nobody());
    let (shipped, _) = played(settings(Overrides::new()), None, None);
    assert_eq!(shipped.service, "store");
    let (from_the_start, _) = played(settings(own()), None, None);
    assert_ne!(from_the_start.service, "store", "{from_the_start:?}");
    let (reloaded, entries) = played(settings(Overrides::new()), Some((35, own())), None);
    assert_eq!(reloaded.service, from_the_start.service);
    let named =
        |entry: &Entry| matches!(&entry.what, What::Found { findings } if findings.bottleneck().service == "store");
    assert!(entries.iter().any(named), "until then the store is named");
    assert!(entries.iter().any(|entry| matches!(&entry.what, What::Queries { queries } if *queries == own())));
}

#[test]
fn a_replay_reloads_the_queries_when_the_journal_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut spans = Vec::new();
    let reload = Some((35, overriding("blame", blame_of_nobody())));
    let (_, entries) = played(settings(Overrides::new()), reload, Some(&mut OtlpJsonLines::new(&mut spans)));
    fs::write(directory.path().join("spans.jsonl"), spans).unwrap();
    let journal: Vec<String> = entries.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect();
    fs::write(directory.path().join("journal.jsonl"), journal.concat()).unwrap();
    let (code, out, error) = run(directory.path(), &["replay", "spans.jsonl", "--journal", "journal.jsonl"]);
    assert_eq!(code, 0, "{out}{error}");
}

#[test]
fn a_kind_that_does_not_exist_and_a_null_stop_decisions_with_a_reason() {
    let failed = |text: String| {
        let (_, entries) = played(settings(overriding("blame", text)), None, None);
        let error = entries.iter().find_map(|entry| match &entry.what {
            What::AnalysisFailed { error } => Some(error.clone()),
            _ => None,
        });
        error.expect("the analysis fails")
    };
    let shipped = query("blame").unwrap().text;
    let other_kind =
        shipped.replace("s.peer, s.kind,\n", "s.peer, 'idle' AS kind,\n").replace("s.peer, s.kind\n", "s.peer, kind\n");
    assert_ne!(other_kind, shipped);
    let told = [
        failed(other_kind),
        failed(shipped.replace(
            "s.exclusive_ns,\n       s.traces\n",
            "s.exclusive_ns,\n       NULLIF(s.traces, s.traces) AS traces\n",
        )),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    query blame answered the kind `idle`, which does not exist; the kinds are own, queue, peer, error, refused and gave_up
    query blame answered NULL in column `traces`; wrap it in COALESCE(…)
    ");
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::create_dir_all(directory.join("queries")).unwrap();
    fs::write(directory.join("queries").join(name), text).unwrap();
}

const CONFIG: &str = r#"
tick: 100ms
receive: {grpc: "127.0.0.1:0", http: "127.0.0.1:0"}
api: {listen: "127.0.0.1:0"}
journal: {path: journal.jsonl}
analyse: {queries: queries}
"#;

#[test]
fn serve_and_check_config_refuse_a_wrong_query_and_show_the_line() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("headroom.yaml"), CONFIG).unwrap();
    write(directory.path(), "durations.sql", &query("durations").unwrap().text.replace("d.requests", "d.request"));
    write(directory.path(), "blamed.sql", query("blame").unwrap().text);
    write(directory.path(), "README.md", "not a query");

    let (code, out, _) = run(directory.path(), &["check-config", "headroom.yaml"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!("wrong_queries", out);
    let (code, out, _) = run(directory.path(), &["check-config", "headroom.yaml", "--json"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, document["problems"].as_array().unwrap().len()), (1, 2));
    assert_eq!(document["problems"][1]["line"], 3);
    let (code, _, error) = run(directory.path(), &["serve", "--config", "headroom.yaml"]);
    assert!(code == 2 && error.contains("queries/durations.sql:3:"), "{error}");

    fs::remove_file(directory.path().join("queries/blamed.sql")).unwrap();
    write(directory.path(), "durations.sql", query("durations").unwrap().text);
    let (code, out, _) = run(directory.path(), &["check-config", "headroom.yaml"]);
    assert_eq!((code, out.as_str()), (0, "headroom.yaml: no problem\n"));
}

#[test]
fn serve_reloads_queries_and_keeps_the_last_good_ones() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("headroom.yaml"), CONFIG).unwrap();
    fs::create_dir(directory.path().join("queries")).unwrap();
    let mut daemon = Daemon::start(directory.path(), &["--config", "headroom.yaml"]);
    // Before the first span nothing is known, and where people look first that is said.
    let (status, text) = http(reqwest::Method::GET, &format!("{}/api/v1/bottleneck", daemon.api), None);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["bottleneck"]["verdict"]), (200, &Value::from("blind")), "{answer}");

    write(directory.path(), "blame.sql", &blame_of_nobody());
    assert_eq!(daemon.wait_for("queries reloaded")["overridden"], "blame");
    write(directory.path(), "blame.sql", "SELECT now()");
    let said = daemon.wait_for_start("queries not reloaded, the last good ones stay");
    assert!(said.contains("queries/blame.sql:1:8: now() gives another value each time"), "{said}");
    let (code, _) = daemon.terminate_and_read();
    assert_eq!(code, 0);
    let journal = fs::read_to_string(directory.path().join("journal.jsonl")).unwrap();
    assert_eq!(journal.matches(r#""what":"queries""#).count(), 1, "a wrong text is no input");
}

#[test]
fn the_shipped_queries_are_printed_with_their_schema() {
    let here = Path::new(".");
    let (code, out, _) = run(here, &["queries"]);
    assert_eq!((code, out.lines().count()), (0, SHIPPED.len()));
    insta::assert_snapshot!("queries", out);
    let (code, page, _) = run(here, &["queries", "durations"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!("queries_durations", page);
    let (_, text, _) = run(here, &["queries", "blame", "--text"]);
    assert_eq!(text, query("blame").unwrap().text, "to the byte, as a start for one's own");
    let (_, document, _) = run(here, &["queries", "blame", "--json"]);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["order"][1], "blame_ns DESC");
    assert_eq!(document["output"].as_array().unwrap().len(), query("blame").unwrap().columns.len());
    let wrong = headroom(here).args(["queries", "blamed"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn the_documentation_describes_every_query_table_and_column() {
    let page = include_str!("../../docs/queries.md");
    for query in &SHIPPED {
        assert!(page.contains(&format!("| `{}` | {} |", query.name, query.answers)), "{}", query.name);
    }
    for input in headroom::analyse::rollup::sql::INPUTS.iter() {
        assert!(page.contains(&format!("### `{}`", input.name)), "{}", input.name);
        for (name, kind, meaning) in input.columns() {
            let row = format!("| `{name}` | {kind} | {meaning} |");
            assert!(page.contains(&row), "docs/queries.md lacks a row of {}: {row}", input.name);
        }
    }
}
