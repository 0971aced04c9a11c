//! When findings are worth a line of the journal: when they say something else, and while an outage grows or shrinks.

use std::time::Duration;

use crate::analyse::{Findings, SightLevel, Verdict};
use crate::model::Time;

/// A share of missed requests that moved by so much is news: who adds the journal's shares up is wrong by half of it at most.
const SHARE_MOVED: f64 = 0.1;
/// … and is told no more often than this: what is found of hundreds of services is a long line.
const AGAIN_AFTER: Duration = Duration::from_secs(3);

/// What was found when the journal last heard of it.
#[derive(Debug, Default)]
pub(super) struct FindingNews {
    named: Vec<(String, String, Verdict)>,
    missed: Vec<f64>,
    at: Option<Time>,
    /// None before the first span: there is no sight to lose.
    sight: Option<SightLevel>,
}

impl FindingNews {
    /// Whether what is found now is news.
    pub(super) fn hear(&mut self, now: Time, findings: &Findings) -> bool {
        let level = findings.sight.level;
        let sight_changed = self.sight.is_some_and(|known| known != level);
        if self.sight.is_some() || level != SightLevel::Blind {
            self.sight = Some(level);
        }
        sight_changed || named(findings) != self.named || self.moved(now, findings)
    }

    /// The journal has been told.
    pub(super) fn told(&mut self, now: Time, findings: &Findings) {
        self.named = named(findings);
        self.missed = missed(findings).collect();
        self.at = Some(now);
    }

    /// Of the same bottlenecks.
    fn moved(&self, now: Time, findings: &Findings) -> bool {
        let is_due = self.at.is_none_or(|at| now >= at + AGAIN_AFTER);
        is_due && missed(findings).zip(&self.missed).any(|(now, told)| (now - told).abs() >= SHARE_MOVED)
    }
}

fn named(findings: &Findings) -> Vec<(String, String, Verdict)> {
    let bottlenecks = findings.bottlenecks.iter().map(|b| (b.entry.clone(), b.service.clone(), b.verdict));
    let silent = findings.silent_failures.iter().map(|s| (String::new(), s.service.clone(), s.verdict));
    bottlenecks.chain(silent).collect()
}

fn missed(findings: &Findings) -> impl Iterator<Item = f64> {
    findings.bottlenecks.iter().map(|b| b.missed_share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::Bottleneck;

    fn missing(share: f64) -> Findings {
        let bottleneck = Bottleneck { missed_share: share, ..Bottleneck::default() };
        Findings { bottlenecks: vec![bottleneck], ..Findings::blind(Time::MIN) }
    }

    #[test]
    fn an_outage_that_grows_is_told_again_and_one_that_stays_is_not() {
        let mut news = FindingNews::default();
        let at = |second: u64| Time::MIN + Duration::from_secs(second);
        assert!(news.hear(at(1), &missing(0.4)), "a bottleneck is news");
        news.told(at(1), &missing(0.4));
        assert!(!news.hear(at(2), &missing(0.9)), "too soon after the last line");
        assert!(!news.hear(at(9), &missing(0.45)), "hardly moved");
        assert!(news.hear(at(9), &missing(0.9)));
        news.told(at(9), &missing(0.9));
        assert!(!news.hear(at(20), &missing(0.9)));
    }
}
