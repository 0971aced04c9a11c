//! The one place that reads a clock. Everything else is given a [`Time`], a [`Clock`] or a [`Stopwatch`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::{ClockStep, Time};

/// Where `now` comes from: the time of the start, plus what has passed since by the monotonic clock. Setting the
/// system's clock neither stops nor hurries what waits for it; it moves by a [step](Clock::step) alone.
///
/// Or a demo's virtual time, which runs faster. Two processes that are given the same three numbers (headroom and the
/// embedded cluster of `demo`) agree on it, as far as the system's clock is not set between their starts.
///
/// Cloning shares it: all copies take a step together.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Started,
    origin: Origin,
    stepped_seconds: Arc<AtomicI64>,
}

/// What a scaled clock runs from.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Origin {
    wall: Time,
    virtual_time: Time,
    speed: f64,
}

impl Origin {
    /// What the clock shows at an instant of the system's clock.
    fn at(&self, wall: Time) -> Time {
        let since = wall.nanos_since(self.wall);
        if self.speed == 1.0 {
            // Kept in integers: nanoseconds since 1970 do not fit a float.
            return Time(self.virtual_time.0.saturating_add(since));
        }
        Time(self.virtual_time.0.saturating_add((since as f64 * self.speed) as i64))
    }
}

/// When the clock was made, by both clocks of the system.
#[derive(Clone, Debug)]
struct Started {
    wall: Time,
    monotonic: Monotonic,
}

#[derive(Clone, Debug)]
enum Monotonic {
    Since(Instant),
    /// Moved by a test.
    #[cfg(test)]
    Hand(tokio::sync::watch::Receiver<Duration>),
}

impl Monotonic {
    fn elapsed(&self) -> Duration {
        match self {
            Monotonic::Since(instant) => instant.elapsed(),
            #[cfg(test)]
            Monotonic::Hand(hand) => *hand.borrow(),
        }
    }

    async fn sleep(&self, duration: Duration) {
        match self {
            Monotonic::Since(_) => tokio::time::sleep(duration).await,
            #[cfg(test)]
            Monotonic::Hand(hand) => {
                let due = self.elapsed() + duration;
                // A test that has let go of the hand has ended.
                let _ = hand.clone().wait_for(|elapsed| *elapsed >= due).await;
            }
        }
    }
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Clock {
        Clock::scaled(Time(0), Time(0), 1.0)
    }

    /// `virtual = origin_virtual + (wall - origin_wall) * speed`. A speed that is not a positive number counts as 1.
    pub fn scaled(origin_wall: Time, origin_virtual: Time, speed: f64) -> Clock {
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        let started = Started { wall: wall(), monotonic: Monotonic::Since(monotonic()) };
        let origin = Origin { wall: origin_wall, virtual_time: origin_virtual, speed };
        Clock { started, origin, stepped_seconds: Arc::default() }
    }

    pub fn origin_wall(&self) -> Time {
        self.origin.wall
    }

    pub fn origin_virtual(&self) -> Time {
        self.origin.virtual_time
    }

    /// Virtual seconds that pass in one second.
    pub fn speed(&self) -> f64 {
        self.origin.speed
    }

    pub fn now(&self) -> Time {
        let steady = self.origin.at(self.started.wall + self.started.monotonic.elapsed());
        self.stepped().time(steady)
    }

    fn stepped(&self) -> ClockStep {
        ClockStep { seconds: self.stepped_seconds.load(Ordering::Relaxed) }
    }

    /// Moves this clock, and all copies of it, to where the other clocks are.
    pub fn step(&self, step: ClockStep) {
        self.stepped_seconds.fetch_add(step.seconds, Ordering::Relaxed);
    }

    /// How far the system's clock is ahead of this one, in nanoseconds: it was set meanwhile. Virtual time is nobody
    /// else's, so it is never behind.
    pub fn system_ahead_ns(&self) -> i64 {
        let is_virtual = self.origin.speed != 1.0 || self.origin.wall != self.origin.virtual_time;
        if is_virtual { 0 } else { wall().nanos_since(self.now()) }
    }

    /// How long it takes until this clock shows `time`; zero when it is past.
    pub fn until(&self, time: Time) -> Duration {
        let nanos = time.nanos_since(self.now()).max(0);
        Duration::from_secs_f64(nanos as f64 / 1e9 / self.origin.speed)
    }

    /// A duration of this clock's time, as it really takes.
    pub fn wall_duration(&self, duration: Duration) -> Duration {
        Duration::from_secs_f64(duration.as_secs_f64() / self.origin.speed)
    }

    pub async fn sleep_until(&self, time: Time) {
        self.started.monotonic.sleep(self.until(time)).await;
    }

    /// Wait for a duration of this clock's time.
    pub async fn sleep(&self, duration: Duration) {
        self.started.monotonic.sleep(self.wall_duration(duration)).await;
    }

    /// What a future comes to within a real duration; None when it takes longer. The virtual time of a demo does not
    /// shorten it, as what is waited for does not run faster.
    pub async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = self.started.monotonic.sleep(limit) => None,
        }
    }
}

/// Nanoseconds since the Unix epoch by the system; 0 for a system set before 1970.
#[expect(clippy::disallowed_methods, reason = "this module is the one place that reads the clock")]
fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "this module is the one place that reads the clock")]
fn monotonic() -> Instant {
    Instant::now()
}

/// Measures how long something took, by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch(monotonic())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that stands still until a test moves it.
#[cfg(test)]
pub mod by_hand {
    use tokio::sync::watch;

    use super::*;

    pub struct Hand(watch::Sender<Duration>);

    impl Hand {
        /// Moves the clock on, and wakes whoever waited for it.
        pub fn advance(&self, by: Duration) {
            self.0.send_modify(|elapsed| *elapsed += by);
        }

        /// The same, once somebody waits for it or has had every chance to: the tasks of a single thread run until all of
        /// them wait.
        pub async fn advance_when_idle(&self, by: Duration) {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            self.advance(by);
        }
    }

    pub fn clock(start: Time) -> (Clock, Hand) {
        let (hand, elapsed) = watch::channel(Duration::ZERO);
        let started = Started { wall: start, monotonic: Monotonic::Hand(elapsed) };
        let origin = Origin { wall: Time(0), virtual_time: Time(0), speed: 1.0 };
        (Clock { started, origin, stepped_seconds: Arc::default() }, Hand(hand))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_clock_runs_from_its_origin_at_its_speed() {
        let origin = Origin { wall: Time::from_secs(100), virtual_time: Time::from_secs(1_000), speed: 10.0 };
        assert_eq!(origin.at(Time::from_secs(100)), Time::from_secs(1_000));
        assert_eq!(origin.at(Time::from_secs(103)), Time::from_secs(1_030));
        assert_eq!(origin.at(Time::from_secs(99)), Time::from_secs(990));
        let clock = Clock::scaled(Time::from_secs(100), Time::from_secs(1_000), 10.0);
        assert_eq!(clock.wall_duration(Duration::from_secs(5)), Duration::from_millis(500));
        assert_eq!(clock.system_ahead_ns(), 0, "virtual time is nobody else's");
    }

    #[test]
    fn two_clocks_of_the_same_origin_agree() {
        let origin = wall();
        let both = [(); 2].map(|()| Clock::scaled(origin, Time::from_secs(1_000), 4.0));
        let [a, b] = both.map(|clock| clock.now());
        assert!(a.nanos_since(b).abs() < 400_000_000, "{a} and {b}");
    }

    #[test]
    fn the_system_clock_keeps_every_nanosecond() {
        let (clock, hand) = by_hand::clock(Time(1_767_225_599_123_456_789));
        assert_eq!(clock.now(), Time(1_767_225_599_123_456_789));
        hand.advance(Duration::from_nanos(1));
        assert_eq!(clock.now(), Time(1_767_225_599_123_456_790));
    }

    #[test]
    fn a_step_moves_all_copies() {
        let (clock, _hand) = by_hand::clock(Time::from_secs(10_000));
        let copy = clock.clone();
        clock.step(ClockStep { seconds: -3_600 });
        clock.step(ClockStep { seconds: 5 });
        assert_eq!(copy.now(), Time::from_secs(6_405));
        let system = Clock::system();
        system.step(ClockStep { seconds: -7 });
        assert_eq!((system.system_ahead_ns() as f64 / 1e9).round(), 7.0);
    }

    #[tokio::test]
    async fn what_waits_for_the_clock_waits_for_time_that_passes() {
        let (clock, hand) = by_hand::clock(Time::from_secs(100));
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(Time::from_secs(102)).await }
        });
        hand.advance_when_idle(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        hand.advance_when_idle(Duration::from_secs(1)).await;
        waiting.await.unwrap();
        assert_eq!(clock.within(Duration::from_secs(1), std::future::ready(7)).await, Some(7));
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
