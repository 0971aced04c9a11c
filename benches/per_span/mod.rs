//! Nanoseconds a span, measured so that two things can be compared on a machine that others use too.

use std::io::Write;

use headroom::clock::Stopwatch;

/// Turns of each thing that is measured. The lowest counts: what disturbs a turn only ever adds to it.
const TURNS: usize = 25;

/// A turn lasts about this long, well above what reading the clock costs and below what a scheduler gives.
const TURN_NS: u128 = 5_000_000;

/// What each costs a span, one turn of each after the other; `spans` is what one call goes through.
pub fn interleaved<const N: usize>(spans: usize, mut subjects: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut lowest = [f64::MAX; N];
    let mut calls = [1; N];
    for (subject, calls) in subjects.iter_mut().zip(&mut calls) {
        let began = Stopwatch::start();
        subject();
        *calls = (TURN_NS / began.elapsed().as_nanos().max(1)).max(1);
    }
    for _ in 0..TURNS {
        for ((subject, calls), lowest) in subjects.iter_mut().zip(calls).zip(&mut lowest) {
            let began = Stopwatch::start();
            (0..calls).for_each(|_| subject());
            *lowest = lowest.min(began.elapsed().as_nanos() as f64 / (calls * spans as u128) as f64);
        }
    }
    lowest
}

/// One line that a scorecard reads: `figure NAME VALUE UNIT`.
pub fn figure(name: &str, value: f64, unit: &str) {
    // Where nobody reads it there is nobody to tell.
    let _ = writeln!(std::io::stdout(), "figure {name} {value:.3} {unit}");
}

/// A figure of [`interleaved`].
pub fn say(name: &str, ns: f64) {
    figure(name, ns, "ns a span");
}
