//! The station itself: closed traces in, findings out.

mod judging;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::analyse::change::live::Changes;
use crate::analyse::diagnosis::backlog::Backlog;
use crate::analyse::diagnosis::service_state::ServiceState;
use crate::analyse::findings::Findings;
use crate::analyse::learned::Learnt;
use crate::analyse::learned::baseline::Baseline;
use crate::analyse::learned::capacity::Capacities;
use crate::analyse::learned::pod_startup::PodStartup;
use crate::analyse::objective::Objective;
use crate::analyse::rollup::exemplars::Exemplars;
use crate::analyse::rollup::sql::{self, Sql};
use crate::analyse::rollup::window_totals::{Answers, PodAnswer};
use crate::analyse::rollup::{Store, TABLES, Tally};
use crate::analyse::statistics::eviction::NAMES_MAX;
use crate::analyse::statistics::significance::{LEANING, LIKELY};
use crate::analyse::telemetry::LostSpans;
use crate::analyse::telemetry::Sampling;
use crate::analyse::trace::Tree;
use crate::model::setting::{Kind, Setting};
use crate::model::{ClockStep, ClusterState, Promise, ServiceId, Span, Symbol, Symbols, Time, Workload};
use crate::settings;
use crate::window::Window;
use judging::FEW_LONG;

type Text = Arc<str>;

/// Pods that spans came from in the fast window, by service; a service whose spans name no pod is left out.
pub type PodsWithSpans = BTreeMap<ServiceId, BTreeSet<String>>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The first that matches an entry operation counts.
    pub objectives: Vec<Objective>,
    /// For entry operations without one; None derives it from healthy time.
    pub default_objective: Option<Objective>,
    /// Judgements are made over this much complete event time: short, because a burst is over in minutes.
    pub fast: Duration,
    /// Requests of an entry operation in the fast window below which nothing is said of it. Whether few show anything
    /// is left to the test of significance; below this one slow trace would be much of what there is.
    pub requests_min: i64,
    /// Share of its capacity a pod is to be used to. Above 0.8 queues grow steeply with small errors.
    pub target_utilisation: f64,
    /// Rollups are kept this long.
    pub keep: Duration,
    /// Without a span for this long nothing is said of now.
    pub blind_after: Duration,
    /// An operator's own queries, by name, in place of the shipped ones.
    pub queries: BTreeMap<String, String>,
}

impl Config {
    /// What an operator may set; objectives and queries have sections of their own, and what is kept is the window's.
    pub const SETTINGS: &'static [Setting<Config>] = settings![Config;
        fast: Kind::seconds(1, 60), "complete time that a verdict looks at";
        requests_min: Kind::count(1, 1_000_000), "requests of an entry operation in that time below which nothing is said of it";
        target_utilisation: Kind::Share, "share of its capacity that a pod is to be used to";
        blind_after: Kind::seconds(1, 3_600), "without a span for so long nothing is known, and nothing is done";
    ];
}

impl Default for Config {
    fn default() -> Config {
        Config {
            objectives: Vec::new(),
            default_objective: None,
            fast: Duration::from_secs(3),
            requests_min: 5,
            target_utilisation: 0.8,
            keep: Duration::from_secs(120),
            blind_after: Duration::from_secs(15),
            queries: BTreeMap::new(),
        }
    }
}

/// Seconds before the fast window that a trend needs, and a judgement on few requests.
const LONG_EXTRA: Duration = Duration::from_secs(5);
/// How often traces are taken in: a portion keeps its tables in the processor's cache, and a request that waits for one
/// to be taken in waits for a twentieth of a second's traces.
const PORTION: Duration = Duration::from_millis(50);

/// Complete event time that is judged as one.
#[derive(Clone, Copy)]
struct Stretch {
    from: Time,
    to: Time,
}

impl Stretch {
    fn seconds(self) -> f64 {
        self.to.seconds_since(self.from)
    }
}

/// What the queries say of a stretch.
struct View<'a> {
    stretch: Stretch,
    answers: &'a Answers,
    services: &'a BTreeMap<Text, ServiceState<'a>>,
    /// The chance to be mistaken in a missed objective, above which there is no need to look further.
    chance: f64,
}

pub struct Analyser {
    config: Config,
    sql: Sql,
    store: Store,
    tally: Tally,
    baseline: Baseline,
    capacities: Capacities,
    /// What workloads' owners promise, before what is configured.
    promised: Vec<Objective>,
    objectives: BTreeMap<Text, Option<Objective>>,
    exemplars: Exemplars,
    lost_spans: LostSpans,
    starts: PodStartup,
    victims: Backlog,
    changes: Changes,
    sampling: Sampling,
    pods: PodsWithSpans,
    /// The tree of the trace at hand, and the promised latencies looked up since the last tick.
    tree: Tree<Span>,
    absorbed_at: Time,
    bounds: HashMap<Symbol, Option<i64>, RandomState>,
}

impl Analyser {
    pub fn new(config: Config) -> Result<Analyser, sql::Error> {
        let tables = TABLES.iter().map(|t| (t.name, t.schema.clone()));
        let tables = tables.chain([("baseline_paths", Baseline::schema()), ("tick", tick_schema())]);
        Ok(Analyser {
            sql: Sql::plan(tables, &config.queries)?,
            config,
            store: Store::default(),
            tally: Tally::default(),
            baseline: Baseline::default(),
            capacities: Capacities::default(),
            promised: Vec::new(),
            objectives: BTreeMap::new(),
            exemplars: Exemplars::default(),
            lost_spans: LostSpans::default(),
            starts: PodStartup::default(),
            victims: Backlog::default(),
            changes: Changes::default(),
            sampling: Sampling::default(),
            pods: PodsWithSpans::new(),
            tree: Tree::default(),
            absorbed_at: Time::MIN,
            bounds: HashMap::default(),
        })
    }

    /// Says what holds requests back now, of all traces that are complete.
    pub fn tick(&mut self, now: Time, window: &mut Window, cluster: &ClusterState) -> Result<Findings, sql::Error> {
        let complete_to = window.complete_to(now).floor_second();
        self.promise(cluster);
        window.forget(now);
        self.absorb_closed(now, window);
        self.seal(now, window);
        self.store.evict((now - self.config.keep).second());
        self.baseline.advance(now);
        self.starts.learn(cluster);
        let mut findings =
            Findings { at: now, complete_to, missing_parents: self.lost_spans.find(), ..Findings::default() };
        findings.sampling_changed_at = self.sampling.changed_at();
        findings.blind = window.last_received().is_none_or(|last| last + self.config.blind_after < now);
        if findings.blind {
            return Ok(findings);
        }
        let fast = Stretch { from: complete_to - self.config.fast, to: complete_to };
        let long = Stretch { from: fast.from - LONG_EXTRA, to: complete_to };
        self.fill_tables(long);
        let answers = self.ask(fast, 0)?;
        let services = self.services_now(&answers, fast, cluster);
        self.pods = pods_with_spans(&answers);
        findings.entries = answers.entries.iter().map(|e| self.entry_finding(e, fast)).collect();
        let view = View { stretch: fast, answers: &answers, services: &services, chance: LIKELY };
        self.judge(&mut findings, &view, now, |_| true);
        let open = self.open_entries(&answers, &findings);
        if !open.is_empty() {
            let answers = self.ask(long, FEW_LONG)?;
            let services = self.services_now(&answers, long, cluster);
            let view = View { stretch: long, answers: &answers, services: &services, chance: LEANING };
            self.judge(&mut findings, &view, now, |entry| open.contains(entry));
        }
        self.say_services(&mut findings, &answers, &services, cluster, now);
        self.complete_bottlenecks(&mut findings, cluster);
        let missed = findings.entries.iter().any(|entry| entry.missed);
        findings.suspects = self.changes.find(now, missed).to_vec();
        findings.silent_failures = self.changes.silent_failures(now);
        Ok(findings)
    }

    /// The rollup tables as they stand, for SQL by people.
    pub fn tables(&self) -> Vec<(&'static str, SchemaRef, Vec<RecordBatch>)> {
        let rollups =
            TABLES.iter().enumerate().map(|(i, t)| (t.name, t.schema.clone(), self.store.batches(i, i64::MIN)));
        let rollups = rollups.chain(self.exemplars.tables());
        rollups.chain([("baseline_paths", Baseline::schema(), vec![self.baseline.paths_table()])]).collect()
    }

    /// Spans whose parent never came, since the start.
    pub fn spans_without_parent(&self) -> u64 {
        self.lost_spans.without_parent()
    }

    pub fn pods_with_spans(&self) -> &PodsWithSpans {
        &self.pods
    }

    /// What was learnt so far, to be kept over a restart.
    pub fn learnt(&self, now: Time) -> Learnt {
        let mut learnt = Learnt { at: now, ..Learnt::default() };
        self.baseline.keep(&mut learnt);
        self.capacities.keep(&mut learnt);
        self.starts.keep(&mut learnt);
        learnt
    }

    /// Takes over what another life learnt, where this one knows nothing yet.
    pub fn restore(&mut self, learnt: &Learnt) {
        self.baseline.restore(learnt);
        self.capacities.restore(learnt);
        self.starts.restore(learnt);
    }

    /// All clocks stepped at `now`: what is remembered moves with them.
    pub fn step_clock(&mut self, now: Time, step: ClockStep, window: &mut Window) {
        // What was absorbed since the last tick becomes rows first: then there is one place less to look at.
        self.seal(now, window);
        self.store.step_clock(now, step);
        self.baseline.step_clock(step);
        self.exemplars.step_clock(step);
        self.lost_spans.step_clock(step);
        self.starts.step_clock();
        self.victims.step_clock(step);
        self.changes.step_clock(step);
        self.sampling.step_clock(step);
        step.move_all([&mut self.absorbed_at]);
    }

    /// Takes in the traces that are complete at `now`, every [so often](PORTION). Called as spans come, so that a tick is
    /// left with few.
    pub fn absorb(&mut self, now: Time, window: &mut Window) {
        // By when spans were received, whenever they come to be taken: they may have waited.
        if now >= self.absorbed_at + PORTION {
            self.absorbed_at = now;
            self.absorb_closed(now, window);
        }
    }

    fn absorb_closed(&mut self, now: Time, window: &mut Window) {
        let closed = window.close(now);
        let symbols = window.symbols();
        let mut repeated = 0;
        self.changes.refill(now);
        for trace in &closed {
            self.tree.rebuild(&trace.spans);
            repeated += self.tree.duplicates;
            let entry = self.tree.root.map(|root| {
                let span = &self.tree.nodes[root].span;
                symbols.entry(span.service, span.operation)
            });
            let entry = entry.map(|entry| (entry, self.latency_bound_ns(entry, symbols)));
            let (tree, healthy) = (&self.tree, self.baseline.operations());
            if let Some(absorbed) = self.tally.absorb(tree, entry, healthy, symbols) {
                self.exemplars.add(trace.id, tree, &absorbed, symbols);
                self.changes.offer(absorbed.entry, trace.id, tree, symbols);
            }
        }
        window.recycle(closed, repeated);
    }

    /// Makes rows of what was absorbed since the last tick.
    fn seal(&mut self, now: Time, window: &mut Window) {
        let symbols = window.symbols();
        self.lost_spans.push(now, self.tally.take_taken(symbols));
        let rows = self.tally.take(self.baseline.operations(), symbols);
        let exemplars_from = now - self.config.fast - self.config.fast;
        self.exemplars.seal(now, now - self.config.keep, exemplars_from, symbols);
        self.sampling.see(now, &rows);
        self.store.push(&rows);
        self.baseline.offer(now, rows);
        self.bounds.clear();
        if self.objectives.len() > NAMES_MAX {
            self.objectives.retain(|entry, _| self.baseline.knows_entry(entry));
        }
        if symbols.is_crowded() {
            // Texts of pods and versions that are gone are forgotten.
            self.tally.forget_symbols();
            self.changes.forget_symbols();
            window.renew_symbols();
        }
    }

    /// The latency an entry operation was promised, looked up once a tick.
    fn latency_bound_ns(&mut self, entry: Symbol, symbols: &Symbols) -> Option<i64> {
        if let Some(&known) = self.bounds.get(&entry) {
            return known;
        }
        let bound = self.find_bound_ns(symbols.text(entry));
        self.bounds.insert(entry, bound);
        bound
    }

    /// Takes the objectives that the cluster states; where they changed, all are looked up anew.
    fn promise(&mut self, cluster: &ClusterState) {
        let of = |workload: &Workload| {
            let service = workload.service.clone();
            let objective = move |promise: &Promise| Objective {
                entry: promise.entry.clone().unwrap_or_else(|| format!("{service} *")),
                latency_ns: promise.latency_ns,
                quantile: promise.quantile,
                errors: promise.errors,
            };
            workload.terms.objectives.iter().map(objective).collect::<Vec<_>>()
        };
        let promised: Vec<Objective> = cluster.workloads.iter().flat_map(of).collect();
        if promised != self.promised {
            self.promised = promised;
            self.objectives.clear();
            self.bounds.clear();
        }
    }

    /// The latency an entry operation was promised. Its objective is looked up once, and derived anew until there
    /// is one.
    fn find_bound_ns(&mut self, entry: &Text) -> Option<i64> {
        if let Some(Some(known)) = self.objectives.get(entry) {
            return Some(known.latency_ns);
        }
        let configured = self.promised.iter().chain(&self.config.objectives).find(|o| o.matches(entry));
        let objective = configured.or(self.config.default_objective.as_ref()).cloned().or_else(|| {
            let latency_ns = self.baseline.derived_objective_ns(entry)?;
            Some(Objective { entry: entry.to_string(), latency_ns, quantile: 0.99, errors: 0.01 })
        });
        let bound = objective.as_ref().map(|o| o.latency_ns);
        self.objectives.insert(entry.clone(), objective);
        bound
    }

    fn fill_tables(&self, long: Stretch) {
        for (index, table) in TABLES.iter().enumerate() {
            self.sql.set(table.name, self.store.batches(index, long.from.second()));
        }
        self.sql.set("baseline_paths", vec![self.baseline.paths_table()]);
    }

    /// Of entry operations with fewer requests than `near_below`, those that came near missing are blamed too.
    fn ask(&self, stretch: Stretch, near_below: i64) -> Result<Answers, sql::Error> {
        let slow_from = stretch.to - self.config.fast - LONG_EXTRA;
        self.sql.set("tick", vec![tick_row([slow_from, stretch.from, stretch.to], near_below)]);
        Answers::ask(&self.sql)
    }
}

fn pods_with_spans(answers: &Answers) -> PodsWithSpans {
    let pods = |(service, pods): (&Text, &Vec<PodAnswer>)| {
        (ServiceId::from(&**service), pods.iter().map(|p| p.pod.to_string()).collect())
    };
    answers.pods.iter().map(pods).collect()
}

/// The table `tick`, one row: what the queries are asked about.
pub(super) fn tick_schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let columns = ["slow_from", "fast_from", "complete_to"].map(|name| Field::new(name, time(), false));
    let near_below = Field::new("near_below", DataType::Int64, false);
    Arc::new(Schema::new(columns.into_iter().chain([near_below]).collect::<Vec<_>>()))
}

fn tick_row(times: [Time; 3], near_below: i64) -> RecordBatch {
    let time = |t: Time| Arc::new(TimestampNanosecondArray::from(vec![t.0]).with_timezone("UTC")) as ArrayRef;
    let near_below: ArrayRef = Arc::new(Int64Array::from(vec![near_below]));
    // Columns of one row each, in the order and of the types of the schema.
    RecordBatch::try_new(tick_schema(), times.map(time).into_iter().chain([near_below]).collect())
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
