//! An estimate between bounds.

/// Standard deviations that the bounds lie off: nine of ten times the truth is between them.
pub const BOUNDS: f64 = 1.645;

/// The bounds hold nine of ten times.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub middle: f64,
    pub high: f64,
}

impl Interval {
    pub fn exactly(value: f64) -> Interval {
        Interval { low: value, middle: value, high: value }
    }

    /// Of so many events that were counted, each by chance (Poisson), at a rate that differs by a share of itself.
    pub fn of_count(events: f64, drift: f64) -> Interval {
        let noise = BOUNDS * events.max(1.0).sqrt().hypot(drift * events);
        Interval { low: (events - noise).max(0.0), middle: events, high: events + noise }
    }

    pub fn times(self, factor: f64) -> Interval {
        Interval { low: self.low * factor, middle: self.middle * factor, high: self.high * factor }
    }

    pub fn plus(self, other: Interval) -> Interval {
        Interval { low: self.low + other.low, middle: self.middle + other.middle, high: self.high + other.high }
    }

    /// Two estimates of the same that each may miss some of it.
    pub fn at_least(self, other: Interval) -> Interval {
        let Interval { low, middle, high } = other;
        Interval { low: self.low.max(low), middle: self.middle.max(middle), high: self.high.max(high) }
    }

    /// Standard deviation of the logarithm.
    pub fn spread(self) -> f64 {
        if self.low > 0.0 && self.high > self.low { (self.high / self.low).ln() / (2.0 * BOUNDS) } else { 0.0 }
    }
}
