//! The border between those who absorb and the one who judges: what an absorber found in a tick.

use std::collections::BTreeMap;

use super::works::Kinds;
use crate::analyse::change::Sample;
use crate::analyse::rollup::Rollups;
use crate::analyse::rollup::exemplars::ExemplarTables;
use crate::analyse::telemetry::{IdSpread, ReceivedCounts, SpanCounts};
use crate::model::{ClockStep, Text, Time, TimeUnit};

/// One absorber's part of a tick, in Arrow tables and texts: no symbol, baseline or callee of the absorber is needed to
/// read it. Several make a tick, in any order.
#[derive(Clone, Debug)]
pub struct Portion {
    pub arrived: Arrived,
    pub rollups: Rollups,
    /// Requests received by each service, and those whose parent is missing.
    pub received: BTreeMap<Text, ReceivedCounts>,
    /// Traces in which no request of an endpoint was seen from its beginning.
    pub without_beginning: u64,
    /// First spans of traces, and requests taken, whose parent never came, by service and operation (empty where it is no
    /// request).
    pub without_parent: BTreeMap<[Text; 2], i64>,
    /// Spans whose times are in another unit than nanoseconds, by service.
    pub misdated: BTreeMap<(Text, TimeUnit), u64>,
    /// Requests whose traces a tail sampler says that it chose, by entry operation.
    pub chosen: BTreeMap<Text, u64>,
    /// Trace ids, as far as they tell of sampling.
    pub ids: IdSpread,
    /// How far hosts (service and pod) were ahead of their neighbours in traces in which clocks differ, in nanoseconds.
    pub clocks: BTreeMap<[Text; 2], Vec<i64>>,
    /// Endpoints of other kinds of work than requests.
    pub works: Kinds,
    /// Calls answered by somebody whom the reference did not name.
    pub answered: Vec<AnsweredCall>,
    pub exemplars: ExemplarTables,
    /// Whole traces, to compare their shape with that of healthy time.
    pub sample: Sample,
}

/// What an absorber's window says of how spans come to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Event time up to which this absorber has seen all.
    pub complete_to: Time,
    /// When it last received a span; None before the first.
    pub last_received: Option<Time>,
    /// Open traces whose root has not come for longer than roots take.
    pub waiting: u64,
    pub spans: SpanCounts,
}

impl Portion {
    /// All clocks stepped at `now`, before the tick was over.
    pub fn step_clock(&mut self, now: Time, step: ClockStep) {
        self.rollups.step_clock(now, step);
        let Arrived { complete_to, last_received, .. } = &mut self.arrived;
        step.move_all([complete_to].into_iter().chain(last_received));
    }
}

/// Who answers a kind of call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnsweredCall {
    /// Caller, its operation, and the peer it names.
    pub kind: [Text; 3],
    pub callee: Text,
}
