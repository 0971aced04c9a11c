//! Every number that the analysis chose, with the reason for its value and what breaks without it. What only defines a
//! format (buckets, columns, versions of a document) stays with it.

/// How sure a count must be.
pub mod chance {
    /// One entry operation is asked every second, some 86 000 times a day, whether its objective is missed: the chance
    /// of three standard deviations, 1 in 740, is as loose as one may be; the verdict needs further evidence anyway.
    /// Looser, calm endpoints count as missing their objective several times a day.
    pub const SURELY: f64 = 0.001_35;
    /// Two standard deviations: enough to look, not enough to say anything without further evidence. Looser, every tick
    /// looks into noise; tighter, quiet endpoints are looked into seconds later.
    pub const LIKELY: f64 = 0.022_8;
}

/// What is kept, so that names with identifiers in them and floods of spans cost no more than anything else.
pub mod memory {
    /// Names of one kind that are remembered: more than a large system has, and little beside the spans of a minute.
    /// Without it: `GET /user/4711` alone fills the memory in a week.
    pub const NAMES_MAX: usize = 20_000;
    /// Groups of one table in one tick, far more than services, pods and operations of a large system make. Past it the
    /// texts of a new group become `_other`: names that hold identifiers must not cost more than spans do. Without it:
    /// a tick of spans with an identifier in each name makes a row of each.
    pub const GROUPS_MAX: usize = 50_000;
    /// Spans kept at once. The judge takes a second's worth from all absorbers together; twice as many of one are left
    /// after the last in the order have gone. Without it: the sample of a flood is kept whole before it is thinned out.
    pub const SPANS_MAX: usize = 4 * SPANS_PER_SECOND as usize;
    /// Segments taken in one tick: more would push out those of the ticks before within a few ticks, and cost more than
    /// the analysis itself. Without it: exemplars cost more than the analysis.
    pub const SEGMENTS_TICK_MAX: usize = 10_000;
    /// Of those, the share of traces that kept their objective: people look for the others. Without it: calm endpoints
    /// push out the traces that people look for.
    pub const SEGMENTS_KEPT_TICK_MAX: usize = SEGMENTS_TICK_MAX / 2;
    /// Missed traces kept for each entry operation and tick: more than a finding shows. Without it: one loud endpoint
    /// takes the room of all.
    pub const MISSED_KEPT: usize = 8;
    /// Segments kept, about 150 bytes each: a few minutes of a small system, seconds of a large one. Without it:
    /// exemplars grow with the load.
    pub const SEGMENTS_MAX: usize = 200_000;
    /// Kinds of call that are remembered. Past it all are forgotten: names carry identifiers, and those that come again
    /// are learned again within a tick. Without it: span names with identifiers are remembered for ever.
    pub const CALL_KINDS_MAX: usize = 100_000;
    /// Operations of one service that are remembered, and callees of one operation. Without it: one service with
    /// identifiers in its operations pushes out the others.
    pub const OPERATIONS_MAX: usize = 2_000;
    /// The last so many of a service: images and nodes change, and a 95th percentile of fewer is their maximum. Without
    /// it: start-up times of images long gone tell how early to order.
    pub const KEPT: usize = 32;
    /// A ConfigMap holds a MiB with all its metadata; half of that leaves room, and holds some thousand operations.
    /// Without it: the API server refuses the ConfigMap, and nothing is kept over a restart.
    pub const BYTES_MAX: usize = 512 << 10;
    /// Exemplars kept for each entry operation. Without it: findings carry lists that nobody reads.
    pub const EXEMPLARS: usize = 5;
    /// Endpoints that are left aside and told. Without it: findings carry lists that nobody reads.
    pub const ASIDE_TOLD_MAX: usize = 50;
    /// Exemplars kept a service: enough to choose from, few enough to read. Without it: a profile grows with its
    /// traces.
    pub const EXEMPLARS_MAX: usize = 5;
    /// Beyond, one more or less lost hardly shows. Without it: telling lost children from absent ones costs a pass for
    /// each.
    pub const KINDS_MAX: usize = 7;
    /// Suspects that get a verdict, evidence and exemplars: enough for those who read on after the first. Each costs a
    /// pass over the rows, and the rest has next to no probability. Without it: large systems pay a pass over all rows
    /// for suspects of no probability.
    pub const EXPLAINED_MAX: usize = 10;
    /// Spans a second in the sample; as many may come at once. Without it: the cost of a tick grows with the load.
    pub const SPANS_PER_SECOND: i64 = 1_000;
    /// Traces of one entry operation between two ticks. An average of more is hardly better, and others have room.
    /// Without it: loud endpoints take the sample of the quiet ones.
    pub const TRACES_EACH: usize = 10;
}

/// How requests are counted into rows.
pub mod rollup {
    /// A request that took more than this part of its objective is at risk: ordinary requests are well below, as an
    /// objective lies above what is healthy by a factor, or it is missed all day. Smaller, ordinary requests are at
    /// risk; larger, an endpoint of few requests is looked into when it has missed.
    pub const AT_RISK: i64 = 2;
    /// Requests that one may stand for; nobody samples less than one in a million, and sums must not overflow. Without
    /// it: one span with an absurd `tracestate` overflows the sums of its second.
    pub const WEIGHT_MAX: f64 = 1e6;
    /// A message may wait for days; one that waited longer counts as a day, as spans do. Without it: sums of ages overflow.
    pub const AGE_NS_MAX: i64 = 86_400 * 1_000_000_000;
}

/// What tells of telemetry itself.
pub mod telemetry {
    use std::time::Duration;

    /// A trace without a root is closed when it has been idle for ten seconds: half a minute sees it, and enough
    /// others. Without it: a shorter one forgets lost roots before their traces close.
    pub const WINDOW: Duration = Duration::from_secs(30);
    /// Below this share a restarting pod or a late batch explains it. Without it: a collector that restarts is reported
    /// as lost spans.
    pub const SHARE_MIN: f64 = 0.01;
    /// Fewer spans than these are an accident. Without it: one late batch is reported.
    pub const SPANS_MIN: i64 = 10;
    /// Traces of a tick below which their share is chance. Without it: quiet minutes look like another sampler.
    pub const ENOUGH: i64 = 20;
    /// The usual share follows within some minutes, so that a rollout over that time is seen as a change all the while.
    /// Faster, a rollout of samplers is over before it is seen.
    pub const WEIGHT: f64 = 1.0 / 60.0;
    /// A share that differs by more is of other samplers. Smaller, chance suspends scale-in.
    pub const CHANGED: f64 = 0.2;
}

/// What healthy time is, and from how much of it anything is known.
pub mod healthy {
    use std::time::Duration;

    /// How long rows wait. An incident is noticed by its missed objective a few seconds after it began; what came in
    /// between must not be learned. Shorter, the first seconds of each incident are learned as normal.
    pub const QUARANTINE: Duration = Duration::from_secs(15);
    /// Requests after which the old half of a baseline fades: a few minutes at a hundred a second, hours at one.
    /// Without it: a busy service is held against last month.
    pub const HALVE_AT_REQUESTS: i64 = 50_000;
    /// Seconds after which a pod that served nothing is forgotten: far more than a second's rows are ever apart.
    /// Without it: pods that are gone pile up.
    pub const POD_REMEMBERED_S: i64 = 60;
    /// Requests that make a baseline: the mean of fewer says little. Without it: a service is slow beside the five
    /// requests it began with.
    pub const BASELINE_REQUESTS: i64 = 50;
    /// Requests that make a mean: with times spread as widely as their mean, it errs by a fifth, far from the half more
    /// that counts as growth. Traces that are sampled one in a hundred reach it within a minute. Without it: requests
    /// are set beside the mean of two.
    pub const OPERATION_REQUESTS: i64 = 25;
    /// Seconds of an hour, over the days before, from which its load is known. Without it: one minute of yesterday
    /// excuses a burst of today.
    pub const HOUR_SECONDS: i64 = 600;
    /// Healthy time of longer ago is of other releases and other habits: a week has seen every day of it. Without it: a
    /// system is held against what it was months ago.
    pub const AGE_MAX_S: f64 = 7.0 * 24.0 * 3600.0;
    /// The clocks of two machines may differ by so much; a snapshot from later than that is of another clock. Without
    /// it: a snapshot of a clock that ran ahead is never too old.
    pub const AHEAD_MAX_S: f64 = 60.0;
}

/// What is looked into, and over which time.
pub mod judging {
    use std::time::Duration;

    /// Seconds before the fast window that a trend needs, and a judgement on few requests. With less, one trace in a
    /// hundred shows nothing; with more, the longer view still shows what is over.
    pub const LONG_EXTRA: Duration = Duration::from_secs(5);
    /// Requests in the fast window below which a longer one is asked as well: of a hundred, a share of one in a hundred
    /// is no more than one request. Without it: quiet endpoints are judged by the three seconds in which they had two
    /// requests.
    pub const FEW_REQUESTS: i64 = 100;
    /// As many in the longer one, which is not three times as long: below, requests at risk count as well. Without it:
    /// at one trace in a hundred a miss is seen when the second or third request has missed.
    pub const FEW_LONG: i64 = 3 * FEW_REQUESTS;
}

/// A service beside healthy time.
pub mod service {
    /// Time a request spends in a place has grown: well clear of noise, small against what misses an objective. Lower,
    /// noise accuses; higher, what misses a tight objective is nobody's.
    pub const GROWN: f64 = 1.5;
    /// One pod is far from its siblings. Lower, the slowest of any few pods is bad.
    pub const FAR: f64 = 3.0;
    /// Requests of a pod below which its mean says nothing. Without it: one slow request is a bad pod.
    pub const POD_REQUESTS: i64 = 5;
    /// Requests of a new version from which their mean may say that it is far slower: where times spread by half
    /// (lognormal), each of three at three times the mean is two deviations off. Without it: a bad release is named
    /// when it serves many.
    pub const FAR_REQUESTS: i64 = 3;
    /// A share of errors that objectives commonly allow, and that a service may have without being the matter. Without
    /// it: a stray error makes a service fail.
    pub const ERRORS: f64 = 0.01;
    /// Seconds that tell whether calls are answered any more: a call may take a second, and more would be late.
    /// Shorter, a service that stalls for a second is gone; longer, `unreachable` comes late.
    pub const UNREACHABLE_SECONDS: i64 = 2;
    /// A service that answers less than this share of its calls, and of what it used to answer, is gone. Without it: a
    /// service that answers one call in twenty to a probe is not gone.
    pub const UNANSWERED: f64 = 0.1;
    /// Calls that ended in vain from which on that is no accident. Without it: one refused connection is an outage.
    pub const IN_VAIN_MIN: i64 = 3;
    /// Least spread (log) of the times of single requests: buckets are read at their edge. Without it: requests that
    /// all fall into one bucket make the smallest difference certain.
    pub const LEAST_SPREAD: f64 = 0.2;
    /// Standard errors by which a pod or a version must stand clear of `GROWN` before it is accused: dozens of pods are
    /// asked each second of the day, so chance must not do in a million answers. Lower, healthy pods are restarted;
    /// higher, bad pods of quiet services are never named.
    pub const CLEAR: f64 = 4.5;
}

/// Pods, as the cluster tells of them.
pub mod pods {
    use std::time::Duration;

    /// After readiness a pod is warming for a while (caches, JIT, pools); what it does then is neither its capacity nor
    /// a fault. Without it: new pods are slow ones, and their first answers their capacity.
    pub const WARM_UP: Duration = Duration::from_secs(10);
    /// For so long after it was ready a pod differs from its siblings for reasons of its own: caches and pools fill,
    /// code is compiled, and what queued before it came stays with the old ones. Longer than the warm-up of most
    /// runtimes. Without it: old pods that work off a queue beside new ones are bad.
    pub const YOUNG: Duration = Duration::from_secs(60);
    /// A pod is silent that serves less than this share of what is expected, as it did in healthy time or as its
    /// siblings do. Without it: a pod that serves one request while it hangs is not silent.
    pub const SILENT: f64 = 0.1;
    /// And that chance leaves it so little is as rare as this (Poisson): none of twelve, or one of fifteen. Silence
    /// alone names nobody, calls that nobody answers are asked for as well. Without it: pods of quiet services are
    /// silent by chance.
    pub const CHANCE: f64 = 1e-5;
}

/// More calls than requests explain.
pub mod amplification {
    /// Calls for each request count as amplified from half as many again: a single retry of every second call. Without
    /// it: another mix of requests is a caller that asks too much.
    pub const AMPLIFIED: f64 = 1.5;
    /// Standard deviations of a count above what chance explains, as for objectives (`objective::exceeds`). Without it:
    /// seven calls where three are expected accuse a caller.
    pub const DEVIATIONS: f64 = 3.0;
}

/// What is told to people.
pub mod findings {
    /// A suspect at least this likely is told to people unasked: of five such four are faults at least. What is lost of
    /// a trace's shape seldom comes above 0.95, as an operation may be meant to have changed (`Parameters::other_mix`).
    /// Lower, people are told guesses.
    pub const SURE: f64 = 0.8;
    /// More decimals than this are never needed: a share that differs less from its objective does not miss it. Without
    /// it: a share is told with sixteen digits.
    pub const DECIMALS_MAX: usize = 6;
    /// A change below a fifth explains nothing, so it is not worth a line. Without it: each sentence lists what did not
    /// change.
    pub const TELLING_FACTOR: f64 = 1.2;
}

/// What a service needs.
pub mod load {
    /// Requests in the fast window below which a service counts as one of low traffic: they say little of what many
    /// would need. Without it: replicas are ordered, and given back, by a handful of requests.
    pub const LOW_TRAFFIC_REQUESTS: i64 = 20;
}

/// The sample of traces that is compared in the loop.
pub mod sample {
    use std::time::Duration;

    /// What is judged as one: the shorter tells sooner, the longer of quieter ones; as the rest of the analysis does.
    /// One alone is late for quiet services, or blurred for loud ones.
    pub const VIEWS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(8)];
    /// Rows of healthy time that are compared in a tick, in a millisecond or two. Of more, the answer is that of an
    /// earlier tick … Without it: large systems spend their ticks on what nobody feels.
    pub const ROWS_A_TICK: usize = 1_000;
    /// … of this many at most, unless an objective is missed. Without it: an answer is half a minute old.
    pub const TICKS_MAX: usize = 5;
    /// How long a portion of the sample waits before it counts as healthy, and for how long before it nothing may have
    /// been missed; as for the rest of healthy time (`baseline`). Without it: incidents are learned as normal.
    pub const QUARANTINE: Duration = Duration::from_secs(15);
    /// Spans of one half of healthy time: the older half is forgotten when the newer has as many. A few minutes.
    /// Without it: a change of last week is news, or memory grows.
    pub const HALF_SPANS: u64 = 100_000;
    /// Traces of healthy time from which on anything can be said to have changed. Without it: the first minute of each
    /// start is full of changes.
    pub const HEALTHY_TRACES_MIN: u64 = 300;
    /// A change of which it is more likely than not that it is a fault is not learned … Without it: faults are learned
    /// as normal, or nothing is learned any more.
    pub const LIKELY: f64 = 0.5;
    /// … until it has lasted this long without an objective missed. Then it is how the system is meant to be: a release
    /// that no longer calls somebody. Without it: a release that no longer calls somebody is suspected for ever.
    pub const ACCEPTED_AFTER: Duration = Duration::from_secs(600);
    /// Answers in a row by which a service is failing before that is told: where users will feel it, they do by then.
    /// Without it: one odd view is told as an early return.
    pub const ANSWERS_MIN: usize = 3;
    /// Time without a missed objective before that: what was given up while one was missed ends, is analysed and leaves
    /// the sample within it. Without it: what was given up in an outage is told as an early return after it.
    pub const CALM: Duration = Duration::from_secs(20);
    /// Suspects that are told, and how likely they are at least. Without it: findings carry a list of the improbable.
    pub const TOLD_MAX: usize = 3;
    /// Without it: the same.
    pub const TOLD_SCORE_MIN: f64 = 0.1;
}

/// Two stretches of time beside each other (`diagnose`, `score`, and the sample); with them belong [`Parameters`].
pub mod change {
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
    pub const UNANSWERED_BY_PEER_MIN: f64 = 0.9;
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
    /// Shares and chances stay below: at one they would forbid the other case. Without it: evidence against a chance of
    /// one is infinite.
    pub const CHANCE_MAX: f64 = 0.95;
}

/// Times are compared as logarithms, so 0.1 is 10 %.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Parameters {
    /// Durations count from this share of the baseline's median trace: what takes less holds nobody back.
    pub floor_share: f64,
    /// Least typical spread (log) within one key: guards against a baseline too clean to be true.
    pub spread: f64,
    /// Least drift (log) between two healthy periods; the case's own drift is used when it is larger.
    pub drift: f64,
    /// Typical effect of a fault (log; 2 is about x7). Its tail is heavy, so x2 and x1000 stay possible.
    pub effect: f64,
    /// A key's own variance counts as its number of calls, the typical variance of all keys as this many: the variance
    /// of few calls is worth little.
    pub spread_calls: f64,
    /// Share of one caller's operations towards one callee that feel the fault of either.
    pub share_of_pair: f64,
    /// Share of a faulty service's callers that feel it.
    pub share_of_callers: f64,
    /// Share of a starved service's callees towards which it is slow: some calls are too rare to show it.
    pub share_of_callees: f64,
    /// Chance that a fault which shows in calls sits in the caller: a caller is starved or cut off towards everybody,
    /// which is rarer than a callee that is slow or gone.
    pub starved: f64,
    /// Log odds that what one edge alone shows is the callee's doing: as above, seen from the edge.
    pub callee_first: f64,
    /// Chance that spans of a healthy service go missing on their way: agents and collectors restart.
    pub lost_telemetry: f64,
    /// The same of one that is cut off: its calls fail towards everyone.
    pub share_of_cut_off: f64,
    /// Share of a faulty service's own operations that feel it: a fault may sit in one path of its code.
    pub share_of_operations: f64,
    /// Chance that a healthy operation simply changes which calls it makes (another mix of requests).
    pub other_mix: f64,
    /// Chance that errors begin in a healthy service: another mix does not make them, so ten times less.
    pub stray_errors: f64,
    /// Least drift (log odds) of how often an optional call is made in healthy time.
    pub mix_drift: f64,
    /// Chance that a caller of the culprit shows a symptom of its own (a queue, an exhausted pool).
    pub knock_on: f64,
    /// The same of errors, of calls that are no longer made after one failed, and of calls that are made again.
    pub pass_on: f64,
    /// Callers' symptoms are credited to a callee once its own evidence passes ln(services), because one of so many
    /// services looks odd by chance, plus this (another factor e).
    pub knock_on_bar: f64,
    /// Evidence is tempered twice by a square root, because keys of one service are not independent; this undoes it on
    /// the way to a probability. Fitted (with `prior`) to the calibration of scores.
    pub sharpness: f64,
    /// Log odds that spans shown to us hold a visible fault at all. Fitted, see `sharpness`.
    pub prior: f64,
}

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters {
            floor_share: 0.01,
            spread: 0.3,
            drift: 0.1,
            effect: 2.0,
            spread_calls: 4.0,
            share_of_pair: 0.8,
            share_of_callers: 0.8,
            share_of_callees: 0.7,
            share_of_cut_off: 0.95,
            starved: 0.3,
            callee_first: 0.7,
            lost_telemetry: 0.1,
            share_of_operations: 0.3,
            other_mix: 0.003,
            stray_errors: 0.0003,
            mix_drift: 0.3,
            knock_on: 0.3,
            pass_on: 0.6,
            knock_on_bar: 1.0,
            sharpness: 2.4,
            prior: -0.2,
        }
    }
}

/// What is set beside healthy time.
pub mod observe {
    /// Healthy calls that the mean length of a kind of call is taken to rest on: more than make it known, and few
    /// enough that it is not certain. Without it: a difference of a hundredth is certain.
    pub const HEALTHY_CALLS: f64 = 100.0;
    /// Healthy calls of a pair that are taken to have been without a failure, as their outcomes are not learned.
    /// Smaller, the first failures of a pair are no news; larger, stray ones are.
    pub const HEALTHY_OUTCOMES: f64 = 500.0;
    /// A wait counts from this share of what a healthy request takes, and from half a millisecond: what is short beside
    /// the work holds nobody up. Without it: a wait of a tenth of a millisecond in place of a hundredth is a fault.
    pub const WAIT_SHARE_MIN: f64 = 0.3;
    pub const WAIT_MIN_S: f64 = 0.000_5;
    /// The spread of logarithms of times is read up to here: beyond, a mean says nothing anyway. Without it: one absurd
    /// duration makes a variance that no count outweighs.
    pub const LOG_SPREAD_MAX: f64 = 4.0;
    /// Just after a start, a queue that is longer than the work counts as grown by this (log), and so does the load
    /// that makes it. Without it: a service that saturates in the first half minute is not named.
    pub const QUEUES_BY_ITSELF: f64 = 1.0;
    /// Requests of a pod up to which their own spread is not looked at. Without it: two slow requests of a pod spread
    /// so widely that they say nothing.
    pub const FEW_COMPARED: i64 = 2;
}

/// What is seen, as evidence: log-likelihood ratios.
pub mod signs {
    /// How far times and counts of a few seconds drift in healthy time (log): a tenth from one minute to the next, as
    /// in recordings (`Parameters::drift`), and a little more within three seconds. Without it: any difference is
    /// certain once enough requests show it.
    pub const DRIFT: f64 = 0.13;
    /// Typical effect of a fault (log), as `Parameters::effect`. Smaller, large effects are taken for chance; larger,
    /// small ones are.
    pub const EFFECT: f64 = 2.0;
    /// The same of load (log): bursts that hurt double it. Larger, half as much again is no clear evidence, and neither
    /// saturation nor slowness is told.
    pub const LOAD_EFFECT: f64 = 0.7;
    /// Below this sign of slower work, requests are worked on as fast as ever, and a queue under more load is that load's. Larger,
    /// slow work is called saturation; at zero, chance in the times of a few requests calls a burst slow work.
    pub const OWN_FLAT: f64 = 1.0;
    /// No single sign of one window says more than this: a million requests show the same few seconds. Without it: one
    /// loud service outweighs all others, and what was believed takes as long to be forgotten.
    pub const STRONGEST: f64 = 8.0;
    /// What a healthy share of failures is worth at most, in calls. Without it: after a day without errors the first
    /// one is an outage.
    pub const SHARE_CALLS_MAX: f64 = 2_000.0;
    /// Chance that a share of failures simply jumps, as `Parameters::stray_errors`. Without it: five stray errors are
    /// as sure as an outage.
    pub const STRAY: f64 = 0.0003;
    /// Share of failures that is expected where none was seen: half of what objectives commonly allow. Smaller, the
    /// first error of a new endpoint is an outage; larger, a real one takes longer to be seen.
    pub const RARE: f64 = 0.005;
    /// What is seen by a test of its own, which chance passes less than once in a million, and is still not more than
    /// three of four signs together … Without it: tests of their own outweigh everything, or nothing.
    pub const SEEN: f64 = 6.0;
    /// … and what its absence says. Nearer to zero, causes are told without what makes them; farther, one that is not
    /// yet seen is never told.
    pub const NOT_SEEN: f64 = -4.0;
    /// The share of its concurrency that the load of a service would fill, were its callees as fast as ever, at which
    /// it is as likely its own doing as theirs, and how wide that border is (log). Lower, workers that a callee holds
    /// are scaled out; higher, a saturated service with one slow callee is a victim.
    pub const OWN_SHARE: f64 = 0.85;
    /// How wide that border is (log). Narrower, chance in a count of two seconds decides whose queue it is.
    pub const OWN_SHARE_SPREAD: f64 = 0.08;
    /// A factor (log) by which calls that grew are beyond doubt. Smaller, a retry of every third call is a caller that
    /// asks too much.
    pub const TWICE: f64 = 0.7;
    /// Share of full evidence that fewer say, beyond chance. Smaller, a caller that asks half as much again is not seen.
    pub const ASKED_LEAST: f64 = 0.3;
    /// Nearly all calls fail, and so many do. Lower, a slow callee whose callers give up is told to be gone.
    pub const ALL_FAILED: f64 = 0.95;
    /// Fewer that fail are an accident.
    pub const ALL_FAILED_MIN: f64 = 3.0;
    /// A pod differs from its siblings from here on (log): half as much again is what pods differ by anyway. Without
    /// it: the slowest of any few pods is bad.
    pub const POD_GROWN: f64 = 0.4;
    /// One request of a pod says no more than this, however slow it was. Without it: a child span that came late makes
    /// its pod bad.
    pub const POD_REQUEST: f64 = 2.0;
    /// Nor do requests that it should have served. Without it: a pod that a balancer leaves out is bad beyond doubt.
    pub const POD_MISSING_MAX: f64 = 4.0;
}

/// What causes explain.
pub mod causes {
    /// Chance of what a cause must show: nothing is certain. At one, a single odd second rules the right cause out.
    pub const SURE: f64 = 0.97;
    /// Chances of the signs at a place (`signs::AT`), and of those on the calls to it (`signs::OF`). Of each cause twice: where
    /// requests are held up there, and where they fail for it; what is seen is held against the better of both. Only their
    /// order of size counts, as each sign says three or four (log) where it is clear. Without one of them, the cause that
    /// shows it is not told from those that do not.
    pub type Chances = ([f64; 8], [f64; 4]);
    //    slow  vain  turned gone  pod   version asked errors  longer failed all   more
    pub const SATURATED: [Chances; 2] = [
        ([SURE, 0.30, 0.20, 0.01, 0.10, 0.02, 0.10, 0.10], [SURE, 0.20, 0.02, 0.20]),
        ([0.50, 0.90, 0.90, 0.10, 0.20, 0.02, 0.10, 0.20], [0.60, 0.95, 0.30, 0.30]),
    ];
    pub const DEGRADED: [Chances; 2] = [
        ([SURE, 0.10, 0.05, 0.01, 0.03, 0.02, 0.02, 0.05], [SURE, 0.10, 0.02, 0.10]),
        ([SURE, 0.90, 0.30, 0.05, 0.05, 0.02, 0.02, 0.20], [0.90, 0.95, 0.20, 0.30]),
    ];
    pub const REGRESSION: [Chances; 2] = [
        ([SURE, 0.10, 0.05, 0.01, 0.10, SURE, 0.02, 0.10], [0.90, 0.10, 0.02, 0.10]),
        ([0.90, 0.90, 0.30, 0.10, 0.10, SURE, 0.02, 0.30], [0.80, 0.95, 0.30, 0.30]),
    ];
    pub const AMPLIFICATION: [Chances; 2] = [
        // Each call may be served as fast as ever: then those who wait are the callers that make more of them.
        ([0.30, 0.10, 0.10, 0.01, 0.10, 0.02, SURE, 0.10], [0.30, 0.10, 0.02, 0.30]),
        ([0.50, 0.90, 0.90, 0.10, 0.20, 0.02, SURE, 0.20], [0.60, 0.95, 0.30, SURE]),
    ];
    pub const BAD_INSTANCE: [Chances; 2] = [
        ([0.60, 0.10, 0.05, 0.01, SURE, 0.10, 0.02, 0.10], [0.60, 0.10, 0.02, 0.10]),
        ([0.60, 0.90, 0.30, 0.02, SURE, 0.10, 0.02, 0.20], [0.60, 0.95, 0.02, 0.30]),
    ];
    pub const FAILING: [Chances; 2] = [([0.10, 0.05, 0.05, 0.01, 0.05, 0.02, 0.02, SURE], [0.10, SURE, 0.20, 0.30]); 2];
    pub const UNREACHABLE: [Chances; 2] =
        [([0.30, SURE, 0.30, 0.60, 0.02, 0.02, 0.02, 0.10], [0.50, SURE, 0.60, 0.30]); 2];
    /// Of a callee that sends no spans there are only the calls to it.
    const NO_SPANS: [f64; 8] = [0.0; 8];
    pub const SLOW_PEER: [Chances; 2] = [(NO_SPANS, [SURE, 0.30, 0.02, 0.20]), (NO_SPANS, [SURE, 0.95, 0.90, 0.30])];
    pub const FAILING_PEER: [Chances; 2] = [(NO_SPANS, [0.10, SURE, 0.10, 0.30]); 2];
    pub const GONE_PEER: [Chances; 2] = [(NO_SPANS, [0.60, SURE, SURE, 0.30]); 2];
    pub const PEER_ASKED_MORE: [Chances; 2] = [(NO_SPANS, [0.60, 0.30, 0.10, SURE]); 2];
    /// A place whose cause is over, while what queued meanwhile is served, or while its callers still give up. Without it: a queue
    /// that is worked off is another cause.
    pub const WORKED_OFF: [Chances; 2] = [
        ([SURE, 0.10, 0.10, 0.01, 0.20, 0.02, 0.10, 0.05], [SURE, 0.10, 0.02, 0.10]),
        ([0.60, 0.90, 0.50, 0.50, 0.30, 0.02, 0.20, 0.40], [0.60, 0.95, 0.60, 0.30]),
    ];
    /// Who waits for the place: whatever may follow is explained, and nothing of it must be seen. Smaller, in an outage that lasts
    /// the callers' signs, which are all that is left, add up to a cause at the caller.
    pub const VICTIM: Chances = ([SURE, SURE, SURE, SURE, 0.80, 0.02, 0.90, 0.90], [SURE, SURE, SURE, 0.90]);
    /// The same of what it mostly shows, shows now and then, and hardly ever. Without it: what callers show of a fault
    /// is not explained by it, or is explained by anything.
    pub const MOSTLY: f64 = 0.85;
    /// Between the two, of calls that too many requests make.
    pub const OFTEN: f64 = 0.6;
    pub const SOMETIMES: f64 = 0.3;
    pub const SELDOM: f64 = 0.1;
    /// Share of the blame that makes a service a candidate without any other sign. Without it: every service is weighed
    /// each second.
    pub const BLAMED_MIN: f64 = 0.1;
    /// Requests that missed tell by so many of them at most whose time it is. Larger, a loud endpoint's time outweighs
    /// what all requests of a service show.
    pub const BLAME_REQUESTS: f64 = 6.0;
    /// Least share of the blame that a cause is taken to explain. Without it: one that explains none is ruled out for
    /// ever.
    pub const EXPLAINED_MIN: f64 = 0.03;
    /// What a cause that is not known explains of the blame, and of all other signs together. Smaller, a guess is told;
    /// larger, nothing is.
    pub const UNKNOWN_EXPLAINS: f64 = 0.7;
    /// How much likelier (log) an unknown cause makes all else that is seen.
    pub const UNKNOWN_SIGNS: f64 = 2.0;
    /// What must be so and is not counts as this much at most. Without it: a load that is not known rules saturation
    /// out.
    pub const MUST_MAX: f64 = 6.0;
    /// Who waits turns calls away, or leaves them unanswered, beyond doubt from here on: then its concurrency is not
    /// seen.
    pub const FEW_ANSWERED: f64 = 2.0;
    /// Least share of what a new cause explains that is taken to be its own.
    pub const OWN_EVIDENCE_MIN: f64 = 0.000_1;
    /// While a queue is worked off, its place shows less than while the cause was there. Larger, what is over is told
    /// as going on.
    pub const WORKED_OFF_LOG: f64 = -0.2;
}

/// How causes follow one another, and when one is told.
pub mod belief {
    use std::time::Duration;

    /// Chance in a second that the cause changes into another: a few in an hour of trouble. Larger, what is told flips
    /// with each odd second; smaller, the next bottleneck is told late.
    pub const CHANGES: f64 = 0.01;
    /// Chance in a second that a cause ends and leaves a queue to be worked off. Smaller, a queue is taken for another
    /// cause; larger, what goes on is taken to be over.
    pub const ENDS: f64 = 0.03;
    /// Chance, before anything is seen, that the cause is none of those known.
    pub const UNKNOWN: f64 = 0.3;
    /// Chance that there is no second one. Smaller, consequences are told beside their cause.
    pub const NO_SECOND: f64 = 0.97;
    /// How likely a cause must be to be told. A wrong scale-out or restart costs more than a few seconds of `unknown`,
    /// three or four times as much: where both would be as bad, it were a half.
    pub const TOLD: f64 = 0.75;
    /// The same of a second one: it comes on top of a first that explains most already.
    pub const SECOND_TOLD: f64 = 0.95;
    /// What a second one must explain of the blame.
    pub const SECOND_SHARE_MIN: f64 = 0.15;
    /// States less likely than this (log) are left out. Without it: every cause that was ever possible is weighed each
    /// second.
    pub const FORGOTTEN: f64 = -14.0;
    /// No window counts for more than this (log) against what several have shown. Without it: a second in which most
    /// spans come late changes what is told.
    pub const WINDOW_SAYS_MAX: f64 = 12.0;
    /// An endpoint that kept to its objective for so long has recovered: what it misses afterwards is another matter.
    /// Shorter, a pause of two seconds starts another incident; longer, the next one is told as the last.
    pub const RECOVERED: Duration = Duration::from_secs(10);
}
