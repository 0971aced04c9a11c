//! Appends entries as JSON lines, and survives a disk that is full: what cannot be written waits in a bounded
//! ring, is tried again with every entry, and what no longer fits is counted and owned up to with a `gap` line.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::entry::{Entry, What};
use crate::model::Time;

/// Default bound of one file: a day of a busy system, and still opened by an editor.
pub const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Default bound of the ring: some minutes of entries, and nobody misses the memory.
pub const RING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Said once when trouble starts, not with every entry.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(
        "cannot write the journal: {cause}; entries are kept in memory (at most {kept_bytes} bytes) and tried again, free some space"
    )]
    Sink { cause: io::Error, kept_bytes: usize },
    #[error("cannot start a new journal file: {cause}; the old one is used on past its bound, free some space")]
    Rotate { cause: io::Error },
    #[error("cannot express a journal entry as JSON: {0}; it is left out")]
    Encode(#[from] serde_json::Error),
}

/// Gives the next file when the present one has reached its bound.
pub type Rotate<W> = Box<dyn FnMut() -> io::Result<W> + Send>;

pub struct Writer<W> {
    sink: W,
    rotate: Rotate<W>,
    file_bytes_max: u64,
    file_bytes: u64,
    ring: Ring,
    failing: bool,
    rotation_failing: bool,
}

impl<W: Write> Writer<W> {
    /// `file_bytes` is what the sink holds already. A file that kill -9 left in the middle of a line is ended
    /// first, so that what follows can be read.
    pub fn new(sink: W, file_bytes: u64, rotate: Rotate<W>) -> Writer<W> {
        Writer::bounded(sink, file_bytes, rotate, FILE_BYTES_MAX, RING_BYTES_MAX)
    }

    /// As [`Writer::new`] with bounds other than the defaults.
    pub fn bounded(
        sink: W,
        file_bytes: u64,
        rotate: Rotate<W>,
        file_bytes_max: u64,
        ring_bytes_max: usize,
    ) -> Writer<W> {
        let mut ring = Ring { bytes_max: ring_bytes_max, ..Ring::default() };
        if file_bytes > 0 {
            ring.push(Line { at: Time::MIN, text: b"\n".to_vec(), holds: Holds::Nothing });
        }
        Writer { sink, rotate, file_bytes_max, file_bytes, ring, failing: false, rotation_failing: false }
    }

    /// Append one entry. An error is returned when trouble starts; while it lasts, entries are kept and
    /// counted in silence, and one attempt is made with each entry.
    pub fn append(&mut self, entry: &Entry) -> Result<(), WriteError> {
        self.append_line(Line::of(entry)?)
    }

    /// The same, of an entry that was turned into text already.
    pub fn append_line(&mut self, line: Line) -> Result<(), WriteError> {
        let at = line.at;
        self.ring.push(line);
        self.ring.own_up(at)?;
        let written = self.ring.write_to(&mut self.sink, &mut self.file_bytes).and_then(|()| self.sink.flush());
        let was_failing = std::mem::replace(&mut self.failing, written.is_err());
        match written {
            Ok(()) => self.rotate_if_full(),
            Err(_) if was_failing => Ok(()),
            Err(cause) => Err(WriteError::Sink { cause, kept_bytes: self.ring.bytes_max }),
        }
    }

    /// Entries that wait in memory because the last attempt failed.
    pub fn waiting(&self) -> usize {
        self.ring.lines.len()
    }

    /// Entries that it lost since the start.
    pub fn dropped_total(&self) -> u64 {
        self.ring.dropped_total
    }

    fn rotate_if_full(&mut self) -> Result<(), WriteError> {
        if self.file_bytes < self.file_bytes_max {
            return Ok(());
        }
        let rotated = (self.rotate)();
        let was_failing = std::mem::replace(&mut self.rotation_failing, rotated.is_err());
        match rotated {
            Ok(sink) => (self.sink, self.file_bytes) = (sink, 0),
            Err(_) if was_failing => {}
            Err(cause) => return Err(WriteError::Rotate { cause }),
        }
        Ok(())
    }
}

/// An entry as it is written.
pub struct Line {
    at: Time,
    text: Vec<u8>,
    holds: Holds,
}

/// What is lost when a line is.
#[derive(Clone, Copy)]
enum Holds {
    Entry,
    /// The owning up to so many lost entries, which must then be owned up to again.
    Gap(u64),
    Nothing,
}

impl Line {
    pub fn of(entry: &Entry) -> Result<Line, WriteError> {
        Line::new(entry, Holds::Entry)
    }

    /// The owning up to entries that were lost before they came to a writer.
    pub fn gap(at: Time, dropped: u64) -> Result<Line, WriteError> {
        Line::new(&Entry { at, what: What::Gap { dropped } }, Holds::Gap(dropped))
    }

    /// Bytes of its text.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    fn new(entry: &Entry, holds: Holds) -> Result<Line, WriteError> {
        let mut text = serde_json::to_vec(entry)?;
        text.push(b'\n');
        Ok(Line { at: entry.at, text, holds })
    }
}

/// Lines that are not yet wholly written, oldest first.
#[derive(Default)]
struct Ring {
    lines: VecDeque<Line>,
    bytes: usize,
    bytes_max: usize,
    /// How much of the first line has gone out already: a full disk may take half a line, and the rest must
    /// follow before anything else does.
    written: usize,
    /// Entries lost and not yet owned up to.
    dropped: u64,
    dropped_total: u64,
}

impl Ring {
    /// Keeps the newest; a line that is half written stays whatever the bound says.
    fn push(&mut self, line: Line) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.bytes > self.bytes_max
            && let Some(lost) = self.lines.remove(self.first_unwritten())
        {
            self.bytes -= lost.text.len();
            match lost.holds {
                Holds::Entry => (self.dropped, self.dropped_total) = (self.dropped + 1, self.dropped_total + 1),
                Holds::Gap(entries) => self.dropped += entries,
                Holds::Nothing => {}
            }
        }
    }

    fn first_unwritten(&self) -> usize {
        usize::from(self.written > 0)
    }

    /// Put a `gap` line where the lost ones would stand: before those that still wait.
    fn own_up(&mut self, at: Time) -> Result<(), WriteError> {
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            let gap = Line::gap(at, dropped)?;
            self.bytes += gap.text.len();
            self.lines.insert(self.first_unwritten(), gap);
        }
        Ok(())
    }

    fn write_to(&mut self, sink: &mut impl Write, file_bytes: &mut u64) -> io::Result<()> {
        while let Some(line) = self.lines.front() {
            match sink.write(&line.text[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    *file_bytes += n as u64;
                    self.written += n;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.written == line.text.len() {
                self.bytes -= line.text.len();
                self.written = 0;
                self.lines.pop_front();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::journal::read;

    /// A disk with so many bytes left.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Disk {
        fn with_room(bytes: usize) -> Disk {
            Disk(Arc::new(Mutex::new((Vec::new(), bytes))))
        }

        fn free(&self, bytes: usize) {
            self.0.lock().unwrap().1 += bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (held, room) = &mut *self.0.lock().unwrap();
            if *room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let n = bytes.len().min(*room);
            held.extend_from_slice(&bytes[..n]);
            *room -= n;
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ingested(n: u64) -> Entry {
        Entry { at: Time(n as i64), what: What::Ingested { spans: n } }
    }

    fn never() -> Rotate<Disk> {
        Box::new(|| panic!("not asked for"))
    }

    fn spans_and_gaps(text: &str) -> Vec<i64> {
        let number = |e: &Entry| match e.what {
            What::Ingested { spans } => spans as i64,
            What::Gap { dropped } => -(dropped as i64),
            _ => panic!("{e:?}"),
        };
        read(text.as_bytes()).unwrap().entries.iter().map(number).collect()
    }

    #[test]
    fn a_full_disk_is_said_once_and_nothing_is_lost_that_fits_in_memory() {
        let disk = Disk::with_room(60);
        let mut writer = Writer::bounded(disk.clone(), 0, never(), u64::MAX, 10_000);
        let errors: Vec<String> =
            (1..=10).filter_map(|n| writer.append(&ingested(n)).err()).map(|e| e.to_string()).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("free some space"));
        assert!(writer.waiting() > 0);

        disk.free(usize::MAX / 2);
        writer.append(&ingested(11)).unwrap();
        assert_eq!(spans_and_gaps(&disk.text()), (1..=11).collect::<Vec<i64>>(), "half a line was carried on");
        assert_eq!((writer.waiting(), writer.dropped_total()), (0, 0));
    }

    #[test]
    fn what_memory_cannot_hold_is_counted_and_owned_up_to() {
        let disk = Disk::with_room(60); // one line and a half
        let mut writer = Writer::bounded(disk.clone(), 0, never(), u64::MAX, 200);
        for n in 1..=100 {
            let _ = writer.append(&ingested(n)); // said once, tested above
        }
        let waiting = writer.waiting();
        disk.free(usize::MAX / 2);
        writer.append(&ingested(101)).unwrap();
        let read = spans_and_gaps(&disk.text());
        let gap = -read.iter().copied().filter(|n| *n < 0).sum::<i64>();
        assert_eq!(read.iter().filter(|n| **n < 0).count(), 1, "{read:?}");
        assert_eq!(gap as u64, writer.dropped_total());
        assert_eq!(gap as usize + read.len() - 1, 101, "every entry is there or counted: {read:?}");
        assert!(waiting < 10);
        assert_eq!(read.last(), Some(&101));
    }

    #[test]
    fn what_was_lost_before_it_came_here_is_owned_up_to() {
        let disk = Disk::with_room(10_000);
        let mut writer = Writer::new(disk.clone(), 0, never());
        writer.append(&ingested(1)).unwrap();
        writer.append_line(Line::gap(Time(2), 7).unwrap()).unwrap();
        assert_eq!((spans_and_gaps(&disk.text()), writer.dropped_total()), (vec![1, -7], 0));
    }

    #[test]
    fn a_file_at_its_bound_is_followed_by_the_next() {
        let (first, second) = (Disk::with_room(10_000), Disk::with_room(10_000));
        let next = second.clone();
        let mut writer = Writer::bounded(first.clone(), 0, Box::new(move || Ok(next.clone())), 100, 10_000);
        for n in 1..=4 {
            writer.append(&ingested(n)).unwrap();
        }
        assert_eq!(spans_and_gaps(&first.text()).len() + spans_and_gaps(&second.text()).len(), 4);
        assert!(first.text().len() >= 100 && !second.text().is_empty());
    }

    #[test]
    fn a_next_file_that_cannot_be_had_is_said_once_and_the_old_one_goes_on() {
        let disk = Disk::with_room(10_000);
        let refuse = Box::new(|| Err(io::ErrorKind::PermissionDenied.into()));
        let mut writer = Writer::bounded(disk.clone(), 0, refuse, 1, 10_000);
        let errors = (1..=5).filter(|n| writer.append(&ingested(*n)).is_err()).count();
        assert_eq!((errors, spans_and_gaps(&disk.text()).len()), (1, 5));
    }

    #[test]
    fn a_torn_line_of_the_run_before_is_ended_first() {
        let disk = Disk::with_room(10_000);
        disk.0.lock().unwrap().0 = b"{\"at\":1,\"wha".to_vec();
        let mut writer = Writer::new(disk.clone(), 13, never());
        let started = What::Started { version: "1".into(), config: serde_json::Value::Null, rules: Vec::new() };
        writer.append(&Entry { at: Time(2), what: started }).unwrap();
        let journal = read(disk.text().as_bytes()).unwrap();
        assert_eq!((journal.entries.len(), journal.torn), (1, vec![1]));
    }
}
