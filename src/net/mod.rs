//! Connections that others open: accepted within bounds, held to deadlines, and made to give way when places are rare.
//!
//! A connection earns its place with a request that was answered. One that does not send its first request in time is
//! closed, and so is one that has been idle for long. When all places are taken a newcomer is given that of the
//! connection that deserves it least (`places`): the peer address that holds most of them loses one first.

mod caught;
mod descriptors;
mod heard;
pub mod https;
mod listener;
mod often;
mod places;
mod tls;

pub use caught::caught;
pub use descriptors::{Descriptors, raise};
pub use heard::Heard;
pub use listener::{Http, Listener, listen};
pub use often::Often;
pub use places::{Limits, Receipt};
pub use tls::{Tls, TlsError, acceptor, check_tls};
