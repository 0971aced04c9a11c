//! What lies between a caller and its callee, when it is in trouble: nobody who listens, a slow or lossy way, a pool
//! without a free connection. Without a fault calls pass here and nothing is drawn.

use std::collections::{BTreeMap, VecDeque};

use super::random::{Key, lognormal};
use super::scenario::{Callee, Edge, EdgeTrouble, Unreachable};
use super::simulation::{CallId, Event, Simulation};
use super::status::{REFUSED, UNREACHED};

/// A refusal is known after half to one and a half times this: well within a millisecond.
const REFUSED_AFTER_NS: f64 = 400_000.0;

/// Losses in a row of one call; TCP gives up after some more.
const LOSSES_MAX: u32 = 6;

/// The pool of a pod, by the index of the fault that makes it small and the pod's own.
pub(super) type PoolId = (u16, u32);

#[derive(Default)]
pub(super) struct Edges {
    /// With the index of the fault, in the order of the file.
    pub active: Vec<(u16, Edge, EdgeTrouble)>,
    /// Pools that are exhausted, from the first call on that asks.
    pools: BTreeMap<PoolId, Pool>,
}

#[derive(Default)]
struct Pool {
    held: u32,
    /// Bounded by the calls in flight: each has a timeout.
    waiting: VecDeque<CallId>,
}

/// What becomes of a call on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// It arrives, this much later than usual.
    Open { late_ns: i64 },
    /// After so long the caller knows that nobody takes it.
    Refused { after_ns: i64, status: u16 },
    /// Nothing more is heard of it.
    Silent,
}

/// Whether a call may be sent.
pub(super) enum Connection {
    /// No pool is in trouble.
    Unpooled,
    Held(PoolId),
    /// It waits its turn; the CLIENT span covers that, or not.
    Waits {
        in_span: bool,
    },
}

fn concerns(edge: &Edge, caller: Option<usize>, callee: Callee) -> bool {
    edge.callee == callee && (edge.caller.is_none() || edge.caller == caller)
}

impl Simulation {
    /// The way of a call. `caller` is None for users.
    pub(super) fn way(&self, caller: Option<usize>, callee: Callee, key: Key) -> Way {
        let mut late_ns = 0;
        for (fault, edge, trouble) in &self.edges.active {
            if !concerns(edge, caller, callee) {
                continue;
            }
            let key = key.child(u64::from(*fault));
            let refused_after_ns = (REFUSED_AFTER_NS * (0.5 + key.child(0).uniform())) as i64;
            match *trouble {
                EdgeTrouble::Unreachable(Unreachable::BlackHole) => return Way::Silent,
                EdgeTrouble::Unreachable(how) => {
                    let status = if how == Unreachable::Rejected { REFUSED } else { UNREACHED };
                    return Way::Refused { after_ns: refused_after_ns, status };
                }
                EdgeTrouble::Slow { delay } => {
                    late_ns += lognormal(&mut key.child(1).stream(), delay.median_ns, delay.sigma) as i64;
                }
                EdgeTrouble::Lossy { share, retransmit_ns } => {
                    let losses = (0..LOSSES_MAX).take_while(|n| key.child(2 + u64::from(*n)).uniform() < share).count();
                    match retransmit_ns {
                        // 1 + 2 + 4 + … times the first.
                        Some(first) => late_ns += (first * f64::from((1_u32 << losses) - 1)) as i64,
                        None if losses > 0 => {
                            return Way::Refused { after_ns: refused_after_ns, status: UNREACHED };
                        }
                        None => {}
                    }
                }
                EdgeTrouble::ExhaustedPool { .. } => {}
            }
        }
        Way::Open { late_ns }
    }

    /// Takes a connection for a call of a pod, or a place in the line for one.
    pub(super) fn connect(&mut self, id: CallId, caller: usize, pod: u32, callee: Callee) -> Connection {
        let exhausted = self.edges.active.iter().find_map(|(fault, edge, trouble)| match *trouble {
            EdgeTrouble::ExhaustedPool { connections, wait_in_span, .. } if concerns(edge, Some(caller), callee) => {
                Some((*fault, connections, wait_in_span))
            }
            _ => None,
        });
        let Some((fault, connections, in_span)) = exhausted else { return Connection::Unpooled };
        let pool = self.edges.pools.entry((fault, pod)).or_default();
        if pool.held < connections {
            pool.held += 1;
            return Connection::Held((fault, pod));
        }
        pool.waiting.push_back(id);
        Connection::Waits { in_span }
    }

    /// A call that held a connection has ended.
    pub(super) fn release_connection(&mut self, pool: PoolId) {
        let trouble = self.edges.active.iter().find(|(fault, ..)| *fault == pool.0).map(|(_, _, trouble)| *trouble);
        if let Some(EdgeTrouble::ExhaustedPool { held_ns, .. }) = trouble {
            self.schedule.push(self.now + held_ns, Event::Freed(pool));
        }
    }

    /// A connection goes to whoever waited longest and has not given up.
    pub(super) fn connection_freed(&mut self, id: PoolId) {
        loop {
            let Some(pool) = self.edges.pools.get_mut(&id) else { return };
            let Some(next) = pool.waiting.pop_front() else {
                pool.held -= 1;
                return;
            };
            if self.connected(next, Some(id)) {
                return;
            }
        }
    }

    /// Whoever waits at a pool that is no longer in trouble is sent.
    pub(super) fn close_pools(&mut self) {
        let is_over = |&&(fault, _): &&PoolId| self.edges.active.iter().all(|(active, ..)| *active != fault);
        let over: Vec<PoolId> = self.edges.pools.keys().filter(is_over).copied().collect();
        for id in over {
            for waiting in self.edges.pools.remove(&id).map(|pool| pool.waiting).unwrap_or_default() {
                self.connected(waiting, None);
            }
        }
    }
}
