//! Where the real programs are, as `tests/real/setup.sh` left word; and how a test that lacks them is skipped.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What `setup.sh` says it can bring. All tests here need all of them.
const PARTS: [&str; 3] = ["HEADROOM_OTELCOL", "HEADROOM_PYTHON", "HEADROOM_ENVOY"];

pub struct Programs {
    /// The interpreter that knows the OpenTelemetry SDK.
    pub python: PathBuf,
}

impl Programs {
    /// None where a program is missing: then the test is skipped and says so, or fails with HEADROOM_NO_SKIP=1.
    pub fn find(test: &str) -> Option<Programs> {
        let cache = cache().join("real");
        let env = fs::read_to_string(cache.join("env")).unwrap_or_default();
        let path =
            |part: &str| env.lines().find_map(|line| line.strip_prefix(part)?.strip_prefix('=')).map(PathBuf::from);
        if PARTS.iter().all(|part| path(part).is_some_and(|program| program.exists())) {
            return path("HEADROOM_PYTHON").map(|python| Programs { python });
        }
        let skipped = fs::read_to_string(cache.join("skipped")).unwrap_or_default();
        let reason = match skipped.trim().replace('\n', "; ") {
            none if none.is_empty() => format!("not all programs are in {}: run tests/real/setup.sh", cache.display()),
            reason => reason,
        };
        assert!(std::env::var_os("HEADROOM_NO_SKIP").is_none_or(|set| set != "1"), "{test} cannot run: {reason}");
        say(&format!("SKIPPED {test}: {reason}"));
        // `make test` prints this file last, where nobody overlooks it.
        if let Some(path) = std::env::var_os("HEADROOM_SKIPPED") {
            let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
            writeln!(file, "{test}: {reason}").unwrap();
        }
        None
    }
}

/// The scripts that start the programs.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(name)
}

/// The same default as the Makefile's and setup.sh's.
fn cache() -> PathBuf {
    let default = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/headroom");
    std::env::var_os("HEADROOM_CACHE").map_or_else(default, PathBuf::from)
}

/// One measured value, where a person and a script find it.
pub fn measured(name: &str, value: impl std::fmt::Display, unit: &str) {
    say(&format!("MEASURE {name} {value} {unit}"));
}

/// Written past the test harness, which shows a passing test's output to nobody.
fn say(line: &str) {
    io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}
