//! What tells of telemetry itself: how much of what happens is seen.

/// Spans that never came.
pub mod lost_spans {
    use std::time::Duration;

    /// A trace without a root is closed when it has been idle for ten seconds: half a minute sees it, and enough
    /// others. Without it: a shorter one forgets lost roots before their traces close.
    pub const WINDOW: Duration = Duration::from_secs(30);
    /// Below this share a restarting pod or a late batch explains it. Without it: a collector that restarts is reported
    /// as lost spans.
    pub const SHARE_MIN: f64 = 0.01;
    /// Fewer spans than these are an accident. Without it: one late batch is reported.
    pub const SPANS_MIN: i64 = 10;
}

/// Another sampler than before.
pub mod sampling {
    /// Traces of a tick below which their share is chance. Without it: quiet minutes look like another sampler.
    pub const ENOUGH: i64 = 20;
    /// The usual share follows within some minutes, so that a rollout over that time is seen as a change all the while.
    /// Faster, a rollout of samplers is over before it is seen.
    pub const WEIGHT: f64 = 1.0 / 60.0;
    /// A share that differs by more is of other samplers. Smaller, chance suspends scale-in.
    pub const CHANGED: f64 = 0.2;
}

/// How much is seen of an endpoint and of a service.
pub mod sight {
    use std::time::Duration;

    /// What came in this time is the present: a verdict follows a loss within half of it. Shorter, one late batch makes a
    /// verdict `partial`; longer, `healthy` is told for seconds of what is no longer seen.
    pub const WINDOW: Duration = Duration::from_secs(10);
    /// Below this share of traces seen whole it is said that sight is partial … Lower, verdicts rest on what is left;
    /// higher, spans that are late make them partial.
    pub const PARTIAL_BELOW: f64 = 0.9;
    /// … and above this one no longer. Without it: the verdict changes each second where the share is at the border.
    pub const CLEAR_ABOVE: f64 = 0.95;
    /// Fewer traces than these that are not seen whole are an accident. Without it: one trace of a quiet endpoint makes
    /// its sight partial.
    pub const UNSEEN_MIN: i64 = 5;
    /// Requests that ended longer ago tell nothing of now: the slowest pipelines take half a minute. Without it: a file of
    /// old spans that is sent again counts as sight.
    pub const PRESENT: Duration = Duration::from_secs(60);
    /// Nor do those that are to end so much later. Without it: a clock that runs ahead counts as sight.
    pub const AHEAD: Duration = Duration::from_secs(5);
    /// Requests whose durations tell that nobody chose them. Without it: the gap in the durations of a few requests is a
    /// tail sampler's.
    pub const TELLING_REQUESTS: i64 = 100;
    /// How long a leap in the durations lasts, where they had none before, until it is a sampler's: a slowdown is over, or
    /// another shape, by then. Without it: a service that turned slow is told to be tail sampled.
    pub const TAIL_SAMPLED_AFTER: Duration = Duration::from_secs(60);
    /// From this share on of requests whose trace a tail sampler says that it chose, all are its choice. Lower, a few traces
    /// that somebody forced make an endpoint partial; higher, traces of which the root was lost hide a sampler.
    pub const CHOSEN_MIN: f64 = 0.5;
}

/// Trace ids that lie in a part of their range alone, as a sampler by id that does not say so leaves them.
pub mod id_spread {
    /// Ids that all lie in nine tenths of the range by chance: once in 10^9 such counts. Fewer, a system that is not
    /// sampled is told to be; more, one trace in a hundred is noticed late.
    pub const TRACES_MIN: u64 = 200;
    /// The part of the range in which they lie. Higher, chance is a sampler.
    pub const RATE_MAX: f64 = 0.9;
    /// A smaller part of the range than this is not random to begin with: ids that count up. Without it: a tracer that
    /// counts is a sampler of one in a million, and each request stands for a million.
    pub const RATE_MIN: f64 = 0.0005;
}

/// Tail sampling, in the shape of durations.
pub mod tail_sampling {
    /// Requests that make a shape. Without it: chance in a few durations is a leap.
    pub const REQUESTS_MIN: i64 = 100;
    /// Buckets, a quarter of an octave, on either side of the leap. Fewer, chance in one bucket is a leap; more, what leaps
    /// is averaged with the tail.
    pub const BESIDE: i32 = 4;
    /// The leap from the bucket below to the one above, and between the four on either side. Lower, two modes of a system
    /// are a sampler; higher, a sampler that keeps a tenth of the fast ones is not seen.
    pub const LEAP: i64 = 5;
    /// What lies above it is wide: less than this share of it in the two buckets next to the leap. Without it: a time-out
    /// is a sampler.
    pub const NEXT_SHARE_MAX: f64 = 0.5;
    /// And more than this share of all requests: a tail sampler's output is of slow ones. Without it: the few that a cache
    /// misses are what a sampler chose.
    pub const ABOVE_SHARE_MIN: f64 = 0.3;
    /// The leap reaches the height of what lies above it at once; the flank of a hump climbs to it. Without it: a second
    /// mode is a sampler.
    pub const HEIGHT_MIN: f64 = 0.7;
}

/// Operations where traces begin although somebody called them.
pub mod beginnings {
    /// Share of its requests without their caller's span from which an operation is where traces begin. Where every tenth
    /// span is lost on its way, a hundredth of the traces lack a root and the span below it. Lower, lost spans make
    /// endpoints; higher, the endpoint behind a gateway without spans is not seen.
    pub const SHARE_MIN: f64 = 0.1;
    /// Below this it is no longer: the gateway sends its spans now. Without it: the endpoint stays for ever.
    pub const SHARE_LEFT: f64 = 0.05;
    /// Fewer such requests are an accident. Without it: a late root makes an endpoint.
    pub const REQUESTS_MIN: i64 = 5;
    /// Requests after which the old half fades. Larger, a gateway that begins to send spans takes minutes to be believed;
    /// smaller, the share is chance.
    pub const HALVE_AT: i64 = 1_000;
}
