//! Where workloads run, checked.

use super::{At, Checker, listed};
use crate::config::{Cluster, FixedService, Kubernetes};
use crate::model::setting::{Kind, Value};

impl Checker<'_> {
    pub(super) fn cluster(&mut self, at: &At<'_>) -> Option<Cluster> {
        let remedy = "add kubernetes: {}, fixed: {services: […]} or embedded: {url: \"http://127.0.0.1:PORT\"}, or leave the section out";
        let section = |key: &str| at.node.section(key).map(|node| At { path: at.key(key), node });
        let kinds: Vec<(&str, At<'_>)> =
            ["embedded", "kubernetes", "fixed"].into_iter().filter_map(|kind| Some((kind, section(kind)?))).collect();
        match kinds.len() {
            0 => self.problem(&at.path, "names no kind of cluster", remedy),
            1 => {}
            _ => self.problem(&at.path, "names more than one kind of cluster", "keep one of them"),
        }
        let read = kinds.iter().map(|(kind, at)| match *kind {
            "kubernetes" => Some(self.kubernetes(at)),
            "fixed" => self.fixed(at),
            _ => self.embedded(at),
        });
        read.collect::<Vec<_>>().into_iter().next().flatten()
    }

    /// Services with their instances, each once.
    fn fixed(&mut self, at: &At<'_>) -> Option<Cluster> {
        let mut services: Vec<FixedService> = Vec::new();
        let path = at.key("services");
        for (index, node) in at.node.list("services").iter().enumerate() {
            let at = At { path: format!("{path}[{index}]"), node };
            let service = node.text("service").unwrap_or_default().to_owned();
            let instances = node.text("instances").map_or_else(Vec::new, listed);
            if service.is_empty() || service.split('/').count() > 3 {
                self.problem(
                    &at.key("service"),
                    "is no service",
                    "write NAME, NAMESPACE/NAME or CLUSTER/NAMESPACE/NAME",
                );
            }
            if instances.is_empty() {
                self.problem(&at.key("instances"), "is missing", "name its pods or hosts, as its spans do");
            }
            if services.iter().any(|other| other.service == service) {
                self.problem(&at.key("service"), format!("`{service}` is listed twice"), "keep one of them");
            }
            services.push(FixedService { service, instances });
        }
        if services.is_empty() {
            self.problem(&path, "is empty", "list services: {service: shop/stock, instances: \"stock-0\"}");
        }
        Some(Cluster::Fixed(services))
    }

    fn embedded(&mut self, embedded: &At<'_>) -> Option<Cluster> {
        let path = embedded.key("url");
        match embedded.node.text("url").map(|url| (url, url.parse::<http::Uri>())) {
            Some((url, Ok(uri))) if uri.scheme_str() == Some("http") && uri.authority().is_some() => {
                Some(Cluster::Embedded { url: url.trim_end_matches('/').to_owned() })
            }
            Some((url, _)) => {
                self.problem(&path, format!("`{url}` is no http address"), "write http://HOST:PORT");
                None
            }
            None => {
                self.problem(&path, "is missing", "write http://HOST:PORT");
                None
            }
        }
    }

    fn kubernetes(&mut self, at: &At<'_>) -> Cluster {
        let text = |key: &str| at.node.text(key).map(str::to_owned);
        let [namespace, lease, identity] = ["namespace", "lease", "identity"].map(|key| {
            // Names of objects, and what may be a label's value (RFC 1123).
            let named = |name: &str| {
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
                !name.is_empty() && name.len() <= 253 && name.chars().all(plain)
            };
            if let Some(name) = at.node.text(key).filter(|name| !named(name)) {
                let cause = format!("`{name}` is no name in Kubernetes");
                self.problem(&at.key(key), cause, "write lowercase letters, digits, - and .");
            }
            text(key)
        });
        let scaler = at.node.text("scaler").and_then(|text| self.value(&at.key("scaler"), Kind::Address, text, None));
        let scaler = match scaler {
            Some(Value::Address(address)) => Some(address),
            Some(Value::Duration(_) | Value::Whole(_) | Value::Number(_)) | None => None,
        };
        let nodes_grow = self.choice(&at.key("nodes"), at.node.text("nodes"), &["fixed", "grow"]) == Some("grow");
        Cluster::Kubernetes(Kubernetes { context: text("context"), namespace, lease, identity, scaler, nodes_grow })
    }
}
