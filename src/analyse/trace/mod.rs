//! One trace: its tree, corrected for clock skew, its critical path, and the requests in it.

mod clock_anchor;
mod critical_path;
mod fold;
pub mod request;
mod span;
mod tree;

pub use critical_path::{Segment, SegmentKind, critical_path};
pub use span::TreeSpan;
pub use tree::{Node, Tree, is_call};

#[cfg(test)]
mod tests;
