//! The work a pod does for a call: it is taken, queued or refused, does its steps one after the other, makes calls of its
//! own, and answers.

use std::sync::Arc;

use super::calls::{Call, Owner, earn};
use super::pods::Queue;
use super::random::{Key, lognormal};
use super::scenario::{Pods, Step, seconds};
use super::simulation::{CallId, Event, FrameId, Simulation};
use super::spans::{SpanRecord, Subject};
use super::status::{OK, REFUSED};
use super::workers::Offer;

/// How long a pod with a full queue takes to say so.
const REFUSAL_NS: i64 = 50_000;

/// The first child key of a frame that belongs to a call; those below are its own draws.
const FIRST_CALL: u64 = 16;

/// Who waits longer than this for a worker is held up: below it is the jitter of any queue.
const HELD_UP_NS: i64 = 2_000_000;

/// A request at a pod.
pub(super) struct Frame {
    pub call: CallId,
    pub trace: u128,
    pub span: u64,
    pub parent: u64,
    pub key: Key,
    pub pod: u32,
    pub service: u16,
    pub operation: u16,
    pub step: u16,
    /// Calls of the present step that are open.
    pub open: u16,
    /// How often the present step's calls were made: a version may make them several times.
    pub round: u32,
    /// Calls made or skipped so far.
    pub calls: u16,
    /// It is going to end with this status once its first piece of work is done.
    pub cut_short: Option<u16>,
    pub status: u16,
    /// A fault makes it slow, cuts it short, or lets it wait.
    pub touched: bool,
    /// When it reached the pod.
    pub delivered: i64,
    pub started: i64,
    /// When the present step began.
    pub since: i64,
    pub own_ns: f64,
}

impl Simulation {
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

    /// The scenario's truth names the service, and the onset has passed.
    fn is_in_trouble(&self, frame: &Frame, now: i64) -> bool {
        now >= seconds(self.scenario.truth.onset_s) && self.scenario.is_expected(frame.service.into())
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
        let is_in_trouble = self.frames.get(id).is_some_and(|frame| self.is_in_trouble(frame, now));
        let Some(frame) = self.frames.get_mut(id) else { return };
        let (service, operation) = (usize::from(frame.service), usize::from(frame.operation));
        let pod = &mut self.pods[frame.pod as usize];
        pod.in_flight += 1;
        let own = self.scenario.services[service].operations[operation].own;
        let fault = self.workloads[service].versions[pod.version].factor
            * self.operation_factors[service][operation]
            * pod.slowness;
        let mut factor = fault / pod.speed;
        if now < pod.warm_from {
            factor *= self.scenario.pod_start.warm_up_factor;
        }
        let (share, status) = self.cut_short[service][operation];
        frame.cut_short = (share > 0.0 && frame.key.child(5).uniform() < share).then_some(status);
        frame.started = now;
        let is_held_up = is_in_trouble && now - frame.delivered > HELD_UP_NS;
        frame.touched = fault != 1.0 || frame.cut_short.is_some() || is_held_up;
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
            let attempt = Call::first(owner, trace, key);
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
                touched: frame.touched,
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

    /// A call of the frame's present step has ended for good.
    pub(super) fn call_ended(&mut self, id: FrameId, status: u16) {
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
        let (trace, mut parent, touched) = (frame.trace, frame.parent, frame.touched);
        if self.scenario.services[usize::from(service)].proxy {
            let span = frame.key.child(8).id();
            let (start, subject) = (frame.delivered, Subject::Proxy { service, operation });
            self.record(frame.pod as usize, SpanRecord { trace, span, parent, start, end, subject, status, touched });
            parent = span;
        }
        let subject = Subject::Server { service, operation };
        let span = SpanRecord { trace, span: frame.span, parent, start, end, subject, status, touched };
        self.record(frame.pod as usize, span);
    }

    pub(super) fn record(&mut self, pod: usize, span: SpanRecord) {
        if let Some(at) = self.telemetry.record(pod, span, self.now) {
            self.schedule.push(at, Event::Flush(pod as u32));
        }
    }
}
