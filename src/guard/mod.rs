//! Proposals become permits, or refusals that name the gate and the reason.
//!
//! [`Guard::review`] is the only way from a wish to a [`Permit`], and a permit the only thing `act` takes.
//! The gates are those of [`Gate`], in that order; [`gates`] holds one function for each.

mod act_error;
mod causes;
pub mod config;
pub mod decision;
mod decision_dedup;
mod gates;
mod needs;
pub mod permit;
mod pods;
pub mod review;
mod target;

pub use act_error::ActError;
pub use config::{Config, Mode};
pub use decision::{Decision, Gate, Outcome, Reviewed};
pub use permit::{Change, Permit};
pub use review::{Context, Guard, decision_of};

#[cfg(test)]
mod harm_tests;
#[cfg(test)]
mod pods_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
