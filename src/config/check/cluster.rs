//! Where workloads run, checked.

use super::{At, Checker};
use crate::config::{Cluster, Kubernetes};
use crate::model::setting::{Kind, Value};

impl Checker<'_> {
    pub(super) fn cluster(&mut self, at: &At<'_>) -> Option<Cluster> {
        let remedy = "add kubernetes: {} or embedded: {url: \"http://127.0.0.1:PORT\"}, or leave the section out";
        let section = |key: &str| at.node.section(key).map(|node| At { path: at.key(key), node });
        let embedded = match (section("embedded"), section("kubernetes")) {
            (Some(embedded), None) => embedded,
            (None, Some(kubernetes)) => return Some(self.kubernetes(&kubernetes)),
            (Some(embedded), Some(kubernetes)) => {
                self.problem(&at.path, "names two kinds of cluster", "keep one of them");
                self.kubernetes(&kubernetes);
                embedded
            }
            (None, None) => {
                self.problem(&at.path, "names no kind of cluster", remedy);
                return None;
            }
        };
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
