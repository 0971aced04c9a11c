//! All integration tests, in one binary because each one links DataFusion again.
//!
//! - `rules`: the examples of `docs/rules.md`, and the shipped rules from findings to an explained intervention

mod rules;
