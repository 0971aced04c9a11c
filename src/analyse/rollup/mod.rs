//! Work done once: when a trace closes it becomes a few mergeable rows, and a tick only adds rows up.
//!
//! Narrow tables rather than one wide one; each row carries the second (of event time) it speaks of, counts
//! and integer sums. Merging is adding, in any order, so the same spans give the same answer.

mod answered_in_vain;
#[cfg(test)]
pub mod by_hand;
pub mod exemplars;
mod rows;
pub mod sql;
pub mod started;
mod store;
mod tables;
pub mod window_totals;

pub use rows::*;
pub use store::Store;
pub use tables::{Column, Reader, Rollups, TABLES, Table, Writer, batch};
