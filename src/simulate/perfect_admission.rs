//! What a front door could do at best: from the onset on it lets in what the pods of each moment can serve and no more, the
//! highest priority first. It knows what each request asks of each service, and which pods are warm.

use std::collections::BTreeSet;

use super::measures::Measures;
use super::scenario::{Scenario, seconds};
use super::simulation::Simulation;
use crate::model::Time;
use crate::shape::{Cost, Level, Limits, ServiceLimit};

/// Between two looks at the pods.
const LOOKS_S: f64 = 0.1;

/// Shares of what the pods can serve that are tried, of which the best counts: at all of it chance makes a queue that lasts, at
/// too little of it users are turned away for nothing.
const SHARES: [f64; 4] = [0.85, 0.9, 0.95, 1.0];

/// Replicas of a service that somebody ordered at a time since the start.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub at_s: f64,
    pub service: String,
    pub replicas: u32,
}

/// What users get to the horizon with perfect admission and these orders.
pub fn perfect_admission(scenario: &Scenario, seed: u64, orders: &[Order]) -> Measures {
    let mut scenario = scenario.clone();
    scenario.shaping = true;
    let mut runs = SHARES.map(|share| run(&scenario, seed, orders, share));
    runs.sort_by(|a, b| a.slo_violation_share.total_cmp(&b.slo_violation_share));
    let [best, ..] = runs;
    best
}

fn run(scenario: &Scenario, seed: u64, orders: &[Order], share: f64) -> Measures {
    let mut simulation = Simulation::unobserved(scenario, seed);
    let mut orders = orders.iter().peekable();
    let mut at_s = 0.0;
    while at_s < scenario.horizon_s {
        while let Some(order) = orders.next_if(|order| order.at_s <= at_s) {
            if let Some(service) = scenario.service(&order.service) {
                simulation.order(service, order.replicas);
            }
        }
        if at_s >= scenario.truth.onset_s {
            let limits = simulation.what_can_be_served(share);
            simulation.limit(&limits);
        }
        at_s += LOOKS_S;
        simulation.run_until(Time(seconds(at_s.min(scenario.horizon_s))));
    }
    simulation.measures()
}

impl Simulation {
    /// Limits at a share of what the pods that serve now can do.
    fn what_can_be_served(&self, share: f64) -> Limits {
        let levels: BTreeSet<Level> = (self.scenario.entries.iter())
            .flat_map(|entry| [true, false].map(|is_retry| Level::new(entry.priority, is_retry)))
            .collect();
        let costs = self.scenario.costs();
        let services = (0..self.scenario.services.len()).filter_map(|service| {
            let of = |(entry, costs): (usize, &Vec<f64>)| {
                let cost = Cost { calls: 1.0, work_s: costs[service] };
                (cost.work_s > 0.0).then(|| (self.ingress.name(entry).to_owned(), cost))
            };
            let costs = costs.iter().enumerate().filter_map(of).collect();
            let work_per_s = share * self.serving_capacity(service);
            // Without a pod that serves, who may come in makes no difference.
            (work_per_s > 0.0).then(|| ServiceLimit {
                service: self.service_id(service),
                work_per_s,
                levels: levels.iter().copied().collect(),
                costs,
            })
        });
        // Until the next look, and no longer than anybody else's.
        Limits { valid_until: Time(self.now().0 + seconds(1.0)), services: services.collect(), routes: Vec::new() }
    }

    /// Work a second that the pods of a service can do now, in the unit of its costs.
    fn serving_capacity(&self, service: usize) -> f64 {
        let pod = |&pod: &usize| {
            let pod = &self.pods[pod];
            let warming = if self.now < pod.warm_from { self.scenario.pod_start.warm_up_factor } else { 1.0 };
            self.scenario.services[service].capacity() * pod.speed / pod.slowness / warming
        };
        self.workloads[service].serving.iter().map(pod).sum()
    }
}
