//! From what ticks close to rows by the minute. Event time alone says which minute a request is of: those of a trace that closes late
//! are written with the next minute, as a row of the one they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::MINUTE_S;
use super::tables::{Of, Rows};
use crate::analyse::rollup::{CrossingKey, EntryKey, HealthKey, Rollups};
use crate::engine::Closed;
use crate::model::Time;

/// Names of one table that are told apart in what is written at once: those of a large system. What comes past it is `_other`, so that
/// names which are never the same fill no memory and no store.
const NAMES_MAX: [usize; 4] = [2_000, 2_000, 20_000, 1];

const OTHER: &str = "_other";

/// Telemetry is complete to a moment by some seconds after it. A step that is longer is of a clock or of a process that stood still:
/// nobody saw what came meanwhile.
const STRETCH_MAX: Duration = Duration::from_secs(60);

/// A minute is written when telemetry is complete to its end, or so long after it, where no telemetry comes.
const PATIENCE: Duration = Duration::from_secs(15);

/// A request that is further from now than this is misdated, or of a sender that was away for long: each day is a file of its own.
const AWAY_MAX_S: u64 = 86_400;

/// Pods of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Replicas {
    pub service: Box<str>,
    pub replicas: u32,
    pub ready: u32,
}

/// What a tick tells.
#[derive(Clone, Debug)]
pub struct Seen {
    pub now: Time,
    /// Event time up to which telemetry is complete; None while nothing is known of now.
    pub complete_to: Option<Time>,
    pub closed: Vec<Closed>,
    pub replicas: Vec<Replicas>,
}

/// Rows that are not written yet.
#[derive(Debug, Default)]
pub struct Minutes {
    tables: [Rows; 4],
    names: [BTreeSet<Vec<Box<str>>>; 4],
    now_s: i64,
    complete_to: Option<Time>,
    /// The minute that it was at when rows were last taken.
    taken_at: Option<i64>,
}

impl Minutes {
    pub fn add(&mut self, seen: &Seen) {
        self.now_s = seen.now.second();
        self.watch(seen);
        seen.closed.iter().for_each(|closed| self.close(&closed.rollups));
    }

    fn row(&mut self, of: Of, second: i64, names: &[&str], sums: &[f64]) {
        if second.abs_diff(self.now_s) > AWAY_MAX_S {
            return;
        }
        let known = &mut self.names[of as usize];
        let key: Vec<Box<str>> = names.iter().map(|name| Box::from(*name)).collect();
        let has_room = known.contains(&key) || known.len() < NAMES_MAX[of as usize] && known.insert(key);
        let other = [OTHER; 2];
        let names = if has_room { names } else { &other[..names.len()] };
        self.tables[of as usize].add(second, MINUTE_S, names, sums);
    }

    /// The stretch of time that became complete since the tick before.
    fn watch(&mut self, seen: &Seen) {
        let before = std::mem::replace(&mut self.complete_to, seen.complete_to);
        let (Some(from), Some(until)) = (before, seen.complete_to) else { return };
        if until <= from || until > from + STRETCH_MAX {
            return;
        }
        let mut from = from;
        while from < until {
            let minute = from.second().div_euclid(MINUTE_S) * MINUTE_S;
            let end = until.min(Time::from_secs(minute + MINUTE_S));
            let watched_s = end.seconds_since(from);
            self.row(Of::Watch, minute, &[], &[watched_s]);
            for Replicas { service, replicas, ready } in &seen.replicas {
                let mut sums = [0.0; Of::Services.sums().len()];
                let [.., replica_s, ready_s] = &mut sums;
                (*replica_s, *ready_s) = (f64::from(*replicas) * watched_s, f64::from(*ready) * watched_s);
                self.row(Of::Services, minute, &[service], &sums);
            }
            from = end;
        }
    }

    fn close(&mut self, rollups: &Rollups) {
        // Requests that those seen stand for, by entry operation: what they ask of services is counted as seen.
        let mut weights: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for (EntryKey { second, entry, .. }, sums) in rollups.rows::<EntryKey<&str>>() {
            let requests = sums.requests as f64;
            let stands_for = if sums.adjusted_milli > 0 { sums.adjusted_milli as f64 / 1e3 } else { requests };
            let weight = if requests > 0.0 { stands_for / requests } else { 1.0 };
            let of_seen = [sums.errors, sums.slow, sums.missed].map(|seen| seen as f64 * weight);
            let [errors, slow, missed] = of_seen;
            self.row(
                Of::Entries,
                second,
                &[entry],
                &[stands_for, errors, slow, missed, seconds(sums.duration_ns, weight)],
            );
            let (all, seen) = weights.entry(entry).or_default();
            (*all, *seen) = (*all + stands_for, *seen + requests);
        }
        for (HealthKey { second, service, .. }, sums) in rollups.rows::<HealthKey<&str>>() {
            let weight = sums.weight();
            let counts = [sums.requests, sums.errors, sums.refused, sums.gave_up].map(|seen| seen as f64 * weight);
            let [requests, errors, refused, gave_up] = counts;
            let [busy, own, waiting] = [sums.hold_ns, sums.own_ns, sums.wait_ns].map(|ns| seconds(ns, weight));
            let arrivals = requests + refused + gave_up;
            let sums = [arrivals, requests, errors, refused, gave_up, busy, own, waiting, 0.0, 0.0];
            self.row(Of::Services, second, &[service], &sums);
        }
        for (CrossingKey { second, entry, service }, sums) in rollups.rows::<CrossingKey<&str>>() {
            let weight = weights.get(entry).filter(|(_, seen)| *seen > 0.0).map_or(1.0, |(all, seen)| all / seen);
            self.row(
                Of::Crossings,
                second,
                &[entry, service],
                &[sums.calls as f64 * weight, seconds(sums.work_ns, weight)],
            );
        }
    }

    /// What is to be written now, once in a minute.
    pub fn take(&mut self, now: Time) -> Option<[Rows; 4]> {
        let past = Time(now.0.saturating_sub(PATIENCE.as_nanos() as i64)); // some seconds
        let at = self.complete_to.map_or(past, |complete_to| complete_to.max(past)).second().div_euclid(MINUTE_S);
        let before = self.taken_at.replace(at);
        if before.is_none_or(|before| before == at) { None } else { self.take_all() }
    }

    /// What is left, at the end.
    pub fn take_all(&mut self) -> Option<[Rows; 4]> {
        self.names = Default::default();
        let tables = std::mem::take(&mut self.tables);
        tables.iter().any(|rows| !rows.is_empty()).then_some(tables)
    }
}

fn seconds(nanos: i64, weight: f64) -> f64 {
    nanos as f64 / 1e9 * weight
}
