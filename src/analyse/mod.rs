//! From spans to the bottleneck, in two stations with Arrow tables between them: an [`Absorber`] makes rollup rows of
//! closed traces, the [`Judge`] merges those of all absorbers by SQL and names the service.

pub mod absorber;
pub mod change;
mod diagnosis;
pub mod findings;
mod judge;
pub mod learned;
mod objective;
pub mod rollup;
pub mod statistics;
mod telemetry;
mod thresholds;
pub mod trace;

pub use absorber::{Absorber, Arrived, Portion};
pub use findings::{
    AskedBy, Bottleneck, Compliance, EntryFinding, Evidence, Findings, Hindrance, HindranceKind, ObjectiveStatus,
    Offered, ServiceFinding, ServiceLoad, Suspect, Verdict, sentences,
};

pub use judge::{Config, Judge, PodsWithSpans};
pub use learned::{Carries, Demand, Learnt, Reference, ServiceDemand};
pub use objective::Objective;
pub use rollup::sql::{Error, Overrides};
pub use telemetry::{
    ClockState, EntrySight, HostClock, Misdated, MissingParents, ServiceSight, Sight, SightLevel, SpanCounts, SpanSight,
};
