//! Which attributes become columns, under their current and their older names.
//!
//! Attributes are taken as they come and settled once a resource or span is complete, since protobuf puts the
//! fields of a message in any order. Of a repeated key the last value counts.
//! Source: OpenTelemetry semantic conventions, those before 1.21 included, and Envoy's own span tags.

use std::fmt::Write;

use crate::model::spans::PROMOTED;
use crate::model::{Cell, Kind, Utf8, Work};

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
    pub(super) fn text(self) -> Utf8<'a> {
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
pub(super) fn first<const N: usize>(candidates: [Value<'_>; N]) -> Utf8<'_> {
    candidates.into_iter().map(Value::text).find(|text| !text.is_empty()).unwrap_or(Utf8::EMPTY)
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
    // Of each of these the newer and the older names share a place: senders write one of them, or the same in both.
    http_method: Value<'a>,
    url: Value<'a>,
    path: Value<'a>,
    host: Value<'a>,
    peer_address: Value<'a>,
    user_agent: Value<'a>,
    protocol: Value<'a>,
    rpc_service: Value<'a>,
    messaging_operation: Value<'a>,
    messaging_template: Value<'a>,
    trigger: Value<'a>,
    sampled_by: Value<'a>,
}

impl<'a> Slots<'a> for Attributes<'a> {
    /// By the length first, since that alone tells most attributes to be none of these.
    #[inline]
    fn slot(&mut self, key: Utf8<'_>) -> Option<&mut Value<'a>> {
        let key = key.as_bytes();
        Some(match key.len() {
            13 if key == b"sampling.rule" => &mut self.sampled_by,
            15 if key == b"sampling.policy" => &mut self.sampled_by,
            19 if key == b"tailsampling.policy" => &mut self.sampled_by,
            20 if key == b"meta.refinery.reason" => &mut self.sampled_by,
            8 if key == b"url.full" || key == b"http.url" => &mut self.url,
            8 if key == b"url.path" => &mut self.path,
            9 if key == b"http.host" => &mut self.host,
            11 if key == b"http.method" => &mut self.http_method,
            11 if key == b"http.target" => &mut self.path,
            11 if key == b"rpc.service" => &mut self.rpc_service,
            11 if key == b"net.peer.ip" => &mut self.peer_address,
            12 if key == b"faas.trigger" => &mut self.trigger,
            15 if key == b"http.user_agent" => &mut self.user_agent,
            18 if key == b"net.sock.peer.addr" => &mut self.peer_address,
            19 if key == b"http.request.method" => &mut self.http_method,
            19 if key == b"user_agent.original" => &mut self.user_agent,
            19 if key == b"messaging.operation" => &mut self.messaging_operation,
            20 if key == b"network.peer.address" => &mut self.peer_address,
            21 if key == b"network.protocol.name" => &mut self.protocol,
            24 if key == b"messaging.operation.name" => &mut self.messaging_operation,
            24 if key == b"messaging.operation.type" => &mut self.messaging_operation,
            30 if key == b"messaging.destination.template" => &mut self.messaging_template,
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

    /// What a span is counted as: where it takes requests, what the router, the interface or the queue calls them, else the
    /// span's name. In this order:
    ///
    /// 1. `http.route` after the method (`http.request.method`, `http.method`, or the first word of the name);
    /// 2. `rpc.service` and `rpc.method`, as `service/method`;
    /// 3. of a consumer, `messaging.destination.template` or `messaging.destination.name` after what is done
    ///    (`messaging.operation.name`), unless the name holds the destination already;
    /// 4. the name.
    ///
    /// `scratch` takes what is put together.
    #[inline]
    pub fn operation<'s>(&self, kind: Kind, name: Utf8<'a>, scratch: &'s mut Vec<u8>) -> Utf8<'s>
    where
        'a: 's,
    {
        match kind {
            Kind::Server if !self.http_route.text().is_empty() => self.routed(name, scratch),
            Kind::Server if !self.rpc_service.text().is_empty() => {
                let (service, method) = (self.rpc_service.text(), self.rpc_method.text());
                if method.is_empty() || is_pair(name, service, b'/', method) {
                    return name;
                }
                // Later conventions write the service into the method.
                if method.as_bytes().contains(&b'/') { method } else { service.join(b'/', method, scratch) }
            }
            Kind::Consumer => {
                let destination =
                    first([self.messaging_template, self.messaging_destination, self.messaging_destination_old]);
                if destination.is_empty() || name.as_str().contains(destination.as_str()) {
                    return name;
                }
                self.messaging_operation.text().or("process".into()).join(b' ', destination, scratch)
            }
            Kind::Server | Kind::Client | Kind::Producer | Kind::Internal | Kind::Unspecified => name,
        }
    }

    fn routed<'s>(&self, name: Utf8<'a>, scratch: &'s mut Vec<u8>) -> Utf8<'s>
    where
        'a: 's,
    {
        let (method, route) = (self.http_method.text(), self.http_route.text());
        // As the conventions ask for: nothing to put together.
        if is_pair(name, method, b' ', route) {
            return name;
        }
        let known = |method: &Utf8<'_>| METHODS.iter().any(|known| known.as_bytes() == method.as_bytes());
        match Some(method).filter(known).or_else(|| Some(name.up_to(*b" ")).filter(known)) {
            Some(method) => method.join(b' ', route, scratch),
            None => route,
        }
    }

    /// What kind of work a span is, as far as its attributes tell. `is_job`: its resource runs when a clock says so.
    #[inline]
    pub fn work(&self, kind: Kind, is_job: bool) -> Work {
        match kind {
            Kind::Consumer => Work::Message,
            Kind::Server => self.served(),
            _ if is_job || self.trigger.text() == "timer".into() => Work::Job,
            _ if self.protocol.text() == "websocket".into() => Work::Stream,
            _ => Work::Request,
        }
    }

    fn served(&self) -> Work {
        const SWITCHING_PROTOCOLS: i64 = 101;
        let is_switched = |status: Value<'_>| match status {
            Value::Int(number) => number == SWITCHING_PROTOCOLS,
            Value::Text(text) => text == "101".into(),
            Value::Absent | Value::Double(_) | Value::Bool(_) => false,
        };
        let is_probe = || {
            let agent = self.user_agent.text();
            !agent.is_empty() && Work::of_user_agent(agent.as_bytes()).is_some()
                || Work::of_path(self.path.text().up_to(*b"?").as_bytes()).is_some()
        };
        if is_switched(self.http_status)
            || is_switched(self.http_status_old)
            || self.protocol.text() == "websocket".into()
        {
            Work::Stream
        } else if self.trigger.text() == "timer".into() {
            Work::Job
        } else if is_probe() {
            Work::Probe
        } else {
            Work::Request
        }
    }

    /// The rule by which a tail sampler says that it chose the trace: `tailsampling.policy` (the Collector's `tail_sampling`
    /// writes it to the scope), `sampling.policy`, `sampling.rule`, `meta.refinery.reason`.
    #[inline]
    pub fn sampled_by(&self) -> Utf8<'a> {
        self.sampled_by.text()
    }

    /// Whom a caller's span says it calls. From the most to the least deliberate:
    ///
    /// 1. a name someone chose: `service.peer.name`, once `peer.service`;
    /// 2. the database or queue, which outlives the hosts it runs on and of which one host may hold several: `db.system.name`
    ///    (`db.system`) with `db.namespace` (`db.name`), else with its host; `messaging.system` with its destination;
    /// 3. the cluster an Envoy chose;
    /// 4. the host: `server.address`, `net.peer.name`, that of `url.full` or `http.url`, `http.host`;
    /// 5. the address: `network.peer.address`, `net.sock.peer.addr`, `net.peer.ip`;
    /// 6. the interface: `rpc.service`.
    ///
    /// `scratch` takes what is put together.
    pub fn peer<'s>(&self, scratch: &'s mut Vec<u8>) -> Utf8<'s>
    where
        'a: 's,
    {
        let named = first([self.peer_service, self.peer_service_old]);
        if !named.is_empty() {
            return named;
        }
        let database = first([self.db_system, self.db_system_old]);
        if !database.is_empty() {
            let name = first([self.db_namespace, self.db_namespace_old]);
            return pair(database, if name.is_empty() { self.host() } else { name }, scratch);
        }
        let queue = self.messaging_system.text();
        if !queue.is_empty() {
            let destination =
                first([self.messaging_template, self.messaging_destination, self.messaging_destination_old]);
            return pair(queue, destination, scratch);
        }
        let cluster = self.upstream_cluster.text();
        if !cluster.is_empty() {
            // Istio writes `outbound|9080||reviews.shop.svc.cluster.local`: the host is what names the callee.
            return cluster.split_at_last(b'|').map_or(cluster, |(_, host)| host);
        }
        self.host().or(self.rpc_service.text())
    }

    fn host(&self) -> Utf8<'a> {
        let address = first([self.server_address, self.server_address_old]);
        if !address.is_empty() {
            return address;
        }
        host_of_url(self.url.text()).or(without_port(self.host.text())).or(self.peer_address.text())
    }
}

/// Methods of HTTP (RFC 9110, RFC 5789) and QUERY; another first word of a name is none.
const METHODS: [&str; 10] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "QUERY"];

/// Whether a name is the two parts with the sign between them.
fn is_pair(name: Utf8<'_>, before: Utf8<'_>, sign: u8, after: Utf8<'_>) -> bool {
    let (name, before, after) = (name.as_bytes(), before.as_bytes(), after.as_bytes());
    name.len() == before.len() + 1 + after.len()
        && name.starts_with(before)
        && name[before.len()] == sign
        && name.ends_with(after)
}

/// `https://user@api.example.com:443/path`: the host. Empty where the text is no such URL.
fn host_of_url(url: Utf8<'_>) -> Utf8<'_> {
    let Some(rest) = url.split_at(b':').and_then(|(_, rest)| rest.strip("//".into())) else { return Utf8::EMPTY };
    let authority = rest.up_to(*b"/?#");
    without_port(authority.split_at_last(b'@').map_or(authority, |(_, host)| host))
}

/// Of a host with a port, the host; an address of IPv6 is in brackets.
fn without_port(host: Utf8<'_>) -> Utf8<'_> {
    match host.strip("[".into()).and_then(|address| address.split_at(b']')) {
        Some((address, _)) => address,
        None => host.split_at_last(b':').map_or(host, |(host, _)| host),
    }
}

/// `system:name`, such as `postgresql:orders`, or the system alone; the slash is taken by `namespace/service`.
pub(super) fn pair<'s>(system: Utf8<'s>, name: Utf8<'_>, scratch: &'s mut Vec<u8>) -> Utf8<'s> {
    if name.is_empty() { system } else { system.join(b':', name, scratch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(attributes: &[(&str, &'static str)]) -> String {
        let mut taken = Attributes::default();
        attributes.iter().for_each(|(key, value)| taken.set((*key).into(), Value::Text((*value).into())));
        taken.peer(&mut Vec::new()).as_str().to_owned()
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
        assert_eq!(peer(&all[..5]), "postgresql:10.0.0.7", "a database without a name, by its host");
        assert_eq!(peer(&all[..4]), "kafka:orders");
        assert_eq!(peer(&all[..2]), "reviews.shop.svc.cluster.local");
        assert_eq!(peer(&all[..1]), "10.0.0.7");
        let hosts = [
            ("net.peer.ip", "10.0.0.9"),
            ("http.host", "shop.example:8080"),
            ("http.url", "https://me:pw@api.example.com:443/v1?q=a@b"),
            ("net.peer.name", "peer.example"),
            ("server.address", "address.example"),
        ];
        let by_host = [1, 2, 3, 4, 5].map(|n| peer(&hosts[..n]));
        let expected = ["10.0.0.9", "shop.example", "api.example.com", "peer.example", "address.example"];
        assert_eq!(by_host, expected);
        assert_eq!(peer(&[("url.full", "http://[::1]:80/")]), "::1");
        assert_eq!(peer(&[("url.full", "/relative")]), "");
        assert_eq!(peer(&[("db.system", "redis"), ("server.address", "cache-1")]), "redis:cache-1");
        assert_eq!(peer(&[("rpc.service", "shop.Cart")]), "shop.Cart");
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

    fn operation(kind: Kind, name: &'static str, attributes: &[(&str, &'static str)]) -> String {
        let mut taken = Attributes::default();
        attributes.iter().for_each(|(key, value)| taken.set((*key).into(), Value::Text((*value).into())));
        taken.operation(kind, name.into(), &mut Vec::new()).as_str().to_owned()
    }

    #[test]
    fn an_operation_is_what_the_router_the_interface_or_the_queue_calls_it() {
        use Kind::{Client, Consumer, Server};
        let route = ("http.route", "/item/{id}");
        assert_eq!(operation(Server, "GET /item/17", &[route]), "GET /item/{id}");
        assert_eq!(operation(Server, "/item/17", &[route, ("http.method", "PUT")]), "PUT /item/{id}");
        assert_eq!(operation(Server, "handle", &[route, ("http.request.method", "_OTHER")]), "/item/{id}");
        assert_eq!(operation(Server, "GET /item/{id}", &[route, ("http.request.method", "GET")]), "GET /item/{id}");
        assert_eq!(operation(Client, "GET", &[route]), "GET", "a caller has its own words");
        let rpc = [("rpc.service", "shop.Cart"), ("rpc.method", "Add")];
        assert_eq!(operation(Server, "grpc", &rpc), "shop.Cart/Add");
        assert_eq!(operation(Server, "grpc", &[rpc[0], ("rpc.method", "shop.Cart/Add")]), "shop.Cart/Add");
        assert_eq!(operation(Server, "grpc", &rpc[..1]), "grpc");
        let queue = [("messaging.destination.name", "orders"), ("messaging.operation.name", "poll")];
        assert_eq!(operation(Consumer, "consume", &queue), "poll orders");
        assert_eq!(operation(Consumer, "orders process", &queue), "orders process");
        assert_eq!(operation(Consumer, "consume", &queue[..1]), "process orders");
        assert_eq!(operation(Server, "anything", &[]), "anything");
    }

    #[test]
    fn work_that_is_no_request_is_known_by_its_attributes() {
        let work = |kind, is_job, attributes: &[(&str, Value<'static>)]| {
            let mut taken = Attributes::default();
            attributes.iter().for_each(|(key, value)| taken.set((*key).into(), *value));
            taken.work(kind, is_job)
        };
        let served = |attributes: &[(&str, Value<'static>)]| work(Kind::Server, true, attributes);
        assert_eq!(served(&[("user_agent.original", text("kube-probe/1.31"))]), Work::Probe);
        assert_eq!(served(&[("url.path", text("/healthz"))]), Work::Probe);
        assert_eq!(served(&[("http.target", text("/metrics?collect[]=cpu"))]), Work::Probe);
        assert_eq!(served(&[("http.response.status_code", Value::Int(101))]), Work::Stream);
        assert_eq!(served(&[("network.protocol.name", text("websocket"))]), Work::Stream);
        assert_eq!(served(&[("url.path", text("/")), ("user_agent.original", text("curl/8"))]), Work::Request);
        assert_eq!(work(Kind::Internal, true, &[]), Work::Job);
        assert_eq!(work(Kind::Internal, false, &[("faas.trigger", text("timer"))]), Work::Job);
        assert_eq!(work(Kind::Consumer, true, &[]), Work::Message);
        assert_eq!(work(Kind::Internal, false, &[]), Work::Request);
    }
}
