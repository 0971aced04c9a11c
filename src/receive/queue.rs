//! The border to the core: batches wait here, bounded by spans and bytes, until the core takes them. What tells of the
//! present goes before what tells of the past, and has most of the room: a Collector that sends its queue again after an
//! outage fills what is left.
//!
//! Whoever offers a batch learns at once when there is no room, and later whether the core took it. What waits
//! counts against the bounds until its [`Ack`] is used or dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::model::{SpanBatch, Time, is_fresh};

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub spans_max: usize,
    /// Arrow memory of the waiting batches.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        // About a second of the highest rate one core decodes; what cannot be taken in a second is better kept by
        // the sender, whose queue may be on disk.
        Limits { spans_max: 500_000, bytes_max: 128 << 20 }
    }
}

/// Batches of whatever size that may wait: a bound for floods of tiny requests.
const BATCHES_MAX: usize = 4096;

/// The part of the limits that batches of the past may have: their senders have waited already, and can go on waiting.
const OLD_PART: usize = 4;

/// A decoded request on its way into the core.
#[derive(Debug)]
pub struct Received {
    /// When the last byte of the request had arrived.
    pub received_at: Time,
    pub batch: SpanBatch,
    pub ack: Ack,
}

/// The answer to the sender. Dropped unused, it tells the sender to come back later.
#[derive(Debug)]
pub struct Ack {
    answer: oneshot::Sender<()>,
    _held: [Option<Held>; 2],
}

impl Ack {
    /// The core has the spans: the sender may forget them.
    pub fn taken(self) {
        // A sender that has gone does not hear it and will send again, which the window knows to be a duplicate.
        let _ = self.answer.send(());
    }

    /// The core cannot take the spans now: the sender keeps them.
    pub fn refused(self) {}

    fn is_awaited(&self) -> bool {
        !self.answer.is_closed()
    }
}

/// Resolves once the core has taken the batch, or with an error when it will not.
pub type Answer = oneshot::Receiver<()>;

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A queue with its two ends.
pub fn queue(limits: Limits) -> (Inlet, Outlet) {
    let old_limits = Limits { spans_max: limits.spans_max / OLD_PART, bytes_max: limits.bytes_max / OLD_PART };
    let (fresh_in, fresh) = mpsc::channel(BATCHES_MAX);
    let (old_in, old) = mpsc::channel(BATCHES_MAX);
    let (load, old_load) = (Arc::<Load>::default(), Arc::<Load>::default());
    let inlet =
        Inlet { fresh: fresh_in, old: old_in, limits, old_limits, load: load.clone(), old_load: old_load.clone() };
    (inlet, Outlet { fresh, old, load })
}

/// What waits now.
#[derive(Debug, Default)]
struct Load {
    spans: AtomicUsize,
    bytes: AtomicUsize,
}

impl Load {
    /// Adds a batch; whether it fits. One larger than the limits fits when nothing else is there.
    fn hold(self: &Arc<Load>, spans: usize, bytes: usize, limits: Limits) -> (Held, bool) {
        let spans_before = self.spans.fetch_add(spans, Ordering::Relaxed);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = spans_before + spans <= limits.spans_max && bytes_before + bytes <= limits.bytes_max;
        (Held { load: self.clone(), spans, bytes }, fits || spans_before == 0)
    }
}

/// A batch's share of the load, given back when dropped.
#[derive(Debug)]
struct Held {
    load: Arc<Load>,
    spans: usize,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.load.spans.fetch_sub(self.spans, Ordering::Relaxed);
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Where receivers put batches in.
#[derive(Clone, Debug)]
pub struct Inlet {
    fresh: mpsc::Sender<Received>,
    old: mpsc::Sender<Received>,
    limits: Limits,
    old_limits: Limits,
    load: Arc<Load>,
    old_load: Arc<Load>,
}

impl Inlet {
    /// Puts a batch in unless it would pass a limit. One larger than the limits enters an empty queue, else it
    /// could never enter.
    pub fn offer(&self, received_at: Time, batch: SpanBatch) -> Result<Answer, Full> {
        let (spans, bytes) = (batch.len(), batch.record_batch().get_array_memory_size());
        let fresh = is_fresh(received_at, &batch);
        let (held, fits) = self.load.hold(spans, bytes, self.limits);
        let held_as_old = (!fresh).then(|| self.old_load.hold(spans, bytes, self.old_limits));
        if !fits || held_as_old.as_ref().is_some_and(|(_, fits)| !fits) {
            return Err(Full);
        }
        let (answer, answered) = oneshot::channel();
        let held = [Some(held), held_as_old.map(|(held, _)| held)];
        let received = Received { received_at, batch, ack: Ack { answer, _held: held } };
        let lane = if fresh { &self.fresh } else { &self.old };
        lane.try_send(received).map(|()| answered).map_err(|_| Full)
    }
}

/// Where the core takes batches out: those of the present first, each kind in the order it came. A batch whose sender has
/// been told to come back, or has gone, is left out: it was not acknowledged and will be sent again, and taking it would
/// only make others wait.
#[derive(Debug)]
pub struct Outlet {
    fresh: mpsc::Receiver<Received>,
    old: mpsc::Receiver<Received>,
    load: Arc<Load>,
}

impl Outlet {
    /// The next batch; None once every [`Inlet`] is gone and nothing waits. Cancel safe.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            let received = tokio::select! {
                biased;
                Some(received) = self.fresh.recv() => received,
                Some(received) = self.old.recv() => received,
                else => return None,
            };
            if received.ack.is_awaited() {
                return Some(received);
            }
        }
    }

    /// The next batch if one waits.
    pub fn try_next(&mut self) -> Option<Received> {
        let mut waiting = std::iter::from_fn(|| self.fresh.try_recv().or_else(|_| self.old.try_recv()).ok());
        waiting.find(|received| received.ack.is_awaited())
    }

    /// Spans that wait or are taken and not yet answered.
    pub fn waiting_spans(&self) -> usize {
        self.load.spans.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SpanBuilder, SpanRow};

    fn batch(spans: usize) -> SpanBatch {
        let mut builder = SpanBuilder::new();
        (0..spans).for_each(|_| builder.append(&SpanRow::default()));
        builder.finish()
    }

    #[test]
    fn spans_count_until_they_are_answered() {
        let (inlet, mut outlet) = queue(Limits { spans_max: 10, ..Limits::default() });
        let mut first = inlet.offer(Time(1), batch(6)).unwrap();
        assert_eq!(inlet.offer(Time(2), batch(5)).unwrap_err(), Full);
        let taken = outlet.try_next().unwrap();
        assert_eq!((taken.received_at, taken.batch.len()), (Time(1), 6));
        assert_eq!(inlet.offer(Time(2), batch(5)).unwrap_err(), Full, "taken out, not answered");
        taken.ack.taken();
        assert_eq!(first.try_recv(), Ok(()));
        let _second = inlet.offer(Time(2), batch(5)).unwrap();
        assert_eq!(outlet.waiting_spans(), 5);
    }

    #[test]
    fn a_batch_nobody_waits_for_is_left_out() {
        let (inlet, mut outlet) = queue(Limits::default());
        drop(inlet.offer(Time(1), batch(3)).unwrap());
        let _awaited = inlet.offer(Time(2), batch(4)).unwrap();
        assert_eq!(outlet.try_next().unwrap().received_at, Time(2));
        assert_eq!(outlet.waiting_spans(), 0, "gone with its ack");
        assert!(outlet.try_next().is_none());
    }

    #[test]
    fn the_present_goes_before_the_past_and_has_most_of_the_room() {
        let (inlet, mut outlet) = queue(Limits { spans_max: 40, ..Limits::default() });
        let (now, just_now) = (Time::from_secs(1_000), Time::from_secs(3));
        // Rows of the builder ended at the epoch.
        let _old = inlet.offer(now, batch(8)).unwrap();
        assert_eq!(inlet.offer(now, batch(8)).unwrap_err(), Full, "a quarter of the room");
        let _fresh: Vec<_> = (0..4).map(|_| inlet.offer(just_now, batch(8)).unwrap()).collect();
        assert_eq!(inlet.offer(just_now, batch(8)).unwrap_err(), Full, "all of it is taken");
        let order: Vec<Time> = std::iter::from_fn(|| outlet.try_next()).map(|received| received.received_at).collect();
        assert_eq!(order, [just_now, just_now, just_now, just_now, now]);
    }

    #[test]
    fn a_batch_past_the_limit_enters_an_empty_queue_only() {
        let (inlet, mut outlet) = queue(Limits { spans_max: 10, ..Limits::default() });
        let mut answer = inlet.offer(Time(1), batch(50)).unwrap();
        assert_eq!(inlet.offer(Time(1), batch(1)).unwrap_err(), Full);
        outlet.try_next().unwrap().ack.refused();
        assert!(answer.try_recv().is_err());
        assert_eq!(outlet.waiting_spans(), 0);
        let (inlet, _outlet) = queue(Limits { bytes_max: 1, ..Limits::default() });
        let _first = inlet.offer(Time(1), batch(1)).unwrap();
        assert_eq!(inlet.offer(Time(1), batch(1)).unwrap_err(), Full, "bytes bound too");
    }
}
