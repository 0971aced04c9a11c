//! Traffic shaped at the front door for the one service that cannot take it.
//!
//! [`Shaper`] is the slow half, a part of the core: from what a service serves at its knee, and how long requests wait
//! there, it makes at every tick the [`Limits`] that gateways are to keep. [`Admission`] is the fast half: it answers for one
//! request, from those limits alone, wherever a gateway asks: the simulator's ingress, or Envoy. Both are pure: time is a
//! parameter, and the same questions in the same order have the same answers.
//!
//! What a request costs is the *work* that it makes at the service: seconds for which it holds a worker there in healthy
//! time, over all the calls that it makes. What the service can do is work a second. So a login that hashes a password weighs
//! more than a page that has its session looked up, and a mix that changes changes no limit.

mod admission;
mod clients;
mod config;
mod course;
mod limits;
mod shaper;
mod traffic;

pub use admission::{Admission, Answer, Request};
pub use limits::{Cost, Limits, RouteLimit, ServiceLimit};
pub use shaper::Shaper;
pub use traffic::{EntryTraffic, Level};
