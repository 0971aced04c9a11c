//! What was seen, kept by the minute: files of rows on an object store, written once, put together by day, coarser as they age.
//!
//! Every number is a [sum](tables), so rows of the same minute add up wherever they lie: what closed late, what was seen before and
//! after a restart, and what makes a quarter of an hour of fifteen minutes. A file is what its name says, once, and one that was put
//! together of others lists their names ([`partition`]): whoever finds both leaves those out, so no order of crashes counts a row twice.

mod files;
mod minutes;
mod outbox;
mod partition;
mod read;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod tidy;
mod writer;

use std::time::Duration;

use serde::Serialize;

use crate::model::setting::{Kind, Setting};
use crate::settings;

pub use minutes::{Minutes, Replicas, Seen};
pub use outbox::{Counts, Outbox, Recorder};
pub use read::{Counted, Reader};
pub use store::Store;
pub use tables::{Of, Rows};
pub use writer::{Imported, Writer, import};

/// Seconds that a row tells of: as it is written, and once it is old.
pub const MINUTE_S: i64 = 60;
pub const QUARTER_S: i64 = 900;

/// How long it is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Keep {
    pub minutes: Duration,
    pub quarters: Duration,
}

const A_DAY_S: u64 = 86_400;

impl Keep {
    pub const SETTINGS: &'static [Setting<Keep>] = settings![Keep;
        minutes: Kind::seconds(A_DAY_S, 3_660 * A_DAY_S), "rows are kept by the minute for so long, then by the quarter of an hour";
        quarters: Kind::seconds(A_DAY_S, 3_660 * A_DAY_S), "and so long in all";
    ];
}

impl Default for Keep {
    fn default() -> Keep {
        // Five weeks have the last four same minutes of the week, whatever the day; two years have last year's terms and holidays.
        Keep { minutes: Duration::from_secs(35 * A_DAY_S), quarters: Duration::from_secs(2 * 365 * A_DAY_S) }
    }
}

/// Whether a cluster may be called so: its name is a part of paths and of queries.
pub fn is_cluster_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=63).contains(&text.len()) && text.bytes().all(is_plain) && !text.starts_with('.')
}

/// Why a history cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{place}: {cause}; name a folder that exists or can be made, and may be read and written")]
    Folder { place: String, cause: std::io::Error },
    #[error(
        "{place} is no folder, and this build keeps a history in a folder alone; mount the bucket, and name the folder"
    )]
    NoFolder { place: String },
    #[error("{place} does not answer: {what} took longer than {seconds} s; look at the store, or at the way there")]
    Slow { place: String, what: &'static str, seconds: u64 },
    #[error("{place} refuses {what}: {cause}; look at the rights and the room there")]
    Refused { place: String, what: &'static str, cause: String },
    #[error(
        "{place} is no history: it has no cluster of minutes; name the folder that `history.store` or `import --to` names"
    )]
    Empty { place: String },
    #[error("{place} has several clusters: {known}; name one with --cluster")]
    Several { place: String, known: String },
    #[error("{place} has no cluster `{name}`; it has {known}")]
    NoCluster { place: String, name: String, known: String },
    #[error("{path} of the history was changed again and again while it was read; try once more")]
    Unsteady { path: String },
    #[error("rows cannot be written as Parquet: {0}; report it as a bug")]
    Unwritable(String),
}
