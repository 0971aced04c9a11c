//! From the totals of a window to the bottlenecks.

pub mod amplification;
pub mod arrival_rate;
pub mod at_work;
pub mod attribution;
pub mod backlog;
pub mod incident;
pub mod pod_health;
pub mod released_load;
pub mod service_state;
pub mod young_pods;
