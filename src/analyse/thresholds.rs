//! Every number that the analysis chose, with the reason for its value and what breaks without it. What only defines a
//! format (buckets, columns, versions of a document) stays with it.

/// How sure a count must be.
pub mod chance {
    /// One entry operation is asked every second, some 86 000 times a day, whether its objective is missed: the chance of
    /// three standard deviations, 1 in 740, is as loose as one may be; the verdict needs further evidence anyway.
    /// Looser, calm endpoints count as missing their objective several times a day.
    pub const SURELY: f64 = 0.001_35;
    /// Two standard deviations: enough to look, not enough to say anything without further evidence.
    /// Looser, every tick looks into noise; tighter, quiet endpoints are looked into seconds later.
    pub const LIKELY: f64 = 0.022_8;
}

/// What is kept, so that names with identifiers in them and floods of spans cost no more than anything else.
pub mod memory {
    /// Names of one kind that are remembered: more than a large system has, and little beside the spans of a minute.
    /// Without it: `GET /user/4711` alone fills the memory in a week.
    pub const NAMES_MAX: usize = 20_000;
    /// Groups of one table in one tick, far more than services, pods and operations of a large system make. Past it the
    /// texts of a new group become `_other`: names that hold identifiers must not cost more than spans do.
    /// Without it: a tick of spans with an identifier in each name makes a row of each.
    pub const GROUPS_MAX: usize = 50_000;
    /// Spans kept at once. The judge takes a second's worth from all absorbers together; twice as many of one are left after
    /// the last in the order have gone.
    /// Without it: the sample of a flood is kept whole before it is thinned out.
    pub const SPANS_MAX: usize = 4 * SPANS_PER_SECOND as usize;
    /// Segments taken in one tick: more would push out those of the ticks before within a few ticks, and cost more than
    /// the analysis itself.
    /// Without it: exemplars cost more than the analysis.
    pub const SEGMENTS_TICK_MAX: usize = 10_000;
    /// Of those, the share of traces that kept their objective: people look for the others.
    /// Without it: calm endpoints push out the traces that people look for.
    pub const SEGMENTS_KEPT_TICK_MAX: usize = SEGMENTS_TICK_MAX / 2;
    /// Missed traces kept for each entry operation and tick: more than a finding shows.
    /// Without it: one loud endpoint takes the room of all.
    pub const MISSED_KEPT: usize = 8;
    /// Segments kept, about 150 bytes each: a few minutes of a small system, seconds of a large one.
    /// Without it: exemplars grow with the load.
    pub const SEGMENTS_MAX: usize = 200_000;
    /// Kinds of call that are remembered. Past it all are forgotten: names carry identifiers, and those that come again are
    /// learned again within a tick.
    /// Without it: span names with identifiers are remembered for ever.
    pub const CALL_KINDS_MAX: usize = 100_000;
    /// Operations of one service that are remembered, and callees of one operation.
    /// Without it: one service with identifiers in its operations pushes out the others.
    pub const OPERATIONS_MAX: usize = 2_000;
    /// The last so many of a service: images and nodes change, and a 95th percentile of fewer is their maximum.
    /// Without it: start-up times of images long gone tell how early to order.
    pub const KEPT: usize = 32;
    /// A ConfigMap holds a MiB with all its metadata; half of that leaves room, and holds some thousand operations.
    /// Without it: the API server refuses the ConfigMap, and nothing is kept over a restart.
    pub const BYTES_MAX: usize = 512 << 10;
    /// Exemplars kept for each entry operation.
    /// Without it: findings carry lists that nobody reads.
    pub const EXEMPLARS: usize = 5;
    /// Exemplars kept a service: enough to choose from, few enough to read.
    /// Without it: a profile grows with its traces.
    pub const EXEMPLARS_MAX: usize = 5;
    /// Beyond, one more or less lost hardly shows.
    /// Without it: telling lost children from absent ones costs a pass for each.
    pub const KINDS_MAX: usize = 7;
    /// Suspects that get a verdict, evidence and exemplars: enough for those who read on after the first. Each costs a pass
    /// over the rows, and the rest has next to no probability.
    /// Without it: large systems pay a pass over all rows for suspects of no probability.
    pub const EXPLAINED_MAX: usize = 10;
    /// Spans a second in the sample; as many may come at once.
    /// Without it: the cost of a tick grows with the load.
    pub const SPANS_PER_SECOND: i64 = 1_000;
    /// Traces of one entry operation between two ticks. An average of more is hardly better, and others have room.
    /// Without it: loud endpoints take the sample of the quiet ones.
    pub const TRACES_EACH: usize = 10;
}

/// How requests are counted into rows.
pub mod rollup {
    /// A request that took more than this part of its objective is at risk: ordinary requests are well below, as an
    /// objective lies above what is healthy by a factor, or it is missed all day.
    /// Smaller, ordinary requests are at risk; larger, an endpoint of few requests is looked into when it has missed.
    pub const AT_RISK: i64 = 2;
    /// Requests that one may stand for; nobody samples less than one in a million, and sums must not overflow.
    /// Without it: one span with an absurd `tracestate` overflows the sums of its second.
    pub const WEIGHT_MAX: f64 = 1e6;
}

/// What tells of telemetry itself.
pub mod telemetry {
    use std::time::Duration;

    /// A trace without a root is closed when it has been idle for ten seconds: half a minute sees it, and enough others.
    /// Without it: a shorter one forgets lost roots before their traces close.
    pub const WINDOW: Duration = Duration::from_secs(30);
    /// Below this share a restarting pod or a late batch explains it.
    /// Without it: a collector that restarts is reported as lost spans.
    pub const SHARE_MIN: f64 = 0.01;
    /// Fewer spans than these are an accident.
    /// Without it: one late batch is reported.
    pub const SPANS_MIN: i64 = 10;
    /// Traces of a tick below which their share is chance.
    /// Without it: quiet minutes look like another sampler.
    pub const ENOUGH: i64 = 20;
    /// The usual share follows within some minutes, so that a rollout over that time is seen as a change all the while.
    /// Faster, a rollout of samplers is over before it is seen.
    pub const WEIGHT: f64 = 1.0 / 60.0;
    /// A share that differs by more is of other samplers.
    /// Smaller, chance suspends scale-in.
    pub const CHANGED: f64 = 0.2;
}

/// What healthy time is, and from how much of it anything is known.
pub mod healthy {
    use std::time::Duration;

    /// How long rows wait. An incident is noticed by its missed objective a few seconds after it began; what came in between
    /// must not be learned.
    /// Shorter, the first seconds of each incident are learned as normal.
    pub const QUARANTINE: Duration = Duration::from_secs(15);
    /// Requests after which the old half of a baseline fades: a few minutes at a hundred a second, hours at one.
    /// Without it: a busy service is held against last month.
    pub const HALVE_AT_REQUESTS: i64 = 50_000;
    /// Seconds after which a pod that served nothing is forgotten: far more than a second's rows are ever apart.
    /// Without it: pods that are gone pile up.
    pub const POD_REMEMBERED_S: i64 = 60;
    /// Requests that make a baseline: the mean of fewer says little.
    /// Without it: a service is slow beside the five requests it began with.
    pub const BASELINE_REQUESTS: i64 = 50;
    /// Requests that make a mean: with times spread as widely as their mean, it errs by a fifth, far from the half more
    /// that counts as growth. Traces that are sampled one in a hundred reach it within a minute.
    /// Without it: requests are set beside the mean of two.
    pub const OPERATION_REQUESTS: i64 = 25;
    /// Seconds of an hour, over the days before, from which its load is known.
    /// Without it: one minute of yesterday excuses a burst of today.
    pub const HOUR_SECONDS: i64 = 600;
    /// Healthy time of longer ago is of other releases and other habits: a week has seen every day of it.
    /// Without it: a system is held against what it was months ago.
    pub const AGE_MAX_S: f64 = 7.0 * 24.0 * 3600.0;
    /// The clocks of two machines may differ by so much; a snapshot from later than that is of another clock.
    /// Without it: a snapshot of a clock that ran ahead is never too old.
    pub const AHEAD_MAX_S: f64 = 60.0;
}

/// What is looked into, and over which time.
pub mod judging {
    use std::time::Duration;

    /// Seconds before the fast window that a trend needs, and a judgement on few requests.
    /// With less, one trace in a hundred shows nothing; with more, the longer view still shows what is over.
    pub const LONG_EXTRA: Duration = Duration::from_secs(5);
    /// Requests in the fast window below which a longer one is asked as well: of a hundred, a share of one in a hundred is
    /// no more than one request.
    /// Without it: quiet endpoints are judged by the three seconds in which they had two requests.
    pub const FEW_REQUESTS: i64 = 100;
    /// As many in the longer one, which is not three times as long: below, requests at risk count as well.
    /// Without it: at one trace in a hundred a miss is seen when the second or third request has missed.
    pub const FEW_LONG: i64 = 3 * FEW_REQUESTS;
}

/// A service beside healthy time.
pub mod service {
    /// Arrivals above this multiple of healthy time are "more load". Poisson noise and daily drift
    /// within the minutes of a baseline stay below; a burst that hurts at 50 % utilisation is near 2.
    /// Lower, the noise of a minute explains slowness and services are scaled out for it; higher, bursts at high utilisation are `degraded`.
    pub const MORE_LOAD: f64 = 1.25;
    /// Standard deviations of a count that more load must stand clear of: where one trace in a hundred is seen, a rate is
    /// known by some dozen requests.
    /// Without it: at one trace in a hundred chance is more load.
    pub const LOAD_DEVIATIONS: f64 = 2.0;
    /// Time a request spends in a place has grown: well clear of noise, small against what misses an objective.
    /// Lower, noise accuses; higher, what misses a tight objective is nobody's.
    pub const GROWN: f64 = 1.5;
    /// Below this share of what it answers in healthy time a service has collapsed. What is answered too late for its
    /// caller is not counted, so a good part may be missing.
    /// Without it: a service that hangs is scaled out.
    pub const COLLAPSED: f64 = 0.3;
    /// One pod is far from its siblings.
    /// Lower, the slowest of any few pods is bad.
    pub const FAR: f64 = 3.0;
    /// Requests of a pod below which its mean says nothing.
    /// Without it: one slow request is a bad pod.
    pub const POD_REQUESTS: i64 = 5;
    /// Requests of a new version from which their mean may say that it is far slower: where times spread by half (lognormal),
    /// each of three at three times the mean is two deviations off.
    /// Without it: a bad release is named when it serves many.
    pub const FAR_REQUESTS: i64 = 3;
    /// A share of errors that objectives commonly allow, and that a service may have without being the matter.
    /// Without it: a stray error makes a service fail.
    pub const ERRORS: f64 = 0.01;
    /// Requests from which their mean may say that a service became slower, with nothing else to bear it out.
    /// Without it: three slow requests at night are told as a slow service.
    pub const DEGRADED_REQUESTS: i64 = 10;
    /// Below this multiple of healthy time load is as before: a burst that hurts passes it seconds before anybody feels it.
    /// Without it: the first seconds of a burst are told as a slow service.
    pub const SAME_LOAD: f64 = 1.15;
    /// Seconds that tell whether calls are answered any more: a call may take a second, and more would be late.
    /// Shorter, a service that stalls for a second is gone; longer, `unreachable` comes late.
    pub const UNREACHABLE_SECONDS: i64 = 2;
    /// A service that answers less than this share of its calls, and of what it used to answer, is gone.
    /// Without it: a service that answers one call in twenty to a probe is not gone.
    pub const UNANSWERED: f64 = 0.1;
    /// Calls that ended in vain from which on that is no accident.
    /// Without it: one refused connection is an outage.
    pub const IN_VAIN_MIN: i64 = 3;
    /// Least spread (log) of the times of single requests: buckets are read at their edge.
    /// Without it: requests that all fall into one bucket make the smallest difference certain.
    pub const LEAST_SPREAD: f64 = 0.2;
    /// Standard errors by which a pod or a version must stand clear of `GROWN` before it is accused: dozens of pods are asked each
    /// second of the day, so chance must not do in a million answers.
    /// Lower, healthy pods are restarted; higher, bad pods of quiet services are never named.
    pub const CLEAR: f64 = 4.5;
}

/// Pods, as the cluster tells of them.
pub mod pods {
    use std::time::Duration;

    /// After readiness a pod is warming for a while (caches, JIT, pools); what it does then is neither its capacity nor a
    /// fault.
    /// Without it: new pods are slow ones, and their first answers their capacity.
    pub const WARM_UP: Duration = Duration::from_secs(10);
    /// For so long after it was ready a pod differs from its siblings for reasons of its own: caches and pools fill, code is
    /// compiled, and what queued before it came stays with the old ones. Longer than the warm-up of most runtimes.
    /// Without it: old pods that work off a queue beside new ones are bad.
    pub const YOUNG: Duration = Duration::from_secs(60);
    /// A pod is silent that serves less than this share of what is expected, as it did in healthy time or as its siblings
    /// do.
    /// Without it: a pod that serves one request while it hangs is not silent.
    pub const SILENT: f64 = 0.1;
    /// And that chance leaves it so little is as rare as this (Poisson): none of twelve, or one of fifteen. Silence alone names
    /// nobody, calls that nobody answers are asked for as well.
    /// Without it: pods of quiet services are silent by chance.
    pub const CHANCE: f64 = 1e-5;
}

/// Whose time it is.
pub mod attribution {
    /// With its callees as fast as in healthy time, the load would keep this share of the seen concurrency busy:
    /// below, the service is a victim of what it calls; above one, the queue is its own; between, a callee decides that is
    /// at fault itself.
    /// Lower, workers that a callee holds are scaled out; higher, a saturated service with one slow callee is a victim.
    pub const OWN_SHARE: f64 = 0.75;
    /// Calls below which a callee is slow only if they take so many times as long: of three, one that took longer makes half more.
    /// Without it: three calls make a slow dependency.
    pub const SLOW_CALLS: i64 = 10;
    /// Without it: the same, at a factor of one and a half.
    pub const SLOW_FEW: f64 = 3.0;
    /// A slow callee's callee's callee … is followed this far; graphs of services are seldom deeper.
    /// Without it: a graph with a circle is followed for ever.
    pub const DEPTH_MAX: usize = 8;
}

/// More calls than requests explain.
pub mod amplification {
    /// Calls for each request count as amplified from half as many again: a single retry of every second call.
    /// Without it: another mix of requests is a caller that asks too much.
    pub const AMPLIFIED: f64 = 1.5;
    /// Standard deviations of a count above what chance explains, as for objectives (`objective::exceeds`).
    /// Without it: seven calls where three are expected accuse a caller.
    pub const DEVIATIONS: f64 = 3.0;
}

/// The course of an outage.
pub mod course {
    use std::time::Duration;

    /// An endpoint that kept to its objective for so long has recovered: what it misses afterwards is another matter.
    /// Shorter, a pause of two seconds starts another incident; longer, the next one is told as the last.
    pub const RECOVERED: Duration = Duration::from_secs(10);
    /// After a cause that held callers back is gone, what queued meanwhile is worked off: no request waits longer than the longest
    /// timeouts one meets.
    /// Without it: while a queue is worked off its service is told to be saturated, and scaled out when all is over.
    pub const BACKLOG: Duration = Duration::from_secs(60);
    /// The same after one that was short of capacity: its own queue ends with it, and the next bottleneck may be its caller.
    /// Without it: the next bottleneck waits for a minute.
    pub const SETTLED: Duration = Duration::from_secs(5);
    /// Another cause must be seen for so long before it takes the place of one that is gone …
    /// Without it: one odd second changes what is told.
    pub const CONFIRMED: Duration = Duration::from_secs(1);
    /// … and of one that is still there.
    /// Without it: consequences take the place of their cause.
    pub const CONFIRMED_BESIDE: Duration = Duration::from_secs(5);
    /// What is slow for no other reason must be so for so long: in the first seconds of a burst the reason is not yet seen.
    /// Without it: the first seconds of each burst are told as a slow service.
    pub const BY_ITSELF: Duration = Duration::from_secs(3);
    /// No request waits longer than the longest timeouts one meets.
    /// Without it: a wait that no clock makes holds a service for ever.
    pub const WAIT_MAX: Duration = Duration::from_secs(60);
}

/// What is told to people.
pub mod findings {
    /// A suspect at least this likely is told to people unasked: of five such four are faults at least. What is lost of a trace's
    /// shape seldom comes above 0.95, as an operation may be meant to have changed (`Parameters::other_mix`).
    /// Lower, people are told guesses.
    pub const SURE: f64 = 0.8;
    /// More decimals than this are never needed: a share that differs less from its objective does not miss it.
    /// Without it: a share is told with sixteen digits.
    pub const DECIMALS_MAX: usize = 6;
    /// A change below a fifth explains nothing, so it is not worth a line.
    /// Without it: each sentence lists what did not change.
    pub const TELLING_FACTOR: f64 = 1.2;
}

/// What a service needs.
pub mod load {
    /// Requests in the fast window below which a service counts as one of low traffic: they say little of what many would need.
    /// Without it: replicas are ordered, and given back, by a handful of requests.
    pub const LOW_TRAFFIC_REQUESTS: i64 = 20;
}

/// The sample of traces that is compared in the loop.
pub mod sample {
    use std::time::Duration;

    /// What is judged as one: the shorter tells sooner, the longer of quieter ones; as the rest of the analysis does.
    /// One alone is late for quiet services, or blurred for loud ones.
    pub const VIEWS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(8)];
    /// Rows of healthy time that are compared in a tick, in a millisecond or two. Of more, the answer is that of an earlier tick …
    /// Without it: large systems spend their ticks on what nobody feels.
    pub const ROWS_A_TICK: usize = 1_000;
    /// … of this many at most, unless an objective is missed.
    /// Without it: an answer is half a minute old.
    pub const TICKS_MAX: usize = 5;
    /// How long a portion of the sample waits before it counts as healthy, and for how long before it nothing may have been
    /// missed; as for the rest of healthy time (`baseline`).
    /// Without it: incidents are learned as normal.
    pub const QUARANTINE: Duration = Duration::from_secs(15);
    /// Spans of one half of healthy time: the older half is forgotten when the newer has as many. A few minutes.
    /// Without it: a change of last week is news, or memory grows.
    pub const HALF_SPANS: u64 = 100_000;
    /// Traces of healthy time from which on anything can be said to have changed.
    /// Without it: the first minute of each start is full of changes.
    pub const HEALTHY_TRACES_MIN: u64 = 300;
    /// A change of which it is more likely than not that it is a fault is not learned …
    /// Without it: faults are learned as normal, or nothing is learned any more.
    pub const LIKELY: f64 = 0.5;
    /// … until it has lasted this long without an objective missed. Then it is how the system is meant to be: a release that
    /// no longer calls somebody.
    /// Without it: a release that no longer calls somebody is suspected for ever.
    pub const ACCEPTED_AFTER: Duration = Duration::from_secs(600);
    /// Answers in a row by which a service is failing before that is told: where users will feel it, they do by then.
    /// Without it: one odd view is told as an early return.
    pub const ANSWERS_MIN: usize = 3;
    /// Time without a missed objective before that: what was given up while one was missed ends, is analysed and leaves the
    /// sample within it.
    /// Without it: what was given up in an outage is told as an early return after it.
    pub const CALM: Duration = Duration::from_secs(20);
    /// Suspects that are told, and how likely they are at least.
    /// Without it: findings carry a list of the improbable.
    pub const TOLD_MAX: usize = 3;
    /// Without it: the same.
    pub const TOLD_SCORE_MIN: f64 = 0.1;
}

/// Two stretches of time beside each other (`diagnose`, `score`, and the sample); with them belong [`Parameters`].
pub mod change {
    /// A suspect less likely than all others together gets no verdict: a rule would act on a guess.
    /// Without it: rules act on a guess.
    pub const SCORE_MIN: f64 = 0.5;
    /// Load counts as grown from a fifth on: less is within what healthy minutes differ by, and a fifth is the least
    /// that brings a service at a sensible utilisation near its knee.
    /// Without it: the drift of a healthy hour explains slowness.
    pub const LOAD_GROWTH_MIN: f64 = 1.2;
    /// Calls for each request count as amplified from half as many again: a single retry of every second call.
    /// Without it: another mix of requests is a caller that asks too much.
    pub const AMPLIFICATION_MIN: f64 = 1.5;
    /// A caller is not answered any more when at least half of its calls fail without an answer: with fewer, somebody is there
    /// and turns away some.
    /// Without it: a service that turns some away is told to be gone.
    pub const UNANSWERED_MIN: f64 = 0.5;
    /// The same of a peer without spans, all callers together: one that is slow makes many calls time out, and answers others.
    /// Without it: a slow third party is told to be gone.
    pub const UNANSWERED_BY_PEER_MIN: f64 = 0.9;
    /// Evidence (log) from which on time speaks for itself: likelier by 20 to 1, so that callers who gave up on what is slow
    /// are its consequence.
    /// Without it: a slow service is told to fail since its callers give up.
    pub const TIME_MIN: f64 = 3.0;
    /// Standard deviations of a count above what chance explains, as for objectives (`objective::exceeds`).
    /// Without it: chance in two counts is more load.
    pub const VERDICT_DEVIATIONS: f64 = 3.0;
    /// A version counts as rolled out from a tenth of the requests on: a canary shows, a stray pod does not.
    /// Without it: a stray pod of an old image is a release.
    pub const VERSION_SHARE_MIN: f64 = 0.1;
    /// Of the calls of a kind, the share that must be answered in healthy time before one without an answer counts as lost.
    /// Of the spans of some mesh four fifths may be lost; a third party that answers one call in ten with spans is none.
    /// Without it: third parties count as services that lost their spans.
    pub const ANSWERED_MIN: f64 = 0.1;
    /// Where a call does not say enough, the share of healthy calls like it that one service must have answered.
    /// Without it: calls are charged to whoever answered one like them.
    pub const AGREED_MIN: f64 = 0.9;
    /// Standard deviations of a count by which calls of a kind must be unanswered more often, before somebody misses them.
    /// Without it: spans lost by chance are missed by somebody.
    pub const MISSED_DEVIATIONS: f64 = 3.0;
    /// Equal pieces of time that a stretch is made of: an eighth of an hour's recording is a usual length of an incident.
    /// Without it: an incident hides in the stretch that is taken for healthy.
    pub const PIECES: usize = 8;
    /// Traces that a baseline and an incident need at least: fewer have no p90.
    /// Without it: a p90 is read from three traces.
    pub const TRACES_MIN: usize = 10;
    /// Standard deviations by which the rest must be slower. There are 21 stretches to choose from and neighbours in
    /// time are not independent, so the usual three would find calm in noise.
    /// Without it: calm is found in noise.
    pub const CALM_DEVIATIONS: f64 = 6.0;
    /// The rest must be slower by a fifth: less is the drift of healthy time, however certain.
    /// Without it: an hour that drifts has an incident in it.
    pub const GROWTH_MIN: f64 = 1.2;
    /// The share of orphans from which on spans count as lost at random, and their parents' own time as polluted by it: fewer
    /// are spans that were late.
    /// Without it: late spans count as lost ones.
    pub const LOSS_MIN: f64 = 0.02;
    /// Spans of an operation with all of their children, in share and in number, that its own time can be told from.
    /// Without it: own times are read from the few spans that kept their children by chance.
    pub const WHOLE_SHARE_MIN: f64 = 0.1;
    /// Without it: the same, of too few.
    pub const WHOLE_MIN: u64 = 5;
    /// Single healthy calls around their key's mean, in steps of 1/8 of a log unit, up to ±10.
    /// Without it: one absurd duration makes a table of any size.
    pub const STEPS_MAX: i32 = 80;
    /// A baseline of fewer calls says nothing of the spread within a key.
    /// Without it: keys of two equal calls have no spread, and any change is certain.
    pub const SPREAD_CALLS_MIN: f64 = 5.0;
    /// The quantile that objectives are derived for, as is usual.
    /// Without it: derived objectives promise another quantile than people do.
    pub const QUANTILE: f64 = 0.99;
    /// Above the healthy p99: 10 % is what two healthy minutes differ by anyway, and durations are read to 5 %.
    /// Without it: healthy time misses its own objective.
    pub const SLACK: f64 = 1.15;
    /// Evidence against an early return where a call is made more often than before: it cannot be one, whatever the counts.
    /// Without it: an operation that changed its calls is an early return.
    pub const NOT_LOST: f64 = -5.0;
    /// The lost share of a baseline's spans that can be corrected for; with fewer than a tenth left nothing can.
    /// Without it: next to nothing left is scaled up to anything.
    pub const ORPHANS_MAX: f64 = 0.9;
    /// Spans that the share of orphans among all counts as, beside those of one operation.
    /// Without it: one orphan of two spans corrects by half.
    pub const ORPHANS_WORTH: f64 = 10.0;
    /// Kept off each probability, so that a reader who adds them up never finds more than 1: the error of adding a
    /// thousand doubles is smaller.
    /// Without it: probabilities add up to a little more than one.
    pub const ROUNDING: f64 = 1e-12;
    /// How often `Parameters::fit` goes over all parameters: after the second round next to none moves.
    /// Without it: fitting takes twice the time and moves nothing.
    pub const ROUNDS: usize = 2;
    /// A value is tried this much larger and smaller in each round; what a reason of the kind given above can leave open.
    /// Without it: fitting misses what lies between, or takes steps that change nothing.
    pub const STEP: f64 = 1.5;
    /// Shares and chances stay below: at one they would forbid the other case.
    /// Without it: evidence against a chance of one is infinite.
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
    /// A key's own variance counts as its number of calls, the typical variance of all keys as this many: the
    /// variance of few calls is worth little.
    pub spread_calls: f64,
    /// Share of one caller's operations towards one callee that feel the fault of either.
    pub share_of_pair: f64,
    /// Share of a faulty service's callers that feel it.
    pub share_of_callers: f64,
    /// Share of a starved service's callees towards which it is slow: some calls are too rare to show it.
    pub share_of_callees: f64,
    /// Chance that a fault which shows in calls sits in the caller: a caller is starved or cut off towards everybody, which
    /// is rarer than a callee that is slow or gone.
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
    /// Callers' symptoms are credited to a callee once its own evidence passes ln(services), because one of so
    /// many services looks odd by chance, plus this (another factor e).
    pub knock_on_bar: f64,
    /// Evidence is tempered twice by a square root, because keys of one service are not independent; this undoes
    /// it on the way to a probability. Fitted (with `prior`) to the calibration of scores.
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
