//! A shop of six services and a database, with seeded noise and one fault at a time.
//!
//! `front` takes `GET /browse` (catalog, which asks stock and the database, then cart) and `POST /order` (cart,
//! then order, which asks stock and payment). Each service has two pods.

use headroom::analyse::change::Profile;
use headroom::analyse::trace::Tree;
use headroom::model::{Kind, SpanId, SpanRow, Status, Time, TraceId};
use rand::RngExt;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Fault {
    #[default]
    None,
    /// Every call to it waits, before it is taken.
    SlowToAccept(&'static str),
    /// Every call it makes waits, wherever it goes: its client side gets no CPU.
    Starved(&'static str),
    /// Its own work takes longer.
    SlowWork(&'static str),
    /// The same in one pod.
    SlowPod(&'static str, usize),
    SlowPeer,
    /// A third of its requests fail.
    Errors(&'static str),
    /// Every call to it is refused by its caller's proxy within a millisecond, and fails its caller.
    Refused(&'static str),
    /// Every call to it hangs until its caller gives up after 200 ms.
    Hangs(&'static str),
    /// Calls to it wait for 150 ms before they are taken; a tenth of the callers give up after 100 ms.
    SlowToAcceptSomeGiveUp(&'static str),
    /// Its own work takes longer, and a tenth of the callers give up on it.
    SlowWorkSomeGiveUp(&'static str),
    /// Half of its requests return before they call anybody.
    EarlyReturn(&'static str),
}

#[derive(Clone, Debug)]
pub struct Span {
    pub trace: u64,
    pub id: u64,
    pub parent: u64,
    pub service: String,
    pub pod: String,
    pub version: &'static str,
    pub operation: &'static str,
    pub kind: Kind,
    pub start_ns: i64,
    pub end_ns: i64,
    pub failed: bool,
    pub peer: &'static str,
}

impl Span {
    pub fn trace_id(&self) -> [u8; 16] {
        let mut id = [7; 16];
        id[8..].copy_from_slice(&self.trace.to_be_bytes());
        id
    }

    fn row(&self) -> SpanRow<'_> {
        SpanRow {
            trace_id: TraceId(self.trace_id()),
            span_id: SpanId(self.id.to_be_bytes()),
            parent_span_id: (self.parent > 0).then(|| SpanId(self.parent.to_be_bytes())),
            start: Time(self.start_ns),
            duration_ns: self.end_ns - self.start_ns,
            kind: self.kind,
            status: if self.failed { Status::Error } else { Status::Unset },
            service: &self.service,
            operation: self.operation,
            pod: &self.pod,
            version: self.version,
            peer: self.peer,
            ..SpanRow::default()
        }
    }
}

pub type Trace = Vec<Span>;

pub fn profile(traces: &[Trace]) -> Profile {
    let mut profile = Profile::default();
    traces.iter().for_each(|trace| profile.absorb(&Tree::build(trace.iter().map(Span::row))));
    let starts = || traces.iter().flatten().map(|span| span.start_ns);
    profile.observed(starts().max().unwrap_or(0) - starts().min().unwrap_or(0));
    profile
}

pub struct Shop {
    pub fault: Fault,
    /// Between two requests.
    pub period_ms: i64,
    pub version: &'static str,
    /// All durations times this.
    pub stretch: f64,
    /// Services are named backwards: other names, in another order.
    pub backwards: bool,
    /// Proxies send the spans: callers name whom they call, and each request is taken twice, by the proxy and by the service.
    pub mesh: bool,
    pub(super) random: Pcg64Mcg,
    pub(super) trace: u64,
    pub(super) spans: Trace,
}

const MS: f64 = 1e6;

impl Shop {
    pub fn new(seed: u64) -> Shop {
        Shop {
            fault: Fault::None,
            period_ms: 100,
            version: "1",
            stretch: 1.0,
            backwards: false,
            mesh: false,
            random: Pcg64Mcg::seed_from_u64(seed),
            trace: seed << 32,
            spans: Vec::new(),
        }
    }

    pub fn run(mut self, requests: i64) -> Vec<Trace> {
        (0..requests).map(|request| self.request(request)).collect()
    }

    fn request(&mut self, number: i64) -> Trace {
        self.trace += 1;
        let operation = if self.chance(0.5) { "GET /browse" } else { "POST /order" };
        let start_ns = 1_764_000_000_000_000_000 + number * self.period_ms * 1_000_000;
        self.serve("front", operation, 0, start_ns);
        std::mem::take(&mut self.spans)
    }

    /// A request taken by a service. When it ends, and whether it failed.
    fn serve(&mut self, service: &'static str, operation: &'static str, parent: u64, start_ns: i64) -> (i64, bool) {
        let pod = usize::from(self.chance(0.5));
        let proxy = self.mesh.then(|| {
            let span = self.span(service, pod, "inbound:8080/*", parent, Kind::Server, start_ns);
            self.spans.push(span);
            self.spans.len() - 1
        });
        let (parent, start_ns) = match proxy {
            Some(proxy) => (self.spans[proxy].id, start_ns + self.noisy(0.2)),
            None => (parent, start_ns),
        };
        let (at, span) = (self.spans.len(), self.span(service, pod, operation, parent, Kind::Server, start_ns));
        self.spans.push(span);
        let id = self.spans[at].id;
        let slow = self.fault == Fault::SlowWork(service)
            || self.fault == Fault::SlowWorkSomeGiveUp(service)
            || self.fault == Fault::SlowPod(service, pod);
        let mut now = start_ns + self.noisy(if slow { 30.0 } else { 3.0 });
        let mut failed = self.fault == Fault::Errors(service) && self.chance(0.33);
        let returns = self.fault == Fault::EarlyReturn(service) && self.chance(0.5);
        if !failed && !returns {
            for &(callee, called) in calls(operation) {
                let (end, callee_failed) = self.call(service, pod, callee, called, id, now);
                now = end + self.noisy(0.5);
                failed |= callee_failed;
                if callee_failed {
                    break;
                }
            }
        }
        self.spans[at].end_ns = now;
        self.spans[at].failed = failed;
        if let Some(proxy) = proxy {
            now += self.noisy(0.1);
            self.spans[proxy].end_ns = now;
            self.spans[proxy].failed = failed;
        }
        (now, failed)
    }

    fn call(
        &mut self,
        caller: &'static str,
        pod: usize,
        callee: &'static str,
        operation: &'static str,
        parent: u64,
        start_ns: i64,
    ) -> (i64, bool) {
        let name = if callee == DATABASE { "SELECT shop" } else { "HTTP" };
        let span = self.span(caller, pod, name, parent, Kind::Client, start_ns);
        let (at, id) = (self.spans.len(), span.id);
        self.spans.push(span);
        if self.mesh {
            self.spans[at].peer = callee;
        }
        let waits = self.fault == Fault::SlowToAccept(callee) || self.fault == Fault::Starved(caller);
        let queues = self.fault == Fault::SlowToAcceptSomeGiveUp(callee);
        let gives_up = (queues || self.fault == Fault::SlowWorkSomeGiveUp(callee)) && self.chance(0.1);
        let sent = start_ns
            + self.noisy(if queues {
                150.0
            } else if waits {
                40.0
            } else {
                1.0
            });
        let (end, failed) = if callee == DATABASE {
            self.spans[at].peer = DATABASE;
            (sent + self.noisy(if self.fault == Fault::SlowPeer { 60.0 } else { 4.0 }), false)
        } else if self.fault == Fault::Refused(callee) {
            (start_ns + self.noisy(0.5), true)
        } else if self.fault == Fault::Hangs(callee) {
            (start_ns + (200.0 * MS * self.stretch) as i64, true)
        } else {
            self.serve(callee, operation, id, sent)
        };
        let (end, failed) =
            if gives_up { (start_ns + (100.0 * MS * self.stretch) as i64, true) } else { (end, failed) };
        self.spans[at].end_ns = end + self.noisy(0.3);
        self.spans[at].failed = failed;
        (self.spans[at].end_ns, failed)
    }

    fn span(
        &mut self,
        service: &'static str,
        pod: usize,
        operation: &'static str,
        parent: u64,
        kind: Kind,
        start_ns: i64,
    ) -> Span {
        let name = if self.backwards { service.chars().rev().collect() } else { service.to_owned() };
        Span {
            trace: self.trace,
            id: (self.trace << 8) + self.spans.len() as u64 + 1,
            parent,
            pod: format!("{name}-{pod}"),
            service: name,
            version: self.version,
            operation,
            kind,
            start_ns,
            end_ns: start_ns,
            failed: false,
            peer: "",
        }
    }

    fn chance(&mut self, share: f64) -> bool {
        self.random.random_range(0.0..1.0) < share
    }

    /// A duration around so many milliseconds, spread over a bit more than an octave.
    fn noisy(&mut self, ms: f64) -> i64 {
        (ms * MS * self.stretch * self.random.random_range(-0.4..0.4_f64).exp()) as i64
    }
}

const DATABASE: &str = "postgresql:shop";

fn calls(operation: &str) -> &'static [(&'static str, &'static str)] {
    match operation {
        "GET /browse" => &[("catalog", "GET /items"), ("cart", "GET /cart")],
        "POST /order" => &[("cart", "GET /cart"), ("order", "POST /orders")],
        "GET /items" => &[("stock", "GET /stock"), (DATABASE, "")],
        "POST /orders" => &[("stock", "GET /stock"), ("payment", "POST /charge")],
        _ => &[],
    }
}
