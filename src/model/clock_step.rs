//! A step of all clocks at once: an hour that was set wrong is corrected, a leap of seconds by NTP.

use serde::{Deserialize, Serialize};

use super::Time;

/// How far all clocks stepped, in whole seconds, so that the rows of one second stay rows of one second. What is
/// remembered is moved by it, and keeps its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClockStep {
    /// Negative when the clocks were set back.
    pub seconds: i64,
}

impl ClockStep {
    pub const fn nanos(self) -> i64 {
        Time::from_secs(self.seconds).0
    }

    pub const fn time(self, time: Time) -> Time {
        // The instant before all others stays what it is.
        if time.0 == Time::MIN.0 { time } else { Time(time.0.saturating_add(self.nanos())) }
    }

    pub const fn second(self, second: i64) -> i64 {
        second.saturating_add(self.seconds)
    }

    /// Moves whatever instants there are: one, one that may be missing, or several.
    pub fn move_all<'a>(self, times: impl IntoIterator<Item = &'a mut Time>) {
        times.into_iter().for_each(|time| *time = self.time(*time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_keeps_its_distance() {
        let step = ClockStep { seconds: -3600 };
        let (mut a, mut b) = (Some(Time::from_secs(10_000)), Time(10_005_000_000_001));
        step.move_all(a.iter_mut().chain([&mut b]));
        assert_eq!(a, Some(Time::from_secs(6_400)));
        assert_eq!(b.nanos_since(a.unwrap()), 5_000_000_001);
        assert_eq!((step.time(Time::MIN), step.second(3_600)), (Time::MIN, 0));
    }
}
