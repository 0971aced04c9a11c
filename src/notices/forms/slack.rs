//! Slack's incoming webhook, which Mattermost and Rocket.Chat take too: one text in its markup.

use http::Uri;
use serde_json::json;

use super::{Message, Posted, json as posted_json};

pub fn posted(uri: Uri, message: &Message) -> Posted {
    let mut text = format!("*[{}] {}*", message.state.as_str(), escaped(&message.title()));
    for line in message.lines() {
        text.push_str(&format!("\n\u{2022} {}", escaped(&line)));
    }
    let told = message.firing.len();
    if message.standing > told && told > 0 {
        text.push_str(&format!("\n{} stand in all", message.standing));
    }
    posted_json(uri, &json!({"text": text}))
}

/// The three characters that its markup is made of.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
