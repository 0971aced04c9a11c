//! A service graph in layers: requests enter at the first, each operation calls some of deeper layers and what sends
//! no spans. Its arithmetic: rates, times, spans a request.

use super::chance::{Chance, rounded};

const NAMES: [&str; 24] = [
    "apple", "birch", "cedar", "dahlia", "elder", "fern", "grape", "hazel", "iris", "juniper", "kale", "lilac",
    "maple", "nettle", "oak", "poppy", "quince", "rowan", "sorrel", "thyme", "ulmus", "vetch", "willow", "yarrow",
];
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const STATEMENTS: [&str; 4] = ["SELECT", "INSERT", "HGET", "POST /charge"];

pub(super) struct System {
    pub services: Vec<Service>,
    /// Callees before their callers.
    pub operations: Vec<Operation>,
    pub peers: Vec<Peer>,
    pub entries: Vec<Entry>,
    pub network_ms: f64,
}

pub(super) struct Service {
    pub name: String,
    pub layer: usize,
}

pub(super) struct Operation {
    pub service: usize,
    pub name: String,
    pub own_ms: f64,
    pub sigma: f64,
    pub parallel: bool,
    pub internal: bool,
    pub calls: Vec<Call>,
    /// It takes messages, and no calls.
    pub takes_messages: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum To {
    Operation(usize),
    Peer(usize),
}

#[derive(Clone)]
pub(super) struct Call {
    pub to: To,
    pub count: u32,
    pub probability: f64,
    pub timeout_ms: f64,
    pub retries: u32,
    pub queue_ms: Option<f64>,
}

impl Call {
    fn of(to: To) -> Call {
        Call { to, count: 1, probability: 1.0, timeout_ms: 2_000.0, retries: 0, queue_ms: None }
    }

    fn mean_count(&self) -> f64 {
        f64::from(self.count) * self.probability
    }
}

pub(super) struct Peer {
    pub name: String,
    pub system: &'static str,
    pub latency_ms: f64,
    pub statement: &'static str,
}

pub(super) struct Entry {
    pub operation: usize,
    pub rate: f64,
}

/// Mean and variance of a time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Time {
    pub mean_ms: f64,
    pub variance: f64,
}

impl Time {
    /// Lognormal.
    fn of(median_ms: f64, sigma: f64) -> Time {
        let mean_ms = median_ms * (sigma * sigma / 2.0).exp();
        Time { mean_ms, variance: mean_ms * mean_ms * ((sigma * sigma).exp() - 1.0) }
    }

    fn add(&mut self, times: f64, other: Time) {
        self.mean_ms += times * other.mean_ms;
        self.variance += times * other.variance;
    }

    /// What next to no request exceeds.
    pub fn longest_ms(self) -> f64 {
        self.mean_ms + 3.5 * self.variance.sqrt()
    }
}

/// Queries of peers, as their latency is written.
const PEER_SIGMA: f64 = 0.4;

impl System {
    pub fn draw(chance: &mut Chance) -> System {
        let count = chance.integer(4, 10) as usize;
        let depth = (chance.integer(2, 5) as usize).min(count);
        let network_ms = rounded(chance.log_between(0.05, 1.5));
        let names = chance.sample(&NAMES, count);
        let is_wide_open = chance.happens(0.2);
        let layer = |n: usize| match n {
            0 => 0,
            1 if is_wide_open => 0,
            n => 1 + n % (depth - 1).max(1),
        };
        let services = names.iter().enumerate().map(|(n, name)| Service { name: (*name).into(), layer: layer(n) });
        let mut system =
            System { services: services.collect(), operations: vec![], peers: vec![], entries: vec![], network_ms };
        for level in (0..depth).rev() {
            let below: Vec<To> = (0..system.operations.len()).map(To::Operation).collect();
            for service in (0..count).filter(|s| layer(*s) == level) {
                for n in 0..chance.integer(1, 3) {
                    system.add_operation(service, n, &below, chance);
                }
            }
        }
        system.call_the_uncalled(chance);
        if chance.happens(0.15) {
            system.add_messages(chance);
        }
        system.set_timeouts(chance);
        system.add_entries(chance);
        system
    }

    fn add_operation(&mut self, service: usize, n: u32, below: &[To], chance: &mut Chance) {
        let layer = self.services[service].layer;
        let own_ms = if layer == 0 { chance.log_between(0.3, 5.0) } else { chance.log_between(0.5, 80.0) };
        let name = &self.services[service].name;
        let path = ["", "/{id}", "/all"][n as usize % 3];
        let name = match chance.happens(0.25) {
            true => format!("{name}.{}", ["Get", "Put", "List"][n as usize % 3]),
            false => format!("{} /{name}{path}", chance.pick(&METHODS).unwrap_or_default()),
        };
        let most = if layer == 0 { 4 } else { 3 };
        let wanted = chance.integer(u32::from(layer == 0), most) as usize;
        let mut calls: Vec<Call> = chance.sample(below, wanted).into_iter().map(Call::of).collect();
        for call in &mut calls {
            if chance.happens(0.15) {
                call.count = 2;
            }
            if chance.happens(0.2) {
                call.probability = rounded(chance.between(0.1, 0.9));
            }
        }
        if layer > 0 && chance.happens(if calls.is_empty() { 0.6 } else { 0.25 }) {
            let peer = self.peer_of(service, chance);
            let count = chance.integer(1, 2);
            calls.push(Call { count, ..Call::of(To::Peer(peer)) });
        }
        self.operations.push(Operation {
            service,
            name,
            own_ms: rounded(own_ms),
            sigma: rounded(chance.between(0.15, 0.6)),
            parallel: chance.happens(0.3),
            internal: chance.happens(0.15),
            calls,
            takes_messages: false,
        });
    }

    /// The service's own database, or one that others use as well.
    fn peer_of(&mut self, service: usize, chance: &mut Chance) -> usize {
        let shared: Vec<usize> = (0..self.peers.len()).collect();
        if chance.happens(0.2)
            && let Some(peer) = chance.pick(&shared)
        {
            return peer;
        }
        let system = chance.pick(&["postgresql", "redis", "mysql", ""]).unwrap_or_default();
        let kind = if system.is_empty() { "gateway" } else { "db" };
        let name = format!("{}-{kind}", self.services[service].name);
        if let Some(known) = self.peers.iter().position(|peer| peer.name == name) {
            return known;
        }
        let latency_ms = rounded(chance.log_between(0.5, 30.0));
        let statement = match system {
            "" => STATEMENTS[3],
            "redis" => STATEMENTS[2],
            _ => STATEMENTS[chance.integer(0, 1) as usize],
        };
        self.peers.push(Peer { name, system, latency_ms, statement });
        self.peers.len() - 1
    }

    /// Somebody of an upper layer calls each operation.
    fn call_the_uncalled(&mut self, chance: &mut Chance) {
        for callee in 0..self.operations.len() {
            let layer = self.layer(callee);
            if layer == 0 || self.callers(To::Operation(callee)).next().is_some() {
                continue;
            }
            let above: Vec<usize> = (callee + 1..self.operations.len()).filter(|o| self.layer(*o) < layer).collect();
            if let Some(caller) = chance.pick(&above) {
                self.operations[caller].calls.push(Call::of(To::Operation(callee)));
            }
        }
    }

    /// An operation that takes messages, of a service below the one that sends them.
    fn add_messages(&mut self, chance: &mut Chance) {
        let senders: Vec<usize> = (0..self.operations.len()).collect();
        let Some(sender) = chance.pick(&senders) else { return };
        let layer = self.layer(sender);
        let below: Vec<usize> = (0..self.services.len()).filter(|s| self.services[*s].layer > layer).collect();
        let Some(service) = chance.pick(&below) else { return };
        let own_ms = rounded(chance.log_between(2.0, 60.0));
        let name = format!("{}-events", self.services[service].name);
        let (sigma, calls) = (0.4, vec![]);
        let consumer =
            Operation { service, name, own_ms, sigma, parallel: false, internal: false, calls, takes_messages: true };
        // First, so that callees stay before their callers.
        self.operations.insert(0, consumer);
        for call in self.operations.iter_mut().flat_map(|o| &mut o.calls) {
            if let To::Operation(operation) = &mut call.to {
                *operation += 1;
            }
        }
        let queue_ms = Some(rounded(chance.log_between(2.0, 2_000.0)));
        self.operations[sender + 1].calls.push(Call { queue_ms, ..Call::of(To::Operation(0)) });
    }

    /// Patient, usual or short, for the whole system: a house has its defaults.
    fn set_timeouts(&mut self, chance: &mut Chance) {
        let patience = chance.between(0.0, 1.0);
        let retries = if chance.happens(0.25) { chance.integer(1, 2) } else { 0 };
        for operation in 0..self.operations.len() {
            for call in 0..self.operations[operation].calls.len() {
                let longest_ms = self.call_time(&self.operations[operation].calls[call]).longest_ms();
                let timeout_ms = match patience {
                    p if p < 0.3 => chance.log_between(5_000.0, 20_000.0),
                    p if p < 0.7 => chance.log_between(1_000.0, 4_000.0),
                    _ => (longest_ms * chance.between(1.5, 5.0)).max(60.0),
                };
                let call = &mut self.operations[operation].calls[call];
                call.timeout_ms = rounded(timeout_ms.max(1.5 * longest_ms)).round();
                call.retries = if chance.happens(0.5) { retries } else { 0 };
            }
        }
    }

    /// No timeout is shorter than the slowest healthy call.
    pub fn lengthen_timeouts(&mut self) {
        for operation in 0..self.operations.len() {
            for call in 0..self.operations[operation].calls.len() {
                let longest_ms = self.call_time(&self.operations[operation].calls[call]).longest_ms();
                let call = &mut self.operations[operation].calls[call];
                call.timeout_ms = call.timeout_ms.max((1.5 * longest_ms).round());
            }
        }
    }

    /// Some are used much more than others; in a third of the systems one is hardly used at all.
    fn add_entries(&mut self, chance: &mut Chance) {
        let entries = (0..self.operations.len()).filter(|o| self.layer(*o) == 0);
        self.entries = entries.map(|operation| Entry { operation, rate: chance.log_between(0.15, 1.0) }).collect();
        self.scale_to(chance.log_between(60.0, 350.0));
        if self.entries.len() > 1 && chance.happens(0.35) {
            let quiet = chance.integer(0, self.entries.len() as u32 - 1) as usize;
            self.entries[quiet].rate = chance.log_between(0.03, 0.3);
        }
        self.entries.iter_mut().for_each(|entry| entry.rate = rounded(entry.rate));
    }

    /// Makes so many spans a second of all entries together.
    pub fn scale_to(&mut self, spans_per_s: f64) {
        let now: f64 = self.entries.iter().map(|entry| entry.rate * self.spans(entry.operation)).sum();
        self.entries.iter_mut().for_each(|entry| entry.rate = rounded(entry.rate * spans_per_s / now));
    }

    pub fn layer(&self, operation: usize) -> usize {
        self.services[self.operations[operation].service].layer
    }

    /// Operations that call it, messages left out.
    pub fn callers(&self, to: To) -> impl Iterator<Item = usize> {
        (0..self.operations.len())
            .filter(move |o| self.operations[*o].calls.iter().any(|call| call.to == to && call.queue_ms.is_none()))
    }

    /// Services that call a service (by its index), itself left out.
    pub fn calling_services(&self, callee: usize) -> Vec<usize> {
        let mut callers: Vec<usize> = self
            .of(callee)
            .flat_map(|o| self.callers(To::Operation(o)))
            .map(|o| self.operations[o].service)
            .filter(|s| *s != callee)
            .collect();
        callers.sort_unstable();
        callers.dedup();
        callers
    }

    pub fn of(&self, service: usize) -> impl Iterator<Item = usize> {
        (0..self.operations.len()).filter(move |o| self.operations[*o].service == service)
    }

    /// Requests a second of each operation, with each entry's rate times its factor.
    pub fn rates(&self, factors: &[f64]) -> Vec<f64> {
        let mut rates = vec![0.0; self.operations.len()];
        for (entry, factor) in self.entries.iter().zip(factors) {
            rates[entry.operation] += entry.rate * factor;
        }
        for caller in (0..self.operations.len()).rev() {
            for call in &self.operations[caller].calls {
                if let To::Operation(callee) = call.to {
                    rates[callee] += rates[caller] * call.mean_count();
                }
            }
        }
        rates
    }

    pub fn usual_rates(&self) -> Vec<f64> {
        self.rates(&vec![1.0; self.entries.len()])
    }

    /// Spans of one request, its callees' included.
    fn spans(&self, operation: usize) -> f64 {
        let below = self.operations[operation].calls.iter().map(|call| {
            let answer = if let To::Operation(callee) = call.to { self.spans(callee) } else { 0.0 };
            call.mean_count() * (1.0 + answer)
        });
        1.0 + f64::from(u8::from(self.operations[operation].internal)) + below.sum::<f64>()
    }

    /// How long a request takes where nothing waits.
    pub fn time(&self, operation: usize) -> Time {
        let operation = &self.operations[operation];
        let mut time = Time::of(operation.own_ms, operation.sigma);
        for call in &operation.calls {
            // Calls side by side take as long as the longest; added up they are too long, which is the safe side.
            time.add(call.mean_count(), self.call_time(call));
        }
        time
    }

    pub fn call_time(&self, call: &Call) -> Time {
        let mut time = match call.to {
            To::Operation(_) if call.queue_ms.is_some() => Time::default(),
            To::Operation(callee) => self.time(callee),
            To::Peer(peer) => Time::of(self.peers[peer].latency_ms, PEER_SIGMA),
        };
        time.mean_ms += 2.0 * self.network_ms;
        time
    }

    /// Whether a request of an entry meets a service, or the peer; messages count.
    pub fn reaches(&self, operation: usize, is_it: &dyn Fn(To) -> bool) -> bool {
        is_it(To::Operation(operation))
            || self.operations[operation].calls.iter().any(|call| match call.to {
                To::Operation(callee) => self.reaches(callee, is_it),
                To::Peer(_) => is_it(call.to),
            })
    }
}
