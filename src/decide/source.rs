//! A rule as it was loaded, and the rules that ship with headroom. Reading a directory is the shell's work.

use serde::{Deserialize, Serialize};

/// Its name and its whole text, so that a replay needs no other file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSource {
    /// File name without `.rhai`.
    pub name: String,
    pub source: String,
}

impl RuleSource {
    pub fn new(name: impl Into<String>, source: impl Into<String>) -> RuleSource {
        RuleSource { name: name.into(), source: source.into() }
    }

    /// The first comment line: what people read when the rule gives no words of its own.
    pub fn description(&self) -> &str {
        let comment = self.source.lines().map(str::trim).find_map(|line| line.strip_prefix("//"));
        comment.map_or("", |text| text.trim_start_matches('/').trim())
    }
}

/// The rules in `rules/` of this repository, in force where the operator gives none.
pub fn shipped() -> Vec<RuleSource> {
    macro_rules! rule {
        ($name:literal) => {
            RuleSource::new($name, include_str!(concat!("../../rules/", $name, ".rhai")))
        };
    }
    vec![
        rule!("notify_early_return"),
        rule!("notify_slow_dependency"),
        rule!("restart_bad_pod"),
        rule!("scale_in_idle"),
        rule!("scale_out_bottleneck"),
        rule!("scale_out_for_shed"),
        rule!("shed_beyond_capacity"),
        rule!("shed_for_slow_dependency"),
        rule!("shed_retry_storm"),
        rule!("shift_from_bad_release"),
    ]
}
