//! The tables that children read: each batch is written once, as Arrow IPC, into a file that lies in memory and that
//! every child has open. A query is told where its tables lie; a batch's room is given back when nobody reads it and the
//! window holds it no more.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;

use super::Table;
use super::message::{Handed, Place};

/// Room is given back in pages.
const PAGE_BYTES: u64 = 4096;
/// From this many rows on a batch is written column by column, so that a child reads only those that it needs. Below it
/// the words around a column would be more than the column.
const BY_COLUMN_ROWS: usize = 4096;

/// See the module.
pub struct Shelf {
    room: Arc<Room>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By the place of the first column in memory. What is held keeps the place from being used again.
    batches: HashMap<usize, (RecordBatch, Arc<Lying>)>,
    schemas: HashMap<&'static str, (SchemaRef, Arc<Lying>)>,
}

/// The file, and where its free end is.
struct Room {
    file: File,
    end: AtomicU64,
    bytes: Arc<AtomicU64>,
}

/// Something on the shelf; its room is given back with the last holder.
pub(super) struct Lying {
    room: Arc<Room>,
    place: Place,
}

impl Drop for Lying {
    fn drop(&mut self) {
        let length = pages(self.place.bytes as u64);
        self.room.bytes.fetch_sub(length, Ordering::Relaxed);
        // Linux alone takes pages out of the middle; elsewhere they go with the file.
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&self.room.file, flags, self.place.offset, length);
        }
    }
}

fn pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE_BYTES)
}

/// Tables for one query, held until it has ended.
pub(super) struct Selection {
    pub tables: Vec<Handed>,
    _held: Vec<Arc<Lying>>,
}

impl Shelf {
    /// An empty one; `bytes` is kept at what lies on it.
    pub fn new(bytes: Arc<AtomicU64>) -> io::Result<Shelf> {
        let room = Arc::new(Room { file: file_in_memory()?, end: AtomicU64::new(0), bytes });
        Ok(Shelf { room, kept: Mutex::default() })
    }

    /// The file, for a child to read.
    pub(super) fn file(&self) -> io::Result<File> {
        self.room.readable()
    }

    /// Puts on the shelf what this statement may ask for and is not there yet, and takes down what is in no table.
    pub(super) fn select(&self, tables: &[Table], sql: &str) -> io::Result<Selection> {
        let sql = sql.to_ascii_lowercase();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let present: HashSet<usize> = tables.iter().flat_map(|table| &table.batches).filter_map(key).collect();
        kept.batches.retain(|key, _| present.contains(key));
        let mut selection = Selection { tables: Vec::new(), _held: Vec::new() };
        for table in tables {
            let schema = self.schema(&mut kept, table)?;
            // A superset of what it reads: a table can be named in no other way.
            let batches = if sql.contains(table.name) {
                let mut places = Vec::with_capacity(table.batches.len());
                for batch in table.batches.iter().filter(|batch| batch.num_rows() > 0) {
                    let lying = self.batch(&mut kept, batch)?;
                    places.push((lying.place, batch.num_rows()));
                    selection._held.push(lying);
                }
                Some(places)
            } else {
                None
            };
            selection.tables.push(Handed { name: table.name.to_owned(), schema: schema.place, batches });
            selection._held.push(schema);
        }
        Ok(selection)
    }

    /// Takes everything down that no query reads: nobody has asked for a while.
    pub(super) fn clear(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }

    fn schema(&self, kept: &mut Kept, table: &Table) -> io::Result<Arc<Lying>> {
        if let Some((schema, lying)) = kept.schemas.get(table.name)
            && (Arc::ptr_eq(schema, &table.schema) || *schema == table.schema)
        {
            return Ok(lying.clone());
        }
        let lying = self.room.put(&stream(&table.schema, None)?)?;
        kept.schemas.insert(table.name, (table.schema.clone(), lying.clone()));
        Ok(lying)
    }

    fn batch(&self, kept: &mut Kept, batch: &RecordBatch) -> io::Result<Arc<Lying>> {
        let Some(key) = key(batch) else { return Err(io::Error::other("a table without columns")) };
        if let Some((_, lying)) = kept.batches.get(&key) {
            return Ok(lying.clone());
        }
        let lying = self.room.put(&block(batch)?)?;
        kept.batches.insert(key, (batch.clone(), lying.clone()));
        Ok(lying)
    }
}

/// One table that is put on a shelf batch by batch, each of which may be dropped once it is there.
pub struct Builder {
    room: Arc<Room>,
    schema: Arc<Lying>,
    batches: Vec<Arc<Lying>>,
    places: Vec<(Place, usize)>,
}

impl Builder {
    pub fn new(schema: &Schema) -> io::Result<Builder> {
        let room = Arc::new(Room { file: file_in_memory()?, end: AtomicU64::new(0), bytes: Arc::default() });
        Builder::in_room(room, schema)
    }

    /// Another table on the same shelf.
    pub fn beside(&self, schema: &Schema) -> io::Result<Builder> {
        Builder::in_room(self.room.clone(), schema)
    }

    fn in_room(room: Arc<Room>, schema: &Schema) -> io::Result<Builder> {
        let schema = room.put(&stream(schema, None)?)?;
        Ok(Builder { room, schema, batches: Vec::new(), places: Vec::new() })
    }

    pub fn push(&mut self, batch: &RecordBatch) -> io::Result<()> {
        if batch.num_rows() > 0 {
            let lying = self.room.put(&block(batch)?)?;
            self.places.push((lying.place, batch.num_rows()));
            self.batches.push(lying);
        }
        Ok(())
    }

    pub(super) fn file(&self) -> io::Result<File> {
        self.room.readable()
    }

    pub(super) fn table(&self, name: &str) -> Handed {
        Handed { name: name.to_owned(), schema: self.schema.place, batches: Some(self.places.clone()) }
    }
}

impl Room {
    /// Opened anew where that can be done, so that no child can write into what others read.
    fn readable(&self) -> io::Result<File> {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            if let Ok(file) = File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd())) {
                return Ok(file);
            }
        }
        self.file.try_clone()
    }

    fn put(self: &Arc<Room>, bytes: &[u8]) -> io::Result<Arc<Lying>> {
        let length = pages(bytes.len() as u64);
        let offset = self.end.fetch_add(length, Ordering::Relaxed);
        self.bytes.fetch_add(length, Ordering::Relaxed);
        // From here on it gives its room back, also when it is only half written.
        let lying = Arc::new(Lying { room: self.clone(), place: Place { offset, bytes: bytes.len() } });
        self.file.write_all_at(bytes, offset)?;
        Ok(lying)
    }
}

/// What tells a batch from all others that are held.
fn key(batch: &RecordBatch) -> Option<usize> {
    batch.columns().first().map(|column| Arc::as_ptr(column).addr())
}

/// How many streams, their lengths, then they themselves: all columns in one, or one for each.
fn block(batch: &RecordBatch) -> io::Result<Vec<u8>> {
    let streams = if batch.num_rows() < BY_COLUMN_ROWS {
        vec![stream(&batch.schema(), Some(batch))?]
    } else {
        let columns = (0..batch.num_columns()).map(|column| {
            let only = batch.project(&[column]).map_err(io::Error::other)?;
            stream(&only.schema(), Some(&only))
        });
        columns.collect::<io::Result<Vec<_>>>()?
    };
    let mut block = Vec::with_capacity(8 * (1 + streams.len()) + streams.iter().map(Vec::len).sum::<usize>());
    block.extend((streams.len() as u64).to_le_bytes());
    streams.iter().for_each(|stream| block.extend((stream.len() as u64).to_le_bytes()));
    streams.iter().for_each(|stream| block.extend(stream));
    Ok(block)
}

/// An Arrow IPC stream.
fn stream(schema: &Schema, batch: Option<&RecordBatch>) -> io::Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema).map_err(io::Error::other)?;
    if let Some(batch) = batch {
        writer.write(batch).map_err(io::Error::other)?;
    }
    writer.into_inner().map_err(io::Error::other)
}

/// A file without a name, whose bytes lie in memory.
#[cfg(target_os = "linux")]
fn file_in_memory() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(File::from(memfd_create("headroom-sql", MemfdFlags::CLOEXEC)?))
}

/// A file whose name is taken away at once; the system's page cache holds what is young.
#[cfg(not(target_os = "linux"))]
fn file_in_memory() -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("headroom-sql-{}-{number}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
