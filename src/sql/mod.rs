//! SQL for people: one read-only statement over given tables, in a process of its own.
//!
//! What people ask cannot be trusted to end, to stay small or to leave the stack alone. So it runs where it can die: a
//! child process of this program with limits of its own on memory and processor time.
//!
//! - [`Pool`]: the children, kept warm; who waits, who gives way, who is killed
//! - [`Shelf`]: the tables, written once as Arrow IPC into memory that the children read
//! - [`child`]: what a child does, from its first line to its end
//! - [`described`]: every table and column in words
//! - `hex_ids`: ids compare with hexadecimal text
//! - `bounds`: how large a statement may be before it is planned
//!
//! The SQL of the tick is not this one (`analyse::rollup::sql`).

mod bounds;
pub mod child;
pub mod described;
mod error;
mod handed;
mod hex_ids;
mod message;
mod pool;
mod process;
mod query;
mod rows;
mod shelf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

pub use error::QueryError;
pub use message::Limits;
pub use pool::{Counters, Pool, Settings};
pub use process::{Program, ask_once};
pub use shelf::{Builder, Shelf};

/// A table as SQL sees it. Cloning shares its columns.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: &'static str,
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}
