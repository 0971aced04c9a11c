//! headroom's decoders, from their sources and without the rest.
#![forbid(unsafe_code)]
// What only the rest uses.
#![allow(dead_code)]

#[path = "../../src/model/mod.rs"]
pub mod model;

#[path = "../../src/receive"]
pub mod receive {
    pub mod decode;
}
