//! All integration tests, in one binary because each one links DataFusion again.
//!
//! - [`cli`]: the real binary, as a person or a script runs it
//! - [`demo`]: the loop closes on the embedded cluster, whatever its services are called, and over kill -9
//! - [`receive`]: real OTLP clients against real sockets
//! - [`rules`]: rules as an operator writes them, through to the guard
//! - [`simulate`]: the shipped scenarios are what they claim, and the simulated cluster is deterministic
//!
//! [`process`] starts and stops the binary for the others.

mod cli;
mod demo;
mod process;
mod receive;
mod rules;
mod simulate;
