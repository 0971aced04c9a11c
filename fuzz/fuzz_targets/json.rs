//! Any bytes as JSON: the reader answers, one way or the other, and takes nothing that is not JSON. That it reads the
//! right thing is what the other target and the tests hold it to.
#![no_main]

use decoders::receive::decode::reference::OPTIONS;
use decoders::receive::decode::{Encoding, decode};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

fuzz_target!(|bytes: &[u8]| {
    if decode(Encoding::Json, bytes, &OPTIONS).is_ok() {
        serde_json::from_slice::<IgnoredAny>(bytes).expect("what is taken is JSON");
    }
});
