//! What users were promised: a latency bound, a quantile and an error bound, and the entry operations they are for.

use std::fmt;
use std::time::Duration;

use crate::model::setting::{Kind, Setting};
use crate::settings;

/// The promise itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    pub latency: Duration,
    /// The share of requests, 0 to 1, that stay under `latency`.
    pub quantile: f64,
    /// The share of requests, 0 to 1, that may fail.
    pub errors: f64,
}

impl Bounds {
    pub const SETTINGS: &'static [Setting<Bounds>] = settings![Bounds;
        // Messages may be a day old before somebody minds; older ones count as a day.
        latency: Kind::millis(1, 86_400_000), "what `quantile` of the requests stay under";
        // Below the median a tail has no meaning; past 0.9999 a window holds too few requests to tell.
        quantile: Kind::number(0.5, 0.9999), "this share of the requests stays under `latency`";
        errors: Kind::Share, "the share of requests that may fail";
    ];
}

impl Default for Bounds {
    fn default() -> Bounds {
        // Half a second is where people notice that they wait.
        Bounds { latency: Duration::from_millis(500), quantile: 0.99, errors: 0.01 }
    }
}

/// A promise and what it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    pub selector: Selector,
    pub bounds: Bounds,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Selector {
    /// Entry operations by `service operation`.
    Entry(Pattern),
    /// All entry operations of a service.
    Service(String),
}

/// Text in which `*` stands for any text, also none; `analyse::Objective` matches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        Pattern(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
