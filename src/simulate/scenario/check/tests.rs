//! What a file comes to mean: steps, load, rates.

use super::*;

/// A graph of one service, with an operation and traffic as given.
fn scenario(operation: &str, traffic: &str) -> Result<Scenario, super::super::ScenarioError> {
    let text = format!(
        "description: one service
horizon_s: 100
truth: {{ verdict: healthy, onset_s: 10, window_s: 60 }}
services:
  a:
    pods: {{ workers: {{ threads: 1, queue: 1 }} }}
    replicas: 1
    max_replicas: 1
    operations:
      GET /a: {operation}
peers:
  db: {{ latency_ms: 2, sigma: 0, connections: 1 }}
entries:
  - {{ service: a, operation: GET /a, objective: {{ latency_ms: 10 }}, traffic: {traffic} }}
"
    );
    Scenario::from_yaml("one", &text)
}

fn steps(operation: &str) -> Vec<Step> {
    let call = "{ peer: db, span: q";
    let operation = operation.replace("{q", call);
    scenario(&operation, "{ rate: 1 }").expect("valid").services[0].operations[0].steps.clone()
}

#[test]
fn own_time_goes_before_between_and_after_the_calls() {
    assert_eq!(steps("{ own_ms: 1 }"), [Step::Work(1.0)]);
    let split = "split: { before: 1, between: 2, after: 1 }";
    assert_eq!(
        steps(&format!("{{ own_ms: 1, {split}, internal: render, calls: [{{q, count: 3 }}] }}")),
        [
            Step::Work(0.25),
            Step::Calls(vec![0]),
            Step::Work(0.25),
            Step::Calls(vec![0]),
            Step::Work(0.25),
            Step::Calls(vec![0]),
            Step::Internal(0.25),
        ]
    );
    assert_eq!(
        steps(&format!("{{ own_ms: 1, {split}, parallel: true, calls: [{{q }}, {{q, count: 2 }}] }}")),
        [Step::Work(0.75), Step::Calls(vec![0, 1, 1]), Step::Work(0.25),]
    );
}

/// 8 ms of own time and 2 ms in the database (the network takes nothing) at 50/s are half a thread.
#[test]
fn load_is_rate_times_held_time() {
    let operation = "{ own_ms: 8, sigma: 0, calls: [{ peer: db, span: q }] }";
    let mut scenario = scenario(operation, "{ rate: 50 }").expect("valid");
    scenario.network_ns = 0;
    assert!((scenario.utilisation(0.0)[0] - 0.5).abs() < 1e-9);
}

#[test]
fn csv_replaces_the_rate() {
    let csv = |rows: &str| scenario("{ own_ms: 1 }", &format!("{{ rate: 1, shapes: [{{ csv: \"{rows}\" }}] }}"));
    assert_eq!(csv("0,60\\n10,600\\n").expect("valid").entries[0].table, [(0.0, 1.0), (10.0, 10.0)]);
    let error = csv("0,60\\n0,70\\nx\\n").expect_err("not rising, no number").to_string();
    assert!(error.contains("shapes[0]: line 2 is not") && error.contains("line 3"), "{error}");
}

/// The page that people read shows a file that works.
#[test]
fn the_documented_scenario_passes_the_check() {
    let page = include_str!("../../../../docs/scenarios.md");
    let file = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the page has a file");
    let scenario = Scenario::from_yaml("documented", file).expect("valid");
    assert_eq!(scenario.faults.len(), 12);
    assert_eq!(scenario.expected_findings(), [(2, "unreachable"), (1, "degraded")]);
}

/// Whoever has no source reads the page alone: each key of the format stands there.
#[test]
fn every_key_of_a_scenario_is_documented() {
    let page = include_str!("../../../../docs/scenarios.md");
    let (format, faults) = (include_str!("../file.rs"), include_str!("../file/faults.rs"));
    let keys = format.lines().chain(faults.lines()).filter_map(|line| {
        let (key, _) = line.trim().trim_start_matches("pub ").split_once(": ")?;
        let is_key = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        (is_key && line.ends_with(',')).then_some(key)
    });
    let words: Vec<&str> = page.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).collect();
    let unknown: Vec<&str> = keys.filter(|key| !words.contains(key)).collect();
    assert_eq!(unknown, [""; 0], "docs/scenarios.md does not name these");
}

/// FIELD 49: what cannot be meant was taken silently, or told with a number of 309 digits.
#[test]
fn what_cannot_be_meant_is_refused_by_its_path() {
    let text = "description: x
horizon_s: 100
services:
  a:
    pods: { workers: { threads: 1, queue: 1 } }
    replicas: 2
    max_replicas: 9
    operations:
      GET /a: { own_ms: 1 }
entries:
  - { service: a, operation: GET /a, objective: { latency_ms: 10 }, traffic: { rate: 5, shapes: [{ csv: \"0,60\" }] } }
  - { service: a, operation: GET /a, objective: { latency_ms: 1e300 }, traffic: { rate: 1, shapes: [{ ramp: { from_s: 9, to_s: 3, factor: 2 } }] } }
faults:
  - slow_pod: { service: a, pod: 2, factor: 8, from_s: 10, to_s: 20 }
  - slow_operation: { service: a, operation: GET /a, factor: 8, from_s: 100, to_s: 200 }
";
    insta::assert_snapshot!(Scenario::from_yaml("odd", text).expect_err("odd").to_string());
}

/// FIELD 49: 'invalid floating point at line N' named no key.
#[test]
fn a_value_that_cannot_be_read_is_shown_with_its_key() {
    let error = scenario("{ own_ms: soon }", "{ rate: 1 }").expect_err("no number").to_string();
    assert!(error.contains("own_ms: soon"), "{error}");
}

/// FIELD 27: a scenario without `truth` was refused.
#[test]
fn a_scenario_need_not_know_the_truth() {
    let text = "description: x
horizon_s: 100
services:
  a: { pods: { workers: { threads: 1, queue: 1 } }, replicas: 1, max_replicas: 1, operations: { GET /a: { own_ms: 1 } } }
entries:
  - { service: a, operation: GET /a, objective: { latency_ms: 10 }, traffic: { rate: 1 } }
";
    let truth = Scenario::from_yaml("plain", text).expect("valid").truth;
    assert_eq!((truth.verdict.as_str(), truth.onset_s, truth.window_s), ("healthy", 0.0, 100.0));
}
