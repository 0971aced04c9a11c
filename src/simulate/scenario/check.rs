//! From the file as written to a scenario that makes sense: names become indices, and every problem is
//! reported with the path of its value.

use indexmap::IndexMap;

use super::calendar;
use super::check_faults;
use super::file::{self, Shape};
use super::{
    Call, Duration, Entry, Nodes, Operation, Peer, PodStart, Pods, Retries, Scenario, Service, Step, Target, Telemetry,
    Truth, seconds,
};

/// Past these a simulation would not end in a useful time; they are far above what a test bed has.
const REPLICAS_MAX: u32 = 1_000;
pub(super) const CALLS_MAX: u32 = 100;
const CALLS_OF_A_REQUEST_MAX: f64 = 10_000.0;
const HORIZON_S_MAX: f64 = 86_400.0;
const RATE_MAX: f64 = 100_000.0;

/// Spread of the time that messages lie in a queue.
const QUEUE_SIGMA: f64 = 0.5;

/// The 95th percentile of a standard normal distribution.
const Z95: f64 = 1.644_853_6;

/// The verdicts a truth may name: those of the findings.
const VERDICTS: [&str; 11] = [
    "saturated",
    "slow_dependency",
    "bad_instance",
    "regression",
    "amplification",
    "exhausted",
    "failing",
    "degraded",
    "unreachable",
    "healthy",
    "unknown",
];

/// Collects problems; a wrong value is replaced by something harmless so that the check goes on.
#[derive(Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn add(&mut self, path: &str, what: impl AsRef<str>) {
        self.0.push(format!("{path}: {}", what.as_ref()));
    }

    /// A number within bounds, both included.
    pub(super) fn within(&mut self, path: &str, value: f64, low: f64, high: f64) -> f64 {
        if !(low..=high).contains(&value) {
            // A number of hundreds of digits says no more than its size.
            let value = if value.abs() < 1e15 { value.to_string() } else { format!("{value:e}") };
            self.add(path, format!("{value} is not between {low} and {high}"));
        }
        value
    }

    pub(super) fn index<V>(&mut self, path: &str, kind: &str, map: &IndexMap<String, V>, name: &str) -> usize {
        map.get_index_of(name).unwrap_or_else(|| {
            let known: Vec<&str> = map.keys().map(String::as_str).collect();
            self.add(path, format!("there is no {kind} `{name}`; there are {}", known.join(", ")));
            0
        })
    }

    pub(super) fn operation(
        &mut self,
        path: &str,
        file: &file::File,
        service: &str,
        operation: &str,
    ) -> (usize, usize) {
        let index = self.index(&format!("{path}.service"), "service", &file.services, service);
        match file.services.get(service) {
            Some(s) => {
                let kind = format!("operation of {service}");
                (index, self.index(&format!("{path}.operation"), &kind, &s.operations, operation))
            }
            None => (index, 0),
        }
    }
}

pub(super) fn check(name: &str, file: file::File) -> Result<Scenario, Vec<String>> {
    let mut problems = Problems::default();
    let p = &mut problems;
    let horizon_s = p.within("horizon_s", file.horizon_s, 1.0, HORIZON_S_MAX);
    let mut entries: Vec<Entry> = file.entries.iter().enumerate().map(|(i, e)| entry(p, &file, i, e)).collect();
    let calendar = calendar::check(p, &file, &mut entries);
    let scenario = Scenario {
        name: name.into(),
        description: file.description.trim().into(),
        namespace: file.namespace.clone(),
        horizon_s,
        shaping: file.shaping,
        truth: truth(p, &file),
        services: file.services.iter().map(|(name, s)| service(p, &file, name, s)).collect(),
        entries,
        calendar,
        peers: file.peers.iter().map(|(name, peer)| self::peer(p, name, peer)).collect(),
        faults: file.faults.iter().enumerate().map(|(i, f)| check_faults::fault(p, &file, i, f)).collect(),
        nodes: nodes(p, &file),
        pod_start: pod_start(p, file.pod_start),
        telemetry: telemetry(p, file.telemetry),
        network_ns: (p.within("network_ms", file.network_ms, 0.0, 1000.0) * 1e6) as i64,
    };
    if file.entries.is_empty() {
        p.add("entries", "there is no request class; add one, else nothing happens");
    }
    if p.0.is_empty()
        && let Some(cycle) = cycle(&scenario)
    {
        p.add("services", format!("calls go in a circle: {cycle}; break one of them"));
    }
    if p.0.is_empty() {
        messages(p, &scenario);
        fan_out(p, &scenario);
    }
    if problems.0.is_empty() { Ok(scenario) } else { Err(problems.0) }
}

fn truth(p: &mut Problems, file: &file::File) -> Truth {
    let untold = file::Truth {
        targets: Vec::new(),
        verdict: "healthy".into(),
        at: Vec::new(),
        also: Vec::new(),
        places: Vec::new(),
        shed: Vec::new(),
        onset_s: 0.0,
        window_s: file.horizon_s,
    };
    let truth = file.truth.as_ref().unwrap_or(&untold);
    let onset_s = p.within("truth.onset_s", truth.onset_s, 0.0, file.horizon_s);
    p.within("truth.window_s", truth.window_s, 1.0, file.horizon_s - onset_s);
    verdict(p, "truth.verdict", &truth.verdict);
    let targets = services(p, "truth.targets", file, &truth.targets);
    let at = services(p, "truth.at", file, &truth.at);
    let also = truth.also.iter().enumerate().map(|(i, also)| {
        verdict(p, &format!("truth.also[{i}].verdict"), &also.verdict);
        (also.verdict.clone(), services(p, &format!("truth.also[{i}].at"), file, &also.at))
    });
    let also: Vec<(String, Vec<usize>)> = also.collect();
    for (i, name) in truth.places.iter().enumerate() {
        if !file.services.contains_key(name) && !file.peers.contains_key(name) {
            p.add(&format!("truth.places[{i}]"), format!("there is no service or peer `{name}`"));
        }
    }
    let at = if at.is_empty() { targets.clone() } else { at };
    let named = at.iter().chain(also.iter().flat_map(|(_, at)| at));
    let named = named.filter_map(|&s| file.services.get_index(s)).map(|(name, _)| name.clone());
    Truth {
        places: if truth.places.is_empty() { named.collect() } else { truth.places.clone() },
        at,
        shed: services(p, "truth.shed", file, &truth.shed),
        also,
        targets,
        verdict: truth.verdict.clone(),
        onset_s,
        window_s: truth.window_s,
    }
}

fn verdict(p: &mut Problems, path: &str, verdict: &str) {
    if !VERDICTS.contains(&verdict) {
        p.add(path, format!("`{verdict}` is no verdict; choose one of {}", VERDICTS.join(", ")));
    }
}

fn services(p: &mut Problems, path: &str, file: &file::File, names: &[String]) -> Vec<usize> {
    let named = names.iter().enumerate();
    named.map(|(i, name)| p.index(&format!("{path}[{i}]"), "service", &file.services, name)).collect()
}

fn service(p: &mut Problems, file: &file::File, name: &str, s: &file::Service) -> Service {
    let path = format!("services.{name}");
    let pods = match s.pods {
        file::Pods::Workers { threads, queue } => {
            p.within(&format!("{path}.pods.workers.threads"), threads.into(), 1.0, 100_000.0);
            Pods::Workers { threads, queue }
        }
        file::Pods::Shared { cores, burst_cores, in_flight_max } => {
            p.within(&format!("{path}.pods.shared.cores"), cores, 0.01, 1000.0);
            let burst_cores = burst_cores.unwrap_or(cores);
            p.within(&format!("{path}.pods.shared.burst_cores"), burst_cores, cores, 1000.0);
            p.within(&format!("{path}.pods.shared.in_flight_max"), in_flight_max.into(), 1.0, 1e6);
            Pods::Shared { cores, burst_cores, in_flight_max }
        }
    };
    p.within(&format!("{path}.max_replicas"), s.max_replicas.into(), 1.0, REPLICAS_MAX.into());
    let min_replicas = s.min_replicas.unwrap_or(s.replicas);
    p.within(&format!("{path}.min_replicas"), min_replicas.into(), 0.0, s.max_replicas.into());
    // Of a service without pods nothing is seen, so that nothing would scale it.
    p.within(&format!("{path}.replicas"), s.replicas.into(), min_replicas.max(1).into(), s.max_replicas.into());
    let operations = s.operations.iter();
    Service {
        name: name.into(),
        pods,
        replicas: s.replicas,
        min_replicas,
        max_replicas: s.max_replicas,
        balance: s.balance,
        version: s.version.clone(),
        proxy: s.proxy,
        operations: operations.map(|(n, o)| operation(p, file, &format!("{path}.operations.{n}"), n, o)).collect(),
    }
}

pub(super) fn duration(p: &mut Problems, path: &str, median_ns: f64, sigma: f64) -> Duration {
    p.within(path, median_ns / 1e6, 0.0, 3_600_000.0);
    p.within(&format!("{path} (sigma)"), sigma, 0.0, 3.0);
    Duration { median_ns, sigma }
}

fn operation(p: &mut Problems, file: &file::File, path: &str, name: &str, o: &file::Operation) -> Operation {
    let calls: Vec<Call> =
        o.calls.iter().enumerate().map(|(i, c)| call(p, file, &format!("{path}.calls[{i}]"), c)).collect();
    let split = o.split;
    let total = split.before + split.between + split.after;
    if ![split.before, split.between, split.after].iter().all(|w| *w >= 0.0) || total <= 0.0 {
        p.add(&format!("{path}.split"), "the weights must not be negative, and not all zero");
    }
    Operation {
        name: name.into(),
        own: duration(p, &format!("{path}.own_ms"), o.own_ms * 1e6, o.sigma),
        internal: o.internal.clone(),
        steps: steps(o, total),
        calls,
    }
}

/// Own work before, between and after the calls.
fn steps(o: &file::Operation, total: f64) -> Vec<Step> {
    let last = |share: f64| if o.internal.is_some() { Step::Internal(share) } else { Step::Work(share) };
    let each: Vec<u16> =
        (0_u16..).zip(&o.calls).flat_map(|(i, c)| (0..c.count.min(CALLS_MAX)).map(move |_| i)).collect();
    if each.is_empty() {
        return vec![last(1.0)];
    }
    let groups: Vec<Vec<u16>> = if o.parallel { vec![each] } else { each.into_iter().map(|i| vec![i]).collect() };
    let gaps = groups.len() - 1;
    // With nothing between, that share belongs to the work before.
    let before = if gaps == 0 { o.split.before + o.split.between } else { o.split.before };
    let mut steps = vec![Step::Work(before / total)];
    for (i, group) in groups.into_iter().enumerate() {
        if i > 0 {
            steps.push(Step::Work(o.split.between / total / gaps as f64));
        }
        steps.push(Step::Calls(group));
    }
    steps.push(last(o.split.after / total));
    steps
}

fn call(p: &mut Problems, file: &file::File, path: &str, c: &file::Call) -> Call {
    let target = match (&c.service, &c.operation, &c.peer, &c.span) {
        (Some(service), Some(operation), None, None) => {
            let (service, operation) = p.operation(path, file, service, operation);
            Target::Operation { service, operation }
        }
        (None, None, Some(peer), Some(span)) => {
            Target::Peer { peer: p.index(&format!("{path}.peer"), "peer", &file.peers, peer), span: span.clone() }
        }
        _ => {
            p.add(path, "a call names either `service` and `operation`, or `peer` and `span`");
            Target::Operation { service: 0, operation: 0 }
        }
    };
    p.within(&format!("{path}.count"), c.count.into(), 1.0, CALLS_MAX.into());
    if c.queue_ms.is_some() && c.service.is_none() {
        p.add(
            &format!("{path}.queue_ms"),
            "a message goes to a `service`, which sends a CONSUMER span; a peer sends none",
        );
    }
    Call {
        target,
        probability: p.within(&format!("{path}.probability"), c.probability, 0.0, 1.0),
        timeout_ns: timeout(p, path, c.timeout_ms),
        retries: retries(p, path, c.retries),
        queue: c.queue_ms.map(|ms| duration(p, &format!("{path}.queue_ms"), ms * 1e6, QUEUE_SIGMA)),
    }
}

/// Calls multiply from service to service: a request of eight calls at each of eleven services would be 8^11 of them.
fn fan_out(p: &mut Problems, scenario: &Scenario) {
    let made = |(service, operation): (usize, usize)| {
        let operation = &scenario.services[service].operations[operation];
        let groups = operation.steps.iter().filter_map(|step| match step {
            Step::Calls(group) => Some(group),
            Step::Work(_) | Step::Internal(_) => None,
        });
        groups.flatten().map(move |at| &operation.calls[usize::from(*at)])
    };
    let callee = |call: &Call| match call.target {
        Target::Operation { service, operation } => Some((service, operation)),
        Target::Peer { .. } => None,
    };
    // Calls that one of an operation makes in the mean, here and further down: callees first, as there is no circle.
    let mut known = std::collections::BTreeMap::new();
    for (index, entry) in scenario.entries.iter().enumerate() {
        let root = (entry.service, entry.operation_index);
        let mut open = vec![root];
        while let Some(of) = open.last().copied() {
            let unknown: std::collections::BTreeSet<_> =
                made(of).filter_map(callee).filter(|callee| !known.contains_key(callee)).collect();
            if unknown.is_empty() {
                let below = |call: &Call| callee(call).and_then(|callee| known.get(&callee).copied()).unwrap_or(0.0);
                let calls: f64 = made(of).map(|call| call.probability * (1.0 + below(call))).sum();
                known.insert(of, calls);
                open.pop();
            }
            open.extend(unknown);
        }
        let calls = known.get(&root).copied().unwrap_or(0.0);
        if calls > CALLS_OF_A_REQUEST_MAX {
            let what =
                format!("one request makes {calls:.0} calls, of at most {CALLS_OF_A_REQUEST_MAX}; call less often");
            p.add(&format!("entries[{index}]"), what);
        }
    }
}

/// An operation takes messages or calls, as its span has one kind.
fn messages(p: &mut Problems, scenario: &Scenario) {
    let of_services = scenario.services.iter().flat_map(|s| &s.operations).flat_map(|o| &o.calls);
    let calls = of_services.map(|call| (&call.target, call.queue.is_some()));
    let targets =
        scenario.entries.iter().map(|e| Target::Operation { service: e.service, operation: e.operation_index });
    let users: Vec<Target> = targets.collect();
    let calls: Vec<(&Target, bool)> = calls.chain(users.iter().map(|target| (target, false))).collect();
    for (target, is_message) in &calls {
        let Target::Operation { service, operation } = target else { continue };
        if *is_message && calls.iter().any(|(other, is_message)| other == target && !is_message) {
            let service = &scenario.services[*service];
            let path = format!("services.{}.operations.{}", service.name, service.operations[*operation].name);
            return p.add(&path, "takes messages (`queue_ms`) and calls; give it one operation for each");
        }
    }
}

fn timeout(p: &mut Problems, path: &str, timeout_ms: f64) -> i64 {
    (p.within(&format!("{path}.timeout_ms"), timeout_ms, 1.0, 600_000.0) * 1e6) as i64
}

fn retries(p: &mut Problems, path: &str, r: file::Retries) -> Retries {
    p.within(&format!("{path}.retries.attempts"), r.attempts.into(), 0.0, 10.0);
    p.within(&format!("{path}.retries.backoff_ms"), r.backoff_ms, 0.0, 60_000.0);
    p.within(&format!("{path}.retries.budget"), r.budget, 0.0, 10.0);
    Retries { attempts: r.attempts, backoff_ns: r.backoff_ms * 1e6, budget: r.budget }
}

fn entry(p: &mut Problems, file: &file::File, index: usize, e: &file::Entry) -> Entry {
    let path = format!("entries[{index}]");
    let (service, operation_index) = p.operation(&path, file, &e.service, &e.operation);
    p.within(&format!("{path}.objective.latency_ms"), e.objective.latency_ms, 0.001, 600_000.0);
    p.within(&format!("{path}.objective.quantile"), e.objective.quantile, 0.5, 0.999_999);
    p.within(&format!("{path}.objective.errors"), e.objective.errors, 0.0, 1.0);
    let mut table = Vec::new();
    let class = |entry: &file::Entry| (entry.service.clone(), entry.operation.clone(), entry.client.clone());
    let same = file.entries[..index].iter().position(|other| class(other) == class(e));
    if let Some(same) = same {
        p.add(&path, format!("is the request class of entries[{same}] again; add up their traffic"));
    }
    let is_csv = e.traffic.shapes.iter().any(|shape| matches!(shape, Shape::Csv(_)));
    if is_csv && e.traffic.rate != 1.0 {
        let rate = e.traffic.rate;
        p.add(&format!("{path}.traffic.rate"), format!("{rate} has no effect, as `csv` gives the rate; write rate: 1"));
    }
    for (i, shape) in e.traffic.shapes.iter().enumerate() {
        self::shape(p, &format!("{path}.traffic.shapes[{i}]"), shape, &mut table);
    }
    Entry {
        service,
        operation: e.operation.clone(),
        client: e.client.clone(),
        priority: e.priority,
        objective: e.objective,
        operation_index,
        timeout_ns: timeout(p, &path, e.timeout_ms),
        retries: retries(p, &path, e.retries),
        rate: p.within(&format!("{path}.traffic.rate"), e.traffic.rate, 0.0, RATE_MAX),
        shapes: e.traffic.shapes.clone(),
        table,
        surges: Vec::new(),
    }
}

fn shape(p: &mut Problems, path: &str, shape: &Shape, table: &mut Vec<(f64, f64)>) {
    match shape {
        Shape::Step { factor, .. } => {
            p.within(path, *factor, 0.0, 1e6);
        }
        Shape::Ramp { from_s, to_s, factor } => {
            p.within(path, *factor, 0.0, 1e6);
            if to_s < from_s {
                p.add(&format!("{path}.to_s"), format!("{to_s} is before from_s, {from_s}"));
            }
        }
        Shape::Burst { rise_s, hold_s, fall_s, factor, .. } => {
            p.within(path, *factor, 0.0, 1e6);
            [rise_s, hold_s, fall_s].into_iter().for_each(|s| {
                p.within(path, *s, 0.0, HORIZON_S_MAX);
            });
        }
        Shape::Bells { every_s, width_s, factor, .. } => {
            p.within(path, *factor, 0.0, 1e6);
            p.within(path, *every_s, 1.0, HORIZON_S_MAX);
            p.within(path, *width_s, 0.1, HORIZON_S_MAX);
        }
        Shape::Noise { sigma, every_s } => {
            p.within(path, *sigma, 0.0, 3.0);
            p.within(path, *every_s, 0.1, HORIZON_S_MAX);
        }
        Shape::Csv(text) => {
            for (i, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()) {
                let row = line.split_once(',').and_then(|(second, rate)| {
                    Some((second.trim().parse::<f64>().ok()?, rate.trim().parse::<f64>().ok()? / 60.0))
                });
                match row {
                    Some((second, rate)) if rate >= 0.0 && table.last().is_none_or(|last| last.0 < second) => {
                        table.push((second, rate));
                    }
                    _ => p.add(path, format!("line {} is not `second,requests a minute` in rising order", i + 1)),
                }
            }
        }
    }
}

fn peer(p: &mut Problems, name: &str, peer: &file::Peer) -> Peer {
    let path = format!("peers.{name}");
    p.within(&format!("{path}.connections"), peer.connections.into(), 1.0, 100_000.0);
    Peer {
        name: name.into(),
        system: peer.system.clone(),
        namespace: peer.namespace.clone(),
        latency: duration(p, &format!("{path}.latency_ms"), peer.latency_ms * 1e6, peer.sigma),
        connections: peer.connections,
    }
}

fn nodes(p: &mut Problems, file: &file::File) -> Nodes {
    let n = file.nodes;
    let wanted: u32 = file.services.values().map(|s| s.replicas.min(REPLICAS_MAX)).sum();
    if n.count.saturating_mul(n.room) < wanted {
        p.add("nodes", format!("{} nodes of room {} do not hold the {wanted} pods of the start", n.count, n.room));
    }
    p.within("nodes.max", n.max.into(), n.count.into(), 10_000.0);
    Nodes { count: n.count, max: n.max, room: n.room, arrival: duration(p, "nodes.arrival_s", n.arrival_s * 1e9, 0.25) }
}

fn pod_start(p: &mut Problems, s: file::PodStart) -> PodStart {
    p.within("pod_start.pull_p95_s", s.pull_p95_s, s.pull_p50_s, 3600.0);
    p.within("pod_start.probe_s", s.probe_s, 0.0, 3600.0);
    p.within("pod_start.warm_up_s", s.warm_up_s, 0.0, 3600.0);
    p.within("pod_start.warm_up_factor", s.warm_up_factor, 0.01, 1000.0);
    let sigma = if s.pull_p50_s > 0.0 { (s.pull_p95_s / s.pull_p50_s).ln() / Z95 } else { 0.0 };
    PodStart {
        pull: duration(p, "pod_start.pull_p50_s", s.pull_p50_s * 1e9, sigma),
        cached: duration(p, "pod_start.cached_p50_s", s.cached_p50_s * 1e9, sigma),
        probe_ns: s.probe_s * 1e9,
        warm_up_ns: seconds(s.warm_up_s),
        warm_up_factor: s.warm_up_factor,
    }
}

fn telemetry(p: &mut Problems, t: file::Telemetry) -> Telemetry {
    p.within("telemetry.sdk_batch_s", t.sdk_batch_s, 0.01, 60.0);
    p.within("telemetry.collector_min_s", t.collector_min_s, 0.0, 60.0);
    p.within("telemetry.collector_max_s", t.collector_max_s, t.collector_min_s, 60.0);
    p.within("telemetry.late_share", t.late_share, 0.0, 1.0);
    p.within("telemetry.late_s", t.late_s, 0.0, 600.0);
    p.within("telemetry.sampling", t.sampling, 0.000_001, 1.0);
    p.within("telemetry.skew_ms", t.skew_ms, 0.0, 10_000.0);
    Telemetry {
        sdk_batch_ns: seconds(t.sdk_batch_s),
        collector_min_ns: t.collector_min_s * 1e9,
        collector_max_ns: t.collector_max_s * 1e9,
        late_share: t.late_share,
        late_ns: seconds(t.late_s),
        sampling: t.sampling,
        skew_ns: t.skew_ms * 1e6,
        versions: t.versions,
        pods: t.pods,
        callees: t.callees,
    }
}

/// A circle in the call graph, as `a GET /x -> b GET /y -> a GET /x`.
fn cycle(scenario: &Scenario) -> Option<String> {
    let label = |(s, o): (usize, usize)| {
        let service = &scenario.services[s];
        format!("{} {}", service.name, service.operations[o].name)
    };
    let mut done = std::collections::BTreeSet::new();
    let roots =
        (0..scenario.services.len()).flat_map(|s| (0..scenario.services[s].operations.len()).map(move |o| (s, o)));
    for root in roots {
        // Depth first with the path kept: (operation, next call to follow).
        let mut path = vec![(root, 0)];
        while let Some((node, next)) = path.last_mut() {
            let (node, calls) = (*node, &scenario.services[node.0].operations[node.1].calls);
            let Some(call) = calls.get(*next).filter(|_| !done.contains(&node)) else {
                done.insert(node);
                path.pop();
                continue;
            };
            *next += 1;
            if let Target::Operation { service, operation } = call.target {
                let callee = (service, operation);
                if let Some(from) = path.iter().position(|(n, _)| *n == callee) {
                    let circle = path[from..].iter().map(|(n, _)| *n).chain([callee]).map(label);
                    return Some(circle.collect::<Vec<_>>().join(" -> "));
                }
                path.push((callee, 0));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
