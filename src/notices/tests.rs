//! From what stands to who is told.

use futures::stream;

use super::*;
use crate::engine::Notice;
use crate::model::{DecisionId, Time};

pub fn notice(service: &str, n: u32) -> Notice {
    Notice {
        decision: DecisionId::new(1_764_000_000, n),
        rule: "notify_slow_dependency".into(),
        service: service.into(),
        verdict: "slow_dependency".into(),
        message: format!("{service} waits for postgres; check that dependency: more replicas will not help"),
        because: "shop/web POST /login: p99 900 ms (objective 300 ms)".into(),
        since: Time::from_secs(1_764_000_000),
    }
}

pub fn receiver(kind: ReceiverKind, url: &str) -> config::Receiver {
    let secret = Some(config::Token::new("correct-horse-battery"));
    config::Receiver { name: kind.as_str().into(), kind, url: url.into(), secret }
}

#[tokio::test]
async fn what_begins_together_waits_for_every_receiver_in_one_message() {
    let receivers = vec![
        receiver(ReceiverKind::Webhook, "http://127.0.0.1:1/"),
        receiver(ReceiverKind::Slack, "http://127.0.0.1:1/"),
    ];
    let settings = config::Notify { receivers, group_wait: Duration::ZERO, ..config::Notify::default() };
    let notices = Notices::new(&settings);
    let outboxes = notices.outboxes();
    let standing = Standing {
        notices: (0..100).map(|n| notice(&format!("s{n}"), n)).collect(),
        follows: false,
        at: Time::from_secs(1_764_000_001),
    };
    let following = notices.follow(stream::iter([standing]).chain(stream::pending()).boxed());
    let told = async {
        for outbox in &outboxes {
            let (message, _) = outbox.next().await;
            assert_eq!((message.firing.len(), outbox.shown().waiting), (100, 1));
        }
    };
    tokio::select! {
        () = following => panic!("nobody publishes any more"),
        () = told => {}
    }
}
