//! All integration tests, in one binary because each one links DataFusion again.
//!
//! - [`receive`]: real OTLP clients against real sockets
//! - [`rules`]: rules as an operator writes them, through to the guard
//! - [`simulate`]: the shipped scenarios are what they claim, and the simulated cluster is deterministic

mod receive;
mod rules;
mod simulate;
