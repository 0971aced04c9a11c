//! The border to the core: batches wait here, bounded by spans and bytes, until the core takes them.
//!
//! Whoever offers a batch learns at once when there is no room, and later whether the core took it. What waits
//! counts against the bounds until its [`Ack`] is used or dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::model::{SpanBatch, Time};

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
    _held: Held,
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
    let (sender, receiver) = mpsc::channel(BATCHES_MAX);
    let load = Arc::new(Load::default());
    (Inlet { sender, limits, load: load.clone() }, Outlet { receiver, load })
}

/// What waits now.
#[derive(Debug, Default)]
struct Load {
    spans: AtomicUsize,
    bytes: AtomicUsize,
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
    sender: mpsc::Sender<Received>,
    limits: Limits,
    load: Arc<Load>,
}

impl Inlet {
    /// Puts a batch in unless it would pass a limit. One larger than the limits enters an empty queue, else it
    /// could never enter.
    pub fn offer(&self, received_at: Time, batch: SpanBatch) -> Result<Answer, Full> {
        let (spans, bytes) = (batch.len(), batch.record_batch().get_array_memory_size());
        let spans_before = self.load.spans.fetch_add(spans, Ordering::Relaxed);
        let bytes_before = self.load.bytes.fetch_add(bytes, Ordering::Relaxed);
        let held = Held { load: self.load.clone(), spans, bytes };
        let fits = spans_before + spans <= self.limits.spans_max && bytes_before + bytes <= self.limits.bytes_max;
        if spans_before > 0 && !fits {
            return Err(Full);
        }
        let (answer, answered) = oneshot::channel();
        let received = Received { received_at, batch, ack: Ack { answer, _held: held } };
        self.sender.try_send(received).map(|()| answered).map_err(|_| Full)
    }
}

/// Where the core takes batches out, in the order they came. A batch whose sender has been told to come back, or has
/// gone, is left out: it was not acknowledged and will be sent again, and taking it would only make others wait.
#[derive(Debug)]
pub struct Outlet {
    receiver: mpsc::Receiver<Received>,
    load: Arc<Load>,
}

impl Outlet {
    /// The next batch; None once every [`Inlet`] is gone and nothing waits. Cancel safe.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            let received = self.receiver.recv().await?;
            if received.ack.is_awaited() {
                return Some(received);
            }
        }
    }

    /// The next batch if one waits.
    pub fn try_next(&mut self) -> Option<Received> {
        std::iter::from_fn(|| self.receiver.try_recv().ok()).find(|received| received.ack.is_awaited())
    }

    /// [`next`](Outlet::next) for a thread outside the runtime.
    pub fn next_blocking(&mut self) -> Option<Received> {
        std::iter::from_fn(|| self.receiver.blocking_recv()).find(|received| received.ack.is_awaited())
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
