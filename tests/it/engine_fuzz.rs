//! The engine under input that nobody would send: programs drawn by a seed for the driver of the fuzz target `engine`,
//! on the stable compiler. `make fuzz` runs the same driver with libFuzzer, which follows what the code covers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use headroom::clock::Stopwatch;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::skip::measured;

#[path = "../../fuzz/src/engine_driver.rs"]
mod engine_driver;

/// Whichever is over first ends a test run. A scorecard asks for more seconds and another first seed.
const SECONDS: u64 = 60;
const PROGRAMS_MAX: u64 = 1_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The program of a seed. Most ops take few bytes, so that some hundred bytes are a hundred calls.
fn drawn(seed: u64) -> Vec<u8> {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let length = random.random_range(8..800);
    (0..length).map(|_| random.random()).collect()
}

#[test]
fn whatever_comes_the_engine_keeps_its_promises() {
    let first = number("HEADROOM_SEED").unwrap_or(1);
    let (seconds, programs_max) = match number("HEADROOM_FUZZ_SECONDS") {
        Some(seconds) => (seconds, u64::MAX),
        None => (SECONDS, PROGRAMS_MAX),
    };
    let (since, mut programs, mut permits) = (Stopwatch::start(), 0, 0);
    while programs < programs_max && since.elapsed() < Duration::from_secs(seconds) {
        let seed = first.wrapping_add(programs);
        match catch_unwind(AssertUnwindSafe(|| engine_driver::run(&drawn(seed)))) {
            Ok(permitted) => permits += permitted,
            Err(_) => panic!("a finding: HEADROOM_SEED={seed} runs it first (its panic stands above)"),
        }
        programs += 1;
    }
    measured("engine_fuzz.first_seed", first, "seed");
    measured("engine_fuzz.programs", programs, "programs");
    measured("engine_fuzz.permits", permits, "permits");
    // A driver that never reaches an action would check nothing of the guard.
    assert!(permits > 0, "{programs} programs, and none was permitted anything");
}
