//! How a call or a request ended, as an HTTP status.

pub(super) const OK: u16 = 200;
pub(super) const FAILED: u16 = 500;
/// By a full queue, by a service without a pod, or by a connection that was reset.
pub(super) const REFUSED: u16 = 503;
/// The caller's own word: it waited no longer.
pub(super) const TIMED_OUT: u16 = 504;
/// Nobody took the call: the connection was refused or reset. It is also what the caller then answers, as a gateway does.
pub(super) const UNREACHED: u16 = 502;
/// By the front door, for the sake of a service behind it.
pub(super) const SHED: u16 = 429;
