//! Two stretches of time beside each other (`diagnose`, `score`, and the sample); with them belong [`Parameters`].

/// A suspect less likely than all others together gets no verdict: a rule would act on a guess. Without it: rules
/// act on a guess.
pub const SCORE_MIN: f64 = 0.5;
/// Load counts as grown from a fifth on: less is within what healthy minutes differ by, and a fifth is the least
/// that brings a service at a sensible utilisation near its knee. Without it: the drift of a healthy hour explains
/// slowness.
pub const LOAD_GROWTH_MIN: f64 = 1.2;
/// Calls for each request count as amplified from half as many again: a single retry of every second call. Without
/// it: another mix of requests is a caller that asks too much.
pub const AMPLIFICATION_MIN: f64 = 1.5;
/// A caller is not answered any more when at least half of its calls fail without an answer: with fewer, somebody
/// is there and turns away some. Without it: a service that turns some away is told to be gone.
pub const UNANSWERED_MIN: f64 = 0.5;
/// The same of a peer without spans, all callers together: one that is slow makes many calls time out, and answers
/// others. Without it: a slow third party is told to be gone.
pub const UNANSWERED_BY_PEER_MIN: f64 = 0.98;
/// Evidence (log) from which on time speaks for itself: likelier by 20 to 1, so that callers who gave up on what is
/// slow are its consequence. Without it: a slow service is told to fail since its callers give up.
pub const TIME_MIN: f64 = 3.0;
/// Standard deviations of a count above what chance explains, as for objectives (`objective::exceeds`). Without it:
/// chance in two counts is more load.
pub const VERDICT_DEVIATIONS: f64 = 3.0;
/// A version counts as rolled out from a tenth of the requests on: a canary shows, a stray pod does not. Without
/// it: a stray pod of an old image is a release.
pub const VERSION_SHARE_MIN: f64 = 0.1;
/// Of the calls of a kind, the share that must be answered in healthy time before one without an answer counts as
/// lost. Of the spans of some mesh four fifths may be lost; a third party that answers one call in ten with spans
/// is none. Without it: third parties count as services that lost their spans.
pub const ANSWERED_MIN: f64 = 0.1;
/// Where a call does not say enough, the share of healthy calls like it that one service must have answered.
/// Without it: calls are charged to whoever answered one like them.
pub const AGREED_MIN: f64 = 0.9;
/// Standard deviations of a count by which calls of a kind must be unanswered more often, before somebody misses
/// them. Without it: spans lost by chance are missed by somebody.
pub const MISSED_DEVIATIONS: f64 = 3.0;
/// Equal pieces of time that a stretch is made of: an eighth of an hour's recording is a usual length of an
/// incident. Without it: an incident hides in the stretch that is taken for healthy.
pub const PIECES: usize = 8;
/// Traces that a baseline and an incident need at least: fewer have no p90. Without it: a p90 is read from three
/// traces.
pub const TRACES_MIN: usize = 10;
/// Standard deviations by which the rest must be slower. There are 21 stretches to choose from and neighbours in
/// time are not independent, so the usual three would find calm in noise. Without it: calm is found in noise.
pub const CALM_DEVIATIONS: f64 = 6.0;
/// The rest must be slower by a fifth: less is the drift of healthy time, however certain. Without it: an hour that
/// drifts has an incident in it.
pub const GROWTH_MIN: f64 = 1.2;
/// The share of orphans from which on spans count as lost at random, and their parents' own time as polluted by it:
/// fewer are spans that were late. Without it: late spans count as lost ones.
pub const LOSS_MIN: f64 = 0.02;
/// Spans of an operation with all of their children, in share and in number, that its own time can be told from.
/// Without it: own times are read from the few spans that kept their children by chance.
pub const WHOLE_SHARE_MIN: f64 = 0.1;
/// Without it: the same, of too few.
pub const WHOLE_MIN: u64 = 5;
/// Single healthy calls around their key's mean, in steps of 1/8 of a log unit, up to ±10. Without it: one absurd
/// duration makes a table of any size.
pub const STEPS_MAX: i32 = 80;
/// A baseline of fewer calls says nothing of the spread within a key. Without it: keys of two equal calls have no
/// spread, and any change is certain.
pub const SPREAD_CALLS_MIN: f64 = 5.0;
/// The quantile that objectives are derived for, as is usual. Without it: derived objectives promise another
/// quantile than people do.
pub const QUANTILE: f64 = 0.99;
/// Above the healthy p99: 10 % is what two healthy minutes differ by anyway, and durations are read to 5 %. Without
/// it: healthy time misses its own objective.
pub const SLACK: f64 = 1.15;
/// Evidence against an early return where a call is made more often than before: it cannot be one, whatever the
/// counts. Without it: an operation that changed its calls is an early return.
pub const NOT_LOST: f64 = -5.0;
/// The lost share of a baseline's spans that can be corrected for; with fewer than a tenth left nothing can.
/// Without it: next to nothing left is scaled up to anything.
pub const ORPHANS_MAX: f64 = 0.9;
/// Spans that the share of orphans among all counts as, beside those of one operation. Without it: one orphan of
/// two spans corrects by half.
pub const ORPHANS_WORTH: f64 = 10.0;
/// Kept off each probability, so that a reader who adds them up never finds more than 1: the error of adding a
/// thousand doubles is smaller. Without it: probabilities add up to a little more than one.
pub const ROUNDING: f64 = 1e-12;
/// How often `Parameters::fit` goes over all parameters: after the second round next to none moves. Without it:
/// fitting takes twice the time and moves nothing.
pub const ROUNDS: usize = 2;
/// A value is tried this much larger and smaller in each round; what a reason of the kind given above can leave
/// open. Without it: fitting misses what lies between, or takes steps that change nothing.
pub const STEP: f64 = 1.5;
/// The same of `Parameters::calibrate`: two numbers alone, in as many rounds as bring them from one end of what is sensible to
/// the other. Without it: what is printed still depends on where it began.
pub const CALIBRATION_ROUNDS: usize = 10;
/// A calibration that differs by less is not told apart on some hundred cases. Without it: the same as of `STEP`.
pub const CALIBRATION_STEP: f64 = 1.2;
/// Shares and chances stay below: at one they would forbid the other case. Without it: evidence against a chance of
/// one is infinite.
pub const CHANCE_MAX: f64 = 0.95;
/// The share of spans that must be left before what is newly lost can be told from it. Without it: nothing is divided by.
pub const LEFT_MIN: f64 = 0.1;
