//! A demo on virtual time: the simulation and the engine in one thread, a second at a time.
//!
//! Every span takes the real way: it is encoded as OTLP, decoded by the receiver's decoder, and ingested when
//! the simulated Collector delivers it. The engine sees nothing of the scenario but what an operator would
//! configure (the objectives) and what the cluster says of itself.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::announcer::Announcer;
use crate::analyse::{self, Learnt, Objective};
use crate::commands::error::Error;
pub use crate::commands::scenario::START;
use crate::decide::RuleSource;
use crate::engine::{Effect, Engine, Event, Settings};
use crate::guard::Mode;
use crate::journal;
use crate::model::{ServiceId, Time};
use crate::receive::decode;
use crate::simulate::scenario::Entry;
use crate::simulate::{Scenario, Simulation};

/// The engine turns once a second of event time, as `serve` does.
pub const TICK_NS: i64 = 1_000_000_000;

/// A scenario that samples says so in every span; one that does not sends them all.
const ASSUME_WEIGHT: Option<f64> = Some(1.0);

/// What happened in one second.
pub struct Moment<'a> {
    pub now: Time,
    pub engine: &'a Engine,
    pub simulation: &'a Simulation,
    pub entries: &'a [journal::Entry],
}

/// What an operator of the scenario's system would configure: its objectives, and that headroom may act.
pub fn settings(scenario: &Scenario) -> Settings {
    let objectives = scenario.entries.iter().map(|entry| Objective {
        entry: entry_name(scenario, entry),
        latency_ns: (entry.objective.latency_ms * 1e6) as i64,
        quantile: entry.objective.quantile,
        errors: entry.objective.errors,
    });
    Settings {
        mode: Mode::Enforce,
        analyse: analyse::Config { objectives: objectives.collect(), ..analyse::Config::default() },
        assume_weight: ASSUME_WEIGHT,
        ..Settings::default()
    }
}

/// Service and operation, as findings name them.
pub fn entry_name(scenario: &Scenario, entry: &Entry) -> String {
    let id = ServiceId::new("", &scenario.namespace, &scenario.services[entry.service].name);
    format!("{id} {}", entry.operation)
}

/// Runs the scenario to its horizon, with what was learnt before where that is given; what it learnt comes back. `spans` sees every request before it is decoded, `watch` every second.
pub fn run(
    scenario: &Scenario,
    seed: u64,
    rules: &[RuleSource],
    learnt: Option<&Learnt>,
    mut spans: impl FnMut(&ExportTraceServiceRequest) -> Result<(), Error>,
    mut watch: impl FnMut(&Moment<'_>) -> Result<(), Error>,
) -> Result<(Simulation, Learnt), Error> {
    let mut simulation = Simulation::new(scenario, seed, START);
    let mut engine = Engine::new(START, settings(scenario), rules)?;
    let mut announcer = Announcer::of(scenario, START);
    if let Some(learnt) = learnt {
        announcer.restore(learnt);
        engine.observe(START, Event::Learnt(learnt.clone()));
    }
    let horizon = Time(START.0 + (scenario.horizon_s * 1e9) as i64);
    let mut now = START;
    while now < horizon {
        now = Time(now.0 + TICK_NS);
        for delivery in simulation.run_until(now) {
            spans(&delivery.request)?;
            let options = decode::Options { assume_weight: ASSUME_WEIGHT, ..decode::Options::default() };
            let bytes = delivery.request.encode_to_vec();
            let decoded = decode::decode(decode::Encoding::Protobuf, &bytes, &options)?;
            engine.ingest(delivery.at, decoded.batch);
        }
        engine.observe(now, Event::Cluster(simulation.state()));
        if let Some(floors) = announcer.tick(now, &engine) {
            engine.observe(now, Event::Floors(floors));
        }
        if let Some(traffic) = simulation.traffic() {
            engine.observe(now, Event::Traffic(traffic));
        }
        let mut entries = Vec::new();
        for effect in engine.tick(now) {
            match effect {
                Effect::Record(entry) => entries.push(entry),
                Effect::Apply(permit) => {
                    let error = simulation.apply(permit.change(), permit.resource_version()).err();
                    let (decision, change) = (permit.decision(), permit.change().clone());
                    engine.observe(now, Event::Acted { decision, change, error });
                }
            }
        }
        simulation.limit(engine.limits());
        watch(&Moment { now, engine: &engine, simulation: &simulation, entries: &entries })?;
    }
    let mut learnt = engine.learnt(now);
    announcer.keep(now, &mut learnt);
    Ok((simulation, learnt))
}
