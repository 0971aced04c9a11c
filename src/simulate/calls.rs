//! A request's way through the graph. A *call* is one attempt of a caller (a user or an operation) with its timeout;
//! a *frame* is the work a pod does for a call. Each can end without the other: a caller gives up and the
//! frame works on, a pod refuses and the caller tries again.

use super::edges::{Connection, PoolId, Way};
use super::frames::Frame;
use super::random::{Key, lognormal};
use super::scenario::{Callee, Duration, Retries, Target};
use super::simulation::{CallId, Event, FrameId, Simulation};
use super::slab::Id;
use super::spans::{SpanRecord, Subject};
use super::status::{OK, REFUSED, SHED, TIMED_OUT, UNREACHED};

/// Tokens a retry budget can save up, and starts with: a short hiccup may be retried at any traffic.
pub(super) const BUDGET_MAX: f64 = 10.0;

/// What a user asked for, over all of its attempts.
pub(super) struct Request {
    entry: u16,
    arrived: i64,
}

#[derive(Clone, Copy)]
pub(super) enum Owner {
    User(Id<Request>),
    /// A frame and the index of the call in its operation.
    Frame(FrameId, u16),
}

/// One attempt.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) owner: Owner,
    trace: u128,
    /// The CLIENT span; unused for users, who have none.
    span: u64,
    pub(super) key: Key,
    pub(super) attempt: u32,
    /// What the front door asked its user to wait before another attempt.
    again_ns: f64,
    sent: i64,
    /// The connection that it holds, of a pool that is exhausted.
    pool: Option<PoolId>,
    /// It waits for one, and its span has not begun.
    unsent: bool,
    /// A fault holds it up, or ends it.
    pub(super) touched: bool,
}

impl Call {
    pub(super) fn first(owner: Owner, trace: u128, key: Key) -> Call {
        Call {
            owner,
            trace,
            span: 0,
            key,
            attempt: 0,
            again_ns: 0.0,
            sent: 0,
            pool: None,
            unsent: false,
            touched: false,
        }
    }
}

/// Where a call goes.
struct Destination {
    /// The service and the pod that call; None for users.
    caller: Option<(usize, u32)>,
    callee: Callee,
    /// Of the callee, when it is a service.
    operation: usize,
    timeout_ns: i64,
    /// How long it lies in a queue, where it is a message.
    queue: Option<Duration>,
}

impl Simulation {
    pub(super) fn arrive(&mut self, entry: u16, key: Key) {
        self.ledger.arrived(entry.into(), self.now);
        let request = self.requests.insert(Request { entry, arrived: self.now });
        let retries = self.scenario.entries[usize::from(entry)].retries;
        earn(&mut self.entry_budgets[usize::from(entry)], retries);
        let owner = Owner::User(request);
        let call = Call::first(owner, 0, key);
        let call = self.calls.insert(call);
        self.send(call);
    }

    /// One way over the network: half to one and a half times the mean.
    pub(super) fn network(&self, key: Key, way: u64) -> i64 {
        (self.scenario.network_ns as f64 * (0.5 + key.child(way).uniform())) as i64
    }

    fn destination(&self, owner: Owner) -> Option<Destination> {
        let scenario = &self.scenario;
        match owner {
            Owner::User(request) => {
                let entry = &scenario.entries[usize::from(self.requests.get(request)?.entry)];
                let (callee, operation) = (Callee::Service(entry.service), entry.operation_index);
                Some(Destination { caller: None, callee, operation, timeout_ns: entry.timeout_ns, queue: None })
            }
            Owner::Frame(frame, index) => {
                let frame = self.frames.get(frame)?;
                let call = &scenario.services[usize::from(frame.service)].operations[usize::from(frame.operation)]
                    .calls[usize::from(index)];
                let (callee, operation) = match call.target {
                    Target::Operation { service, operation } => (Callee::Service(service), operation),
                    Target::Peer { peer, .. } => (Callee::Peer(peer), 0),
                };
                let caller = Some((usize::from(frame.service), frame.pod));
                Some(Destination { caller, callee, operation, timeout_ns: call.timeout_ns, queue: call.queue })
            }
        }
    }

    /// Makes an attempt, now.
    pub(super) fn send(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        call.sent = self.now;
        // Each attempt draws anew.
        let key = call.key.child(u64::from(call.attempt));
        match call.owner {
            // Users send no spans: each attempt is a trace of its own.
            Owner::User(_) => call.trace = (u128::from(key.child(0).id()) << 64) | u128::from(key.child(1).id()),
            Owner::Frame(..) => call.span = key.id(),
        }
        let (owner, attempt) = (call.owner, call.attempt);
        let Some(destination) = self.destination(owner) else { return };
        self.schedule.push(self.now + destination.timeout_ns, Event::Timeout(id));
        if let Owner::User(request) = owner {
            let Some(entry) = self.requests.get(request).map(|request| request.entry) else { return };
            if let Err(again_ns) = self.comes_in(entry, attempt) {
                if let Some(call) = self.calls.get_mut(id) {
                    call.again_ns = again_ns;
                }
                let answered = self.now + self.network(key, 2);
                self.schedule.push(answered, Event::Reply { call: id, status: SHED });
                return;
            }
        }
        let connection = match destination.caller {
            Some((caller, pod)) => self.connect(id, caller, pod, destination.callee),
            None => Connection::Unpooled,
        };
        let Some(call) = self.calls.get_mut(id) else { return };
        match connection {
            Connection::Unpooled => {}
            Connection::Held(pool) => call.pool = Some(pool),
            Connection::Waits { in_span } => {
                (call.unsent, call.touched) = (!in_span, true);
                return;
            }
        }
        self.dispatch(id, &destination);
    }

    /// A call that waited is sent over the connection that it now has; false when its caller gave up.
    pub(super) fn connected(&mut self, id: CallId, pool: Option<PoolId>) -> bool {
        let now = self.now;
        let Some(call) = self.calls.get_mut(id) else { return false };
        if std::mem::take(&mut call.unsent) {
            call.sent = now;
        }
        call.pool = pool;
        let owner = call.owner;
        match self.destination(owner) {
            Some(destination) => self.dispatch(id, &destination),
            None => return false,
        }
        true
    }

    /// A fault holds the call up, or ends it.
    pub(super) fn touch(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(id) {
            call.touched = true;
        }
    }

    fn dispatch(&mut self, id: CallId, destination: &Destination) {
        let Some(&call) = self.calls.get(id) else { return };
        let key = call.key.child(u64::from(call.attempt));
        let mut arrives = self.now + self.network(key, 2);
        if let Some(queue) = destination.queue {
            // The queue takes the message, and gives it to a consumer later.
            self.schedule.push(arrives, Event::Reply { call: id, status: OK });
            arrives += lognormal(&mut key.child(9).stream(), queue.median_ns, queue.sigma) as i64;
        } else {
            let way = self.way(destination.caller.map(|(service, _)| service), destination.callee, key.child(8));
            if way != (Way::Open { late_ns: 0 }) {
                self.touch(id);
            }
            match way {
                Way::Open { late_ns } => arrives += late_ns,
                Way::Refused { after_ns, status } => {
                    self.schedule.push(self.now + after_ns, Event::Reply { call: id, status });
                    return;
                }
                Way::Silent => return,
            }
        }
        let Callee::Service(service) = destination.callee else {
            self.schedule.push(arrives, Event::Query(id));
            return;
        };
        let operation = destination.operation;
        let balance = self.scenario.services[service].balance;
        let Some(pod) = self.workloads[service].choose(balance, &self.pods, key.child(7)) else {
            // Nobody listens: the connection is refused.
            self.schedule.push(arrives, Event::Reply { call: id, status: REFUSED });
            return;
        };
        self.pods[pod].outstanding += 1;
        let frame = self.frames.insert(Frame {
            call: id,
            trace: call.trace,
            span: key.child(3).id(),
            parent: call.span,
            key: key.child(4),
            pod: pod as u32,
            service: service as u16,
            operation: operation as u16,
            step: 0,
            open: 0,
            round: 0,
            calls: 0,
            cut_short: None,
            touched: false,
            status: OK,
            delivered: 0,
            started: 0,
            since: 0,
            own_ns: 0.0,
        });
        self.schedule.push(arrives, Event::Deliver(frame));
    }

    /// The caller has its answer, or gives up: the CLIENT span ends; try again or go on.
    pub(super) fn reply(&mut self, id: CallId, status: u16) {
        // Gone when the other of answer and timeout came first.
        let Some(call) = self.calls.remove(id) else { return };
        if let Some(pool) = call.pool {
            self.release_connection(pool);
        }
        let retries = match call.owner {
            Owner::User(request) => {
                let Some(request) = self.requests.get(request) else { return };
                let entry = usize::from(request.entry);
                (self.scenario.entries[entry].retries, &mut self.entry_budgets[entry])
            }
            Owner::Frame(id, index) => {
                let Some(frame) = self.frames.get(id) else { return };
                let (service, operation) = (usize::from(frame.service), usize::from(frame.operation));
                let subject = Subject::Client { service: frame.service, operation: frame.operation, call: index };
                let (trace, parent) = (frame.trace, frame.span);
                let span = SpanRecord {
                    trace,
                    span: call.span,
                    parent,
                    start: call.sent,
                    end: self.now,
                    subject,
                    status,
                    touched: call.touched,
                };
                let pod = frame.pod as usize;
                if !call.unsent {
                    self.record(pod, span);
                }
                if call.touched && matches!(status, UNREACHED | REFUSED | TIMED_OUT) {
                    self.ledger.unanswered(self.now);
                }
                let index = usize::from(index);
                let retries = self.scenario.services[service].operations[operation].calls[index].retries;
                (retries, &mut self.call_budgets[service][operation][index])
            }
        };
        let (retries, budget) = retries;
        if status != OK && call.attempt < retries.attempts && *budget >= 1.0 {
            *budget -= 1.0;
            // Who is turned away at the front door is told when to come again, and does.
            let backoff = (retries.backoff_ns * f64::from(1_u32 << call.attempt)).max(2.0 * call.again_ns);
            let jitter = 0.5 + 0.5 * call.key.child(7 + u64::from(call.attempt)).uniform();
            let again = self.calls.insert(Call {
                attempt: call.attempt + 1,
                span: call.span,
                sent: call.sent,
                ..Call::first(call.owner, call.trace, call.key)
            });
            self.schedule.push(self.now + (backoff * jitter) as i64, Event::Send(again));
            return;
        }
        match call.owner {
            Owner::User(id) => {
                if let Some(request) = self.requests.remove(id) {
                    self.ledger.ended(request.entry.into(), request.arrived, self.now, status);
                }
            }
            Owner::Frame(id, _) => self.call_ended(id, status),
        }
    }
}

/// A first attempt earns its share of a retry.
pub(super) fn earn(budget: &mut f64, retries: Retries) {
    *budget = (*budget + retries.budget).min(BUDGET_MAX);
}

#[cfg(test)]
mod tests;
