//! All integration tests, in one binary (each binary links DataFusion again).
//!
//! - [`cli`]: the real binary, as a person or a supervisor runs it: help, errors, exit codes, `serve` from its
//!   first log line to its exit
//! - [`process`]: starts the binary, reads what it says, ends it

mod cli;
mod process;
