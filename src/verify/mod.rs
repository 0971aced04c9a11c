//! Did it help?
pub mod report;
pub use report::{InterventionReport, Stage};
