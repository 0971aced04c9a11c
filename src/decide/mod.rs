//! Rules turn findings into proposals.
//!
//! A rule is a rhai script of one function, `evaluate(now)`. It sees a read-only view of what the tick
//! found ([`view`]), remembers what it wants to ([`memory`]), returns proposals built with a handful of functions
//! ([`draft`]), and can reach nothing else: no file, no clock, no cluster. `docs/rules.md` is the page for those who write them.

mod blamed;
mod draft;
pub mod error;
mod language;
pub mod limits;
mod local_time;
mod memory;
pub mod proposal;
pub mod rules;
mod slips;
pub mod source;
pub mod stage;
mod view;

pub use error::RuleError;
pub use limits::Limits;
pub use proposal::Proposal;
pub use rules::{Evaluated, Printed, Rules, Skipped};
pub use source::{RuleSource, shipped};
pub use stage::{Here, Job, Progress, Stage};
