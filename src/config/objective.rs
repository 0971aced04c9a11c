//! What users were promised: a latency bound, a quantile and an error bound, and the entry operations they are for.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::units::serialize_duration;

/// The promise itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bounds {
    #[serde(serialize_with = "serialize_duration")]
    pub latency: Duration,
    /// The share of requests, 0 to 1, that stay under `latency`.
    pub quantile: f64,
    /// The share of requests, 0 to 1, that may fail.
    pub errors: f64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        // Half a second is where people notice that they wait.
        Bounds { latency: Duration::from_millis(500), quantile: 0.99, errors: 0.01 }
    }
}

/// A promise and what it is for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Objective {
    #[serde(flatten)]
    pub selector: Selector,
    #[serde(flatten)]
    pub bounds: Bounds,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// Entry operations by `service operation`.
    Entry(Pattern),
    /// All entry operations of a service.
    Service(String),
}

impl Selector {
    pub fn matches(&self, service: &str, operation: &str) -> bool {
        match self {
            Selector::Entry(pattern) => pattern.matches(&format!("{service} {operation}")),
            Selector::Service(name) => name == service,
        }
    }
}

/// Text in which `*` stands for any text, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        Pattern(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default(); // `split` yields at least one part
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        // Taking the leftmost place for each part leaves the most room for those that follow.
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let cases = [
            ("ingress GET /*", "ingress GET /course/7", true),
            ("ingress GET /*", "ingress POST /login", false),
            ("* GET /a*z", "ingress GET /abcz", true),
            ("* GET /a*z", "ingress GET /abc", false),
            ("*ab*ab", "ab", false),
            ("*ab*ab", "abab", true),
            ("*", "", true),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ];
        for (pattern, text, matches) in cases {
            assert_eq!(Pattern::new(pattern).matches(text), matches, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_service_selects_all_its_entry_operations() {
        let auth = Selector::Service("auth".into());
        assert!(auth.matches("auth", "POST /login"));
        assert!(!auth.matches("auth-db", "query"));
    }
}
