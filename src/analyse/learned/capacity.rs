//! What one pod can do, as a distribution, and how many pods a load needs.

use std::collections::BTreeMap;

use super::snapshot::Learnt;
use crate::analyse::statistics::interval::Interval;
use crate::model::{ClockStep, Text};

/// What is left of what was learnt, with each busy second more: ten seconds tell, and a changed mix of requests is followed.
const FADE: f64 = 0.9;
/// Standard deviation of the logarithm that no number of seconds takes away: mixes of requests and pods differ.
const SPREAD_MIN: f64 = 0.05;
/// … of what was no more than shown to be possible: a pod may do a good deal more.
const SPREAD_UNTRIED: f64 = 0.25;
/// Pod-seconds that a capacity of an older snapshot stands for, which does not tell: two pods for three seconds.
const POD_SECONDS_UNTOLD: f64 = 6.0;

/// A pod too many is idle until it is given back: five minutes of stabilisation.
const TOO_MANY_IDLE_S: f64 = 300.0;
/// A pod too few is missed until the next order: the cooldown of a rule, the seconds by which telemetry lags, and those in which
/// an estimate follows a load that it was too low for.
const TOO_FEW_MISSED_S: f64 = 10.0;
/// Seconds of an idle pod that one second of a missed one is worth. Requests that wait or fail in it are what headroom is
/// for, yet the pods of a service are seldom a hundred times cheaper than its users' patience.
const MISSED_OVER_IDLE: f64 = 60.0;

/// The quantile of the need that costs least in the mean: a little above its median.
fn quantile_to_order() -> f64 {
    let too_few = MISSED_OVER_IDLE * TOO_FEW_MISSED_S;
    too_few / (too_few + TOO_MANY_IDLE_S)
}

/// A second in which all pods were busy from its beginning to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Busy {
    pub second: i64,
    pub pods: f64,
    /// Requests that they answered, those that a sampler left out among them, and those that they would have answered
    /// were their callees as fast as ever.
    pub requests: f64,
}

/// A service that has at least as much work as it can do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AtWork {
    pub busy: Vec<Busy>,
    /// What a pod does at least, because it did: requests a second.
    pub at_least_per_s: f64,
    /// … and at most, where it was busy for long enough.
    pub at_most_per_s: Option<f64>,
    /// Uncontended time of a request, in seconds.
    pub service_s: f64,
}

/// What pods of a service can do.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(in crate::analyse) struct Capacity {
    /// Requests a second that a warm pod sustains; the median.
    per_pod_per_s: f64,
    /// Uncontended time of a request, in seconds.
    service_s: f64,
    /// Seconds of busy pods that it was learnt of; none where it is only what was shown to be possible.
    #[serde(default = "untold")]
    pod_seconds: f64,
}

fn untold() -> f64 {
    POD_SECONDS_UNTOLD
}

impl Capacity {
    /// Standard deviation of the logarithm: chance in what was counted, and what stays unknown whatever is counted.
    fn spread(&self) -> f64 {
        if self.pod_seconds == 0.0 {
            return SPREAD_UNTRIED;
        }
        (1.0 / (self.per_pod_per_s * self.pod_seconds).max(1.0) + SPREAD_MIN * SPREAD_MIN).sqrt()
    }

    fn learn(&mut self, at_work: &AtWork, from_second: i64) {
        for busy in at_work.busy.iter().filter(|busy| busy.second >= from_second) {
            let known = self.pod_seconds * FADE;
            let all = known + busy.pods;
            self.per_pod_per_s = (self.per_pod_per_s * known + busy.requests) / all;
            self.service_s = (self.service_s * known + at_work.service_s * busy.pods) / all;
            self.pod_seconds = all;
        }
        if self.per_pod_per_s < at_work.at_least_per_s {
            self.per_pod_per_s = at_work.at_least_per_s;
        }
        // Another mix of requests, or a guess from the time before pods were busy.
        if let Some(at_most_per_s) = at_work.at_most_per_s.filter(|most| *most > 0.0 && *most < self.per_pod_per_s) {
            self.per_pod_per_s = at_most_per_s;
        }
    }

    /// Pods for a load: to a target utilisation, and never without the square-root margin that keeps waiting rare in
    /// small pools (A. K. Erlang's observation; W. Whitt, "Understanding the efficiency of multi-server service systems",
    /// 1992).
    fn pods(&self, arrivals_per_s: f64, per_pod_per_s: f64, target_utilisation: f64) -> f64 {
        let offered = arrivals_per_s * self.service_s; // Erlangs, by Little's law
        let sustained = per_pod_per_s * self.service_s; // Erlangs a pod carries
        let by_utilisation = offered / (sustained * target_utilisation);
        let by_margin = (offered + offered.sqrt()) / sustained;
        by_utilisation.max(by_margin)
    }
}

/// Replicas that a load needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// What is surely needed: one time in ten it is less.
    pub low: u32,
    /// What is likely needed: it is less as often as it is more than what to order.
    pub likely: u32,
    /// What to order: a wrong guess costs least there.
    pub replicas: u32,
}

/// Standard normal deviations that one in ten lies beyond.
const ONE_IN_TEN: f64 = 1.28;

#[derive(Clone, Debug, Default)]
pub struct Capacities {
    /// With the first second that is not learnt of yet.
    known: BTreeMap<Text, (Capacity, i64)>,
}

impl Capacities {
    /// Learns from a service that has as much work as it can do, or more. A second is learnt of once.
    pub fn learn(&mut self, service: &Text, at_work: &AtWork) {
        let unknown = Capacity { per_pod_per_s: 0.0, service_s: at_work.service_s, pod_seconds: 0.0 };
        let (capacity, from_second) = self.known.entry(service.clone()).or_insert((unknown, i64::MIN));
        capacity.learn(at_work, *from_second);
        let next = at_work.busy.iter().map(|busy| busy.second + 1).max();
        *from_second = next.unwrap_or(*from_second).max(*from_second);
    }

    pub fn keep(&self, learnt: &mut Learnt) {
        for (service, (capacity, _)) in &self.known {
            learnt.services.entry(service.to_string()).or_default().capacity = Some(*capacity);
        }
    }

    /// Takes over what is not known here.
    pub fn restore(&mut self, learnt: &Learnt) {
        // A number that is none, or none that a pod could sustain, would ask for any number of replicas.
        let usable = |c: &Capacity| {
            c.per_pod_per_s > 0.0
                && c.service_s > 0.0
                && c.pod_seconds >= 0.0
                && (c.per_pod_per_s + c.service_s + c.pod_seconds).is_finite()
        };
        for (service, kept) in &learnt.services {
            if let Some(capacity) = kept.capacity.filter(usable) {
                self.known.entry(service.as_str().into()).or_insert((capacity, i64::MIN));
            }
        }
    }

    /// All clocks stepped: seconds that were learnt of bear other numbers now.
    pub fn step_clock(&mut self, step: ClockStep) {
        for (_, from_second) in self.known.values_mut().filter(|(_, from)| *from > i64::MIN) {
            *from_second = step.second(*from_second);
        }
    }

    fn of(&self, service: &str) -> Option<&Capacity> {
        self.known.get(service).map(|(capacity, _)| capacity).filter(|capacity| capacity.per_pod_per_s > 0.0)
    }

    pub fn per_pod(&self, service: &str) -> Option<f64> {
        self.of(service).map(|capacity| capacity.per_pod_per_s)
    }

    /// Whether it was learnt of seconds in which its pods were busy, and is no mere guess.
    pub fn is_tried(&self, service: &str) -> bool {
        self.of(service).is_some_and(|capacity| capacity.pod_seconds > 0.0)
    }

    /// Replicas for a load. None where nothing was learnt of what its pods can do.
    pub fn need(&self, service: &str, load: Interval, target_utilisation: f64) -> Option<Need> {
        let capacity = self.of(service)?;
        let pods = |load: f64, per_pod: f64| capacity.pods(load, per_pod, target_utilisation);
        let ceil = |pods: f64| pods.ceil().max(1.0) as u32;
        let per_pod = capacity.per_pod_per_s;
        let spread = capacity.spread().hypot(load.spread());
        let off = |spread: f64| (deviations(quantile_to_order()) * spread).exp();
        let middle = pods(load.middle, per_pod);
        // What a pod was seen to do it does at least: it may only be more.
        let of_more = if capacity.pod_seconds > 0.0 { spread } else { load.spread() };
        let aim = middle * off(of_more);
        let low = pods(load.low, per_pod * (ONE_IN_TEN * capacity.spread()).exp());
        Some(Need { low: ceil(low).min(ceil(aim)), likely: ceil(middle / off(spread)), replicas: ceil(aim) })
    }
}

/// Standard normal deviations of a quantile near one half, to a hundredth (the first terms of the series).
fn deviations(quantile: f64) -> f64 {
    let x = (quantile - 0.5) * std::f64::consts::TAU.sqrt();
    x + x.powi(3) / 6.0
}

#[cfg(test)]
mod tests;
