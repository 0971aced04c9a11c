//! From spans to the bottleneck: critical paths become rollups, SQL merges them, a judgement names the service.

mod amplification;
mod analyser;
mod answers;
mod arrivals;
mod baseline;
mod capacity;
pub mod change;
mod changes;
mod exemplars;
pub mod findings;
mod gaps;
pub mod histogram;
pub mod learnt;
mod objective;
mod rare;
mod roll_call;
pub mod rollup;
mod sampling;
mod service_now;
mod sql;
mod starts;
pub mod trace;
mod verdict;
mod victims;

pub use analyser::{Analyser, Config, PodsWithSpans};
pub use change::Suspect;
pub use findings::{Bottleneck, EntryFinding, Evidence, Findings, ServiceFinding, Verdict};
pub use gaps::Gap;
pub use learnt::Learnt;
pub use objective::Objective;
pub use sql::{Error, SHIPPED as SHIPPED_QUERIES};
