//! A history read back: each row once, holes as holes.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use bytes::Bytes;

use super::files::{Partition, number};
use super::partition::{Live, by_partition, each_batch, names};
use super::tables::{Row, each_row, is_sound};
use super::{Error, MINUTE_S, Of, QUARTER_S, Store};

/// Lists are read again so often where files are put together meanwhile.
const AGAIN_MAX: usize = 5;

/// A minute (or a quarter of an hour) that was watched for this share of it is known: the last second of one is written with the next.
const KNOWN_SHARE: f64 = 0.9;

/// Of what it is known what came.
#[derive(Debug, Default)]
pub struct Watched(BTreeMap<(i64, i64), f64>);

impl Watched {
    /// Whether anything is known of a minute, by itself or as a part of its quarter of an hour.
    pub fn contains(&self, minute: i64) -> bool {
        [MINUTE_S, QUARTER_S].iter().any(|step| self.0.contains_key(&(minute.div_euclid(*step) * step, *step)))
    }

    /// The buckets of a step that are known, and those that are not known whole.
    fn buckets(&self, step_s: i64) -> BTreeMap<i64, bool> {
        let mut buckets: BTreeMap<i64, f64> = BTreeMap::new();
        for ((second, of), watched_s) in &self.0 {
            if *of <= step_s {
                *buckets.entry(second.div_euclid(step_s) * step_s).or_default() += watched_s;
            }
        }
        let is_known = |watched_s: f64| watched_s >= KNOWN_SHARE * step_s as f64;
        buckets.into_iter().map(|(bucket, watched_s)| (bucket, is_known(watched_s))).collect()
    }
}

/// Requests by name, in buckets of a step.
#[derive(Debug, Default, PartialEq)]
pub struct Counted {
    pub step_s: i64,
    /// From the first bucket of all, and then from the one in which the name was seen first. A bucket that is known and in which
    /// nothing came is 0, one that is not known is absent.
    pub columns: BTreeMap<String, Vec<(i64, f64)>>,
    /// Files that are no Parquet of their table: what was in them is missing.
    pub broken: usize,
}

/// See the module.
pub struct Reader {
    store: Store,
    broken: usize,
}

impl Reader {
    pub fn new(store: Store) -> Reader {
        Reader { store, broken: 0 }
    }

    /// Clusters that have rows.
    pub async fn clusters(&self) -> Result<BTreeSet<String>, Error> {
        let partitions = by_partition(&self.store.list(None).await?);
        Ok(partitions.into_keys().filter(|partition| partition.of == Of::Watch).map(|of| of.cluster).collect())
    }

    /// The one that is named, or the only one there is.
    pub async fn cluster(&self, wanted: Option<&str>) -> Result<String, Error> {
        let place = || self.store.place().to_owned();
        let clusters = self.clusters().await?;
        let known = || clusters.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match (wanted, clusters.len()) {
            (_, 0) => Err(Error::Empty { place: place() }),
            (Some(name), _) if clusters.contains(name) => Ok(name.to_owned()),
            (Some(name), _) => Err(Error::NoCluster { place: place(), name: name.to_owned(), known: known() }),
            (None, 1) => Ok(clusters.into_iter().next().unwrap_or_default()),
            (None, _) => Err(Error::Several { place: place(), known: known() }),
        }
    }

    /// Every row of a table, in the order of days. What lies in several files comes several times, as parts of a sum.
    async fn each_row(
        &mut self,
        of: Of,
        sums: usize,
        cluster: &str,
        mut each: impl FnMut(Row<'_>),
    ) -> Result<(), Error> {
        let each = |_: &str, batch: &RecordBatch| {
            each_row(of, batch, &mut each);
            Ok(())
        };
        self.each_batch_of(of, sums, Some(cluster), each).await
    }

    /// The same as they lie there, of all clusters, each with its own.
    pub async fn each_batch<E: From<Error>>(
        &mut self,
        of: Of,
        each: impl FnMut(&str, &RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each_batch_of(of, usize::MAX, None, each).await
    }

    async fn each_batch_of<E: From<Error>>(
        &mut self,
        of: Of,
        sums: usize,
        cluster: Option<&str>,
        mut each: impl FnMut(&str, &RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let partitions = by_partition(&self.store.list(None).await?);
        let is_wanted =
            |partition: &Partition| partition.of == of && cluster.is_none_or(|cluster| partition.cluster == cluster);
        for (partition, names) in partitions.into_iter().filter(|(partition, _)| is_wanted(partition)) {
            for bytes in self.files(&partition, names).await? {
                let mut batches = Vec::new();
                let is_whole = each_batch(of, sums, bytes, |batch| {
                    batches.push(batch.clone());
                    Ok(())
                })?;
                // Whole or not at all: of a file that is broken it is not known which rows it has.
                if is_whole && batches.iter().all(|batch| is_sound(of, batch)) {
                    batches.iter().try_for_each(|batch| each(&partition.cluster, batch))?;
                } else {
                    self.broken += 1;
                }
            }
        }
        Ok(())
    }

    /// Files so far that are no Parquet of their table.
    pub fn broken(&self) -> usize {
        self.broken
    }

    /// The files of a day that count. Its list is read again where files are gone that were in it, or where others were put together
    /// while it was made: a long list is not of one moment.
    async fn files(&self, partition: &Partition, mut listed: BTreeSet<String>) -> Result<Vec<Bytes>, Error> {
        for _ in 0..AGAIN_MAX {
            let files = self.listed(partition, &listed).await?;
            let is_one = listed.len() == 1 && listed.iter().all(|name| number(name).is_some());
            // One that is there is all there is: what was put together later would have taken it away.
            let again = if is_one { listed.clone() } else { names(&self.store, partition).await? };
            match files {
                Some(files) if again.difference(&listed).all(|name| number(name).is_none()) => return Ok(files),
                Some(_) => listed = again,
                None => listed = names(&self.store, partition).await?,
            }
        }
        Err(Error::Unsteady { path: partition.folder().to_string() })
    }

    /// None where a file is gone.
    async fn listed(&self, partition: &Partition, names: &BTreeSet<String>) -> Result<Option<Vec<Bytes>>, Error> {
        let Some(live) = Live::of(&self.store, partition, names).await? else { return Ok(None) };
        let mut files = Vec::new();
        for name in live.files.keys() {
            let Some(bytes) = live.bytes(&self.store, partition, name).await? else { return Ok(None) };
            files.push(bytes);
        }
        Ok(Some(files))
    }

    pub async fn watched(&mut self, cluster: &str) -> Result<Watched, Error> {
        let mut watched = Watched::default();
        self.each_row(Of::Watch, 1, cluster, |row| {
            *watched.0.entry((row.second, row.step_s)).or_default() += row.sums[0];
        })
        .await?;
        Ok(watched)
    }

    /// Requests by entry operation, or what came to each service: the first sum of each of the two tables. With `partly` also what was
    /// seen in buckets that are not known whole.
    pub async fn counts(&mut self, of: Of, cluster: &str, step_s: i64, partly: bool) -> Result<Counted, Error> {
        let buckets = self.watched(cluster).await?.buckets(step_s);
        let mut seen: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
        self.each_row(of, 1, cluster, |row| {
            if row.step_s <= step_s && row.sums[0] > 0.0 {
                let column = match seen.get_mut(row.names[0]) {
                    Some(column) => column,
                    None => seen.entry(row.names[0].to_owned()).or_default(),
                };
                *column.entry(row.second.div_euclid(step_s) * step_s).or_default() += row.sums[0];
            }
        })
        .await?;
        let is_told = |is_known: bool| is_known || partly;
        let told: Vec<i64> =
            buckets.iter().filter(|(_, is_known)| is_told(**is_known)).map(|(bucket, _)| *bucket).collect();
        let column = |(name, seen): (String, BTreeMap<i64, f64>)| {
            let first = seen.keys().next().copied().unwrap_or(i64::MAX);
            // All begin together: in the first of all, nothing came yet.
            let own = told.iter().enumerate().filter(|(at, bucket)| *at == 0 || **bucket >= first);
            (name, own.map(|(_, bucket)| (*bucket, seen.get(bucket).copied().unwrap_or(0.0))).collect())
        };
        Ok(Counted { step_s, columns: seen.into_iter().map(column).collect(), broken: self.broken })
    }

    /// All rows of a table, added up.
    #[cfg(test)]
    pub async fn rows(&mut self, of: Of, cluster: &str) -> Result<super::Rows, Error> {
        let mut rows = super::Rows::default();
        self.each_row(of, usize::MAX, cluster, |row| rows.add(row.second, row.step_s, row.names, row.sums)).await?;
        Ok(rows)
    }
}
