//! A receiver that is down, slow, or in trouble, over real sockets.

use std::collections::VecDeque;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::config::ReceiverKind;
use crate::model::Time;
use crate::notices::groups::{Message, State};
use crate::notices::tests::{notice, receiver};

/// Pauses of a test: real, and short.
const QUICK: Pace = Pace { first: Duration::from_millis(1), most: Duration::from_millis(4) };
const LONG: Duration = Duration::from_secs(60);

/// What the receiver does with a connection; after these it takes everything.
#[derive(Clone, Copy, Debug)]
enum Does {
    Closes,
    NeverAnswers,
    Answers(&'static str),
}

/// Listens, and tells the ids of the messages that it took.
async fn listen(script: Vec<Does>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (taken, ids) = mpsc::channel(100);
    tokio::spawn(async move {
        let (mut script, mut held) = (VecDeque::from(script), Vec::new());
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            match script.pop_front() {
                Some(Does::Closes) => drop(stream),
                Some(Does::NeverAnswers) => held.push(stream),
                Some(Does::Answers(head)) => {
                    read(&mut stream).await;
                    answer(&mut stream, head).await;
                }
                None => {
                    let id = read(&mut stream).await;
                    answer(&mut stream, "HTTP/1.1 204 No Content").await;
                    taken.send(id).await.unwrap();
                }
            }
        }
    });
    (url, ids)
}

/// Reads a whole request; its id.
async fn read(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await.unwrap();
        let line = line.trim();
        if let Some(value) = line.strip_prefix("webhook-id: ") {
            id = value.to_owned();
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.unwrap();
    id
}

async fn answer(stream: &mut TcpStream, head: &str) {
    stream.write_all(format!("{head}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
}

fn message(id: &str) -> Arc<Message> {
    Arc::new(Message {
        id: id.into(),
        at: Time::from_secs(1_764_000_001),
        state: State::Firing,
        rule: "r".into(),
        verdict: "failing".into(),
        firing: vec![notice("auth", 1)],
        resolved: Vec::new(),
        standing: 1,
    })
}

/// Delivers these to a receiver until so many were taken.
async fn deliver(script: Vec<Does>, ids: &[&str], taken: usize, retry_for: Duration) -> (Vec<String>, Arc<Outbox>) {
    let (url, mut came) = listen(script).await;
    let outbox = Arc::new(Outbox::new(receiver(ReceiverKind::Webhook, &url), 10));
    ids.iter().for_each(|id| outbox.push(message(id)));
    let client = Client::new(Duration::from_millis(300)).unwrap();
    let delivering = tokio::spawn(run(outbox.clone(), client, QUICK, retry_for));
    let mut all = Vec::new();
    while all.len() < taken {
        all.push(tokio::time::timeout(LONG, came.recv()).await.unwrap().unwrap());
    }
    // The answer to the last is still on its way.
    while !outbox.is_idle() {
        tokio::task::yield_now().await;
    }
    delivering.abort();
    (all, outbox)
}

#[tokio::test]
async fn a_receiver_in_trouble_gets_everything_once_and_in_order() {
    let script = vec![
        Does::Closes,
        Does::Closes,
        Does::Answers("HTTP/1.1 500 Internal Server Error"),
        Does::Answers("HTTP/1.1 429 Too Many Requests\r\nretry-after: 0"),
        Does::NeverAnswers,
        Does::Answers("HTTP/1.1 503 Service Unavailable"),
    ];
    let (taken, outbox) = deliver(script, &["a", "b", "c"], 3, LONG).await;
    assert_eq!(taken, ["a", "b", "c"]);
    let shown = outbox.shown();
    assert_eq!((shown.counts.delivered, shown.counts.dead, shown.waiting), (3, 0, 0));
    let attempts = |outcome| shown.counts.attempts.get(outcome).copied().unwrap_or(0);
    assert_eq!(["ok", "unavailable", "timed_out"].map(attempts), [3, 3, 1]);
    assert_eq!(attempts("unreachable"), 2);
    assert_eq!(shown.last_failure, None, "it answers again");
}

#[tokio::test]
async fn what_a_receiver_refuses_is_a_dead_letter_and_holds_nothing_up() {
    let (taken, outbox) = deliver(vec![Does::Answers("HTTP/1.1 400 Bad Request")], &["a", "b"], 1, LONG).await;
    assert_eq!(taken, ["b"]);
    let shown = outbox.shown();
    assert_eq!((shown.counts.delivered, shown.counts.dead), (1, 1));
    let dead = &shown.dead_letters[0];
    assert_eq!((dead.message.id.as_str(), dead.reason.as_str()), ("a", "it answered 400"));
}

#[tokio::test]
async fn a_message_is_given_up_after_its_time() {
    let (_, outbox) = deliver(vec![Does::Answers("HTTP/1.1 503 Busy")], &["a"], 0, Duration::ZERO).await;
    let shown = outbox.shown();
    assert_eq!(shown.dead_letters[0].reason, "it answered 503; tried for 0 s (notify.retry_for)");
}

#[test]
fn of_too_many_the_oldest_is_given_up() {
    let outbox = Outbox::new(receiver(ReceiverKind::Webhook, "http://127.0.0.1:1/"), 2);
    ["a", "b", "c"].iter().for_each(|id| outbox.push(message(id)));
    let shown = outbox.shown();
    assert_eq!((shown.waiting, shown.counts.dead), (2, 1));
    assert_eq!(shown.dead_letters[0].message.id, "a");
    assert!(shown.dead_letters[0].reason.contains("notify.queue_max"));
}

#[test]
fn pauses_grow_to_a_bound() {
    let pace = Pace::default();
    for (failures, most) in [(1, 1.0), (2, 2.0), (5, 16.0), (7, 60.0), (4_000_000, 60.0)] {
        let pause = pace.pause(failures).as_secs_f64();
        assert!((most / 2.0..=most).contains(&pause), "{failures}: {pause}");
    }
}
