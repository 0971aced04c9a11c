//! Faults begin and end; what they change is set anew at each of these instants.

use super::pods::Version;
use super::scenario::Trouble;
use super::simulation::{Event, Simulation};

impl Simulation {
    pub(super) fn schedule_faults(&mut self) {
        let scenario = self.scenario.clone();
        for (index, fault) in scenario.faults.iter().enumerate() {
            if matches!(fault.trouble, Trouble::Release { .. }) {
                self.schedule.push(fault.from_ns, Event::Release(index as u16));
            } else {
                self.schedule.push(fault.from_ns, Event::Fault);
                self.schedule.push(fault.to_ns, Event::Fault);
            }
        }
    }

    /// Sets every factor to the product of the faults of this instant, and the rest to what they say.
    pub(super) fn refresh_faults(&mut self) {
        let scenario = self.scenario.clone();
        self.peers.iter_mut().for_each(|peer| peer.factor = 1.0);
        self.operation_factors.iter_mut().flatten().for_each(|factor| *factor = 1.0);
        self.cut_short.iter_mut().flatten().for_each(|(share, _)| *share = 0.0);
        self.pods.iter_mut().for_each(|pod| pod.slowness = 1.0);
        self.telemetry.forget_faults();
        self.edges.active.clear();
        for (index, fault) in scenario.faults.iter().enumerate() {
            if !(fault.from_ns..fault.to_ns).contains(&self.now) {
                continue;
            }
            match fault.trouble {
                Trouble::SlowPeer { peer, factor } => self.peers[peer].factor *= factor,
                Trouble::SlowOperation { service, operation, factor } => {
                    self.operation_factors[service][operation] *= factor;
                }
                Trouble::CutShort { service, operation, share, status } => {
                    self.cut_short[service][operation] = (share, status);
                }
                Trouble::SlowPod { service, pod, factor } => {
                    // The pod is slow, not its place: another pod has another ordinal, so a restart ends the fault.
                    if let Some(&pod) = self.workloads[service].pods.get(pod as usize) {
                        self.pods[pod].slowness *= factor;
                    }
                }
                Trouble::Edge(edge, trouble) => self.edges.active.push((index as u16, edge, trouble)),
                Trouble::LostSpans(loss) => self.telemetry.lose(loss),
                Trouble::WrongClock { service, ahead_ns } => self.telemetry.set_ahead(service, ahead_ns),
                Trouble::Release { .. } => {}
            }
        }
        self.close_pools();
    }

    pub(super) fn release(&mut self, fault: usize) {
        let scenario = self.scenario.clone();
        if let Trouble::Release { service, version, factor, repeats, weight } = &scenario.faults[fault].trouble {
            let version = Version { name: version.clone(), factor: *factor, repeats: repeats.clone() };
            if let Some(percent) = weight {
                return self.release_beside(*service, version, *percent);
            }
            let workload = &mut self.workloads[*service];
            workload.versions.push(version);
            workload.resource_version += 1;
            self.reconcile(*service);
        }
    }
}
