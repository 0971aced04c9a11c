//! Every step, kept and queryable: a file of JSON lines that [`Writer`] appends to and [`read`] reads back,
//! two tables for SQL ([`decisions`], [`interventions`]), and [`explain`] for people.

pub mod decisions;
pub mod entry;
pub mod explain;
pub mod hindsight;
pub mod interventions;
pub mod moment;
mod prose;
pub mod reader;
pub mod writer;

pub use crate::decide::RuleSource;
pub use entry::{Entry, Phase, What};
pub use explain::{ExplainError, Explanation, explain};
pub use reader::{Journal, ReadError, read};
pub use writer::{Line, WriteError, Writer};
