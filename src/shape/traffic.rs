//! What gateways saw: requests that were offered, and those that were let in.

use serde::{Deserialize, Serialize};

/// Who goes first: a higher level goes last. Retries go before all first attempts, as they are load that failure made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Level {
    /// It has been tried before. Ordered the other way round: a first attempt is above every retry.
    pub first_attempt: bool,
    pub priority: u8,
}

impl Level {
    pub const fn new(priority: u8, is_retry: bool) -> Level {
        Level { first_attempt: !is_retry, priority }
    }
}

/// Requests of one entry operation and level, since the last report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryTraffic {
    /// `service operation`, as traces name it.
    pub entry: String,
    #[serde(flatten)]
    pub level: Level,
    pub offered: u64,
    pub admitted: u64,
}
