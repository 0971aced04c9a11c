//! Two deterministic loads of OTLP trace requests, and a way to make each sending of them a new one.
//!
//! - [`narrow`]: one request of 1 000 spans: 100 traces through three services, ten spans and about ten attributes
//!   a span each.
//! - [`wide`]: eight requests of about 1 000 spans: 60 services in six layers with 5 pods and 20 operations each.
//!   Every pod exports its own spans, so a trace lies scattered over the requests.
//!
//! A request is encoded once. [`Request::fresh`] writes new ids and times over the old ones, so that a sender costs
//! little and a receiver cannot tell it from a stream of real ones.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

/// When the encoded spans began; any time will do, since it is written over.
pub const EPOCH_NS: u64 = 1_767_225_600_000_000_000;

/// One encoded ExportTraceServiceRequest.
pub struct Request {
    pub bytes: Vec<u8>,
    pub spans: usize,
    /// From [`EPOCH_NS`] to the end of its last span.
    pub length_ns: u64,
    /// Where ids of 16 and 8 bytes lie.
    ids: Vec<usize>,
    /// Where times lie: fixed 64-bit integers, little-endian.
    times: Vec<usize>,
}

impl Request {
    fn new(request: &ExportTraceServiceRequest) -> Request {
        let mut encoded =
            Request { bytes: request.encode_to_vec(), spans: 0, length_ns: 0, ids: Vec::new(), times: Vec::new() };
        for (_, resource_spans) in fields(&encoded.bytes, 0..encoded.bytes.len(), 1) {
            for (_, scope_spans) in fields(&encoded.bytes, resource_spans, 2) {
                for (_, span) in fields(&encoded.bytes, scope_spans, 2) {
                    encoded.spans += 1;
                    for (number, at) in fields(&encoded.bytes, span, 0) {
                        match number {
                            // The second half of a trace id stays, as a generator's counter would not.
                            1 | 2 | 4 => encoded.ids.push(at.start),
                            7 | 8 => encoded.times.push(at.start),
                            _ => {}
                        }
                    }
                }
            }
        }
        let last =
            encoded.times.iter().filter_map(|at| encoded.bytes[*at..].first_chunk()).map(|t| u64::from_le_bytes(*t));
        encoded.length_ns = last.max().unwrap_or(EPOCH_NS) - EPOCH_NS;
        encoded
    }

    /// The request with ids that are those of `round` alone and times shifted so that [`EPOCH_NS`] becomes
    /// `start_ns`. Requests of one round belong together: a trace's spans keep their common id.
    pub fn fresh(&self, round: u64, start_ns: u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let key = mix(round);
        let mut rewrite = |at: usize, new: &dyn Fn(u64) -> u64| {
            // `new` found eight bytes there.
            let place: &mut [u8; 8] = (&mut bytes[at..at + 8]).try_into().expect("eight bytes");
            *place = new(u64::from_le_bytes(*place)).to_le_bytes();
        };
        self.ids.iter().for_each(|at| rewrite(*at, &|id| id ^ key));
        self.times.iter().for_each(|at| rewrite(*at, &|time| time.wrapping_sub(EPOCH_NS).wrapping_add(start_ns)));
        bytes
    }
}

/// An endless stream of requests, each with the ids and the times of its round: all requests of a payload once.
pub struct Stream {
    requests: Vec<Request>,
    sent: usize,
    /// Seeds the ids of the first round; two streams with seeds far apart share none.
    seed: u64,
    start_ns: u64,
}

impl Stream {
    pub fn new(requests: Vec<Request>, seed: u64) -> Stream {
        Stream { requests, sent: 0, seed, start_ns: 0 }
    }

    /// The next request and its number of spans. Those of a round end up to now, when the round begins.
    pub fn next(&mut self, now_ns: u64) -> (Vec<u8>, usize) {
        let (round, index) = (self.sent / self.requests.len(), self.sent % self.requests.len());
        self.sent += 1;
        if index == 0 {
            let length_ns = self.requests.iter().map(|request| request.length_ns).max().unwrap_or(0);
            self.start_ns = now_ns.saturating_sub(length_ns);
        }
        let request = &self.requests[index];
        (request.fresh(self.seed.wrapping_add(round as u64), self.start_ns), request.spans)
    }
}

/// The fields of the message in `range` with this number (0: all) and where their content lies. The message is our
/// own, so it is taken to be right.
fn fields(bytes: &[u8], range: std::ops::Range<usize>, wanted: u64) -> Vec<(u64, std::ops::Range<usize>)> {
    let varint = |at: &mut usize| {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    };
    let (mut found, mut at) = (Vec::new(), range.start);
    while at < range.end {
        let key = varint(&mut at);
        let start = at;
        let content = match key & 7 {
            0 => {
                varint(&mut at);
                start..at
            }
            1 => start..start + 8,
            5 => start..start + 4,
            _ => {
                let length = varint(&mut at) as usize;
                at..at + length
            }
        };
        at = content.end;
        if wanted == 0 || key >> 3 == wanted {
            found.push((key >> 3, content));
        }
    }
    found
}

/// One trace after another through three services.
pub fn narrow() -> Vec<Request> {
    const TRACES: u64 = 100;
    let mut random = Random(1);
    let mut exports: Vec<ResourceSpans> =
        ["web", "orders", "billing"].iter().map(|name| export(name, &pod(name, &mut random))).collect();
    for trace in 0..TRACES {
        let trace_id = random.id16();
        let ids: Vec<Vec<u8>> = NARROW.iter().map(|_| random.id8()).collect();
        let start = EPOCH_NS + trace * 9_973_000;
        let stretch = 70 + random.below(80);
        let failed = random.below(10) == 0;
        for (index, shape) in NARROW.iter().enumerate() {
            let at = |us: u64| start + us * stretch * 10;
            let span = Span {
                trace_id: trace_id.clone(),
                span_id: ids[index].clone(),
                parent_span_id: shape.parent.map(|parent: usize| ids[parent].clone()).unwrap_or_default(),
                name: shape.name.to_owned(),
                kind: shape.kind,
                start_time_unix_nano: at(shape.start_us),
                end_time_unix_nano: at(shape.end_us),
                ..span(shape.work, failed && matches!(shape.work, Work::Serve | Work::Call), &mut random)
            };
            exports[shape.service].scope_spans[0].spans.push(span);
        }
    }
    vec![Request::new(&ExportTraceServiceRequest { resource_spans: exports })]
}

/// What a span is about, which decides its attributes.
#[derive(Clone, Copy)]
enum Work {
    Serve,
    Call,
    Rpc,
    Query,
    Inside,
}

struct Shape {
    service: usize,
    parent: Option<usize>,
    kind: i32,
    work: Work,
    name: &'static str,
    start_us: u64,
    end_us: u64,
}

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// One order, from the page to the ledger.
#[rustfmt::skip]
const NARROW: [Shape; 10] = [
    Shape { service: 0, parent: None, kind: SERVER, work: Work::Serve, name: "POST /orders/{id}", start_us: 0, end_us: 48_000 },
    Shape { service: 0, parent: Some(0), kind: INTERNAL, work: Work::Inside, name: "render page", start_us: 500, end_us: 3_000 },
    Shape { service: 0, parent: Some(0), kind: CLIENT, work: Work::Call, name: "POST", start_us: 3_200, end_us: 46_000 },
    Shape { service: 1, parent: Some(2), kind: SERVER, work: Work::Serve, name: "POST /api/orders", start_us: 3_900, end_us: 45_000 },
    Shape { service: 1, parent: Some(3), kind: INTERNAL, work: Work::Inside, name: "validate order", start_us: 4_200, end_us: 5_500 },
    Shape { service: 1, parent: Some(3), kind: CLIENT, work: Work::Query, name: "SELECT orders.lines", start_us: 5_600, end_us: 11_000 },
    Shape { service: 1, parent: Some(3), kind: CLIENT, work: Work::Rpc, name: "billing.v1.Billing/Charge", start_us: 12_000, end_us: 41_000 },
    Shape { service: 2, parent: Some(6), kind: SERVER, work: Work::Rpc, name: "billing.v1.Billing/Charge", start_us: 12_700, end_us: 40_000 },
    Shape { service: 2, parent: Some(7), kind: CLIENT, work: Work::Query, name: "INSERT ledger.entries", start_us: 13_500, end_us: 22_000 },
    Shape { service: 2, parent: Some(7), kind: CLIENT, work: Work::Call, name: "POST", start_us: 23_000, end_us: 39_000 },
];

/// The names of the layers and how many services each has.
const LAYERS: [(&str, usize); 6] =
    [("edge", 2), ("page", 8), ("domain", 14), ("core", 16), ("store", 12), ("ledger", 8)];
const PODS: usize = 5;
const OPERATIONS: u64 = 20;
/// Over how many requests the pods' exports are dealt.
const REQUESTS: usize = 8;
const SPANS: usize = 8_000;

/// Traces of about forty spans through many services.
pub fn wide() -> Vec<Request> {
    let mut wide = Wide::new();
    let mut trace = 0;
    while wide.spans < SPANS {
        let entry = wide.random.below(LAYERS[0].1 as u64) as usize;
        let trace_id = wide.random.id16();
        let visit = Visit {
            service: entry,
            start: EPOCH_NS + trace * 1_250_000,
            duration: 30_000_000 + wide.random.below(60_000_000),
            depth: 0,
        };
        wide.visit(&trace_id, &[], visit);
        trace += 1;
    }
    let mut requests: Vec<ExportTraceServiceRequest> = vec![ExportTraceServiceRequest::default(); REQUESTS];
    for (index, export) in wide.exports.into_iter().enumerate() {
        if !export.scope_spans[0].spans.is_empty() {
            requests[index % REQUESTS].resource_spans.push(export);
        }
    }
    requests.iter().map(Request::new).collect()
}

struct Wide {
    random: Random,
    names: Vec<String>,
    callees: Vec<Vec<usize>>,
    /// By service, then pod.
    exports: Vec<ResourceSpans>,
    spans: usize,
}

#[derive(Clone, Copy)]
struct Visit {
    service: usize,
    start: u64,
    duration: u64,
    depth: u32,
}

impl Wide {
    fn new() -> Wide {
        let mut random = Random(2);
        let (mut names, mut callees, mut first) = (Vec::new(), Vec::new(), 0);
        for (layer, (name, services)) in LAYERS.iter().enumerate() {
            let below = LAYERS.get(layer + 1).map_or(0, |(_, services)| *services);
            for service in 0..*services {
                names.push(format!("{name}-{service:02}"));
                // A stride of its own for each, so that every service is called and callers differ.
                let callee = |n: usize| first + services + (service + n * (service % 3 + 1) * 2) % below;
                callees.push(if below == 0 { Vec::new() } else { (0..4).map(callee).collect() });
            }
            first += services;
        }
        let exports = (names.iter())
            .flat_map(|name| (0..PODS).map(|_| export(name, &pod(name, &mut random))).collect::<Vec<_>>())
            .collect();
        Wide { random, names, callees, exports, spans: 0 }
    }

    fn visit(&mut self, trace_id: &[u8], parent: &[u8], visit: Visit) {
        let Visit { service, start, duration, depth } = visit;
        let (pod, operation) = (self.random.below(PODS as u64) as usize, self.random.below(OPERATIONS));
        let failed = self.random.below(100) == 0;
        let name = self.names[service].clone();
        let mut add = |work, kind, name: String, parent: &[u8], from: u64, to: u64, failed| {
            let span = Span {
                trace_id: trace_id.to_vec(),
                span_id: self.random.id8(),
                parent_span_id: parent.to_vec(),
                name,
                kind,
                start_time_unix_nano: from,
                end_time_unix_nano: to,
                ..span(work, failed, &mut self.random)
            };
            let id = span.span_id.clone();
            self.exports[service * PODS + pod].scope_spans[0].spans.push(span);
            self.spans += 1;
            id
        };
        let served = format!("GET /{name}/operation-{operation:02}");
        let me = add(Work::Serve, SERVER, served, parent, start, start + duration, failed);
        if operation.is_multiple_of(3) {
            let inside = format!("{name} step {operation:02}");
            add(Work::Inside, INTERNAL, inside, &me, start + duration / 20, start + duration / 8, false);
        }
        if self.callees[service].is_empty() {
            add(Work::Query, CLIENT, "SELECT".to_owned(), &me, start + duration / 4, start + duration / 2, false);
            return;
        }
        let calls = if depth == 0 { 1 + self.random.below(3) } else { self.random.below(8).div_ceil(3).min(2) };
        let mut at = start + duration / 8;
        for _ in 0..calls {
            let share = duration * 8 / 10 / calls;
            let chosen = self.random.below(self.callees[service].len() as u64) as usize;
            let callee = self.callees[service][chosen];
            let mut add_call = Span {
                trace_id: trace_id.to_vec(),
                span_id: self.random.id8(),
                parent_span_id: me.clone(),
                name: format!("call {}", self.names[callee]),
                kind: CLIENT,
                start_time_unix_nano: at,
                end_time_unix_nano: at + share,
                ..span(Work::Rpc, false, &mut self.random)
            };
            add_call.attributes[0] = text("peer.service", &self.names[callee]);
            let caller = add_call.span_id.clone();
            self.exports[service * PODS + pod].scope_spans[0].spans.push(add_call);
            self.spans += 1;
            let inner =
                Visit { service: callee, start: at + share / 30, duration: share - share / 15, depth: depth + 1 };
            self.visit(trace_id, &caller, inner);
            at += share;
        }
    }
}

/// An exporter's part of a request, still without spans.
fn export(service: &str, pod: &str) -> ResourceSpans {
    let attributes = vec![
        text("service.name", service),
        text("service.namespace", "shop"),
        text("service.version", "3.1.4"),
        text("service.instance.id", pod),
        text("deployment.environment.name", "production"),
        text("k8s.pod.name", pod),
        text("k8s.namespace.name", "shop"),
        text("k8s.deployment.name", service),
        text("host.name", "node-17.example.internal"),
        text("telemetry.sdk.language", "rust"),
        text("telemetry.sdk.name", "opentelemetry"),
    ];
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "opentelemetry-instrumentation".to_owned(),
                version: "1.7.0".to_owned(),
                ..InstrumentationScope::default()
            }),
            ..ScopeSpans::default()
        }],
        schema_url: "https://opentelemetry.io/schemas/1.34.0".to_owned(),
    }
}

fn pod(service: &str, random: &mut Random) -> String {
    format!("{service}-5c9d8f7b6-{:05x}", random.below(1 << 20))
}

/// A span of one kind of work without its identity.
fn span(work: Work, failed: bool, random: &mut Random) -> Span {
    let status = if failed { 500 } else { 200 };
    let mut attributes = match work {
        Work::Serve => vec![
            text("http.request.method", "POST"),
            text("url.path", &format!("/orders/{:016x}-{:016x}", random.next(), random.next())),
            text("url.scheme", "https"),
            text("http.route", "/orders/{id}"),
            number("http.response.status_code", status),
            text("server.address", "orders.shop.svc.cluster.local"),
            number("server.port", 8080),
            text("client.address", &format!("10.20.{}.{}", random.below(256), random.below(256))),
            text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"),
        ],
        Work::Call => vec![
            text("http.request.method", "POST"),
            text("url.full", &format!("https://orders.shop.svc.cluster.local:8443/api/{:016x}", random.next())),
            number("http.response.status_code", status),
            text("server.address", "orders.shop.svc.cluster.local"),
            number("server.port", 8443),
            text("network.protocol.version", "2"),
            number("http.request.body.size", random.below(4_000) as i64),
            number("http.request.resend_count", 0),
        ],
        Work::Rpc => vec![
            text("rpc.system", "grpc"),
            text("rpc.service", "billing.v1.Billing"),
            text("rpc.method", "Charge"),
            number("rpc.grpc.status_code", if failed { 13 } else { 0 }),
            text("server.address", "billing.shop.svc.cluster.local"),
            number("server.port", 9090),
            text("network.transport", "tcp"),
            real("billing.amount", random.below(50_000) as f64 / 100.0),
        ],
        Work::Query => vec![
            text("db.system.name", "postgresql"),
            text("db.namespace", "ledger"),
            text("db.collection.name", "entries"),
            text("db.operation.name", "SELECT"),
            text("db.query.text", "SELECT id, item, quantity, price FROM entries WHERE order_id = $1 ORDER BY id"),
            number("db.response.returned_rows", random.below(20) as i64),
            text("server.address", "postgres.shop.svc.cluster.local"),
            number("server.port", 5432),
        ],
        Work::Inside => vec![
            text("code.function.name", "shop::orders::validate"),
            text("order.id", &format!("{:016x}", random.next())),
            number("order.lines", 1 + random.below(30) as i64),
            real("order.total", random.below(50_000) as f64 / 100.0),
            text("user.id", &format!("u-{:07}", random.below(10_000_000))),
            text("feature_flag.key", "new-checkout"),
            truth("cache.hit", random.below(5) > 0),
        ],
    };
    attributes.push(number("thread.id", 20 + random.below(64) as i64));
    attributes.push(text("thread.name", &format!("worker-{}", random.below(64))));
    let status = failed.then(|| Status { code: 2, message: String::new() });
    Span { attributes, status, flags: 0x101, ..Span::default() }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn real(key: &str, value: f64) -> KeyValue {
    attribute(key, Value::DoubleValue(value))
}

fn truth(key: &str, value: bool) -> KeyValue {
    attribute(key, Value::BoolValue(value))
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine and with every version of every crate.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn id8(&mut self) -> Vec<u8> {
        self.next().to_be_bytes().to_vec()
    }

    fn id16(&mut self) -> Vec<u8> {
        [self.id8(), self.id8()].concat()
    }
}

fn mix(seed: u64) -> u64 {
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}
