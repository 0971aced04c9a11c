//! One trace: its tree, corrected for clock skew, its critical path, and the requests in it.

mod clock_anchor;
mod critical_path;
pub mod request;
mod tree;

pub use critical_path::{Segment, SegmentKind, critical_path};
pub use tree::{Node, Tree, TreeSpan, is_call};

#[cfg(test)]
mod tests;
