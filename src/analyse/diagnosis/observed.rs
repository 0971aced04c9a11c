//! What was seen over some seconds, set beside what healthy time makes one expect: of each service, of the calls between
//! them, and of each endpoint. All that causes are judged by.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Text;

/// How many times as much as expected, as a natural logarithm, and the variance of that.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Growth {
    pub log: f64,
    pub variance: f64,
}

impl Growth {
    /// Of two amounts that so many requests tell of, to both of which `least` is added: what is small beside it is nothing.
    /// `spread` is the variance of a single one over the square of its mean.
    pub fn of((now, n): (f64, f64), (healthy, healthy_n): (f64, f64), least: f64, spread: f64) -> Growth {
        let factor = (now.max(0.0) + least) / (healthy.max(0.0) + least).max(TINY);
        Growth { log: factor.max(TINY).ln(), variance: spread / n.max(1.0) + 1.0 / healthy_n.max(1.0) }
    }
}

/// Kept off zero before a logarithm is taken; far below any factor that a clock can measure.
const TINY: f64 = 1e-12;

/// A part of a whole, now and in healthy time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    pub now: f64,
    pub all: f64,
    pub healthy: f64,
    pub healthy_all: f64,
}

/// One pod beside its siblings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    pub pod: Text,
    /// Its version, or nothing, where healthy time does not know it: a release.
    pub new_version: Option<Text>,
    /// Of how many of its requests own times are known, and how much slower they are than those of its siblings.
    pub compared: f64,
    pub slower: Option<Growth>,
    /// How much slower than in healthy time its siblings are.
    pub siblings: Option<Growth>,
    /// Requests that it should have served and did not, while calls end without an answer.
    pub missing: f64,
}

/// How long requests take at a service.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// Own time over that of healthy requests of the same operations: by the typical request, and by the mean.
    pub own: Option<Growth>,
    pub own_mean: Option<Growth>,
    /// Time before it takes a call.
    pub wait: Option<Growth>,
}

/// Calls beyond those that as many healthy requests make, as factors (log): of one caller, and of all together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AskedMore {
    pub caller: Text,
    pub by_caller: f64,
    pub by_all: f64,
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Here {
    pub times: Times,
    /// The same without the slowest of several pods.
    pub others: Option<Times>,
    pub pods: Vec<Pod>,
    /// Requests, or the work that they mean.
    pub load: Option<Growth>,
    /// Of the requests that it works on at once, the share that the load would make were its callees as fast as ever.
    pub own_share: f64,
    /// Requests that end later waited longer: more come than it serves.
    pub queue_grows: bool,
    /// Calls that it turned away, and that ended without any answer.
    pub refused: Part,
    pub vain: Part,
    /// Errors that begin here.
    pub errors: Part,
    /// Next to none of the calls of the last seconds was answered.
    pub is_gone: bool,
    /// A version that healthy time does not know, and that is slow.
    pub slow_version: Option<Text>,
    /// Who asks more of it than as many healthy requests do.
    pub asked_more: Option<AskedMore>,
}

/// The calls of one service to one callee.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calls {
    /// The callee sends no spans.
    pub is_peer: bool,
    pub longer: Option<Growth>,
    pub failed: Part,
    /// Of those that failed, the ones without any span of the callee: it did not take them, as far as is seen.
    pub untaken: f64,
    /// Calls made over those that as many healthy requests make.
    pub more: Option<Growth>,
}

/// What a row of blame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlameKind {
    Own,
    /// Waiting to be taken, in vain or not, and being turned away.
    NoRoom,
    Peer,
    Error,
}

/// A part of what requests took above healthy ones, or of their failures.
#[derive(Clone, Debug, PartialEq)]
pub struct Blame {
    pub service: Text,
    pub peer: Option<Text>,
    pub kind: BlameKind,
    /// Of all, 0 to 1.
    pub share: f64,
}

/// An endpoint that misses its objective, or may.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoint {
    /// Services that its requests cross.
    pub crossed: BTreeSet<Text>,
    /// Requests that missed, or nearly did.
    pub missed: f64,
    pub blame: Vec<Blame>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    pub services: BTreeMap<Text, Here>,
    /// By caller and callee.
    pub calls: BTreeMap<(Text, Text), Calls>,
}
