//! What goes wrong in a drawn system, where, how badly, and what is right to say of it.

use indexmap::IndexMap;

use super::chance::{Chance, rounded};
use super::graph::{System, To};
use super::{ENDS_S, Kind, ONSET_S};
use crate::simulate::scenario::Unreachable;
use crate::simulate::scenario::file::{Fault, Telemetry};

/// A service asked less often than this cannot be told within a minute; some are that quiet.
const ASKED_PER_S: (f64, f64) = (0.2, 1.5);

/// Times added by a fault, of what the slowest healthy request of its entry takes: from what some requests feel to what
/// all do.
const FELT: (f64, f64) = (0.4, 8.0);

pub(super) struct Plan {
    pub verdict: &'static str,
    /// Services to scale out.
    pub targets: Vec<usize>,
    pub at: Vec<usize>,
    /// What else is right, of a second fault.
    pub also: Option<(&'static str, Vec<usize>)>,
    /// Services and peers that may be named first.
    pub places: Vec<String>,
    pub faults: Vec<Fault>,
    /// By entry: times the load from the onset on.
    pub bursts: Vec<f64>,
    /// By service: times the size that the usual load needs.
    pub room: Vec<f64>,
    /// By service: how many pods it has, where the fault asks for it.
    pub replicas: Vec<Option<u32>>,
    /// By service: the workers of each, where the fault asks for it.
    pub threads: Vec<Option<u32>>,
}

impl Plan {
    fn new(system: &System, verdict: &'static str) -> Plan {
        Plan {
            verdict,
            targets: vec![],
            at: vec![],
            also: None,
            places: vec![],
            faults: vec![],
            bursts: vec![1.0; system.entries.len()],
            room: vec![1.0; system.services.len()],
            replicas: vec![None; system.services.len()],
            threads: vec![None; system.services.len()],
        }
    }

    /// What can be told from the columns that are there: without versions a slow release is slow, and so is a slow pod
    /// without pods.
    pub fn seen_with(self, kind: Kind, telemetry: &Telemetry) -> Plan {
        let is_hidden = match kind {
            Kind::Regression => !telemetry.versions,
            Kind::BadInstance => !telemetry.pods,
            _ => false,
        };
        if is_hidden { Plan { verdict: "degraded", ..self } } else { self }
    }

    fn at(mut self, system: &System, service: usize) -> Plan {
        self.at.push(service);
        self.places.push(system.services[service].name.clone());
        self
    }

    fn fault(mut self, fault: Fault) -> Plan {
        self.faults.push(fault);
        self
    }
}

/// None where the system has no room for it: draw another.
pub(super) fn draw(kind: Kind, system: &mut System, chance: &mut Chance) -> Option<Plan> {
    match kind {
        Kind::Saturated => saturated(system, chance),
        Kind::Degraded => degraded(system, chance),
        Kind::BadInstance => bad_instance(system, chance),
        Kind::Regression => regression(system, chance),
        Kind::Amplification => amplification(system, chance),
        Kind::SlowDependency => slow_dependency(system, chance),
        Kind::SlowEdge => slow_edge(system, chance, false),
        Kind::SlowEdgeOne => slow_edge(system, chance, true),
        Kind::LossyLink => lossy_link(system, chance),
        Kind::ExhaustedPool => exhausted_pool(system, chance),
        Kind::Refused => {
            let how = if chance.happens(0.5) { Unreachable::Refused } else { Unreachable::Rejected };
            unreachable(system, chance, how)
        }
        Kind::BlackHole => unreachable(system, chance, Unreachable::BlackHole),
        Kind::Failing => failing(system, chance),
        Kind::EarlyReturn => early_return(system, chance),
        Kind::Two => two(system, chance),
        Kind::None => Some(none(system, chance)),
    }
}

/// A service below the first layer that is asked often enough.
fn culprit(system: &System, chance: &mut Chance) -> Option<usize> {
    let asked = asked(system);
    let least = if chance.happens(0.2) { ASKED_PER_S.0 } else { ASKED_PER_S.1 };
    let worth: Vec<usize> =
        (0..system.services.len()).filter(|s| system.services[*s].layer > 0 && asked[*s] >= least).collect();
    chance.pick(&worth)
}

/// Calls a second of each service, messages left out.
fn asked(system: &System) -> Vec<f64> {
    let mut asked = vec![0.0; system.services.len()];
    for (operation, rate) in system.operations.iter().zip(system.usual_rates()) {
        if !operation.takes_messages {
            asked[operation.service] += rate;
        }
    }
    asked
}

/// Milliseconds that a fault there adds to a request, so that those who ask most feel it more or less.
fn added_ms(system: &System, chance: &mut Chance, place: impl Fn(To) -> bool) -> Option<f64> {
    let reaching = system.entries.iter().filter(|entry| system.reaches(entry.operation, &place));
    let busiest = reaching.max_by(|a, b| a.rate.total_cmp(&b.rate))?;
    Some(system.time(busiest.operation).longest_ms() * chance.log_between(FELT.0, FELT.1))
}

fn is_of(system: &System, service: usize) -> impl Fn(To) -> bool {
    move |to| matches!(to, To::Operation(o) if system.operations[o].service == service)
}

/// The operation of a service that is asked most often.
fn busiest(system: &System, service: usize) -> Option<usize> {
    let rates = system.usual_rates();
    let calls = system.of(service).filter(|o| !system.operations[*o].takes_messages);
    calls.max_by(|a, b| rates[*a].total_cmp(&rates[*b]))
}

/// Times the own time of the service's busiest operation by which a fault is felt.
fn slowness(system: &System, chance: &mut Chance, service: usize) -> Option<f64> {
    let own_ms = system.operations[busiest(system, service)?].own_ms;
    let added_ms = added_ms(system, chance, is_of(system, service))?;
    Some(rounded((1.0 + added_ms / own_ms).clamp(1.3, 900.0)))
}

fn saturated(system: &mut System, chance: &mut Chance) -> Option<Plan> {
    // A burst multiplies what is recorded.
    system.scale_to(chance.log_between(50.0, 120.0));
    let culprit = culprit(system, chance)?;
    let factor = rounded(chance.between(3.2, 8.0));
    let replicas = chance.integer(1, 3);
    // In the burst it is asked for this many times what it can serve.
    let calm = (chance.between(1.4, 2.5) / factor).min(0.45);
    let mut plan = Plan::new(system, "saturated").at(system, culprit);
    plan.targets = vec![culprit];
    let is_culprit = is_of(system, culprit);
    let reaches = system.entries.iter().map(|entry| system.reaches(entry.operation, &is_culprit));
    plan.bursts = reaches.map(|reaches| if reaches { factor } else { 1.0 }).collect();
    drop(is_culprit);
    // All others have room for the burst.
    plan.room = vec![factor; system.services.len()];
    plan.replicas[culprit] = Some(replicas);
    // A service that is hardly busy gets slower work, so that a few threads have enough to do.
    let least = chance.integer(2, 4);
    let (asked, held) = load(system, culprit);
    let wanted = calm * f64::from(least * replicas);
    if held < wanted {
        let longer_ms = (wanted - held) * 1e3 / asked;
        if longer_ms > 150.0 {
            return None;
        }
        let operations: Vec<usize> = system.of(culprit).collect();
        for operation in operations {
            let own_ms = &mut system.operations[operation].own_ms;
            *own_ms = rounded(*own_ms + longer_ms);
        }
        system.lengthen_timeouts();
    }
    let (_, held) = load(system, culprit);
    plan.threads[culprit] = Some(((held / calm / f64::from(replicas)).floor() as u32).max(least));
    Some(plan)
}

/// Requests a second of a service, and how many are held at once where nothing waits.
fn load(system: &System, service: usize) -> (f64, f64) {
    let rates = system.usual_rates();
    let of_service = || system.of(service);
    (of_service().map(|o| rates[o]).sum(), of_service().map(|o| rates[o] * system.time(o).mean_ms / 1e3).sum())
}

/// All operations of a service, or one.
fn degraded(system: &System, chance: &mut Chance) -> Option<Plan> {
    let culprit = culprit(system, chance)?;
    let factor = slowness(system, chance, culprit)?;
    let mut plan = Plan::new(system, "degraded").at(system, culprit);
    let all: Vec<usize> = system.of(culprit).collect();
    let slow = if chance.happens(0.5) { all } else { busiest(system, culprit).into_iter().collect() };
    for operation in slow {
        plan = plan.fault(Fault::SlowOperation {
            service: system.services[culprit].name.clone(),
            operation: system.operations[operation].name.clone(),
            factor,
            from_s: ONSET_S,
            to_s: ENDS_S,
        });
    }
    give_room(&mut plan, system, chance, culprit, factor);
    Some(plan)
}

/// Mostly there are threads and cores enough for the slow work, of the culprit and of all who wait for it.
fn give_room(plan: &mut Plan, system: &System, chance: &mut Chance, culprit: usize, factor: f64) {
    if chance.happens(0.7) {
        plan.room = vec![4.0; system.services.len()];
        plan.room[culprit] = factor;
    }
}

fn bad_instance(system: &System, chance: &mut Chance) -> Option<Plan> {
    let culprit = culprit(system, chance)?;
    let factor = slowness(system, chance, culprit)?;
    let replicas = chance.integer(2, 5);
    let mut plan = Plan::new(system, "bad_instance").at(system, culprit).fault(Fault::SlowPod {
        service: system.services[culprit].name.clone(),
        pod: chance.integer(0, replicas - 1),
        factor,
        from_s: ONSET_S,
        to_s: ENDS_S,
    });
    plan.replicas[culprit] = Some(replicas);
    Some(plan)
}

fn release(system: &System, culprit: usize, factor: f64, calls: IndexMap<String, u32>) -> Fault {
    let service = system.services[culprit].name.clone();
    Fault::Release { service, version: "v2".into(), factor, at_s: ONSET_S, calls, weight: None }
}

fn regression(system: &System, chance: &mut Chance) -> Option<Plan> {
    let culprit = culprit(system, chance)?;
    let factor = slowness(system, chance, culprit)?;
    let plan = Plan::new(system, "regression").at(system, culprit);
    let mut plan = plan.fault(release(system, culprit, factor, IndexMap::new()));
    give_room(&mut plan, system, chance, culprit, factor);
    Some(plan)
}

/// The callee has no room for so many calls; whom it calls has.
fn amplification(system: &mut System, chance: &mut Chance) -> Option<Plan> {
    system.scale_to(chance.log_between(50.0, 150.0));
    let caller = culprit(system, chance)?;
    let calls = system.of(caller).flat_map(|o| &system.operations[o].calls);
    let callees: Vec<usize> = calls
        .filter_map(|call| match call.to {
            To::Operation(o) if call.queue_ms.is_none() && system.operations[o].service != caller => Some(o),
            _ => None,
        })
        .map(|o| system.operations[o].service)
        .collect();
    let callee = chance.pick(&callees)?;
    let times = chance.integer(3, 8);
    let mut plan = Plan::new(system, "amplification").at(system, callee);
    plan.places.push(system.services[caller].name.clone());
    plan.targets = vec![callee];
    plan.room = vec![f64::from(times); system.services.len()];
    plan.room[callee] = 1.0;
    let calls = IndexMap::from([(system.services[callee].name.clone(), times)]);
    Some(plan.fault(release(system, caller, 1.0, calls)))
}

/// A peer that is asked often enough, and the services that ask it.
fn peer(system: &System, chance: &mut Chance) -> Option<(usize, Vec<usize>)> {
    let rates = system.usual_rates();
    let asked = |peer: usize| system.callers(To::Peer(peer)).map(|o| rates[o]).sum::<f64>();
    let worth: Vec<usize> = (0..system.peers.len()).filter(|p| asked(*p) >= ASKED_PER_S.1).collect();
    let peer = chance.pick(&worth)?;
    let mut callers: Vec<usize> = system.callers(To::Peer(peer)).map(|o| system.operations[o].service).collect();
    callers.sort_unstable();
    callers.dedup();
    Some((peer, callers))
}

/// A peer sends no spans, so its only caller may be named as well.
fn at_peer(plan: Plan, system: &System, peer: usize, callers: &[usize]) -> Plan {
    let mut plan = if let [caller] = callers { plan.at(system, *caller) } else { plan };
    if callers.len() > 1 {
        plan.at = callers.to_vec();
    }
    plan.places.push(system.peers[peer].name.clone());
    plan
}

fn slow_dependency(system: &System, chance: &mut Chance) -> Option<Plan> {
    let (peer, callers) = peer(system, chance)?;
    let added_ms = added_ms(system, chance, |to| to == To::Peer(peer))?;
    let factor = rounded((1.0 + added_ms / system.peers[peer].latency_ms).clamp(1.5, 900.0));
    let name = system.peers[peer].name.clone();
    let mut plan = at_peer(Plan::new(system, "slow_dependency"), system, peer, &callers);
    if chance.happens(0.7) {
        plan.room = vec![4.0; system.services.len()];
    }
    Some(plan.fault(Fault::SlowPeer { peer: name, factor, from_s: ONSET_S, to_s: ENDS_S }))
}

/// A callee and, for one edge, the caller that is concerned; it is asked often enough by that one.
fn edge(system: &System, chance: &mut Chance, one: bool) -> Option<(usize, Option<usize>)> {
    let callee = culprit(system, chance)?;
    if !one {
        return Some((callee, None));
    }
    let rates = system.usual_rates();
    let asks = |caller: usize| -> f64 {
        let calls = system.of(caller).flat_map(|o| system.operations[o].calls.iter().map(move |call| (o, call)));
        let to_callee = calls.filter(|(_, call)| is_of(system, callee)(call.to) && call.queue_ms.is_none());
        to_callee.map(|(o, call)| rates[o] * call.probability).sum()
    };
    let callers = system.calling_services(callee);
    let busy: Vec<usize> = callers.iter().copied().filter(|caller| asks(*caller) >= ASKED_PER_S.1 / 2.0).collect();
    Some((callee, Some(chance.pick(&busy).filter(|_| callers.len() > 1)?)))
}

fn name_of(system: &System, service: Option<usize>) -> Option<String> {
    service.map(|s| system.services[s].name.clone())
}

fn slow_edge(system: &System, chance: &mut Chance, one: bool) -> Option<Plan> {
    let (callee, caller) = edge(system, chance, one)?;
    let delay_ms = rounded(added_ms(system, chance, is_of(system, callee))?);
    let mut plan = Plan::new(system, "degraded").at(system, callee);
    if chance.happens(0.7) {
        plan.room = vec![4.0; system.services.len()];
    }
    Some(plan.fault(Fault::SlowEdge {
        callee: system.services[callee].name.clone(),
        caller: name_of(system, caller),
        delay_ms,
        from_s: ONSET_S,
        to_s: ENDS_S,
    }))
}

fn lossy_link(system: &System, chance: &mut Chance) -> Option<Plan> {
    let one = chance.happens(0.4);
    let (callee, caller) = edge(system, chance, one)?;
    let retransmit_ms = chance.happens(0.5).then(|| chance.pick(&[200.0, 1_000.0])).flatten();
    let verdict = if retransmit_ms.is_some() { "degraded" } else { "unreachable" };
    Some(Plan::new(system, verdict).at(system, callee).fault(Fault::LossyLink {
        callee: system.services[callee].name.clone(),
        caller: name_of(system, caller),
        share: rounded(chance.log_between(0.03, 0.6)),
        retransmit_ms,
        from_s: ONSET_S,
        to_s: ENDS_S,
    }))
}

fn exhausted_pool(system: &System, chance: &mut Chance) -> Option<Plan> {
    let caller = culprit(system, chance)?;
    let rates = system.usual_rates();
    let calls: Vec<(To, f64)> = system
        .of(caller)
        .flat_map(|o| system.operations[o].calls.iter().map(move |call| (o, call)))
        .filter(|(_, call)| call.queue_ms.is_none())
        .map(|(o, call)| (call.to, rates[o] * call.probability * f64::from(call.count)))
        .filter(|(_, rate)| *rate >= ASKED_PER_S.1)
        .collect();
    let (to, _) = chance.pick(&calls)?;
    let (callee, is_peer) = match to {
        To::Operation(o) => (system.services[system.operations[o].service].name.clone(), false),
        To::Peer(peer) => (system.peers[peer].name.clone(), true),
    };
    let is_to = |other: To| match (other, to) {
        (To::Operation(a), To::Operation(b)) => system.operations[a].service == system.operations[b].service,
        (a, b) => a == b,
    };
    let asked: f64 = calls.iter().filter(|(other, _)| is_to(*other)).map(|(_, rate)| rate).sum();
    let replicas = chance.integer(1, 3);
    let connections = chance.integer(1, 4);
    // Held for as long as makes the pool busy, or too small.
    let busy = chance.between(0.7, 1.6);
    let held_ms = rounded(busy * f64::from(connections * replicas) / asked * 1e3);
    // Those who ask databases see the wait in the caller alone; those of HTTP see a slow edge, which has two ends.
    let wait_in_span = !is_peer && chance.happens(0.6);
    let mut plan = Plan::new(system, "degraded").at(system, caller);
    if wait_in_span {
        plan.places.push(callee.clone());
        // By spans alone it is a slow edge, and that belongs to the callee's side.
        plan.at = system.services.iter().position(|service| service.name == callee).into_iter().collect();
    }
    plan.room = vec![4.0; system.services.len()];
    plan.replicas[caller] = Some(replicas);
    let caller = system.services[caller].name.clone();
    let (from_s, to_s) = (ONSET_S, ENDS_S);
    Some(plan.fault(Fault::ExhaustedPool { callee, caller, connections, held_ms, wait_in_span, from_s, to_s }))
}

fn unreachable(system: &System, chance: &mut Chance, how: Unreachable) -> Option<Plan> {
    let (from_s, to_s) = (ONSET_S, ENDS_S);
    if chance.happens(0.2) {
        let (peer, callers) = peer(system, chance)?;
        let callee = system.peers[peer].name.clone();
        let plan = at_peer(Plan::new(system, "unreachable"), system, peer, &callers);
        return Some(plan.fault(Fault::Unreachable { callee, caller: None, how, from_s, to_s }));
    }
    let one = chance.happens(0.25);
    let (callee, caller) = edge(system, chance, one)?;
    let (plan, caller) = (Plan::new(system, "unreachable").at(system, callee), name_of(system, caller));
    let callee = system.services[callee].name.clone();
    Some(plan.fault(Fault::Unreachable { callee, caller, how, from_s, to_s }))
}

fn failing(system: &System, chance: &mut Chance) -> Option<Plan> {
    let culprit = culprit(system, chance)?;
    let operation = busiest(system, culprit)?;
    Some(Plan::new(system, "failing").at(system, culprit).fault(Fault::FailingOperation {
        service: system.services[culprit].name.clone(),
        operation: system.operations[operation].name.clone(),
        share: rounded(chance.log_between(0.03, 0.8)),
        from_s: ONSET_S,
        to_s: ENDS_S,
    }))
}

/// Of an operation that calls somebody for certain: else there is nothing that it could leave out.
fn early_return(system: &System, chance: &mut Chance) -> Option<Plan> {
    let rates = system.usual_rates();
    let callers: Vec<usize> = (0..system.operations.len())
        .filter(|o| system.layer(*o) > 0 && rates[*o] >= ASKED_PER_S.1)
        .filter(|o| system.operations[*o].calls.iter().any(|call| call.probability >= 1.0))
        .collect();
    let operation = chance.pick(&callers)?;
    let service = system.operations[operation].service;
    Some(Plan::new(system, "failing").at(system, service).fault(Fault::EarlyReturn {
        service: system.services[service].name.clone(),
        operation: system.operations[operation].name.clone(),
        share: rounded(chance.log_between(0.05, 0.9)),
        from_s: ONSET_S,
        to_s: ENDS_S,
    }))
}

/// Two at different places, neither of them known by the other's load.
fn two(system: &mut System, chance: &mut Chance) -> Option<Plan> {
    const KINDS: [Kind; 6] =
        [Kind::Degraded, Kind::BadInstance, Kind::SlowEdge, Kind::Refused, Kind::Failing, Kind::SlowDependency];
    let kinds = chance.sample(&KINDS, 2);
    let (mut first, second) = (draw(kinds[0], system, chance)?, draw(kinds[1], system, chance)?);
    if first.places.iter().any(|place| second.places.contains(place)) {
        return None;
    }
    first.also = Some((second.verdict, second.at));
    first.places.extend(second.places);
    first.faults.extend(second.faults);
    first.room.iter_mut().zip(second.room).for_each(|(a, b)| *a = a.max(b));
    first.replicas.iter_mut().zip(second.replicas).for_each(|(a, b)| *a = a.or(b));
    Some(first)
}

fn none(system: &System, chance: &mut Chance) -> Plan {
    let mut plan = Plan::new(system, "healthy");
    match chance.integer(0, 3) {
        0 => {
            let service = chance.integer(0, system.services.len() as u32 - 1) as usize;
            plan = plan.fault(release(system, service, 1.0, IndexMap::new()));
        }
        1 => {
            let factor = chance.between(1.2, 2.5);
            plan.bursts = vec![rounded(factor); system.entries.len()];
            plan.room = vec![factor; system.services.len()];
        }
        2 => {
            let share = rounded(chance.log_between(0.02, 0.5));
            plan = plan.fault(Fault::LostSpans { share, service: None, pod: None, from_s: ONSET_S, to_s: ENDS_S });
        }
        _ => {}
    }
    plan
}
