//! Why a query has no answer: the cause and what to do next, on the two sides of the last semicolon.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum QueryError {
    #[error("{cause}; the tables are {tables}")]
    Invalid { cause: String, tables: String },
    #[error("the statement {what}, {limit} at most is planned; {remedy}")]
    TooLarge { what: String, limit: usize, remedy: String },
    #[error("the query needs more memory than it may use; select less, or raise api.sql_memory")]
    Memory,
    #[error("the query took longer than {limit_s} s; select less, or raise api.sql_timeout")]
    TimedOut { limit_s: f64 },
    #[error("the query was ended after {ran_s:.1} s, as others waited for its place; select less, or ask again later")]
    GaveWay { ran_s: f64 },
    #[error("{waiting} queries wait already; ask again in a second")]
    Busy { waiting: usize },
    #[error("the query nests too deeply for the stack of its process; write it flatter")]
    Stack,
    #[error("the query failed: {cause}; simplify it")]
    Failed { cause: String },
    #[error("the query's process cannot be run: {cause}; look at the limits of memory and processes of this machine")]
    Process { cause: String },
}
