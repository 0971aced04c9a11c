//! Dashboards and alerts: every metric that they name is exported, and every one that is exported is shown somewhere; the
//! JSON is what its sources make, and what Grafana's own types say a dashboard is; the alerts do what their tests say.
//!
//! Whether each query answers on a real Prometheus, and how the pictures look, is `make accept-see`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::skip::{cache, skip};

/// Exported and on no dashboard, in no alert; each with the reason.
const UNSHOWN: [(&str, &str); 27] = [
    ("headroom_bottleneck_blame_seconds", "the critical path by service shows the same over time"),
    ("headroom_analyse_blind", "headroom_sight has it as a state"),
    ("headroom_analyse_partial", "headroom_sight has it as a state"),
    ("headroom_analyse_bottlenecks", "headroom_bottleneck has each, with its cause"),
    ("headroom_analyse_entries_missed", "headroom_entry_objective_missed has each endpoint"),
    ("headroom_analyse_silent_failures", "headroom_silent_failure_probability_ratio has each service"),
    ("headroom_analyse_incomplete_services", "headroom_service_seen_ratio has each service"),
    ("headroom_api_sql_processes_started", "as many as statements, where all is well"),
    ("headroom_decide_rule_loads", "a reload is an entry of the log, with what changed"),
    (
        "headroom_entry_adjusted_requests",
        "for rates of one's own where spans are sampled; the gauges are corrected already",
    ),
    ("headroom_entry_missed_ratio", "headroom_entry_objective_burn_ratio is the same in parts of what is allowed"),
    ("headroom_entry_p50_seconds", "the histogram has all quantiles"),
    ("headroom_entry_p99_seconds", "the histogram has all quantiles"),
    (
        "headroom_history_waiting",
        "for an alert of one's own where a history is kept; the log says when it begins and ends",
    ),
    ("headroom_history_writes", "as many as minutes, where all is well"),
    ("headroom_metrics_scrapes", "Prometheus counts its scrapes itself"),
    ("headroom_process_start_time_seconds", "for uptime in general dashboards of processes"),
    ("headroom_receive_acknowledged_spans", "headroom_receive_spans is the same a moment later"),
    ("headroom_receive_batches", "headroom_receive_requests has what came, before it was put together"),
    (
        "headroom_service_adjusted_requests",
        "for rates of one's own where spans are sampled; the gauges are corrected already",
    ),
    ("headroom_service_busy_seconds", "headroom_pod_busy_seconds has it by pod"),
    ("headroom_service_own_seconds", "headroom_service_mean_own_seconds is what a person compares"),
    ("headroom_service_waiting_seconds", "headroom_service_mean_waiting_seconds is what a person compares"),
    ("headroom_service_low_traffic", "says in the API why a service has no verdict"),
    ("headroom_service_objective_missed", "headroom_entry_objective_missed has each endpoint"),
    ("headroom_window_evicted_spans", "what is evicted was analysed; it concerns SQL alone"),
    ("headroom_window_spans", "headroom_window_bytes is what it costs"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `headroom-*.json` of a folder, by name.
fn dashboards(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let of_headroom = entries.filter(|path| name(path).starts_with("headroom-") && name(path).ends_with(".json"));
    of_headroom.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

/// What stands where a metric may stand, without the suffixes of a family's series.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let names = words.filter(|word| word.starts_with("headroom_"));
    names.map(family).map(str::to_owned).collect()
}

fn family(series: &str) -> &str {
    ["_bucket", "_count", "_sum", "_total"].iter().find_map(|suffix| series.strip_suffix(suffix)).unwrap_or(series)
}

/// Every query of a dashboard: of panels, variables and annotations.
fn queries(dashboard: &Value) -> Vec<String> {
    match dashboard {
        Value::Object(fields) => {
            let own = ["expr", "query"].iter().filter_map(|key| Some(fields.get(*key)?.as_str()?.to_owned()));
            own.chain(fields.values().flat_map(queries)).collect()
        }
        Value::Array(elements) => elements.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}

fn shown() -> BTreeSet<String> {
    let dashboards = dashboards(&root().join("dashboards"));
    assert_eq!(dashboards.len(), 5);
    let texts = dashboards.values().flat_map(|json| queries(&serde_json::from_str(json).unwrap()));
    texts.chain([read("deploy/prometheus/rules.yaml")]).flat_map(|text| metrics_in(&text)).collect()
}

/// docs/metrics.md is made from the declarations of the metrics.
fn exported() -> BTreeSet<String> {
    metrics_in(&read("docs/metrics.md"))
}

#[test]
fn every_metric_that_is_shown_is_exported() {
    let exported = exported();
    let unknown: Vec<_> = shown().into_iter().filter(|name| !exported.contains(name)).collect();
    assert!(unknown.is_empty(), "dashboards or alerts ask for {unknown:?}, which docs/metrics.md does not have");
}

#[test]
fn every_metric_that_is_exported_is_shown_or_says_why_not() {
    let shown = shown();
    let excused: BTreeMap<_, _> = UNSHOWN.into_iter().collect();
    for name in exported() {
        let is_excused = excused.contains_key(name.as_str());
        assert!(shown.contains(&name) || is_excused, "{name}: on no dashboard, in no alert, and not in UNSHOWN");
        assert!(!(shown.contains(&name) && is_excused), "{name} is shown: take it out of UNSHOWN");
    }
}

#[test]
fn every_alert_has_a_page_and_a_test() {
    let rules = read("deploy/prometheus/rules.yaml");
    let tests = read("deploy/prometheus/rules_test.yaml");
    let alerts: Vec<_> = rules.split("  - alert: ").skip(1).collect();
    assert!(alerts.len() >= 20, "{}", alerts.len());
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        let page = alert.split("/docs/").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
        assert!(page.starts_with("runbooks/"), "{name}: no runbook_url");
        let heading = read(&format!("docs/{page}")).lines().next().unwrap_or_default().to_owned();
        assert!(heading.contains(name), "{page} is headed '{heading}', not {name}");
        assert!(tests.contains(&format!("- name: {name}\n")), "{name} has no test in rules_test.yaml");
    }
}

#[test]
fn the_chart_carries_the_same_dashboards_and_alerts() {
    let chart = root().join("deploy/helm/headroom");
    assert!(dashboards(&chart.join("dashboards")) == dashboards(&root().join("dashboards")), "run `make deploy`");
    assert_eq!(
        read("deploy/helm/headroom/prometheus/rules.yaml"),
        read("deploy/prometheus/rules.yaml"),
        "run `make deploy`"
    );
}

/// What `tests/real/setup.sh` left word of; None where it is missing, which is told.
fn part(test: &str, key: &str) -> Option<PathBuf> {
    let cache = cache().join("real");
    let env = fs::read_to_string(cache.join("env")).unwrap_or_default();
    let found = env.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(PathBuf::from);
    if found.is_none() {
        let skipped = fs::read_to_string(cache.join("skipped")).unwrap_or_default().trim().replace('\n', "; ");
        skip(test, &format!("no {key}: run tests/real/setup.sh; {skipped}"));
    }
    found
}

/// Runs a program to its end; its output, where it succeeds.
fn succeeds(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?}: {said}");
    said
}

#[test]
fn the_alerts_do_what_their_tests_say() {
    let Some(programs) = part("the_alerts_do_what_their_tests_say", "HEADROOM_PROMETHEUS") else { return };
    let files = root().join("deploy/prometheus");
    let promtool = || {
        let mut promtool = Command::new(programs.join("promtool"));
        promtool.current_dir(&files);
        promtool
    };
    succeeds(promtool().args(["check", "config", "prometheus.yaml"]));
    succeeds(promtool().args(["check", "rules", "--lint-fatal", "rules.yaml"]));
    succeeds(promtool().args(["test", "rules", "rules_test.yaml"]));
}

/// The sources beside the packages that they need, in a folder where the compiler may write.
fn workshop(modules: &Path) -> tempfile::TempDir {
    let workshop = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(modules, workshop.path().join("node_modules")).unwrap();
    let own = root().join("dashboards");
    for name in ["package.json", "tsconfig.json", "literals.json"] {
        fs::copy(own.join(name), workshop.path().join(name)).unwrap();
    }
    for folder in ["src", "src/preview"] {
        fs::create_dir(workshop.path().join(folder)).unwrap();
        for entry in fs::read_dir(own.join(folder)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                fs::copy(entry.path(), workshop.path().join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    for (name, json) in dashboards(&own) {
        fs::write(workshop.path().join(name), json).unwrap();
    }
    workshop
}

/// One test, as compiling is most of its cost.
#[test]
fn the_dashboards_are_what_their_sources_make_and_grafanas_types_allow() {
    let test = "the_dashboards_are_what_their_sources_make_and_grafanas_types_allow";
    let Some(modules) = part(test, "HEADROOM_NODE_MODULES") else { return };
    let workshop = workshop(&modules);
    let node = |args: &[&str]| succeeds(Command::new("node").args(args).current_dir(workshop.path()));
    let compiler = "node_modules/typescript/bin/tsc";

    node(&[compiler]);
    node(&["build/main.js", "made"]);
    let (made, kept) = (dashboards(&workshop.path().join("made")), dashboards(&root().join("dashboards")));
    for (name, json) in &made {
        assert!(kept.get(name) == Some(json), "{name} is not what src/ makes: run `make dashboards`");
    }
    assert_eq!(made.len(), kept.len());
    node(&[compiler, "--project", "literals.json"]);

    // The pictures, from the answers that are kept with them: the same panels at the same places, saying the same.
    let previews = root().join("dashboards/previews");
    for entry in fs::read_dir(&previews).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let drawn = workshop.path().join("drawn");
        fs::create_dir_all(&drawn).unwrap();
        if name.ends_with(".answers.json") {
            fs::copy(entry.path(), drawn.join(&name)).unwrap();
        }
    }
    node(&["build/preview/main.js", "draw", "drawn"]);
    for name in kept.keys().map(|name| name.replace(".json", ".layout.txt")) {
        let drawn = fs::read_to_string(workshop.path().join("drawn").join(&name)).unwrap();
        assert_eq!(drawn, fs::read_to_string(previews.join(&name)).unwrap(), "run `make dashboards-preview`");
    }
}
