//! Times in another unit than the nanoseconds that OTLP asks for: a sender that writes milliseconds tells of 1970.

use serde::{Deserialize, Serialize};

use super::Time;

/// A unit that was taken for nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    Seconds,
    Milliseconds,
    Microseconds,
}

/// The years 2001 and later, in nanoseconds; nobody traced before.
const NANOS_MIN: i64 = 1_000_000_000_000_000_000;

impl TimeUnit {
    const ALL: [TimeUnit; 3] = [TimeUnit::Seconds, TimeUnit::Milliseconds, TimeUnit::Microseconds];

    pub const fn as_str(self) -> &'static str {
        match self {
            TimeUnit::Seconds => "seconds",
            TimeUnit::Milliseconds => "milliseconds",
            TimeUnit::Microseconds => "microseconds",
        }
    }

    /// Nanoseconds in one of it.
    pub const fn nanos(self) -> i64 {
        match self {
            TimeUnit::Seconds => 1_000_000_000,
            TimeUnit::Milliseconds => 1_000_000,
            TimeUnit::Microseconds => 1_000,
        }
    }

    /// The unit of a time that is not in nanoseconds, where now is of this century.
    pub fn of(time: Time, now: Time) -> Option<TimeUnit> {
        if time.0 >= NANOS_MIN || now.0 < NANOS_MIN {
            return None;
        }
        let from = |unit: &TimeUnit| NANOS_MIN / unit.nanos();
        TimeUnit::ALL.into_iter().find(|unit| (from(unit)..10 * from(unit)).contains(&time.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_units_are_told_by_their_size() {
        let now = Time(1_767_600_000_123_456_789);
        let unit = |time: i64| TimeUnit::of(Time(time), now);
        assert_eq!(unit(now.0), None);
        assert_eq!(unit(now.0 / 1_000), Some(TimeUnit::Microseconds));
        assert_eq!(unit(now.0 / 1_000_000), Some(TimeUnit::Milliseconds));
        assert_eq!(unit(now.0 / 1_000_000_000), Some(TimeUnit::Seconds));
        assert_eq!(unit(0), None, "no time at all is no unit");
        assert_eq!(TimeUnit::of(Time::from_secs(5), Time::from_secs(9)), None, "a world of 1970");
    }
}
