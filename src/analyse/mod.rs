//! From spans to the bottleneck.
pub mod findings;
pub use findings::{Bottleneck, EntryFinding, Evidence, Findings, ServiceFinding, Verdict};
