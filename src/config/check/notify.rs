//! Receivers of notices.

use super::{At, Checker};
use crate::config::{Notify, Receiver, ReceiverKind};

impl Checker<'_> {
    pub(super) fn notify(&mut self, at: &At<'_>) -> Notify {
        let mut notify = self.settings(at, Notify::SETTINGS, Notify::default());
        for (index, node) in at.node.list("receivers").iter().enumerate() {
            let path = format!("{}[{index}]", at.key("receivers"));
            let Some(receiver) = self.receiver(&At { path: path.clone(), node }) else { continue };
            if notify.receivers.iter().any(|other| other.name == receiver.name) {
                let cause = format!("`{}` is the name of another receiver", receiver.name);
                self.problem(&format!("{path}.name"), cause, "give each a name of its own");
            }
            notify.receivers.push(receiver);
        }
        notify
    }

    fn receiver(&mut self, at: &At<'_>) -> Option<Receiver> {
        let names = ReceiverKind::NAMES;
        if at.node.text("kind").is_none() {
            self.problem(&at.key("kind"), "is missing", format!("write one of {}", names.join(", ")));
        }
        let kind = self.choice(&at.key("kind"), at.node.text("kind"), &names).and_then(ReceiverKind::named)?;
        let name = at.node.text("name").filter(|name| !name.is_empty()).unwrap_or(kind.as_str()).to_owned();
        let secret = match kind {
            ReceiverKind::Webhook => self.signing_secret(at),
            ReceiverKind::Alertmanager | ReceiverKind::Slack | ReceiverKind::Pagerduty => {
                self.token_of(at, "secret", "secret_file")
            }
        };
        let was_written = at.node.text("secret").is_some() || at.node.text("secret_file").is_some();
        if kind == ReceiverKind::Pagerduty && !was_written {
            self.problem(&at.key("secret_file"), "is missing", "name the file that holds the routing key");
        }
        let url = self.url(at, kind)?;
        Some(Receiver { name, kind, url, secret })
    }

    fn url(&mut self, at: &At<'_>, kind: ReceiverKind) -> Option<String> {
        let Some(text) = at.node.text("url").or(kind.default_url()) else {
            self.problem(
                &at.key("url"),
                "is missing",
                "write where it is reached, such as https://hooks.example/headroom",
            );
            return None;
        };
        let uri = text.trim().parse::<http::Uri>().ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
        });
        let Some(uri) = uri else {
            // What was written may be a secret, so it is not repeated.
            self.problem(&at.key("url"), "is no address", "write http:// or https:// and a host");
            return None;
        };
        let path = kind.path().filter(|_| matches!(uri.path(), "" | "/"));
        Some(format!("{}{}", text.trim().trim_end_matches('/'), path.unwrap_or_default()))
    }
}
