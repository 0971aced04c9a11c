//! What was said in the course of a replay, each time it changed.

use std::fmt;

use serde::Serialize;

use crate::analyse::{Findings, Verdict};
use crate::model::Time;

/// What a watcher would have read from then on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    pub at: String,
    pub verdict: Verdict,
    /// Empty without a bottleneck.
    pub service: String,
    pub entry: String,
    /// Share of traces that were seen whole.
    pub seen_share: f64,
    pub summary: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.summary)
    }
}

/// Collects them.
#[derive(Debug, Default)]
pub struct Verdicts {
    pub told: Vec<Told>,
}

impl Verdicts {
    pub fn see(&mut self, findings: &Findings) {
        let worst = findings.bottleneck();
        let is_known = self.told.last().is_some_and(|last| {
            (last.verdict, &last.service, &last.entry) == (worst.verdict, &worst.service, &worst.entry)
        });
        if is_known || findings.at == Time::MIN {
            return;
        }
        self.told.push(Told {
            at: findings.at.to_string(),
            verdict: worst.verdict,
            service: worst.service,
            entry: worst.entry,
            seen_share: findings.sight.share,
            summary: findings.summary(),
        });
    }
}
