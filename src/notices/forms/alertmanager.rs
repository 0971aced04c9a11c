//! Alertmanager's API v2: an alert a cause, which Alertmanager groups, silences and routes as any other.

use http::Uri;
use serde_json::{Map, Value, json};

use super::{Message, Posted, json as posted_json};
use crate::engine::Notice;
use crate::model::Time;

pub fn posted(uri: Uri, token: Option<&str>, message: &Message) -> Posted {
    let firing = message.firing.iter().map(|notice| alert(message, notice, None));
    let resolved = message.resolved.iter().map(|notice| alert(message, notice, Some(message.at)));
    let alerts: Vec<Value> = firing.chain(resolved).collect();
    let mut posted = posted_json(uri, &alerts.into());
    posted.headers.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
    posted
}

/// Its labels name the cause, so that repetitions and the end meet the same alert.
fn alert(message: &Message, notice: &Notice, ended_at: Option<Time>) -> Value {
    let Notice { service, message: text, because, since, decision, .. } = notice;
    let mut parts = service.as_str().rsplit('/');
    let (name, namespace, cluster) = (parts.next(), parts.next(), parts.next());
    let mut labels = Map::new();
    for (label, value) in [
        ("alertname", Some("HeadroomNotice")),
        ("rule", Some(message.rule.as_str())),
        ("verdict", Some(message.verdict.as_str())),
        ("service_name", name),
        ("service_namespace", namespace),
        ("k8s_cluster_name", cluster),
        ("severity", Some("warning")),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            labels.insert(label.to_owned(), value.into());
        }
    }
    let mut alert = json!({
        "labels": labels,
        "annotations": {"summary": text, "description": because, "decision": decision.to_string()},
        "startsAt": since.to_string(),
    });
    if let Some(ended_at) = ended_at {
        alert["endsAt"] = ended_at.to_string().into();
    }
    alert
}
