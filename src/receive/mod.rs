//! OTLP to Arrow: over gRPC, HTTP and from files, every request becomes a [`SpanBatch`](crate::model::SpanBatch).
//!
//! - [`decode`]: one request, protobuf or JSON, to a batch and an account of what was rejected
//! - [`files`]: the Collector's files and headroom's own Parquet, to batches
//! - [`queue`]: the bounded border to the core; a request is answered only when the core has taken its batch
//! - [`Receivers`]: the listening sockets. `grpc` and `http` know their protocol's words, `intake` what happens to a
//!   request of either, `refusal` how each says no, `connections` and `tls` what lies below
//! - [`SourceClocks`]: whether the senders' clocks agree with the one that stamps what is received
//!
//! Nothing acknowledged is lost here: a batch the core does not take in time is answered as overloaded, and the
//! sender keeps it. A sender may therefore send a batch twice; the window knows spans by their ids.

mod body;
mod config;
mod connections;
mod counters;
pub mod decode;
pub mod files;
mod grpc;
mod http;
mod intake;
pub mod queue;
mod receivers;
mod refusal;
mod source_clocks;

pub use config::{Config, Token};
pub use counters::Counters;
pub use decode::{Decoded, Encoding, Reason, Rejected};
pub use intake::{Clock, Stamp, Tap, Tapped};
pub use queue::{Received, queue};
pub use receivers::{Error, Receivers};
pub use source_clocks::SourceClocks;

pub use crate::net::Tls;
