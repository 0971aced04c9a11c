//! Requests of each service by the second in which they began, as far as they have ended.
//!
//! A queue that is worked off ends more requests a second than come, and one that grows ends fewer; what began is neither. It
//! is known late, once those that began then have ended; only the growth that is carried on to now can be too high. More
//! replicas while those that were ordered are still coming are asked for what is known, not for what is estimated.

use std::collections::BTreeMap;

use crate::analyse::rollup::{DurationKey, Rollups};
use crate::analyse::statistics::eviction::NAMES_MAX;
use crate::analyse::statistics::histogram::upper_ns;
use crate::analyse::statistics::trend::{Stretches, trend_per_s2};
use crate::analyse::thresholds::load::arrivals::FIT_SECONDS;
use crate::analyse::thresholds::load::begun::{KEPT_SECONDS, STRETCH_SECONDS};
use crate::model::Text;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Begun {
    services: BTreeMap<Text, BTreeMap<i64, i64>>,
}

impl Begun {
    pub fn learn(&mut self, rollups: &[Rollups]) {
        for (DurationKey { second, service, bucket }, sums) in
            rollups.iter().flat_map(Rollups::rows::<DurationKey<&str>>)
        {
            let names = self.services.len();
            let seconds = match self.services.get_mut(service) {
                Some(seconds) => seconds,
                None if names >= NAMES_MAX => continue,
                None => self.services.entry(service.into()).or_default(),
            };
            // It ended somewhere in its second, and took so long at most.
            let took_s = upper_ns(bucket) as f64 / 1e9;
            let began = (second as f64 + 0.5 - took_s).floor() as i64;
            *seconds.entry(began).or_default() += sums.requests;
        }
    }

    /// Forgets what lies far before the first second that is not complete.
    pub fn evict(&mut self, until: i64) {
        for seconds in self.services.values_mut() {
            *seconds = seconds.split_off(&(until - KEPT_SECONDS));
        }
        self.services.retain(|_, seconds| !seconds.is_empty());
    }

    /// Requests a second that are known to come to a service, carried on to now where they clearly grew. `until` is the first
    /// second that is not complete, and nearly all requests have ended `lag_s` after they began: callers that give up do so
    /// about then, `turned_away` in each second with those that were refused. None where too little is known.
    pub fn per_s(&self, service: &str, until: i64, lag_s: f64, turned_away: impl Fn(i64) -> i64) -> Option<f64> {
        let seconds = self.services.get(service)?;
        let lag = lag_s.ceil() as i64;
        let known_to = until - lag;
        let in_second = |second: i64| (seconds.get(&second).copied().unwrap_or(0) + turned_away(second + lag)) as f64;
        let mean = |to: i64| (to - STRETCH_SECONDS..to).map(in_second).sum::<f64>() / STRETCH_SECONDS as f64;
        let is_kept = seconds.first_key_value().is_some_and(|(first, _)| *first <= known_to - 2 * STRETCH_SECONDS);
        let (last, before) = (mean(known_to), mean(known_to - STRETCH_SECONDS));
        // No further than a slope is fitted to: a load that grew so long ago may have long ceased to.
        let ahead_s = ((until - known_to) as f64 + STRETCH_SECONDS as f64 / 2.0).min(FIT_SECONDS as f64);
        let within = (in_second(known_to - 1) - in_second(known_to - STRETCH_SECONDS)) / (STRETCH_SECONDS - 1) as f64;
        let seconds = STRETCH_SECONDS as f64;
        let rates = Stretches { before_per_s: before, now_per_s: last, seconds, apart_s: seconds };
        is_kept.then_some(last + trend_per_s2(rates, within) * ahead_s)
    }

    /// All clocks stepped: seconds before and after it are not to be told apart.
    pub fn step_clock(&mut self) {
        self.services.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::rollup::CountSums;
    use crate::analyse::rollup::by_hand::Rows;
    use crate::analyse::statistics::histogram::bucket_of;

    /// `arrivals` begin each second; those of each second take so long.
    fn begun(seconds: i64, arrivals: impl Fn(i64) -> i64, took_s: impl Fn(i64) -> f64) -> Begun {
        let mut rows = Rows::default();
        for began in 0..seconds {
            let (end_s, took_ns) = (began as f64 + 0.5 + took_s(began), (took_s(began) * 1e9) as i64);
            let key = DurationKey { second: end_s as i64, service: "render".into(), bucket: bucket_of(took_ns) };
            Rows::add(&mut rows.durations, key, CountSums { requests: arrivals(began) });
        }
        let mut begun = Begun::default();
        begun.learn(&[rows.tables()]);
        begun
    }

    #[test]
    fn a_queue_that_is_worked_off_is_no_load() {
        // 100/s come, and 200/s are answered.
        let begun = begun(20, |_| 100, |began| 10.0 - began as f64 / 2.0);
        let known = begun.per_s("render", 21, 8.0, |_| 0).unwrap();
        assert!((known / 100.0 - 1.0).abs() < 0.35, "{known}");
    }

    #[test]
    fn what_grows_is_carried_on_a_little() {
        let begun = begun(20, |began| 100 + 50 * (began - 10).max(0), |_| 0.1);
        let known = begun.per_s("render", 20, 0.2, |_| 0).unwrap();
        assert!((500.0..=720.0).contains(&known), "550 in the last second: {known}");
    }

    #[test]
    fn a_jump_is_not_carried_on() {
        let begun = begun(20, |began| if began < 16 { 100 } else { 500 }, |_| 0.1);
        let known = begun.per_s("render", 20, 0.2, |_| 0).unwrap();
        assert!((480.0..=520.0).contains(&known), "{known}");
    }

    #[test]
    fn calls_given_up_count_when_they_began() {
        let begun = begun(20, |_| 100, |_| 0.1);
        // Callers wait two seconds: those that gave up in seconds 17 to 19 began with those that were served in 15 to 17.
        let known = begun.per_s("render", 20, 2.0, |second| if second >= 14 { 50 } else { 0 }).unwrap();
        assert!((145.0..=155.0).contains(&known), "{known}");
    }

    #[test]
    fn chance_is_no_growth_and_too_little_is_not_known() {
        let begun = begun(20, |began| 100 + began % 2 * 10, |_| 0.1);
        let known = begun.per_s("render", 20, 0.2, |_| 0).unwrap();
        assert!((95.0..=110.0).contains(&known), "{known}");
        assert_eq!(begun.per_s("render", 20, 18.0, |_| 0), None);
        assert_eq!(begun.per_s("stock", 20, 1.0, |_| 0), None);
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let mut begun = begun(20, |_| 100, |_| 0.1);
        begun.evict(20 + KEPT_SECONDS);
        assert_eq!(begun.per_s("render", 20, 0.2, |_| 0), None);
    }
}
