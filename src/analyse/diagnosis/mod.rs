//! From the totals of a window to the bottlenecks.

pub mod amplification;
pub mod arrival_rate;
pub mod attribution;
pub mod backlog;
pub mod incident;
pub mod pod_health;
pub mod service_state;
