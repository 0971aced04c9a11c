//! From spans to the bottleneck: critical paths become rollups, SQL merges them, a judgement names the service.

mod analyser;
pub mod change;
mod diagnosis;
pub mod findings;
pub mod learned;
mod objective;
pub mod rollup;
pub mod statistics;
mod telemetry;
pub mod trace;

pub use analyser::{Analyser, Config, PodsWithSpans};
pub use change::Suspect;
pub use findings::{Bottleneck, EntryFinding, Evidence, Findings, ServiceFinding, Verdict};
pub use learned::Learnt;
pub use objective::Objective;
pub use rollup::sql::{Error, SHIPPED as SHIPPED_QUERIES};
pub use telemetry::MissingParents;
