//! Proposals become permits, or refusals that name the gate and the reason.
//!
//! [`Guard::review`] is the only way from a proposal to a [`Permit`], and a permit the only thing `act` takes.
//! The gates are those of [`Gate`], in that order; [`gates`] holds one function for each.

mod act_error;
mod causes;
pub mod config;
pub mod decision;
mod decision_dedup;
pub mod floors;
mod gates;
mod memory;
mod needs;
pub mod permit;
pub mod review;

pub use act_error::ActError;
pub use config::{Config, Mode};
pub use decision::{Decision, Gate, Outcome, Refusal, Reviewed};
pub use floors::{Bound, Bounds, Configured, Floor, Floors, SetBy};
pub use permit::Permit;
pub use review::{Context, Guard};

#[cfg(test)]
mod floors_tests;
#[cfg(test)]
mod harm_tests;
#[cfg(test)]
mod pods_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod traffic_tests;
