//! Where workloads run, checked.

use super::Checker;
use crate::config::{Cluster, Kubernetes, raw};

impl Checker<'_> {
    pub(super) fn cluster(&mut self, raw: &raw::Cluster) -> Option<Cluster> {
        self.keys("cluster", raw);
        let remedy = "add kubernetes: {} or embedded: {url: \"http://127.0.0.1:PORT\"}, or leave the section out";
        let embedded = match (&raw.embedded, &raw.kubernetes) {
            (Some(embedded), None) => embedded,
            (None, Some(kubernetes)) => return Some(self.kubernetes(kubernetes)),
            (Some(embedded), Some(kubernetes)) => {
                self.problem("cluster", "names two kinds of cluster", "keep one of them");
                self.kubernetes(kubernetes);
                embedded
            }
            (None, None) => {
                self.problem("cluster", "names no kind of cluster", remedy);
                return None;
            }
        };
        self.keys("cluster.embedded", embedded);
        match embedded.url.as_deref().map(|url| (url, url.parse::<http::Uri>())) {
            Some((url, Ok(uri))) if uri.scheme_str() == Some("http") && uri.authority().is_some() => {
                Some(Cluster::Embedded { url: url.trim_end_matches('/').to_owned() })
            }
            Some((url, _)) => {
                self.problem("cluster.embedded.url", format!("`{url}` is no http address"), "write http://HOST:PORT");
                None
            }
            None => {
                self.problem("cluster.embedded.url", "is missing", "write http://HOST:PORT");
                None
            }
        }
    }

    fn kubernetes(&mut self, raw: &raw::Kubernetes) -> Cluster {
        self.keys("cluster.kubernetes", raw);
        let raw::Kubernetes { context, namespace, lease, identity, scaler, nodes, .. } = raw;
        // Names of objects, and what may be a label's value (RFC 1123).
        for (key, name) in [("namespace", namespace), ("lease", lease), ("identity", identity)] {
            let named = |name: &str| {
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
                !name.is_empty() && name.len() <= 253 && name.chars().all(plain)
            };
            if let Some(name) = name.as_deref().filter(|name| !named(name)) {
                let cause = format!("`{name}` is no name in Kubernetes");
                self.problem(&format!("cluster.kubernetes.{key}"), cause, "write lowercase letters, digits, - and .");
            }
        }
        // The port that its documentation and manifests use.
        let default = (std::net::Ipv4Addr::UNSPECIFIED, 8081).into();
        let address = scaler.is_some().then(|| self.address("cluster.kubernetes.scaler", scaler, default));
        let nodes_grow = match nodes.as_deref() {
            None | Some("fixed") => false,
            Some("grow") => true,
            Some(other) => {
                let cause = format!("`{other}` is neither fixed nor grow");
                self.problem("cluster.kubernetes.nodes", cause, "write fixed or grow");
                false
            }
        };
        Cluster::Kubernetes(Kubernetes {
            context: context.clone(),
            namespace: namespace.clone(),
            lease: lease.clone(),
            identity: identity.clone(),
            scaler: address,
            nodes_grow,
        })
    }
}
