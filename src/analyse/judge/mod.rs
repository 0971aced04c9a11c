//! The station that judges: portions of all absorbers in, findings out.
//!
//! A tick has three parts. What came is taken in; it is judged, which changes nothing; and what is to be learned from
//! that is learned once, so that no judgement depends on which other was made before it.

mod judging;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::analyse::absorber::{Kinds, Portion};
use crate::analyse::change::live::{self, Changes};
use crate::analyse::diagnosis::courses::{Courses, Followed};
use crate::analyse::findings::Findings;
use crate::analyse::learned::baseline::Baseline;
use crate::analyse::learned::begun::Begun;
use crate::analyse::learned::capacity::{AtLimit, Capacities};
use crate::analyse::learned::pod_startup::PodStartup;
use crate::analyse::learned::quarantine::Quarantine;
use crate::analyse::learned::{Learnt, Objectives, Reference};
use crate::analyse::objective::Objective;
use crate::analyse::rollup::exemplars::Exemplars;
use crate::analyse::rollup::sql::{self, Overrides, Sql, baseline_paths_schema, tick_schema};
use crate::analyse::rollup::{EntryKey, Rollups, Store, TABLES};
use crate::analyse::telemetry::{Came, LostSpans, ReceivedCounts, Sampling, Watch};
use crate::analyse::thresholds::memory::ASIDE_MAX;
use crate::model::setting::{Kind, Setting};
use crate::model::{ClockStep, ClusterState, ServiceId, Text, Time};
use crate::settings;

/// Pods that spans came from in the fast window, by service; a service whose spans name no pod is left out.
pub type PodsWithSpans = BTreeMap<ServiceId, BTreeSet<String>>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The first that matches an entry operation counts.
    pub objectives: Vec<Objective>,
    /// For entry operations without one. With None, these are never missed.
    pub default_objective: Option<Objective>,
    /// Judgements are made over this much complete event time: short, because a burst is over in minutes.
    pub fast: Duration,
    /// Requests of an entry operation in the fast window below which it is not judged. Whether few show anything is left to
    /// the test of significance; below this, one slow trace would be a large share.
    pub requests_min: i64,
    /// Share of its capacity a pod is to be used to. Above 0.8 queues grow steeply with small errors.
    pub target_utilisation: f64,
    /// Rollups are kept this long.
    pub keep: Duration,
    /// Without a span for this long, the present is unknown.
    pub blind_after: Duration,
    /// An operator's own queries, by name, in place of the shipped ones.
    pub queries: Overrides,
}

impl Config {
    /// What an operator may set; objectives and queries have sections of their own, and what is kept is the window's.
    pub const SETTINGS: &'static [Setting<Config>] = settings![Config;
        fast: Kind::seconds(1, 60), "complete time that a verdict looks at";
        requests_min: Kind::count(1, 1_000_000), "requests of an endpoint in that time below which it is not judged";
        target_utilisation: Kind::Share, "share of its capacity that a pod is to be used to";
        blind_after: Kind::seconds(1, 3_600), "without a span for so long nothing is known, and nothing is done";
    ];
}

impl Default for Config {
    fn default() -> Config {
        Config {
            objectives: Vec::new(),
            default_objective: Some(Objective::usual()),
            fast: Duration::from_secs(3),
            requests_min: 5,
            target_utilisation: 0.8,
            keep: Duration::from_secs(120),
            blind_after: Duration::from_secs(15),
            queries: Overrides::new(),
        }
    }
}

/// Everything that is known, and changes by learning alone.
#[derive(Default)]
struct Learned {
    reference: Reference,
    quarantine: Quarantine,
    baseline: Baseline,
    capacities: Capacities,
    starts: PodStartup,
    begun: Begun,
    courses: Courses,
    changes: Changes,
}

/// What is to be learned from a tick's judgements.
#[derive(Clone, Debug, Default, PartialEq)]
struct Lessons {
    /// Entry operations that miss their objective, and the services they cross.
    missed: BTreeSet<Text>,
    /// What the outages of entry operations are believed to be, up to an event time.
    courses: BTreeMap<Text, Followed>,
    complete_to: Time,
    /// Saturated services. The same may be there for two stretches of time.
    at_limit: Vec<(Text, AtLimit)>,
    changes: Option<live::Answer>,
    /// Pods that spans came from, as far as spans are seen at all.
    pods: Option<PodsWithSpans>,
}

/// What the portions of a tick say of telemetry itself.
#[derive(Clone, Copy)]
struct Seen {
    /// Event time up to which all absorbers have seen everything.
    complete_to: Time,
    /// When a span last came to any of them.
    last_received: Option<Time>,
}

impl Seen {
    /// The least over the absorbers that received anything lately: one to which no trace comes holds nobody up.
    fn of(now: Time, portions: &[Portion], idle_after: Duration) -> Seen {
        let is_awake = |one: &&Portion| one.arrived.last_received.is_some_and(|last| last + idle_after >= now);
        let least = |portions: &mut dyn Iterator<Item = &Portion>| portions.map(|one| one.arrived.complete_to).min();
        let complete_to = least(&mut portions.iter().filter(is_awake)).or_else(|| least(&mut portions.iter()));
        Seen {
            complete_to: complete_to.unwrap_or(now).floor_second(),
            last_received: portions.iter().filter_map(|one| one.arrived.last_received).max(),
        }
    }
}

pub struct Judge {
    config: Config,
    sql: Sql,
    store: Store,
    exemplars: Exemplars,
    lost_spans: LostSpans,
    watch: Watch,
    sampling: Sampling,
    pods: PodsWithSpans,
    /// Endpoints that are left aside, with how many of their requests were since the start.
    aside: Kinds,
    learned: Learned,
    /// Calls a second that gateways keep from a service.
    kept_away: BTreeMap<ServiceId, f64>,
}

impl Judge {
    pub fn new(config: Config) -> Result<Judge, sql::Error> {
        let objectives = Objectives::new(config.objectives.clone(), config.default_objective.clone());
        let reference = Reference { objectives, ..Reference::default() };
        Ok(Judge {
            sql: Sql::plan(&config.queries)?,
            config,
            store: Store::default(),
            exemplars: Exemplars::default(),
            lost_spans: LostSpans::default(),
            watch: Watch::default(),
            sampling: Sampling::default(),
            pods: PodsWithSpans::new(),
            aside: Kinds::new(),
            learned: Learned { reference, ..Learned::default() },
            kept_away: BTreeMap::new(),
        })
    }

    /// Replaces the operator's queries. Where one cannot be planned, those before stay. What others found is not held
    /// against what these find.
    pub fn replace_queries(&mut self, queries: &Overrides) -> Result<(), sql::Error> {
        self.sql = Sql::plan(queries)?;
        self.learned.courses = Courses::default();
        Ok(())
    }

    /// What absorbers need for the traces that come; it changes only with a tick and with
    /// [promises](Judge::promise).
    pub fn reference(&self) -> &Reference {
        &self.learned.reference
    }

    /// Takes the objectives that the cluster states.
    pub fn promise(&mut self, cluster: &ClusterState) {
        let reference = &mut self.learned.reference;
        reference.version += u64::from(reference.objectives.promise(cluster));
    }

    /// Takes the entry operations of which gateways turn requests away.
    pub fn turn_away(&mut self, entries: BTreeSet<Text>) {
        let reference = &mut self.learned.reference;
        reference.version += u64::from(reference.turned_away != entries);
        reference.turned_away = entries;
    }

    /// Calls a second that gateways keep from each service, as of now: they are part of what it is needed for.
    pub fn keep_away(&mut self, kept_away: BTreeMap<ServiceId, f64>) {
        self.kept_away = kept_away;
    }

    /// Finds the bottlenecks of now, from the portions of all absorbers since the last tick.
    pub fn tick(&mut self, now: Time, portions: Vec<Portion>, cluster: &ClusterState) -> Result<Findings, sql::Error> {
        let seen = self.take_in(now, portions);
        let (findings, lessons) = match self.judge(now, seen, cluster) {
            Ok((findings, lessons)) => (Ok(findings), lessons),
            Err(error) => (Err(error), Lessons::default()),
        };
        self.learn(now, cluster, lessons);
        findings
    }

    /// Takes in the rows and the side tables of a tick. Their order does not matter.
    fn take_in(&mut self, now: Time, portions: Vec<Portion>) -> Seen {
        let seen = Seen::of(now, &portions, self.config.blind_after);
        self.learned.changes.take_in(now, portions.iter().map(|one| &one.sample));
        let mut received: BTreeMap<Text, ReceivedCounts> = BTreeMap::new();
        let mut without_parent: BTreeMap<[Text; 2], i64> = BTreeMap::new();
        let mut came = Came::default();
        let mut clocks: BTreeMap<[Text; 2], Vec<i64>> = BTreeMap::new();
        let (mut rollups, mut answered) = (Vec::new(), Vec::new());
        let mut works = Kinds::new();
        for portion in portions {
            portion.received.into_iter().for_each(|(service, counts)| received.entry(service).or_default().add(counts));
            came.without_beginning += portion.without_beginning;
            came.waiting += portion.arrived.waiting;
            came.spans.add(portion.arrived.spans);
            came.ids.merge(portion.ids);
            portion.misdated.into_iter().for_each(|(of, count)| *came.misdated.entry(of).or_default() += count);
            portion.chosen.into_iter().for_each(|(entry, count)| *came.chosen.entry(entry).or_default() += count);
            for (host, mut ahead) in portion.clocks {
                clocks.entry(host).or_default().append(&mut ahead);
            }
            portion
                .without_parent
                .into_iter()
                .for_each(|(top, count)| *without_parent.entry(top).or_default() += count);
            for (entry, (work, aside)) in portion.works {
                let (kind, sum) = works.entry(entry).or_default();
                (*kind, *sum) = (work, *sum + aside);
            }
            answered.extend(portion.answered.into_iter().map(|call| (call.kind, call.callee)));
            self.exemplars.push(now, portion.exemplars);
            self.store.push(portion.rollups.clone());
            rollups.push(portion.rollups);
        }
        came.services.clone_from(&received);
        self.lost_spans.push(now, received, came.spans.late);
        self.watch.push(now, &rollups, came);
        self.sampling.see(now, &rollups);
        let Learned { reference, quarantine, baseline, begun, .. } = &mut self.learned;
        begun.learn(&rollups);
        begun.evict(seen.complete_to.second());
        let entries = rollups.iter().flat_map(Rollups::rows::<EntryKey<&str>>).map(|(key, _)| key.entry);
        reference.objectives.learn_works(works.iter().map(|(entry, (work, _))| (entry, *work)));
        reference.objectives.learn(entries);
        for (entry, (work, aside)) in works.into_iter().filter(|(_, (_, aside))| *aside > 0) {
            if self.aside.len() < ASIDE_MAX || self.aside.contains_key(&entry) {
                let (kind, sum) = self.aside.entry(entry).or_default();
                (*kind, *sum) = (work, *sum + aside);
            }
        }
        reference.callees.learn(answered);
        reference.remote_entries.learn(without_parent, &rollups);
        // Whoever was first to come.
        clocks.values_mut().for_each(|ahead| ahead.sort_unstable());
        reference.clocks.learn(now, clocks);
        quarantine.offer(now, rollups);
        baseline.advance(now);
        self.store.evict((now - self.config.keep).second());
        self.exemplars.evict(now - self.config.keep, now - self.config.fast - self.config.fast);
        seen
    }

    /// Learns from a tick's judgements, and what time has released: the one place where what is known changes by what was
    /// found.
    fn learn(&mut self, now: Time, cluster: &ClusterState, lessons: Lessons) {
        let Learned { reference, quarantine, baseline, capacities, starts, courses, changes, .. } = &mut self.learned;
        quarantine.missed(now, lessons.missed);
        courses.learn(lessons.courses, lessons.complete_to);
        lessons.at_limit.iter().for_each(|(service, at_limit)| capacities.learn(service, *at_limit));
        changes.learn(now, lessons.changes);
        starts.learn(cluster);
        for released in quarantine.release(now) {
            baseline.learn(&released);
            reference.operations.learn(&released);
        }
        reference.version += 1;
        if let Some(pods) = lessons.pods {
            self.pods = pods;
        }
    }

    /// All clocks stepped at `now`: what is remembered moves with them.
    pub fn step_clock(&mut self, now: Time, step: ClockStep) {
        self.store.step_clock(now, step);
        self.exemplars.step_clock(step);
        self.lost_spans.step_clock(step);
        self.watch.step_clock(step);
        self.sampling.step_clock(step);
        let Learned { reference, quarantine, baseline, starts, begun, courses, changes, .. } = &mut self.learned;
        reference.clocks.step_clock(step);
        quarantine.step_clock(now, step);
        baseline.step_clock(step);
        starts.step_clock();
        begun.step_clock();
        courses.step_clock(step);
        changes.step_clock(step);
    }

    /// The rollup tables as they stand, for SQL by people.
    pub fn tables(&self) -> Vec<(&'static str, SchemaRef, Vec<RecordBatch>)> {
        let rollups =
            TABLES.iter().enumerate().map(|(i, t)| (t.name, t.schema.clone(), self.store.batches(i, i64::MIN)));
        let rollups = rollups.chain(self.exemplars.tables());
        let healthy = vec![self.learned.baseline.paths_table()];
        rollups.chain([("baseline_paths", baseline_paths_schema(), healthy)]).collect()
    }

    /// Spans whose parent never came, since the start.
    pub fn spans_without_parent(&self) -> u64 {
        self.lost_spans.without_parent()
    }

    pub fn pods_with_spans(&self) -> &PodsWithSpans {
        &self.pods
    }

    /// What was learned so far, to be kept over a restart.
    pub fn learnt(&self, now: Time) -> Learnt {
        let mut learnt = Learnt { at: now, ..Learnt::default() };
        self.learned.baseline.keep(&mut learnt);
        self.learned.reference.operations.keep(&mut learnt);
        self.learned.reference.remote_entries.keep(&mut learnt);
        self.learned.capacities.keep(&mut learnt);
        self.learned.starts.keep(&mut learnt);
        learnt
    }

    /// Takes over what another life learned, where this one knows nothing yet.
    pub fn restore(&mut self, learnt: &Learnt) {
        self.learned.baseline.restore(learnt);
        self.learned.reference.operations.restore(learnt);
        self.learned.reference.remote_entries.restore(learnt);
        self.learned.reference.version += 1;
        self.learned.capacities.restore(learnt);
        self.learned.starts.restore(learnt);
    }
}

fn tick_row(times: [Time; 3], at_risk_below: i64) -> RecordBatch {
    let time = |t: Time| Arc::new(TimestampNanosecondArray::from(vec![t.0]).with_timezone("UTC")) as ArrayRef;
    let at_risk_below: ArrayRef = Arc::new(Int64Array::from(vec![at_risk_below]));
    // Columns of one row each, in the order and of the types of the schema.
    RecordBatch::try_new(tick_schema(), times.map(time).into_iter().chain([at_risk_below]).collect())
        .expect("one row of the schema above")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_can_be_set() {
        let besides = ["objectives", "default_objective", "keep", "queries"];
        crate::model::setting::check(Config::SETTINGS, &besides);
    }
}
