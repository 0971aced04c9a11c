//! One trace: its tree, corrected for clock skew, and its critical path.

mod critical_path;
mod tree;

pub use critical_path::{Segment, SegmentKind, critical_path};
pub use tree::{Node, Tree, TreeSpan, is_call};

#[cfg(test)]
mod tests;
