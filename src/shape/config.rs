//! The numbers by which traffic is shaped, each with its reason.

/// What the bucket of a service holds, in seconds at its rate: longer lets a burst through that then waits at the service,
/// shorter sheds what would have found room a moment later. Waiting of a quarter of a second keeps most objectives.
pub(super) const BURST_S: f64 = 0.25;
/// … and at least so many of the dearest requests for each level, or the levels of a small service could not be told apart.
pub(super) const BURST_REQUESTS: f64 = 4.0;
/// Every level gets this share of the limit in any case: little beside what is protected, and nobody is shut out for
/// good.
pub(super) const TRICKLE: f64 = 0.01;
/// What it did not use of that is kept for so long.
pub(super) const TRICKLE_SAVED_S: f64 = 5.0;
/// How often, and by how much, the fair share of a client is moved: by 2.6 times a second, the time in which use fades.
pub(super) const FAIR_EVERY_NS: i64 = 50_000_000;
pub(super) const FAIR_STEP: f64 = 1.05;
/// A ten-thousandth of a limit: with more clients than that a fair share is no request.
pub(super) const FAIR_LEAST: f64 = 1e-4;
/// What `Retry-After` says at least: a service recovers within a few ticks or not soon.
pub(super) const RETRY_AFTER_S: f64 = 2.0;
/// Entry operations and levels that are counted one by one: a thousand routes in four levels.
pub(super) const ENTRIES_MAX: usize = 4096;

/// A queue is worked off within this time: about as long as it takes to see what a limit did (spans come a second late, and
/// a tick is a second). At two seconds, of a second of queue a third is left when the third second after a step to three times
/// what fits begins; at one, submits are turned away to work it off.
pub(super) const DRAIN_S: f64 = 1.5;
/// While a queue is worked off, this share of what the service can do is still let in: to stop it altogether would shed
/// what has room a moment later.
pub(super) const LEAST_SHARE: f64 = 0.3;
/// The queue that is aimed at holds a request for about as long as it is served, within these bounds: shorter leaves
/// workers idle between two requests, longer takes from what users wait.
pub(super) const QUEUE_MIN_S: f64 = 0.005;
pub(super) const QUEUE_MAX_S: f64 = 0.1;
/// Requests that wait several times as long as the queue that is aimed at tell that all workers were busy: what was served
/// meanwhile is what it can do. At less, a second was only partly busy.
pub(super) const BUSY_QUEUES: f64 = 2.0;
pub(super) const BUSY_S: f64 = 0.05;
/// Busy seconds so far apart are of two overloads. Less, one that comes in waves counts as many; and what is slow for another reason
/// tells for so long no limit: its last requests end within it.
pub(super) const BUSY_APART_S: f64 = 10.0;
/// How much of a new measurement of that is believed: a second's noise is a few per cent, and what it can do changes within
/// seconds when a database does.
pub(super) const KNEE_WEIGHT: f64 = 0.3;
/// While requests are shed and the queue is short, more is tried: by so much a tick. What it was taken for is then too
/// little, or has become so. Three times as much overshoots by a tenth before spans tell, and the queue swings.
pub(super) const PROBE: f64 = 1.01;
/// Where hardly any request has waited for so many ticks, what it can do was learnt while something else held it back, and has come back:
/// then more is tried at once. Less patient, a service at its limit is overrun by what telemetry has not told yet.
pub(super) const PATIENT_TICKS: u32 = 6;
pub(super) const PROBE_IDLE: f64 = 1.06;
/// A pod serves at about half its speed while it warms up.
pub(super) const WARMING_SHARE: f64 = 0.5;
pub(super) const WARM_UP_S: f64 = 10.0;
/// Work offered is averaged over so many reports: one of them alone is noisy, four are late.
pub(super) const REPORTS: usize = 3;
/// … except for a rise that chance does not explain: what the last report is above the mean by, less so many standard deviations of a
/// second's count (it is Poisson's). By chance alone it happens once in twelve minutes; by the mean a step to three times what
/// fits would be seen a second later, and that is a second of queue.
pub(super) const ONSET_DEVIATIONS: f64 = 3.0;
/// A permit to shed counts as its record until that shows, for so long at most: it is written within a second and seen with the
/// next look at the cluster, and a queue grows meanwhile.
pub(super) const SHOWN_WITHIN_S: u64 = 5;
/// How much of a new measurement of a request's cost is believed.
pub(super) const COST_WEIGHT: f64 = 0.3;
/// Limits that nobody renewed for so long are void: ticks come every second, and a headroom that hangs must not shed on.
pub(super) const VALID_S: u64 = 10;
/// A gateway that told of no request for so long is taken to be detached. Shorter, a quiet minute is; longer, what is shed is
/// shed by nobody.
pub(super) const ASKED_WITHIN_S: u64 = 60;
/// So long after a gateway last turned a request away, the traces of such requests have all come.
pub(super) const TURNED_AWAY_SEEN_S: u64 = 30;
/// Requests of a level that did not come for so long are no level of their own any more.
pub(super) const LEVEL_SEEN_S: f64 = 60.0;
/// Levels that are kept apart at one service.
pub(super) const LEVELS_MAX: usize = 16;
