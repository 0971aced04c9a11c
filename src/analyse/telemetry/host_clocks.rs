//! Hosts whose clocks are off, found by the calls between them and their neighbours.
//!
//! Within a trace, hosts that differ are moved beside those that agree (`trace/clock_anchor.rs`). What is left to do is what
//! one trace cannot: to correct a host's spans before they are called late, and to tell people. A host whose clock is off by
//! about the same in all of its traces is corrected, up to ten minutes. One that differs from trace to trace is no host but
//! many, such as phones; its times, and those of a clock that is off by more, are not used for anything that needs them.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::analyse::thresholds::clocks::{
    CORRECTED_NS_MAX, FORGET, LASTING, OFF_NS, SAMPLES_MAX, SAMPLES_MIN, SETTLE, SILENCE, SPREAD_NS,
};
use crate::analyse::thresholds::memory::CLOCK_HOSTS_MAX;
use crate::model::{ClockStep, Text, Time};

/// A service and its pod, or the service alone where its spans name no pod.
pub type Host = [Text; 2];

/// What is done about a host's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockState {
    /// Its spans are moved by how far it is off.
    Corrected,
    /// Off by more than ten minutes: its times are not used.
    FarOff,
    /// Off by another time in each trace: the clocks of many devices.
    Varying,
}

/// A host whose clock is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostClock {
    pub service: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pod: String,
    pub state: ClockState,
    /// Seconds ahead of its neighbours; behind, where negative. Of varying ones the middle.
    pub ahead_s: f64,
}

#[derive(Clone, Debug)]
struct Known {
    found: Option<(ClockState, i64)>,
    changed_at: Time,
    /// The first of the samples, and the last.
    sampled_since: Time,
    sampled_at: Time,
    samples: VecDeque<i64>,
}

impl Known {
    fn applied_ns(&self) -> i64 {
        match self.found {
            Some((ClockState::Corrected, ahead_ns)) => ahead_ns,
            Some((ClockState::FarOff | ClockState::Varying, _)) | None => 0,
        }
    }

    /// Looks at the samples anew; returns whether what is done about the clock changes.
    fn settle(&mut self, now: Time) -> bool {
        if self.samples.len() < SAMPLES_MIN || now < self.sampled_since + LASTING {
            return false;
        }
        let mut sorted: Vec<i64> = self.samples.iter().copied().collect();
        sorted.sort_unstable();
        let at = |tenth: usize| sorted[(sorted.len() - 1) * tenth / 10];
        let ahead_ns = self.applied_ns().saturating_add(at(5));
        let found = if at(9).saturating_sub(at(1)) > SPREAD_NS {
            Some((ClockState::Varying, ahead_ns))
        } else if ahead_ns.abs() <= OFF_NS {
            None
        } else if ahead_ns.abs() <= CORRECTED_NS_MAX {
            Some((ClockState::Corrected, ahead_ns))
        } else {
            Some((ClockState::FarOff, ahead_ns))
        };
        let is_new = match (self.found, found) {
            (None, None) => false,
            (Some((before, from)), Some((after, to))) => before != after || from.abs_diff(to) > OFF_NS as u64,
            _ => true,
        };
        if is_new {
            (self.found, self.changed_at) = (found, now);
            self.samples.clear();
        }
        is_new
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct HostClocks {
    version: u64,
    hosts: BTreeMap<Host, Known>,
}

impl HostClocks {
    /// Learns how far hosts were ahead in the traces of a tick, in nanoseconds, as their spans were corrected then.
    pub fn learn(&mut self, now: Time, samples: BTreeMap<Host, Vec<i64>>) {
        let mut changed = false;
        for (host, ahead) in samples {
            if self.hosts.len() >= CLOCK_HOSTS_MAX && !self.hosts.contains_key(&host) {
                continue;
            }
            let new = || Known {
                found: None,
                changed_at: Time::MIN,
                sampled_since: now,
                sampled_at: now,
                samples: VecDeque::new(),
            };
            let known = self.hosts.entry(host).or_insert_with(new);
            if now < known.changed_at + SETTLE {
                continue;
            }
            if known.samples.is_empty() || known.sampled_at + SILENCE < now {
                known.samples.clear();
                known.sampled_since = now;
            }
            known.sampled_at = now;
            known.samples.extend(ahead);
            let surplus = known.samples.len().saturating_sub(SAMPLES_MAX);
            known.samples.drain(..surplus);
            changed |= known.settle(now);
        }
        let before = self.hosts.len();
        // A clock that is corrected shows no difference any more.
        self.hosts.retain(|_, known| known.applied_ns() != 0 || known.sampled_at + FORGET > now);
        self.version += u64::from(changed || self.hosts.len() != before);
    }

    /// What is done about the clocks that are off: host, state, and nanoseconds ahead.
    pub fn found(&self) -> impl Iterator<Item = (&Host, ClockState, i64)> {
        self.hosts.iter().filter_map(|(host, known)| known.found.map(|(state, ahead_ns)| (host, state, ahead_ns)))
    }

    /// The same, for people.
    pub fn told(&self) -> Vec<HostClock> {
        let tell = |([service, pod], state, ahead_ns): (&Host, ClockState, i64)| HostClock {
            service: service.to_string(),
            pod: pod.to_string(),
            state,
            ahead_s: (ahead_ns as f64 / 1e8).round() / 10.0,
        };
        self.found().map(tell).collect()
    }

    /// Changes with what is done about any clock.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        for known in self.hosts.values_mut() {
            step.move_all([&mut known.changed_at, &mut known.sampled_since, &mut known.sampled_at]);
            // Those of traces that were under way tell of the step.
            known.samples.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn host() -> Host {
        ["orders", "orders-1"].map(Text::from)
    }

    /// What is found after so many seconds with five traces each, in which the host is ahead by this many seconds, less what
    /// it is corrected by.
    fn after(seconds: i64, ahead_s: impl Fn(i64, i64) -> f64) -> Vec<HostClock> {
        let mut clocks = HostClocks::default();
        for second in 0..seconds {
            let corrected = clocks.found().find(|(_, state, _)| *state == ClockState::Corrected).map_or(0, |f| f.2);
            let ahead = |n: i64| (ahead_s(second, n) * S as f64) as i64 - corrected;
            let samples: Vec<i64> = (0..5).map(ahead).filter(|ahead| ahead.abs() > OFF_NS).collect();
            let samples = if samples.is_empty() { BTreeMap::new() } else { BTreeMap::from([(host(), samples)]) };
            clocks.learn(Time::from_secs(second), samples);
        }
        clocks.told()
    }

    fn states(found: &[HostClock]) -> Vec<(ClockState, f64)> {
        found.iter().map(|one| (one.state, one.ahead_s.round())).collect()
    }

    #[test]
    fn a_steady_offset_is_corrected_within_seconds_and_stays() {
        for seconds in [6, 30, 2_000] {
            assert_eq!(states(&after(seconds, |_, n| 120.0 + n as f64 / 10.0)), [(ClockState::Corrected, 120.0)]);
        }
        assert_eq!(states(&after(30, |_, _| -590.0)), [(ClockState::Corrected, -590.0)]);
    }

    #[test]
    fn more_than_ten_minutes_is_told_and_not_used() {
        assert_eq!(states(&after(30, |_, _| 3_600.0)), [(ClockState::FarOff, 3600.0)]);
    }

    #[test]
    fn phones_are_many_clocks() {
        assert_eq!(after(30, |second, n| ((second * 5 + n) * 7919 % 7200 - 3600) as f64)[0].state, ClockState::Varying);
    }

    #[test]
    fn traces_that_were_under_way_when_all_clocks_were_set_correct_none() {
        assert_eq!(after(60, |second, _| if (20..22).contains(&second) { -5.0 } else { 0.0 }), []);
    }

    #[test]
    fn a_clock_that_is_set_right_is_no_longer_corrected() {
        assert_eq!(after(60, |second, _| if second < 20 { 30.0 } else { 0.0 }), []);
    }

    #[test]
    fn a_clock_that_is_set_anew_is_corrected_anew() {
        let found = after(60, |second, _| if second < 20 { 30.0 } else { -5.0 });
        assert_eq!(states(&found), [(ClockState::Corrected, -5.0)]);
    }
}
