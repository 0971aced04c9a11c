//! All integration tests, in one binary because each one links DataFusion again.
//!
//! - `simulate`: the shipped scenarios are what they claim, and the simulated cluster is deterministic

mod simulate;
