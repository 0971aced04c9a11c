//! Objectives: the latency and the errors that users are promised of an entry operation.

use serde::{Deserialize, Serialize};

use crate::model::pattern::matches_written_entry;

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
        matches_written_entry(&self.entry, entry)
    }
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
}
