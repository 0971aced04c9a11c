//! Each thing that may be wrong, by the log-likelihood ratio of what was seen: that it is wrong, against that it is as ever.

use std::collections::BTreeMap;

use super::observed::{AskedMore, Calls, Growth, Here, Observed, Part, Pod, Times};
use crate::analyse::findings::Sign;
use crate::analyse::statistics::mathematics::{Share, ShareModel, log_sum_exp, share_changed, student3};
use crate::analyse::thresholds::change::LOAD_GROWTH_MIN;
use crate::analyse::thresholds::signs::*;
use crate::model::Text;

/// What may be wrong at a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// Its own time, or the wait before it takes a call, grew.
    Slow,
    /// Calls to it end without an answer.
    Vain,
    /// It turns calls away.
    Refused,
    /// It answers next to nothing any more.
    Gone,
    /// One pod differs from its siblings.
    OddPod,
    /// A new version is slow.
    SlowVersion,
    /// It is asked more for each request of its callers.
    AskedMore,
    /// Errors begin in it.
    Errors,
}

/// What may be wrong with the calls of one service to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    Longer,
    Failed,
    /// Next to all of them fail.
    AllFailed,
    More,
}

pub const AT: [At; 8] =
    [At::Slow, At::Vain, At::Refused, At::Gone, At::OddPod, At::SlowVersion, At::AskedMore, At::Errors];
pub const OF: [Of; 4] = [Of::Longer, Of::Failed, Of::AllFailed, Of::More];

impl At {
    /// As people are told of it.
    pub fn shown(self) -> Sign {
        match self {
            At::Slow => Sign::Slow,
            At::Vain | At::Refused | At::Gone => Sign::CallsFail,
            At::OddPod => Sign::OddPod,
            At::SlowVersion => Sign::NewVersion,
            At::AskedMore => Sign::AskedMore,
            At::Errors => Sign::Errors,
        }
    }
}

impl Of {
    pub fn shown(self) -> Sign {
        match self {
            Of::Longer => Sign::Slow,
            Of::Failed | Of::AllFailed => Sign::CallsFail,
            Of::More => Sign::AskedMore,
        }
    }
}

/// Log-likelihood ratios of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceSigns {
    pub at: [f64; AT.len()],
    /// Its own time grew, whatever it waited.
    pub own_time: f64,
    /// More requests come than it serves, as each waits longer than those before it.
    pub queue_grows: bool,
    /// More load than in healthy time.
    pub load: f64,
    /// The same, were each request of its callers to ask it as often as in healthy time.
    pub load_alone: f64,
    /// Its own load would fill it, were its callees as fast as ever.
    pub own_load: f64,
    /// It is slow at other pods than the slowest, too: None where there is one pod alone, or pods are not told apart.
    pub others_slow: Option<f64>,
    /// That each of its pods is the odd one.
    pub pods: BTreeMap<Text, f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CallSigns {
    pub of: [f64; OF.len()],
    pub is_peer: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signs {
    pub services: BTreeMap<Text, ServiceSigns>,
    /// By caller and callee.
    pub calls: BTreeMap<(Text, Text), CallSigns>,
}

/// That an amount grew as a fault makes it grow, against healthy drift (as `change::evidence` has it).
pub fn grown(growth: Growth) -> f64 {
    grown_by(growth, EFFECT)
}

/// The same of what grows by another factor.
fn grown_by(growth: Growth, effect: f64) -> f64 {
    let scale = (growth.variance + DRIFT * DRIFT).sqrt();
    // A fault slows: the density of the half that grows, with a soft edge at half a standard deviation.
    let grows = -(-(2.0 * growth.log / scale - 1.0).clamp(-30.0, 30.0)).exp().ln_1p();
    let fault = std::f64::consts::LN_2 + student3(growth.log, effect.hypot(scale)) + grows;
    bounded(fault - student3(growth.log, scale))
}

/// Requests queue and are worked on as fast as ever, while clearly more of them come: where each is served in its turn, a little
/// more than before is enough to fill a service.
fn queues_under(load: Growth, times: &Times) -> f64 {
    let own = times.own.or(times.own_mean).map_or(0.0, grown);
    let wait = times.wait.map_or(0.0, grown);
    let surely = load.log - load.variance.sqrt() > LOAD_GROWTH_MIN.ln();
    if surely && own < OWN_FLAT && wait > 0.0 { SEEN } else { -STRONGEST }
}

/// That a share of failures grew.
fn more_often(part: Part) -> f64 {
    let model = ShareModel { calls_max: SHARE_CALLS_MAX, jump: STRAY, prior: RARE };
    let (before, now) = (Share::new(part.healthy, part.healthy_all), Share::new(part.now, part.all));
    let log = share_changed(before, now, &model);
    let log = if now.value() > before.value() || log <= 0.0 { log } else { -log };
    bounded(log)
}

/// That nearly all calls fail and the callee takes none of them: a few say a little, and one that was taken that it is there.
fn all_failed(untaken: f64, all: f64) -> f64 {
    if all <= 0.0 {
        0.0
    } else if untaken > ALL_FAILED * all {
        SEEN * (untaken / ALL_FAILED_MIN).min(1.0)
    } else {
        NOT_SEEN
    }
}

/// What is either seen or not.
fn either(is_seen: bool) -> f64 {
    if is_seen { SEEN } else { NOT_SEEN }
}

fn mean(logs: &[f64]) -> f64 {
    log_sum_exp(logs) - (logs.len() as f64).ln()
}

fn bounded(log: f64) -> f64 {
    log.clamp(-STRONGEST, STRONGEST)
}

fn own_time(times: &Times) -> f64 {
    let own: Vec<f64> = [times.own, times.own_mean].into_iter().flatten().map(grown).collect();
    if own.is_empty() { 0.0 } else { mean(&own) }
}

/// Own time grew, or the wait, or both.
fn slow(times: &Times) -> f64 {
    let own = own_time(times);
    let wait = times.wait.map_or(0.0, grown);
    bounded(mean(&[own, wait, own + wait]))
}

/// That this one is the bad one among so many.
fn odd(pod: &Pod, pods: usize) -> f64 {
    let slower = pod.slower.map_or(0.0, |slower| {
        let beyond = Growth { log: slower.log - POD_GROWN, ..slower };
        // One request that took a hundred times as long is one request.
        grown(beyond).min(POD_REQUEST * pod.compared) - pod.siblings.map_or(0.0, grown).max(0.0)
    });
    let missing = pod.missing.min(POD_MISSING_MAX);
    let none = pod.slower.is_none() && missing <= 0.0;
    if none { 0.0 } else { (slower + missing - (pods as f64).ln()).clamp(NOT_SEEN, STRONGEST) }
}

impl ServiceSigns {
    pub fn of(here: &Here) -> ServiceSigns {
        // The first pod of a release is no bad pod among its siblings: the next one will be the same.
        let (new, old): (Vec<&Pod>, Vec<&Pod>) = here.pods.iter().partition(|pod| pod.new_version.is_some());
        let odd = |pod: &Pod| odd(pod, here.pods.len());
        let pods: BTreeMap<Text, f64> = old.into_iter().map(|pod| (pod.pod.clone(), odd(pod))).collect();
        let oddest = pods.values().copied().fold(NOT_SEEN, f64::max);
        let new = new.into_iter().map(odd).filter(|log| *log > 0.0).fold(NOT_SEEN, f64::max);
        let own_load = (here.own_share.max(1e-6) / OWN_SHARE).ln() / OWN_SHARE_SPREAD;
        let asked_more = here.asked_more.as_ref();
        let asked = |more: &AskedMore| SEEN * (more.by_caller / TWICE).clamp(ASKED_LEAST, 1.0);
        let asked_by = asked_more.map_or(0.0, |more| more.by_all);
        ServiceSigns {
            at: [
                slow(&here.times),
                more_often(here.vain),
                more_often(here.refused),
                either(here.is_gone),
                oddest,
                either(here.slow_version.is_some()).max(new.min(SEEN)),
                asked_more.map_or(NOT_SEEN, asked),
                more_often(here.errors),
            ],
            own_time: own_time(&here.times),
            queue_grows: here.queue_grows,
            others_slow: here.others.as_ref().map(slow),
            load: here.load.map_or(0.0, |load| grown_by(load, LOAD_EFFECT).max(queues_under(load, &here.times))),
            load_alone: here
                .load
                .map_or(0.0, |load| grown_by(Growth { log: load.log - asked_by, ..load }, LOAD_EFFECT)),
            own_load: bounded(own_load),
            pods,
        }
    }

    pub fn at(&self, at: At) -> f64 {
        self.at[at as usize]
    }
}

impl CallSigns {
    pub fn of(calls: &Calls) -> CallSigns {
        CallSigns {
            of: [
                calls.longer.map_or(0.0, grown),
                more_often(calls.failed),
                all_failed(calls.untaken, calls.failed.all),
                calls.more.map_or(0.0, grown),
            ],
            is_peer: calls.is_peer,
        }
    }
}

impl Signs {
    pub fn of(observed: &Observed) -> Signs {
        let services = observed.services.iter().map(|(name, here)| (name.clone(), ServiceSigns::of(here)));
        let calls = observed.calls.iter().map(|(pair, calls)| (pair.clone(), CallSigns::of(calls)));
        Signs { services: services.collect(), calls: calls.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(factor: f64, variance: f64) -> Option<Growth> {
        Some(Growth { log: factor.ln(), variance })
    }

    #[test]
    fn what_grew_by_a_third_says_nothing_and_what_doubled_does() {
        let log = |factor, variance| grown(growth(factor, variance).expect("some"));
        assert!(log(1.0, 0.01) < -2.0, "as ever");
        assert!(log(1.3, 0.01).abs() < 1.5);
        assert!(log(2.0, 0.01) > 1.5 && log(20.0, 0.01) > 4.0);
        assert!(log(2.0, 1.0) < 1.0, "of one request");
        assert!(log(0.2, 0.01) < -2.0, "quicker than ever");
    }

    #[test]
    fn failures_are_held_against_those_of_healthy_time() {
        let part = |now, all, healthy| Part { now, all, healthy, healthy_all: 1_000.0 };
        assert!(more_often(part(0.0, 100.0, 0.0)) < 0.0);
        assert!(more_often(part(1.0, 300.0, 3.0)) < 1.0, "as many as ever");
        assert!(more_often(part(30.0, 100.0, 3.0)) > 5.0);
        assert!(more_often(part(0.0, 100.0, 500.0)) < 0.0, "fewer are no fault");
    }

    #[test]
    fn calls_that_fail_after_they_were_taken_show_that_the_callee_is_there() {
        assert_eq!(all_failed(20.0, 20.0), SEEN);
        assert_eq!(all_failed(0.0, 20.0), NOT_SEEN, "all given up, and all taken late");
        assert!(all_failed(1.0, 1.0) > 0.0 && all_failed(1.0, 1.0) < SEEN, "one call says a little");
        assert_eq!(all_failed(0.0, 0.0), 0.0);
    }

    #[test]
    fn a_pod_is_accused_by_many_of_its_requests_and_not_by_one() {
        let pod = |compared, slower, variance| {
            let siblings = growth(1.0, 0.01);
            Pod { compared, slower: growth(slower, variance), siblings, ..Pod::default() }
        };
        assert!(odd(&pod(30.0, 8.0, 0.02), 3) > 3.0);
        assert!(
            odd(&pod(1.0, 100.0, 0.3), 3) < 1.0,
            "one took a hundred times as long, as where a child's span came late"
        );
        assert!(odd(&pod(30.0, 1.3, 0.02), 3) < 0.0, "some pod is always the slowest");
        let queue = Pod { siblings: growth(8.0, 0.01), ..pod(30.0, 3.0, 0.02) };
        assert!(odd(&queue, 3) < 0.0, "all are slow");
        let mute = Pod { missing: 20.0, ..Pod::default() };
        assert!(odd(&mute, 3) > 2.0, "it should have served twenty");
    }
}
