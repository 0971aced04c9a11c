//! Did it help? Every intervention is followed from the write to its end.
//!
//! A scale-out is judged on its own target, and only once its pods are ready and warm: end-to-end latency
//! may well rise for a while after the right action, and the next bottleneck may hide its gain. It is never
//! undone while an objective that crosses the target misses, or telemetry is thin.

pub mod config;
mod judge;
mod pods;
mod relief;
pub mod report;
mod scaling;
mod shaping;
pub mod verifier;

pub use config::Config;
pub use report::{InterventionReport, Stage};
pub use verifier::{Verification, Verifier};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod weight_tests;
