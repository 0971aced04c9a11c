//! Every number that the analysis chose, by subject, with the reason for its value and what breaks without it. What only
//! defines a format (buckets, columns, versions of a document) stays with it. Those by which names are grouped stand in
//! `model/names/thresholds.rs`, as names are grouped before anything is analysed.

pub mod amplification;
pub mod belief;
pub mod causes;
pub mod chance;
pub mod change;
pub mod clocks;
pub mod findings;
pub mod healthy;
pub mod judging;
pub mod load;
pub mod mechanisms;
pub mod memory;
pub mod observe;
mod parameters;
pub mod pods;
pub mod rollup;
pub mod sample;
pub mod service;
pub mod signs;
pub mod telemetry;
pub mod works;

pub use parameters::Parameters;
