//! What a service needs.

use std::time::Duration;

/// Requests in the fast window below which a service counts as one of low traffic: they say little of what many
/// would need. Without it: replicas are ordered, and given back, by a handful of requests.
pub const LOW_TRAFFIC_REQUESTS: i64 = 20;
/// How far beyond now a growing load is carried on: a tick, and the time to write the change. Not the time a pod takes to
/// start: a trend carried that far overshoots where the load levels off. Longer, more is ordered than is ever needed.
pub const AHEAD: Duration = Duration::from_secs(1);
/// Without a baseline (just after a start) a scale-out at most doubles. Without it: the first burst is answered by a guess.
pub const BLIND_STEP_FACTOR: u32 = 2;
/// Weight of a new sample of what a pod can serve: a few ticks of saturation average out Poisson noise, and a release is
/// followed. Larger, one odd second is a pod's capacity; smaller, that of a release ago is.
pub const CAPACITY_WEIGHT: f64 = 0.3;
/// The share of a service's requests whose operations healthy time must know for its present mix to be told. Less, what the
/// others take is guessed; more, one new operation lets a pod's capacity be that of another mix.
pub const MIX_KNOWN: f64 = 0.9;

/// What is planned for a load that never was is at most this many pods of a service: more than any cluster runs of one.
/// Without it: a share learnt of a handful of requests asks for any number.
pub const PLANNED_REPLICAS_MAX: f64 = 100_000.0;

/// Arrivals, from sojourns that grow.
pub mod arrivals {
    /// The slope can come near one (nothing that started lately has ended); beyond this the estimate is a guess. Without it:
    /// a queue that is worked off is a load of any size.
    pub const SLOPE_MAX: f64 = 0.9;
    /// A slope whose rise over the window is below this share of the mean sojourn is noise. Without it: noise is a load.
    pub const RISE_MIN: f64 = 0.2;
    /// Seconds of the slow window a slope is fitted to: enough for a line, short enough for a burst. Fewer, a line through
    /// two points; more, the calm before flattens it.
    pub const FIT_SECONDS: usize = 4;
    /// Where the last seconds clearly tell of more, they alone are believed: a load that jumped two seconds ago is not to be
    /// averaged with the calm before. Without it: the first order is of half of what came.
    pub const JUMP_SECONDS: usize = 2;
    /// Standard deviations of Poisson noise that a jump or a trend must stand clear of. Without it: noise is a trend.
    pub const DEVIATIONS: f64 = 3.0;
    /// A trend is believed up to this factor per look ahead: a load seldom doubles in the few seconds of lag. Without it: the
    /// first second of a burst is carried on to any height.
    pub const TREND_FACTOR_MAX: f64 = 2.0;
    /// A trend is believed up to so many times what the newest seconds alone show of it: they are few, and noise halves a slope.
    /// Without it: a load that jumped and stays there is carried on as if it went on jumping. Less, half a ramp is seen.
    pub const STILL_GROWS: f64 = 2.0;
}

/// Requests by the second in which they began.
pub mod begun {
    /// Seconds that are kept: a queue seldom makes requests older than this, and the seconds before it must be known too.
    /// Fewer, of a long queue nothing is known; more are not asked for.
    pub const KEPT_SECONDS: i64 = 64;
    /// Seconds whose mean is a load: as the fast window. Fewer, chance is a load; more, it is known later.
    pub const STRETCH_SECONDS: i64 = 3;
    /// The share of requests that must have ended: what began later counts as not known. More, of a load with a few long
    /// requests nothing is known in time; less, a load is taken to be smaller than it is.
    pub const NEARLY_ALL: f64 = 0.95;
}
