//! Healthy load by the hour of the day: what is much for three in the morning may be little for nine, and what came every
//! day at nine and was borne does not explain that today it is not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analyse::thresholds::healthy::HOUR_SECONDS;
use crate::model::Text;

const HOURS: usize = 24;
const SECONDS_A_DAY: i64 = 86_400;
const SECONDS_AN_HOUR: i64 = SECONDS_A_DAY / HOURS as i64;
/// Load of a service in healthy seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Requests that arrived, with those that a sampler left out, in thousandths.
    pub adjusted_milli: i64,
    pub seconds: i64,
    /// Pods that served, summed over those seconds.
    pub pod_seconds: i64,
}

impl Load {
    fn add(&mut self, other: Load) {
        self.adjusted_milli += other.adjusted_milli;
        self.seconds += other.seconds;
        self.pod_seconds += other.pod_seconds;
    }

    fn half(self) -> Load {
        let Load { adjusted_milli, seconds, pod_seconds } = self;
        Load { adjusted_milli: adjusted_milli / 2, seconds: seconds / 2, pod_seconds: pod_seconds / 2 }
    }

    pub fn rate(self) -> f64 {
        self.adjusted_milli as f64 / 1e3 / self.seconds.max(1) as f64
    }

    pub fn rate_per_pod(self) -> f64 {
        self.adjusted_milli as f64 / 1e3 / self.pod_seconds.max(1) as f64
    }
}

/// One hour of the day: that of the newest day in which it was seen, and the days before.
#[derive(Clone, Copy, Debug, Default)]
struct Hour {
    day: i64,
    newest: Load,
    before: Load,
}

impl Hour {
    /// The days before `day`, each counting half as much as the one after it.
    fn before(&self, day: i64) -> Load {
        let mut before = self.before;
        if day > self.day {
            before = before.half();
            before.add(self.newest);
        }
        before
    }
}

/// By service, and by the hour of the day in UTC.
#[derive(Clone, Debug, Default)]
pub struct Hours(BTreeMap<Text, Box<[Hour; HOURS]>>);

fn place(second: i64) -> (i64, usize) {
    let hour = second.rem_euclid(SECONDS_A_DAY) / SECONDS_AN_HOUR;
    (second.div_euclid(SECONDS_A_DAY), hour as usize) // 0 to 23
}

impl Hours {
    pub fn learn(&mut self, service: &Text, second: i64, load: Load) {
        let (day, hour) = place(second);
        let of = &mut self.0.entry(service.clone()).or_default()[hour];
        if day > of.day {
            *of = Hour { day, newest: Load::default(), before: of.before(day) };
        }
        of.newest.add(load);
    }

    /// The load of the hour of this second in the days before, where there were any.
    pub fn usual(&self, service: &str, second: i64) -> Option<Load> {
        let (day, hour) = place(second);
        let before = self.0.get(service)?[hour].before(day);
        (before.seconds >= HOUR_SECONDS).then_some(before)
    }

    pub fn forget(&mut self, is_known: impl Fn(&Text) -> bool) {
        self.0.retain(|service, _| is_known(service));
    }

    /// Into a snapshot: the hours of a service that were seen, today's with those before.
    pub fn keep(&self) -> impl Iterator<Item = (&Text, Vec<(usize, Load)>)> {
        self.0.iter().map(|(service, hours)| {
            let all = hours.iter().map(|hour| {
                let mut load = hour.before;
                load.add(hour.newest);
                load
            });
            (service, all.enumerate().filter(|(_, load)| load.seconds > 0).collect())
        })
    }

    /// Out of a snapshot, where nothing is known of the hour.
    pub fn restore(&mut self, service: &Text, kept: &[(usize, Load)]) {
        if kept.is_empty() {
            return;
        }
        let hours = self.0.entry(service.clone()).or_default();
        for (hour, load) in kept.iter().filter(|(hour, _)| *hour < HOURS) {
            if hours[*hour].before.seconds == 0 {
                hours[*hour].before = *load;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many requests a second for an hour of two pods, from `hour` of `day` on.
    fn hour_of(hours: &mut Hours, day: i64, hour: i64, rate: i64) {
        for second in 0..SECONDS_AN_HOUR {
            let load = Load { adjusted_milli: rate * 1_000, seconds: 1, pod_seconds: 2 };
            hours.learn(&"shop".into(), day * SECONDS_A_DAY + hour * SECONDS_AN_HOUR + second, load);
        }
    }

    #[test]
    fn the_load_of_nine_is_that_of_nine_on_the_days_before() {
        let mut hours = Hours::default();
        let nine = |day: i64| day * SECONDS_A_DAY + 9 * SECONDS_AN_HOUR + 5;
        for day in 1..=2 {
            hour_of(&mut hours, day, 3, 10);
            hour_of(&mut hours, day, 9, 100 * day);
        }
        let usual = |hours: &Hours, second: i64| hours.usual("shop", second).map(|load| load.rate().round());
        assert_eq!(usual(&hours, nine(2)), Some(100.0), "yesterday's alone: today is what is judged");
        assert_eq!(usual(&hours, nine(3)), Some(167.0), "the day before counts half as much as yesterday");
        assert_eq!(usual(&hours, nine(3) - 6 * SECONDS_AN_HOUR), Some(10.0));
        assert_eq!(usual(&hours, nine(3) + SECONDS_AN_HOUR), None);
        assert_eq!(hours.usual("shop", nine(3)).map(|load| load.rate_per_pod().round()), Some(83.0));
    }

    #[test]
    fn a_snapshot_knows_the_hours() {
        let mut hours = Hours::default();
        hour_of(&mut hours, 5, 9, 100);
        let mut restored = Hours::default();
        hours.keep().for_each(|(service, kept)| restored.restore(service, &kept));
        let nine = 6 * SECONDS_A_DAY + 9 * SECONDS_AN_HOUR;
        let rate = |hours: &Hours| hours.usual("shop", nine).map(Load::rate);
        assert_eq!((rate(&restored), rate(&hours)), (Some(100.0), Some(100.0)));
    }
}
