//! The load that a service will get once those before it let everything through.
//!
//! A saturated service hides what lies behind it: its pool passes on what it serves, and turns away or holds back the rest.
//! Whoever scales it releases that rest at once, so what a callee will be asked follows from what its callers *take in* and
//! from the calls that their requests make.

use std::collections::BTreeMap;

use crate::analyse::diagnosis::service_state::ServiceState;
use crate::analyse::rollup::window_totals::{Answers, EdgeAnswer};
use crate::analyse::statistics::interval::Interval;
use crate::model::Text;

/// Calls that repeat a call which failed are no load once calls no longer fail: as many as failed, at most.
/// Of all those that were made, this many times more than expected is no chance.
const REPEATED: f64 = 1.2;

/// What each service will be asked a second, so long after the last complete second.
pub fn released_loads<'a>(
    answers: &'a Answers,
    states: &'a BTreeMap<Text, ServiceState<'a>>,
    ahead_s: f64,
) -> BTreeMap<&'a Text, Interval> {
    let mut calls: CallsTo<'a> = BTreeMap::new();
    for (caller, edges) in &answers.edges {
        for edge in edges.iter().filter(|edge| edge.callee != *caller && edge.sums.calls > 0) {
            calls.entry(&edge.callee).or_default().entry(caller).or_default().add(edge);
        }
    }
    let mut loads = Loads { states, calls, ahead_s, known: BTreeMap::new() };
    states.keys().for_each(|service| _ = loads.find(service));
    loads.known
}

/// By callee and caller.
type CallsTo<'a> = BTreeMap<&'a Text, BTreeMap<&'a Text, Calls>>;

struct Loads<'a> {
    states: &'a BTreeMap<Text, ServiceState<'a>>,
    calls: CallsTo<'a>,
    ahead_s: f64,
    known: BTreeMap<&'a Text, Interval>,
}

impl<'a> Loads<'a> {
    fn find(&mut self, service: &'a Text) -> Interval {
        if let Some(known) = self.known.get(service) {
            return *known;
        }
        let Some(state) = self.states.get(service) else { return Interval::default() };
        let calls = self.calls.remove(service).unwrap_or_default();
        let (made, wanted) = calls.values().fold((0.0, 0.0), |sum, call| (sum.0 + call.made, sum.1 + call.wanted));
        let once = if made > 0.0 { wanted / made } else { 1.0 };
        let own = state.arrivals.ahead(self.ahead_s).times(once);
        // Services may call each other in a circle: then its own count stands for it.
        self.known.insert(service, own);
        let mut released = Interval::default();
        for (caller, call) in calls {
            let Some(of) = self.states.get(caller).filter(|of| of.sums.requests > 0) else { continue };
            released = released.plus(self.find(caller).times(call.wanted / of.sums.requests as f64));
        }
        let load = own.at_least(released);
        self.known.insert(service, load);
        load
    }
}

/// Calls of one service to another.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    made: f64,
    /// Those that would be made if none failed.
    wanted: f64,
}

impl Calls {
    fn add(&mut self, edge: &EdgeAnswer) {
        let (made, failed) = (edge.sums.calls as f64, edge.sums.errors as f64);
        let expected = edge.sums.expected_milli as f64 / 1e3;
        let repeats = if made > REPEATED * expected { (made - expected).min(failed) } else { 0.0 };
        (self.made, self.wanted) = (self.made + made, self.wanted + made - repeats);
    }
}

#[cfg(test)]
mod tests;
