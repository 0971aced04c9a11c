//! How much of what happens is seen, as a number: `healthy` is said only of what was seen.
//!
//! Of the traces of the last seconds, those count as seen in which a request of an endpoint could be followed from where it
//! begins, with the parents of all of its spans. What was lost shows in the rest: traces of which no beginning came, those
//! that still wait for theirs, and spans that hang in the air.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{HostClock, ReceivedCounts};
use crate::analyse::rollup::{EntryKey, Rollups};
use crate::model::{ClockStep, Text, Time};

/// What came in this time is the present: a verdict follows a loss within half of it.
const WINDOW: Duration = Duration::from_secs(10);
/// Below this share of traces seen whole it is said that sight is partial; above the other, no longer.
const PARTIAL_BELOW: f64 = 0.9;
const CLEAR_ABOVE: f64 = 0.95;
/// Fewer traces than these that are not seen whole are an accident.
const UNSEEN_MIN: i64 = 5;
/// Entry operations and services whose sight is told: those with the most requests.
const LISTED_MAX: usize = 200;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SightLevel {
    /// No request could be followed lately: nothing is known of now.
    Blind,
    /// A part of what happens is not seen.
    Partial,
    #[default]
    Clear,
}

impl SightLevel {
    pub const fn as_str(self) -> &'static str {
        match self {
            SightLevel::Blind => "blind",
            SightLevel::Partial => "partial",
            SightLevel::Clear => "clear",
        }
    }
}

/// How well endpoints and services are seen, over the last ten seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sight {
    pub level: SightLevel,
    /// Share of traces that were seen whole, 0 to 1.
    pub share: f64,
    /// Traces in which no request of an endpoint was seen from its beginning, closed or still waiting for it.
    pub traces_without_beginning: u64,
    /// Those with the most requests, by name.
    pub entries: Vec<EntrySight>,
    pub services: Vec<ServiceSight>,
    /// Hosts whose clocks are off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<HostClock>,
}

impl Default for Sight {
    fn default() -> Sight {
        let level = SightLevel::Clear;
        let (entries, services, clocks) = (Vec::new(), Vec::new(), Vec::new());
        Sight { level, share: 1.0, traces_without_beginning: 0, entries, services, clocks }
    }
}

/// How well one endpoint is seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EntrySight {
    pub entry: String,
    pub requests: u64,
    /// Share of them whose caller sends no spans: they begin here only as far as they are seen.
    pub remote_parent_share: f64,
    /// Share of them in whose trace no span lacks its parent.
    pub whole_share: f64,
    /// Share of them of which is known how many requests each stands for.
    pub weighted_share: f64,
}

/// How well one service is seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSight {
    pub service: String,
    /// Requests it took, as far as seen.
    pub requests: u64,
    /// Share of them whose caller's span never came, though it should.
    pub without_parent_share: f64,
    /// Share of calls to it, answered well by their callers' word, of which it sent no span.
    pub unanswered_share: f64,
}

/// The counts of one tick.
#[derive(Debug, Default)]
struct Tick {
    entries: BTreeMap<Text, EntryCounts>,
    services: BTreeMap<Text, ReceivedCounts>,
    without_beginning: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct EntryCounts {
    requests: i64,
    remote_parent: i64,
    incomplete: i64,
    unweighted: i64,
}

/// Adds up what was seen.
#[derive(Debug, Default)]
pub struct Watch {
    ticks: VecDeque<(Time, Tick)>,
    /// Traces that wait for their beginning now.
    waiting: i64,
    /// When a request of an endpoint was last seen.
    entry_at: Option<Time>,
    is_partial: bool,
}

impl Watch {
    /// Takes in a tick: its rows, the requests each service took, traces that closed without a request of an endpoint, and
    /// those that wait for their beginning now.
    pub fn push(
        &mut self,
        now: Time,
        rollups: &[Rollups],
        services: &BTreeMap<Text, ReceivedCounts>,
        without_beginning: u64,
        waiting: u64,
    ) {
        let mut tick =
            Tick { services: services.clone(), without_beginning: without_beginning as i64, ..Tick::default() };
        for (key, sums) in rollups.iter().flat_map(Rollups::rows::<EntryKey<&str>>) {
            if !tick.entries.contains_key(key.entry) {
                tick.entries.insert(key.entry.into(), EntryCounts::default());
            }
            let Some(counts) = tick.entries.get_mut(key.entry) else { continue };
            counts.requests += sums.requests;
            counts.remote_parent += sums.remote_parent;
            counts.incomplete += sums.incomplete;
            counts.unweighted += sums.unweighted;
        }
        if !tick.entries.is_empty() {
            self.entry_at = Some(now);
        }
        self.waiting = waiting as i64;
        self.ticks.push_back((now, tick));
        while self.ticks.front().is_some_and(|(at, _)| *at + WINDOW <= now) {
            self.ticks.pop_front();
        }
        let (share, unseen) = self.share();
        let bound = if self.is_partial { CLEAR_ABOVE } else { PARTIAL_BELOW };
        self.is_partial = share < bound && (self.is_partial || unseen >= UNSEEN_MIN);
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.ticks.iter_mut().map(|(at, _)| at).chain(&mut self.entry_at));
    }

    /// The share of traces seen whole, and how many were not.
    fn share(&self) -> (f64, i64) {
        let entries = self.ticks.iter().flat_map(|(_, tick)| tick.entries.values());
        let (seen, whole) =
            entries.fold((0, 0), |sum, one| (sum.0 + one.requests, sum.1 + one.requests - one.incomplete));
        let all = seen + self.without_beginning();
        if all == 0 { (1.0, 0) } else { (whole as f64 / all as f64, all - whole) }
    }

    fn without_beginning(&self) -> i64 {
        self.waiting + self.ticks.iter().map(|(_, tick)| tick.without_beginning).sum::<i64>()
    }

    /// Whether no request of an endpoint was seen for so long.
    pub fn is_blind(&self, now: Time, after: Duration) -> bool {
        self.entry_at.is_none_or(|at| at + after < now)
    }

    /// Share of the requests of an endpoint whose caller's span never came.
    pub fn remote_parent_share(&self, entry: &str) -> f64 {
        let of_entry = self.ticks.iter().filter_map(|(_, tick)| tick.entries.get(entry));
        let (remote, all) = of_entry.fold((0, 0), |sum, of| (sum.0 + of.remote_parent, sum.1 + of.requests));
        remote as f64 / all.max(1) as f64
    }

    pub fn sight(&self, is_blind: bool) -> Sight {
        let mut entries: BTreeMap<&Text, EntryCounts> = BTreeMap::new();
        let mut services: BTreeMap<&Text, ReceivedCounts> = BTreeMap::new();
        for (_, tick) in &self.ticks {
            for (entry, of) in &tick.entries {
                let sum = entries.entry(entry).or_default();
                sum.requests += of.requests;
                sum.remote_parent += of.remote_parent;
                sum.incomplete += of.incomplete;
                sum.unweighted += of.unweighted;
            }
            tick.services.iter().for_each(|(service, of)| services.entry(service).or_default().add(*of));
        }
        let level = match (is_blind, self.is_partial) {
            (true, _) => SightLevel::Blind,
            (false, true) => SightLevel::Partial,
            (false, false) => SightLevel::Clear,
        };
        Sight {
            level,
            share: if is_blind { 0.0 } else { self.share().0 },
            traces_without_beginning: self.without_beginning().max(0) as u64,
            entries: busiest(entries, |of| of.requests, |entry, of| EntrySight::of(entry, of)),
            services: busiest(services, |of| of.requests + of.unanswered, |service, of| ServiceSight::of(service, of)),
            clocks: Vec::new(),
        }
    }
}

impl EntrySight {
    fn of(entry: &Text, counts: EntryCounts) -> EntrySight {
        let share = |part: i64| part as f64 / counts.requests.max(1) as f64;
        EntrySight {
            entry: entry.to_string(),
            requests: counts.requests.max(0) as u64,
            remote_parent_share: share(counts.remote_parent),
            whole_share: share(counts.requests - counts.incomplete),
            weighted_share: share(counts.requests - counts.unweighted),
        }
    }
}

impl ServiceSight {
    fn of(service: &Text, counts: ReceivedCounts) -> ServiceSight {
        let share = |part: i64, all: i64| part as f64 / all.max(1) as f64;
        ServiceSight {
            service: service.to_string(),
            requests: counts.requests.max(0) as u64,
            without_parent_share: share(counts.without_parent, counts.requests),
            unanswered_share: share(counts.unanswered, counts.requests + counts.unanswered),
        }
    }
}

/// What is told of those with the most requests, in the order of their names.
fn busiest<C: Copy, S>(
    counts: BTreeMap<&Text, C>,
    requests: impl Fn(&C) -> i64,
    tell: impl Fn(&Text, C) -> S,
) -> Vec<S> {
    let mut least = 0;
    if counts.len() > LISTED_MAX {
        let mut all: Vec<i64> = counts.values().map(&requests).collect();
        all.sort_unstable_by_key(|&requests| std::cmp::Reverse(requests));
        least = all[LISTED_MAX - 1];
    }
    let listed = counts.into_iter().filter(|(_, of)| requests(of) >= least).take(LISTED_MAX);
    listed.map(|(name, of)| tell(name, of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::EntrySums;
    use crate::analyse::rollup::by_hand::Rows;

    fn rows(second: i64, requests: i64, incomplete: i64) -> [Rollups; 1] {
        let mut rows = Rows::default();
        if requests > 0 {
            let key = EntryKey { second, entry: "front GET /".into(), bucket: 100 };
            Rows::add(&mut rows.entries, key, EntrySums { requests, incomplete, ..EntrySums::default() });
        }
        [rows.tables()]
    }

    /// The level after each of these seconds: requests seen, those in incomplete traces, traces without a beginning.
    fn levels(seconds: &[(i64, i64, u64)]) -> Vec<SightLevel> {
        let mut watch = Watch::default();
        let mut level = |(second, &(requests, incomplete, lost)): (usize, &(i64, i64, u64))| {
            let now = Time::from_secs(second as i64);
            watch.push(now, &rows(second as i64, requests, incomplete), &BTreeMap::new(), lost, 0);
            watch.sight(watch.is_blind(now, Duration::from_secs(15))).level
        };
        seconds.iter().enumerate().map(&mut level).collect()
    }

    #[test]
    fn nothing_is_seen_before_the_first_request_and_long_after_the_last() {
        let mut seconds = vec![(0, 0, 0); 3];
        seconds.push((10, 0, 0));
        seconds.extend([(0, 0, 0); 20]);
        let found = levels(&seconds);
        assert_eq!(found[2], SightLevel::Blind);
        assert_eq!((found[3], found[18], found[19]), (SightLevel::Clear, SightLevel::Clear, SightLevel::Blind));
    }

    #[test]
    fn lost_beginnings_make_sight_partial_within_seconds_and_it_clears_again() {
        let mut seconds = vec![(100, 0, 0); 20];
        seconds.extend([(50, 0, 50); 10]);
        seconds.extend([(100, 0, 0); 20]);
        let found = levels(&seconds);
        assert_eq!(found[19], SightLevel::Clear);
        assert!(found[23..30].iter().all(|level| *level == SightLevel::Partial), "{found:?}");
        assert_eq!(found[49], SightLevel::Clear);
    }

    #[test]
    fn spans_that_hang_in_the_air_do_so_too_where_they_are_many() {
        assert_eq!(levels(&[(100, 30, 0); 20])[19], SightLevel::Partial);
        assert_eq!(levels(&[(100, 5, 0); 20])[19], SightLevel::Clear);
        assert_eq!(levels(&[(4, 0, 1), (3, 0, 3)])[1], SightLevel::Clear, "an accident");
    }

    #[test]
    fn shares_are_told_for_each_endpoint() {
        let mut watch = Watch::default();
        watch.push(Time::from_secs(1), &rows(1, 10, 4), &BTreeMap::new(), 0, 0);
        let sight = watch.sight(false);
        assert_eq!((sight.entries[0].requests, sight.entries[0].whole_share), (10, 0.6));
        assert_eq!(sight.share, 0.6);
    }
}
