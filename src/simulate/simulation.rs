//! The simulation: its state, its events, and the loop that takes one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use super::calls::{Call, Request};
use super::edges::{Edges, PoolId};
use super::frames::Frame;
use super::ingress::Ingress;
use super::measures::{Ledger, Live, LiveService, Measures};
use super::peers::PeerState;
use super::pods::{Nodes, Pod, Workload};
use super::random::{Key, Purpose};
use super::scenario::{Pods, Scenario, Trouble};
use super::schedule::Schedule;
use super::slab::{Id, Slab};
use super::status::OK;
use super::telemetry::{Delivery, Telemetry};
use super::traffic::{self, SLOT_NS};
use crate::model::Time;

pub(super) type FrameId = Id<Frame>;
pub(super) type CallId = Id<Call>;

/// What is going to happen. Small, because a hundred thousand of them may be scheduled.
pub(super) enum Event {
    /// A slot of traffic begins: draw its arrivals.
    Slot(u32),
    /// A user sends the entry's request of this number.
    Arrive {
        entry: u16,
        number: u32,
    },
    /// A caller sends (again, after its backoff).
    Send(CallId),
    /// A request reaches its pod.
    Deliver(FrameId),
    /// A worker takes a request from the queue.
    Take(FrameId),
    /// A worker's own work is done.
    Worked(FrameId),
    /// Something changes in a shared pod, unless its epoch has moved on.
    Shared {
        pod: u32,
        epoch: u32,
    },
    /// A query reaches a peer.
    Query(CallId),
    /// A peer has the answer.
    Answered {
        peer: u16,
        call: CallId,
    },
    /// An answer reaches the caller.
    Reply {
        call: CallId,
        status: u16,
    },
    /// A connection of the pool of a pod is free again.
    Freed(PoolId),
    /// The caller's patience ends, if the call is still open.
    Timeout(CallId),
    /// The pod's SDK exports.
    Flush(u32),
    /// The pod passes its readiness probe.
    Ready(u32),
    /// The grace period of a pod that terminates is over.
    Kill(u32),
    NodeArrives,
    /// A fault begins or ends.
    Fault,
    /// A release fault of this index is rolled out.
    Release(u16),
}

/// How busy a service's pods have been since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Held threads (workers) or CPU (shared), in thread- or core-seconds.
    pub used_s: f64,
    /// Threads or cores of ready pods, in the same unit.
    pub available_s: f64,
}

/// One run of a scenario on virtual time. It moves only when told to, draws everything from its seed, and gives
/// the same bytes however its time is cut into steps.
pub struct Simulation {
    pub(super) scenario: Arc<Scenario>,
    pub(super) seed: u64,
    pub(super) start: Time,
    /// Nanoseconds since the start.
    pub(super) now: i64,
    pub(super) schedule: Schedule<Event>,
    pub(super) requests: Slab<Request>,
    pub(super) calls: Slab<Call>,
    pub(super) frames: Slab<Frame>,
    pub(super) pods: Vec<Pod>,
    /// By service.
    pub(super) workloads: Vec<Workload>,
    /// Created and not yet placed, oldest first.
    pub(super) pending: VecDeque<usize>,
    pub(super) nodes: Nodes,
    pub(super) peers: Vec<PeerState>,
    pub(super) edges: Edges,
    /// By service and operation: own times are multiplied by this while a fault lasts.
    pub(super) operation_factors: Vec<Vec<f64>>,
    /// By service and operation: the share of requests that are cut short while a fault lasts, and with which status.
    pub(super) cut_short: Vec<Vec<(f64, u16)>>,
    /// Retries that may still be made, by service, operation and call; the entries' own after them.
    pub(super) call_budgets: Vec<Vec<Vec<f64>>>,
    pub(super) entry_budgets: Vec<f64>,
    pub(super) telemetry: Telemetry,
    pub(super) ledger: Ledger,
    pub(super) ingress: Ingress,
    request_key: Key,
    request_numbers: Vec<u32>,
    arrival_keys: Vec<(Key, Key)>,
    /// Kept between slots for its allocation.
    slot_arrivals: Vec<i64>,
}

impl Simulation {
    /// A simulation at its beginning: every service has its replicas, ready and warm. `start` is the instant that its
    /// spans and its cluster begin at.
    pub fn new(scenario: &Scenario, seed: u64, start: Time) -> Simulation {
        Simulation::build(scenario, seed, start, true)
    }

    /// As [`Simulation::new`], without telemetry: for measuring what users get, at half the cost.
    pub(super) fn unobserved(scenario: &Scenario, seed: u64) -> Simulation {
        Simulation::build(scenario, seed, Time(0), false)
    }

    fn build(scenario: &Scenario, seed: u64, start: Time, telemetry: bool) -> Simulation {
        let operations = |s: &super::scenario::Service| s.operations.len();
        let budgets = |s: &super::scenario::Service| {
            s.operations.iter().map(|o| vec![super::calls::BUDGET_MAX; o.calls.len()]).collect()
        };
        let (arrivals, noise) = (Key::of(seed, Purpose::Arrivals), Key::of(seed, Purpose::Noise));
        let entries = scenario.entries.len();
        let mut simulation = Simulation {
            scenario: Arc::new(scenario.clone()),
            seed,
            start,
            now: 0,
            schedule: Schedule::default(),
            requests: Slab::default(),
            calls: Slab::default(),
            frames: Slab::default(),
            pods: Vec::new(),
            workloads: (0..scenario.services.len()).map(|s| Workload::new(scenario, s)).collect(),
            pending: VecDeque::new(),
            nodes: Nodes::new(scenario),
            peers: scenario.peers.iter().map(|_| PeerState::new()).collect(),
            edges: Edges::default(),
            operation_factors: scenario.services.iter().map(|s| vec![1.0; operations(s)]).collect(),
            cut_short: scenario.services.iter().map(|s| vec![(0.0, OK); operations(s)]).collect(),
            call_budgets: scenario.services.iter().map(budgets).collect(),
            entry_budgets: vec![super::calls::BUDGET_MAX; entries],
            telemetry: Telemetry::new(scenario, seed, start, telemetry),
            ledger: Ledger::new(scenario),
            ingress: Ingress::new(scenario),
            request_key: Key::of(seed, Purpose::Request),
            request_numbers: vec![0; entries],
            arrival_keys: (0..entries as u64).map(|e| (arrivals.child(e), noise.child(e))).collect(),
            slot_arrivals: Vec::new(),
        };
        simulation.start_pods();
        simulation.schedule_faults();
        simulation.schedule.push(0, Event::Slot(0));
        simulation
    }

    pub fn now(&self) -> Time {
        Time(self.start.0.saturating_add(self.now))
    }

    /// Lets everything happen up to `t`, and gives what reached headroom by then, in order of arrival.
    pub fn run_until(&mut self, t: Time) -> Vec<Delivery> {
        let until = t.nanos_since(self.start);
        while let Some((at, event)) = self.schedule.pop_until(until) {
            self.now = at;
            self.happen(event);
        }
        self.now = self.now.max(until);
        self.telemetry.arrived(self.now)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Slot(slot) => self.draw_slot(slot),
            Event::Arrive { entry, number } => {
                let key = self.request_key.child(entry.into()).child(number.into());
                self.arrive(entry, key);
            }
            Event::Send(call) => self.send(call),
            Event::Deliver(frame) => self.deliver(frame),
            Event::Take(frame) => self.begin(frame),
            Event::Worked(frame) => self.worked(frame),
            Event::Shared { pod, epoch } => self.shared_changed(pod as usize, epoch),
            Event::Query(call) => self.query(call),
            Event::Answered { peer, call } => self.answered(peer.into(), call),
            Event::Reply { call, status } => self.reply(call, status),
            Event::Freed(pool) => self.connection_freed(pool),
            Event::Timeout(call) => self.reply(call, super::status::TIMED_OUT),
            Event::Flush(pod) => self.telemetry.flush(pod as usize, self.now),
            Event::Ready(pod) => self.ready(pod as usize),
            Event::Kill(pod) => self.kill(pod as usize),
            Event::NodeArrives => self.node_arrives(),
            Event::Fault => self.refresh_faults(),
            Event::Release(fault) => self.release(fault.into()),
        }
    }

    fn draw_slot(&mut self, slot: u32) {
        let scenario = Arc::clone(&self.scenario);
        for (index, entry) in scenario.entries.iter().enumerate() {
            let mut arrivals = std::mem::take(&mut self.slot_arrivals);
            let (arrivals_key, noise_key) = self.arrival_keys[index];
            traffic::arrivals(entry, slot.into(), arrivals_key, noise_key, &mut arrivals);
            for at in arrivals.drain(..) {
                let number = self.request_numbers[index];
                self.request_numbers[index] += 1;
                self.schedule.push(at, Event::Arrive { entry: index as u16, number });
            }
            self.slot_arrivals = arrivals;
        }
        self.schedule.push((i64::from(slot) + 1) * SLOT_NS, Event::Slot(slot + 1));
    }

    /// What users got so far.
    pub fn measures(&self) -> Measures {
        let pod_lives = self.pods.iter().map(|pod| (pod.created, pod.stopped));
        let measures = self.ledger.measures(&self.scenario, self.now, self.telemetry.touched(), pod_lives);
        let slow = self.scenario.faults.iter().filter_map(|fault| match fault.trouble {
            Trouble::SlowPod { service, pod, .. } => self.workloads[service].pods.get(pod as usize),
            _ => None,
        });
        Measures { bad_pods: slow.map(|&pod| self.pods[pod].name.clone()).collect(), ..measures }
    }

    /// The last seconds, for a terminal.
    pub fn live(&self) -> Live {
        let services = self.scenario.services.iter().zip(&self.workloads);
        Live {
            at_s: self.now as f64 / 1e9,
            entries: self.ledger.live_entries(&self.scenario, self.now),
            services: services
                .map(|(service, workload)| LiveService {
                    service: service.name.clone(),
                    ready: workload.serving.iter().filter(|pod| !self.is_of_canary(**pod)).count() as u32,
                    wanted: workload.replicas,
                })
                .collect(),
        }
    }

    /// Requests that reached pods of a service (by `service.name`), refused ones included, in `[from, to)`; to 10 ms.
    pub fn arrivals(&self, service: &str, from: Time, to: Time) -> u64 {
        let Some(index) = self.scenario.service(service) else { return 0 };
        self.ledger.arrivals(index, from.nanos_since(self.start), to.nanos_since(self.start))
    }

    /// How busy each service has been, in the order of the file.
    pub fn usage(&self) -> Vec<Usage> {
        let mut usage = vec![Usage::default(); self.workloads.len()];
        for pod in &self.pods {
            let Some(ready) = pod.ready else { continue };
            let capacity = match self.scenario.services[pod.service].pods {
                Pods::Workers { threads, .. } => f64::from(threads),
                Pods::Shared { cores, .. } => cores,
            };
            let end = pod.stopped.unwrap_or(self.now);
            usage[pod.service].used_s += pod.used_ns(self.now.min(end)) / 1e9;
            usage[pod.service].available_s += (end - ready) as f64 / 1e9 * capacity;
        }
        usage
    }
}
