//! What was learnt, as it outlives the process: healthy time, what pods can do, how long they take to start.
//!
//! A snapshot is a value: taken from the judge, put back into another one, written as one JSON document of a bounded
//! size. Who keeps the document, and where, is the shell's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::baseline::{Load, ServiceBaseline};
use super::capacity::Capacity;
use crate::analyse::rollup::{EdgeSums, EntrySums, HealthSums, OperationSums};
use crate::analyse::thresholds::healthy::{AGE_MAX_S, AHEAD_MAX_S};
pub use crate::analyse::thresholds::memory::BYTES_MAX;
use crate::model::Time;

#[cfg(test)]
mod tests;

/// What the document says it is, so that another one is told from it.
const KIND: &str = "headroom.dev/learnt";
/// Of the document. One that is written in another is not guessed at.
const SCHEMA: u32 = 1;
/// Why a document cannot be learnt from. What it held is learnt anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not a snapshot of learnt state ({0}); remove it, or name another place")]
    Foreign(String),
    #[error("snapshot schema {found} is not {SCHEMA}, which this version reads; headroom learns again and replaces it")]
    Schema { found: u32 },
    #[error("it is of {at}, more than a week ago; healthy time has changed since")]
    Old { at: Time },
    #[error("snapshot timestamp {at} is in the future; check NTP")]
    Ahead { at: Time },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    /// Event time it was taken at.
    pub at: Time,
    pub services: BTreeMap<String, Service>,
    pub entries: BTreeMap<String, Entry>,
    /// Operations at which traces begin, as their callers send no spans.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remote_entries: Vec<RemoteEntry>,
    /// What whoever plans ahead has learnt: carried unread, and gone before all else where there is no room.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub planned: serde_json::Value,
}

/// An operation whose callers send no spans, with its requests of late.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteEntry {
    pub(in crate::analyse) service: String,
    pub(in crate::analyse) operation: String,
    pub(in crate::analyse) requests: i64,
    pub(in crate::analyse) without_parent: i64,
}

/// Of one service; what was never seen of it is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::analyse) healthy: Option<ServiceBaseline>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::analyse) versions: BTreeMap<String, HealthSums>,
    /// Requests of each ReplicaSet.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::analyse) replica_sets: BTreeMap<String, i64>,
    /// Load by the hour of the day, in UTC.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::analyse) hours: Vec<(usize, Load)>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::analyse) operations: BTreeMap<String, Operation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::analyse) capacity: Option<Capacity>,
    /// From creation to Ready of the last pods, in milliseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::analyse) pod_starts_ms: Vec<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::analyse) struct Operation {
    pub(in crate::analyse) sums: OperationSums,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::analyse) calls: Vec<Calls>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::analyse) struct Calls {
    pub(in crate::analyse) callee: String,
    pub(in crate::analyse) answered: bool,
    pub(in crate::analyse) sums: EdgeSums,
}

/// Of one entry operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub(in crate::analyse) sums: EntrySums,
    pub(in crate::analyse) paths: Vec<Path>,
}

/// Where its critical path leads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::analyse) struct Path {
    pub(in crate::analyse) service: String,
    pub(in crate::analyse) operation: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::analyse) peer: String,
    pub(in crate::analyse) kind: String,
    pub(in crate::analyse) ns: i64,
}

#[derive(Serialize, Deserialize)]
struct Document {
    kind: String,
    schema: u32,
    learnt: serde_json::Value,
}

impl Learnt {
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.entries.is_empty() && self.remote_entries.is_empty() && self.planned.is_null()
    }

    /// As a document of at most so many bytes, and how many services and entry operations found no place in it: those
    /// with the fewest requests.
    pub fn encode(&self, bytes_max: usize) -> (String, usize) {
        enum Part<'a> {
            Service(&'a str, &'a Service),
            Entry(&'a str, &'a Entry),
            RemoteEntry(&'a RemoteEntry),
        }
        let services = self.services.iter().map(|(name, of)| (of.requests(), Part::Service(name, of)));
        let entries = self.entries.iter().map(|(name, of)| (of.sums.requests, Part::Entry(name, of)));
        let remote_entries = self.remote_entries.iter().map(|one| (one.requests, Part::RemoteEntry(one)));
        let mut parts: Vec<(i64, Part<'_>)> = services.chain(entries).chain(remote_entries).collect();
        parts.sort_by_key(|(requests, _)| std::cmp::Reverse(*requests));
        let mut kept = Learnt { at: self.at, planned: self.planned.clone(), ..Learnt::default() };
        // It shares the place with what the loop itself needs.
        if text(&kept).len() > bytes_max / 4 {
            kept.planned = serde_json::Value::Null;
        }
        let (mut bytes, mut left_out) = (text(&kept).len(), 0);
        for (_, part) in parts {
            // Name, quotes, colon and comma come on top of what stands in it.
            let size = match part {
                Part::Service(name, of) => json(name).len() + json(of).len() + 2,
                Part::Entry(name, of) => json(name).len() + json(of).len() + 2,
                // The first brings the key of their list.
                Part::RemoteEntry(one) if kept.remote_entries.is_empty() => {
                    json(one).len() + r#","remote_entries":[]"#.len()
                }
                Part::RemoteEntry(one) => json(one).len() + 1,
            };
            if bytes + size > bytes_max {
                left_out += 1;
                continue;
            }
            bytes += size;
            match part {
                Part::Service(name, of) => _ = kept.services.insert(name.into(), of.clone()),
                Part::Entry(name, of) => _ = kept.entries.insert(name.into(), of.clone()),
                Part::RemoteEntry(one) => kept.remote_entries.push(one.clone()),
            }
        }
        (text(&kept), left_out)
    }

    /// # Errors
    /// Where the document is of somebody else, of another version, or of another time.
    pub fn decode(document: &str, now: Time) -> Result<Learnt, Error> {
        let learnt = Learnt::decode_of_any_age(document)?;
        let (at, age_s) = (learnt.at, now.seconds_since(learnt.at));
        if age_s > AGE_MAX_S {
            return Err(Error::Old { at });
        }
        if age_s < -AHEAD_MAX_S {
            return Err(Error::Ahead { at });
        }
        Ok(learnt)
    }

    /// # Errors
    /// Where the document is of somebody else, or of another version.
    pub fn decode_of_any_age(document: &str) -> Result<Learnt, Error> {
        let foreign = |error: serde_json::Error| Error::Foreign(error.to_string());
        let Document { kind, schema, learnt } = serde_json::from_str(document).map_err(foreign)?;
        if kind != KIND {
            return Err(Error::Foreign(format!("its kind is `{kind}`, not {KIND}")));
        }
        if schema != SCHEMA {
            return Err(Error::Schema { found: schema });
        }
        serde_json::from_value(learnt).map_err(foreign)
    }
}

impl Service {
    fn requests(&self) -> i64 {
        self.healthy.map_or(0, |healthy| healthy.sums.requests)
    }
}

fn text(learnt: &Learnt) -> String {
    json(&serde_json::json!({"kind": KIND, "schema": SCHEMA, "learnt": learnt}))
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    // Numbers and texts of our own always serialise.
    serde_json::to_string(value).unwrap_or_default()
}
