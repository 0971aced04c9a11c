//! Access logs: lines in, requests a minute by entry operation out. Nothing is read or written here; memory is bounded by what is
//! counted, not by what is read.

mod counts;
mod json;
mod line;
mod pattern;
mod stamp;

pub use counts::{Counts, ENTRIES_MAX, OTHER};
pub use line::{Format, Reader, Unread};
pub use pattern::{Pattern, WrongPattern};
pub use stamp::Stamps;

/// What a line says of a request. Texts are the line's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request<'l> {
    /// Unix seconds, UTC.
    pub second: i64,
    pub method: &'l str,
    /// With what follows a `?`, as it stands in the line.
    pub path: &'l str,
    /// 0 where the line does not say.
    pub status: u16,
}
