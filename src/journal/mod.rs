//! Every step, kept and queryable.
pub mod entry;
pub use entry::{Entry, RuleSource, What};
