//! The spans' way out: SDK buffer of each pod, batch, collector, arrival at headroom. A pod's SDK sends what it
//! has once a batch period (or as soon as a batch is full); the collector adds its delay and flushes
//! everything it holds as one OTLP request. A few spans come late; clocks of hosts are a little wrong;
//! sampled traces carry their threshold in tracestate.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use super::random::{Key, Purpose, between};
use super::scenario::{self, Loss, Scenario};
use super::spans::{Names, PodResource, SpanRecord};
use crate::model::Time;

/// `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` as the SDK specification sets it: a full batch does not wait for its period.
const SDK_BATCH_SPANS: usize = 512;

/// How often the collector sends; its batch processor's default timeout.
const COLLECTOR_FLUSH_NS: i64 = 200_000_000;

/// Random bits in a trace id (W3C Trace Context level 2) that the sampling threshold is compared with.
const RANDOM_BITS: u32 = 56;

/// As many spans in which a fault shows as anybody asks for.
const TOUCHED_MAX: usize = 20;

/// One OTLP request on its arrival.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    pub at: Time,
    pub request: ExportTraceServiceRequest,
}

/// One pod's SDK.
struct Sdk {
    resource: PodResource,
    service: usize,
    /// The how-manieth pod of its service.
    ordinal: u32,
    skew_ns: i64,
    buffer: Vec<SpanRecord>,
    flush_scheduled: bool,
}

pub(super) struct Telemetry {
    config: scenario::Telemetry,
    start: i64,
    names: Names,
    /// By pod; None until it is placed on a host.
    sdks: Vec<Option<Sdk>>,
    /// On their way, by the nanosecond of arrival.
    under_way: BTreeMap<i64, Vec<ResourceSpans>>,
    /// What is lost at present.
    losses: Vec<Loss>,
    /// By service: how far its pods' clocks are ahead at present; empty where all are right.
    ahead_ns: Vec<i64>,
    /// When the first spans in which a fault shows arrive.
    touched: Vec<i64>,
    /// Traces whose random bits are below are not sampled.
    threshold: u64,
    collector: Key,
    flush: Key,
    skew: Key,
    /// Off for the references: nobody looks at their spans.
    enabled: bool,
    batches: u64,
}

impl Telemetry {
    pub fn new(scenario: &Scenario, seed: u64, start: Time, enabled: bool) -> Telemetry {
        let config = scenario.telemetry;
        let threshold = ((1.0 - config.sampling) * (1_u64 << RANDOM_BITS) as f64) as u64;
        Telemetry {
            config,
            start: start.0,
            names: Names::new(scenario, threshold),
            sdks: Vec::new(),
            under_way: BTreeMap::new(),
            losses: Vec::new(),
            ahead_ns: Vec::new(),
            touched: Vec::new(),
            threshold,
            collector: Key::of(seed, Purpose::Collector),
            flush: Key::of(seed, Purpose::Flush),
            skew: Key::of(seed, Purpose::Skew),
            enabled,
            batches: 0,
        }
    }

    /// From now on nothing is lost and all clocks are right, but for the hosts' own error.
    pub fn forget_faults(&mut self) {
        self.losses.clear();
        self.ahead_ns.clear();
    }

    pub fn lose(&mut self, loss: Loss) {
        self.losses.push(loss);
    }

    pub fn set_ahead(&mut self, service: usize, ahead_ns: i64) {
        if self.ahead_ns.len() <= service {
            self.ahead_ns.resize(service + 1, 0);
        }
        self.ahead_ns[service] = ahead_ns;
    }

    /// A pod starts on a host, whose clock it reads: the `ordinal`-th of its service.
    pub fn add_pod(&mut self, pod: usize, (service, ordinal): (usize, u32), resource: PodResource, node: usize) {
        let skew_ns = (self.skew.child(node as u64).uniform() * 2.0 - 1.0) * self.config.skew_ns;
        if self.sdks.len() <= pod {
            self.sdks.resize_with(pod + 1, || None);
        }
        let (skew_ns, buffer) = (skew_ns as i64, Vec::new());
        self.sdks[pod] = Some(Sdk { resource, service, ordinal, skew_ns, buffer, flush_scheduled: false });
    }

    /// Takes a finished span; the instant of the flush to schedule, if the batch period begins with it.
    pub fn record(&mut self, pod: usize, span: SpanRecord, now: i64) -> Option<i64> {
        // Consistent probability sampling (OpenTelemetry `ot=th`): keep when the random bits reach the threshold.
        if !self.enabled || (span.trace as u64 & ((1 << RANDOM_BITS) - 1)) < self.threshold {
            return None;
        }
        let sdk = self.sdks[pod].as_mut()?;
        if self.losses.iter().enumerate().any(|(n, loss)| is_lost(loss, n as u64, sdk, span.span)) {
            return None;
        }
        let ahead_ns = self.ahead_ns.get(sdk.service).copied().unwrap_or(0);
        sdk.buffer.push(SpanRecord { start: span.start + ahead_ns, end: span.end + ahead_ns, ..span });
        if sdk.buffer.len() >= SDK_BATCH_SPANS {
            self.send(pod, now);
            return None;
        }
        if std::mem::replace(&mut sdk.flush_scheduled, true) {
            return None;
        }
        // Periods of different pods are out of phase.
        let period = self.config.sdk_batch_ns;
        let phase = (self.flush.child(pod as u64).uniform() * period as f64) as i64;
        Some(now + period - (now - phase).rem_euclid(period))
    }

    /// A pod's batch period ends.
    pub fn flush(&mut self, pod: usize, now: i64) {
        if let Some(sdk) = &mut self.sdks[pod] {
            sdk.flush_scheduled = false;
        }
        self.send(pod, now);
    }

    fn send(&mut self, pod: usize, now: i64) {
        let Some(sdk) = self.sdks[pod].as_mut().filter(|sdk| !sdk.buffer.is_empty()) else {
            return;
        };
        self.batches += 1;
        let mut rng = self.collector.child(self.batches).stream();
        // The flush's own grid adds up to its interval, so the drawn delay stops short of it.
        let (min, max) = (self.config.collector_min_ns, self.config.collector_max_ns);
        let delay = between(&mut rng, min, (max - COLLECTOR_FLUSH_NS as f64).max(min)) as i64;
        let on_grid = |at: i64| (at + COLLECTOR_FLUSH_NS - 1).div_euclid(COLLECTOR_FLUSH_NS) * COLLECTOR_FLUSH_NS;
        let (mut on_time, mut late) = (Vec::with_capacity(sdk.buffer.len()), Vec::new());
        let offset = self.start + sdk.skew_ns;
        for span in sdk.buffer.drain(..) {
            let is_late = Key(span.span).uniform() < self.config.late_share;
            if span.touched {
                let late_ns = if is_late { self.config.late_ns } else { 0 };
                self.touched.push(on_grid(now + delay + late_ns));
            }
            let built = self.names.span(&span, offset);
            if is_late { late.push(built) } else { on_time.push(built) }
        }
        self.touched.sort_unstable();
        self.touched.truncate(TOUCHED_MAX);
        for (spans, at) in [(on_time, now + delay), (late, now + delay + self.config.late_ns)] {
            if !spans.is_empty() {
                self.under_way.entry(on_grid(at)).or_default().push(sdk.resource.resource_spans(spans));
            }
        }
    }

    /// When the first spans arrive in which a fault shows, twenty at most.
    pub fn touched(&self) -> &[i64] {
        &self.touched
    }

    /// What has arrived by `now`, in order.
    pub fn arrived(&mut self, now: i64) -> Vec<Delivery> {
        let later = self.under_way.split_off(&(now + 1));
        let arrived = std::mem::replace(&mut self.under_way, later);
        arrived
            .into_iter()
            .map(|(at, resource_spans)| Delivery {
                at: Time(self.start + at),
                request: ExportTraceServiceRequest { resource_spans },
            })
            .collect()
    }
}

/// Whether a span falls to the `number`-th of the losses.
fn is_lost(loss: &Loss, number: u64, sdk: &Sdk, span: u64) -> bool {
    let concerned = loss.service.is_none_or(|s| s == sdk.service) && loss.pod.is_none_or(|pod| pod == sdk.ordinal);
    concerned && Key(span).child(number).uniform() < loss.share
}
