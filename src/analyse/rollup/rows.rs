//! The rollups' keys and sums. Texts are shared, so that a key is cheap to clone; while rows are added up they are
//! symbols.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::analyse::trace::SegmentKind;
use crate::model::ClockStep;

pub(super) type Text = Arc<str>;

/// Adds another row of the same key.
pub trait Merge {
    fn merge(&mut self, other: &Self);
}

macro_rules! sums {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: i64),+ }

        impl $name {
            pub const FIELDS: &[&str] = &[$(stringify!($field)),+];
            pub fn values(&self) -> Vec<i64> { vec![$(self.$field),+] }
            /// From values in the order of the fields; what is missing is zero.
            pub fn of(mut values: impl Iterator<Item = i64>) -> $name {
                $name { $($field: values.next().unwrap_or_default()),+ }
            }
            /// Half of everything: how old healthy time fades out of a baseline.
            pub fn halve(&mut self) { $(self.$field /= 2;)+ }
        }

        impl Merge for $name {
            // In the hottest of loops, so no check: a span is a day long at most and stands for a million, and the
            // hundred thousand that a key takes in a second, or that healthy time holds, stay within an i64.
            fn merge(&mut self, other: &Self) { $(self.$field += other.$field;)+ }
        }
    };
}

/// An entry operation in one second (of the root's end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey<T = Text> {
    pub second: i64,
    pub entry: T,
    /// Histogram bucket of the root's duration.
    pub bucket: i32,
}

sums! {
    EntrySums {
        requests,
        /// Slower than the objective.
        slow,
        errors,
        /// Slow or in error.
        missed,
        /// Not missed, but slower than half the objective.
        near,
        duration_ns,
        /// Requests these stand for, in thousandths (adjusted count of sampling).
        adjusted_milli,
        /// Requests whose weight is not known.
        unweighted,
    }
}

/// Critical-path time of an entry operation's traces, by whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathKey<T = Text> {
    pub second: i64,
    pub entry: T,
    pub missed: bool,
    pub near: bool,
    pub service: T,
    pub operation: T,
    /// The unanswered callee, for kind `peer`; else empty.
    pub peer: T,
    pub kind: PathKind,
}

/// [`SegmentKind`], and what a failed trace costs where its failure starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathKind {
    Time(SegmentKind),
    /// The deepest span in error; it costs its trace the objective's latency, at least.
    Error,
    /// As `Error`, where the service refused (503, 429): it had no room.
    Refused,
    /// As `Error`, where a caller waited in vain, longer than the call takes in healthy time.
    GaveUp,
}

impl PathKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            PathKind::Time(kind) => kind.as_str(),
            PathKind::Error => "error",
            PathKind::Refused => "refused",
            PathKind::GaveUp => "gave_up",
        }
    }
}

sums! {
    PathSums { traces, exclusive_ns }
}

/// Requests served by one pod in one second (of the caller's end, or its own where no caller is seen).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HealthKey<T = Text> {
    pub second: i64,
    pub service: T,
    /// Empty for what never reached a pod: calls that were given up without an answer.
    pub pod: T,
    pub version: T,
}

sums! {
    HealthSums {
        /// Taken and answered, whatever the answer, but not refused.
        requests,
        errors,
        /// Turned away at once: no room.
        refused,
        /// Calls that ended without any span of this service: timed out while waiting.
        gave_up,
        /// From taken to answered: what a worker is held for.
        hold_ns,
        /// Of that, spent on its own.
        own_ns,
        /// Outside its own spans but inside its callers': waiting to be taken, and the network.
        wait_ns,
        /// Hold and wait, of requests and calls given up.
        sojourn_ns,
        adjusted_milli,
        /// Own time of the requests whose operation is known from healthy time …
        compared_own_ns,
        /// … and what healthy requests of the same operations take: of their own,
        expected_own_ns,
        /// and of what they call.
        expected_callees_ns,
    }
}

/// Requests of one operation served in one second, all pods of a version together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationKey<T = Text> {
    pub second: i64,
    pub service: T,
    pub version: T,
    pub operation: T,
}

sums! {
    OperationSums {
        requests,
        errors,
        own_ns,
        /// From taken to answered, less the own time.
        callees_ns,
        wait_ns,
    }
}

impl HealthSums {
    /// How many requests one that is counted here stands for, in the mean: more than one where a sampler, or the
    /// window's own admission, left some out. Rates are multiplied by it; means are right without.
    pub fn weight(&self) -> f64 {
        let counted = self.requests + self.refused + self.gave_up;
        if counted > 0 && self.adjusted_milli > 0 { self.adjusted_milli as f64 / 1e3 / counted as f64 } else { 1.0 }
    }
}

/// Durations of a service's requests in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationKey<T = Text> {
    pub second: i64,
    pub service: T,
    pub bucket: i32,
}

/// Calls from one service to another, or to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeKey<T = Text> {
    pub second: i64,
    pub caller: T,
    /// The caller's: during a release, two ask side by side.
    pub version: T,
    /// What the caller was asked for when it called; empty in a partial trace that does not tell.
    pub operation: T,
    pub callee: T,
    /// The callee sends spans of its own.
    pub answered: bool,
}

sums! {
    EdgeSums {
        calls,
        errors,
        caller_ns,
        callee_ns,
        gap_ns,
        /// Calls that as many healthy requests of the caller's operation make, in thousandths.
        expected_milli,
    }
}

sums! {
    CountSums { requests }
}

/// All rows of one stretch of time. Ordered maps: what comes out does not depend on what came in first.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub entries: BTreeMap<EntryKey, EntrySums>,
    pub paths: BTreeMap<PathKey, PathSums>,
    pub health: BTreeMap<HealthKey, HealthSums>,
    pub durations: BTreeMap<DurationKey, CountSums>,
    pub edges: BTreeMap<EdgeKey, EdgeSums>,
    pub operations: BTreeMap<OperationKey, OperationSums>,
}

impl Rows {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.health.is_empty() && self.edges.is_empty()
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        fn moved<K: Ord, S>(rows: &mut BTreeMap<K, S>, second: fn(&mut K) -> &mut i64, step: ClockStep) {
            let rest = std::mem::take(rows).into_iter();
            *rows = rest
                .map(|(mut key, sums)| {
                    *second(&mut key) = step.second(*second(&mut key));
                    (key, sums)
                })
                .collect();
        }
        moved(&mut self.entries, |key| &mut key.second, step);
        moved(&mut self.paths, |key| &mut key.second, step);
        moved(&mut self.health, |key| &mut key.second, step);
        moved(&mut self.durations, |key| &mut key.second, step);
        moved(&mut self.edges, |key| &mut key.second, step);
        moved(&mut self.operations, |key| &mut key.second, step);
    }

    pub fn add<K: Ord, S: Merge + Copy>(rows: &mut BTreeMap<K, S>, key: K, sums: S) {
        rows.entry(key).and_modify(|known| known.merge(&sums)).or_insert(sums);
    }
}
