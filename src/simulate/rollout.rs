//! The cluster over time: pods are created, placed, pulled, ready, drained, stopped; releases roll; nodes arrive.

use super::pods::Pod;
use super::random::{Key, Purpose, lognormal};
use super::simulation::{Event, Simulation};
use super::spans::PodResource;
use crate::model::time::NANOS_PER_SECOND;

/// `terminationGracePeriodSeconds` of a pod that sets none. A pod that still works on requests by then is killed.
const GRACE_NS: i64 = 30 * NANOS_PER_SECOND;

/// Letters of generated names. Like Kubernetes, no vowels, so that no words come out.
const NAME_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

impl Simulation {
    /// The pods of the start: ready and warm.
    pub(super) fn start_pods(&mut self) {
        for service in 0..self.workloads.len() {
            for _ in 0..self.workloads[service].replicas {
                let pod = self.create_pod(service, self.workloads[service].newest());
                self.pending.clear();
                if let Some(node) = self.place(pod) {
                    self.nodes.nodes[node].images[service] = Some(0);
                }
                self.pods[pod].ready = Some(0);
                self.workloads[service].serving.push(pod);
            }
        }
    }

    /// Creates and drains until the service has what it wants, a release one pod at a time (surge 1, unavailable 0).
    pub(super) fn reconcile(&mut self, service: usize) {
        loop {
            let workload = &self.workloads[service];
            let newest = workload.newest();
            // A release beside it keeps the pods that it came with.
            let is_own = |p: &usize| !self.is_of_canary(*p);
            let alive: Vec<usize> =
                workload.pods.iter().copied().filter(is_own).filter(|&p| self.pods[p].alive()).collect();
            let (have, want) = (alive.len() as u32, workload.replicas);
            let outdated = |p: &usize| self.pods[*p].version != newest;
            let surge = u32::from(alive.iter().any(outdated));
            let ready = workload.serving.iter().filter(|p| is_own(p)).count() as u32;
            if have < want + surge {
                self.create_pod(service, newest);
                self.place_pending();
            } else if have > want + surge {
                // Scale-in: what does not serve yet goes first, then the old version, then the youngest.
                let pods = &self.pods;
                let last = |p: &usize| (pods[*p].ready.is_none(), outdated(p), pods[*p].ordinal);
                match alive.into_iter().max_by_key(last) {
                    Some(pod) => self.drain(pod),
                    None => return,
                }
            } else if have > want && ready > want {
                match alive.into_iter().find(outdated) {
                    Some(pod) => self.drain(pod),
                    None => return,
                }
            } else {
                return;
            }
        }
    }

    pub(super) fn create_pod(&mut self, service: usize, version: usize) -> usize {
        let scenario = self.scenario.clone();
        let workload = &mut self.workloads[service];
        let ordinal = workload.pods.len() as u32;
        let key = Key::of(self.seed, Purpose::PodName).child(service as u64);
        let letters = |key: Key, count: u64| -> String {
            let letter = |n: u64| NAME_LETTERS[(key.child(n).uniform() * NAME_LETTERS.len() as f64) as usize];
            (0..count).map(|n| char::from(letter(n))).collect()
        };
        let set = letters(key.child(1).child(version as u64), 9);
        let own = letters(key.child(2).child(ordinal.into()), 5);
        let name = format!("{}-{set}-{own}", scenario.services[service].name);
        let index = self.pods.len();
        workload.pods.push(index);
        self.pods.push(Pod::new(service, ordinal, name, version, scenario.services[service].pods, self.now));
        self.pending.push_back(index);
        self.refresh_faults();
        index
    }

    /// Places waiting pods, oldest first; orders a node for each `room` of those that find none.
    pub(super) fn place_pending(&mut self) {
        while let Some(&pod) = self.pending.front() {
            if self.pods[pod].stopped.is_none() {
                let Some(node) = self.place(pod) else { break };
                self.start_pod(pod, node);
            }
            self.pending.pop_front();
        }
        let waiting = self.pending.len() as u32;
        while self.nodes.ordered * self.nodes.room < waiting
            && self.nodes.nodes.len() as u32 + self.nodes.ordered < self.nodes.max
        {
            let arrival = self.scenario.nodes.arrival;
            let number = (self.nodes.nodes.len() as u32 + self.nodes.ordered).into();
            let mut rng = Key::of(self.seed, Purpose::NodeStart).child(number).stream();
            let takes = lognormal(&mut rng, arrival.median_ns, arrival.sigma) as i64;
            self.nodes.ordered += 1;
            self.schedule.push(self.now + takes, Event::NodeArrives);
        }
    }

    /// Puts a pod on a node with room.
    fn place(&mut self, pod: usize) -> Option<usize> {
        let service = self.pods[pod].service;
        let node = self.nodes.place()?;
        self.pods[pod].node = Some(node);
        let version = &self.workloads[service].versions[self.pods[pod].version].name;
        let resource = PodResource::new(&self.scenario, service, version, &self.pods[pod].name, node);
        let ordinal = self.pods[pod].ordinal;
        self.telemetry.add_pod(pod, (service, ordinal), resource, node);
        Some(node)
    }

    /// The pull of the image, or the start from the cached one, and the readiness probe.
    fn start_pod(&mut self, pod: usize, node: usize) {
        let start = self.scenario.pod_start;
        let (service, ordinal) = (self.pods[pod].service, self.pods[pod].ordinal.into());
        let key = Key::of(self.seed, Purpose::PodStart).child(service as u64).child(ordinal);
        let (mut pull, mut cached) = (key.child(1).stream(), key.child(2).stream());
        let pull = lognormal(&mut pull, start.pull.median_ns, start.pull.sigma) as i64;
        let cached = lognormal(&mut cached, start.cached.median_ns, start.cached.sigma) as i64;
        let image = &mut self.nodes.nodes[node].images[service];
        // A node pulls an image once; who comes meanwhile waits for that pull.
        let takes = match *image {
            Some(there) => cached.max(there - self.now),
            None => {
                *image = Some(self.now + pull);
                pull
            }
        };
        let probe = (key.child(3).uniform() * start.probe_ns) as i64;
        self.schedule.push(self.now + takes + probe, Event::Ready(pod as u32));
    }

    pub(super) fn ready(&mut self, pod: usize) {
        if !self.pods[pod].alive() {
            return; // scaled in while it started
        }
        let service = self.pods[pod].service;
        self.pods[pod].ready = Some(self.now);
        self.pods[pod].warm_from = self.now + self.scenario.pod_start.warm_up_ns;
        self.workloads[service].serving.push(pod);
        self.route_canary(service);
        self.reconcile(service);
    }

    pub(super) fn node_arrives(&mut self) {
        self.nodes.ordered -= 1;
        self.nodes.add(self.workloads.len());
        self.place_pending();
    }

    /// Takes a pod out of the balancer: no new requests reach it. It stops when it has answered those that it has, or
    /// is killed at the end of its grace period.
    pub(super) fn drain(&mut self, pod: usize) {
        self.pods[pod].draining = true;
        self.workloads[self.pods[pod].service].serving.retain(|&p| p != pod);
        if self.pods[pod].outstanding == 0 {
            self.stop(pod);
        } else {
            self.schedule.push(self.now + GRACE_NS, Event::Kill(pod as u32));
        }
    }

    /// The grace period is over: what the pod still works on ends without an answer.
    pub(super) fn kill(&mut self, pod: usize) {
        if self.pods[pod].stopped.is_none() {
            self.reset_requests_at(pod);
            self.stop(pod);
        }
    }

    /// One outstanding request less.
    pub(super) fn answered_by(&mut self, pod: usize) {
        self.pods[pod].outstanding -= 1;
        if self.pods[pod].draining && self.pods[pod].outstanding == 0 {
            self.stop(pod);
        }
    }

    fn stop(&mut self, pod: usize) {
        self.pods[pod].stopped = Some(self.now);
        if let Some(node) = self.pods[pod].node {
            self.nodes.nodes[node].pods -= 1;
            self.place_pending();
        }
    }
}
