//! What goes wrong: names to indices, bounds.

use indexmap::IndexMap;

use super::check::{CALLS_MAX, Problems, duration};
use super::{Callee, Edge, EdgeTrouble, Fault, Loss, Trouble, file, seconds};
use crate::simulate::status::{FAILED, OK};

/// Spread of the delay of a slow edge: less than that of most services, as nothing is computed on the way.
const DELAY_SIGMA: f64 = 0.2;

/// Longest delay on the way, and longest time that a connection is held: past every timeout that makes sense.
const DELAY_MS_MAX: f64 = 600_000.0;

/// Clocks that are further off are those of another day.
const AHEAD_S_MAX: f64 = 3_600.0;

pub(super) fn fault(p: &mut Problems, file: &file::File, index: usize, fault: &file::Fault) -> Fault {
    let path = format!("faults[{index}]");
    let (from_s, to_s) = period(fault);
    if let Some(to_s) = to_s.filter(|to_s| *to_s < from_s) {
        p.add(&format!("{path}.to_s"), format!("{to_s} is before from_s, {from_s}"));
    }
    if from_s >= file.horizon_s {
        let horizon_s = file.horizon_s;
        p.add(&path, format!("begins at {from_s} s, and the simulation ends at {horizon_s} s (horizon_s)"));
    }
    let (from_ns, to_ns) = (seconds(from_s), to_s.map_or(i64::MAX, seconds));
    Fault { from_ns, to_ns, trouble: trouble(p, file, &path, fault) }
}

/// From when to when; a release has no end.
fn period(fault: &file::Fault) -> (f64, Option<f64>) {
    match *fault {
        file::Fault::SlowPeer { from_s, to_s, .. }
        | file::Fault::SlowOperation { from_s, to_s, .. }
        | file::Fault::SlowPod { from_s, to_s, .. }
        | file::Fault::FailingOperation { from_s, to_s, .. }
        | file::Fault::EarlyReturn { from_s, to_s, .. }
        | file::Fault::Unreachable { from_s, to_s, .. }
        | file::Fault::SlowEdge { from_s, to_s, .. }
        | file::Fault::LossyLink { from_s, to_s, .. }
        | file::Fault::ExhaustedPool { from_s, to_s, .. }
        | file::Fault::LostSpans { from_s, to_s, .. }
        | file::Fault::WrongClock { from_s, to_s, .. } => (from_s, Some(to_s)),
        file::Fault::Release { at_s, .. } => (at_s, None),
    }
}

fn trouble(p: &mut Problems, file: &file::File, path: &str, fault: &file::Fault) -> Trouble {
    let of = |field: &str| format!("{path}.{field}");
    let factor_within = |p: &mut Problems, factor: f64| p.within(&of("factor"), factor, 0.01, 1000.0);
    let share_within = |p: &mut Problems, share: f64| p.within(&of("share"), share, 0.0, 1.0);
    let service_of = |p: &mut Problems, name: &str| p.index(&of("service"), "service", &file.services, name);
    match fault {
        file::Fault::SlowPeer { peer, factor, .. } => {
            let peer = p.index(&of("peer"), "peer", &file.peers, peer);
            Trouble::SlowPeer { peer, factor: factor_within(p, *factor) }
        }
        file::Fault::SlowOperation { service, operation, factor, .. } => {
            let (service, operation) = p.operation(path, file, service, operation);
            Trouble::SlowOperation { service, operation, factor: factor_within(p, *factor) }
        }
        file::Fault::SlowPod { service, pod, factor, .. } => {
            let service = service_of(p, service);
            pod_of(p, file, path, service, *pod);
            Trouble::SlowPod { service, pod: *pod, factor: factor_within(p, *factor) }
        }
        file::Fault::FailingOperation { service, operation, share, .. }
        | file::Fault::EarlyReturn { service, operation, share, .. } => {
            let (service, operation) = p.operation(path, file, service, operation);
            let status = if matches!(fault, file::Fault::EarlyReturn { .. }) { OK } else { FAILED };
            Trouble::CutShort { service, operation, share: share_within(p, *share), status }
        }
        file::Fault::Release { service: name, version, factor, calls, weight, .. } => {
            let service = service_of(p, name);
            let others = file
                .faults
                .iter()
                .filter(|other| matches!(other, file::Fault::Release { service, .. } if service == name));
            if weight.is_some() && others.count() > 1 {
                p.add(&of("weight"), "a service with a release beside it has no other release");
            }
            let weight = weight.map(|share| (p.within(&of("weight"), share, 0.01, 1.0) * 100.0).round() as u32);
            let repeats = file.services.get(name).map_or_else(Vec::new, |s| repeats(p, path, s, calls));
            Trouble::Release { service, version: version.clone(), factor: factor_within(p, *factor), repeats, weight }
        }
        file::Fault::Unreachable { callee, caller, how, .. } => {
            Trouble::Edge(edge(p, file, path, callee, caller.as_deref()), EdgeTrouble::Unreachable(*how))
        }
        file::Fault::SlowEdge { callee, caller, delay_ms, .. } => {
            let delay = duration(p, &of("delay_ms"), delay_ms * 1e6, DELAY_SIGMA);
            Trouble::Edge(edge(p, file, path, callee, caller.as_deref()), EdgeTrouble::Slow { delay })
        }
        file::Fault::LossyLink { callee, caller, share, retransmit_ms, .. } => {
            let ms = retransmit_ms.map(|ms| p.within(&of("retransmit_ms"), ms, 1.0, DELAY_MS_MAX));
            let trouble = EdgeTrouble::Lossy { share: share_within(p, *share), retransmit_ns: ms.map(|ms| ms * 1e6) };
            Trouble::Edge(edge(p, file, path, callee, caller.as_deref()), trouble)
        }
        file::Fault::ExhaustedPool { callee, caller, connections, held_ms, wait_in_span, .. } => {
            let held_ns = (p.within(&of("held_ms"), *held_ms, 0.0, DELAY_MS_MAX) * 1e6) as i64;
            let pool = EdgeTrouble::ExhaustedPool { connections: *connections, held_ns, wait_in_span: *wait_in_span };
            Trouble::Edge(edge(p, file, path, callee, Some(caller)), pool)
        }
        file::Fault::LostSpans { share, service, pod, .. } => {
            if pod.is_some() && service.is_none() {
                p.add(&of("pod"), "say of which `service` it is");
            }
            let service = service.as_ref().map(|name| service_of(p, name));
            if let (Some(service), Some(pod)) = (service, pod) {
                pod_of(p, file, path, service, *pod);
            }
            Trouble::LostSpans(Loss { share: share_within(p, *share), service, pod: *pod })
        }
        file::Fault::WrongClock { service, ahead_s, .. } => {
            let service = service_of(p, service);
            let ahead_s = p.within(&of("ahead_s"), *ahead_s, -AHEAD_S_MAX, AHEAD_S_MAX);
            Trouble::WrongClock { service, ahead_ns: seconds(ahead_s) }
        }
    }
}

/// Pods are counted from 0; those that there are at the start have a fault.
fn pod_of(p: &mut Problems, file: &file::File, path: &str, service: usize, pod: u32) {
    if let Some((name, service)) = file.services.get_index(service).filter(|(_, service)| pod >= service.replicas) {
        let last = service.replicas.saturating_sub(1);
        p.add(&format!("{path}.pod"), format!("{name} has no pod {pod}; its pods are 0 to {last}"));
    }
}

/// An edge that exists: a caller that is named has such calls, and they are no messages.
fn edge(p: &mut Problems, file: &file::File, path: &str, callee: &str, caller: Option<&str>) -> Edge {
    let (services, peers) = (&file.services, &file.peers);
    let to = match (services.get_index_of(callee), peers.get_index_of(callee)) {
        (Some(service), None) => Callee::Service(service),
        (None, Some(peer)) => Callee::Peer(peer),
        (found, _) => {
            let problem = if found.is_some() { "is a service and a peer" } else { "is neither a service nor a peer" };
            p.add(&format!("{path}.callee"), format!("`{callee}` {problem}; rename one, or choose a name of the file"));
            Callee::Service(0)
        }
    };
    let from = caller.map(|name| p.index(&format!("{path}.caller"), "service", services, name));
    let is_to = |call: &file::Call| call.service.as_deref().or(call.peer.as_deref()) == Some(callee);
    if let Some((caller, service)) = caller.and_then(|name| services.get_key_value(name))
        && !service.operations.values().flat_map(|o| &o.calls).any(|call| is_to(call) && call.queue_ms.is_none())
    {
        p.add(&format!("{path}.caller"), format!("{caller} makes no call to {callee}; messages are none"));
    }
    Edge { callee: to, caller: from }
}

/// By operation and call of a service: how many times as often a version makes it.
fn repeats(p: &mut Problems, path: &str, service: &file::Service, calls: &IndexMap<String, u32>) -> Vec<Vec<u32>> {
    let callee = |call: &file::Call| call.service.clone().or(call.peer.clone()).unwrap_or_default();
    for (name, times) in calls {
        let path = format!("{path}.calls.{name}");
        if !service.operations.values().flat_map(|o| &o.calls).any(|call| callee(call) == *name) {
            p.add(&path, "the service calls nobody of this name");
        }
        p.within(&path, (*times).into(), 1.0, CALLS_MAX.into());
    }
    let times = |call: &file::Call| calls.get(&callee(call)).map_or(1, |times| (*times).clamp(1, CALLS_MAX));
    service.operations.values().map(|o| o.calls.iter().map(times).collect()).collect()
}
