//! The view of a rule: `now`, its bottlenecks, services and entries, read-only, with a getter for every field so that a
//! misspelt one is an error and not silently `()`.
//!
//! Times come twice: `b.p99` is a duration that compares with `seconds(1)` and prints as `312 ms`, `b.p99_ms` is the
//! number. A value that is not known is `()`. Sentences with numbers come whole (`b.symptom`, `b.summary`): every rule
//! then states the same fact in the same words.

use std::sync::Arc;

use rhai::{Array, CustomType, Dynamic, Engine, ImmutableString, TypeBuilder};

use super::draft::RuleDuration;
use super::local_time::{self, LocalTime};
use crate::analyse::{
    Bottleneck, EntryFinding, Evidence, Findings, Offered, ServiceFinding, ServiceLoad, Suspect, sentences,
};
use crate::model::{ClusterState, Time, TraceId};

pub(super) fn register(engine: &mut Engine) {
    engine
        .build_type::<Now>()
        .build_type::<BottleneckView>()
        .build_type::<ServiceView>()
        .build_type::<EntryView>()
        .build_type::<SuspectView>()
        .build_type::<EvidenceView>()
        .build_type::<LocalTime>();
}

/// The argument of `evaluate`. Built once a tick; every getter hands out shared values.
#[derive(Clone)]
pub(super) struct Now(Arc<Inner>);

struct Inner {
    time: Time,
    at: String,
    complete_to: String,
    blind: bool,
    seen_share: f64,
    bottleneck: BottleneckView,
    bottlenecks: Array,
    services: Array,
    entries: Array,
    suspects: Array,
    silent_failures: Array,
}

impl Now {
    pub(super) fn new(findings: &Findings, cluster: &ClusterState) -> Now {
        let bottleneck = |b: Bottleneck| BottleneckView(Arc::new(b));
        let service = |s: &ServiceFinding| {
            let workload = cluster.workload(s.service.as_str());
            let owner = workload.map(|w| OwnerTerms {
                min_replicas: w.min_replicas,
                max_replicas: w.max_replicas,
                shiftable: !w.routes.is_empty(),
            });
            ServiceView(Arc::new((s.clone(), owner, findings.load(s.service.as_str()).cloned())))
        };
        let suspect = |s: &Suspect| Dynamic::from(SuspectView(Arc::new(s.clone())));
        Now(Arc::new(Inner {
            time: findings.at,
            at: findings.at.to_string(),
            complete_to: findings.complete_to.to_string(),
            blind: findings.blind,
            seen_share: findings.sight.share,
            bottleneck: bottleneck(findings.bottleneck()),
            bottlenecks: findings.bottlenecks.iter().cloned().map(|b| Dynamic::from(bottleneck(b))).collect(),
            services: findings.services.iter().map(|s| Dynamic::from(service(s))).collect(),
            entries: findings.entries.iter().map(|e| Dynamic::from(EntryView(Arc::new(e.clone())))).collect(),
            suspects: findings.suspects.iter().map(suspect).collect(),
            silent_failures: findings.silent_failures.iter().map(suspect).collect(),
        }))
    }
}

impl CustomType for Now {
    fn build(mut builder: TypeBuilder<Self>) {
        builder
            .with_name("now")
            .with_get("at", |now: &mut Now| now.0.at.clone())
            .with_get("complete_to", |now: &mut Now| now.0.complete_to.clone())
            .with_get("blind", |now: &mut Now| now.0.blind)
            .with_get("seen_share", |now: &mut Now| now.0.seen_share)
            .with_get("bottleneck", |now: &mut Now| now.0.bottleneck.clone())
            .with_get("bottlenecks", |now: &mut Now| now.0.bottlenecks.clone())
            .with_get("services", |now: &mut Now| now.0.services.clone())
            .with_get("entries", |now: &mut Now| now.0.entries.clone())
            .with_get("suspects", |now: &mut Now| now.0.suspects.clone())
            .with_get("silent_failures", |now: &mut Now| now.0.silent_failures.clone())
            .with_fn("local", |now: &mut Now, zone: ImmutableString| LocalTime::of(now.0.time, &zone))
            .with_fn(
                "is_between",
                |now: &mut Now, from: ImmutableString, to: ImmutableString, zone: ImmutableString| {
                    LocalTime::of(now.0.time, &zone)?.is_between(&from, &to)
                },
            )
            .with_fn("service", |now: &mut Now, name: ImmutableString| {
                let named = |s: &&Dynamic| {
                    s.read_lock::<ServiceView>().is_some_and(|s| s.0.0.service.as_str() == name.as_str())
                };
                now.0.services.iter().find(named).cloned().unwrap_or(Dynamic::UNIT)
            });
    }
}

/// Getters that read one field through the shared value behind a view, and their names.
macro_rules! getters {
    ($view:ident, |$it:ident| { $($name:literal => $value:expr,)* }) => {
        impl $view {
            const PROPERTIES: &'static [&'static str] = &[$($name,)*];

            fn getters(builder: &mut TypeBuilder<'_, $view>) {
                $(builder.with_get($name, |view: &mut $view| { let $it = &view.0; $value });)*
            }
        }
    };
}

/// What can be read of a type, as rules name it.
pub(super) fn properties(of: &str) -> &'static [&'static str] {
    match of {
        "now" => &NOW,
        "bottleneck" => BottleneckView::PROPERTIES,
        "service" => ServiceView::PROPERTIES,
        "entry" => EntryView::PROPERTIES,
        "suspect" => SuspectView::PROPERTIES,
        "evidence" => EvidenceView::PROPERTIES,
        "local time" => local_time::PROPERTIES,
        _ => &[],
    }
}

const NOW: [&str; 10] = [
    "at",
    "complete_to",
    "blind",
    "seen_share",
    "bottleneck",
    "bottlenecks",
    "services",
    "entries",
    "suspects",
    "silent_failures",
];

fn count(number: u32) -> i64 {
    i64::from(number)
}

fn known<T: Into<Dynamic>>(value: Option<T>) -> Dynamic {
    value.map_or(Dynamic::UNIT, Into::into)
}

fn evidence(of: &[Evidence]) -> Array {
    of.iter().map(|e| Dynamic::from(EvidenceView(Arc::new(e.clone())))).collect()
}

fn exemplars(of: &[TraceId]) -> Array {
    of.iter().map(|id| id.to_string().into()).collect()
}

#[derive(Clone)]
struct BottleneckView(Arc<Bottleneck>);

impl CustomType for BottleneckView {
    fn build(mut builder: TypeBuilder<Self>) {
        builder.with_name("bottleneck").on_print(|b| format!("{} at {}", b.0.verdict.as_str(), b.0.service));
        BottleneckView::getters(&mut builder);
    }
}

getters!(BottleneckView, |b| {
    "entry" => b.entry.clone(),
    "service" => b.service.clone(),
    "operation" => b.operation.clone(),
    "pod" => known(b.pod.clone()),
    "peer" => known(b.peer.clone()),
    "caller" => known(b.caller.clone()),
    "version" => known(b.version.clone()),
    "verdict" => b.verdict.as_str(),
    "score" => b.score,
    "blame" => RuleDuration::from_ms(b.blame_ms),
    "blame_ms" => b.blame_ms,
    "p99" => RuleDuration::from_ms(b.p99_ms),
    "p99_ms" => b.p99_ms,
    "objective" => RuleDuration::from_ms(b.objective_ms),
    "objective_ms" => b.objective_ms,
    "missed_share" => b.missed_share,
    "latency_status" => b.compliance.latency.as_str(),
    "errors_status" => b.compliance.errors.as_str(),
    "error_share" => b.compliance.error_share,
    "symptom" => b.symptom(),
    "cause" => b.cause(),
    "summary" => b.summary(),
    "replicas" => count(b.replicas),
    "replicas_needed" => known(b.replicas_needed.map(count)),
    "evidence" => evidence(&b.evidence),
    "exemplars" => exemplars(&b.exemplars),
});

/// What the owner of a workload that opted in lets be done.
#[derive(Clone, Copy)]
struct OwnerTerms {
    min_replicas: u32,
    max_replicas: u32,
    /// A RouteObjective names a route to it; whether its weights may be moved now is for the guard to say.
    shiftable: bool,
}

/// The finding and, where the workload opted in, its owner's terms, and where its traffic may be shaped, what is asked of it.
#[derive(Clone)]
struct ServiceView(Arc<ServiceFacts>);

type ServiceFacts = (ServiceFinding, Option<OwnerTerms>, Option<ServiceLoad>);

impl CustomType for ServiceView {
    fn build(mut builder: TypeBuilder<Self>) {
        builder.with_name("service").on_print(|s| s.0.0.service.to_string());
        ServiceView::getters(&mut builder);
    }
}

getters!(ServiceView, |s| {
    "service" => s.0.service.to_string(),
    "throughput_per_s" => s.0.throughput_per_s,
    "arrivals_per_s" => s.0.arrivals_per_s,
    "error_share" => s.0.error_share,
    "p99" => RuleDuration::from_ms(s.0.p99_ms),
    "p99_ms" => s.0.p99_ms,
    "waiting" => RuleDuration::from_ms(s.0.waiting_ms),
    "waiting_ms" => s.0.waiting_ms,
    "own_time" => RuleDuration::from_ms(s.0.own_time_ms),
    "own_time_ms" => s.0.own_time_ms,
    "concurrency_per_pod" => s.0.concurrency_per_pod,
    "capacity_per_pod_per_s" => known(s.0.capacity_per_pod_per_s),
    "replicas" => count(s.0.replicas),
    "ready" => count(s.0.ready),
    "replicas_needed" => known(s.0.replicas_needed.map(count)),
    "objective_missed" => s.0.objective_missed,
    "low_traffic" => s.0.low_traffic,
    "pod_start" => known(s.0.pod_start_s.map(|s| Dynamic::from(RuleDuration::from_ms(s * 1e3)))),
    "opted_in" => s.1.is_some(),
    "min_replicas" => known(s.1.map(|terms| count(terms.min_replicas))),
    "max_replicas" => known(s.1.map(|terms| count(terms.max_replicas))),
    "shiftable" => s.1.is_some_and(|terms| terms.shiftable),
    "shapeable" => s.2.is_some(),
    "demand" => known(s.2.as_ref().and_then(|load| load.offered.as_ref().and_then(Offered::factor))),
    "demand_summary" => known(s.2.as_ref().and_then(ServiceLoad::demand)),
    "shed_share" => s.2.as_ref().and_then(|load| load.offered).map_or(0.0, |offered| offered.shed_share()),
    "queue" => known(s.2.as_ref().map(|load| Dynamic::from(RuleDuration::from_ms(load.queue_ms)))),
    "queue_ms" => known(s.2.as_ref().map(|load| load.queue_ms)),
});

#[derive(Clone)]
struct EntryView(Arc<EntryFinding>);

impl CustomType for EntryView {
    fn build(mut builder: TypeBuilder<Self>) {
        builder.with_name("entry").on_print(|e| e.0.entry.clone());
        EntryView::getters(&mut builder);
    }
}

getters!(EntryView, |e| {
    "entry" => e.entry.clone(),
    "requests" => i64::try_from(e.requests).unwrap_or(i64::MAX),
    "requests_per_s" => e.requests_per_s,
    "p50" => RuleDuration::from_ms(e.p50_ms),
    "p50_ms" => e.p50_ms,
    "p99" => RuleDuration::from_ms(e.p99_ms),
    "p99_ms" => e.p99_ms,
    "objective" => RuleDuration::from_ms(e.objective_ms),
    "objective_ms" => e.objective_ms,
    "missed_share" => e.missed_share,
    "error_share" => e.error_share,
    "missed" => e.missed,
    "remote_parent_share" => e.remote_parent_share,
    "latency_status" => e.compliance.latency.as_str(),
    "errors_status" => e.compliance.errors.as_str(),
});

#[derive(Clone)]
struct SuspectView(Arc<Suspect>);

impl CustomType for SuspectView {
    fn build(mut builder: TypeBuilder<Self>) {
        builder.with_name("suspect").on_print(|s| format!("{} at {}", s.0.verdict.as_str(), s.0.service));
        SuspectView::getters(&mut builder);
    }
}

getters!(SuspectView, |s| {
    "service" => s.service.clone(),
    "is_peer" => s.peer,
    "operation" => s.operation.clone(),
    "verdict" => s.verdict.as_str(),
    "score" => s.score,
    "probability" => sentences::probability(s.score),
    "summary" => s.summary(),
    "sure" => s.is_sure(),
    "evidence" => evidence(&s.evidence),
    "exemplars" => exemplars(&s.exemplars),
});

#[derive(Clone)]
struct EvidenceView(Arc<Evidence>);

impl CustomType for EvidenceView {
    fn build(mut builder: TypeBuilder<Self>) {
        builder.with_name("evidence").on_print(|e| e.0.sentence());
        EvidenceView::getters(&mut builder);
    }
}

getters!(EvidenceView, |e| {
    "measure" => e.measure.clone(),
    "now" => e.now,
    "baseline" => known(e.baseline),
    "sentence" => e.sentence(),
});
