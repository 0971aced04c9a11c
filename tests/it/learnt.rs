//! A restart in mid-burst: with what the life before had learnt, and without.

use headroom::analyse::{Findings, Learnt, Verdict};
use headroom::commands::demo::course::{self, START};
use headroom::engine::{Effect, Engine, Event};
use headroom::journal::{Entry, What};
use headroom::model::Time;
use headroom::receive::decode;
use headroom::simulate::{Scenario, Simulation};
use prost::Message;

/// Two pods with room for twice the load, until it is six times as much. A third of what a request takes is spent in a
/// database.
const SCENARIO: &str = "
description: a step at 60 s, with a restart right after it
horizon_s: 80
truth: { targets: [store], verdict: saturated, onset_s: 60, window_s: 16 }
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
    max_replicas: 40
    operations:
      GET /item: { own_ms: 40, sigma: 0.2 }
entries:
  - service: ingress
    operation: GET /item
    objective: { latency_ms: 300 }
    traffic: { rate: 90, shapes: [{ step: { at_s: 60, factor: 6 } }] }
";

/// The step, as the life before saw it for four seconds, and then a new life for ten.
const RESTART_S: i64 = 64;
const END_S: i64 = 74;

/// The findings of the second life's ticks, and the entries of its journal.
fn restarted(hand_over: impl Fn(&Engine, Time) -> Option<Learnt>) -> (Vec<Findings>, Vec<Entry>) {
    let scenario = Scenario::from_yaml("restart", SCENARIO).unwrap();
    let mut simulation = Simulation::new(&scenario, 3, START);
    let mut engine = Engine::new(START, course::settings(&scenario), &[]).unwrap();
    let (mut findings, mut entries) = (Vec::new(), Vec::new());
    for second in 1..=END_S {
        let now = Time(START.0 + second * course::TICK_NS);
        if second == RESTART_S {
            let learnt = hand_over(&engine, now);
            engine = Engine::new(now, course::settings(&scenario), &[]).unwrap();
            if let Some(learnt) = learnt {
                engine.observe(now, Event::Learnt(learnt));
            }
        }
        for delivery in simulation.run_until(now) {
            let options = decode::Options { assume_weight: Some(1.0), ..decode::Options::default() };
            let bytes = delivery.request.encode_to_vec();
            engine.ingest(delivery.at, decode::decode(decode::Encoding::Protobuf, &bytes, &options).unwrap().batch);
        }
        engine.observe(now, Event::Cluster(simulation.state()));
        let effects = engine.tick(now);
        if second >= RESTART_S {
            findings.push(engine.findings().clone());
            entries.extend(effects.into_iter().filter_map(|effect| match effect {
                Effect::Record(entry) => Some(entry),
                Effect::Apply(_) => None,
            }));
        }
    }
    (findings, entries)
}

/// What the last tick says of the store: the verdict, whether healthy time stands beside it, and the replicas needed.
fn last(findings: &[Findings]) -> (Verdict, bool, u32) {
    let bottleneck = findings.last().unwrap().bottleneck();
    assert_eq!(bottleneck.service, "store");
    let own_time = bottleneck.evidence.iter().find(|fact| fact.measure == "own_time_ms").unwrap();
    (bottleneck.verdict, own_time.baseline.is_some(), bottleneck.replicas_needed.unwrap_or(0))
}

#[test]
fn a_restart_in_a_burst_knows_what_is_normal() {
    let (without, _) = restarted(|_, _| None);
    let (_, knows_normal, needed) = last(&without);
    assert!(!knows_normal && needed <= 4, "from the window alone it doubles at most, and {needed} are needed");

    // Over its document, as a file or a ConfigMap keeps it.
    let over_the_document = |engine: &Engine, now: Time| {
        let (document, left_out) = engine.learnt(now).encode(headroom::analyse::learned::snapshot::BYTES_MAX);
        assert_eq!(left_out, 0);
        Some(Learnt::decode(&document, now).unwrap())
    };
    let (with, entries) = restarted(over_the_document);
    let (verdict, knows_normal, needed) = last(&with);
    assert_eq!((verdict, knows_normal), (Verdict::Saturated, true));
    assert!(needed > 4, "{needed}");

    // It is an input like the others: the journal has the whole of it, and it reads back the same.
    let learnt = entries.iter().find(|entry| matches!(entry.what, What::Learnt { .. })).unwrap();
    let line = serde_json::to_string(learnt).unwrap();
    assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), *learnt);
    let What::Learnt { learnt } = &learnt.what else { unreachable!() };
    let (again, _) = restarted(|_, _| Some(learnt.clone()));
    assert_eq!(again, with, "from the journal the same is found");
}
