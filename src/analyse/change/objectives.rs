//! Objectives where nobody configured any: derived from healthy time, with room for chance.

use std::collections::BTreeMap;

use super::profile::{Entry, Profile};
use crate::analyse::findings::MissedObjective;
use crate::analyse::statistics::significance::{SURELY, exceeds};
use crate::analyse::thresholds::change::{QUANTILE, SLACK};
use crate::model::Text;

/// Latency that an endpoint kept to in healthy time.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryObjective {
    pub latency_ns: f64,
    /// Share of requests that may miss it.
    pub allowed: f64,
}

/// One for each endpoint of the baseline.
pub fn objectives(baseline: &Profile) -> BTreeMap<String, EntryObjective> {
    let derive = |entry: &Entry| {
        let n = entry.durations.count().max(1) as f64;
        let p99_ns = entry.durations.quantile_ns(QUANTILE)?;
        // The next request exceeds the largest of n with a chance of 1/(n+1): few requests promise little.
        let allowed = (1.0 - QUANTILE).max(1.0 / (n + 1.0)) + entry.failed as f64 / n;
        Some(EntryObjective { latency_ns: p99_ns * SLACK, allowed })
    };
    baseline.entries.iter().filter_map(|(key, entry)| Some((name(key), derive(entry)?))).collect()
}

/// The endpoints that miss theirs, beyond what chance explains; worst first.
pub fn missed(incident: &Profile, objectives: &BTreeMap<String, EntryObjective>) -> Vec<MissedObjective> {
    let mut missed: Vec<MissedObjective> = Vec::new();
    for (key, entry) in &incident.entries {
        let entry_name = name(key);
        let Some(objective) = objectives.get(&entry_name) else { continue };
        let all = entry.durations.count();
        let slow = entry.durations.above(objective.latency_ns);
        let bad = (slow + entry.failed).min(all);
        if exceeds(bad as i64, all as i64, objective.allowed, SURELY) {
            missed.push(MissedObjective {
                entry: entry_name,
                objective_ms: objective.latency_ns / 1e6,
                p99_ms: entry.durations.quantile_ns(QUANTILE).unwrap_or(0.0) / 1e6,
                missed_share: bad as f64 / all as f64,
                allowed_share: objective.allowed,
                slow_share: slow as f64 / all as f64,
                error_share: entry.failed as f64 / all as f64,
            });
        }
    }
    missed.sort_by(|a, b| b.missed_share.total_cmp(&a.missed_share));
    missed
}

fn name((service, operation): &(Text, Text)) -> String {
    format!("{service} {operation}")
}
