//! `headroom demo`.
pub mod course;
