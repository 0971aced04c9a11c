//! What the traffic asks of each service, by arithmetic on the file alone: visits, held time, utilisation,
//! and the replicas that a peak needs. Used by the `onset` reference and by the tests of the scenarios.

use super::{EdgeTrouble, Entry, Fault, PodKind, Pods, Scenario, Service, Shape, Step, Target, Trouble};
use crate::simulate::traffic;

impl Scenario {
    /// `factor` times the traffic on pods and peers `factor` times the size. Their numbers stay, so that one bad pod
    /// is the same share of its service, and a maximum is as far away.
    pub fn scale_load(&mut self, factor: f64) {
        let times = |n: u32| ((f64::from(n) * factor).round() as u32).max(1);
        for entry in &mut self.entries {
            entry.rate *= factor;
            entry.surges.iter_mut().for_each(|surge| surge.rate *= factor);
        }
        self.peers.iter_mut().for_each(|peer| peer.connections = times(peer.connections));
        for fault in &mut self.faults {
            if let Trouble::Edge(_, EdgeTrouble::ExhaustedPool { connections, .. }) = &mut fault.trouble {
                *connections = times(*connections);
            }
        }
        for service in &mut self.services {
            service.pods = match service.pods {
                Pods::Workers { threads, queue } => Pods::Workers { threads: times(threads), queue: times(queue) },
                Pods::Shared { cores, burst_cores, in_flight_max } => Pods::Shared {
                    cores: cores * factor,
                    burst_cores: burst_cores * factor,
                    in_flight_max: times(in_flight_max),
                },
            };
        }
    }

    /// When the last of what makes trouble ends, bursts included; None when something does not. What concerns telemetry
    /// alone is no trouble.
    pub fn trouble_ends_s(&self) -> Option<f64> {
        let is_trouble = |fault: &&Fault| !matches!(fault.trouble, Trouble::LostSpans(_) | Trouble::WrongClock { .. });
        let faults = self.faults.iter().filter(is_trouble).map(|fault| match fault.to_ns {
            i64::MAX => None,
            to_ns => Some(to_ns as f64 / 1e9),
        });
        let shapes = self.entries.iter().flat_map(|entry| &entry.shapes).filter_map(|shape| match *shape {
            Shape::Burst { at_s, rise_s, hold_s, fall_s, .. } => Some(Some(at_s + rise_s + hold_s + fall_s)),
            Shape::Step { .. } | Shape::Ramp { .. } => Some(None),
            Shape::Bells { .. } | Shape::Noise { .. } | Shape::Csv(_) => None,
        });
        let surges = self.entries.iter().flat_map(|entry| &entry.surges).map(|surge| Some(surge.ends_s()));
        let ends: Option<Vec<f64>> = faults.chain(shapes).chain(surges).collect();
        ends?.into_iter().reduce(f64::max)
    }

    /// The share of traces that are kept.
    pub fn sample(&mut self, share: f64) {
        self.telemetry.sampling = share;
    }

    /// The same system with all pods of one kind, each sized to the utilisation that the other kind had at the start,
    /// and taking as many requests at once.
    pub fn set_pods(&mut self, kind: PodKind) {
        let rates: Vec<f64> = self.entries.iter().map(|e| traffic::rate(e, 0.0)).collect();
        let (before, used) = (self.utilisation(0.0), self.demand(&rates));
        let mut other = self.clone();
        for service in &mut other.services {
            // Of any size: only what is asked of them is read.
            service.pods = match kind {
                PodKind::Workers => Pods::Workers { threads: 1, queue: 1 },
                PodKind::Shared => Pods::Shared { cores: 1.0, burst_cores: 1.0, in_flight_max: 1 },
            };
        }
        let wanted = other.demand(&rates);
        for (index, service) in self.services.iter_mut().enumerate() {
            // A service that nobody calls at the start gets as many cores as it had threads.
            let size = if used[index] > 0.0 {
                wanted[index] / before[index] / f64::from(service.replicas.max(1))
            } else {
                capacity(service.pods)
            };
            service.pods = match (kind, service.pods) {
                (PodKind::Shared, Pods::Workers { threads, queue }) => {
                    Pods::Shared { cores: size, burst_cores: BURST * size, in_flight_max: threads + queue }
                }
                (PodKind::Workers, Pods::Shared { in_flight_max, .. }) => {
                    let threads = (size.round() as u32).clamp(1, in_flight_max);
                    Pods::Workers { threads, queue: in_flight_max - threads }
                }
                (_, same) => same,
            };
        }
    }

    /// Whether requests of an entry operation reach a service.
    pub fn reaches(&self, entry: usize, service: usize) -> bool {
        let mut demand = vec![0.0; self.services.len()];
        let entry = &self.entries[entry];
        self.add_demand(entry.service, entry.operation_index, 1.0, &mut demand);
        demand[service] > 0.0
    }

    /// Mean utilisation of every service with `replicas(service)` pods, at the rates of the instant `at_s`
    /// (noise left out): held threads for workers, CPU for shared pods.
    pub fn utilisation(&self, at_s: f64) -> Vec<f64> {
        let rates: Vec<f64> = self.entries.iter().map(|e| traffic::rate(e, at_s)).collect();
        let demand = self.demand(&rates);
        self.services.iter().zip(demand).map(|(s, d)| d / capacity(s.pods) / f64::from(s.replicas.max(1))).collect()
    }

    /// Pods each service needs so that the highest rates of the measured window use at most `utilisation`.
    pub fn replicas_at_peak(&self, utilisation: f64) -> Vec<u32> {
        let (from, to) = (self.truth.onset_s as u64, (self.truth.onset_s + self.truth.window_s) as u64);
        let peak = |e| (from..to).map(|s| traffic::rate(e, s as f64)).fold(0.0, f64::max);
        let rates: Vec<f64> = self.entries.iter().map(peak).collect();
        let demand = self.demand(&rates);
        self.services
            .iter()
            .zip(demand)
            .map(|(s, d)| ((d / capacity(s.pods) / utilisation).ceil() as u32).clamp(1, s.max_replicas))
            .collect()
    }

    /// Pods that each service needs for all rates of a stretch of time to use at most `utilisation`, within its bounds.
    pub fn replicas_over(&self, from_s: f64, until_s: f64, utilisation: f64) -> Vec<u32> {
        // A second is a small part of the shortest rise that matters.
        let instants = || std::iter::successors(Some(from_s), |at| Some(at + 1.0)).take_while(|at| *at <= until_s);
        let mut most = vec![0.0_f64; self.services.len()];
        for at in instants() {
            let rates: Vec<f64> = self.entries.iter().map(|entry| traffic::rate(entry, at)).collect();
            for (most, demand) in most.iter_mut().zip(self.demand(&rates)) {
                *most = most.max(demand);
            }
        }
        self.services
            .iter()
            .zip(most)
            .map(|(s, d)| {
                ((d / capacity(s.pods) / utilisation).ceil() as u32).clamp(s.min_replicas.max(1), s.max_replicas)
            })
            .collect()
    }

    /// What nearly all pods start and warm up within, in seconds.
    pub fn start_s(&self) -> f64 {
        let pull = self.pod_start.pull;
        let pull_p95_ns = pull.median_ns * (Z95 * pull.sigma).exp();
        (pull_p95_ns + self.pod_start.probe_ns + self.pod_start.warm_up_ns as f64) / 1e9
    }

    /// What one request of each entry asks of each service: seconds for which it holds a thread, or of a core.
    pub(in crate::simulate) fn costs(&self) -> Vec<Vec<f64>> {
        let cost = |of: &Entry| {
            let mut cost = vec![0.0; self.services.len()];
            self.add_demand(of.service, of.operation_index, 1.0, &mut cost);
            cost
        };
        self.entries.iter().map(cost).collect()
    }

    /// Held threads, or cores, that each service needs on average for these rates of the entries.
    fn demand(&self, rates: &[f64]) -> Vec<f64> {
        let mut demand = vec![0.0; self.services.len()];
        for (entry, rate) in self.entries.iter().zip(rates) {
            self.add_demand(entry.service, entry.operation_index, *rate, &mut demand);
        }
        demand
    }

    fn add_demand(&self, service: usize, operation: usize, rate: f64, demand: &mut [f64]) {
        let op = &self.services[service].operations[operation];
        let busy_ns = match self.services[service].pods {
            Pods::Workers { .. } => self.held_ns(service, operation),
            Pods::Shared { .. } => op.own.mean_ns(),
        };
        demand[service] += rate * busy_ns / 1e9;
        for step in &op.steps {
            let Step::Calls(calls) = step else { continue };
            for call in calls.iter().map(|&i| &op.calls[usize::from(i)]) {
                if let Target::Operation { service, operation } = call.target {
                    self.add_demand(service, operation, rate * call.probability, demand);
                }
            }
        }
    }

    /// How long a request is held at an operation when nothing waits anywhere. Of parallel calls the longest
    /// counts, which is a little less than the mean of their maximum.
    fn held_ns(&self, service: usize, operation: usize) -> f64 {
        let op = &self.services[service].operations[operation];
        let calls = op.steps.iter().map(|step| match step {
            Step::Calls(calls) => calls.iter().map(|&i| self.call_ns(&op.calls[usize::from(i)])).fold(0.0, f64::max),
            Step::Work(_) | Step::Internal(_) => 0.0,
        });
        op.own.mean_ns() + calls.sum::<f64>()
    }

    fn call_ns(&self, call: &super::Call) -> f64 {
        let callee = match call.target {
            // Nobody waits for a message.
            Target::Operation { .. } if call.queue.is_some() => 0.0,
            Target::Operation { service, operation } => self.held_ns(service, operation),
            Target::Peer { peer, .. } => self.peers[peer].latency.mean_ns(),
        };
        call.probability * (callee + 2.0 * self.network_ns as f64)
    }
}

/// The 95th percentile of a standard normal distribution.
const Z95: f64 = 1.644_853_6;

/// Cores of a shared pod used at once while its quota lasts, over the quota: as the shipped scenarios have it.
const BURST: f64 = 2.0;

/// Threads or cores of one pod.
impl Service {
    /// Threads, or cores, of one of its pods.
    pub(in crate::simulate) fn capacity(&self) -> f64 {
        capacity(self.pods)
    }
}

fn capacity(pods: Pods) -> f64 {
    match pods {
        Pods::Workers { threads, .. } => f64::from(threads),
        Pods::Shared { cores, .. } => cores,
    }
}
