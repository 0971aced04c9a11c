//! The rollups' keys and sums. A key's texts are of whatever type serves: symbols while rows are added up, `&str` where
//! a table is read.

use super::tables::{Column, Reader, Writer};
use crate::analyse::trace::SegmentKind;

/// The sums of a row.
pub trait Sums: Copy + Default {
    const FIELDS: &[&str];
    /// From values in the order of the fields; what is missing is zero.
    fn of(values: impl Iterator<Item = i64>) -> Self;
    fn write(&self, row: &mut Writer<'_>);
    /// Adds another row of the same key.
    fn merge(&mut self, other: &Self);
    /// Half of everything: how old healthy time fades out of a baseline.
    fn halve(&mut self);
}

/// The key of a row: a second of event time, and columns of its own.
pub trait Key: Sized {
    type Text;
    /// The same key with texts of another type.
    type With<U>: Key<Text = U, Sums = Self::Sums>;
    type Sums: Sums;
    /// Its place among the [tables](super::TABLES).
    const TABLE: usize;
    const NAME: &str;
    const COLUMNS: &[(&str, Column)];

    fn second(&self) -> i64;
    fn map<U>(self, text: impl FnMut(Self::Text) -> U) -> Self::With<U>;
    fn write<'a>(&'a self, row: &mut Writer<'_>, text: impl FnMut(&'a Self::Text) -> &'a str);
}

/// A key that is read from its table.
pub trait StoredKey<'a>: Key<Text = &'a str> {
    /// None for a row that this version does not understand.
    fn read(second: i64, row: &mut Reader<'a>) -> Option<Self>;
}

macro_rules! sums {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: i64),+ }

        impl Sums for $name {
            const FIELDS: &[&str] = &[$(stringify!($field)),+];

            fn of(mut values: impl Iterator<Item = i64>) -> $name {
                $name { $($field: values.next().unwrap_or_default()),+ }
            }

            fn write(&self, row: &mut Writer<'_>) { $(row.sum(self.$field);)+ }

            // In the hottest of loops, so no check: a span is a day long at most and stands for a million, and the
            // hundred thousand that a key takes in a second, or that healthy time holds, stay within an i64.
            fn merge(&mut self, other: &Self) { $(self.$field += other.$field;)+ }

            fn halve(&mut self) { $(self.$field /= 2;)+ }
        }
    };
}

/// A key's table: its name, and the columns after the second in their order.
macro_rules! key {
    ($key:ident, $sums:ident, $table:literal, $name:literal, $($kind:ident $field:ident),+) => {
        impl<T> Key for $key<T> {
            type Text = T;
            type With<U> = $key<U>;
            type Sums = $sums;
            const TABLE: usize = $table;
            const NAME: &str = $name;
            const COLUMNS: &[(&str, Column)] = &[$((stringify!($field), key!(@column $kind))),+];

            fn second(&self) -> i64 {
                self.second
            }

            fn map<U>(self, mut text: impl FnMut(T) -> U) -> $key<U> {
                $key { second: self.second, $($field: key!(@map $kind text, self.$field)),+ }
            }

            fn write<'a>(&'a self, row: &mut Writer<'_>, mut text: impl FnMut(&'a T) -> &'a str) {
                $(key!(@write $kind row, text, self.$field);)+
            }
        }

        impl<'a> StoredKey<'a> for $key<&'a str> {
            fn read(second: i64, row: &mut Reader<'a>) -> Option<Self> {
                Some($key { second, $($field: key!(@read $kind row)),+ })
            }
        }
    };
    (@column text) => { Column::Text };
    (@column kind) => { Column::Text };
    (@column bucket) => { Column::Bucket };
    (@column flag) => { Column::Flag };
    (@map text $text:ident, $value:expr) => { $text($value) };
    (@map $other:ident $text:ident, $value:expr) => { $value };
    (@write text $row:ident, $text:ident, $value:expr) => { $row.text($text(&$value)) };
    (@write kind $row:ident, $text:ident, $value:expr) => { $row.text($value.as_str()) };
    (@write bucket $row:ident, $text:ident, $value:expr) => { $row.bucket($value) };
    (@write flag $row:ident, $text:ident, $value:expr) => { $row.flag($value) };
    (@read text $row:ident) => { $row.text() };
    (@read kind $row:ident) => { PathKind::parse($row.text())? };
    (@read bucket $row:ident) => { $row.bucket() };
    (@read flag $row:ident) => { $row.flag() };
}

key!(EntryKey, EntrySums, 0, "entry_seconds", text entry, bucket bucket);
key!(PathKey, PathSums, 1, "path_seconds", text entry, flag missed, flag at_risk, text service, text operation, text peer, kind kind);
key!(HealthKey, HealthSums, 2, "service_health", text service, text pod, text version);
key!(DurationKey, CountSums, 3, "service_durations", text service, bucket bucket);
key!(EdgeKey, EdgeSums, 4, "service_edges", text caller, text version, text operation, text callee, flag answered);
key!(OperationKey, OperationSums, 5, "service_operations", text service, text version, text operation);
key!(CrossingKey, CrossingSums, 6, "entry_services", text entry, text service);

/// An entry operation in one second (of the root's end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey<T> {
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
        #[serde(alias = "near")]
        at_risk,
        duration_ns,
        /// Requests these stand for, in thousandths (adjusted count of sampling).
        adjusted_milli,
        /// Requests whose weight is not known.
        unweighted,
        /// Requests whose caller's span never came: they begin a trace only as far as it is seen.
        #[serde(default)]
        remote_parent,
        /// Requests in whose trace other spans lack their parent.
        #[serde(default)]
        incomplete,
    }
}

/// Critical-path time of an entry operation's traces, by whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathKey<T> {
    pub second: i64,
    pub entry: T,
    pub missed: bool,
    pub at_risk: bool,
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
    pub const ALL: [PathKind; 6] = [
        PathKind::Time(SegmentKind::Own),
        PathKind::Time(SegmentKind::Queue),
        PathKind::Time(SegmentKind::Peer),
        PathKind::Error,
        PathKind::Refused,
        PathKind::GaveUp,
    ];

    /// The kind of this text, as tables, queries and snapshots write it.
    pub fn parse(text: &str) -> Option<PathKind> {
        PathKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

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
pub struct HealthKey<T> {
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
        /// These requests, counted; …
        #[serde(default)]
        compared,
        /// … their own time over what is expected, as a logarithm (sixteenths of an octave), summed: one request that took a
        /// hundred times as long moves a mean of ten by ten, and this by a factor of 1.6;
        #[serde(default)]
        own_log,
        /// and the squares of that, which tell how widely they spread.
        #[serde(default)]
        own_log_squares,
    }
}

/// Requests of one operation served in one second, all pods of a version together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationKey<T> {
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
pub struct DurationKey<T> {
    pub second: i64,
    pub service: T,
    pub bucket: i32,
}

/// Calls from one service to another, or to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeKey<T> {
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

/// What the requests of an entry operation ask of one service, whether or not it lies on their critical path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrossingKey<T> {
    pub second: i64,
    pub entry: T,
    pub service: T,
}

sums! {
    CrossingSums {
        /// Requests that the service took for them.
        calls,
        /// What those hold a worker for in healthy time, where it knows their operation; else what they did hold one for.
        work_ns,
    }
}

sums! {
    CountSums { requests }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_as_it_is_written() {
        assert!(PathKind::ALL.iter().all(|kind| PathKind::parse(kind.as_str()) == Some(*kind)));
        assert_eq!(PathKind::parse("idle"), None);
    }
}
