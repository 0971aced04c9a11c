//! What the senders of spans do: what they lose, how they sample, and how much is seen of what happens.

mod host_clocks;
mod lost_spans;
mod sampling;
mod sight;

pub use host_clocks::{ClockState, HostClock, HostClocks};
pub use lost_spans::{LostSpans, MissingParents, ReceivedCounts};
pub use sampling::Sampling;
pub use sight::{EntrySight, ServiceSight, Sight, SightLevel, Watch};
