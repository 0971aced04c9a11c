//! What answers without spans of its own: databases, caches, third parties. A peer serves as many queries at once as it
//! has connections; the rest wait their turn, and those whose caller gave up leave the line.

use std::collections::VecDeque;

use super::calls::Owner;
use super::random::{Key, lognormal};
use super::scenario::Target;
use super::simulation::{CallId, Event, Simulation};
use super::status::OK;

pub(super) struct PeerState {
    busy: u32,
    /// Bounded by the calls in flight: each of its callers has a timeout.
    waiting: VecDeque<CallId>,
    /// Latencies are multiplied by this while a fault lasts.
    pub factor: f64,
}

impl PeerState {
    pub fn new() -> PeerState {
        PeerState { busy: 0, waiting: VecDeque::new(), factor: 1.0 }
    }
}

impl Simulation {
    /// A query reaches its peer: served when a connection is free, else it waits its turn.
    pub(super) fn query(&mut self, id: CallId) {
        let Some((peer, _)) = self.peer_of(id) else { return };
        if self.peers[peer].busy < self.scenario.peers[peer].connections {
            self.peers[peer].busy += 1;
            self.serve_query(peer, id);
        } else {
            self.peers[peer].waiting.push_back(id);
        }
    }

    fn serve_query(&mut self, peer: usize, id: CallId) {
        let Some((_, key)) = self.peer_of(id) else { return };
        if self.peers[peer].factor != 1.0 {
            self.touch(id);
        }
        let latency = self.scenario.peers[peer].latency;
        let took = lognormal(&mut key.child(5).stream(), latency.median_ns, latency.sigma) * self.peers[peer].factor;
        self.schedule.push(self.now + took as i64, Event::Answered { peer: peer as u16, call: id });
    }

    pub(super) fn answered(&mut self, peer: usize, id: CallId) {
        // Who waited longest and has not given up is next; a query that is under way is not called back.
        let next = loop {
            match self.peers[peer].waiting.pop_front() {
                Some(waiting) if self.calls.get(waiting).is_none() => {}
                next => break next,
            }
        };
        match next {
            Some(next) => self.serve_query(peer, next),
            None => self.peers[peer].busy -= 1,
        }
        if let Some((_, key)) = self.peer_of(id) {
            let reply = Event::Reply { call: id, status: OK };
            self.schedule.push(self.now + self.network(key, 6), reply);
        }
    }

    /// The peer an open call asks, and the key of the attempt.
    fn peer_of(&self, id: CallId) -> Option<(usize, Key)> {
        let call = self.calls.get(id)?;
        let Owner::Frame(frame, index) = call.owner else { return None };
        let frame = self.frames.get(frame)?;
        let operation = &self.scenario.services[usize::from(frame.service)].operations[usize::from(frame.operation)];
        match operation.calls[usize::from(index)].target {
            Target::Peer { peer, .. } => Some((peer, call.key.child(u64::from(call.attempt)))),
            Target::Operation { .. } => None,
        }
    }
}
