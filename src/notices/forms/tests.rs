//! Each form as its receiver gets it.

use super::webhook::signature;
use super::*;
use crate::notices::groups::State;
use crate::notices::tests::{notice, receiver};

fn message(state: State) -> Message {
    let causes = vec![notice("shop/checkout", 1), notice("shop/<cart>", 2)];
    let (firing, resolved) = if state == State::Firing { (causes, Vec::new()) } else { (Vec::new(), causes) };
    Message {
        id: "m-1".into(),
        at: Time::from_secs(1_764_000_200),
        state,
        rule: "notify_slow_dependency".into(),
        verdict: "slow_dependency".into(),
        standing: firing.len(),
        firing,
        resolved,
    }
}

/// Headers and body of a message to a receiver of this kind.
fn shown(kind: ReceiverKind, state: State) -> String {
    let posted =
        posted(&receiver(kind, "https://hooks.example/x"), &message(state), Time::from_secs(1_764_000_201)).unwrap();
    let mut out = format!("{}\n{}\n", posted.uri, posted.content_type);
    posted.headers.iter().for_each(|(name, value)| out.push_str(&format!("{name}: {value}\n")));
    let body: Value = serde_json::from_slice(&posted.body).unwrap();
    format!("{out}{body:#}")
}

#[test]
fn a_webhook_is_a_signed_cloud_event() {
    insta::assert_snapshot!(shown(ReceiverKind::Webhook, State::Firing));
}

#[test]
fn alertmanager_gets_an_alert_a_cause() {
    insta::assert_snapshot!(shown(ReceiverKind::Alertmanager, State::Resolved));
}

#[test]
fn slack_gets_a_text() {
    insta::assert_snapshot!(shown(ReceiverKind::Slack, State::Firing));
}

#[test]
fn pagerduty_is_triggered_and_resolved_by_one_key() {
    let both = [State::Firing, State::Resolved].map(|state| shown(ReceiverKind::Pagerduty, state));
    insta::assert_snapshot!(both.join("\n\n"));
}

/// As another implementation of HMAC-SHA256 signs it.
#[test]
fn the_signature_is_that_of_standard_webhooks() {
    assert_eq!(
        signature(b"correct-horse-battery", "m-1", 1_764_000_000, "{}"),
        "v1,qdzpZNCPWKi7V5iyz8/6q8KC/quq3zTmwllBHWTP9pU="
    );
}
