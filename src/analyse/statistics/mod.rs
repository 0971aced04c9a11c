//! Counting and chance, without a word of services.

#[cfg(test)]
pub mod chance;
pub mod eviction;
pub mod histogram;
pub mod interval;
pub mod mathematics;
pub mod significance;
