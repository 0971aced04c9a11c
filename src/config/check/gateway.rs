//! Where gateways ask, and what is said of their traffic.

use http::HeaderName;

use super::{At, Checker};
use crate::config::{Gateway, PRIORITY_MAX, Pattern, Priority};

impl Checker<'_> {
    pub(super) fn gateway(&mut self, at: &At<'_>) -> Gateway {
        let default = Gateway::default();
        let domain = at.node.text("domain").map_or(default.domain.clone(), str::to_owned);
        let read = Gateway {
            token: self.token(at),
            tls: self.tls(at),
            domain,
            priorities: self.priorities(at),
            client_header: self.header(at, "client_header"),
            priority_header: self.header(at, "priority_header"),
            retry_header: self.header(at, "retry_header"),
            ..default
        };
        let gateway = self.settings(at, Gateway::SETTINGS, read);
        if let Some(listen) = gateway.listen.filter(|_| !at.authenticates()) {
            let remedy = "add gateway.token_file or gateway.tls.client_ca, or listen on 127.0.0.1";
            self.loopback(&at.key("listen"), listen, remedy);
        }
        gateway
    }

    fn priorities(&mut self, at: &At<'_>) -> Vec<Priority> {
        let mut priorities = Vec::new();
        for (index, node) in at.node.list("priorities").iter().enumerate() {
            let at = At { path: format!("{}[{index}]", at.key("priorities")), node };
            let Some(entry) = node.text("entry") else {
                self.problem(&at.path, "needs `entry`", "add entry: \"service operation\"");
                continue;
            };
            let written = node.text("priority").unwrap_or_default();
            match written.parse() {
                Ok(priority) if priority <= PRIORITY_MAX => {
                    priorities.push(Priority { entry: Pattern::new(entry), priority });
                }
                _ => {
                    let cause = if written.is_empty() {
                        "is missing".to_owned()
                    } else {
                        format!("`{written}` is no priority")
                    };
                    let remedy = format!("write 0 (shed first) to {PRIORITY_MAX} (shed last)");
                    self.problem(&at.key("priority"), cause, remedy);
                }
            }
        }
        priorities
    }

    /// In lower case, as gateways hand headers over.
    fn header(&mut self, at: &At<'_>, key: &str) -> Option<String> {
        let written = at.node.text(key)?.to_ascii_lowercase();
        if HeaderName::try_from(written.as_str()).is_err() {
            self.problem(&at.key(key), format!("`{written}` is no name of a header"), "write one such as x-client-id");
            return None;
        }
        Some(written)
    }
}
