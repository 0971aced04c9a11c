//! Every step, kept and queryable.
pub mod entry;
pub use crate::decide::RuleSource;
pub use entry::{Entry, What};
