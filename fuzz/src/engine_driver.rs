//! Drives the whole engine with arbitrary spans, events and times, and checks after every call what must always hold.
//!
//! The bytes are a program: each op takes some of them, as a cheap assembler would. So a fuzzer that changes one byte
//! changes one call, and any bytes at all are some program. Two shells run it: the fuzz target `engine`, and the test
//! `engine_fuzz` of the integration tests, which draws its bytes by a seed.
//!
//! It knows the engine by its public calls alone. Cluster states are written as JSON, as a cluster of version 0.1.0
//! would have sent them.

use headroom::analyse::{self, Objective};
use headroom::decide::{RuleSource, shipped};
use headroom::engine::{Effect, Engine, Event, Settings};
use headroom::guard::{ActError, Floor, Mode, Permit};
use headroom::journal::Entry;
use headroom::model::spans::{Kind, Status};
use headroom::model::{ClockStep, ClusterState, DecisionId, SpanBatch, SpanBuilder, SpanId, SpanRow, Time, TraceId};
use headroom::window;
use serde_json::{Value, json};

/// 2026-01-05 08:00:00 UTC. Where programs begin; their clocks go where they like.
const START: i64 = 1_767_600_000 * SECOND;
const SECOND: i64 = 1_000_000_000;

/// Calls of one program. A longer one finds nothing that this does not, and takes a fuzzer minutes.
const CALLS_MAX: usize = 200;

const SERVICES: [&str; 6] = ["front", "back", "db-proxy", "", "_other", "a/b c\u{202e}\n"];
const OPERATIONS: [&str; 4] = ["GET /", "POST /pay", "", "_other"];
const PODS: [&str; 5] = ["back-5f-a", "back-5f-b", "back-7c-c", "", "front-1"];
const VERSIONS: [&str; 3] = ["", "v1", "v2"];
const PEERS: [&str; 3] = ["", "orders-db", "back"];
const STATUSES: [&str; 5] = ["", "200", "503", "99999999999", "teapot"];
const WEIGHTS: [Option<f64>; 4] = [Some(1.0), None, Some(100.0), Some(1e15)];

/// From the clock: what is usual, clocks that step, and clocks that are broken.
const STEPS: [i64; 12] = [
    SECOND,
    SECOND,
    SECOND,
    SECOND,
    0,
    SECOND / 4,
    -5 * SECOND,
    5 * SECOND,
    -3600 * SECOND,
    3600 * SECOND,
    400 * 86_400 * SECOND,
    -400 * 86_400 * SECOND,
];
/// `i64::MIN` is no clock: [`Time::MIN`] stands for 'before all others'.
const BROKEN_CLOCKS: [i64; 4] = [0, -SECOND, i64::MAX, i64::MIN / 2];

const DURATIONS: [i64; 8] = [0, 1, SECOND / 1000, SECOND / 50, SECOND / 2, 20 * SECOND, 90_000 * SECOND, i64::MAX / 2];

/// What is left of the program. Past its end every byte is 0.
struct Program<'a>(&'a [u8]);

impl Program<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn number(&mut self) -> i64 {
        i64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }
}

/// One call of the engine, as it can be made again.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a few hundred in a run")]
enum Call {
    Ingest(Time, SpanBatch),
    Observe(Time, Event),
    WindowBytes(usize),
    Tick(Time),
}

fn settings(program: &mut Program<'_>) -> Settings {
    let objective =
        |entry: &str, latency_ns| Objective { entry: entry.into(), latency_ns, quantile: 0.99, errors: 0.01 };
    let latency_ns = program.one(&[300_000_000, 1, 3_600 * SECOND]);
    Settings {
        mode: Mode::Enforce,
        window: window::Config {
            bytes_max: program.one(&[8 << 20, 1 << 20, 64 << 10, 0]),
            spans_per_second: program.one(&[None, Some(1_000), Some(20), Some(0)]),
            trace_spans_max: program.one(&[10_000, 100, 3]),
            open_traces_max: program.one(&[1_000, 20, 1]),
            ..window::Config::default()
        },
        analyse: analyse::Config {
            objectives: vec![objective("front GET /", latency_ns), objective("*", 500_000_000)],
            ..analyse::Config::default()
        },
        ..Settings::default()
    }
}

struct Driver<'a> {
    program: Program<'a>,
    clock: Time,
    /// What the window may hold at present.
    bytes_max: usize,
    open_traces_max: usize,
    paused: bool,
    engine: Engine,
    calls: Vec<Call>,
    effects: Vec<Vec<Effect>>,
    /// Permits that nobody has answered yet.
    permits: Vec<Permit>,
    /// The requests of sound senders are numbered.
    next_trace: u64,
}

/// Runs the program and says how many permits it was given, for a caller that wants to know whether it reaches them.
///
/// # Panics
/// When the engine breaks a promise: that is the finding.
pub fn run(bytes: &[u8]) -> usize {
    let mut program = Program(bytes);
    let settings = settings(&mut program);
    let rules = shipped();
    let new = || Engine::new(Time(START), settings.clone(), &rules).expect("the shipped queries plan");
    let mut driver = Driver {
        program,
        clock: Time(START),
        bytes_max: settings.window.bytes_max,
        open_traces_max: settings.window.open_traces_max,
        paused: false,
        engine: new(),
        calls: Vec::new(),
        effects: Vec::new(),
        permits: Vec::new(),
        next_trace: 1,
    };
    driver.play();
    let permits = driver.permits.len();
    let Driver { calls, effects, .. } = driver;

    // The same calls in the same order give the same effects: what `replay` relies on.
    let mut again = new();
    let effects_again: Vec<Vec<Effect>> = calls.into_iter().filter_map(|call| apply(&mut again, call)).collect();
    for (tick, (first, second)) in effects.iter().zip(&effects_again).enumerate() {
        // By their text: what is not a number equals nothing.
        let (first, second) = (format!("{first:?}"), format!("{second:?}"));
        assert!(first == second, "tick {tick} is another the second time:\n{first}\n{second}");
    }
    permits
}

/// The effects of a tick; None for the other calls.
fn apply(engine: &mut Engine, call: Call) -> Option<Vec<Effect>> {
    match call {
        Call::Ingest(at, batch) => engine.ingest(at, batch),
        Call::Observe(at, event) => engine.observe(at, event),
        Call::WindowBytes(bytes) => engine.set_window_bytes_max(bytes),
        Call::Tick(now) => return Some(engine.tick(now)),
    }
    None
}

impl Driver<'_> {
    fn play(&mut self) {
        // Some programs begin with healthy time, so that what follows can be told from it.
        for _ in 0..self.program.one(&[0, 0, 20, 40]) {
            self.requests(30, SECOND / 50, 0, Status::Ok);
            self.cluster(true);
            self.turn(SECOND);
        }
        while !self.program.0.is_empty() && self.calls.len() < CALLS_MAX {
            match self.program.below(12) {
                0 => self.spans(),
                1 | 2 => {
                    let (count, own) = (self.program.below(120), self.program.one(&DURATIONS));
                    let (pod, status) =
                        (self.program.below(PODS.len()), self.program.one(&[Status::Ok, Status::Error]));
                    self.requests(count, own, pod, status);
                }
                3 => self.cluster(self.program.0.len().is_multiple_of(2)),
                4 => self.event(),
                5 => self.answer(),
                6 => self.bound(),
                7 => self.clock = Time(self.program.one(&BROKEN_CLOCKS)),
                8 => self.clock = Time(START),
                _ => {
                    let step = self.program.one(&STEPS);
                    self.turn(step);
                }
            }
        }
        self.turn(SECOND);
        // People may ask for everything at any time.
        for (name, schema, batches) in self.engine.tables() {
            assert!(batches.iter().all(|batch| batch.schema() == schema), "the batches of {name} are of its schema");
        }
    }

    fn call(&mut self, call: Call) {
        self.calls.push(call.clone());
        if let Some(effects) = apply(&mut self.engine, call) {
            self.check_effects(&effects);
            self.effects.push(effects);
            // Too many are closed as they stand when traces are closed, which a tick does.
            let traces = self.engine.open_traces();
            assert!(traces <= self.open_traces_max, "{traces} traces are open, of {} at most", self.open_traces_max);
        }
        let bytes = self.engine.window_bytes();
        assert!(bytes <= self.bytes_max, "the window holds {bytes} bytes and may hold {}", self.bytes_max);
        assert!(self.engine.decisions().len() <= 1_000, "decisions are bounded");
        assert!((0.0..=1.0).contains(&self.engine.admitted_share()));
    }

    fn check_effects(&mut self, effects: &[Effect]) {
        let mut targets = Vec::new();
        for effect in effects {
            match effect {
                Effect::Record(entry) => {
                    assert!(targets.is_empty(), "what is done has been written before");
                    check_journal(entry);
                }
                Effect::Apply(permit) => {
                    assert!(!targets.contains(permit.service()), "one permit a target and tick: {permit:?}");
                    targets.push(permit.service().clone());
                    self.check_permit(permit);
                    self.permits.push(permit.clone());
                }
            }
        }
    }

    fn check_permit(&self, permit: &Permit) {
        let Some(workload) = self.engine.cluster().workload(permit.service().as_str()) else {
            panic!("a permit for a workload that nobody has told of: {permit:?}");
        };
        assert_eq!(permit.resource_version(), workload.resource_version, "{permit:?}");
        let change = serde_json::to_value(permit.change()).expect("a change is JSON");
        if change["change"] == "close" {
            return; // the end of what was begun, whatever has happened since
        }
        assert!(!self.paused, "a permit while paused: {permit:?}");
        if let Some(to) = change["to"].as_u64() {
            let (min, max) = (u64::from(workload.min_replicas), u64::from(workload.max_replicas));
            let (from, grows) = (u64::from(workload.replicas), to > u64::from(workload.replicas));
            assert!(to != from, "{permit:?}");
            // Of bounds that contradict each other none can be kept.
            assert!(min > max || if grows { to <= max } else { to >= min.min(from) }, "{permit:?} of {workload:?}");
        }
        if let Some(pod) = change["pod"].as_str() {
            assert!(workload.pods.iter().any(|one| one.name == pod), "{permit:?} of {workload:?}");
            let others = workload.pods.iter().filter(|one| one.name != pod && one.ready_at.is_some()).count();
            assert!(others > 0, "the last ready pod: {permit:?} of {workload:?}");
        }
    }

    fn turn(&mut self, step: i64) {
        self.clock = Time(self.clock.0.saturating_add(step));
        self.call(Call::Tick(self.clock));
    }

    fn ingest(&mut self, builder: SpanBuilder) {
        let batch = builder.finish();
        if self.engine.has_room(self.clock, &batch) {
            self.call(Call::Ingest(self.clock, batch));
        }
    }

    /// Spans as a broken sender makes them. What the receiver rejects is left out: zero ids, times below 0, an end
    /// before the start or past 2262.
    fn spans(&mut self) {
        let mut builder = SpanBuilder::new();
        for _ in 0..self.program.below(24) {
            let p = &mut self.program;
            let id = |n: u8| SpanId([0, 0, 0, 0, 0, 0, 1, n]);
            let start = match p.below(4) {
                0 => p.number().max(1),
                1 => self.clock.0.saturating_add(p.one(&STEPS)).max(1),
                _ => self.clock.0.saturating_sub(p.one(&DURATIONS)).max(1),
            };
            builder.append(&SpanRow {
                trace_id: TraceId([1 + p.byte() % 16; 16]),
                span_id: id(p.byte() % 12),
                parent_span_id: (p.below(4) > 0).then(|| id(p.byte() % 12)),
                start: Time(start),
                duration_ns: p.one(&DURATIONS).min(i64::MAX - start),
                kind: Kind::from_otlp(i64::from(p.byte() % 6)),
                status: Status::from_otlp(i64::from(p.byte() % 3)),
                service: p.one(&SERVICES),
                operation: p.one(&OPERATIONS),
                pod: p.one(&PODS),
                version: p.one(&VERSIONS),
                peer: p.one(&PEERS),
                sampled_weight: p.one(&WEIGHTS),
                promoted: ["", p.one(&STATUSES), ""],
                ..SpanRow::default()
            });
        }
        self.ingest(builder);
    }

    /// Requests as a sound system serves them: `front` calls `back`, which takes `own` in the pod; the last of them
    /// ends now.
    fn requests(&mut self, count: usize, own: i64, pod: usize, status: Status) {
        let mut builder = SpanBuilder::new();
        for n in 0..count {
            let trace_id = TraceId(std::array::from_fn(|byte| (self.next_trace >> (8 * (byte % 8))) as u8));
            self.next_trace += 1;
            let end = self.clock.0.saturating_sub(n as i64 * SECOND / 128);
            let network = SECOND / 1000;
            let spans = [
                (1, None, Kind::Server, "front", "GET /", "front-1", 2 * network),
                (2, Some(1), Kind::Client, "front", "GET /", "front-1", network),
                (3, Some(2), Kind::Server, "back", "POST /pay", PODS[pod], 0),
            ];
            for (id, parent, kind, service, operation, pod, around) in spans {
                let duration_ns = own.saturating_add(2 * around);
                let start = end.saturating_sub(own).saturating_sub(2 * network).saturating_sub(around).max(1);
                builder.append(&SpanRow {
                    trace_id,
                    span_id: SpanId([0, 0, 0, 0, 0, 0, 0, id]),
                    parent_span_id: parent.map(|id| SpanId([0, 0, 0, 0, 0, 0, 0, id])),
                    start: Time(start),
                    duration_ns: duration_ns.min(i64::MAX - start),
                    kind,
                    status,
                    service,
                    operation,
                    pod,
                    version: "v1",
                    sampled_weight: Some(1.0),
                    ..SpanRow::default()
                });
            }
        }
        self.ingest(builder);
    }

    /// A cluster with a sound workload of `back`, or one in which anything may be wrong.
    fn cluster(&mut self, sound: bool) {
        let at = self.clock.0;
        let long_ago = Time(at.saturating_sub(900 * SECOND)).0;
        let pod = |name: &str, created_at: i64, ready_at: Option<i64>| -> Value {
            json!({"name": name, "created_at": created_at, "ready_at": ready_at})
        };
        let workloads = if sound {
            let pods: Vec<Value> = PODS[..3].iter().map(|name| pod(name, long_ago, Some(long_ago))).collect();
            vec![json!({"service": "back", "replicas": 3, "min_replicas": 1, "max_replicas": 20,
                "resource_version": 7, "pods": pods, "terms": {"resizable": true}})]
        } else {
            let p = &mut self.program;
            let mut services = ["back", "front"].to_vec();
            services.truncate(p.below(3));
            let mut workload = |service: &str| {
                let count = |p: &mut Program<'_>| p.one(&[3_u32, 1, 0, 20, u32::MAX]);
                let pods: Vec<Value> = (0..p.below(6))
                    .map(|n| {
                        let time = |p: &mut Program<'_>| p.one(&[long_ago, at, at.saturating_add(SECOND), 0, i64::MAX]);
                        let (created, ready) = (time(p), time(p));
                        pod(PODS[n % PODS.len()], created, (p.below(3) > 0).then_some(ready))
                    })
                    .collect();
                let record = json!({"id": p.one(&["i-1-1", "", "i-9223372036854775807-4294967295", "theirs"]),
                    "rule": p.one(&["scale_out_bottleneck", "restart_bad_pod", "give_back"]), "reason": "",
                    "applied_at": p.one(&[at, 0, i64::MAX]), "deadline": p.one(&[at, i64::MIN, i64::MAX]),
                    "replicas_before": count(p), "replicas_after": count(p), "waiting_ns_before": p.number(),
                    "deed": p.one(&["scaled", "restarted", "resized"])});
                let record = match record["deed"].as_str() {
                    Some("restarted") => {
                        with(record, "deed", json!({"kind": "restarted_pod", "pod": PODS[0], "created_at": long_ago}))
                    }
                    Some("resized") => with(record, "deed", json!({"kind": "resized_cpu", "factor": 1.5})),
                    _ => with(record, "deed", json!({"kind": "scaled"})),
                };
                json!({"service": service, "replicas": count(p), "min_replicas": count(p), "max_replicas": count(p),
                    "resource_version": u64::from(p.byte()), "pods": pods,
                    "intervention": (p.below(2) == 0).then_some(record),
                    "held": (p.below(8) == 0).then(|| json!({"by": "reverted", "manager": "m", "until": i64::MAX})),
                    "terms": {"step_max": (p.below(4) == 0).then(|| count(p)), "priority": i32::MIN, "resizable": true,
                        "ceilings": [{"replicas": count(p), "reason": "quota"}],
                        "connections": [{"to": "db", "per_replica": count(p), "max": count(p)}]}})
            };
            services.into_iter().map(&mut workload).collect()
        };
        let state = json!({"at": at, "workloads": workloads});
        let state: ClusterState = serde_json::from_value(state).expect("what 0.1.0 wrote is read");
        self.call(Call::Observe(self.clock, Event::Cluster(state)));
    }

    fn event(&mut self) {
        let by = || "someone: a reason".to_owned();
        let event = match self.program.below(8) {
            0 => Event::Paused { by: by(), service: None, until: None },
            1 | 2 => Event::Resumed { by: by(), service: None },
            3 => Event::Learnt(self.engine.learnt(self.clock)),
            5 => {
                let seconds = self.program.one(&[5, -5, 3600, -3600, i64::MAX, i64::MIN]);
                Event::ClockStepped(ClockStep { seconds })
            }
            6 => {
                let p = &mut self.program;
                let time = |p: &mut Program<'_>| {
                    Time(p.one(&[self.clock.0, self.clock.0.saturating_add(60 * SECOND), 0, i64::MAX]))
                };
                let floor = Floor {
                    service: p.one(&["back", "front", "nobody"]).into(),
                    origin: p.one(&["schedule:exams", "forecast:lunch", "operator:ada"]).into(),
                    replicas: p.one(&[4, 0, 50, u32::MAX]),
                    from: time(p),
                    until: time(p),
                };
                Event::Floors(vec![floor])
            }
            4 => {
                let sources = [
                    "fn evaluate(now) { now.bottlenecks.map(|b| restart_pod(b.service, b.pod).because(\"it can\")) }",
                    "fn evaluate(now) { now.services.map(|s| resize_cpu(s.service, 1.5).for_duration(minutes(1))) }",
                    "fn evaluate(now) { now.services.map(|s| scale_in(s.service).to(0)) }",
                    "fn evaluate(now) { now.services.map(|s| scale_out(s.service).to(1000000)) }",
                    "fn evaluate(now) { loop { } }",
                    "fn evaluate(now) { now.no_such_thing }",
                    "not rhai",
                ];
                Event::Rules(vec![RuleSource::new("drawn", self.program.one(&sources))])
            }
            _ => Event::Rules(shipped()),
        };
        match event {
            Event::Paused { .. } => self.paused = true,
            Event::Resumed { .. } => self.paused = false,
            Event::Cluster(_)
            | Event::Rules(_)
            | Event::Queries(_)
            | Event::RuleStopped { .. }
            | Event::Learnt(_)
            | Event::Floors(_)
            | Event::ClockStepped(_)
            | Event::Traffic(_)
            | Event::Acted { .. } => {}
        }
        self.call(Call::Observe(self.clock, event));
    }

    /// The cluster answers a permit, late, twice or wrongly.
    fn answer(&mut self) {
        let Some(last) = self.permits.len().checked_sub(1) else { return };
        let permit = &self.permits[last.saturating_sub(self.program.below(3))];
        let decision = if self.program.below(8) == 0 { DecisionId::new(0, 0) } else { permit.decision() };
        let change = permit.change().clone();
        let error = (self.program.below(3) == 0).then(|| ActError::Unreachable { cause: "refused".into() });
        self.call(Call::Observe(self.clock, Event::Acted { decision, change, error }));
    }

    /// The shell bounds the window anew, by what the process holds.
    fn bound(&mut self) {
        self.bytes_max = self.program.one(&[8 << 20, 256 << 10, 4 << 10, 0]);
        self.call(Call::WindowBytes(self.bytes_max));
    }
}

fn with(mut value: Value, key: &str, of: Value) -> Value {
    value[key] = of;
    value
}

/// What is journalled can be read again, as what it was. Fractions may differ in their last digit.
fn check_journal(entry: &Entry) {
    let line = serde_json::to_string(entry).expect("an entry is JSON");
    let read: Entry = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let same = read.at == entry.at && std::mem::discriminant(&read.what) == std::mem::discriminant(&entry.what);
    assert!(same, "read back as another: {line}\n{read:?}");
}
