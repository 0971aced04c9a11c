//! What the senders of spans do: what they lose, and how they sample.

mod lost_spans;
mod sampling;

pub use lost_spans::{LostSpans, MissingParents, ReceivedCounts};
pub use sampling::Sampling;
