//! What is kept, so that names with identifiers in them and floods of spans cost no more than anything else.

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
/// Children of a span that are counted: beyond, one more or less lost hardly shows. Without it: telling lost children from
/// absent ones costs a pass for each.
pub const CHILDREN_MAX: usize = 7;
/// Suspects that get a verdict, evidence and exemplars: enough for those who read on after the first. Each costs a
/// pass over the rows, and the rest has next to no probability. Without it: large systems pay a pass over all rows
/// for suspects of no probability.
pub const EXPLAINED_MAX: usize = 10;
/// Spans a second in the sample; as many may come at once. Without it: the cost of a tick grows with the load.
pub const SPANS_PER_SECOND: i64 = 1_000;
/// Traces of one entry operation between two ticks. An average of more is hardly better, and others have room.
/// Without it: loud endpoints take the sample of the quiet ones.
pub const TRACES_EACH: usize = 10;
/// Endpoints whose kind of work is remembered; far more than systems have. Without it: streams with identifiers in their
/// names are remembered for ever.
pub const ENTRIES_MAX: usize = 50_000;
/// Messages whose sending is remembered, about 60 bytes each: those of an hour at 50 a second. Without it: messages that
/// nobody takes are remembered for ever.
pub const SENT_MAX: usize = 200_000;
/// Endpoints that are left aside and counted; names of streams may hold identifiers as well. Without it: each is counted for
/// ever.
pub const ASIDE_MAX: usize = 1_000;
/// Entry operations and services whose sight is told: those with the most requests. Without it: findings carry lists that
/// nobody reads.
pub const SIGHT_LISTED_MAX: usize = 50;
/// Samples of one host's clock in a tick: more would say the same. Without it: telling clocks costs with the load.
pub const CLOCK_SAMPLES_MAX: usize = 32;
/// Hosts in a tick that differ. Where more do, it is no matter of single hosts. Without it: a fleet of phones costs a row each.
pub const CLOCK_HOSTS_TICK_MAX: usize = 2_000;
/// Hosts whose clocks are remembered. Without it: each pod that ever was is.
pub const CLOCK_HOSTS_MAX: usize = 1_000;
