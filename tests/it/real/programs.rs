//! Where the real programs are, as `tests/real/setup.sh` left word.

use std::fs;
use std::path::{Path, PathBuf};

use crate::skip::{cache, skip};

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
        skip(test, &reason);
        None
    }
}

/// The scripts that start the programs.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(name)
}
