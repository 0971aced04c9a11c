//! Do the clocks of the senders agree with ours?
//!
//! headroom stamps what it receives by a clock that never steps: the time at which it started, plus what has passed since
//! by the monotonic clock. When every clock of a cluster is corrected at once, the spans' own times move away from it, and
//! it has to follow in one step. When only the clock of this machine is corrected, there is nothing to follow. And spans
//! that come late, out of a queue that was kept during an outage, look much like a clock that was set back.
//!
//! So each sender's spans are compared with what is usual for that sender, the median over the senders decides, and a
//! second witness has to confirm it: this machine's own clock, which stepped by as much; or a time that no delay can
//! make, a span from the future or a sender whose spans begin again at an earlier time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{ClockStep, SpanBatch, Time};

/// Less than this is a matter of batches that come sooner or later.
const DISAGREEMENT_NS: i64 = 2_000_000_000;
/// How long most senders must disagree where nothing but their spans says so.
const SPANS_ALONE: Duration = Duration::from_secs(10);
/// And where this machine's own clock stepped by as much: long enough that most senders have been heard.
const WITH_OWN_CLOCK: Duration = Duration::from_secs(2);
/// Fewer senders than this may all be wrong together; then the machine's own clock must agree.
const SENDERS_MIN: usize = 3;
/// A sender that was silent for longer says nothing of now.
const ACTIVE: Duration = Duration::from_secs(3);
/// The senders that disagree must do so by the same amount, give or take the time between their batches.
const SPREAD_NS: i64 = 1_500_000_000;
/// No pipeline is slower in its usual state (tail sampling waits half a minute): a first batch that is older comes out of
/// a queue, and one that is newer than now from a wrong clock.
const USUAL_NS_MAX: i64 = 30_000_000_000;
/// A delay that lasts this long, and that nothing confirms as a step, has become the usual one.
const RELEARN: Duration = Duration::from_secs(60);
/// The usual delay follows the last ten batches or so.
const WEIGHT: f64 = 0.1;
/// Senders that are compared; a median needs no more.
const SENDERS_MAX: usize = 1_000;
/// Rows that are looked at in a tenth of a second, in one batch or in many: a batch of a Collector holds spans of all
/// senders side by side, and a flood of small ones is not worth more.
const ROWS_MAX: usize = 256;
const SLOT_NS: i64 = 100_000_000;

/// One sender: the spans of one pod of a service, or of a service that names no pods.
#[derive(Clone, Copy, Debug)]
struct Sender {
    /// From the end of a batch's newest span to its receipt, as it usually is.
    usual_ns: i64,
    delay_ns: i64,
    heard_at: Time,
    newest: Time,
    deviates_since: Option<Time>,
    /// Its spans began again at an earlier time, by about as much as they deviate.
    went_back: bool,
}

impl Sender {
    fn new(received_at: Time, newest: Time) -> Sender {
        let delay_ns = received_at.nanos_since(newest);
        let usual_ns = delay_ns.clamp(0, USUAL_NS_MAX);
        Sender { usual_ns, delay_ns, heard_at: received_at, newest, deviates_since: None, went_back: false }
    }

    /// How far its clock has moved forward against ours, in nanoseconds.
    fn moved_ns(&self) -> i64 {
        self.usual_ns.saturating_sub(self.delay_ns)
    }

    fn hear(&mut self, received_at: Time, newest: Time) {
        self.delay_ns = received_at.nanos_since(newest);
        self.heard_at = received_at;
        let moved_ns = self.moved_ns();
        if moved_ns.abs() <= DISAGREEMENT_NS {
            self.usual_ns += ((self.delay_ns - self.usual_ns) as f64 * WEIGHT) as i64;
            (self.deviates_since, self.went_back) = (None, false);
            self.newest = self.newest.max(newest);
            return;
        }
        // Batches that overtake each other go back a little; a clock that was set back goes back by all of it.
        self.went_back |= moved_ns < 0 && self.newest.nanos_since(newest) >= moved_ns.abs() / 2;
        self.newest = newest;
        let since = *self.deviates_since.get_or_insert(received_at);
        if received_at > since + RELEARN {
            (self.usual_ns, self.deviates_since, self.went_back) = (self.delay_ns.max(0), None, false);
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct SourceClocks {
    senders: BTreeMap<String, Sender>,
    /// Since when most senders have disagreed, and whether their times moved forward.
    disagree: Option<(Time, bool)>,
    /// The tenth of a second at hand, and rows looked at in it.
    slot: i64,
    looked_at: usize,
}

impl SourceClocks {
    /// Compares a batch with the clock that stamped it.
    pub fn hear(&mut self, received_at: Time, batch: &SpanBatch) {
        let slot = received_at.0.div_euclid(SLOT_NS);
        if slot != self.slot {
            (self.slot, self.looked_at) = (slot, 0);
        }
        let room = ROWS_MAX.saturating_sub(self.looked_at);
        if room == 0 || batch.is_empty() {
            return;
        }
        let columns = batch.columns();
        let stride = batch.len().div_ceil(room);
        self.looked_at += batch.len().div_ceil(stride);
        let mut newest: BTreeMap<String, Time> = BTreeMap::new();
        for row in (0..batch.len()).step_by(stride) {
            let span = columns.row(row);
            let end = newest.entry(format!("{} {}", span.service, span.pod)).or_insert(Time::MIN);
            *end = (*end).max(columns.end(row));
        }
        for (sender, newest) in newest {
            if let Some(known) = self.senders.get_mut(&sender) {
                known.hear(received_at, newest);
            } else if self.senders.len() < SENDERS_MAX {
                self.senders.insert(sender, Sender::new(received_at, newest));
            }
        }
    }

    /// The step that our clock has to take, if it has to. `own_ns` is how far this machine's clock has moved away from
    /// ours. Whoever takes the step calls [`stepped`](Self::stepped).
    pub fn judge(&mut self, now: Time, own_ns: i64) -> Option<ClockStep> {
        self.senders.retain(|_, sender| sender.heard_at + RELEARN > now);
        let active: Vec<&Sender> = self.senders.values().filter(|sender| sender.heard_at + ACTIVE > now).collect();
        let mut moved: Vec<i64> = active.iter().map(|sender| sender.moved_ns()).collect();
        moved.sort_unstable();
        let median = *moved.get(moved.len() / 2)?;
        let most = |count: usize| count * 2 > active.len();
        let together = moved.iter().filter(|one| one.abs_diff(median) <= SPREAD_NS as u64).count();
        if median.abs() <= DISAGREEMENT_NS || !most(together) {
            self.disagree = None;
            return None;
        }
        let forward = median > 0;
        let since = match self.disagree {
            Some((since, direction)) if direction == forward => since,
            _ => now,
        };
        self.disagree = Some((since, forward));
        if own_ns.abs_diff(median) <= DISAGREEMENT_NS as u64 {
            return (now >= since + WITH_OWN_CLOCK).then(|| whole_seconds(own_ns));
        }
        let from_the_future = active.iter().filter(|sender| sender.delay_ns < -DISAGREEMENT_NS).count();
        let went_back = active.iter().filter(|sender| sender.went_back).count();
        let no_delay = most(if forward { from_the_future } else { went_back });
        let surely = no_delay && active.len() >= SENDERS_MIN && now >= since + SPANS_ALONE;
        surely.then(|| whole_seconds(median))
    }

    /// Our clock took the step: what is usual is so again.
    pub fn stepped(&mut self, step: ClockStep) {
        self.disagree = None;
        for sender in self.senders.values_mut() {
            sender.heard_at = step.time(sender.heard_at);
            sender.delay_ns = sender.usual_ns;
            (sender.deviates_since, sender.went_back) = (None, false);
        }
    }
}

fn whole_seconds(nanos: i64) -> ClockStep {
    ClockStep { seconds: (nanos as f64 / 1e9).round() as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SpanBuilder, SpanRow};

    const START_S: i64 = 1_000_000;

    /// Senders of one span a second, 700 ms old when it is received.
    struct Senders {
        clocks: SourceClocks,
        count: usize,
        second: i64,
    }

    impl Senders {
        fn new(count: usize) -> Senders {
            let mut senders = Senders { clocks: SourceClocks::default(), count, second: START_S };
            assert_eq!(senders.until_step(20, |_| 0, 0), None);
            senders
        }

        /// The seconds until a step is asked for, and which, while each sender's clock is `ahead_s` of ours.
        fn until_step(&mut self, seconds: i64, ahead_s: impl Fn(usize) -> i64, own_s: i64) -> Option<(i64, i64)> {
            for passed in 1..=seconds {
                self.second += 1;
                let now = Time::from_secs(self.second);
                for sender in 0..self.count {
                    let service = format!("service-{sender}");
                    let start = Time::from_secs(self.second + ahead_s(sender)) - Duration::from_millis(700);
                    let mut builder = SpanBuilder::new();
                    builder.append(&SpanRow { service: &service, start, ..SpanRow::default() });
                    self.clocks.hear(now, &builder.finish());
                }
                if let Some(step) = self.clocks.judge(now, own_s * 1_000_000_000) {
                    return Some((passed, step.seconds));
                }
            }
            None
        }
    }

    #[test]
    fn a_step_of_all_clocks_is_followed_as_soon_as_most_senders_were_heard() {
        for step_s in [-3_600, -5, 5, 3_600] {
            assert_eq!(Senders::new(5).until_step(30, |_| step_s, step_s), Some((3, step_s)));
        }
    }

    #[test]
    fn senders_that_all_step_without_us_are_followed_after_ten_seconds() {
        for step_s in [-3_600, -5, 5, 3_600] {
            assert_eq!(Senders::new(5).until_step(30, |_| step_s, 0), Some((11, step_s)));
        }
        assert_eq!(Senders::new(5).until_step(10, |_| 5, 0), None, "not before");
    }

    #[test]
    fn a_step_of_our_own_clock_alone_is_none() {
        for step_s in [-3_600, -5, 5, 3_600] {
            assert_eq!(Senders::new(5).until_step(200, |_| 0, step_s), None);
        }
    }

    #[test]
    fn one_sender_with_a_wrong_clock_moves_nothing() {
        let wrong = |sender| if sender == 0 { 3_600 } else { 0 };
        assert_eq!(Senders::new(3).until_step(200, wrong, 0), None);
        assert_eq!(Senders::new(1).until_step(200, wrong, 0), None, "also where it is the only one");
    }

    #[test]
    fn senders_that_are_wrong_by_different_times_move_nothing() {
        assert_eq!(Senders::new(5).until_step(200, |sender| (sender as i64 + 1) * 100, 0), None);
    }

    #[test]
    fn a_queue_that_is_sent_late_is_no_clock_that_was_set_back() {
        let mut senders = Senders::new(5);
        // An outage of a minute; then what was kept, in order, as fast as it is produced anew.
        senders.second += 60;
        assert_eq!(senders.until_step(200, |_| -60, 0), None);
        let mut senders = Senders::new(5);
        senders.second += 60;
        assert_eq!(senders.until_step(200, |_| -60, -5), None, "nor where our own clock stepped otherwise");
    }

    #[test]
    fn after_the_step_all_is_as_usual() {
        let mut senders = Senders::new(5);
        let (_, seconds) = senders.until_step(30, |_| -5, -5).unwrap();
        senders.clocks.stepped(ClockStep { seconds });
        senders.second += seconds;
        assert_eq!(senders.until_step(100, |_| 0, 0), None);
    }

    #[test]
    fn the_start_with_a_clock_that_is_an_hour_behind_is_mended_by_the_spans() {
        let mut senders = Senders { clocks: SourceClocks::default(), count: 4, second: START_S };
        // Nobody knows yet that spans are usually received 700 ms after they end.
        assert_eq!(senders.until_step(30, |_| 3_600, 0), Some((11, 3_599)));
    }
}
