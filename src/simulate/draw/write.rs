//! A drawn system as a scenario file.

use indexmap::IndexMap;

use super::chance::{Chance, rounded};
use super::graph::{Call, System, To};
use super::plan::Plan;
use super::surroundings::Surroundings;
use super::{ENDS_S, Kind, ONSET_S};
use crate::simulate::scenario::file::{self, File};
use crate::simulate::scenario::{Balance, Objective, Shape};

/// Long enough for a backlog to be worked off after the fault; recordings end sooner.
const HORIZON_S: f64 = 430.0;

/// Share of its pods that the load holds where nothing is wrong.
const CALM: (f64, f64) = (0.12, 0.45);

pub(super) fn text(kind: Kind, system: &System, plan: Plan, around: Surroundings, chance: &mut Chance) -> String {
    let objectives: Vec<f64> = system
        .entries
        .iter()
        .map(|entry| rounded(system.time(entry.operation).longest_ms() * chance.between(1.2, 2.5) + 3.0))
        .collect();
    let services = (0..system.services.len()).map(|service| {
        let written = self::service(kind, system, &plan, &around, service, chance);
        (system.services[service].name.clone(), written)
    });
    let services = services.collect();
    let name = |service: &usize| system.services[*service].name.clone();
    let peers = system.peers.iter().map(|peer| {
        let (system, latency_ms) = (peer.system.to_owned(), peer.latency_ms);
        let namespace = if system.is_empty() { String::new() } else { peer.name.replace("-db", "") };
        (peer.name.clone(), file::Peer { system, namespace, latency_ms, sigma: 0.4, connections: 400 })
    });
    let entries = system.entries.iter().zip(&plan.bursts).zip(objectives);
    let entries = entries.map(|((entry, &factor), latency_ms)| {
        let mut shapes = vec![Shape::Noise { sigma: 0.05, every_s: 5.0 }];
        if factor != 1.0 {
            let rise_s = rounded(chance.between(2.0, 10.0));
            shapes.push(Shape::Burst {
                at_s: ONSET_S,
                rise_s,
                hold_s: ENDS_S - ONSET_S - rise_s,
                fall_s: 10.0,
                factor,
            });
        }
        let operation = &system.operations[entry.operation];
        file::Entry {
            service: system.services[operation.service].name.clone(),
            operation: operation.name.clone(),
            client: String::new(),
            priority: 0,
            timeout_ms: (10.0 * latency_ms).clamp(3_000.0, 30_000.0).round(),
            retries: file::Retries::default(),
            objective: Objective { latency_ms, quantile: 0.99, errors: 0.01 },
            traffic: file::Traffic { rate: entry.rate, shapes },
        }
    });
    let drawn = File {
        description: format!("A drawn system: {}.", kind.as_str()),
        horizon_s: HORIZON_S,
        namespace: around.namespace.to_owned(),
        network_ms: system.network_ms,
        shaping: false,
        truth: Some(file::Truth {
            targets: plan.targets.iter().map(name).collect(),
            verdict: plan.verdict.to_owned(),
            at: plan.at.iter().map(name).collect(),
            also: plan
                .also
                .iter()
                .map(|(verdict, at)| file::Also { verdict: (*verdict).to_owned(), at: at.iter().map(name).collect() })
                .collect(),
            places: plan.places.clone(),
            shed: Vec::new(),
            onset_s: ONSET_S,
            window_s: HORIZON_S - ONSET_S - 5.0,
        }),
        services,
        peers: peers.collect(),
        entries: entries.collect(),
        calendar: None,
        faults: plan.faults.iter().cloned().chain(around.faults.clone()).collect(),
        nodes: file::Nodes { count: 8, max: 16, ..file::Nodes::default() },
        pod_start: file::PodStart { pull_p50_s: 3.0, pull_p95_s: 8.0, cached_p50_s: 2.0, ..file::PodStart::default() },
        telemetry: around.telemetry,
    };
    // A file of numbers and names has nothing that YAML could not say.
    serde_saphyr::to_string(&drawn).unwrap_or_default()
}

fn service(
    kind: Kind,
    system: &System,
    plan: &Plan,
    around: &Surroundings,
    service: usize,
    chance: &mut Chance,
) -> file::Service {
    let rates = system.usual_rates();
    let used = |time_ms: &dyn Fn(usize) -> f64| system.of(service).map(|o| rates[o] * time_ms(o) / 1e3).sum::<f64>();
    let held = used(&|o| system.time(o).mean_ms);
    let busy = used(&|o| system.operations[o].own_ms * 1.1);
    let replicas = plan.replicas[service].unwrap_or_else(|| chance.integer(1, 4));
    let calm = chance.between(CALM.0, CALM.1);
    let pods = match (plan.threads[service], plan.room[service]) {
        // Whoever is to saturate has as few threads as its calm load allows.
        (Some(threads), _) => file::Pods::Workers { threads, queue: 500 },
        (None, room) if system.services[service].layer == 0 || chance.happens(0.45) => {
            let cores = (room * busy / calm / f64::from(replicas)).ceil().clamp(1.0, 500.0);
            file::Pods::Shared { cores, burst_cores: None, in_flight_max: 10_000 }
        }
        (None, room) => file::Pods::Workers { threads: whole(room * held / calm / f64::from(replicas)), queue: 200 },
    };
    let operations = system.of(service).map(|o| (system.operations[o].name.clone(), operation(system, o)));
    let operations: IndexMap<String, file::Operation> = operations.collect();
    let balances = [Balance::LeastRequests, Balance::RoundRobin, Balance::Random];
    let balance = match kind {
        // A slow pod that gets less is another fault.
        Kind::BadInstance => Balance::RoundRobin,
        _ => chance.pick(&balances).unwrap_or_default(),
    };
    file::Service {
        pods,
        replicas,
        min_replicas: None,
        max_replicas: 8 * replicas,
        balance,
        version: "v1".to_owned(),
        proxy: around.proxies[service],
        operations,
    }
}

/// Threads of one pod: fewer than three would make healthy requests wait.
fn whole(threads: f64) -> u32 {
    (threads.round() as u32).clamp(3, 10_000)
}

fn operation(system: &System, index: usize) -> file::Operation {
    let operation = &system.operations[index];
    file::Operation {
        own_ms: operation.own_ms,
        sigma: operation.sigma,
        split: file::Split::default(),
        internal: operation.internal.then(|| "render".to_owned()),
        parallel: operation.parallel,
        calls: operation.calls.iter().map(|call| self::call(system, call)).collect(),
    }
}

fn call(system: &System, call: &Call) -> file::Call {
    let (mut service, mut operation, mut peer, mut span) = (None, None, None, None);
    match call.to {
        To::Operation(callee) => {
            let callee = &system.operations[callee];
            service = Some(system.services[callee.service].name.clone());
            operation = Some(callee.name.clone());
        }
        To::Peer(to) => {
            peer = Some(system.peers[to].name.clone());
            span = Some(system.peers[to].statement.to_owned());
        }
    }
    file::Call {
        service,
        operation,
        peer,
        span,
        probability: call.probability,
        count: call.count,
        timeout_ms: call.timeout_ms,
        retries: file::Retries { attempts: call.retries, ..file::Retries::default() },
        queue_ms: call.queue_ms,
    }
}
