//! A request's way through the graph. A *call* is one attempt of a caller (a user or an operation) with its timeout;
//! a *frame* is the work a pod does for a call. Each can end without the other: a caller gives up and the
//! frame works on, a pod refuses and the caller tries again.

use std::sync::Arc;

use super::edges::{Connection, PoolId, Way};
use super::pods::Queue;
use super::random::{Key, lognormal};
use super::scenario::{Callee, Duration, Pods, Retries, Step, Target};
use super::simulation::{CallId, Event, FrameId, Simulation};
use super::slab::Id;
use super::spans::{SpanRecord, Subject};
use super::status::{OK, REFUSED};
use super::workers::Offer;

/// Tokens a retry budget can save up, and starts with: a short hiccup may be retried at any traffic.
pub(super) const BUDGET_MAX: f64 = 10.0;

/// How long a pod with a full queue takes to say so.
const REFUSAL_NS: i64 = 50_000;

/// The first child key of a frame that belongs to a call; those below are its own draws.
const FIRST_CALL: u64 = 16;

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
    sent: i64,
    /// The connection that it holds, of a pool that is exhausted.
    pool: Option<PoolId>,
    /// It waits for one, and its span has not begun.
    unsent: bool,
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

/// A request at a pod.
pub(super) struct Frame {
    call: CallId,
    trace: u128,
    span: u64,
    parent: u64,
    key: Key,
    pod: u32,
    pub(super) service: u16,
    pub(super) operation: u16,
    step: u16,
    /// Calls of the present step that are open.
    open: u16,
    /// How often the present step's calls were made: a version may make them several times.
    round: u32,
    /// Calls made or skipped so far.
    calls: u16,
    /// It is going to end with this status once its first piece of work is done.
    cut_short: Option<u16>,
    status: u16,
    /// When it reached the pod.
    delivered: i64,
    started: i64,
    /// When the present step began.
    since: i64,
    own_ns: f64,
}

impl Simulation {
    pub(super) fn arrive(&mut self, entry: u16, key: Key) {
        self.ledger.arrived(entry.into(), self.now);
        let request = self.requests.insert(Request { entry, arrived: self.now });
        let retries = self.scenario.entries[usize::from(entry)].retries;
        earn(&mut self.entry_budgets[usize::from(entry)], retries);
        let owner = Owner::User(request);
        let call = Call { owner, trace: 0, span: 0, key, attempt: 0, sent: 0, pool: None, unsent: false };
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
        let owner = call.owner;
        let Some(destination) = self.destination(owner) else { return };
        self.schedule.push(self.now + destination.timeout_ns, Event::Timeout(id));
        let connection = match destination.caller {
            Some((caller, pod)) => self.connect(id, caller, pod, destination.callee),
            None => Connection::Unpooled,
        };
        let Some(call) = self.calls.get_mut(id) else { return };
        match connection {
            Connection::Unpooled => {}
            Connection::Held(pool) => call.pool = Some(pool),
            Connection::Waits { in_span } => {
                call.unsent = !in_span;
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

    fn dispatch(&mut self, id: CallId, destination: &Destination) {
        let Some(&call) = self.calls.get(id) else { return };
        let key = call.key.child(u64::from(call.attempt));
        let mut arrives = self.now + self.network(key, 2);
        if let Some(queue) = destination.queue {
            // The queue takes the message, and gives it to a consumer later.
            self.schedule.push(arrives, Event::Reply { call: id, status: OK });
            arrives += lognormal(&mut key.child(9).stream(), queue.median_ns, queue.sigma) as i64;
        } else {
            match self.way(destination.caller.map(|(service, _)| service), destination.callee, key.child(8)) {
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
            status: OK,
            delivered: 0,
            started: 0,
            since: 0,
            own_ns: 0.0,
        });
        self.schedule.push(arrives, Event::Deliver(frame));
    }

    /// A request reaches its pod: taken, queued or refused.
    pub(super) fn deliver(&mut self, id: FrameId) {
        let now = self.now;
        let Some(frame) = self.frames.get_mut(id) else { return };
        frame.delivered = now;
        let (service, pod) = (usize::from(frame.service), &mut self.pods[frame.pod as usize]);
        self.ledger.reached(service, self.now);
        let offer = match (&mut pod.queue, self.scenario.services[service].pods) {
            (Queue::Workers(workers), _) => workers.offer(id, self.now),
            (Queue::Shared(_), Pods::Shared { in_flight_max, .. }) if pod.in_flight >= in_flight_max => Offer::Refused,
            (Queue::Shared(_), _) => Offer::Started,
        };
        match offer {
            Offer::Started => self.begin(id),
            Offer::Queued => {}
            Offer::Refused => self.refuse(id),
        }
    }

    fn refuse(&mut self, id: FrameId) {
        let Some(frame) = self.frames.remove(id) else { return };
        let end = self.now + REFUSAL_NS;
        self.record_server(&frame, self.now, end, REFUSED);
        let reply = Event::Reply { call: frame.call, status: REFUSED };
        self.schedule.push(end + self.network(frame.key, 0), reply);
        self.answered_by(frame.pod as usize);
    }

    /// A worker (or the runtime of a shared pod) takes the request: its SERVER span begins.
    pub(super) fn begin(&mut self, id: FrameId) {
        let now = self.now;
        let Some(frame) = self.frames.get_mut(id) else { return };
        let (service, operation) = (usize::from(frame.service), usize::from(frame.operation));
        let pod = &mut self.pods[frame.pod as usize];
        pod.in_flight += 1;
        let own = self.scenario.services[service].operations[operation].own;
        let mut factor = self.workloads[service].versions[pod.version].factor
            * self.operation_factors[service][operation]
            * pod.slowness
            / pod.speed;
        if now < pod.warm_from {
            factor *= self.scenario.pod_start.warm_up_factor;
        }
        let (share, status) = self.cut_short[service][operation];
        frame.cut_short = (share > 0.0 && frame.key.child(5).uniform() < share).then_some(status);
        frame.started = now;
        frame.own_ns = lognormal(&mut frame.key.child(1).stream(), own.median_ns, own.sigma) * factor;
        self.advance(id);
    }

    /// Goes on with the frame's present step, until it has to wait for something.
    fn advance(&mut self, id: FrameId) {
        let scenario = Arc::clone(&self.scenario);
        loop {
            let now = self.now;
            let Some(frame) = self.frames.get_mut(id) else { return };
            frame.since = now;
            let operation = &scenario.services[usize::from(frame.service)].operations[usize::from(frame.operation)];
            match operation.steps.get(usize::from(frame.step)) {
                None => return self.finish(id),
                Some(Step::Work(share) | Step::Internal(share)) => {
                    let (work_ns, pod) = (frame.own_ns * share, frame.pod as usize);
                    match &mut self.pods[pod].queue {
                        Queue::Workers(_) => self.schedule.push(now + work_ns as i64, Event::Worked(id)),
                        Queue::Shared(shared) => {
                            shared.add(id, work_ns, now);
                            self.schedule_shared(pod);
                        }
                    }
                    return;
                }
                Some(Step::Calls(calls)) => {
                    if self.make_calls(id, calls) > 0 {
                        return;
                    }
                    // None was drawn: go on.
                    self.next_round(id);
                }
            }
        }
    }

    /// How many times as often the frame's version makes a call.
    fn repeats(&self, frame: &Frame, call: u16) -> u32 {
        let version = self.pods[frame.pod as usize].version;
        let repeats = &self.workloads[usize::from(frame.service)].versions[version].repeats;
        repeats.get(usize::from(frame.operation)).map_or(1, |calls| calls[usize::from(call)])
    }

    /// After the calls of a step: the same step again, for a version that calls several times, or the next.
    fn next_round(&mut self, id: FrameId) {
        let scenario = Arc::clone(&self.scenario);
        let Some(frame) = self.frames.get(id) else { return };
        let operation = &scenario.services[usize::from(frame.service)].operations[usize::from(frame.operation)];
        let rounds = match operation.steps.get(usize::from(frame.step)) {
            Some(Step::Calls(calls)) => calls.iter().map(|&call| self.repeats(frame, call)).max().unwrap_or(1),
            _ => 1,
        };
        let Some(frame) = self.frames.get_mut(id) else { return };
        frame.round += 1;
        if frame.round >= rounds {
            (frame.round, frame.step) = (0, frame.step + 1);
        }
    }

    /// Makes the calls of a step that this round has and chance wants; how many.
    fn make_calls(&mut self, id: FrameId, calls: &[u16]) -> u16 {
        let scenario = Arc::clone(&self.scenario);
        let mut made = 0;
        for &index in calls {
            if self.frames.get(id).is_some_and(|frame| frame.round >= self.repeats(frame, index)) {
                continue;
            }
            let Some(frame) = self.frames.get_mut(id) else { break };
            let key = frame.key.child(FIRST_CALL + u64::from(frame.calls));
            frame.calls += 1;
            let (service, operation) = (usize::from(frame.service), usize::from(frame.operation));
            let call = &scenario.services[service].operations[operation].calls[usize::from(index)];
            if call.probability < 1.0 && key.uniform() >= call.probability {
                continue;
            }
            made += 1;
            frame.open = made;
            let owner = Owner::Frame(id, index);
            let trace = frame.trace;
            let attempt = Call { owner, trace, span: 0, key, attempt: 0, sent: 0, pool: None, unsent: false };
            earn(&mut self.call_budgets[service][operation][usize::from(index)], call.retries);
            let attempt = self.calls.insert(attempt);
            self.send(attempt);
        }
        made
    }

    /// A frame's own work is done, in a worker or in a shared pod.
    pub(super) fn worked(&mut self, id: FrameId) {
        let Some(frame) = self.frames.get_mut(id) else { return };
        let operation = &self.scenario.services[usize::from(frame.service)].operations[usize::from(frame.operation)];
        let step = &operation.steps[usize::from(frame.step)];
        frame.step += 1;
        if matches!(step, Step::Internal(_)) {
            let span = SpanRecord {
                trace: frame.trace,
                span: frame.key.child(2).id(),
                parent: frame.span,
                start: frame.since,
                end: self.now,
                subject: Subject::Internal { service: frame.service, operation: frame.operation },
                status: OK,
            };
            let pod = frame.pod as usize;
            self.record(pod, span);
        }
        let Some(frame) = self.frames.get_mut(id) else { return };
        let Some(status) = frame.cut_short else { return self.advance(id) };
        frame.status = status;
        self.finish(id);
    }

    pub(super) fn shared_changed(&mut self, pod: usize, epoch: u32) {
        let Queue::Shared(shared) = &mut self.pods[pod].queue else { return };
        if shared.epoch != epoch {
            return; // what happened since has scheduled its own event
        }
        // One departure an event: if another is due at this instant, its event follows.
        let done = shared.pop_done(self.now);
        self.schedule_shared(pod);
        if let Some(done) = done {
            self.worked(done);
        }
    }

    /// Schedules the next change of a shared pod; nothing for a pod of workers.
    pub(super) fn schedule_shared(&mut self, pod: usize) {
        if let Queue::Shared(shared) = &mut self.pods[pod].queue {
            shared.epoch = shared.epoch.wrapping_add(1);
            if let Some(at) = shared.next_event() {
                self.schedule.push(at, Event::Shared { pod: pod as u32, epoch: shared.epoch });
            }
        }
    }

    /// The answer leaves the pod: its SERVER span ends, its worker is free.
    fn finish(&mut self, id: FrameId) {
        let Some(frame) = self.frames.remove(id) else { return };
        self.record_server(&frame, frame.started, self.now, frame.status);
        let reply = Event::Reply { call: frame.call, status: frame.status };
        self.schedule.push(self.now + self.network(frame.key, 0), reply);
        let pod = &mut self.pods[frame.pod as usize];
        pod.in_flight -= 1;
        if let Queue::Workers(workers) = &mut pod.queue
            && let Some(next) = workers.release(self.now)
        {
            // As an event, so that a long queue of tiny requests is a loop and no recursion.
            self.schedule.push(self.now, Event::Take(next));
        }
        self.answered_by(frame.pod as usize);
    }

    /// Ends every request at a pod without an answer or a SERVER span: its process is gone, and callers see a reset
    /// connection.
    pub(super) fn reset_requests_at(&mut self, pod: usize) {
        for id in self.frames.ids_where(|frame| frame.pod as usize == pod) {
            let Some(frame) = self.frames.remove(id) else { continue };
            let reply = Event::Reply { call: frame.call, status: REFUSED };
            self.schedule.push(self.now + self.network(frame.key, 0), reply);
        }
        (self.pods[pod].outstanding, self.pods[pod].in_flight) = (0, 0);
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
                let span =
                    SpanRecord { trace, span: call.span, parent, start: call.sent, end: self.now, subject, status };
                let pod = frame.pod as usize;
                if !call.unsent {
                    self.record(pod, span);
                }
                let index = usize::from(index);
                let retries = self.scenario.services[service].operations[operation].calls[index].retries;
                (retries, &mut self.call_budgets[service][operation][index])
            }
        };
        let (retries, budget) = retries;
        if status != OK && call.attempt < retries.attempts && *budget >= 1.0 {
            *budget -= 1.0;
            let backoff = retries.backoff_ns * f64::from(1_u32 << call.attempt);
            let jitter = 0.5 + 0.5 * call.key.child(7 + u64::from(call.attempt)).uniform();
            let again = self.calls.insert(Call { attempt: call.attempt + 1, pool: None, unsent: false, ..call });
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

    /// A call of the frame's present step has ended for good.
    fn call_ended(&mut self, id: FrameId, status: u16) {
        let Some(frame) = self.frames.get_mut(id) else { return };
        frame.open -= 1;
        if status != OK {
            frame.status = status;
        }
        match (frame.open, frame.status) {
            (0, OK) => {
                self.next_round(id);
                self.advance(id);
            }
            // A failed call fails the request, once the calls beside it have ended.
            (0, _) => self.finish(id),
            _ => {}
        }
    }

    fn record_server(&mut self, frame: &Frame, start: i64, end: i64, status: u16) {
        let (service, operation) = (frame.service, frame.operation);
        let (trace, mut parent) = (frame.trace, frame.parent);
        if self.scenario.services[usize::from(service)].proxy {
            let span = frame.key.child(8).id();
            let (start, subject) = (frame.delivered, Subject::Proxy { service, operation });
            self.record(frame.pod as usize, SpanRecord { trace, span, parent, start, end, subject, status });
            parent = span;
        }
        let subject = Subject::Server { service, operation };
        let span = SpanRecord { trace, span: frame.span, parent, start, end, subject, status };
        self.record(frame.pod as usize, span);
    }

    fn record(&mut self, pod: usize, span: SpanRecord) {
        if let Some(at) = self.telemetry.record(pod, span, self.now) {
            self.schedule.push(at, Event::Flush(pod as u32));
        }
    }
}

/// A first attempt earns its share of a retry.
fn earn(budget: &mut f64, retries: Retries) {
    *budget = (*budget + retries.budget).min(BUDGET_MAX);
}

#[cfg(test)]
mod tests;
