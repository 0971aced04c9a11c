//! Any bytes as a program of calls to the engine, see `src/engine_driver.rs`: the invariants that it checks after every
//! call hold, whatever the program.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../src/engine_driver.rs"]
mod engine_driver;

fuzz_target!(|program: &[u8]| {
    engine_driver::run(program);
});
