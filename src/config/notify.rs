//! Who is told of what people should know, and how.

use std::time::Duration;

use serde_json::{Value, json};

use super::Token;
use crate::model::setting::{Kind, Setting};
use crate::settings;

/// Where notices go. Without receivers they are in the log, the API and SQL alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Notify {
    pub receivers: Vec<Receiver>,
    /// From the first cause of a message until it is sent: what begins together is told together.
    pub group_wait: Duration,
    /// One request to a receiver, the connection included.
    pub timeout: Duration,
    /// A message that a receiver cannot take for so long is given up.
    pub retry_for: Duration,
    /// Messages that wait for one receiver.
    pub queue_max: usize,
}

impl Notify {
    pub const SETTINGS: &'static [Setting<Notify>] = settings![Notify;
        group_wait: Kind::millis(0, 600_000), "causes that begin within this are told in one message";
        timeout: Kind::millis(100, 120_000), "one request to a receiver may take so long";
        retry_for: Kind::seconds(0, 7 * 86_400), "a message that a receiver cannot take for so long is given up";
        queue_max: Kind::count(1, 100_000), "messages that wait for one receiver; past this the oldest is given up";
    ];
}

impl Default for Notify {
    fn default() -> Notify {
        Notify {
            receivers: Vec::new(),
            // An incident shows at several services within two or three ticks.
            group_wait: Duration::from_secs(5),
            // Receivers answer within a second, or are in trouble.
            timeout: Duration::from_secs(10),
            // Longer than an outage of a receiver that somebody notices; older news is none.
            retry_for: Duration::from_secs(3_600),
            // A message a group and change: hours of an outage.
            queue_max: 1_000,
        }
    }
}

/// One place that is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    /// For people; unique.
    pub name: String,
    pub kind: ReceiverKind,
    pub url: String,
    /// Signs a webhook, is the token of an Alertmanager or the routing key of PagerDuty.
    pub secret: Option<Token>,
}

impl Receiver {
    /// As it is printed: an address may be a secret by itself (Slack's is), so only where it leads is shown.
    pub fn written(&self) -> Value {
        let host = self.url.parse::<http::Uri>().ok().and_then(|uri| {
            let origin = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
            Some(if uri.path() == "/" { origin } else { format!("{origin}/…") })
        });
        json!({"name": self.name, "kind": self.kind.as_str(), "url": host.unwrap_or_default()})
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverKind {
    Webhook,
    Alertmanager,
    Slack,
    Pagerduty,
}

impl ReceiverKind {
    pub const NAMES: [&'static str; 4] = ["webhook", "alertmanager", "slack", "pagerduty"];

    pub const fn as_str(self) -> &'static str {
        ReceiverKind::NAMES[self as usize]
    }

    pub fn named(name: &str) -> Option<ReceiverKind> {
        [ReceiverKind::Webhook, ReceiverKind::Alertmanager, ReceiverKind::Slack, ReceiverKind::Pagerduty]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }

    /// Where it is, unless the configuration says otherwise.
    pub const fn default_url(self) -> Option<&'static str> {
        match self {
            ReceiverKind::Pagerduty => Some("https://events.pagerduty.com/v2/enqueue"),
            ReceiverKind::Webhook | ReceiverKind::Alertmanager | ReceiverKind::Slack => None,
        }
    }

    /// The path of its API, where an address names none.
    pub const fn path(self) -> Option<&'static str> {
        match self {
            ReceiverKind::Alertmanager => Some("/api/v2/alerts"),
            ReceiverKind::Webhook | ReceiverKind::Slack | ReceiverKind::Pagerduty => None,
        }
    }
}
