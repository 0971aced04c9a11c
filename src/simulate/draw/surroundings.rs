//! What a diagnosis has to live with: spans that are lost, clocks that are wrong, columns that nobody fills, proxies.

use super::chance::{Chance, rounded};
use super::graph::System;
use super::{ONSET_S, Terms};
use crate::simulate::scenario::CalleeNames;
use crate::simulate::scenario::file::{Fault, Telemetry};

pub(super) struct Surroundings {
    pub telemetry: Telemetry,
    pub faults: Vec<Fault>,
    /// By service: a proxy in front of it sends spans.
    pub proxies: Vec<bool>,
    pub namespace: &'static str,
}

const FOR_EVER_S: f64 = 10_000.0;

pub(super) fn draw(system: &System, terms: Terms, chance: &mut Chance) -> Surroundings {
    let callees = match chance.between(0.0, 1.0) {
        p if p < 0.6 => CalleeNames::Address,
        p if p < 0.9 => CalleeNames::Service,
        _ => CalleeNames::Unnamed,
    };
    let telemetry = Telemetry {
        skew_ms: rounded(chance.log_between(0.1, 20.0)),
        sampling: if chance.happens(0.1) { rounded(chance.between(0.3, 0.9)) } else { 1.0 },
        versions: chance.happens(0.85),
        pods: chance.happens(0.85),
        callees,
        ..Telemetry::default()
    };
    let mut faults = Vec::new();
    let services: Vec<usize> = (0..system.services.len()).collect();
    let name = |service: usize| system.services[service].name.clone();
    let drawn = chance.happens(0.15).then(|| {
        let from_s = if chance.happens(0.7) { 0.0 } else { ONSET_S };
        let service = chance.happens(0.5).then(|| chance.pick(&services)).flatten();
        let pod = service.filter(|_| chance.happens(0.5)).map(|_| 0);
        let share = if pod.is_some() { 1.0 } else { rounded(chance.log_between(0.02, 0.8)) };
        Fault::LostSpans { share, service: service.map(name), pod, from_s, to_s: FOR_EVER_S }
    });
    let wanted =
        terms.lost.map(|share| Fault::LostSpans { share, service: None, pod: None, from_s: 0.0, to_s: FOR_EVER_S });
    faults.extend(wanted.or(drawn));
    if chance.happens(0.08)
        && let Some(service) = chance.pick(&services)
    {
        let ahead_s = rounded(chance.between(0.5, 5.0) * if chance.happens(0.5) { 1.0 } else { -1.0 });
        faults.push(Fault::WrongClock { service: name(service), ahead_s, from_s: 0.0, to_s: FOR_EVER_S });
    }
    let share = if chance.happens(0.12) { chance.between(0.2, 1.0) } else { 0.0 };
    let proxies = services.iter().map(|_| share > 0.0 && chance.happens(share)).collect();
    let namespace = chance.pick(&["", "", "shop", "prod"]).unwrap_or_default();
    Surroundings { telemetry, faults, proxies, namespace }
}
