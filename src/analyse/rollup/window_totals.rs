//! The answers of the tick's queries, as typed rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};

use super::rows::{CrossingSums, EdgeSums, HealthSums, PathKind, Sums};
use super::sql::{Error, Sql};
use crate::analyse::statistics::histogram::quantile_ns;
use crate::model::Text;
use crate::model::time::NANOS_PER_SECOND;

/// One endpoint over the fast window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntryAnswer {
    pub entry: Text,
    pub buckets: Vec<(i32, i64)>,
    pub requests: i64,
    pub slow: i64,
    pub errors: i64,
    pub missed: i64,
    /// Not missed, but slower than half the objective.
    pub at_risk: i64,
    /// Requests that these stand for, in thousandths.
    pub adjusted_milli: i64,
}

impl EntryAnswer {
    /// Requests that these stand for, where a sampler or admission left some out.
    pub fn adjusted(&self) -> f64 {
        self.adjusted_milli as f64 / 1e3
    }

    pub fn quantile_ms(&self, q: f64) -> f64 {
        quantile_ns(self.buckets.iter().copied(), q) as f64 / 1e6
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct BlameAnswer {
    pub entry: Text,
    pub service: Text,
    pub operation: Text,
    pub peer: Text,
    pub kind: PathKind,
    pub blame_ns: i64,
}

/// The sums of a service in one second of event time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServiceSecond {
    /// Whole seconds since the epoch.
    pub second: i64,
    pub sums: HealthSums,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PodAnswer {
    pub pod: Text,
    pub version: Text,
    pub sums: HealthSums,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EdgeAnswer {
    /// Of the caller.
    pub version: Text,
    /// Of the caller; empty where a partial trace does not tell.
    pub operation: Text,
    pub callee: Text,
    pub answered: bool,
    pub sums: EdgeSums,
}

/// What the requests of one endpoint ask of a service over the fast window.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossingAnswer {
    pub entry: Text,
    pub sums: CrossingSums,
}

/// All answers of one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    pub entries: Vec<EntryAnswer>,
    pub blame: Vec<BlameAnswer>,
    pub services: BTreeMap<Text, Vec<ServiceSecond>>,
    pub pods: BTreeMap<Text, Vec<PodAnswer>>,
    pub durations: BTreeMap<Text, Vec<(i32, i64)>>,
    /// By caller.
    pub edges: BTreeMap<Text, Vec<EdgeAnswer>>,
    /// By service.
    pub crossings: BTreeMap<Text, Vec<CrossingAnswer>>,
}

impl Answers {
    pub fn ask(sql: &Sql) -> Result<Answers, Error> {
        let mut answers = Answers::default();
        answers.read_entries(sql)?;
        answers.read_blame(sql)?;
        for rows in sql.run("services")?.iter().map(Rows::of) {
            let (service, second, sums) = (rows.text("service"), rows.int("second"), rows.sums::<HealthSums>());
            for i in 0..rows.len() {
                let second = second.value(i).div_euclid(NANOS_PER_SECOND);
                let row = ServiceSecond { second, sums: sums(i) };
                answers.services.entry(service.value(i).into()).or_default().push(row);
            }
        }
        for rows in sql.run("pods")?.iter().map(Rows::of) {
            let (service, pod, version, sums) =
                (rows.text("service"), rows.text("pod"), rows.text("version"), rows.sums::<HealthSums>());
            for i in 0..rows.len() {
                let row = PodAnswer { pod: pod.value(i).into(), version: version.value(i).into(), sums: sums(i) };
                answers.pods.entry(service.value(i).into()).or_default().push(row);
            }
        }
        for rows in sql.run("durations")?.iter().map(Rows::of) {
            let (service, bucket, requests) = (rows.text("service"), rows.bucket(), rows.int("requests"));
            for i in 0..rows.len() {
                let row = (bucket.value(i), requests.value(i));
                answers.durations.entry(service.value(i).into()).or_default().push(row);
            }
        }
        answers.read_edges(sql)?;
        for rows in sql.run("crossings")?.iter().map(Rows::of) {
            let (service, entry, sums) = (rows.text("service"), rows.text("entry"), rows.sums::<CrossingSums>());
            for i in 0..rows.len() {
                let row = CrossingAnswer { entry: entry.value(i).into(), sums: sums(i) };
                answers.crossings.entry(service.value(i).into()).or_default().push(row);
            }
        }
        Ok(answers)
    }

    fn read_entries(&mut self, sql: &Sql) -> Result<(), Error> {
        for rows in sql.run("entries")?.iter().map(Rows::of) {
            let (entry, bucket) = (rows.text("entry"), rows.bucket());
            let [requests, slow, errors, missed, at_risk, adjusted_milli] =
                ["requests", "slow", "errors", "missed", "at_risk", "adjusted_milli"].map(|c| rows.int(c));
            for i in 0..rows.len() {
                if self.entries.last().is_none_or(|last| *last.entry != *entry.value(i)) {
                    self.entries.push(EntryAnswer { entry: entry.value(i).into(), ..EntryAnswer::default() });
                }
                let Some(answer) = self.entries.last_mut() else { continue };
                answer.buckets.push((bucket.value(i), requests.value(i)));
                answer.requests += requests.value(i);
                answer.slow += slow.value(i);
                answer.errors += errors.value(i);
                answer.missed += missed.value(i);
                answer.at_risk += at_risk.value(i);
                answer.adjusted_milli += adjusted_milli.value(i);
            }
        }
        Ok(())
    }

    fn read_blame(&mut self, sql: &Sql) -> Result<(), Error> {
        for rows in sql.run("blame")?.iter().map(Rows::of) {
            let [entry, service, operation, peer, kind] =
                ["entry", "service", "operation", "peer", "kind"].map(|c| rows.text(c));
            let blame = rows.int("blame_ns");
            for i in 0..rows.len() {
                // Only an operator's own query can give another.
                let name = kind.value(i);
                let kind = PathKind::parse(name).ok_or_else(|| Error::Kind { kind: name.to_owned() })?;
                let [entry, service, operation, peer] =
                    [&entry, &service, &operation, &peer].map(|text| text.value(i).into());
                self.blame.push(BlameAnswer { entry, service, operation, peer, kind, blame_ns: blame.value(i) });
            }
        }
        Ok(())
    }

    fn read_edges(&mut self, sql: &Sql) -> Result<(), Error> {
        for rows in sql.run("edges")?.iter().map(Rows::of) {
            let [caller, version, operation, callee] =
                ["caller", "version", "operation", "callee"].map(|c| rows.text(c));
            let (answered, sums) = (rows.flag("answered"), rows.sums::<EdgeSums>());
            for i in 0..rows.len() {
                let sums = sums(i);
                let [version, operation, callee] = [&version, &operation, &callee].map(|text| text.value(i).into());
                let row = EdgeAnswer { version, operation, callee, answered: answered.value(i), sums };
                self.edges.entry(caller.value(i).into()).or_default().push(row);
            }
        }
        Ok(())
    }
}

/// Columns of one result batch by name. `Sql::plan` has checked that every query answers with the shipped columns and
/// types, so a name or a type that is missing here is a mistake of this crate.
struct Rows<'a> {
    batch: &'a RecordBatch,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch) -> Rows<'a> {
        Rows { batch }
    }

    fn len(&self) -> usize {
        self.batch.num_rows()
    }

    fn column(&self, name: &str) -> &'a Arc<dyn Array> {
        self.batch.column_by_name(name).expect("checked when the query was planned")
    }

    fn text(&self, name: &str) -> StringViewArray {
        // Dictionary, Utf8 and Utf8View all cast.
        cast(self.column(name), &DataType::Utf8View).expect("a text column").as_string_view().clone()
    }

    fn int(&self, name: &str) -> Int64Array {
        cast(self.column(name), &DataType::Int64).expect("an integer column").as_primitive::<Int64Type>().clone()
    }

    fn bucket(&self) -> Int32Array {
        self.column("bucket").as_primitive::<Int32Type>().clone()
    }

    fn flag(&self, name: &str) -> BooleanArray {
        self.column(name).as_boolean().clone()
    }

    fn sums<S: Sums>(&self) -> impl Fn(usize) -> S + use<S> {
        let columns: Vec<Int64Array> = S::FIELDS.iter().map(|field| self.int(field)).collect();
        move |i| S::of(columns.iter().map(|column| column.value(i)))
    }
}
