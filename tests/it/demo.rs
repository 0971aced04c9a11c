//! The loop closes: on virtual time in this process, and at a finite speed with real processes, one of which is killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use clap::Parser;
use headroom::clock::Clock;
use headroom::commands::{Answer, Cli, demo};
use headroom::journal::{self, What};
use headroom::model::Time;
use headroom::simulate::{Scenario, Simulation};
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Daemon, headroom, http, run};

/// A login storm that a test has time for.
const SMALL: &str = include_str!("demo/small.yaml");

/// The storm's first second and its replicas of `auth`, as the file has them.
const ONSET_S: f64 = 30.0;
const REPLICAS: u64 = 2;

/// A change that finds nothing to change would leave a test without its point.
fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(SMALL.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
}

/// The storm without its storm.
fn quiet(edits: &[(&str, &str)]) -> String {
    let calm = [("targets: [auth]", "targets: []"), ("factor: 7", "factor: 1.2")];
    edited(&[&calm, edits].concat())
}

/// `demo --json --speed max` in this process: what it prints.
fn printed(directory: &Path, scenario: &str, more: &[&str]) -> String {
    let file = directory.join("scenario.yaml");
    std::fs::write(&file, scenario).unwrap();
    let args = ["headroom", "demo", "--speed", "max", "--json", "--scenario", file.to_str().unwrap()];
    let mut out = Vec::new();
    let answer = Cli::try_parse_from(args.iter().chain(more)).unwrap().command.run(&mut out).unwrap();
    assert_eq!(answer, Answer::Yes);
    String::from_utf8(out).unwrap()
}

/// The actions, and the summary.
fn parsed(printed: &str) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap();
    (lines, summary)
}

fn played(scenario: &str) -> (Vec<Value>, Value) {
    parsed(&printed(tempfile::tempdir().unwrap().path(), scenario, &[]))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

const ACTION_KEYS: [&str; 8] = ["t_s", "action", "service", "pod", "from", "to", "verdict", "rule"];

const SUMMARY_KEYS: [&str; 30] = [
    "scenario",
    "seed",
    "targets",
    "expected_targets",
    "onset_s",
    "first_correct_action_s",
    "recovered_s",
    "recovered_let_in_s",
    "requests",
    "shed_share",
    "slo_violation_share",
    "slo_violation_share_before",
    "slo_violation_share_without",
    "slo_violation_share_onset",
    "wrong_actions",
    "restarts",
    "pod_seconds",
    "pod_seconds_onset",
    "pod_seconds_oracle",
    "slo_violation_share_oracle",
    "slo_violation_share_shed_onset",
    "events",
    "findings",
    "entries",
    "affected_arrived_s",
    "first_unanswered_s",
    "trouble_ends_s",
    "bad_pods",
    "needed",
    "priorities",
];

#[test]
fn the_right_service_is_scaled_and_objectives_hold_again() {
    let (actions, summary) = played(SMALL);
    assert!(actions.iter().all(|action| keys(action) == ACTION_KEYS));
    assert_eq!(keys(&summary), SUMMARY_KEYS);
    let first = &actions[0];
    assert_eq!((&first["action"], &first["service"], &first["from"]), (&json!("scale_out"), &json!("auth"), &json!(2)));
    assert_eq!((&first["verdict"], &first["rule"]), (&json!("saturated"), &json!("scale_out_bottleneck")));
    assert_eq!(summary["targets"], json!(["auth"]));
    assert_eq!(summary["targets"], summary["expected_targets"]);
    assert_eq!(summary["wrong_actions"], 0);
    assert_eq!(summary["onset_s"], ONSET_S);
    // Since the onset, while an action's time is since the start.
    assert_eq!(summary["first_correct_action_s"].as_f64().unwrap(), first["t_s"].as_f64().unwrap() - ONSET_S);
    assert!(summary["recovered_s"].is_number(), "{summary}");
    let share = |key: &str| summary[key].as_f64().unwrap();
    assert!(share("slo_violation_share") < share("slo_violation_share_without") / 2.0, "{summary}");
}

#[test]
fn the_same_twice_is_the_same_to_the_byte() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let kept = |name: &str| {
        let spans = path(name);
        let out = printed(directory.path(), SMALL, &["--spans", spans.to_str().unwrap()]);
        (out, std::fs::read(&spans).unwrap(), std::fs::read(path(&format!("{name}.journal"))).unwrap())
    };
    let (first, second) = (kept("first.jsonl"), kept("second.jsonl"));
    assert_eq!(first.0, second.0);
    assert!(first.1 == second.1 && first.2 == second.2, "the files differ");

    // What replay needs: a line of spans for each batch that the journal says was ingested.
    let journal = journal::read(first.2.as_slice()).unwrap();
    let ingested = journal.entries.iter().filter(|entry| matches!(entry.what, What::Ingested { .. })).count();
    assert_eq!(first.1.iter().filter(|&&byte| byte == b'\n').count(), ingested);

    let other = printed(directory.path(), SMALL, &["--seed", "2"]);
    assert_ne!(first.0, other, "the seed changes nothing");
}

#[test]
fn renamed_services_get_the_same_decisions_under_their_new_names() {
    // Their order by name is turned round.
    let renamed = |text: &str| {
        [("auth", "zeus"), ("ingress", "a-door"), ("content-api", "b-side"), ("session-db", "x"), ("content-db", "y")]
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    let directory = tempfile::tempdir().unwrap();
    let before = printed(directory.path(), SMALL, &[]);
    assert_eq!(renamed(&before), printed(directory.path(), &renamed(SMALL), &[]));
    assert!(before.contains("auth"));
}

#[test]
fn nothing_is_done_where_nothing_is_wrong() {
    let (actions, summary) = played(&quiet(&[]));
    assert_eq!(actions, [Value::Null; 0]);
    assert_eq!(keys(&summary), SUMMARY_KEYS);
    assert_eq!((&summary["targets"], &summary["first_correct_action_s"]), (&json!([]), &Value::Null));
    assert_eq!(summary["pod_seconds"], summary["pod_seconds_onset"]);
}

#[test]
fn a_locked_database_is_told_of_and_nothing_is_scaled() {
    let lock = "faults:\n  - slow_peer: { peer: content-db, factor: 60, from_s: 30, to_s: 400 }\n\nentries:";
    let (actions, summary) = played(&quiet(&[("entries:", lock)]));
    let said: Vec<_> = actions.iter().map(|a| (&a["action"], &a["verdict"], &a["from"], &a["to"])).collect();
    assert!(!said.is_empty());
    let notify = (&json!("notify"), &json!("slow_dependency"), &Value::Null, &Value::Null);
    assert!(said.iter().all(|said| *said == notify), "{actions:?}");
    assert_eq!((&summary["targets"], &summary["wrong_actions"]), (&json!([]), &json!(0)));
}

/// Four pods, the second of which becomes ten times slower.
fn bad_pod() -> String {
    quiet(&[
        ("    replicas: 2\n    max_replicas: 12", "    replicas: 4\n    max_replicas: 12\n    balance: round_robin"),
        ("own_ms: 200", "own_ms: 20"),
        ("rate: 12", "rate: 80"),
        ("entries:", "faults:\n  - slow_pod: { service: auth, pod: 1, factor: 10, from_s: 30, to_s: 400 }\n\nentries:"),
    ])
}

#[test]
fn a_bad_pod_is_restarted_nothing_is_scaled_and_objectives_hold_again() {
    let (actions, summary) = played(&bad_pod());
    assert!(actions.iter().any(|action| action["action"] == "notify"), "{actions:?}");
    let changes: Vec<&Value> = actions.iter().filter(|action| action["action"] != "notify").collect();
    let [restart] = changes[..] else { panic!("one change: {actions:?}") };
    assert_eq!((&restart["action"], &restart["verdict"]), (&json!("restart_pod"), &json!("bad_instance")));
    assert_eq!(summary["restarts"].as_array().unwrap().len(), 1, "{summary}");
    let told = &summary["restarts"][0];
    assert_eq!((&told["pod"], &told["was_bad"]), (&restart["pod"], &json!(true)));
    assert_eq!(summary["wrong_actions"], 0);
    assert!(summary["recovered_s"].is_number(), "{summary}");
}

#[test]
fn the_restart_of_a_healthy_pod_is_a_wrong_action() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = Scenario::from_yaml("bad-pod", &bad_pod()).unwrap();
    let at_start = Simulation::new(&scenario, demo::SEED, demo::course::START).state();
    let healthy = &at_start.workload("auth").unwrap().pods[0].name;
    let rules = directory.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    let rule = format!(
        "// Restart a certain pod.\nfn evaluate(now) {{ [restart_pod(\"auth\", \"{healthy}\").because(\"it can\")] }}\n"
    );
    std::fs::write(rules.join("restart_any.rhai"), rule).unwrap();

    let (actions, summary) = parsed(&printed(directory.path(), &bad_pod(), &["--rules", rules.to_str().unwrap()]));
    let done: Vec<_> = actions.iter().map(|action| (&action["action"], &action["pod"])).collect();
    assert_eq!(done, [(&json!("restart_pod"), &json!(healthy))]);
    assert_eq!(summary["restarts"][0]["was_bad"], false, "{summary}");
    assert_eq!(summary["wrong_actions"], 1, "{summary}");
}

/// What was to be named in a shipped scenario, soon after users felt it.
#[track_caller]
fn named(scenario: &str, args: &[&str]) {
    let until = [&["--until", "76"], args].concat();
    let (actions, summary) = parsed(&printed(tempfile::tempdir().unwrap().path(), scenario, &until));
    let findings = summary["findings"].as_array().unwrap();
    assert!(!findings.is_empty());
    for finding in findings {
        assert!(finding["first_missed_s"].is_number(), "{finding}");
        assert!(finding["delay_s"].as_f64().is_some_and(|s| s <= 5.0), "{finding}");
    }
    assert_eq!(summary["wrong_actions"], 0, "{actions:?}");
    // What it would be compared with was not played.
    assert!(summary["slo_violation_share_without"].is_null() && summary["pod_seconds_onset"].is_null());
}

#[test]
fn a_caller_that_asks_six_times_is_named() {
    let text = include_str!("../../examples/scenarios/hidden-fan-out.yaml");
    named(text, &[]);
    let (actions, _) = parsed(&printed(tempfile::tempdir().unwrap().path(), text, &["--until", "76"]));
    assert!(actions.iter().all(|action| action["service"] == "content-api"), "{actions:?}");
}

#[test]
fn who_answers_early_is_told_though_no_objective_is_missed() {
    let text = include_str!("../../examples/scenarios/early-return.yaml");
    let (actions, summary) = parsed(&printed(tempfile::tempdir().unwrap().path(), text, &["--until", "85"]));
    let told: Vec<_> = actions.iter().map(|a| (a["rule"].as_str(), a["service"].as_str())).collect();
    assert_eq!(told, [(Some("notify_early_return"), Some("exam-api"))], "{actions:?}");
    let found = &summary["findings"][0];
    assert!(found["first_missed_s"].is_null() && found["first_correct_s"].as_f64() < Some(20.0), "{found}");
    assert_eq!(found["wrong_before"], 0, "{found}");
}

#[test]
fn one_trace_in_a_hundred_and_shared_pods_are_enough() {
    let text = include_str!("../../examples/scenarios/locked-database.yaml");
    named(text, &["--pods", "shared", "--load-factor", "16", "--sampling", "0.01"]);
    // Named by requests that come near missing, before a sample shows one that does.
    let text = include_str!("../../examples/scenarios/hidden-fan-out.yaml");
    named(text, &["--load-factor", "16", "--sampling", "0.01"]);
}

#[test]
fn what_cannot_be_played_is_said_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("odd.yaml"), "services: 1\n").unwrap();
    for args in [
        &["demo", "--scenario", "no-such"][..],
        &["demo", "--scenario", "odd.yaml"],
        &["demo", "--scenario", "missing.yaml"],
        &["demo", "--speed", "0"],
        &["demo", "--speed", "max", "--spans", "no/such/place.jsonl"],
        &["demo", "--speed", "max", "--rules", "no/such/place"],
        &["cluster", "--listen", "0.0.0.0:0"],
    ] {
        let (code, out, error) = run(directory.path(), args);
        assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1), "{args:?}: {error}");
    }
}

#[test]
fn at_a_finite_speed_the_loop_closes_between_processes() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("small.yaml"), SMALL).unwrap();
    // Slow enough for a machine that compiles meanwhile: a virtual second is an eighth of a real one.
    let args = ["demo", "--scenario", "small.yaml", "--speed", "8", "--json", "--spans", "spans.jsonl"];
    let (code, out, error) = run(directory.path(), &args);
    assert_eq!((code, error.as_str()), (0, ""));
    let (actions, summary) = parsed(&out);
    assert_eq!(keys(&summary), SUMMARY_KEYS);
    assert_eq!((&summary["targets"], &summary["wrong_actions"]), (&json!(["auth"]), &json!(0)), "{actions:?}");

    let journal = std::fs::File::open(directory.path().join("spans.jsonl.journal")).unwrap();
    let journal = journal::read(BufReader::new(journal)).unwrap();
    let ingested = journal.entries.iter().filter(|entry| matches!(entry.what, What::Ingested { .. })).count();
    let spans = std::fs::read_to_string(directory.path().join("spans.jsonl")).unwrap();
    assert_eq!(spans.lines().count(), ingested);
    // Whenever it decided what, it decides the same again on virtual time.
    let (code, out, error) = run(directory.path(), &["replay", "spans.jsonl", "--journal", "spans.jsonl.journal"]);
    assert!(code == 0 && out.contains("all reproduced"), "{out}{error}");
}

/// The storm for whoever is killed in it: it lasts until headroom, which then knows no healthy time to compare with,
/// has seen enough of it.
const LONG: [(&str, &str); 3] =
    [("horizon_s: 105", "horizon_s: 205"), ("window_s: 70", "window_s: 170"), ("hold_s: 90", "hold_s: 200")];
const LONG_S: f64 = 205.0;

/// Kills in all; a scorecard asks for more than every test run can wait for.
fn kills() -> usize {
    std::env::var("HEADROOM_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3)
}

/// Kills in one run of the storm: more would leave headroom no time to do anything that could be done twice.
const KILLS_A_RUN: usize = 3;

#[test]
fn killed_at_any_instant_it_finds_its_interventions_again_and_does_none_twice() {
    // Spread evenly over the storm, whatever their number (additive recurrence with the golden ratio).
    let spread = |n: usize| ONSET_S + 2.0 + (n as f64 * 0.618_033_988_749_895).fract() * 40.0;
    let points: Vec<f64> = (1..=kills()).map(spread).collect();
    for points in points.chunks(KILLS_A_RUN) {
        let mut points = points.to_vec();
        points.sort_by(f64::total_cmp);
        survives(&points);
    }
}

/// The embedded cluster on its own; ended with its test.
pub struct Cluster {
    child: Child,
    pub url: String,
}

impl Cluster {
    pub fn start(directory: &Path, args: &[&str]) -> Cluster {
        let mut child = headroom(directory).arg("cluster").args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Cluster { child, url: url.trim().to_owned() }
    }

    pub fn get(&self, path: &str) -> Value {
        let (status, body) = http(Method::GET, &format!("{}/{path}", self.url), None);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub fn clock(&self) -> Clock {
        let clock = self.get("clock");
        let time = |key: &str| Time(clock[key].as_i64().unwrap());
        Clock::scaled(time("origin_wall_ns"), time("origin_virtual_ns"), clock["speed"].as_f64().unwrap())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays the storm and kills headroom at each point, in seconds since the scenario's start.
fn survives(points: &[f64]) {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("long.yaml"), edited(&LONG)).unwrap();
    // Its port stays the same over restarts, as a Service's address does.
    let otlp = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cluster = Cluster::start(
        directory,
        &["--scenario", "long.yaml", "--speed", "8", "--otlp-grpc", &format!("http://{otlp}")],
    );
    // It lives on wall time: a machine that stalls for a moment makes a pod look bad, and this is about what was scaled.
    let rules = directory.join("rules");
    std::fs::create_dir(&rules).unwrap();
    for rule in ["scale_out_bottleneck.rhai", "scale_in_idle.rhai"] {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules").join(rule);
        std::fs::copy(shipped, rules.join(rule)).unwrap();
    }
    let config = json!({
        "mode": "enforce",
        "rules": {"directory": "rules"},
        "objectives": [
            {"entry": "ingress POST /login", "latency": "800ms"},
            {"entry": "ingress GET /page", "latency": "300ms"},
        ],
        "receive": {"grpc": otlp, "http": "127.0.0.1:0"},
        "api": {"listen": "127.0.0.1:0"},
        "journal": {"path": "journal.jsonl"},
        "cluster": {"embedded": {"url": cluster.url}},
    });
    std::fs::write(directory.join("headroom.yaml"), config.to_string()).unwrap();
    let start = || Daemon::start(directory, &["--config", "headroom.yaml"]);

    let clock = cluster.clock();
    let origin = headroom::commands::demo::course::START;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let wait_until = |t_s: f64| runtime.block_on(clock.sleep_until(origin + Duration::from_secs_f64(t_s)));

    let mut daemon = start();
    for &point in points {
        wait_until(point);
        drop(daemon); // by SIGKILL
        daemon = start();
    }
    wait_until(LONG_S);
    let all_taken = (0..100).any(|_| {
        let live = cluster.get("live");
        runtime.block_on(clock.sleep(Duration::from_secs(1)));
        live["finished"] == true && live["waiting"] == 0
    });
    assert!(all_taken, "{points:?}: {}", cluster.get("live"));

    let story = format!("{points:?}\n{:#}\n{:#}", cluster.get("changes"), cluster.get("state"));
    check_changes(&cluster, &daemon, &story);
    let auth = &cluster.get("state")["workloads"][0];
    assert_eq!(auth["service"], "auth");
    assert!(auth["replicas"].as_u64().unwrap() > REPLICAS, "{story}");
    assert!(cluster.get("measures")["recovered_s"].is_number(), "{}\n{story}", cluster.get("measures"));
    assert_eq!(daemon.terminate(), 0);
}

/// By the cluster's own log: none done twice, each closed, replaced, or in the hands of the headroom that lives.
fn check_changes(cluster: &Cluster, daemon: &Daemon, story: &str) {
    let changes = cluster.get("changes");
    let state = cluster.get("state");
    let (_, living) = http(Method::GET, &format!("{}/api/v1/interventions", daemon.api), None);
    let (mut ids, mut versions) = (BTreeSet::new(), BTreeSet::new());
    let (mut replicas, mut open) = (REPLICAS, None);
    for write in changes.as_array().unwrap() {
        assert!(versions.insert(write["resource_version"].as_u64().unwrap()), "a version was written twice: {story}");
        let change = &write["change"];
        assert_eq!(change["service"], "auth", "{story}");
        match change["change"].as_str().unwrap() {
            "scale" => {
                let id = change["record"]["id"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} was done twice: {story}");
                assert_eq!(change["from"], replicas, "a step was not made from what is: {story}");
                replicas = change["to"].as_u64().unwrap();
                open = Some(id.to_owned());
            }
            "close" => assert_eq!(open.take().as_deref(), change["intervention"].as_str(), "{story}"),
            other => panic!("{other}"),
        }
    }
    assert!(!ids.is_empty(), "{story}");
    let recorded = state["workloads"][0]["intervention"]["id"].as_str().map(str::to_owned);
    assert_eq!(recorded, open, "{story}");
    if let Some(open) = open {
        assert!(living.contains(&open), "nobody cares for {open}: {living}\n{story}");
    }
}
