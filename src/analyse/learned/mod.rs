//! What is known of healthy time and of what pods can do, learned from rows and kept over a restart.

pub mod baseline;
pub mod capacity;
mod hour_of_day;
pub mod operations;
pub mod pod_startup;
pub mod snapshot;

pub use snapshot::Learnt;
