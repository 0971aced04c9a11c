//! PagerDuty's Events API v2: an alert a group, which is triggered while anything of it stands and resolved with the last.

use http::Uri;
use serde_json::json;

use super::{Message, Posted, json as posted_json};
use crate::notices::groups::State;

/// PagerDuty cuts longer summaries.
const SUMMARY_CHARACTERS_MAX: usize = 1_024;

pub fn posted(uri: Uri, routing_key: &str, message: &Message) -> Posted {
    let group = message.group();
    // The same for all of a group, so that what is triggered is what is resolved, and a repetition opens nothing new.
    let key = format!("headroom/{group}");
    let summary: String = message.title().chars().take(SUMMARY_CHARACTERS_MAX).collect();
    let event = match message.state {
        State::Resolved => json!({"routing_key": routing_key, "event_action": "resolve", "dedup_key": key}),
        State::Firing => json!({
            "routing_key": routing_key,
            "event_action": "trigger",
            "dedup_key": key,
            "payload": {
                "summary": summary,
                "source": "headroom",
                "severity": "warning",
                "timestamp": message.at.to_string(),
                "component": message.firing.first().map(|notice| notice.service.as_str()),
                "group": group,
                "class": message.verdict,
                "custom_details": {"causes": message.lines(), "standing": message.standing},
            },
        }),
    };
    posted_json(uri, &event)
}
