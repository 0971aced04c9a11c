//! What becomes of files as they age: a day's are put together, old ones become coarser, and the oldest go.

use std::collections::BTreeSet;

use super::files::Partition;
use super::partition::{Together, by_partition, put_together};
use super::{Error, Keep, Store};
use crate::model::Time;

/// Files of a day that is not over before they are put together: an hour of them. More make every reader slow, fewer write the day
/// again more often.
const PARTS_MAX: usize = 60;

/// Traces that close late, and a writer that was held up, have come by then.
const SETTLED_S: i64 = 3_600;

const A_DAY_S: i64 = 86_400;

/// What there is to do with a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    Together,
    Quarters,
    Removal,
}

/// Puts a cluster's files in order.
#[derive(Debug, Default)]
pub struct Tidier {
    /// Partitions of which it is known that they are one file of quarters: they need not be read again to see it.
    coarse: BTreeSet<Partition>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Files that became parts of others, and those that were removed for their age.
    pub parts: usize,
    pub removed: usize,
    pub broken: usize,
}

/// What is due by the age of a day. `today` is the day that it is, or the newest of which there are rows: a clock that is wrong by
/// years must not empty a history.
pub fn due(day: i64, files: usize, now_s: i64, today: i64, keep: &Keep) -> Due {
    let age_s = (today - day) * A_DAY_S;
    let is_over = now_s >= (day + 1) * A_DAY_S + SETTLED_S;
    if age_s > seconds(keep.quarters.max(keep.minutes)) {
        Due::Removal
    } else if age_s > seconds(keep.minutes) {
        Due::Quarters
    } else if files > PARTS_MAX || is_over && files > 1 {
        Due::Together
    } else {
        Due::Nothing
    }
}

fn seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

impl Tidier {
    /// Goes through all partitions of a cluster. What it is stopped at, it finds again the next time.
    pub async fn tidy(&mut self, store: &Store, cluster: &str, keep: &Keep, now: Time) -> Result<Tidied, Error> {
        let mut partitions = by_partition(&store.list(None).await?);
        partitions.retain(|partition, _| partition.cluster == cluster);
        let Some(newest) = partitions.keys().map(|partition| partition.day).max() else {
            return Ok(Tidied::default());
        };
        let today = newest.min(now.second().div_euclid(A_DAY_S));
        let mut tidied = Tidied::default();
        for (partition, names) in partitions {
            let due = due(partition.day, names.len(), now.second(), today, keep);
            let together = match due {
                Due::Nothing => continue,
                Due::Quarters if names.len() == 1 && self.coarse.contains(&partition) => continue,
                Due::Together => put_together(store, &partition, false).await?,
                Due::Quarters => {
                    let together = put_together(store, &partition, true).await?;
                    self.coarse.insert(partition);
                    together
                }
                Due::Removal => {
                    for name in &names {
                        store.delete(&partition.file(name)).await?;
                    }
                    self.coarse.remove(&partition);
                    tidied.removed += names.len();
                    continue;
                }
            };
            let Together { parts, broken } = together;
            tidied.parts += parts;
            tidied.broken += broken;
        }
        Ok(tidied)
    }
}
