//! The station itself: closed traces in, findings out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::answers::{Answers, EntryAnswer, PodAnswer, ServiceSecond};
use super::arrivals::Arrivals;
use super::baseline::Baseline;
use super::capacity::{Capacities, Sample};
use super::exemplars::Exemplars;
use super::findings::{Bottleneck, EntryFinding, Findings, ServiceFinding, Verdict};
use super::gaps::Gaps;
use super::histogram::quantile_ns;
use super::objective::{LIKELY, Objective, SURELY, exceeds};
use super::rollup::{HealthSums, Merge, Store, TABLES, Tally};
use super::service_now::{ServiceNow, cold_pods};
use super::sql::{self, Sql};
use super::trace::Tree;
use super::verdict::{Judge, Judgement};
use crate::model::{ClusterState, ServiceId, Span, Symbol, Symbols, Time};
use crate::window::Window;

type Text = Arc<str>;

/// Pods that spans came from in the fast window, by service; a service whose spans name no pod is left out.
pub type PodsWithSpans = BTreeMap<ServiceId, BTreeSet<String>>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

/// Seconds before the fast window that a trend needs.
const SLOW_EXTRA: Duration = Duration::from_secs(5);
/// How far beyond now a growing load is carried on: a tick, and what the change takes to be written. Not the time a
/// pod takes to start: a trend carried that far overshoots where the load levels off.
const AHEAD: Duration = Duration::from_secs(1);
/// Without a baseline (just after a start) a scale-out at most doubles.
const BLIND_STEP_FACTOR: u32 = 2;
/// Requests in the fast window below which a service counts as thin: they say little of what many would need.
const THIN_REQUESTS: i64 = 20;
/// How often traces are taken in: a portion keeps its tables in the processor's cache, and a request that waits for one
/// to be taken in waits for a twentieth of a second's traces.
const PORTION: Duration = Duration::from_millis(50);
/// Exemplars kept for each entry operation.
const EXEMPLARS: usize = 5;

pub struct Analyser {
    config: Config,
    sql: Sql,
    store: Store,
    tally: Tally,
    baseline: Baseline,
    capacities: Capacities,
    objectives: BTreeMap<Text, Option<Objective>>,
    exemplars: Exemplars,
    gaps: Gaps,
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
            objectives: BTreeMap::new(),
            exemplars: Exemplars::default(),
            gaps: Gaps::default(),
            pods: PodsWithSpans::new(),
            tree: Tree::default(),
            absorbed_at: Time::MIN,
            bounds: HashMap::default(),
        })
    }

    /// Says what holds requests back now, of all traces that are complete.
    pub fn tick(&mut self, now: Time, window: &mut Window, cluster: &ClusterState) -> Result<Findings, sql::Error> {
        let complete_to = window.complete_to(now).floor_second();
        window.forget(now);
        self.absorb_closed(now, window);
        self.seal(now, window);
        self.store.evict((now - self.config.keep).second());
        self.baseline.advance(now);
        let mut findings = Findings { at: now, complete_to, gaps: self.gaps.find(), ..Findings::default() };
        findings.blind = window.last_received().is_none_or(|last| last + self.config.blind_after < now);
        if findings.blind {
            return Ok(findings);
        }
        self.fill_tables(complete_to);
        let answers = Answers::ask(&self.sql)?;
        self.pods = pods_with_spans(&answers);
        findings.entries = answers.entries.iter().map(|e| self.entry_finding(e)).collect();
        let now_by_service = self.services_now(&answers, complete_to, cluster);
        self.judge(&mut findings, &answers, &now_by_service, now);
        self.say_services(&mut findings, &answers, &now_by_service, cluster, now);
        self.complete_bottlenecks(&mut findings, cluster);
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
        self.gaps.without_parent()
    }

    pub fn pods_with_spans(&self) -> &PodsWithSpans {
        &self.pods
    }

    /// Takes in the traces that are complete at `now`, every [so often](PORTION). Called as spans come, so that a tick is
    /// left with few.
    pub fn absorb(&mut self, now: Time, window: &mut Window) {
        if now >= self.absorbed_at + PORTION {
            self.absorb_closed(now, window);
        }
    }

    fn absorb_closed(&mut self, now: Time, window: &mut Window) {
        self.absorbed_at = now;
        let closed = window.close(now);
        let symbols = window.symbols();
        let mut repeated = 0;
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
            }
        }
        window.settle(closed, repeated);
    }

    /// Makes rows of what was absorbed since the last tick.
    fn seal(&mut self, now: Time, window: &mut Window) {
        let symbols = window.symbols();
        self.gaps.push(now, self.tally.take_taken(symbols));
        let rows = self.tally.take(self.baseline.operations(), symbols);
        let exemplars_from = now - self.config.fast - self.config.fast;
        self.exemplars.seal(now, now - self.config.keep, exemplars_from, symbols);
        self.store.push(&rows);
        self.baseline.offer(now, rows);
        self.bounds.clear();
        if symbols.is_crowded() {
            // Texts of pods and versions that are gone are forgotten.
            self.tally.forget_symbols();
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

    /// The latency an entry operation was promised. Its objective is looked up once, and derived anew until there
    /// is one.
    fn find_bound_ns(&mut self, entry: &Text) -> Option<i64> {
        if let Some(Some(known)) = self.objectives.get(entry) {
            return Some(known.latency_ns);
        }
        let configured = self.config.objectives.iter().find(|o| o.matches(entry));
        let objective = configured.or(self.config.default_objective.as_ref()).cloned().or_else(|| {
            let latency_ns = self.baseline.derived_objective_ns(entry)?;
            Some(Objective { entry: entry.to_string(), latency_ns, quantile: 0.99, errors: 0.01 })
        });
        let bound = objective.as_ref().map(|o| o.latency_ns);
        self.objectives.insert(entry.clone(), objective);
        bound
    }

    fn fill_tables(&self, complete_to: Time) {
        let fast_from = complete_to - self.config.fast;
        let slow_from = fast_from - SLOW_EXTRA;
        for (index, table) in TABLES.iter().enumerate() {
            self.sql.set(table.name, self.store.batches(index, slow_from.second()));
        }
        self.sql.set("baseline_paths", vec![self.baseline.paths_table()]);
        self.sql.set("tick", vec![tick_row(slow_from, fast_from, complete_to)]);
    }

    fn entry_finding(&self, answer: &EntryAnswer) -> EntryFinding {
        let objective = self.objectives.get(&answer.entry).and_then(Option::as_ref);
        EntryFinding {
            entry: answer.entry.to_string(),
            requests: answer.requests as u64,
            requests_per_s: answer.requests as f64 / self.config.fast.as_secs_f64(),
            p50_ms: answer.quantile_ms(0.5),
            p99_ms: answer.quantile_ms(0.99),
            objective_ms: objective.map_or(0.0, |o| o.latency_ns as f64 / 1e6),
            missed_share: answer.missed as f64 / answer.requests.max(1) as f64,
            error_share: answer.errors as f64 / answer.requests.max(1) as f64,
            missed: self.misses(answer, SURELY),
        }
    }

    /// Whether an entry operation misses its objective, at a chance to be mistaken.
    fn misses(&self, answer: &EntryAnswer, chance: f64) -> bool {
        let objective = self.objectives.get(&answer.entry).and_then(Option::as_ref);
        let missed = |o: &Objective| {
            exceeds(answer.slow, answer.requests, 1.0 - o.quantile, chance)
                || exceeds(answer.errors, answer.requests, o.errors, chance)
        };
        answer.requests >= self.config.requests_min && objective.is_some_and(missed)
    }

    fn services_now<'a>(
        &self,
        answers: &'a Answers,
        complete_to: Time,
        cluster: &ClusterState,
    ) -> BTreeMap<Text, ServiceNow<'a>> {
        let until = complete_to.second();
        let from = complete_to - self.config.fast;
        let fast_from = from.second();
        let now = |(service, seconds): (&Text, &Vec<ServiceSecond>)| {
            let mut sums = HealthSums::default();
            seconds.iter().filter(|s| s.second >= fast_from).for_each(|s| sums.merge(&s.sums));
            let pods = answers.pods.get(service).map_or(&[][..], Vec::as_slice);
            let cold_pods = cold_pods(cluster.workload(service), from);
            let arrivals = Arrivals::estimate(seconds, until).weighted(sums.weight());
            (service.clone(), ServiceNow { sums, pods, cold_pods, arrivals })
        };
        answers.services.iter().map(now).collect()
    }

    /// Names the bottleneck of each entry operation that misses, and learns capacity from those that saturate.
    fn judge(
        &mut self,
        findings: &mut Findings,
        answers: &Answers,
        services: &BTreeMap<Text, ServiceNow<'_>>,
        now: Time,
    ) {
        let likely: Vec<bool> = answers.entries.iter().map(|answer| self.misses(answer, LIKELY)).collect();
        let mut saturated: BTreeMap<Text, f64> = BTreeMap::new();
        let mut bottlenecks = Vec::new();
        for (entry, likely) in findings.entries.iter_mut().zip(likely) {
            if !(entry.missed || likely) {
                continue;
            }
            let judge = Judge { answers, baseline: &self.baseline, now: services };
            let judgement = judge.judge(&entry.entry);
            // What is only likely counts when all requests of a service bear it out, not just those that missed.
            entry.missed |= judgement.as_ref().is_some_and(|j| j.borne_out);
            if !entry.missed {
                continue;
            }
            let crossed = self.crossed(answers, &entry.entry);
            self.baseline.missed(now, crossed.into_iter().chain([entry.entry.as_str().into()]));
            let Some(judgement) = judgement else { continue };
            if judgement.at_limit {
                saturated.insert(judgement.service.clone(), judgement.undisturbed_share);
            }
            bottlenecks.push(self.bottleneck(entry, judgement));
        }
        findings.bottlenecks = bottlenecks;
        for (service, undisturbed_share) in saturated {
            if let Some(now_there) = services.get(&service) {
                let sample = Sample { undisturbed_share, fast: self.config.fast };
                self.capacities.learn(&service, now_there, sample);
            }
        }
        findings.bottlenecks.sort_by(|a, b| b.blame_ms.total_cmp(&a.blame_ms).then_with(|| a.entry.cmp(&b.entry)));
    }

    /// The services an entry operation crosses. Just after a start the baseline knows no paths yet; those of the
    /// missed traces themselves do.
    fn crossed(&self, answers: &Answers, entry: &str) -> BTreeSet<Text> {
        let blamed = answers.blame.iter().filter(|b| *b.entry == *entry).map(|b| b.service.clone());
        self.baseline.crossed_by(entry).into_iter().chain(blamed).collect()
    }

    fn bottleneck(&self, entry: &EntryFinding, judgement: Judgement) -> Bottleneck {
        Bottleneck {
            entry: entry.entry.clone(),
            service: judgement.service.to_string(),
            operation: judgement.operation.to_string(),
            pod: judgement.pod.map(|p| p.to_string()),
            peer: judgement.peer.map(|p| p.to_string()),
            caller: judgement.caller.map(|c| c.to_string()),
            version: judgement.version.map(|v| v.to_string()),
            verdict: judgement.verdict,
            score: judgement.score,
            blame_ms: judgement.blame_ns as f64 / 1e6,
            p99_ms: entry.p99_ms,
            objective_ms: entry.objective_ms,
            missed_share: entry.missed_share,
            replicas: 0,
            replicas_needed: None,
            evidence: judgement.evidence,
            exemplars: self.exemplars.slowest(&entry.entry, EXEMPLARS),
        }
    }

    fn say_services(
        &self,
        findings: &mut Findings,
        answers: &Answers,
        services: &BTreeMap<Text, ServiceNow<'_>>,
        cluster: &ClusterState,
        now: Time,
    ) {
        let mut crossed: BTreeSet<Text> = BTreeSet::new();
        for entry in findings.entries.iter().filter(|e| e.missed) {
            crossed.extend(self.crossed(answers, &entry.entry));
        }
        // The newest second described lies this far back, and a growing load has grown on since; it will have grown
        // a little further when the change is made.
        let ahead_s = now.seconds_since(findings.complete_to).max(0.0) + AHEAD.as_secs_f64();
        findings.services = services
            .iter()
            .map(|(service, there)| {
                let workload = cluster.workload(service);
                let requests = there.sums.requests + there.sums.refused + there.sums.gave_up;
                let durations = answers.durations.get(service).cloned().unwrap_or_default();
                let expected = there.arrivals.ahead(ahead_s);
                let replicas = workload.map_or(there.pods.len() as u32, |w| w.replicas);
                let needed = self.capacities.replicas(service, expected, self.config.target_utilisation);
                // What was seen inside one window alone carries one bounded step, and none down.
                let blind_step = |needed: u32| needed.clamp(replicas, replicas.saturating_mul(BLIND_STEP_FACTOR));
                let known = self.baseline.service(service).is_some();
                ServiceFinding {
                    service: ServiceId::from(&**service),
                    throughput_per_s: there.arrivals.throughput_per_s,
                    arrivals_per_s: there.arrivals.per_s,
                    error_share: there.sums.errors as f64 / requests.max(1) as f64,
                    p99_ms: quantile_ns(durations, 0.99) as f64 / 1e6,
                    waiting_ms: there.wait_s() * 1e3,
                    own_time_ms: there.own_s() * 1e3,
                    concurrency_per_pod: there.concurrency_per_pod(),
                    capacity_per_pod_per_s: self.capacities.per_pod(service),
                    replicas,
                    ready: workload.map_or(there.pods.len() as u32, |w| w.ready()),
                    replicas_needed: if known { needed } else { needed.map(blind_step) },
                    objective_missed: crossed.contains(service),
                    thin: there.sums.requests < THIN_REQUESTS,
                }
            })
            .collect();
    }

    fn complete_bottlenecks(&self, findings: &mut Findings, cluster: &ClusterState) {
        let services = &findings.services;
        for bottleneck in &mut findings.bottlenecks {
            let service = services.iter().find(|s| s.service.as_str() == bottleneck.service);
            bottleneck.replicas = service.map_or(0, |s| s.replicas);
            bottleneck.replicas_needed = service.and_then(|s| s.replicas_needed);
            let at_maximum = cluster.workload(&bottleneck.service).is_some_and(|w| w.replicas >= w.max_replicas);
            if bottleneck.verdict == Verdict::Saturated && at_maximum {
                bottleneck.verdict = Verdict::Exhausted;
            }
        }
    }
}

fn pods_with_spans(answers: &Answers) -> PodsWithSpans {
    let pods = |(service, pods): (&Text, &Vec<PodAnswer>)| {
        (ServiceId::from(&**service), pods.iter().map(|p| p.pod.to_string()).collect())
    };
    answers.pods.iter().map(pods).collect()
}

fn tick_schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let column = |name: &str| Field::new(name, time(), false);
    Arc::new(Schema::new(vec![column("slow_from"), column("fast_from"), column("complete_to")]))
}

fn tick_row(slow_from: Time, fast_from: Time, complete_to: Time) -> RecordBatch {
    let time = |t: Time| Arc::new(TimestampNanosecondArray::from(vec![t.0]).with_timezone("UTC")) as _;
    // Three columns of one row, of the schema's type.
    RecordBatch::try_new(tick_schema(), vec![time(slow_from), time(fast_from), time(complete_to)])
        .expect("one row of the schema above")
}
