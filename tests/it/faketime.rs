//! The clock of the real daemon is really set while it serves: by libfaketime, which tells it another time of day and
//! leaves the monotonic clock alone, as settimeofday(2) does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use headroom::clock::{Clock, Stopwatch};
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Daemon, http, pause};
use crate::skip::{cache, skip};

/// One after the other: an hour back, five seconds back, five forward, an hour forward.
const STEPS_S: [i64; 4] = [-3_600, -5, 5, 3_600];

/// Services that send, each a sender of its own: the median of them decides.
const SERVICES: usize = 5;

const CONFIG: &str = r#"
tick: 1s
receive: {grpc: "127.0.0.1:0", http: "127.0.0.1:0"}
api: {listen: "127.0.0.1:0"}
journal: {path: journal.jsonl}
"#;

/// Where the library is that tells another time; None, and the test is skipped, where it could not be had.
fn library(test: &str) -> Option<PathBuf> {
    let env = std::fs::read_to_string(cache().join("real/env")).unwrap_or_default();
    let brought = env.lines().find_map(|line| line.strip_prefix("HEADROOM_FAKETIME=")).map(PathBuf::from);
    let installed = ["x86_64", "aarch64"]
        .map(|machine| PathBuf::from(format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1")));
    let found = brought.into_iter().chain(installed).find(|path| path.exists());
    if found.is_none() {
        skip(test, "there is no libfaketime: install Debian's package faketime, or run tests/real/setup.sh");
    }
    found
}

/// A daemon whose clock can be set, and services that send it spans.
struct Served {
    daemon: Daemon,
    time_file: PathBuf,
    /// How far the senders' clocks are from the real time, in seconds.
    senders_s: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
    sending: Option<JoinHandle<()>>,
}

impl Served {
    fn start(directory: &Path, library: &Path) -> Served {
        let time_file = directory.join("faketime");
        std::fs::write(&time_file, "+0").unwrap();
        std::fs::write(directory.join("headroom.yaml"), CONFIG).unwrap();
        let environment = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", time_file.to_str().unwrap()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_CACHE_DURATION", "1"),
        ];
        let daemon = Daemon::start_with(directory, &["--config", "headroom.yaml"], &environment);
        let (senders_s, stop) = (Arc::<AtomicI64>::default(), Arc::<AtomicBool>::default());
        let sending = std::thread::spawn({
            let (url, senders_s, stop) = (format!("{}/v1/traces", daemon.http), senders_s.clone(), stop.clone());
            move || send(&url, &senders_s, &stop)
        });
        let served = Served { daemon, time_file, senders_s, stop, sending: Some(sending) };
        served.await_sight(Duration::from_secs(60), "the first requests");
        served
    }

    /// Whole or not at all: the library reads it at any time.
    fn set_own_clock(&self, offset_s: i64) {
        let beside = self.time_file.with_extension("new");
        std::fs::write(&beside, format!("{offset_s:+}")).unwrap();
        std::fs::rename(beside, &self.time_file).unwrap();
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = http(Method::GET, &format!("{}/api/v1/{path}", self.daemon.api), None);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn tick(&self) -> u64 {
        self.get("status")["tick"].as_u64().unwrap()
    }

    /// Whether the last tick knew of all services' requests.
    fn sees(&self) -> bool {
        let entries = self.get("entries");
        entries["blind"] == false && entries["entries"].as_array().unwrap().len() == SERVICES
    }

    #[track_caller]
    fn await_sight(&self, limit: Duration, after: &str) {
        let waited = Stopwatch::start();
        while !self.sees() {
            assert!(waited.elapsed() < limit, "sees nothing {limit:?} after {after}: {:#}", self.get("findings"));
            pause(Duration::from_millis(100));
        }
    }

    /// Ticks go on at their pace, and each sees all requests.
    #[track_caller]
    fn check_goes_on(&self, ticks: u64, after: &str) {
        let (first, waited) = (self.tick(), Stopwatch::start());
        while self.tick() < first + ticks {
            // Two ticks more than it takes, for a machine that compiles meanwhile.
            let limit = Duration::from_secs(ticks + 2);
            assert!(waited.elapsed() < limit, "{} ticks in {limit:?} after {after}", self.tick() - first);
            assert!(self.sees(), "after {after}: {:#}", self.get("findings"));
            pause(Duration::from_millis(100));
        }
    }

    /// Steps that the journal tells of, in seconds.
    fn followed(&self) -> Vec<i64> {
        let text = std::fs::read_to_string(self.time_file.with_file_name("journal.jsonl")).unwrap();
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries
            .filter(|entry| entry["what"] == "clock_stepped")
            .map(|entry| entry["seconds"].as_i64().unwrap())
            .collect()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.sending.take().map(JoinHandle::join);
    }
}

/// Ten requests a second to each service, sent five times a second.
fn send(url: &str, ahead_s: &AtomicI64, stop: &AtomicBool) {
    let clock = Clock::system();
    let mut number: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        let now_ns = clock.now().0 + ahead_s.load(Ordering::Relaxed) * 1_000_000_000;
        let resources: Vec<Value> = (0..SERVICES)
            .map(|service| {
                let spans: Vec<Value> = (0..2)
                    .map(|_| {
                        number += 1;
                        let (start, end) = (now_ns - 30_000_000, now_ns - 10_000_000);
                        json!({
                            "traceId": format!("{number:032x}"), "spanId": format!("{number:016x}"), "name": "GET /", "kind": 2,
                            "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end.to_string(),
                        })
                    })
                    .collect();
                let name = json!({"key": "service.name", "value": {"stringValue": format!("service-{service}")}});
                json!({"resource": {"attributes": [name]}, "scopeSpans": [{"spans": spans}]})
            })
            .collect();
        // One that is refused is not sent again: there are others.
        let _ = http(Method::POST, url, Some(&json!({"resourceSpans": resources})));
        pause(Duration::from_millis(200));
    }
}

#[test]
fn setting_the_daemons_own_clock_stops_nothing() {
    let Some(library) = library("setting_the_daemons_own_clock_stops_nothing") else { return };
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start(directory.path(), &library);
    let mut offset_s = 0;
    for step_s in STEPS_S {
        offset_s += step_s;
        served.set_own_clock(offset_s);
        served.check_goes_on(5, &format!("a step of {step_s} s"));
    }
    assert_eq!(served.followed(), [0; 0], "there was nothing to follow");
}

#[test]
fn when_all_clocks_are_set_the_daemon_follows() {
    let Some(library) = library("when_all_clocks_are_set_the_daemon_follows") else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut served = Served::start(directory.path(), &library);
    // A second of the library's, and some that tell what is usual.
    served.check_goes_on(5, "the start");
    let mut offset_s = 0;
    for (index, step_s) in STEPS_S.into_iter().enumerate() {
        offset_s += step_s;
        let waited = Stopwatch::start();
        served.set_own_clock(offset_s);
        served.senders_s.store(offset_s, Ordering::Relaxed);
        while served.followed().len() <= index {
            assert!(waited.elapsed() < Duration::from_secs(12), "a step of {step_s} s is not followed");
            pause(Duration::from_millis(100));
        }
        // What came between the step and the following lies at the wrong time until the fast window has passed it.
        pause(Duration::from_secs(12).saturating_sub(waited.elapsed()));
        served.check_goes_on(5, &format!("following a step of {step_s} s"));
    }
    let followed = served.followed();
    let is_as_set = followed.iter().zip(STEPS_S).all(|(followed, set)| (followed - set).abs() <= 1);
    assert!(is_as_set && followed.len() == STEPS_S.len(), "{followed:?}");
    served.daemon.wait_for_start("all senders' clocks stepped together");
}
