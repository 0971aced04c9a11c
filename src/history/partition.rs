//! Which files of a partition count, and how many become one.
//!
//! A file that was put together lists whatever is in it, that of those before it included, and has the next number of its partition: a
//! store takes one of that name once. So two that put together at once, or one that wakes up late, cannot both count; and who is killed
//! between writing the whole and removing its parts leaves parts that nobody counts, for the next one to remove.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::path::Path;

use super::files::{self, FileWriter, Head, Partition, number, together};
use super::tables::{Rows, each_row, is_sound};
use super::{Error, MINUTE_S, Of, QUARTER_S, Store};

/// What a partition holds, each row once.
#[derive(Debug, Default)]
pub struct Live {
    /// Those that count, with the bytes of those that had to be read to know it.
    pub files: BTreeMap<String, Option<Bytes>>,
    /// What lies in one of them.
    stale: BTreeSet<String>,
    /// Names of whatever was put together so far.
    holds: BTreeSet<String>,
    /// How long the rows are of what was put together.
    steps: BTreeMap<String, i64>,
}

impl Live {
    /// None where a file that was listed is gone: what took its place is not in the list.
    pub async fn of(store: &Store, partition: &Partition, names: &BTreeSet<String>) -> Result<Option<Live>, Error> {
        let mut live = Live::default();
        let mut read: BTreeMap<&String, Bytes> = BTreeMap::new();
        for name in names.iter().filter(|name| number(name).is_some()) {
            let Some(bytes) = store.get(&partition.file(name)).await? else { return Ok(None) };
            // What cannot be read holds nothing: its parts count, where they are still there.
            let Some((head, _)) = files::open(bytes.clone(), &[]) else { continue };
            live.holds.extend(head.holds);
            live.steps.insert(name.clone(), head.step_s);
            read.insert(name, bytes);
        }
        for name in names {
            if live.holds.contains(name) {
                live.stale.insert(name.clone());
            } else {
                live.files.insert(name.clone(), read.remove(name));
            }
        }
        Ok(Some(live))
    }

    /// The bytes of a file that counts; None where it is gone.
    pub async fn bytes(&self, store: &Store, partition: &Partition, name: &str) -> Result<Option<Bytes>, Error> {
        match self.files.get(name) {
            Some(Some(bytes)) => Ok(Some(bytes.clone())),
            _ => store.get(&partition.file(name)).await,
        }
    }

    /// Nothing is left to put together.
    fn is_done<'n>(&self, mut names: impl Iterator<Item = &'n String>, quarters: bool) -> bool {
        let (first, second) = (names.next(), names.next());
        second.is_none() && first.is_none_or(|only| !quarters || self.steps.get(only) == Some(&QUARTER_S))
    }

    /// The number of the next file that is put together. Each number before it was there once, so that whoever writes a later one has
    /// them in its list.
    fn next(&self) -> u32 {
        let names = self.files.keys().chain(&self.stale).chain(&self.holds);
        names.filter_map(|name| number(name)).max().map_or(1, |last| last + 1)
    }
}

/// The names of a partition's files as they are now.
pub async fn names(store: &Store, partition: &Partition) -> Result<BTreeSet<String>, Error> {
    let listed = store.list(Some(&partition.folder())).await?;
    let own = listed.iter().filter_map(Partition::of_file).filter(|(other, _)| other == partition);
    Ok(own.map(|(_, name)| name).collect())
}

/// Partitions with the names of their files.
pub fn by_partition(files: &[Path]) -> BTreeMap<Partition, BTreeSet<String>> {
    let mut partitions: BTreeMap<Partition, BTreeSet<String>> = BTreeMap::new();
    for (partition, name) in files.iter().filter_map(Partition::of_file) {
        partitions.entry(partition).or_default().insert(name);
    }
    partitions
}

/// Hands over each batch of a file, of its sums the first so many; false where a part of it cannot be read, or is not of the table.
pub fn each_batch(
    of: Of,
    sums: usize,
    bytes: Bytes,
    mut each: impl FnMut(&RecordBatch) -> Result<(), Error>,
) -> Result<bool, Error> {
    let columns = of.columns(sums);
    let Some((_, reader)) = files::open(bytes, &columns) else { return Ok(false) };
    for batch in reader {
        let Some(batch) = batch.ok().and_then(|batch| in_own_columns(of, &columns, batch)) else { return Ok(false) };
        each(&batch)?;
    }
    Ok(true)
}

/// Another version may have written more columns, or fewer.
fn in_own_columns(of: Of, columns: &[&str], batch: RecordBatch) -> Option<RecordBatch> {
    if batch.schema().fields()[..] == of.schema().fields()[..columns.len()] {
        return Some(batch);
    }
    let mut rows = Rows::default();
    each_row(of, &batch, |row| rows.add(row.second, row.step_s, row.names, row.sums))?;
    rows.batch(of).ok()
}

/// What came of putting a partition's files together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Together {
    pub parts: usize,
    /// Files that are no Parquet of this table: they stay as they are, and nobody reads them.
    pub broken: usize,
}

/// Makes one file of all that count, by the quarter of an hour where `quarters` says so, then removes its parts. Whatever it is stopped
/// at, all rows count once.
pub async fn put_together(store: &Store, partition: &Partition, quarters: bool) -> Result<Together, Error> {
    let Some(live) = Live::of(store, partition, &names(store, partition).await?).await? else {
        // Somebody else is at it.
        return Ok(Together::default());
    };
    // What a kill has left.
    remove(store, partition, &live.stale).await?;
    if live.is_done(live.files.keys(), quarters) {
        return Ok(Together::default());
    }
    let mut broken: BTreeSet<String> = BTreeSet::new();
    loop {
        let parts: BTreeSet<String> = live.files.keys().filter(|name| !broken.contains(*name)).cloned().collect();
        if live.is_done(parts.iter(), quarters) {
            return Ok(Together { parts: 0, broken: broken.len() });
        }
        match written(store, partition, &live, &parts, quarters).await? {
            Written::Whole(bytes) => {
                if store.create(&partition.file(&together(live.next())), bytes).await? {
                    remove(store, partition, &parts).await?;
                }
                return Ok(Together { parts: parts.len(), broken: broken.len() });
            }
            Written::Gone => return Ok(Together::default()),
            // Some of its rows are in what was written so far: again, without it.
            Written::Broken(name) => {
                broken.insert(name);
            }
        }
    }
}

enum Written {
    Whole(Bytes),
    /// A part is broken.
    Broken(String),
    /// A part is no longer there.
    Gone,
}

async fn written(
    store: &Store,
    partition: &Partition,
    live: &Live,
    parts: &BTreeSet<String>,
    quarters: bool,
) -> Result<Written, Error> {
    let of = partition.of;
    let (mut file, mut coarse) = (FileWriter::new(of)?, Rows::default());
    for name in parts {
        let Some(bytes) = live.bytes(store, partition, name).await? else { return Ok(Written::Gone) };
        let mut is_good = true;
        let is_whole = each_batch(of, usize::MAX, bytes, |batch| {
            is_good &= is_sound(of, batch);
            if !quarters {
                return file.write(batch);
            }
            if is_good {
                each_row(of, batch, |row| coarse.add(row.second, row.step_s.max(QUARTER_S), row.names, row.sums));
            }
            Ok(())
        })?;
        if !is_whole || !is_good {
            return Ok(Written::Broken(name.clone()));
        }
    }
    if quarters {
        file.write(&coarse.batch(of).map_err(|cause| Error::Unwritable(cause.to_string()))?)?;
    }
    let holds = live.holds.iter().chain(parts).cloned().collect();
    file.finish(&Head { holds, step_s: if quarters { QUARTER_S } else { MINUTE_S } }).map(Written::Whole)
}

async fn remove(store: &Store, partition: &Partition, names: &BTreeSet<String>) -> Result<(), Error> {
    for name in names {
        store.delete(&partition.file(name)).await?;
    }
    Ok(())
}
