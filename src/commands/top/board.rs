//! What `headroom top` shows: endpoints against their objectives, and services with what holds them back, as rows of text.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::model::{Time, printable};

/// An endpoint against its objective.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    pub entry: String,
    pub requests_per_s: f64,
    pub p99_ms: f64,
    pub objective_ms: f64,
    pub missed_share: f64,
    pub error_share: f64,
    pub missed: bool,
}

/// A service, and what was done to it last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    pub service: String,
    pub verdict: String,
    pub arrivals_per_s: f64,
    /// Of its ready pods; None until the capacity of one is learnt.
    pub capacity_per_s: Option<f64>,
    /// 1 less load over capacity.
    pub headroom: Option<f64>,
    pub waiting_ms: f64,
    pub p99_ms: f64,
    pub error_share: f64,
    pub replicas: u64,
    pub ready: u64,
    pub needed: Option<u64>,
    pub last_action: Option<String>,
}

/// Everything of one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Board {
    pub at: String,
    pub mode: String,
    pub summary: String,
    pub paused: bool,
    pub entries: Vec<Entry>,
    pub services: Vec<Service>,
}

/// By what services are sorted, and what key chooses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// What holds requests back first, then the least headroom
    #[default]
    Verdict,
    Name,
    /// The most arrivals first
    Load,
    /// The least headroom first
    Headroom,
    /// The longest waiting first
    Waiting,
}

impl Sort {
    pub fn by_key(key: u8) -> Option<Sort> {
        match key {
            b'v' => Some(Sort::Verdict),
            b'n' => Some(Sort::Name),
            b'l' => Some(Sort::Load),
            b'h' => Some(Sort::Headroom),
            b'w' => Some(Sort::Waiting),
            _ => None,
        }
    }
}

impl Board {
    /// From what the API answers to `status`, `findings` and `decisions`.
    pub fn of(status: &Value, findings: &Value, decisions: &Value) -> Board {
        let text = |of: &Value, key: &str| of[key].as_str().unwrap_or_default().to_owned();
        let number = |of: &Value, key: &str| of[key].as_f64().unwrap_or_default();
        let findings = &findings["findings"];
        let list = |key: &str| findings[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut verdicts: BTreeMap<String, String> = BTreeMap::new();
        for one in list("bottlenecks").iter().chain(list("silent_failures")) {
            verdicts.entry(text(one, "service")).or_insert_with(|| text(one, "verdict"));
        }
        let otherwise = if findings["sight"]["level"] == "partial" { "partial" } else { "healthy" };
        let last = last_actions(decisions);
        let entry = |of: &Value| Entry {
            entry: text(of, "entry"),
            requests_per_s: number(of, "requests_per_s"),
            p99_ms: number(of, "p99_ms"),
            objective_ms: number(of, "objective_ms"),
            missed_share: number(of, "missed_share"),
            error_share: number(of, "error_share"),
            missed: of["missed"] == true,
        };
        let service = |of: &Value| {
            let name = text(of, "service");
            let (ready, arrivals_per_s) = (of["ready"].as_u64().unwrap_or_default(), number(of, "arrivals_per_s"));
            let capacity_per_s = of["capacity_per_pod_per_s"].as_f64().map(|per_pod| per_pod * ready as f64);
            Service {
                verdict: verdicts.get(&name).cloned().unwrap_or_else(|| otherwise.to_owned()),
                arrivals_per_s,
                capacity_per_s,
                headroom: capacity_per_s.filter(|capacity| *capacity > 0.0).map(|of| 1.0 - arrivals_per_s / of),
                waiting_ms: number(of, "waiting_ms"),
                p99_ms: number(of, "p99_ms"),
                error_share: number(of, "error_share"),
                replicas: of["replicas"].as_u64().unwrap_or_default(),
                ready,
                needed: of["replicas_needed"].as_u64(),
                last_action: last.get(&name).cloned(),
                service: name,
            }
        };
        let mut entries: Vec<Entry> = list("entries").iter().map(entry).collect();
        // What is missed first, then what is closest to it.
        let share = |entry: &Entry| if entry.objective_ms > 0.0 { entry.p99_ms / entry.objective_ms } else { 0.0 };
        entries.sort_by(|a, b| b.missed.cmp(&a.missed).then_with(|| share(b).total_cmp(&share(a))));
        Board {
            at: text(status, "at"),
            mode: text(status, "mode"),
            summary: text(status, "summary"),
            paused: status["pauses"].as_array().is_some_and(|pauses| !pauses.is_empty()),
            entries,
            services: list("services").iter().map(service).collect(),
        }
    }

    pub fn sort(&mut self, sort: Sort) {
        let headroom = |of: &Service| of.headroom.unwrap_or(f64::INFINITY);
        let well = |of: &Service| matches!(of.verdict.as_str(), "healthy" | "partial");
        self.services.sort_by(|a, b| {
            let order = match sort {
                Sort::Verdict => well(a).cmp(&well(b)).then_with(|| headroom(a).total_cmp(&headroom(b))),
                Sort::Name => std::cmp::Ordering::Equal,
                Sort::Load => b.arrivals_per_s.total_cmp(&a.arrivals_per_s),
                Sort::Headroom => headroom(a).total_cmp(&headroom(b)),
                Sort::Waiting => b.waiting_ms.total_cmp(&a.waiting_ms),
            };
            order.then_with(|| a.service.cmp(&b.service))
        });
    }

    /// Services as rows, headed.
    pub fn service_rows(&self, wide: bool) -> Vec<Vec<String>> {
        let mut head = vec!["SERVICE", "VERDICT", "LOAD/S", "CAPACITY/S", "HEADROOM", "REPLICAS"];
        let more = ["WAITING", "P99", "ERRORS"];
        if wide {
            head.extend(more);
        }
        head.push("LAST ACTION");
        let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
        for of in &self.services {
            let mut row = vec![
                printable(&of.service).into_owned(),
                of.verdict.replace('_', " "),
                format!("{:.1}", of.arrivals_per_s),
                of.capacity_per_s.map_or_else(unknown, |capacity| format!("{capacity:.0}")),
                of.headroom.map_or_else(unknown, |share| format!("{:.0}%", share * 100.0)),
                replicas(of),
            ];
            if wide {
                row.extend([milliseconds(of.waiting_ms), milliseconds(of.p99_ms), percent(of.error_share)]);
            }
            row.push(of.last_action.as_deref().map_or_else(unknown, |action| printable(action).into_owned()));
            rows.push(row);
        }
        rows
    }

    /// Endpoints as rows, headed.
    pub fn entry_rows(&self) -> Vec<Vec<String>> {
        let head = ["ENDPOINT", "REQUESTS/S", "P99", "OBJECTIVE", "TOO SLOW OR FAILED", "FAILED", "STATE"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(self.entries.iter().map(|of| {
            vec![
                printable(&of.entry).into_owned(),
                format!("{:.1}", of.requests_per_s),
                milliseconds(of.p99_ms),
                if of.objective_ms > 0.0 { milliseconds(of.objective_ms) } else { unknown() },
                percent(of.missed_share),
                percent(of.error_share),
                if of.missed { "missed" } else { "met" }.to_owned(),
            ]
        }));
        rows
    }
}

/// The last scaling or change of each service, and when.
fn last_actions(decisions: &Value) -> BTreeMap<String, String> {
    let mut last = BTreeMap::new();
    for decision in decisions["decisions"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let outcome = decision["outcome"].as_str().unwrap_or_default();
        let proposal = &decision["proposal"];
        let (action, service) = (proposal["action"].as_str(), proposal["service"].as_str());
        let (Some(action), Some(service), "permitted" | "observed") = (action, service, outcome) else { continue };
        let step = match (&decision["from"], &decision["to"]) {
            (Value::Number(from), Value::Number(to)) if from != to => format!(" {from} -> {to}"),
            _ => String::new(),
        };
        let would = if outcome == "observed" { "would " } else { "" };
        // Nanoseconds, as in the journal.
        let at = Time(decision["at"].as_i64().unwrap_or_default()).to_string();
        let clock = at.split_once('T').map_or(at.as_str(), |(_, clock)| clock.split('.').next().unwrap_or(clock));
        let told = format!("{would}{}{step} at {clock}", action.replace('_', " "));
        // Newest first, as they come.
        last.entry(service.to_owned()).or_insert(told);
    }
    last
}

fn replicas(of: &Service) -> String {
    let pods = if of.ready == of.replicas { of.replicas.to_string() } else { format!("{}/{}", of.ready, of.replicas) };
    match of.needed {
        Some(needed) if needed != of.replicas => format!("{pods} needs {needed}"),
        Some(_) | None => pods,
    }
}

fn unknown() -> String {
    "-".to_owned()
}

fn milliseconds(ms: f64) -> String {
    if ms >= 10_000.0 { format!("{:.1} s", ms / 1e3) } else { format!("{ms:.0} ms") }
}

fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.001 { "<0.1%".to_owned() } else { format!("{:.1}%", share * 100.0) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::table::aligned;

    fn board() -> Board {
        let service = |service: &str, arrivals: f64, capacity: Option<f64>| {
            json!({
                "service": service, "arrivals_per_s": arrivals, "capacity_per_pod_per_s": capacity, "ready": 2,
                "replicas": 2, "replicas_needed": if service == "auth" { Some(6) } else { None },
                "waiting_ms": 12.0, "p99_ms": 350.0, "error_share": 0.0004,
            })
        };
        let findings = json!({"findings": {
            "bottlenecks": [{"service": "auth", "verdict": "saturated"}],
            "sight": {"level": "clear"},
            "services": [service("cart", 9.0, None), service("auth", 300.0, Some(100.0)), service("web", 300.0, Some(400.0))],
            "entries": [
                {"entry": "web GET /", "requests_per_s": 10.0, "p99_ms": 100.0, "objective_ms": 500.0, "missed": false},
                {"entry": "web POST /login", "requests_per_s": 300.0, "p99_ms": 12_400.0, "objective_ms": 300.0,
                 "missed_share": 0.2, "error_share": 0.01, "missed": true},
            ],
        }});
        let decisions = json!({"decisions": [
            {"at": 1_764_000_187_000_000_000_i64, "outcome": "observed", "from": 2, "to": 6,
             "proposal": {"action": "scale_out", "service": "auth"}},
            {"at": 1_764_000_127_000_000_000_i64, "outcome": "permitted", "from": 4, "to": 2,
             "proposal": {"action": "scale_in", "service": "auth"}},
            {"at": 1_764_000_120_000_000_000_i64, "outcome": "refused", "proposal": {"action": "scale_out", "service": "cart"}},
        ]});
        let status =
            json!({"at": "2026-11-24T14:03:08.000Z", "mode": "observe", "summary": "auth is saturated", "pauses": []});
        Board::of(&status, &findings, &decisions)
    }

    #[test]
    fn what_is_wrong_stands_first() {
        let mut board = board();
        board.sort(Sort::Verdict);
        insta::assert_snapshot!(
            [aligned(&board.entry_rows()), aligned(&board.service_rows(false))].concat().join("\n")
        );
    }

    #[test]
    fn each_key_sorts_by_what_it_says() {
        let mut board = board();
        let mut first = |key: u8| {
            board.sort(Sort::by_key(key).unwrap());
            board.services[0].service.clone()
        };
        assert_eq!([b'v', b'n', b'l', b'h'].map(&mut first), ["auth", "auth", "auth", "auth"]);
        board.services.retain(|of| of.service != "auth");
        let mut first = |key: u8| {
            board.sort(Sort::by_key(key).unwrap());
            board.services[0].service.clone()
        };
        assert_eq!([b'n', b'l', b'h'].map(&mut first), ["cart", "web", "web"]);
    }
}
