//! How long the pods of each service are slower than they will be, from Ready on: caches, compilers, pools of connections.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::snapshot::Learnt;
use crate::model::{ServiceId, Text};

/// Of a service of which no pod was seen to warm up.
const USUAL: Duration = Duration::from_secs(10);
/// Pods that are slow for longer than this after Ready do not warm up: they are slow.
pub const LONGEST: Duration = Duration::from_secs(90);
/// Own work that takes this many times that of older pods is that of a cold pod. The simulator's and our own services
/// begin at twice; noise of some requests stays below.
const COLD: f64 = 1.4;
/// Looks in a row that find it as fast as the others, until it counts as warm: one may be luck.
const LOOKS: u32 = 3;
/// The last so many pods of a service: releases change what is slow at first.
const KEPT: usize = 32;
/// Pods that were slow beyond what is known, until all young pods are given as long: one is slow by itself.
const ALIKE: usize = 2;

/// A pod beside older ones of its service, over the last seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct YoungPod {
    pub pod: Text,
    /// Since it was Ready.
    pub age: Duration,
    /// Own time of its requests over that of the others.
    pub slowness: f64,
}

/// A pod on its way.
#[derive(Clone, Copy, Debug, Default)]
struct Course {
    /// The age at which it was last seen slow.
    cold_to: Duration,
    fast_looks: u32,
}

#[derive(Debug, Default)]
struct Known {
    courses: BTreeMap<Text, Course>,
    took_ms: VecDeque<i64>,
}

#[derive(Debug, Default)]
pub struct WarmUps(BTreeMap<ServiceId, Known>);

impl WarmUps {
    /// Learns from all young pods of a service that can be told from the others now.
    pub fn learn(&mut self, service: &ServiceId, young: &[YoungPod]) {
        let known = self.0.entry(service.clone()).or_default();
        for YoungPod { pod, age, slowness } in young {
            let course = known.courses.entry(pod.clone()).or_default();
            if *slowness > COLD {
                *course = Course { cold_to: *age, fast_looks: 0 };
                continue;
            }
            course.fast_looks += 1;
            if course.fast_looks == LOOKS && course.cold_to < LONGEST {
                known.took_ms.push_back(course.cold_to.as_millis() as i64);
                if known.took_ms.len() > KEPT {
                    known.took_ms.pop_front();
                }
            }
        }
    }

    /// Forgets the courses of pods that are gone.
    pub fn forget_pods(&mut self, is_gone: impl Fn(&ServiceId, &str) -> bool) {
        for (service, known) in &mut self.0 {
            known.courses.retain(|pod, _| !is_gone(service, pod));
        }
    }

    /// After Ready a pod counts as cold for so long. Longer than is known, while several young pods are still slow.
    pub fn of(&self, service: &ServiceId) -> Duration {
        let Some(known) = self.0.get(service) else { return USUAL };
        let usual = known.p95().unwrap_or(USUAL);
        let cold = known.courses.values().filter(|course| course.fast_looks == 0);
        let mut overdue: Vec<Duration> = cold.map(|course| course.cold_to).filter(|age| *age >= usual).collect();
        overdue.sort_unstable();
        match overdue.last() {
            // The next look comes a tick later.
            Some(oldest) if overdue.len() >= ALIKE => (*oldest + Duration::from_secs(2)).min(LONGEST),
            _ => usual,
        }
    }

    pub fn keep(&self, learnt: &mut Learnt) {
        for (service, known) in self.0.iter().filter(|(_, known)| !known.took_ms.is_empty()) {
            learnt.services.entry(service.to_string()).or_default().warm_ups_ms =
                known.took_ms.iter().copied().collect();
        }
    }

    pub fn restore(&mut self, learnt: &Learnt) {
        for (service, kept) in learnt.services.iter().filter(|(_, kept)| !kept.warm_ups_ms.is_empty()) {
            let known = self.0.entry(ServiceId::from(service.as_str())).or_default();
            if known.took_ms.is_empty() {
                let usable = |ms: &i64| (0..=LONGEST.as_millis() as i64).contains(ms);
                let kept: Vec<i64> = kept.warm_ups_ms.iter().copied().filter(usable).collect();
                known.took_ms.extend(&kept[kept.len().saturating_sub(KEPT)..]);
            }
        }
    }
}

impl Known {
    /// What 95 of 100 pods took; None until two were seen, as one says little of the next.
    fn p95(&self) -> Option<Duration> {
        let mut sorted: Vec<i64> = self.took_ms.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() as f64 * 0.95).ceil() as usize;
        let took = sorted.get(rank.max(1) - 1).filter(|_| sorted.len() >= ALIKE);
        // A second more: a look sees the seconds before it.
        took.map(|ms| Duration::from_millis(*ms as u64) + Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "store";

    fn look(warm_ups: &mut WarmUps, age_s: u64, pods: &[(&str, f64)]) {
        let young = |(pod, slowness): &(&str, f64)| YoungPod {
            pod: (*pod).into(),
            age: Duration::from_secs(age_s),
            slowness: *slowness,
        };
        warm_ups.learn(&SERVICE.into(), &pods.iter().map(young).collect::<Vec<_>>());
    }

    /// Pods that are slow for so long.
    fn warmed(cold_s: u64, pods: &[&str]) -> WarmUps {
        let mut warm_ups = WarmUps::default();
        for age_s in 1..cold_s + 8 {
            let slowness = if age_s <= cold_s { 5.0 } else { 1.1 };
            look(&mut warm_ups, age_s, &pods.iter().map(|pod| (*pod, slowness)).collect::<Vec<_>>());
        }
        warm_ups
    }

    fn of(warm_ups: &WarmUps) -> u64 {
        warm_ups.of(&SERVICE.into()).as_secs()
    }

    #[test]
    fn pods_are_given_as_long_as_others_of_their_service_took() {
        assert_eq!(of(&WarmUps::default()), 10);
        assert_eq!(of(&warmed(40, &["a", "b", "c"])), 41);
        assert_eq!(of(&warmed(2, &["a", "b"])), 3);
        assert_eq!(of(&warmed(40, &["a"])), 10, "one says little of the next");
    }

    #[test]
    fn while_several_are_still_slow_none_of_them_is_bad() {
        let mut warm_ups = WarmUps::default();
        for age_s in 1..30 {
            look(&mut warm_ups, age_s, &[("a", 5.0), ("b", 4.0)]);
        }
        assert_eq!(of(&warm_ups), 31);
        for age_s in 1..200 {
            look(&mut warm_ups, age_s, &[("a", 5.0), ("b", 4.0)]);
        }
        assert_eq!(of(&warm_ups), LONGEST.as_secs(), "at some time they are slow");
    }

    #[test]
    fn one_slow_pod_is_given_no_longer() {
        let mut warm_ups = WarmUps::default();
        for age_s in 1..30 {
            look(&mut warm_ups, age_s, &[("a", 5.0), ("b", 1.0)]);
        }
        assert_eq!(of(&warm_ups), 10);
    }

    #[test]
    fn what_was_learnt_is_kept() {
        let before = warmed(40, &["a", "b", "c"]);
        let mut learnt = Learnt::default();
        before.keep(&mut learnt);
        let mut after = WarmUps::default();
        after.restore(&learnt);
        assert_eq!(of(&after), 41);
        learnt.services.entry(SERVICE.into()).or_default().warm_ups_ms = vec![-5, i64::MAX];
        let mut after = WarmUps::default();
        after.restore(&learnt);
        assert_eq!(of(&after), 10, "no pod takes so long");
    }

    #[test]
    fn pods_that_are_gone_are_forgotten() {
        let mut warm_ups = warmed(40, &["a", "b"]);
        warm_ups.forget_pods(|_, pod| pod == "a");
        assert_eq!(warm_ups.0[&ServiceId::from(SERVICE)].courses.len(), 1);
    }
}
