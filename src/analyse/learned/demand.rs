//! What requests of each entry operation ask of each service, and what a pod of it carries: the arithmetic of planning
//! ahead, from what healthy time and moments at the limit have taught.
//!
//! Work is in Erlangs: requests that are held at once, by Little's law. A request's share of a service is its own time
//! there on the critical path, times what requests of that service are held for each second of own time.

use std::collections::BTreeMap;

use super::pod_startup::p95_s;
use super::snapshot::Learnt;
use crate::analyse::rollup::PathKind;
use crate::analyse::thresholds::healthy::BASELINE_REQUESTS;
use crate::analyse::thresholds::load::PLANNED_REPLICAS_MAX;
use crate::analyse::trace::SegmentKind;

/// A pod's load that is known to be good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Carries {
    /// Erlangs that a warm pod sustained at its limit.
    AtLimit(f64),
    /// Erlangs that a pod had in healthy time, on average; nobody saw it at its limit, so it may carry far more.
    AtLeast(f64),
}

/// What is known of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServiceDemand {
    /// Erlangs of all its pods in healthy time.
    pub usual: f64,
    pub carries: Option<Carries>,
    /// What 95 of 100 of its pods were Ready within after their creation, in seconds.
    pub start_s: Option<f64>,
}

/// What is known, by service and by entry operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demand {
    pub services: BTreeMap<String, ServiceDemand>,
    /// Erlangs at each service for one request a second of the entry operation.
    pub entries: BTreeMap<String, BTreeMap<String, f64>>,
    /// The share of what a pod carries that it is to be used to.
    pub utilisation: f64,
}

impl Demand {
    pub fn of(learnt: &Learnt, utilisation: f64) -> Demand {
        let own = PathKind::Time(SegmentKind::Own).as_str();
        let services = learnt.services.iter().map(|(name, of)| {
            let healthy = of.healthy.filter(|healthy| healthy.sums.requests >= BASELINE_REQUESTS);
            let at_limit = of.capacity.map(|capacity| Carries::AtLimit(capacity.erlangs()));
            let in_healthy_time = healthy.map(|healthy| Carries::AtLeast(healthy.rate_per_pod() * healthy.hold_s()));
            let usable = |carries: &Carries| match carries {
                Carries::AtLimit(erlangs) | Carries::AtLeast(erlangs) => *erlangs > 0.0 && erlangs.is_finite(),
            };
            let known = ServiceDemand {
                usual: healthy.map_or(0.0, |healthy| healthy.rate() * healthy.hold_s()),
                carries: at_limit.filter(usable).or(in_healthy_time.filter(usable)),
                start_s: p95_s(of.pod_starts_ms.iter().copied()),
            };
            (name.clone(), known)
        });
        let held_for_own = |service: &str| {
            let healthy = learnt.services.get(service)?.healthy?;
            (healthy.own_s() > 0.0).then(|| (healthy.hold_s() / healthy.own_s()).max(1.0))
        };
        let entries = learnt.entries.iter().filter(|(_, of)| of.sums.requests > 0).map(|(name, of)| {
            let mut shares: BTreeMap<String, f64> = BTreeMap::new();
            for path in of.paths.iter().filter(|path| path.kind == own && path.ns > 0) {
                let own_s = path.ns as f64 / 1e9 / of.sums.requests as f64;
                let held_s = own_s * held_for_own(&path.service).unwrap_or(1.0);
                *shares.entry(path.service.clone()).or_default() += held_s;
            }
            (name.clone(), shares)
        });
        Demand { services: services.collect(), entries: entries.collect(), utilisation }
    }

    /// Pods that so many Erlangs need, as a number that is not rounded yet; None where nothing tells what a pod carries.
    pub fn pods(&self, service: &str, erlangs: f64) -> Option<f64> {
        let pods = match self.services.get(service)?.carries? {
            // With the square-root margin that keeps waiting rare in small pools, as capacities have it.
            Carries::AtLimit(carried) => {
                (erlangs / (carried * self.utilisation)).max((erlangs + erlangs.sqrt()) / carried)
            }
            Carries::AtLeast(carried) => erlangs / carried,
        };
        Some(pods.clamp(0.0, PLANNED_REPLICAS_MAX))
    }
}
