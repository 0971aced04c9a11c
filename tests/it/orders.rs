//! Nothing that is found depends on an order: of names, of batches, of workloads, or of who absorbed a trace.
//!
//! Metamorphic tests: the same system is told in another way, and the findings must be the same once names are put back.

use std::collections::{BTreeMap, BTreeSet};

use headroom::analyse::{Bottleneck, Portion};
use headroom::commands::demo::course::{self, START};
use headroom::decide::shipped;
use headroom::engine::{Effect, Engine, Event, Settings, Shard};
use headroom::guard::Permit;
use headroom::model::{ClusterState, SpanBatch, SpanBuilder, Time};
use headroom::receive::decode;
use headroom::simulate::{Delivery, Scenario, Simulation};
use prost::Message;
use serde_json::Value;

/// Two entries wait for one slow database, a third misses for a burst of its own: several objectives are missed at once,
/// and services wait for one another.
const SCENARIO: &str = "
description: a slow database and a burst
horizon_s: 46
truth: { targets: ['S4'], verdict: saturated, onset_s: 30, window_s: 15 }
services:
  S0:
    pods: { shared: { cores: 8, burst_cores: 8, in_flight_max: 20000 } }
    replicas: 2
    max_replicas: 4
    operations:
      GET /O0: { own_ms: 1, calls: [{ service: S3, operation: GET /O3 }] }
  S1:
    pods: { shared: { cores: 8, burst_cores: 8, in_flight_max: 20000 } }
    replicas: 2
    max_replicas: 4
    operations:
      GET /O1: { own_ms: 2, calls: [{ service: S3, operation: GET /O3 }] }
  S2:
    pods: { shared: { cores: 8, burst_cores: 8, in_flight_max: 20000 } }
    replicas: 2
    max_replicas: 4
    operations:
      GET /O2: { own_ms: 1, calls: [{ service: S4, operation: GET /O4 }] }
  S3:
    pods: { workers: { threads: 6, queue: 64 } }
    replicas: 2
    max_replicas: 6
    operations:
      GET /O3: { own_ms: 10, calls: [{ peer: content-db, span: SELECT content }] }
  S4:
    pods: { workers: { threads: 2, queue: 64 } }
    replicas: 2
    max_replicas: 8
    operations:
      GET /O4: { own_ms: 40, sigma: 0.2 }
peers:
  content-db: { system: postgresql, namespace: content, latency_ms: 6, connections: 4 }
faults:
  - slow_peer: { peer: content-db, factor: 12, from_s: 32, to_s: 400 }
entries:
  - { service: S0, operation: GET /O0, objective: { latency_ms: 150 }, traffic: { rate: 30 } }
  - { service: S1, operation: GET /O1, objective: { latency_ms: 180 }, traffic: { rate: 40 } }
  - service: S2
    operation: GET /O2
    objective: { latency_ms: 200 }
    traffic: { rate: 30, shapes: [{ step: { at_s: 30, factor: 6 } }] }
";

const NAMES: usize = 5;
const ORDERS: u64 = 10;

/// SplitMix64 (Steele, Lea, Flood 2014): the same orders on every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            let other = self.next() % (last as u64 + 1);
            all.swap(last, other as usize);
        }
    }
}

/// Names for the placeholders S0, S1, … and O0, O1, …: none is part of another.
struct Names(Vec<(String, String)>);

impl Names {
    /// Order 0 names them as they stand in the file.
    fn of(order: u64) -> Names {
        let mut numbers = Numbers(order);
        let mut names = Vec::new();
        for kind in ["S", "O"] {
            let mut others: Vec<usize> = (0..NAMES).collect();
            if order > 0 {
                numbers.shuffle(&mut others);
            }
            let name = |(n, other): (usize, usize)| (format!("{kind}{n}"), format!("{}q{other}q", kind.to_lowercase()));
            names.extend(others.into_iter().enumerate().map(name));
        }
        Names(names)
    }

    fn put(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (placeholder, name)| text.replace(placeholder, name))
    }

    fn put_back(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (placeholder, name)| text.replace(name, placeholder))
    }
}

/// Lists by content, numbers to a millionth: sums of floats are rounded as they are added up.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(all) => {
            let mut all: Vec<Value> = all.iter().map(plain).collect();
            all.sort_by_key(Value::to_string);
            all.into()
        }
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        Value::Number(number) if !number.is_i64() && !number.is_u64() => {
            format!("{:.6}", number.as_f64().unwrap()).trim_start_matches("-0.000000").into()
        }
        Value::Number(_) | Value::String(_) | Value::Bool(_) | Value::Null => value.clone(),
    }
}

fn decoded(delivery: &Delivery) -> SpanBatch {
    let options = decode::Options { assume_weight: Some(1.0), ..decode::Options::default() };
    decode::decode(decode::Encoding::Protobuf, &delivery.request.encode_to_vec(), &options).unwrap().batch
}

/// The findings of every tick, told in one order, with placeholders for names.
fn found(order: u64) -> Vec<Value> {
    let (names, mut numbers) = (Names::of(order), Numbers(order));
    let scenario = Scenario::from_yaml("orders", &names.put(SCENARIO)).unwrap();
    let mut simulation = Simulation::new(&scenario, 3, START);
    let mut engine = Engine::new(START, course::settings(&scenario), &[]).unwrap();
    let mut found = Vec::new();
    for second in 1..=scenario.horizon_s as i64 {
        let now = Time(START.0 + second * course::TICK_NS);
        let mut deliveries = simulation.run_until(now);
        let mut cluster = simulation.state();
        if order > 0 {
            numbers.shuffle(&mut deliveries);
            numbers.shuffle(&mut cluster.workloads);
        }
        // Received at once, and nothing closes before all are there: only their order differs.
        engine.ingest(now, SpanBatch::empty());
        deliveries.iter().for_each(|delivery| engine.ingest(now, decoded(delivery)));
        engine.observe(now, Event::Cluster(cluster));
        engine.tick(now);
        let text = serde_json::to_string(engine.findings()).unwrap();
        found.push(plain(&serde_json::from_str(&names.put_back(&text)).unwrap()));
    }
    found
}

#[test]
fn entry_operations_services_and_batches_in_ten_other_orders_give_the_same_findings() {
    let first = found(0);
    let entries: BTreeSet<&str> = first
        .iter()
        .flat_map(|findings| findings["bottlenecks"].as_array().unwrap())
        .filter_map(|bottleneck| bottleneck["entry"].as_str())
        .collect();
    assert_eq!(entries.len(), 3, "otherwise this shows little: {entries:?}");
    for order in 1..=ORDERS {
        for (tick, (first, other)) in first.iter().zip(found(order)).enumerate() {
            assert_eq!(other.to_string(), first.to_string(), "order {order}, tick {tick}");
        }
    }
}

const SHARDS: usize = 4;

/// The spans of a batch by the shard of their trace, as a load-balancing exporter sends them.
fn split(batch: &SpanBatch) -> Vec<SpanBatch> {
    let mut builders: Vec<SpanBuilder> = (0..SHARDS).map(|_| SpanBuilder::new()).collect();
    batch.iter().for_each(|row| builders[row.trace_id.mixed() as usize % SHARDS].append(&row));
    builders.into_iter().map(SpanBuilder::finish).collect()
}

/// An engine that leads, and the shards beside its own; one more is there and gets nothing, as a new one does at first.
struct Fleet {
    leader: Engine,
    others: Vec<Shard>,
}

impl Fleet {
    fn new(settings: Settings) -> Fleet {
        let others = (1..=SHARDS).map(|_| Shard::new(settings.window.clone())).collect();
        Fleet { leader: Engine::new(START, settings, &shipped()).unwrap(), others }
    }

    fn ingest(&mut self, at: Time, batch: &SpanBatch) {
        let mut parts = split(batch).into_iter();
        self.leader.ingest(at, parts.next().unwrap());
        for (shard, part) in self.others.iter_mut().zip(parts) {
            shard.ingest(at, part, self.leader.reference());
        }
    }

    fn tick(&mut self, now: Time) -> Vec<Effect> {
        let take = |shard: &mut Shard| shard.take(now, self.leader.reference());
        let portions: Vec<Portion> = self.others.iter_mut().map(take).collect();
        assert!(portions.into_iter().all(|portion| self.leader.take_portion(portion)));
        self.leader.tick(now)
    }
}

/// Who is named, and why.
type Named = BTreeMap<String, (String, String, Option<String>, Option<String>, Option<String>)>;

fn named(engine: &Engine) -> Named {
    let name = |b: &Bottleneck| {
        let verdict = b.verdict.as_str().to_owned();
        (b.entry.clone(), (b.service.clone(), verdict, b.pod.clone(), b.peer.clone(), b.version.clone()))
    };
    engine.findings().bottlenecks.iter().map(name).collect()
}

/// Replicas that each service needs.
fn needs(engine: &Engine) -> BTreeMap<String, Option<u32>> {
    engine.findings().services.iter().map(|s| (s.service.to_string(), s.replicas_needed)).collect()
}

/// Replicas of scalings may differ by one, as needs may.
fn actions(effects: &[Effect]) -> Vec<String> {
    let action = |permit: &Permit| {
        let change = serde_json::to_value(permit.change()).unwrap();
        let plain = |(key, value): (&String, &Value)| value.is_string().then(|| format!("{key}={value}"));
        format!(
            "{} {:?}",
            permit.service(),
            change.as_object().into_iter().flatten().filter_map(plain).collect::<Vec<_>>()
        )
    };
    let permits = effects.iter().filter_map(|effect| match effect {
        Effect::Apply(permit) => Some(permit),
        Effect::Record(_) => None,
    });
    permits.map(action).collect()
}

/// Both see the same spans and the same cluster, which follows the one without shards.
#[track_caller]
fn four_shards_say_the_same(name: &str, horizon_s: i64) {
    let scenario = Scenario::by_name(name).unwrap();
    let mut simulation = Simulation::new(&scenario, 1, START);
    let settings = course::settings(&scenario);
    let mut alone = Engine::new(START, settings.clone(), &shipped()).unwrap();
    let mut fleet = Fleet::new(settings);
    let mut bottlenecks = 0;
    for second in 1..=horizon_s {
        let now = Time(START.0 + second * course::TICK_NS);
        for delivery in simulation.run_until(now) {
            let batch = decoded(&delivery);
            fleet.ingest(delivery.at, &batch);
            alone.ingest(delivery.at, batch);
        }
        let cluster: ClusterState = simulation.state();
        alone.observe(now, Event::Cluster(cluster.clone()));
        fleet.leader.observe(now, Event::Cluster(cluster));
        let (effects, of_fleet) = (alone.tick(now), fleet.tick(now));
        assert_eq!(named(&fleet.leader), named(&alone), "{name}, second {second}");
        bottlenecks += named(&alone).len();
        for ((service, needed), (_, of_fleet)) in needs(&alone).into_iter().zip(needs(&fleet.leader)) {
            let apart = needed.unwrap_or(0).abs_diff(of_fleet.unwrap_or(0));
            assert!(apart <= 1, "{name}, second {second}: {service} needs {needed:?} or {of_fleet:?}");
        }
        assert_eq!(actions(&of_fleet), actions(&effects), "{name}, second {second}");
        for effect in effects {
            if let Effect::Apply(permit) = effect {
                let error = simulation.apply(permit.change(), permit.resource_version()).err();
                let acted = |permit: &Permit| Event::Acted {
                    decision: permit.decision(),
                    change: permit.change().clone(),
                    error: error.clone(),
                };
                alone.observe(now, acted(&permit));
                for of_fleet in of_fleet.iter().filter_map(|effect| match effect {
                    Effect::Apply(of_fleet) if of_fleet.service() == permit.service() => Some(of_fleet),
                    Effect::Apply(_) | Effect::Record(_) => None,
                }) {
                    fleet.leader.observe(now, acted(of_fleet));
                }
            }
        }
    }
    assert!(bottlenecks > 0, "{name}: nobody was named");
}

#[test]
fn four_shards_find_a_burst() {
    four_shards_say_the_same("login-storm", 90);
}

#[test]
fn four_shards_find_a_bad_pod() {
    four_shards_say_the_same("bad-pod", 85);
}

#[test]
fn four_shards_find_a_bad_release() {
    four_shards_say_the_same("bad-release", 90);
}

#[test]
fn four_shards_find_a_slow_database() {
    four_shards_say_the_same("locked-database", 85);
}

#[test]
fn four_shards_find_a_storm_of_retries() {
    four_shards_say_the_same("retry-storm", 85);
}

#[test]
fn four_shards_find_a_failing_service() {
    four_shards_say_the_same("failing", 80);
}
