//! Rules turn findings into proposals.
pub mod proposal;
pub use proposal::{Proposal, Wish};
