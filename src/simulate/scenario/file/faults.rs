//! What a scenario file says of faults.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Something that goes wrong, or merely changes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(in crate::simulate) enum Fault {
    /// Queries to the peer take `factor` times as long.
    SlowPeer { peer: String, factor: f64, from_s: f64, to_s: f64 },
    /// Own time of the operation is multiplied.
    SlowOperation { service: String, operation: String, factor: f64, from_s: f64, to_s: f64 },
    /// Own time in one pod is multiplied: the service's `pod`-th, from 0, in order of creation.
    SlowPod { service: String, pod: u32, factor: f64, from_s: f64, to_s: f64 },
    /// Requests of the operation are answered after the first piece of its own work, before it calls anybody: with 500.
    FailingOperation { service: String, operation: String, share: f64, from_s: f64, to_s: f64 },
    /// The same with 200, as if all was well.
    EarlyReturn { service: String, operation: String, share: f64, from_s: f64, to_s: f64 },
    /// A rolling deploy of a version whose own times are multiplied (1: an ordinary deploy).
    Release {
        service: String,
        version: String,
        #[serde(default = "unchanged")]
        factor: f64,
        at_s: f64,
        /// How many times as often the version calls whom it calls, by callee: a service or a peer.
        #[serde(default)]
        calls: IndexMap<String, u32>,
        /// The share of requests that a route in front of the service sends it: then it does not roll, but gets as many pods of its own beside
        /// the others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<f64>,
    },
    /// Calls to the callee (a service or a peer), of one caller or of all, reach nobody.
    Unreachable {
        callee: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        caller: Option<String>,
        how: Unreachable,
        from_s: f64,
        to_s: f64,
    },
    /// Such calls arrive this much later (median; lognormal, sigma 0.2), and are served as ever.
    SlowEdge {
        callee: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        caller: Option<String>,
        delay_ms: f64,
        from_s: f64,
        to_s: f64,
    },
    /// A share of such calls is lost: the connection is reset, or with `retransmit_ms` the call is sent again
    /// after so long, and after twice as long each time more.
    LossyLink {
        callee: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        caller: Option<String>,
        share: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        retransmit_ms: Option<f64>,
        from_s: f64,
        to_s: f64,
    },
    /// Each pod of the caller has so few connections to the callee, and each is free again only so long after its call
    /// has ended. Calls wait for one, in order, up to their timeout.
    ExhaustedPool {
        callee: String,
        caller: String,
        connections: u32,
        #[serde(default)]
        held_ms: f64,
        /// The CLIENT span covers the wait, as HTTP clients have it; else it begins with the connection, as those of
        /// databases do, and a call that got none leaves no span.
        #[serde(default)]
        wait_in_span: bool,
        from_s: f64,
        to_s: f64,
    },
    /// A share of the spans never arrives: of all services, of one, or of its `pod`-th pod.
    LostSpans {
        share: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pod: Option<u32>,
        from_s: f64,
        to_s: f64,
    },
    /// The clocks of a service's pods are this far ahead; behind when negative.
    WrongClock { service: String, ahead_s: f64, from_s: f64, to_s: f64 },
}

fn unchanged() -> f64 {
    1.0
}

/// What callers see of somebody who is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreachable {
    /// The connection is refused within a millisecond: no process listens.
    Refused,
    /// A proxy on the way answers 503 within a millisecond.
    Rejected,
    /// Nothing, until they give up.
    BlackHole,
}
