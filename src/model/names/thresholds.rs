//! The numbers by which names are grouped, each with its reason and what breaks without it. They stand here rather than in
//! `analyse/thresholds`, as the window groups names before anything is analysed.

/// Names of one service at a place of a tree before anything is said of them. Fewer, the routes that a service happens to
/// serve first are identifiers; more, each identifier is an operation of its own for minutes.
pub const SIGHTINGS_MIN: u64 = 500;
/// The share of new ones from which a place is variable. Lower, a service with many routes has one; higher, identifiers
/// that come twice are never grouped.
pub const NEW_SHARE: f64 = 0.5;
/// Different texts of one place, however often they repeat. Without it: customers that come back each minute are operations.
pub const CHILDREN_MAX: usize = 500;
/// A text with one part in this many of all sightings is a name of its own also among identifiers, such as `/users/me`.
/// Smaller, it is grouped with them; larger, a busy customer is an operation.
pub const FREQUENT: u64 = 20;
/// Texts in the tree of one service, about 100 bytes each. Without it: identifiers fill the memory before they are grouped.
pub const NODES_MAX: usize = 10_000;
/// Services with a tree; those past it have their identifiers masked alone. Without it: services named by an identifier fill
/// the memory.
pub const SERVICES_MAX: usize = 5_000;
/// Tokens of one name that are told apart. Without it: an SQL text in a name costs a node for each word.
pub const TOKENS_MAX: usize = 24;
/// Digits of a number beside or inside a word from which it is an identifier. Fewer, `v2` and `http2` are; more, orders are
/// operations.
pub const DIGITS_MIN: usize = 4;
