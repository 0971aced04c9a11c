//! The journal on a thread of its own, so that a disk that hangs holds up neither spans nor ticks.
//!
//! What the engine recorded is written before the sender of a batch is answered, and before a change is handed to the
//! cluster: answers stand in the same queue. Where the disk does not answer, neither waits for it: entries are kept in
//! memory, within a bound, as they are when it is full.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{error, info};

use crate::clock::Stopwatch;
use crate::journal::writer::RING_BYTES_MAX;
use crate::journal::{Entry, Line, Writer};
use crate::receive::queue::Ack;

/// A write that takes longer than this counts as stalled: a healthy disk's cache takes it in microseconds, a busy one in
/// tenths of a second.
const STALLED_AFTER: Duration = Duration::from_secs(1);
/// How long a change may wait for what was recorded of it.
const BEFORE_ACT: Duration = Duration::from_millis(250);

/// The engine's end of it; the thread ends when this is dropped and all was written.
pub struct JournalThread {
    queue: Arc<Queue>,
    stalled_after: Duration,
    bytes_max: usize,
    /// Entries that found no room: since the start, and those that are not yet owned up to.
    lost: u64,
    unsaid: u64,
    said_stalled: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Bytes and number of the lines that wait or are being written.
    bytes: usize,
    lines: usize,
    /// Since when the thread is at what it does.
    busy: Option<Stopwatch>,
    is_closed: bool,
    /// Of the writer: entries that wait for room on the disk, and those that were lost.
    waiting: usize,
    dropped: u64,
}

enum Job {
    Write(Line),
    Acknowledge(Ack),
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_stalled(&self, after: Duration) -> bool {
        self.busy.as_ref().is_some_and(|since| since.elapsed() >= after)
    }

    fn is_done(&self) -> bool {
        self.jobs.is_empty() && self.busy.is_none()
    }
}

impl JournalThread {
    /// The engine's end, and what the thread is to run.
    pub fn new<W: Write + Send + 'static>(writer: Writer<W>) -> (JournalThread, impl FnOnce() + Send + 'static) {
        JournalThread::bounded(writer, STALLED_AFTER, RING_BYTES_MAX)
    }

    fn bounded<W: Write + Send + 'static>(
        writer: Writer<W>,
        stalled_after: Duration,
        bytes_max: usize,
    ) -> (JournalThread, impl FnOnce() + Send + 'static) {
        let queue = Arc::<Queue>::default();
        let written = queue.clone();
        let thread = JournalThread { queue, stalled_after, bytes_max, lost: 0, unsaid: 0, said_stalled: false };
        (thread, move || write(writer, &written))
    }

    /// Puts an entry behind those that wait; what finds no room is counted, and owned up to as soon as there is some.
    pub fn append(&mut self, entry: &Entry) {
        let lines = if self.unsaid > 0 { Line::gap(entry.at, self.unsaid).map(Some) } else { Ok(None) };
        match lines.and_then(|gap| Ok((gap, Line::of(entry)?))) {
            Ok((gap, line)) => self.push(gap, line),
            Err(failure) => error!("{failure}"),
        }
        self.say_whether_it_is_stalled();
    }

    fn push(&mut self, gap: Option<Line>, line: Line) {
        let mut state = self.queue.lock();
        let bytes = line.bytes() + gap.as_ref().map_or(0, Line::bytes);
        if state.bytes + bytes > self.bytes_max {
            (self.lost, self.unsaid) = (self.lost + 1, self.unsaid + 1);
            return;
        }
        self.unsaid = 0;
        state.bytes += bytes;
        state.lines += 1 + usize::from(gap.is_some());
        state.jobs.extend(gap.into_iter().chain([line]).map(Job::Write));
        drop(state);
        self.queue.changed.notify_all();
    }

    /// Once everything recorded so far is written; at once where the disk does not answer.
    pub fn acknowledge(&self, ack: Ack) {
        let mut state = self.queue.lock();
        if state.is_done() || state.is_stalled(self.stalled_after) {
            drop(state);
            return ack.taken();
        }
        state.jobs.push_back(Job::Acknowledge(ack));
        drop(state);
        self.queue.changed.notify_all();
    }

    /// Waits until all is written, but not for a disk that does not answer.
    pub fn written(&self) {
        let state = self.queue.lock();
        let is_missing = |state: &mut State| !state.is_done() && !state.is_stalled(self.stalled_after);
        drop(self.queue.changed.wait_timeout_while(state, BEFORE_ACT, is_missing));
    }

    /// Entries that wait, and those that were lost since the start.
    pub fn waiting_and_dropped(&self) -> (usize, u64) {
        let state = self.queue.lock();
        (state.lines + state.waiting, state.dropped + self.lost)
    }

    fn say_whether_it_is_stalled(&mut self) {
        let is_stalled = self.queue.lock().is_stalled(self.stalled_after);
        if is_stalled != self.said_stalled {
            self.said_stalled = is_stalled;
            let kept_bytes = self.bytes_max;
            if is_stalled {
                error!(kept_bytes, "the journal's disk does not answer; entries are kept in memory, look at the disk");
            } else {
                info!("the journal's disk answers again");
            }
        }
    }
}

impl Drop for JournalThread {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
    }
}

fn write<W: Write>(mut writer: Writer<W>, queue: &Queue) {
    loop {
        let state = queue.lock();
        let is_idle = |state: &mut State| state.jobs.is_empty() && !state.is_closed;
        let mut state = queue.changed.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner);
        let Some(job) = state.jobs.pop_front() else { return };
        state.busy = Some(Stopwatch::start());
        drop(state);
        let written_bytes = match job {
            Job::Write(line) => {
                let bytes = line.bytes();
                // It says so once when trouble starts, keeps what it can and tries again by itself.
                if let Err(failure) = writer.append_line(line) {
                    error!("{failure}");
                }
                Some(bytes)
            }
            Job::Acknowledge(ack) => {
                ack.taken();
                None
            }
        };
        let mut state = queue.lock();
        if let Some(bytes) = written_bytes {
            state.bytes -= bytes;
            state.lines -= 1;
            (state.waiting, state.dropped) = (writer.waiting(), writer.dropped_total());
        }
        state.busy = None;
        let is_done = state.is_done();
        drop(state);
        if is_done {
            queue.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;
    use crate::journal::{What, read};
    use crate::model::{SpanBuilder, SpanRow, Time};
    use crate::receive::queue::{Limits, queue};

    /// A disk that takes each write only when it is let, and says when one has come.
    struct Hanging {
        came: SyncSender<()>,
        lets: Receiver<()>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Hanging {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.came.send(());
            // Whoever lets it may have gone: then it is let for good.
            let _ = self.lets.recv();
            self.text.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ingested(n: u64) -> Entry {
        Entry { at: Time(n as i64), what: What::Ingested { spans: n } }
    }

    struct Bench {
        journal: JournalThread,
        writing: std::thread::JoinHandle<()>,
        came: Receiver<()>,
        lets: SyncSender<()>,
        text: Arc<Mutex<Vec<u8>>>,
    }

    fn bench(stalled_after: Duration) -> Bench {
        let ((came_in, came), (lets, let_in)) = (sync_channel(1_000), sync_channel(1));
        let text = Arc::<Mutex<Vec<u8>>>::default();
        let disk = Hanging { came: came_in, lets: let_in, text: text.clone() };
        let writer = Writer::new(disk, 0, Box::new(|| panic!("not asked for")));
        let (journal, run) = JournalThread::bounded(writer, stalled_after, 1_000);
        Bench { journal, writing: std::thread::spawn(run), came, lets, text }
    }

    #[tokio::test]
    async fn a_batch_is_acknowledged_once_it_is_on_the_disk() {
        let Bench { mut journal, writing, came, lets, .. } = bench(Duration::from_secs(3_600));
        let (inlet, mut outlet) = queue(Limits::default());
        let mut batch = SpanBuilder::new();
        batch.append(&SpanRow::default());
        let mut answer = inlet.offer(Time(0), batch.finish()).unwrap();
        let ack = outlet.next().await.unwrap().ack;
        journal.append(&ingested(1));
        came.recv().unwrap();
        journal.acknowledge(ack);
        assert!(answer.try_recv().is_err(), "it is not yet written");
        lets.send(()).unwrap();
        assert_eq!(answer.await, Ok(()));
        drop((journal, lets));
        writing.join().unwrap();
    }

    #[tokio::test]
    async fn a_disk_that_hangs_holds_nobody_up_and_what_it_missed_is_owned_up_to() {
        let Bench { mut journal, writing, came, lets, text } = bench(Duration::ZERO);
        let (inlet, mut outlet) = queue(Limits::default());
        let mut batch = SpanBuilder::new();
        batch.append(&SpanRow::default());
        let answer = inlet.offer(Time(0), batch.finish()).unwrap();
        let ack = outlet.next().await.unwrap().ack;
        journal.append(&ingested(1));
        came.recv().unwrap();
        journal.acknowledge(ack);
        assert_eq!(answer.await, Ok(()), "at once");
        (2..=200).for_each(|n| journal.append(&ingested(n)));
        journal.written();
        let (waiting, dropped) = journal.waiting_and_dropped();
        assert!(waiting > 0 && dropped > 0 && waiting as u64 + dropped == 200, "{waiting} wait, {dropped} are lost");
        // It answers again: then there is room.
        drop(lets);
        while journal.waiting_and_dropped().0 > 0 {
            std::thread::yield_now();
        }
        journal.append(&ingested(201));
        drop(journal);
        writing.join().unwrap();
        let text = text.lock().unwrap().clone();
        let entries = read(text.as_slice()).unwrap().entries;
        let lost = entries.iter().map(|entry| if let What::Gap { dropped } = entry.what { dropped } else { 0 });
        assert_eq!(lost.sum::<u64>(), dropped);
        let kept = entries.iter().filter(|entry| matches!(entry.what, What::Ingested { .. }));
        assert_eq!(kept.count() as u64 + dropped, 201);
        assert_eq!(entries.last(), Some(&ingested(201)));
    }
}
