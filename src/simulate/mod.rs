//! A cluster of pretend services: a discrete-event simulation of a service graph under load, deterministic by its
//! seed to the byte, without clock, thread or socket. It is the system that headroom's decisions are tried on.
//!
//! Where to find what:
//!
//! | what | where |
//! |---|---|
//! | the scenario file: its format, its check, what load it means | [`scenario`] (`file`, `check`, `load`) |
//! | users: rate curves and Poisson arrivals | `traffic` |
//! | a request's way: calls, timeouts, retries | `calls` |
//! | the work of a pod for a call, step by step | `frames` |
//! | the front door, which asks headroom whom to let in | `ingress` |
//! | databases and other peers: connections, waiting | `peers` |
//! | a pod's queue: thread pool, processor sharing with CPU quota | `workers`, `shared` |
//! | pods, nodes, the load balancer | `pods` |
//! | between caller and callee: unreachable, slow, lossy, no free connection | `edges` |
//! | pod start, scale-out, drain, rolling deploy | `rollout` |
//! | a release beside what runs, by the weights of a route | `canary` |
//! | when faults begin and end, and what they change | `faults` |
//! | what headroom sees and does: `state` and `apply` | `changes` |
//! | spans, SDK batches, collector, lateness, skew, sampling | `spans`, `telemetry`; how calls end: `status` |
//! | lectures and exams: what a calendar announces, and who comes | [`scenario::calendar`] |
//! | what users got and what it cost | [`measures`] |
//! | the loop over events | `simulation`, `schedule`, `slab` |
//! | randomness that does not depend on the order of events | `random` |
//! | runs to compare with | [`references`], `perfect_admission` |
//! | systems drawn by a seed, with one fault | [`draw`] |
//!
//! Data flows: `traffic` → `calls` ⇄ `frames` ⇄ `workers`/`shared`/peers → `spans` → `telemetry` → [`Delivery`]. Everything is in
//! nanoseconds since the start; [`Time`](crate::model::Time) appears at the border only. Names appear in the file, in
//! spans and in `state`; in between there are indices, so renaming a service changes no event.

mod calls;
mod canary;
mod changes;
pub mod draw;
mod edges;
mod faults;
mod frames;
mod ingress;
pub mod measures;
mod peers;
mod perfect_admission;
mod pods;
mod random;
pub mod references;
mod rollout;
pub mod scenario;
mod schedule;
mod shared;
mod simulation;
mod slab;
mod spans;
mod status;
mod telemetry;
mod traffic;
mod workers;

pub use measures::{EntryMeasures, EventMeasures, Live, LiveEntry, LiveService, Measures, Restart};
pub use perfect_admission::{Order, perfect_admission};
pub use references::{Policy, References, reference};
pub use scenario::{PodKind, Scenario, ScenarioError};
pub use simulation::{Simulation, Usage};
pub use telemetry::Delivery;
