//! `headroom version`: which build this is.

use std::io::Write;

use serde_json::json;

use super::answer::Answer;
use super::error::Error;

/// Of releases alone: whatever else is built does not depend on the commit, so that a commit compiles nothing anew.
const COMMIT: Option<&str> = option_env!("HEADROOM_COMMIT");
const BUILT: Option<&str> = option_env!("HEADROOM_BUILT");

/// Print the version, and of a release its commit and date.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom version
  headroom version --json | jq -r .commit

Exit codes: 0 done; 2 usage error.")]
pub struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let version = env!("CARGO_PKG_VERSION");
    if args.json {
        writeln!(out, "{}", json!({"version": version, "commit": COMMIT, "built": BUILT}))?;
    } else {
        writeln!(out, "headroom {version} ({})", of(COMMIT, BUILT))?;
    }
    Ok(Answer::Yes)
}

fn of(commit: Option<&str>, built: Option<&str>) -> String {
    let set = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    match (set(commit), set(built)) {
        (Some(commit), Some(built)) => format!("commit {commit}, built {built}"),
        (Some(commit), None) => format!("commit {commit}"),
        (None, Some(built)) => format!("built {built}"),
        (None, None) => "no release".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_release_names_its_commit_and_date() {
        assert_eq!(of(Some("0a1b2c3d4e5f"), Some("2026-11-30")), "commit 0a1b2c3d4e5f, built 2026-11-30");
        assert_eq!(of(Some(""), None), "no release", "outside of a clone");
    }
}
