//! A CloudEvent (1.0, structured JSON), signed as Standard Webhooks has it: HMAC-SHA256 over id, time and body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use ring::hmac;
use serde_json::json;

use super::{Message, Posted};
use crate::model::Time;

pub fn posted(uri: Uri, key: Option<&[u8]>, message: &Message, sent_at: Time) -> Posted {
    let event = json!({
        "specversion": "1.0",
        "id": message.id,
        "source": "/headroom",
        "type": format!("dev.headroom.notice.{}", message.state.as_str()),
        "subject": message.group(),
        "time": message.at.to_string(),
        "datacontenttype": "application/json",
        "data": {
            "title": message.title(),
            "state": message.state,
            "rule": message.rule,
            "verdict": message.verdict,
            "firing": message.firing,
            "resolved": message.resolved,
            "standing": message.standing,
        },
    });
    let body = event.to_string();
    // Of this request, as receivers refuse old ones; the id is the message's.
    let seconds = sent_at.second();
    let mut headers = vec![
        ("idempotency-key", message.id.clone()),
        ("webhook-id", message.id.clone()),
        ("webhook-timestamp", seconds.to_string()),
    ];
    if let Some(key) = key {
        headers.push(("webhook-signature", signature(key, &message.id, seconds, &body)));
    }
    Posted { uri, content_type: "application/cloudevents+json; charset=utf-8", headers, body: body.into() }
}

/// `v1,` and the HMAC-SHA256 of `id.timestamp.body` by these bytes, in Base64.
pub fn signature(key: &[u8], id: &str, seconds: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}
