//! From spans to the bottleneck.
pub mod findings;
pub mod trace;
pub use findings::{Bottleneck, EntryFinding, Evidence, Findings, ServiceFinding, Verdict};
