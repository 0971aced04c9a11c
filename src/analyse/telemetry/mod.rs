//! What the senders of spans do: what they lose, how they sample, and how much is seen of what happens.

mod host_clocks;
mod id_spread;
mod lost_spans;
mod sampling;
mod sight;
mod span_counts;
mod tail_sampling;

pub use host_clocks::{ClockState, HostClock, HostClocks};
pub use id_spread::IdSpread;
pub use lost_spans::{LostSpans, MissingParents, ReceivedCounts};
pub use sampling::Sampling;
pub use sight::{Came, EntrySight, Misdated, ServiceSight, Sight, SightLevel, SpanSight, Watch};
pub use span_counts::SpanCounts;
