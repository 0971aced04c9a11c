//! Which attributes become columns, under their current and their older names.
//!
//! Attributes are taken as they come and settled once a resource or span is complete, since protobuf puts the
//! fields of a message in any order. Of a repeated key the last value counts.
//! Source: OpenTelemetry semantic conventions, those before 1.21 included, and Envoy's own span tags.

use std::fmt::Write;

use crate::model::spans::PROMOTED;

/// What `service.name` is when a resource has none (OpenTelemetry, "Semantic attributes with dedicated
/// environment variable").
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// An attribute's value; those that are lists, maps or bytes are `Absent`, for no column takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value<'a> {
    #[default]
    Absent,
    Text(&'a str),
    Int(i64),
    Double(f64),
    Bool(bool),
}

impl<'a> Value<'a> {
    fn text(self) -> &'a str {
        if let Value::Text(text) = self { text } else { "" }
    }

    fn write(self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            Value::Absent => Ok(()),
            Value::Text(text) => out.write_str(text),
            Value::Int(number) => write!(out, "{number}"),
            // JavaScript knows one kind of number only: 200.0 is written 200.
            Value::Double(number) => write!(out, "{number}"),
            Value::Bool(truth) => write!(out, "{truth}"),
        };
    }
}

/// The first that is not empty.
fn first<'a>(candidates: &[&'a str]) -> &'a str {
    candidates.iter().copied().find(|text| !text.is_empty()).unwrap_or("")
}

/// Who sent the spans: the columns that are the same for all spans of a resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resource<'a> {
    service: &'a str,
    service_namespace: &'a str,
    k8s_namespace: &'a str,
    pod: &'a str,
    instance: &'a str,
    host: &'a str,
    /// Deployment, rollout, stateful set, daemon set, in this order.
    workloads: [&'a str; 4],
    version: &'a str,
    cluster: &'a str,
}

impl<'a> Resource<'a> {
    pub fn set(&mut self, key: &str, value: Value<'a>) {
        let slot = match key {
            "service.name" => &mut self.service,
            "service.namespace" => &mut self.service_namespace,
            "service.version" => &mut self.version,
            "service.instance.id" => &mut self.instance,
            "host.name" => &mut self.host,
            "k8s.pod.name" => &mut self.pod,
            "k8s.namespace.name" => &mut self.k8s_namespace,
            "k8s.cluster.name" => &mut self.cluster,
            // A Deployment's pods also carry their ReplicaSet's name, which changes with every release: not taken.
            "k8s.deployment.name" => &mut self.workloads[0],
            "k8s.rollout.name" => &mut self.workloads[1],
            "k8s.statefulset.name" => &mut self.workloads[2],
            "k8s.daemonset.name" => &mut self.workloads[3],
            _ => return,
        };
        *slot = value.text();
    }

    pub fn service(&self) -> &'a str {
        first(&[self.service, UNKNOWN_SERVICE])
    }

    /// The namespace its owner gave the service, else the one of Kubernetes it runs in.
    pub fn namespace(&self) -> &'a str {
        first(&[self.service_namespace, self.k8s_namespace])
    }

    /// What tells one instance of the service from its siblings.
    pub fn pod(&self) -> &'a str {
        first(&[self.pod, self.instance, self.host])
    }

    pub fn workload(&self) -> &'a str {
        first(&self.workloads)
    }

    pub fn version(&self) -> &'a str {
        self.version
    }

    pub fn cluster(&self) -> &'a str {
        self.cluster
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
    peer_service: &'a str,
    peer_service_old: &'a str,
    db_system: &'a str,
    db_system_old: &'a str,
    db_namespace: &'a str,
    db_namespace_old: &'a str,
    messaging_system: &'a str,
    messaging_destination: &'a str,
    messaging_destination_old: &'a str,
    upstream_cluster: &'a str,
    server_address: &'a str,
    server_address_old: &'a str,
}

impl<'a> Attributes<'a> {
    pub fn set(&mut self, key: &str, value: Value<'a>) {
        match key {
            "http.route" => self.http_route = value,
            "http.response.status_code" => self.http_status = value,
            "http.status_code" => self.http_status_old = value,
            "rpc.method" => self.rpc_method = value,
            "rpc.response.status_code" => self.rpc_status = value,
            "rpc.grpc.status_code" | "grpc.status_code" => self.rpc_status_old = value,
            "service.peer.name" => self.peer_service = value.text(),
            "peer.service" => self.peer_service_old = value.text(),
            "db.system.name" => self.db_system = value.text(),
            "db.system" => self.db_system_old = value.text(),
            "db.namespace" => self.db_namespace = value.text(),
            "db.name" => self.db_namespace_old = value.text(),
            "messaging.system" => self.messaging_system = value.text(),
            "messaging.destination.name" => self.messaging_destination = value.text(),
            "messaging.destination" => self.messaging_destination_old = value.text(),
            "upstream_cluster.name" | "upstream_cluster" => self.upstream_cluster = value.text(),
            "server.address" => self.server_address = value.text(),
            "net.peer.name" => self.server_address_old = value.text(),
            _ => {}
        }
    }

    /// Writes the promoted attribute at `index` of [`PROMOTED`].
    pub fn write_promoted(&self, index: usize, out: &mut String) {
        match PROMOTED[index] {
            "http.route" => self.http_route.write(out),
            "http.response.status_code" => {
                let status = if self.http_status == Value::Absent { self.http_status_old } else { self.http_status };
                if status == Value::Absent { out.push_str(self.refused_by_rpc()) } else { status.write(out) }
            }
            "rpc.method" => self.rpc_method.write(out),
            _ => {}
        }
    }

    /// A gRPC server that refuses says so in its own status; where no HTTP status speaks for the span it is
    /// shown as the HTTP status that means the same, so that analysis and rules know one sign of refusal.
    fn refused_by_rpc(&self) -> &'static str {
        let status = if self.rpc_status == Value::Absent { self.rpc_status_old } else { self.rpc_status };
        match status {
            Value::Int(14) | Value::Text("UNAVAILABLE" | "14") => "503",
            Value::Int(8) | Value::Text("RESOURCE_EXHAUSTED" | "8") => "429",
            _ => "",
        }
    }

    /// Writes whom a caller's span says it calls. From the most to the least deliberate: a name someone chose
    /// (`service.peer.name`, once `peer.service`); the database or queue, which outlives the hosts it runs on and
    /// of which one host may hold several; the cluster an Envoy chose; the bare host.
    pub fn write_peer(&self, out: &mut String) {
        let named = first(&[self.peer_service, self.peer_service_old]);
        if !named.is_empty() {
            return out.push_str(named);
        }
        let database = first(&[self.db_system, self.db_system_old]);
        if !database.is_empty() {
            return write_pair(database, first(&[self.db_namespace, self.db_namespace_old]), out);
        }
        if !self.messaging_system.is_empty() {
            let destination = first(&[self.messaging_destination, self.messaging_destination_old]);
            return write_pair(self.messaging_system, destination, out);
        }
        if !self.upstream_cluster.is_empty() {
            // Istio writes `outbound|9080||reviews.shop.svc.cluster.local`: the host is what names the callee.
            return out.push_str(self.upstream_cluster.rsplit('|').next().unwrap_or(""));
        }
        out.push_str(first(&[self.server_address, self.server_address_old]));
    }
}

/// `system:name`, such as `postgresql:orders`; the slash is taken by `namespace/service`.
fn write_pair(system: &str, name: &str, out: &mut String) {
    out.push_str(system);
    if !name.is_empty() {
        out.push(':');
        out.push_str(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(attributes: &[(&str, &'static str)]) -> String {
        let mut taken = Attributes::default();
        attributes.iter().for_each(|(key, value)| taken.set(key, Value::Text(value)));
        let mut out = String::new();
        taken.write_peer(&mut out);
        out
    }

    fn status(attributes: &[(&str, Value<'static>)]) -> String {
        let mut taken = Attributes::default();
        attributes.iter().for_each(|(key, value)| taken.set(key, *value));
        let mut out = String::new();
        taken.write_promoted(1, &mut out);
        out
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
        assert_eq!(status(&[("http.status_code", Value::Text("404"))]), "404");
        assert_eq!(status(&[("http.status_code", Value::Double(502.0))]), "502");
    }

    #[test]
    fn a_grpc_refusal_shows_as_http_status_unless_there_is_one() {
        assert_eq!(status(&[("rpc.grpc.status_code", Value::Int(14))]), "503");
        assert_eq!(status(&[("rpc.response.status_code", Value::Text("RESOURCE_EXHAUSTED"))]), "429");
        assert_eq!(status(&[("rpc.grpc.status_code", Value::Int(5))]), "");
        assert_eq!(status(&[("rpc.grpc.status_code", Value::Int(14)), ("http.status_code", Value::Int(200))]), "200");
    }

    #[test]
    fn a_resource_falls_back_to_what_kubernetes_says() {
        let mut resource = Resource::default();
        assert_eq!(resource.service(), UNKNOWN_SERVICE);
        for (key, value) in [("host.name", "h"), ("k8s.namespace.name", "shop"), ("k8s.statefulset.name", "db")] {
            resource.set(key, Value::Text(value));
        }
        assert_eq!((resource.pod(), resource.namespace(), resource.workload()), ("h", "shop", "db"));
        resource.set("k8s.pod.name", Value::Text("db-0"));
        resource.set("service.namespace", Value::Text("store"));
        assert_eq!((resource.pod(), resource.namespace()), ("db-0", "store"));
    }
}
