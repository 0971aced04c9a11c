//! Pods, the workloads that want them, the nodes that hold them, and the load balancer in front of them.
//! What happens to them over time is in `rollout`.

use super::canary::Canary;
use super::random::Key;
use super::scenario::{Balance, Pods, Scenario};
use super::shared::Shared;
use super::simulation::FrameId;
use super::workers::Workers;
use crate::model::InterventionRecord;

/// Where a pod's requests wait and run.
pub(super) enum Queue {
    Workers(Workers<FrameId>),
    Shared(Shared<FrameId>),
}

pub(super) struct Pod {
    pub service: usize,
    /// The how-manieth pod of its service, from 0.
    pub ordinal: u32,
    pub name: String,
    /// Index into [`Workload::versions`].
    pub version: usize,
    pub node: Option<usize>,
    pub created: i64,
    pub ready: Option<i64>,
    /// From then on its service times are the usual ones.
    pub warm_from: i64,
    /// Receives no new requests and stops when the last is answered.
    pub draining: bool,
    pub stopped: Option<i64>,
    /// Requests sent to it and not yet answered, as its callers' balancers see it.
    pub outstanding: u32,
    /// Requests it has taken and not yet answered.
    pub in_flight: u32,
    pub queue: Queue,
    /// Own times are multiplied by this while a fault of this pod lasts (a noisy neighbour); 1 when it has none.
    pub slowness: f64,
    /// Own times are divided by this while CPU is lent to a pod of workers; a shared pod's cores change instead.
    pub speed: f64,
}

impl Pod {
    pub fn new(service: usize, ordinal: u32, name: String, version: usize, pods: Pods, now: i64) -> Pod {
        let queue = match pods {
            Pods::Workers { threads, queue } => Queue::Workers(Workers::new(threads, queue, now)),
            Pods::Shared { cores, burst_cores, .. } => Queue::Shared(Shared::new(cores, burst_cores, now)),
        };
        Pod {
            service,
            ordinal,
            name,
            version,
            node: None,
            created: now,
            ready: None,
            warm_from: now,
            draining: false,
            stopped: None,
            outstanding: 0,
            in_flight: 0,
            queue,
            slowness: 1.0,
            speed: 1.0,
        }
    }

    /// Gives it so many times the CPU that `pods` says. A worker's request runs faster; the requests of a shared pod
    /// share more cores.
    pub fn lend_cpu(&mut self, pods: Pods, factor: f64, now: i64) {
        match (&mut self.queue, pods) {
            (Queue::Shared(shared), Pods::Shared { cores, burst_cores, .. }) => {
                shared.resize(cores * factor, burst_cores * factor, now);
            }
            (Queue::Workers(_) | Queue::Shared(_), _) => self.speed = factor,
        }
    }

    /// Counted as a replica: neither stopped nor on its way out.
    pub fn alive(&self) -> bool {
        !self.draining && self.stopped.is_none()
    }

    /// Worker- or core-nanoseconds used so far.
    pub fn used_ns(&self, now: i64) -> f64 {
        match &self.queue {
            Queue::Workers(workers) => workers.held_ns(now) as f64,
            Queue::Shared(shared) => shared.used_ns(),
        }
    }
}

/// A version of a service: its name, the factor on its own times, and how many times as often it makes its calls.
pub(super) struct Version {
    pub name: String,
    pub factor: f64,
    /// By operation and call; empty where nothing is repeated.
    pub repeats: Vec<Vec<u32>>,
}

/// A service's scalable object.
pub(super) struct Workload {
    pub replicas: u32,
    pub resource_version: u64,
    pub interventions: Vec<InterventionRecord>,
    /// Every pod ever, as indices into the simulation's pods.
    pub pods: Vec<usize>,
    /// Those that serve now, in order of readiness.
    pub serving: Vec<usize>,
    /// The last one is the version wanted, but for a canary's.
    pub versions: Vec<Version>,
    /// A release beside it.
    pub canary: Option<Canary>,
    /// Round robin's position.
    turn: usize,
}

impl Workload {
    pub fn new(scenario: &Scenario, service: usize) -> Workload {
        let service = &scenario.services[service];
        Workload {
            replicas: service.replicas,
            resource_version: 1,
            interventions: Vec::new(),
            pods: Vec::new(),
            serving: Vec::new(),
            versions: vec![Version { name: service.version.clone(), factor: 1.0, repeats: Vec::new() }],
            canary: None,
            turn: 0,
        }
    }

    /// The version of its own pods.
    pub fn newest(&self) -> usize {
        self.canary.as_ref().map_or(self.versions.len() - 1, |canary| canary.version - 1)
    }

    /// The load balancer: the pod for a request, or None when no pod serves. Two random numbers at most are used.
    pub fn choose(&mut self, balance: Balance, pods: &[Pod], key: Key) -> Option<usize> {
        let split = self.canary.as_ref().map(|canary| canary.candidates(&self.serving, pods, key));
        let serving = split.as_ref().unwrap_or(&self.serving);
        let count = serving.len();
        if count == 0 {
            return None;
        }
        let random = |n: u64| (key.child(n).uniform() * count as f64) as usize;
        let chosen = match balance {
            Balance::Random => serving[random(0)],
            Balance::RoundRobin => {
                self.turn = (self.turn + 1) % count;
                serving[self.turn]
            }
            Balance::LeastRequests => {
                let (a, b) = (serving[random(0)], serving[random(1)]);
                if pods[b].outstanding < pods[a].outstanding { b } else { a }
            }
        };
        Some(chosen)
    }
}

pub(super) struct Node {
    pub pods: u32,
    /// By service: from when on the image is there; None when nobody asked for it yet.
    pub images: Vec<Option<i64>>,
}

/// The cluster's nodes.
pub(super) struct Nodes {
    pub nodes: Vec<Node>,
    pub room: u32,
    pub max: u32,
    /// Ordered and not yet here.
    pub ordered: u32,
}

impl Nodes {
    pub fn new(scenario: &Scenario) -> Nodes {
        let mut nodes = Nodes { nodes: vec![], room: scenario.nodes.room, max: scenario.nodes.max, ordered: 0 };
        (0..scenario.nodes.count).for_each(|_| nodes.add(scenario.services.len()));
        nodes
    }

    pub fn add(&mut self, services: usize) {
        self.nodes.push(Node { pods: 0, images: vec![None; services] });
    }

    /// A place for a pod: the emptiest node, as the scheduler's `LeastAllocated`.
    pub fn place(&mut self) -> Option<usize> {
        let room = self.room;
        let free = self.nodes.iter_mut().enumerate().filter(|(_, node)| node.pods < room);
        let (index, node) = free.min_by_key(|(_, node)| node.pods)?;
        node.pods += 1;
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::random::Purpose;

    /// How often each of three pods is chosen, when the first has many requests outstanding.
    fn chosen(balance: Balance) -> [u32; 3] {
        let scenario = Scenario::by_name("exam-start").expect("shipped");
        let mut pods: Vec<Pod> =
            (0..3).map(|n| Pod::new(0, n, format!("pod-{n}"), 0, Pods::Workers { threads: 1, queue: 1 }, 0)).collect();
        pods[0].outstanding = 10;
        let mut workload = Workload::new(&scenario, 0);
        workload.serving = vec![0, 1, 2];
        let mut counts = [0; 3];
        for request in 0..3_000 {
            let key = Key::of(1, Purpose::Request).child(request);
            counts[workload.choose(balance, &pods, key).expect("three serve")] += 1;
        }
        counts
    }

    #[test]
    fn the_balancer_spreads_as_it_is_told() {
        assert_eq!(chosen(Balance::RoundRobin), [1000; 3]);
        assert!(chosen(Balance::Random).iter().all(|n| n.abs_diff(1000) < 100));
        // The busy pod is taken only when chance names it twice: one time in nine.
        assert!(chosen(Balance::LeastRequests)[0].abs_diff(333) < 60);
    }

    #[test]
    fn pods_go_to_the_emptiest_node_until_all_are_full() {
        let scenario = Scenario::by_name("exam-start").expect("shipped");
        let mut nodes = Nodes::new(&scenario);
        nodes.room = 2;
        let places: Vec<_> = (0..9).map(|_| nodes.place()).collect();
        let expected = [0, 1, 2, 3, 0, 1, 2, 3].map(Some).into_iter().chain([None]);
        assert_eq!(places, expected.collect::<Vec<_>>());
    }
}
