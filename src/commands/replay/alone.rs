//! Spans without their journal: they are received, ticked and placed in a cluster by assumption.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use super::Replayed;
use super::compare::Comparison;
use super::supply::Supply;
use super::verdicts::Verdicts;
use crate::analyse::Findings;
use crate::commands::error::Error;
use crate::decide::{self, RuleSource};
use crate::engine::{Effect, Engine, Event, Settings};
use crate::guard::Mode;
use crate::journal::{Entry, What};
use crate::model::time::NANOS_PER_SECOND;
use crate::model::{
    ClusterState, Kind, Pod, ServiceId, SpanBatch, SpanBuilder, SpanRow, Time, TimeUnit, TraceId, Workload,
};

/// From the end of a second's last span to its receipt: an SDK's batch of one second and a Collector's after it.
const LAG: Duration = Duration::from_secs(2);

/// A pod that sent no span for so long is taken to be gone.
const POD_SILENT: Duration = Duration::from_secs(60);

/// Ticks after the last span, so that traces that stay open are judged too.
const TAIL: Duration = Duration::from_secs(15);

/// A longer silence is passed over: the window has forgotten everything, and a wrong date would tick for years.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Assumed for want of the operator's word; scaling past it would be proposed without end.
const MAX_REPLICAS: u32 = 1_000;

pub fn replay(files: &[String], rules: Option<Vec<RuleSource>>) -> Result<Replayed, Error> {
    let mut verdicts = Verdicts::default();
    let mut replayed = watch(files, rules, Some(1.0), &mut |findings, _| verdicts.see(findings))?;
    replayed.verdicts = verdicts.told;
    Ok(replayed)
}

/// Whether spans still come at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Runs,
    /// The recording is over: traces that it cuts stay open.
    HasEnded,
}

/// The same; `each` looks at the findings of every tick. `assume_weight` is of spans that do not say how many they stand for.
pub fn watch(
    files: &[String],
    rules: Option<Vec<RuleSource>>,
    assume_weight: Option<f64>,
    each: &mut dyn FnMut(&Findings, Stream),
) -> Result<Replayed, Error> {
    let mut supply = Supply::new(files.to_vec(), assume_weight);
    let mut seconds = by_second(&mut supply)?;
    let mut notes = vec![
        "no journal: pauses, changes and their outcomes are not known, so it observes only, and what hung on them is not reproduced".to_owned(),
        format!("spans are received {} s after the end of the second they end in, and the engine ticks every second", LAG.as_secs()),
        "a span that does not say how many it stands for counts once; every entry operation has the default objective (99 % of requests below 500 ms, at most 1 % errors)".to_owned(),
        format!("replicas are the pods that sent spans in the last {} s; every service may be scaled, up to {MAX_REPLICAS} replicas", POD_SILENT.as_secs()),
    ];
    notes.extend(supply.take_notes());
    let rules = rules.unwrap_or_else(|| {
        notes.push("the rules are the shipped ones; name others with --rules".to_owned());
        decide::shipped()
    });
    let Some(first) = seconds.keys().next().copied() else {
        notes.push("the files hold no spans".to_owned());
        let comparison = Comparison::default();
        return Ok(Replayed { comparison, exact: false, spans_missing: 0, notes, verdicts: Vec::new() });
    };
    let mut now = Time::from_secs(first);
    let settings = Settings { mode: Mode::Observe, assume_weight, ..Settings::default() };
    let mut engine = Engine::new(now, settings, &rules)?;
    let mut pods = Pods::default();
    let mut made = Vec::new();
    let mut failed: BTreeMap<String, u64> = BTreeMap::new();
    let mut last = now;
    while let Some(next) = seconds.first_entry() {
        let received_at = Time::from_secs(*next.key()) + Duration::from_secs(1) + LAG;
        if received_at > now + SILENCE_MAX {
            let silent = received_at.seconds_since(now).round();
            notes.push(format!("{silent} s without a span from {now} on are passed over"));
            now = received_at.floor_second();
        }
        while now < received_at {
            now = now + Duration::from_secs(1);
            if now < received_at {
                tick(&mut engine, now, &pods, &mut made, &mut failed);
                each(engine.findings(), Stream::Runs);
            }
        }
        let batch = next.remove().finish();
        pods.see(received_at, &batch);
        engine.ingest(received_at, batch);
        tick(&mut engine, now, &pods, &mut made, &mut failed);
        each(engine.findings(), Stream::Runs);
        last = now;
    }
    while now < last + TAIL {
        now = now + Duration::from_secs(1);
        tick(&mut engine, now, &pods, &mut made, &mut failed);
        each(engine.findings(), Stream::HasEnded);
    }
    notes.extend(failed.into_iter().map(|(error, times)| format!("{error} ({times} times)")));
    let mut comparison = Comparison::default();
    comparison.add_other(Vec::new(), made);
    Ok(Replayed { comparison, exact: false, spans_missing: 0, notes, verdicts: Vec::new() })
}

/// Hosts of one trace that differ by more tell of a clock that is off, or of work that was done later.
const TOGETHER_NS: i64 = 2 * NANOS_PER_SECOND;

/// The spans by the second in which they end, as far as one can know: in a file they lie as they were batched, here and
/// there, and one whose clock is off came with the others of its trace.
fn by_second(supply: &mut Supply) -> Result<BTreeMap<i64, SpanBuilder>, Error> {
    let mut batches: Vec<SpanBatch> = Vec::new();
    let mut ends: HashMap<TraceId, Vec<i64>, RandomState> = HashMap::default();
    // Traces in which messages are taken, whenever that is.
    let mut messages: HashSet<TraceId, RandomState> = HashSet::default();
    while let Some(batch) = supply.next_batch()? {
        for span in batch.iter() {
            ends.entry(span.trace_id).or_default().push(end_ns(&span));
            if span.kind == Kind::Consumer {
                messages.insert(span.trace_id);
            }
        }
        batches.push(batch);
    }
    let middle = |mut ends: Vec<i64>| {
        let middle = ends.len() / 2;
        *ends.select_nth_unstable(middle).1
    };
    let middles: HashMap<TraceId, i64, RandomState> =
        ends.into_iter().map(|(trace, ends)| (trace, middle(ends))).collect();
    let mut seconds: BTreeMap<i64, SpanBuilder> = BTreeMap::new();
    for span in batches.iter().flat_map(SpanBatch::iter) {
        let (own, middle) = (end_ns(&span), middles.get(&span.trace_id).copied());
        let is_later_work = |m: i64| own > m && messages.contains(&span.trace_id);
        let together = middle.filter(|&m| !is_later_work(m) && own.abs_diff(m) > TOGETHER_NS as u64);
        seconds.entry(together.unwrap_or(own).div_euclid(NANOS_PER_SECOND)).or_default().append(&span);
    }
    Ok(seconds)
}

/// When a span ended, also where its sender wrote another unit than nanoseconds.
fn end_ns(span: &SpanRow<'_>) -> i64 {
    let end = span.end();
    TimeUnit::of(end, Time(i64::MAX)).map_or(end.0, |unit| end.0.saturating_mul(unit.nanos()))
}

fn tick(
    engine: &mut Engine,
    now: Time,
    pods: &Pods,
    made: &mut Vec<crate::guard::Decision>,
    failed: &mut BTreeMap<String, u64>,
) {
    engine.observe(now, Event::Cluster(pods.state(now)));
    for effect in engine.tick(now) {
        match effect {
            Effect::Record(Entry { what: What::Decided { decision }, .. }) => made.push(decision),
            Effect::Record(Entry { what: What::RuleFailed { error, .. }, .. }) => {
                *failed.entry(error).or_default() += 1
            }
            Effect::Record(_) | Effect::Apply(_) => {}
        }
    }
}

/// The cluster as far as spans tell of it: which pods there were, and when.
#[derive(Default)]
struct Pods {
    /// By service and name: first and last seen.
    seen: BTreeMap<ServiceId, BTreeMap<String, (Time, Time)>>,
}

impl Pods {
    fn see(&mut self, at: Time, batch: &SpanBatch) {
        // Most rows repeat the pod of another; an identity is made for each pod only.
        let of = |span: SpanRow<'_>| [span.cluster, span.namespace, span.service, span.pod].map(str::to_owned);
        let distinct: BTreeSet<[String; 4]> = batch.iter().map(of).collect();
        for [cluster, namespace, service, pod] in distinct {
            let service = ServiceId::new(&cluster, &namespace, &service);
            self.seen.entry(service).or_default().entry(pod).or_insert((at, at)).1 = at;
        }
    }

    /// A service whose spans name no pod counts as one.
    fn state(&self, now: Time) -> ClusterState {
        let workload = |(service, pods): (&ServiceId, &BTreeMap<String, (Time, Time)>)| {
            let alive = pods.iter().filter(|(_, (_, last))| now <= *last + POD_SILENT);
            let pods: Vec<Pod> = alive
                .map(|(name, (first, _))| Pod { name: name.clone(), created_at: *first, ready_at: Some(*first) })
                .collect();
            Workload {
                service: service.clone(),
                replicas: pods.len() as u32,
                min_replicas: 1,
                max_replicas: MAX_REPLICAS,
                resource_version: 1,
                pods,
                ..Workload::default()
            }
        };
        let alive = |workload: &Workload| workload.replicas > 0;
        ClusterState { at: now, workloads: self.seen.iter().map(workload).filter(alive).collect() }
    }
}
