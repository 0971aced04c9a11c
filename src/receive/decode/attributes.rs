//! Which attributes become columns, under their current and their older names.
//!
//! Attributes are taken as they come and settled once a resource or span is complete, since protobuf puts the
//! fields of a message in any order. Of a repeated key the last value counts.
//! Source: OpenTelemetry semantic conventions, those before 1.21 included, and Envoy's own span tags.

use std::fmt::Write;

use crate::model::spans::PROMOTED;
use crate::model::{Cell, Source, Utf8};

/// What `service.name` is when a resource has none (OpenTelemetry, "Semantic attributes with dedicated
/// environment variable").
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// An attribute's value; those that are lists, maps or bytes are `Absent`, for no column takes them.
///
/// Its discriminant is as wide as its content, so that moving one moves whole words: read back in other pieces than
/// it was written, each costs a dozen cycles, ten times a span.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(u64)]
pub enum Value<'a> {
    #[default]
    Absent,
    Text(Utf8<'a>),
    Int(i64),
    Double(f64),
    Bool(bool),
}

impl<'a> Value<'a> {
    fn text(self) -> Utf8<'a> {
        if let Value::Text(text) = self { text } else { Utf8::EMPTY }
    }

    /// As a column's cell; `scratch` takes what is neither text nor a whole number.
    fn cell<'s>(self, scratch: &'s mut String) -> Cell<'s>
    where
        'a: 's,
    {
        scratch.clear();
        // Writing to a String cannot fail.
        let _ = match self {
            Value::Absent => return Cell::Text(Utf8::EMPTY),
            Value::Text(text) => return Cell::Text(text),
            Value::Int(number) => return Cell::Number(number),
            // JavaScript knows one kind of number only: 200.0 is written 200.
            Value::Double(number) => write!(scratch, "{number}"),
            Value::Bool(truth) => write!(scratch, "{truth}"),
        };
        Cell::from(scratch.as_str())
    }
}

/// The first text that is not empty.
#[inline]
fn first<const N: usize>(candidates: [Value<'_>; N]) -> Utf8<'_> {
    candidates.into_iter().map(Value::text).find(|text| !text.is_empty()).unwrap_or(Utf8::EMPTY)
}

/// Who sent the spans: the columns that are the same for all spans of a resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resource<'a> {
    service: Value<'a>,
    service_namespace: Value<'a>,
    k8s_namespace: Value<'a>,
    pod: Value<'a>,
    instance: Value<'a>,
    host: Value<'a>,
    /// Deployment, rollout, stateful set, daemon set, in this order.
    workloads: [Value<'a>; 4],
    version: Value<'a>,
    cluster: Value<'a>,
}

/// What attributes are read into.
pub trait Slots<'a> {
    /// Where the value of this key goes; None when nothing is made of it.
    fn slot(&mut self, key: Utf8<'_>) -> Option<&mut Value<'a>>;

    fn set(&mut self, key: Utf8<'_>, value: Value<'a>) {
        if let Some(slot) = self.slot(key) {
            *slot = value;
        }
    }
}

impl<'a> Slots<'a> for Resource<'a> {
    fn slot(&mut self, key: Utf8<'_>) -> Option<&mut Value<'a>> {
        Some(match key.as_bytes() {
            b"service.name" => &mut self.service,
            b"service.namespace" => &mut self.service_namespace,
            b"service.version" => &mut self.version,
            b"service.instance.id" => &mut self.instance,
            b"host.name" => &mut self.host,
            b"k8s.pod.name" => &mut self.pod,
            b"k8s.namespace.name" => &mut self.k8s_namespace,
            b"k8s.cluster.name" => &mut self.cluster,
            // A Deployment's pods also carry their ReplicaSet's name, which changes with every release: not taken.
            b"k8s.deployment.name" => &mut self.workloads[0],
            b"k8s.rollout.name" => &mut self.workloads[1],
            b"k8s.statefulset.name" => &mut self.workloads[2],
            b"k8s.daemonset.name" => &mut self.workloads[3],
            _ => return None,
        })
    }
}

impl<'a> Resource<'a> {
    pub fn service(&self) -> Utf8<'a> {
        first([self.service, Value::Text(UNKNOWN_SERVICE.into())])
    }

    pub fn source(&self) -> Source<'a> {
        Source {
            service: self.service(),
            // The namespace its owner gave the service, else the one of Kubernetes it runs in.
            namespace: first([self.service_namespace, self.k8s_namespace]),
            // What tells one instance of the service from its siblings.
            pod: first([self.pod, self.instance, self.host]),
            workload: first(self.workloads),
            version: self.version.text(),
            cluster: self.cluster.text(),
        }
    }
}

/// The attributes of one span that columns are made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    http_route: Value<'a>,
    http_status: Value<'a>,
    http_status_old: Value<'a>,
    rpc_method: Value<'a>,
    rpc_status: Value<'a>,
    rpc_status_old: Value<'a>,
    peer_service: Value<'a>,
    peer_service_old: Value<'a>,
    db_system: Value<'a>,
    db_system_old: Value<'a>,
    db_namespace: Value<'a>,
    db_namespace_old: Value<'a>,
    messaging_system: Value<'a>,
    messaging_destination: Value<'a>,
    messaging_destination_old: Value<'a>,
    upstream_cluster: Value<'a>,
    server_address: Value<'a>,
    server_address_old: Value<'a>,
}

impl<'a> Slots<'a> for Attributes<'a> {
    /// By the length first, since that alone tells most attributes to be none of these.
    #[inline]
    fn slot(&mut self, key: Utf8<'_>) -> Option<&mut Value<'a>> {
        let key = key.as_bytes();
        Some(match key.len() {
            7 if key == b"db.name" => &mut self.db_namespace_old,
            9 if key == b"db.system" => &mut self.db_system_old,
            10 if key == b"http.route" => &mut self.http_route,
            10 if key == b"rpc.method" => &mut self.rpc_method,
            12 if key == b"peer.service" => &mut self.peer_service_old,
            12 if key == b"db.namespace" => &mut self.db_namespace,
            13 if key == b"net.peer.name" => &mut self.server_address_old,
            14 if key == b"server.address" => &mut self.server_address,
            14 if key == b"db.system.name" => &mut self.db_system,
            16 if key == b"http.status_code" => &mut self.http_status_old,
            16 if key == b"grpc.status_code" => &mut self.rpc_status_old,
            16 if key == b"messaging.system" => &mut self.messaging_system,
            16 if key == b"upstream_cluster" => &mut self.upstream_cluster,
            17 if key == b"service.peer.name" => &mut self.peer_service,
            20 if key == b"rpc.grpc.status_code" => &mut self.rpc_status_old,
            21 if key == b"messaging.destination" => &mut self.messaging_destination_old,
            21 if key == b"upstream_cluster.name" => &mut self.upstream_cluster,
            24 if key == b"rpc.response.status_code" => &mut self.rpc_status,
            25 if key == b"http.response.status_code" => &mut self.http_status,
            26 if key == b"messaging.destination.name" => &mut self.messaging_destination,
            _ => return None,
        })
    }
}

impl<'a> Attributes<'a> {
    /// The attributes of [`PROMOTED`], in its order.
    pub fn promoted<'s>(&self, scratch: &'s mut [String; PROMOTED.len()]) -> [Cell<'s>; PROMOTED.len()]
    where
        'a: 's,
    {
        let [route, status, method] = scratch;
        let http_status = if self.http_status == Value::Absent { self.http_status_old } else { self.http_status };
        let http_status =
            if http_status == Value::Absent { self.refused_by_rpc().into() } else { http_status.cell(status) };
        [self.http_route.cell(route), http_status, self.rpc_method.cell(method)]
    }

    /// A gRPC server that refuses says so in its own status; where no HTTP status speaks for the span it is
    /// shown as the HTTP status that means the same, so that analysis and rules know one sign of refusal.
    fn refused_by_rpc(&self) -> &'static str {
        let status = if self.rpc_status == Value::Absent { self.rpc_status_old } else { self.rpc_status };
        let number = match status {
            Value::Int(number) => number,
            Value::Text(text) => match text.as_bytes() {
                b"UNAVAILABLE" | b"14" => 14,
                b"RESOURCE_EXHAUSTED" | b"8" => 8,
                _ => 0,
            },
            _ => 0,
        };
        match number {
            14 => "503",
            8 => "429",
            _ => "",
        }
    }

    /// Whom a caller's span says it calls. From the most to the least deliberate: a name someone chose
    /// (`service.peer.name`, once `peer.service`); the database or queue, which outlives the hosts it runs on and
    /// of which one host may hold several; the cluster an Envoy chose; the bare host. `scratch` takes what is put
    /// together.
    pub fn peer<'s>(&self, scratch: &'s mut String) -> Utf8<'s>
    where
        'a: 's,
    {
        let named = first([self.peer_service, self.peer_service_old]);
        if !named.is_empty() {
            return named;
        }
        let database = first([self.db_system, self.db_system_old]);
        if !database.is_empty() {
            return pair(database, first([self.db_namespace, self.db_namespace_old]), scratch);
        }
        let queue = self.messaging_system.text();
        if !queue.is_empty() {
            let destination = first([self.messaging_destination, self.messaging_destination_old]);
            return pair(queue, destination, scratch);
        }
        let cluster = self.upstream_cluster.text();
        if !cluster.is_empty() {
            // Istio writes `outbound|9080||reviews.shop.svc.cluster.local`: the host is what names the callee.
            return cluster.as_str().rsplit('|').next().unwrap_or("").into();
        }
        first([self.server_address, self.server_address_old])
    }
}

/// `system:name`, such as `postgresql:orders`; the slash is taken by `namespace/service`.
fn pair<'s>(system: Utf8<'s>, name: Utf8<'_>, scratch: &'s mut String) -> Utf8<'s> {
    if name.is_empty() {
        return system;
    }
    scratch.clear();
    scratch.push_str(system.as_str());
    scratch.push(':');
    scratch.push_str(name.as_str());
    scratch.as_str().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(attributes: &[(&str, &'static str)]) -> String {
        let mut taken = Attributes::default();
        attributes.iter().for_each(|(key, value)| taken.set((*key).into(), Value::Text((*value).into())));
        taken.peer(&mut String::new()).as_str().to_owned()
    }

    fn text(text: &'static str) -> Value<'static> {
        Value::Text(text.into())
    }

    fn status(attributes: &[(&str, Value<'static>)]) -> String {
        let mut taken = Attributes::default();
        attributes.iter().for_each(|(key, value)| taken.set((*key).into(), *value));
        match taken.promoted(&mut Default::default())[1] {
            Cell::Text(text) => text.as_str().to_owned(),
            Cell::Number(number) => number.to_string(),
        }
    }

    #[test]
    fn a_peer_is_named_by_the_most_deliberate_attribute() {
        let all = [
            ("server.address", "10.0.0.7"),
            ("upstream_cluster", "outbound|9080||reviews.shop.svc.cluster.local"),
            ("messaging.system", "kafka"),
            ("messaging.destination.name", "orders"),
            ("db.system", "postgresql"),
            ("db.name", "shop"),
            ("peer.service", "ledger"),
        ];
        assert_eq!(peer(&all), "ledger");
        assert_eq!(peer(&all[..6]), "postgresql:shop");
        assert_eq!(peer(&all[..5]), "postgresql");
        assert_eq!(peer(&all[..4]), "kafka:orders");
        assert_eq!(peer(&all[..2]), "reviews.shop.svc.cluster.local");
        assert_eq!(peer(&all[..1]), "10.0.0.7");
        assert_eq!(peer(&[]), "");
    }

    #[test]
    fn http_status_comes_from_either_name_and_either_type() {
        assert_eq!(status(&[("http.response.status_code", Value::Int(200))]), "200");
        assert_eq!(status(&[("http.status_code", text("404"))]), "404");
        assert_eq!(status(&[("http.status_code", Value::Double(502.0))]), "502");
    }

    #[test]
    fn a_grpc_refusal_shows_as_http_status_unless_there_is_one() {
        assert_eq!(status(&[("rpc.grpc.status_code", Value::Int(14))]), "503");
        assert_eq!(status(&[("rpc.response.status_code", text("RESOURCE_EXHAUSTED"))]), "429");
        assert_eq!(status(&[("rpc.grpc.status_code", Value::Int(5))]), "");
        assert_eq!(status(&[("rpc.grpc.status_code", Value::Int(14)), ("http.status_code", Value::Int(200))]), "200");
    }

    #[test]
    fn a_resource_falls_back_to_what_kubernetes_says() {
        let mut resource = Resource::default();
        assert_eq!(resource.service(), UNKNOWN_SERVICE.into());
        for (key, value) in [("host.name", "h"), ("k8s.namespace.name", "shop"), ("k8s.statefulset.name", "db")] {
            resource.set(key.into(), text(value));
        }
        let source = resource.source();
        assert_eq!([source.pod, source.namespace, source.workload], ["h", "shop", "db"].map(Utf8::from));
        resource.set("k8s.pod.name".into(), text("db-0"));
        resource.set("service.namespace".into(), text("store"));
        let source = resource.source();
        assert_eq!([source.pod, source.namespace], ["db-0", "store"].map(Utf8::from));
    }
}
