//! Spans as OTLP, with the attributes that real instrumentations write (OpenTelemetry semantic conventions
//! for HTTP, RPC, databases and Kubernetes resources).

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::scenario::{Call, CalleeNames, Operation, Scenario, Target};
use super::status::{TIMED_OUT, UNREACHED};

/// W3C trace flags `sampled` and `random`, and OTLP's "it is known whether the parent is remote".
const FLAGS: u32 = 0x103;
const FLAG_IS_REMOTE: u32 = 0x200;

/// What a span is of; indices into the scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Subject {
    Server {
        service: u16,
        operation: u16,
    },
    /// A call made by that operation.
    Client {
        service: u16,
        operation: u16,
        call: u16,
    },
    Internal {
        service: u16,
        operation: u16,
    },
    /// The proxy in front of the pod.
    Proxy {
        service: u16,
        operation: u16,
    },
}

/// A finished span, small while it waits in the SDK. Instants are nanoseconds since the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpanRecord {
    pub trace: u128,
    pub span: u64,
    /// Zero for the root.
    pub parent: u64,
    pub start: i64,
    pub end: i64,
    pub subject: Subject,
    pub status: u16,
    /// A fault shows in it.
    pub touched: bool,
}

/// What every span of a pod has in common.
pub(super) struct PodResource {
    resource: Resource,
    scope: InstrumentationScope,
}

impl PodResource {
    pub fn new(scenario: &Scenario, service: usize, version: &str, pod: &str, node: usize) -> PodResource {
        let name = &scenario.services[service].name;
        let mut attributes = vec![text("service.name", name)];
        if !scenario.namespace.is_empty() {
            attributes.push(text("service.namespace", &scenario.namespace));
        }
        if scenario.telemetry.versions {
            attributes.push(text("service.version", version));
        }
        attributes.push(text("k8s.deployment.name", name));
        if scenario.telemetry.pods {
            attributes.push(text("k8s.pod.name", pod));
            attributes.push(text("k8s.node.name", &format!("node-{node}")));
        }
        let scope = InstrumentationScope { name: "headroom.simulate".into(), ..Default::default() };
        PodResource { resource: Resource { attributes, ..Default::default() }, scope }
    }

    pub fn resource_spans(&self, spans: Vec<Span>) -> ResourceSpans {
        ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![ScopeSpans { scope: Some(self.scope.clone()), spans, schema_url: String::new() }],
            schema_url: String::new(),
        }
    }
}

/// Name and fixed attributes of one kind of span. Attributes are kept as text and made into OTLP here for every span:
/// the demo runs where dependencies are not optimised, and their `clone` costs several times as much.
struct Template {
    name: String,
    kind: SpanKind,
    attributes: Vec<(&'static str, String)>,
    /// The attribute the status goes to; None where there is none (databases, internal work).
    status_attribute: Option<&'static str>,
}

/// Templates for every operation of a scenario.
pub(super) struct Names {
    /// By service and operation: the server's, the internal one, and one a call.
    operations: Vec<Vec<OperationNames>>,
    trace_state: String,
}

struct OperationNames {
    server: Template,
    internal: Template,
    calls: Vec<Template>,
}

impl Names {
    pub fn new(scenario: &Scenario, threshold: u64) -> Names {
        let operation = |(service, operation): (usize, usize), op: &Operation| OperationNames {
            server: if takes_messages(scenario, service, operation) { consumer(op) } else { server(op) },
            internal: Template {
                name: op.internal.clone().unwrap_or_default(),
                kind: SpanKind::Internal,
                attributes: vec![],
                status_attribute: None,
            },
            calls: op.calls.iter().map(|call| client(scenario, call)).collect(),
        };
        let of_service = |(s, service): (usize, &super::scenario::Service)| {
            service.operations.iter().enumerate().map(|(o, op)| operation((s, o), op)).collect()
        };
        let operations = scenario.services.iter().enumerate().map(of_service).collect();
        let trace_state = match threshold {
            0 => String::new(),
            // 56 bits as 14 hex digits, trailing zeros left out.
            _ => format!("ot=th:{}", format!("{threshold:014x}").trim_end_matches('0')),
        };
        Names { operations, trace_state }
    }

    /// `offset` is added to the instants: the start of the simulation and the host's clock error.
    pub fn span(&self, record: &SpanRecord, offset: i64) -> Span {
        let of = |service: u16, operation: u16| &self.operations[usize::from(service)][usize::from(operation)];
        let template = match record.subject {
            Subject::Server { service, operation } | Subject::Proxy { service, operation } => {
                &of(service, operation).server
            }
            Subject::Internal { service, operation } => &of(service, operation).internal,
            Subject::Client { service, operation, call } => &of(service, operation).calls[usize::from(call)],
        };
        let mut attributes = Vec::with_capacity(template.attributes.len() + 1);
        attributes.extend(template.attributes.iter().map(|(key, value)| text(key, value)));
        if record.status == TIMED_OUT && template.kind == SpanKind::Client {
            // The caller gave up; no answer, so no status code.
            attributes.push(text("error.type", "timeout"));
        } else if record.status == UNREACHED && template.kind == SpanKind::Client {
            attributes.push(text("error.type", "connection_refused"));
        } else if let Some(key) = template.status_attribute {
            attributes.push(key_value(key, Value::IntValue(record.status.into())));
        }
        let code = if record.status >= 500 { StatusCode::Error } else { StatusCode::Unset };
        let parent_is_remote = record.parent != 0 && matches!(template.kind, SpanKind::Server | SpanKind::Consumer);
        Span {
            trace_id: record.trace.to_be_bytes().to_vec(),
            span_id: record.span.to_be_bytes().to_vec(),
            trace_state: self.trace_state.clone(),
            parent_span_id: if record.parent == 0 { vec![] } else { record.parent.to_be_bytes().to_vec() },
            flags: if parent_is_remote { FLAGS | FLAG_IS_REMOTE } else { FLAGS },
            name: template.name.clone(),
            kind: template.kind as i32,
            start_time_unix_nano: (record.start + offset) as u64,
            end_time_unix_nano: (record.end + offset) as u64,
            attributes,
            dropped_attributes_count: 0,
            events: vec![],
            dropped_events_count: 0,
            links: vec![],
            dropped_links_count: 0,
            status: Some(Status { code: code as i32, message: String::new() }),
        }
    }
}

fn server(op: &Operation) -> Template {
    let (attributes, status_attribute) = match op.http() {
        Some((method, route)) => (
            vec![("http.request.method", method.into()), ("http.route", route.into())],
            Some("http.response.status_code"),
        ),
        None => (vec![("rpc.method", op.name.clone())], Some("http.response.status_code")),
    };
    Template { name: op.name.clone(), kind: SpanKind::Server, attributes, status_attribute }
}

/// Somebody sends messages to it, and then nobody calls it.
fn takes_messages(scenario: &Scenario, service: usize, operation: usize) -> bool {
    let calls = scenario.services.iter().flat_map(|s| &s.operations).flat_map(|o| &o.calls);
    let to = Target::Operation { service, operation };
    calls.into_iter().any(|call| call.queue.is_some() && call.target == to)
}

fn consumer(op: &Operation) -> Template {
    let attributes = messaging(&op.name, "process");
    Template { name: format!("process {}", op.name), kind: SpanKind::Consumer, attributes, status_attribute: None }
}

/// The queue is called after the operation that takes its messages.
fn messaging(queue: &str, operation: &str) -> Vec<(&'static str, String)> {
    vec![
        ("messaging.system", "rabbitmq".into()),
        ("messaging.destination.name", queue.into()),
        ("messaging.operation.type", operation.into()),
    ]
}

/// An HTTP client knows the method and not the route; an RPC client knows the method's name.
fn client(scenario: &Scenario, call: &Call) -> Template {
    match &call.target {
        Target::Operation { service, operation } => {
            let service = &scenario.services[*service];
            let op = &service.operations[*operation];
            if call.queue.is_some() {
                let attributes = messaging(&op.name, "send");
                let name = format!("send {}", op.name);
                return Template { name, kind: SpanKind::Producer, attributes, status_attribute: None };
            }
            let (name, attribute) = match op.http() {
                Some((method, _)) => (method.to_string(), ("http.request.method", method.into())),
                None => (op.name.clone(), ("rpc.method", op.name.clone())),
            };
            let mut attributes = vec![attribute];
            match scenario.telemetry.callees {
                CalleeNames::Address => attributes.push(("server.address", service.name.clone())),
                CalleeNames::Service => attributes.push(("service.peer.name", service.name.clone())),
                CalleeNames::Unnamed => {}
            }
            let status_attribute = Some("http.response.status_code");
            Template { name, kind: SpanKind::Client, attributes, status_attribute }
        }
        Target::Peer { peer, span } => {
            let peer = &scenario.peers[*peer];
            let mut attributes = Vec::new();
            if !peer.system.is_empty() {
                attributes.push(("db.system.name", peer.system.clone()));
            }
            if !peer.namespace.is_empty() {
                attributes.push(("db.namespace", peer.namespace.clone()));
            }
            attributes.push(("server.address", peer.name.clone()));
            Template { name: span.clone(), kind: SpanKind::Client, attributes, status_attribute: None }
        }
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    key_value(key, Value::StringValue(value.into()))
}

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampling_threshold_is_written_without_trailing_zeros() {
        let scenario = Scenario::by_name("exam-start").expect("shipped");
        // One in ten: 0.9 * 2^56.
        assert_eq!(Names::new(&scenario, 0x00e6_6666_6666_6668).trace_state, "ot=th:e6666666666668");
        assert_eq!(Names::new(&scenario, 0x0080_0000_0000_0000).trace_state, "ot=th:8");
        assert_eq!(Names::new(&scenario, 0).trace_state, "");
    }
}
