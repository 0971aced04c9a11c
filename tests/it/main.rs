//! The integration tests, one binary:
//!
//! - [`receive`]: real OTLP clients against real sockets
mod receive;
