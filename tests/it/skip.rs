//! What a test does that lacks a program which a script should have brought, and where measured values go.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

/// Says that a test is skipped and why, where `make test` prints it last; with HEADROOM_NO_SKIP=1 it fails.
pub fn skip(test: &str, reason: &str) {
    assert!(std::env::var_os("HEADROOM_NO_SKIP").is_none_or(|set| set != "1"), "{test} cannot run: {reason}");
    say(&format!("SKIPPED {test}: {reason}"));
    // `make test` prints this file last, where nobody overlooks it.
    if let Some(path) = std::env::var_os("HEADROOM_SKIPPED") {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{test}: {reason}").unwrap();
    }
}

/// Where the scripts put what they bring: the same default as the Makefile's and theirs.
pub fn cache() -> PathBuf {
    let default = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/headroom");
    std::env::var_os("HEADROOM_CACHE").map_or_else(default, PathBuf::from)
}

/// One measured value, where a person and a script find it.
pub fn measured(name: &str, value: impl std::fmt::Display, unit: &str) {
    say(&format!("MEASURE {name} {value} {unit}"));
}

/// Written past the test harness, which shows a passing test's output to nobody.
pub fn say(line: &str) {
    io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}
