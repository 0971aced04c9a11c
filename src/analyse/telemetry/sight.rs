//! How much of what happens is seen, as a number: `healthy` is said only of what was seen.
//!
//! Of the traces of the last seconds, those count as seen in which a request of an endpoint could be followed from where it
//! begins, with the parents of all of its spans. What was lost shows in the rest: traces of which no beginning came, those
//! that still wait for theirs, and spans that hang in the air.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::tail_sampling::leap_ns;
use super::{HostClock, IdSpread, ReceivedCounts, SpanCounts};
use crate::analyse::rollup::{EntryKey, Rollups};
use crate::analyse::statistics::eviction::{NAMES_MAX, forget_rare};
use crate::analyse::thresholds::memory::SIGHT_LISTED_MAX;
use crate::analyse::thresholds::telemetry::sight::{
    AHEAD, CHOSEN_MIN, CLEAR_ABOVE, PARTIAL_BELOW, PRESENT, TAIL_SAMPLED_AFTER, TELLING_REQUESTS, UNSEEN_MIN, WINDOW,
};
use crate::model::{ClockStep, Text, Time, TimeUnit};

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
    pub spans: SpanSight,
    /// Services whose spans have times in another unit than nanoseconds: these are not analysed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub misdated: Vec<Misdated>,
    /// Share of the traces that samplers kept without saying so in the spans, as trace ids show it; None where they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_sampling_rate: Option<f64>,
}

/// What became of the spans that came, as shares of all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpanSight {
    pub received: u64,
    /// Came after their trace was closed.
    pub late_share: f64,
    /// Came twice.
    pub repeated_share: f64,
    /// Of whole traces that were left out because more came than may be analysed.
    pub shed_share: f64,
    /// Past what one trace may have.
    pub surplus_share: f64,
}

/// Spans with times in another unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Misdated {
    pub service: String,
    pub unit: TimeUnit,
    /// Share of all spans that came.
    pub share: f64,
}

impl Default for Sight {
    fn default() -> Sight {
        let level = SightLevel::Clear;
        Sight {
            level,
            share: 1.0,
            traces_without_beginning: 0,
            entries: Vec::new(),
            services: Vec::new(),
            clocks: Vec::new(),
            spans: SpanSight::default(),
            misdated: Vec::new(),
            silent_sampling_rate: None,
        }
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
    /// Above this duration, in milliseconds, all traces seem to be kept, and few below: a tail sampler's work. How many
    /// requests are slow cannot be known then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail_sampled_above_ms: Option<f64>,
    /// Share of them whose trace a tail sampler says that it chose.
    pub chosen_share: f64,
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
    /// Share of its requests whose span names no pod or instance.
    pub without_pod_share: f64,
}

/// The counts of one tick.
#[derive(Debug, Default)]
struct Tick {
    entries: BTreeMap<Text, EntryCounts>,
    came: Came,
}

/// What came in a tick, beside its rows.
#[derive(Clone, Debug, Default)]
pub struct Came {
    /// Requests each service took.
    pub services: BTreeMap<Text, ReceivedCounts>,
    /// Traces that closed without a request of an endpoint.
    pub without_beginning: u64,
    /// Traces that wait for their beginning now.
    pub waiting: u64,
    pub spans: SpanCounts,
    pub misdated: BTreeMap<(Text, TimeUnit), u64>,
    pub ids: IdSpread,
    /// Requests whose traces a tail sampler says that it chose, by entry operation.
    pub chosen: BTreeMap<Text, u64>,
}

#[derive(Clone, Debug, Default)]
struct EntryCounts {
    requests: i64,
    remote_parent: i64,
    incomplete: i64,
    unweighted: i64,
    /// Of traces that a tail sampler says that it chose.
    chosen: i64,
    /// Requests by bucket of duration.
    durations: BTreeMap<i32, i64>,
}

impl EntryCounts {
    /// Adds what another tick counted, or takes it away again.
    fn add(&mut self, other: &EntryCounts, sign: i64) {
        self.requests += sign * other.requests;
        self.remote_parent += sign * other.remote_parent;
        self.incomplete += sign * other.incomplete;
        self.unweighted += sign * other.unweighted;
        self.chosen += sign * other.chosen;
        for (&bucket, count) in &other.durations {
            let sum = self.durations.entry(bucket).or_default();
            *sum += sign * count;
            if *sum == 0 {
                self.durations.remove(&bucket);
            }
        }
    }
}

/// Adds up what was seen.
#[derive(Debug, Default)]
pub struct Watch {
    ticks: VecDeque<(Time, Tick)>,
    /// Of all ticks; a tick's cost is that of what is new.
    entries: BTreeMap<Text, EntryCounts>,
    /// When durations of an endpoint, enough of them, last had no leap.
    without_leap: BTreeMap<Text, Time>,
    /// Endpoints whose traces a tail sampler chose, and the duration above which it keeps them where durations show one.
    tail_sampled: BTreeMap<Text, Option<i64>>,
    /// Traces that wait for their beginning now.
    waiting: i64,
    /// When a request of an endpoint was last seen.
    entry_at: Option<Time>,
    is_partial: bool,
}

impl Watch {
    /// Takes in a tick: its rows, and what came beside them.
    pub fn push(&mut self, now: Time, rollups: &[Rollups], came: Came) {
        self.waiting = came.waiting as i64;
        let mut tick = Tick { came, ..Tick::default() };
        let present = (now - PRESENT).second()..=(now + AHEAD).second();
        for (key, sums) in rollups.iter().flat_map(Rollups::rows::<EntryKey<&str>>) {
            if !present.contains(&key.second) {
                // By its clock it was long ago, or is yet to come: it tells nothing of now.
                tick.came.without_beginning += sums.requests.max(0) as u64;
                continue;
            }
            if !tick.entries.contains_key(key.entry) {
                tick.entries.insert(key.entry.into(), EntryCounts::default());
            }
            let Some(counts) = tick.entries.get_mut(key.entry) else { continue };
            counts.requests += sums.requests;
            counts.remote_parent += sums.remote_parent;
            counts.incomplete += sums.incomplete;
            counts.unweighted += sums.unweighted;
            *counts.durations.entry(key.bucket).or_default() += sums.requests;
        }
        for (entry, of) in &mut tick.entries {
            of.chosen += tick.came.chosen.get(entry).map_or(0, |&count| count as i64);
        }
        if !tick.entries.is_empty() {
            self.entry_at = Some(now);
        }
        for (entry, of) in &tick.entries {
            self.entries.entry(entry.clone()).or_default().add(of, 1);
        }
        self.ticks.push_back((now, tick));
        while let Some((_, gone)) = self.ticks.pop_front_if(|(at, _)| *at + WINDOW <= now) {
            for (entry, of) in &gone.entries {
                if let Some(sum) = self.entries.get_mut(entry) {
                    sum.add(of, -1);
                }
            }
        }
        self.entries.retain(|_, of| of.requests > 0);
        self.look_for_tail_samplers(now);
        let (share, unseen) = self.share();
        let bound = if self.is_partial { CLEAR_ABOVE } else { PARTIAL_BELOW };
        self.is_partial = share < bound && (self.is_partial || unseen >= UNSEEN_MIN);
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        let ticks = self.ticks.iter_mut().map(|(at, _)| at);
        step.move_all(ticks.chain(&mut self.entry_at).chain(self.without_leap.values_mut()));
    }

    fn look_for_tail_samplers(&mut self, now: Time) {
        self.tail_sampled.clear();
        for (entry, of) in &self.entries {
            let leap = leap_ns(&of.durations);
            if of.chosen as f64 > of.requests as f64 * CHOSEN_MIN {
                self.tail_sampled.insert(entry.clone(), leap);
                continue;
            }
            match (leap, self.without_leap.get(entry)) {
                // What was without for long is slow now, rather than chosen; unless it goes on.
                (Some(_), Some(at)) if *at + TAIL_SAMPLED_AFTER > now => {}
                (Some(ns), _) => _ = self.tail_sampled.insert(entry.clone(), Some(ns)),
                (None, _) if of.requests >= TELLING_REQUESTS => _ = self.without_leap.insert(entry.clone(), now),
                (None, _) => {}
            }
        }
        forget_rare(&mut self.without_leap, NAMES_MAX, |at| at.0);
    }

    /// Whether the traces of an endpoint were chosen by a tail sampler: how many of its requests are slow is not known then.
    pub fn is_tail_sampled(&self, entry: &str) -> bool {
        self.tail_sampled.contains_key(entry)
    }

    /// The share of traces seen whole, and how many were not. Those that a tail sampler chose are not: the others are missing.
    fn share(&self) -> (f64, i64) {
        let entries = self.entries.iter();
        let (seen, whole) = entries.fold((0, 0), |sum, (entry, of)| {
            let whole = if self.is_tail_sampled(entry) { 0 } else { of.requests - of.incomplete };
            (sum.0 + of.requests, sum.1 + whole)
        });
        let all = seen + self.without_beginning();
        if all == 0 { (1.0, 0) } else { (whole as f64 / all as f64, all - whole) }
    }

    fn without_beginning(&self) -> i64 {
        self.waiting + self.ticks.iter().map(|(_, tick)| tick.came.without_beginning as i64).sum::<i64>()
    }

    /// Whether no request of an endpoint was seen for so long.
    pub fn is_blind(&self, now: Time, after: Duration) -> bool {
        self.entry_at.is_none_or(|at| at + after < now)
    }

    /// Share of the requests of an endpoint whose caller's span never came.
    pub fn remote_parent_share(&self, entry: &str) -> f64 {
        self.entries.get(entry).map_or(0.0, |of| of.remote_parent as f64 / of.requests.max(1) as f64)
    }

    pub fn sight(&self, is_blind: bool) -> Sight {
        let mut services: BTreeMap<&Text, ReceivedCounts> = BTreeMap::new();
        let (mut spans, mut ids) = (SpanCounts::default(), IdSpread::default());
        let mut misdated: BTreeMap<&(Text, TimeUnit), u64> = BTreeMap::new();
        for (_, tick) in &self.ticks {
            tick.came.services.iter().for_each(|(service, of)| services.entry(service).or_default().add(*of));
            tick.came.misdated.iter().for_each(|(of, count)| *misdated.entry(of).or_default() += count);
            spans.add(tick.came.spans);
            ids.merge(tick.came.ids);
        }
        let is_unweighted = self.entries.values().any(|of| of.unweighted > 0);
        let of_spans = |part: u64| part as f64 / spans.received.max(1) as f64;
        let level = match (is_blind, self.is_partial) {
            (true, _) => SightLevel::Blind,
            (false, true) => SightLevel::Partial,
            (false, false) => SightLevel::Clear,
        };
        Sight {
            level,
            share: if is_blind { 0.0 } else { self.share().0 },
            traces_without_beginning: self.without_beginning().max(0) as u64,
            entries: busiest(
                &self.entries,
                |of| of.requests,
                |entry, of| EntrySight::of(entry, of, self.tail_sampled.get(entry).copied().flatten()),
            ),
            services: busiest(
                &services,
                |of| of.requests + of.unanswered,
                |service, of| ServiceSight::of(service, *of),
            ),
            clocks: Vec::new(),
            spans: SpanSight {
                received: spans.received,
                late_share: of_spans(spans.late),
                repeated_share: of_spans(spans.repeated),
                shed_share: of_spans(spans.shed),
                surplus_share: of_spans(spans.surplus),
            },
            misdated: (misdated.into_iter())
                .map(|((service, unit), count)| Misdated {
                    service: service.to_string(),
                    unit: *unit,
                    share: of_spans(count),
                })
                .collect(),
            silent_sampling_rate: if is_unweighted { ids.rate() } else { None },
        }
    }
}

impl EntrySight {
    fn of(entry: &str, counts: &EntryCounts, tail_sampled_ns: Option<i64>) -> EntrySight {
        let share = |part: i64| part as f64 / counts.requests.max(1) as f64;
        EntrySight {
            entry: entry.to_string(),
            requests: counts.requests.max(0) as u64,
            remote_parent_share: share(counts.remote_parent),
            whole_share: share(counts.requests - counts.incomplete),
            weighted_share: share(counts.requests - counts.unweighted),
            tail_sampled_above_ms: tail_sampled_ns.map(|ns| ns as f64 / 1e6),
            chosen_share: share(counts.chosen),
        }
    }
}

impl ServiceSight {
    fn of(service: &str, counts: ReceivedCounts) -> ServiceSight {
        let share = |part: i64, all: i64| part as f64 / all.max(1) as f64;
        ServiceSight {
            service: service.to_string(),
            requests: counts.requests.max(0) as u64,
            without_parent_share: share(counts.without_parent, counts.requests),
            unanswered_share: share(counts.unanswered, counts.requests + counts.unanswered),
            without_pod_share: share(counts.without_pod, counts.requests),
        }
    }
}

/// What is told of those with the most requests, in the order of their names.
fn busiest<N: AsRef<str>, C, S>(
    counts: &BTreeMap<N, C>,
    requests: impl Fn(&C) -> i64,
    tell: impl Fn(&str, &C) -> S,
) -> Vec<S> {
    let mut least = 0;
    if counts.len() > SIGHT_LISTED_MAX {
        let mut all: Vec<i64> = counts.values().map(&requests).collect();
        all.sort_unstable_by_key(|&requests| std::cmp::Reverse(requests));
        least = all[SIGHT_LISTED_MAX - 1];
    }
    let listed = counts.iter().filter(|(_, of)| requests(of) >= least).take(SIGHT_LISTED_MAX);
    listed.map(|(name, of)| tell(name.as_ref(), of)).collect()
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
            let came = Came { without_beginning: lost, ..Came::default() };
            watch.push(now, &rows(second as i64, requests, incomplete), came);
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
    fn requests_of_another_time_are_not_seen() {
        for second in [-3_600, 3_600] {
            let mut watch = Watch::default();
            watch.push(Time::from_secs(1), &rows(second, 10, 0), Came::default());
            assert!(watch.is_blind(Time::from_secs(1), Duration::from_secs(15)));
        }
    }

    #[test]
    fn shares_are_told_for_each_endpoint() {
        let mut watch = Watch::default();
        watch.push(Time::from_secs(1), &rows(1, 10, 4), Came::default());
        let sight = watch.sight(false);
        assert_eq!((sight.entries[0].requests, sight.entries[0].whole_share), (10, 0.6));
        assert_eq!(sight.share, 0.6);
    }
}
