//! The one place that reads a clock. Everything else is given a [`Time`], a [`Clock`] or a [`Stopwatch`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::Time;

/// Where `now` comes from: the system, or a demo's virtual time that runs faster.
///
/// A scaled clock is anchored to the system's time rather than to a monotonic one, so that two processes
/// given the same three numbers (headroom and the embedded cluster of `demo`) agree on the virtual time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    origin_wall: Time,
    origin_virtual: Time,
    speed: f64,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Clock {
        Clock { origin_wall: Time(0), origin_virtual: Time(0), speed: 1.0 }
    }

    /// `virtual = origin_virtual + (wall - origin_wall) * speed`. A speed that is not a positive number counts as 1.
    pub fn scaled(origin_wall: Time, origin_virtual: Time, speed: f64) -> Clock {
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        Clock { origin_wall, origin_virtual, speed }
    }

    pub fn origin_wall(&self) -> Time {
        self.origin_wall
    }

    pub fn origin_virtual(&self) -> Time {
        self.origin_virtual
    }

    /// Virtual seconds that pass in one second of the wall clock.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    pub fn now(&self) -> Time {
        self.at(wall())
    }

    /// What this clock shows at an instant of the wall clock.
    fn at(&self, wall: Time) -> Time {
        let since = wall.nanos_since(self.origin_wall);
        if self.speed == 1.0 {
            // Kept in integers: nanoseconds since 1970 do not fit a float.
            return Time(self.origin_virtual.0.saturating_add(since));
        }
        Time(self.origin_virtual.0.saturating_add((since as f64 * self.speed) as i64))
    }

    /// How long the wall clock runs until this clock shows `time`; zero when it is past.
    pub fn until(&self, time: Time) -> Duration {
        let nanos = time.nanos_since(self.now()).max(0);
        Duration::from_secs_f64(nanos as f64 / 1e9 / self.speed)
    }

    /// A duration of this clock's time, as the wall clock measures it.
    pub fn wall_duration(&self, duration: Duration) -> Duration {
        Duration::from_secs_f64(duration.as_secs_f64() / self.speed)
    }

    pub async fn sleep_until(&self, time: Time) {
        tokio::time::sleep(self.until(time)).await;
    }

    /// Wait for a duration of this clock's time.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(self.wall_duration(duration)).await;
    }
}

/// Nanoseconds since the Unix epoch by the system; 0 for a system set before 1970.
#[expect(clippy::disallowed_methods, reason = "this module is the one place that reads the clock")]
fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Measures how long something took, by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "this module is the one place that reads the clock")]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_clock_runs_from_its_origin_at_its_speed() {
        let clock = Clock::scaled(Time::from_secs(100), Time::from_secs(1_000), 10.0);
        assert_eq!(clock.at(Time::from_secs(100)), Time::from_secs(1_000));
        assert_eq!(clock.at(Time::from_secs(103)), Time::from_secs(1_030));
        assert_eq!(clock.at(Time::from_secs(99)), Time::from_secs(990));
        assert_eq!(clock.wall_duration(Duration::from_secs(5)), Duration::from_millis(500));
    }

    #[test]
    fn the_system_clock_keeps_every_nanosecond() {
        let wall = Time(1_767_225_599_123_456_789);
        assert_eq!(Clock::system().at(wall), wall);
    }

    #[test]
    fn what_is_past_needs_no_wait() {
        assert_eq!(Clock::system().until(Time(0)), Duration::ZERO);
    }

    #[test]
    fn a_speed_that_is_no_speed_counts_as_one() {
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Clock::scaled(Time(0), Time(0), speed).speed(), 1.0);
        }
    }
}
