//! From spans to the bottleneck.
pub mod change;
pub mod findings;
pub mod histogram;
pub mod objective;
pub mod rollup;
pub mod trace;
pub use findings::{Bottleneck, EntryFinding, Evidence, Findings, ServiceFinding, Verdict};
pub use objective::Objective;
