//! The headroom that is under test: a real `headroom serve`, asked over its API.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::ensemble::free_ports;
use super::probe;
use crate::process::Daemon;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/real-sources/headroom.yaml");

/// The root operation of every trace here. The service is written with cluster and namespace, as its spans give them.
pub const ENTRY: &str = "loopback/shop/ingress GET /checkout/{item}";

/// Requests in the last three seconds that are more than a beginning, at the lowest rate of these tests.
const REQUESTS_MIN: u64 = 50;

pub struct Target {
    daemon: Option<Daemon>,
    directory: TempDir,
    grpc: u16,
    http: u16,
    api: u16,
}

impl Target {
    /// The example's configuration (its objective lies far from a healthy request and from a slowed one, so that a
    /// machine that stalls now and then is no incident), with ports of its own and a journal.
    pub fn start() -> Target {
        Target::with("")
    }

    /// The same with further sections of the configuration.
    pub fn with(more: &str) -> Target {
        let [grpc, http, api] = free_ports();
        let directory = tempfile::tempdir().unwrap();
        let mut config = fs::read_to_string(EXAMPLE).unwrap();
        config += &format!(
            "receive: {{grpc: \"127.0.0.1:{grpc}\", http: \"127.0.0.1:{http}\"}}\n\
             api: {{listen: \"127.0.0.1:{api}\"}}\njournal: {{path: journal.jsonl}}\n"
        );
        config += more;
        fs::write(directory.path().join("headroom.yaml"), config).unwrap();
        let mut target = Target { daemon: None, directory, grpc, http, api };
        target.start_again();
        target
    }

    pub fn start_again(&mut self) {
        self.daemon = Some(Daemon::start(self.directory.path(), &["--config", "headroom.yaml"]));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// Room for the other programs' messages.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn grpc(&self) -> String {
        format!("127.0.0.1:{}", self.grpc)
    }

    pub fn http(&self) -> String {
        format!("127.0.0.1:{}", self.http)
    }

    pub fn api(&self, path: &str) -> Option<Value> {
        probe::get_json(&format!("http://127.0.0.1:{}/api/v1/{path}", self.api))
    }

    /// The worst bottleneck; None when there is none.
    pub fn bottleneck(&self) -> Option<Value> {
        let bottleneck = self.api("bottleneck")?["bottleneck"].take();
        (!["healthy", "blind"].map(Value::from).contains(&bottleneck["verdict"])).then_some(bottleneck)
    }

    /// Whether requests flow, as fast as promised.
    pub fn is_healthy(&self) -> bool {
        let findings = self.api("findings").unwrap_or_default()["findings"].take();
        let entries = findings["entries"].as_array().cloned().unwrap_or_default();
        let flows = |entry: &Value| entry["entry"] == ENTRY && entry["requests"].as_u64() >= Some(REQUESTS_MIN);
        findings["bottlenecks"] == json!([]) && entries.iter().any(flows)
    }

    /// Whether enough healthy time has been learnt to compare with.
    pub fn has_baseline(&self) -> bool {
        self.sql("select count(*) as n from baseline_paths")[0]["n"].as_u64() > Some(0)
    }

    pub fn sql(&self, query: &str) -> Vec<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/sql", self.api);
        let body = probe::ask(Method::POST, &url, Some(&json!({ "query": query })));
        let answer: Value = serde_json::from_str(&body.unwrap_or_else(|| panic!("no answer to {query}"))).unwrap();
        assert_eq!(answer["truncated"], false, "{query}");
        answer["rows"].as_array().unwrap().clone()
    }

    /// Spans acknowledged in this life, up to this instant; the tables are those of the last tick.
    pub fn acknowledged(&self) -> u64 {
        self.metric("headroom_receive_acknowledged_spans_total")
    }

    /// Spans that came after their trace was analysed.
    pub fn late(&self) -> u64 {
        self.metric("headroom_window_late_spans_total")
    }

    pub fn metric(&self, name: &str) -> u64 {
        let page = probe::get(&format!("http://127.0.0.1:{}/metrics", self.api)).unwrap_or_default();
        probe::series(&page, name)
    }

    pub fn spans(&self) -> u64 {
        self.sql("select count(*) as n from spans")[0]["n"].as_u64().unwrap()
    }

    /// Different spans of each trace.
    pub fn traces(&self) -> BTreeMap<String, u64> {
        let rows = self.sql("select trace_id, count(distinct span_id) as n from spans group by trace_id");
        let pair = |row: &Value| (row["trace_id"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap());
        rows.iter().map(pair).collect()
    }

    /// Every line of the journal, of all lives.
    pub fn journal(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.directory.path().join("journal.jsonl")).unwrap();
        // What kill -9 cut off in the middle of a line is not valid, nor the empty line that ends it.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Spans that the journal says were taken.
    pub fn journaled_spans(&self) -> u64 {
        let journal = self.journal();
        journal.iter().filter(|entry| entry["what"] == "ingested").filter_map(|entry| entry["spans"].as_u64()).sum()
    }

    /// Every service that was ever named, by the journal.
    pub fn ever_named(&self) -> Vec<String> {
        let mut services: Vec<String> = self.named().map(|[service, _]| service).collect();
        services.sort();
        services.dedup();
        services
    }

    /// The verdicts on all services, in the order of the ticks, by the journal.
    pub fn verdicts(&self) -> Vec<String> {
        let mut verdicts: Vec<String> = self.named().map(|named| named.join(": ")).collect();
        verdicts.dedup();
        verdicts
    }

    fn named(&self) -> impl Iterator<Item = [String; 2]> {
        let found = self.journal().into_iter().filter(|entry| entry["what"] == "found");
        let bottlenecks = |entry: Value| entry["findings"]["bottlenecks"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        found.flat_map(bottlenecks).map(move |named| [text(&named["service"]), text(&named["verdict"])])
    }
}
