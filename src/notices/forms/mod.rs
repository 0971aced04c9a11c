//! How each kind of receiver wants to be told.

mod alertmanager;
mod pagerduty;
mod slack;
mod webhook;

use bytes::Bytes;
use http::Uri;
use serde_json::Value;

use super::groups::Message;
use crate::config::{Receiver, ReceiverKind, Token};
use crate::model::Time;

/// One request.
#[derive(Clone, Debug)]
pub struct Posted {
    pub uri: Uri,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// A message in the form of its receiver, sent at an instant of the wall clock.
///
/// # Errors
/// The receiver's address is none; the configuration has checked it, so that does not happen.
pub fn posted(receiver: &Receiver, message: &Message, sent_at: Time) -> Result<Posted, String> {
    let uri: Uri = receiver.url.parse().map_err(|error| format!("{} is no address: {error}", receiver.name))?;
    let secret = receiver.secret.as_ref().map(|secret| secret.reveal());
    Ok(match receiver.kind {
        ReceiverKind::Webhook => {
            let key = receiver.secret.as_ref().map(Token::signing_key).transpose();
            let key = key.map_err(|cause| format!("the secret of {}: {cause}", receiver.name))?;
            webhook::posted(uri, key.as_deref(), message, sent_at)
        }
        ReceiverKind::Alertmanager => alertmanager::posted(uri, secret, message),
        ReceiverKind::Slack => slack::posted(uri, message),
        ReceiverKind::Pagerduty => pagerduty::posted(uri, secret.unwrap_or_default(), message),
    })
}

fn json(uri: Uri, body: &Value) -> Posted {
    Posted { uri, content_type: "application/json", headers: Vec::new(), body: Bytes::from(body.to_string()) }
}

#[cfg(test)]
mod tests;
