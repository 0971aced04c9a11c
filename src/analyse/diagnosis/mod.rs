//! From the totals of a window to the bottlenecks.

pub mod amplification;
pub mod arrival_rate;
pub mod at_work;
pub mod belief;
pub mod causes;
pub mod courses;
pub mod graph;
pub mod judgement;
pub mod observe;
pub mod observed;
pub mod pod_health;
pub mod released_load;
pub mod service_state;
pub mod signs;
pub mod young_pods;
