//! Proposals become permits, or refusals that name the gate and the reason.
pub mod decision;
pub mod permit;
pub use decision::{Decision, Gate, Outcome, Reviewed};
pub use permit::{Change, Permit};
