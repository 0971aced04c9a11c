//! Labels of a series, as text formats write them and apart.

use std::fmt::Write;

use crate::model::Text;

/// What has more names than the bound is counted under this one.
pub const OTHER: &str = "_other";

/// In the order they were given; those without a value are left out, which is the same to Prometheus.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels {
    pairs: Vec<(&'static str, Text)>,
    /// `a="1",b="2"`, escaped: written once, read by each metric of the series.
    text: String,
}

impl Labels {
    pub fn with(mut self, name: &'static str, value: &str) -> Labels {
        if !value.is_empty() {
            if !self.text.is_empty() {
                self.text.push(',');
            }
            add(&mut self.text, name, value);
            self.pairs.push((name, value.into()));
        }
        self
    }

    /// Cluster, namespace and name of an identity such as `eu/shop/auth`.
    pub fn service(identity: &str) -> Labels {
        let mut parts = identity.splitn(3, '/');
        let (first, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let [cluster, namespace, name] = match (second, third) {
            (Some(second), Some(third)) => [first, second, third],
            (Some(second), None) => ["", first, second],
            (None, _) => ["", "", first],
        };
        Labels::default()
            .with("k8s_cluster_name", cluster)
            .with("service_namespace", namespace)
            .with("service_name", name)
    }

    /// Of an endpoint: the service of its root span, and the whole name.
    pub fn entry(entry: &str) -> Labels {
        let service = entry.split_once(' ').map_or(entry, |(service, _)| service);
        Labels::service(service).with("entry", entry)
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.pairs.iter().map(|(name, value)| (*name, &**value))
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Appends `name="value"`, escaped as both text formats want it.
pub fn add(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    if value.contains(['\\', '"', '\n']) {
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
    } else {
        text.push_str(value);
    }
    text.push('"');
}

/// Appends a number as both text formats read it.
pub fn add_number(text: &mut String, value: f64) {
    // Writing into a text cannot fail.
    let _ = match value {
        value if value == f64::INFINITY => write!(text, "+Inf"),
        value if value == f64::NEG_INFINITY => write!(text, "-Inf"),
        value if value.is_nan() => write!(text, "NaN"),
        value => write!(text, "{value}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_becomes_the_labels_of_the_conventions() {
        let text = |identity: &str| Labels::service(identity).text().to_owned();
        assert_eq!(text("auth"), r#"service_name="auth""#);
        assert_eq!(text("shop/auth"), r#"service_namespace="shop",service_name="auth""#);
        assert_eq!(text("eu/shop/auth"), r#"k8s_cluster_name="eu",service_namespace="shop",service_name="auth""#);
        assert_eq!(
            Labels::entry("shop/ingress GET /exam/1").text(),
            r#"service_namespace="shop",service_name="ingress",entry="shop/ingress GET /exam/1""#
        );
    }

    #[test]
    fn values_are_escaped_as_the_formats_want_it() {
        let labels = Labels::default().with("a", "say \"no\"\n\\").with("b", "");
        assert_eq!(labels.text(), r#"a="say \"no\"\n\\""#);
        assert_eq!(labels.pairs().collect::<Vec<_>>(), [("a", "say \"no\"\n\\")]);
    }
}
