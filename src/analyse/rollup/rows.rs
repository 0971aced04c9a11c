//! The rollups' keys and sums. Texts are shared, so that a key is cheap to clone.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::analyse::trace::SegmentKind;

type Text = Arc<str>;

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
            fn merge(&mut self, other: &Self) { $(self.$field += other.$field;)+ }
        }
    };
}

/// An entry operation in one second (of the root's end).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryKey {
    pub second: i64,
    pub entry: Text,
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
        duration_ns,
        /// Requests these stand for, in thousandths (adjusted count of sampling).
        adjusted_milli,
        /// Requests whose weight is not known.
        unweighted,
    }
}

/// Critical-path time of an entry operation's traces, by whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathKey {
    pub second: i64,
    pub entry: Text,
    pub missed: bool,
    pub service: Text,
    pub operation: Text,
    /// The unanswered callee, for kind `peer`; else empty.
    pub peer: Text,
    pub kind: PathKind,
}

/// [`SegmentKind`], and what a failed trace costs where its failure starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HealthKey {
    pub second: i64,
    pub service: Text,
    /// Empty for what never reached a pod: calls that were given up without an answer.
    pub pod: Text,
    pub version: Text,
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

/// Requests of one operation served in one second, all pods together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationKey {
    pub second: i64,
    pub service: Text,
    pub operation: Text,
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

/// Durations of a service's requests in one second.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationKey {
    pub second: i64,
    pub service: Text,
    pub bucket: i32,
}

/// Calls from one service to another, or to a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeKey {
    pub second: i64,
    pub caller: Text,
    /// What the caller was asked for when it called; empty in a partial trace that does not tell.
    pub operation: Text,
    pub callee: Text,
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

    pub fn add<K: Ord, S: Merge + Copy>(rows: &mut BTreeMap<K, S>, key: K, sums: S) {
        rows.entry(key).and_modify(|known| known.merge(&sums)).or_insert(sums);
    }
}
