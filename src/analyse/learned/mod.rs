//! What is known of healthy time and of what pods can do, learned from rows and kept over a restart.

pub mod baseline;
pub mod begun;
mod callees;
pub mod capacity;
pub mod demand;
mod hour_of_day;
mod objectives;
mod operations;
pub mod pod_startup;
pub mod quarantine;
pub mod reference;
pub mod remote_entries;
pub mod snapshot;

pub use demand::{Carries, Demand, ServiceDemand};
pub use objectives::Objectives;
pub use operations::Operations;
pub use reference::Reference;
pub use snapshot::Learnt;
