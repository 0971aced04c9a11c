//! Counting and chance, without a word of services.

pub mod eviction;
pub mod histogram;
pub mod mathematics;
pub mod significance;
pub mod trend;
