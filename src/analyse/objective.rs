//! Objectives: the latency and the errors that users are promised of an entry operation.

use serde::{Deserialize, Serialize};

/// A latency bound, a quantile and an error bound for the entry operations its pattern matches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// `service operation` of the root span; `*` stands for any text. The service with or without its cluster and
    /// namespace.
    pub entry: String,
    pub latency_ns: i64,
    /// The share of requests that must stay below the latency, for example 0.99.
    pub quantile: f64,
    /// The share of requests that may fail, for example 0.01.
    pub errors: f64,
}

impl Objective {
    /// For entry operations that nobody promised anything of: what users of a web page bear.
    pub fn usual() -> Objective {
        Objective { entry: "*".into(), latency_ns: 500_000_000, quantile: 0.99, errors: 0.01 }
    }

    pub fn matches(&self, entry: &str) -> bool {
        let (service, operation) = entry.split_once(' ').unwrap_or((entry, ""));
        let name = service.rsplit('/').next().unwrap_or(service);
        let short = format!("{name} {operation}");
        [entry, short.as_str()].into_iter().any(|text| glob(self.entry.as_bytes(), text.as_bytes()))
    }
}

/// `*` matches any run of bytes, everything else itself. Linear with one backtrack point (the last star).
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_entries() {
        let objective = |entry: &str| Objective { entry: entry.into(), latency_ns: 1, quantile: 0.99, errors: 0.01 };
        assert!(objective("ingress GET /exam").matches("ingress GET /exam"));
        assert!(!objective("ingress GET /exam").matches("ingress GET /exam/1"));
        assert!(objective("ingress *").matches("ingress GET /exam"));
        assert!(objective("*/exam*1").matches("ingress GET /exam/1/1"));
        assert!(!objective("*/exam*1").matches("ingress GET /exam/12"));
        assert!(objective("*").matches(""));
        assert!(objective("ingress GET /exam").matches("eu/shop/ingress GET /exam"), "without its namespace");
        assert!(objective("eu/shop/ingress *").matches("eu/shop/ingress GET /exam"));
        assert!(!objective("shop *").matches("eu/shop/ingress GET /exam"));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        let cases = [
            ("* GET /a*z", "ingress GET /abcz", true),
            ("* GET /a*z", "ingress GET /abc", false),
            ("*ab*ab", "ab", false),
            ("*ab*ab", "abab", true),
            ("exact", "exactly", false),
        ];
        for (pattern, text, matches) in cases {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), matches, "{pattern} on {text}");
        }
    }
}
