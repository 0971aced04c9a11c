//! `headroom notify-test`: are the receivers of notices reached, and do they take what they are sent?

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::answer::Answer;
use super::error::Error;
use crate::clock::{Clock, Stopwatch};
use crate::config::{Config, Receiver};
use crate::engine::Notice;
use crate::model::{DecisionId, Time};
use crate::notices::client::{Client, Failure};
use crate::notices::forms;
use crate::notices::groups::{Message, State};

/// Send a test message to each receiver of `notify`, and one that says it is over.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom notify-test --config headroom.yaml
  headroom notify-test --config headroom.yaml --receiver on-call

Each receiver gets two messages, as it would from `headroom serve`: that something
is wrong, and that it is over. They say that they are a test.

Exit codes: 0 all took both; 1 one did not; 2 usage or input error, or no receiver.")]
pub struct Args {
    /// Configuration, YAML
    #[arg(long, short, value_name = "FILE", env = "HEADROOM_CONFIG")]
    config: PathBuf,
    /// This one alone
    #[arg(long, value_name = "NAME")]
    receiver: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What became of a receiver's two messages.
struct Tried {
    receiver: Receiver,
    took_ms: f64,
    failure: Option<String>,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let config = Config::load(&args.config)?;
    let names: Vec<&str> = config.notify.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    let wanted = |receiver: &&Receiver| args.receiver.as_ref().is_none_or(|name| receiver.name == *name);
    let receivers: Vec<Receiver> = config.notify.receivers.iter().filter(wanted).cloned().collect();
    if receivers.is_empty() {
        let known = if names.is_empty() { "none is configured".into() } else { names.join(", ") };
        return Err(Error::NoReceiver { known });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let client = Client::new(config.notify.timeout).map_err(Error::Notices)?;
    let tried: Vec<Tried> =
        receivers.into_iter().map(|receiver| runtime.block_on(try_one(&client, receiver))).collect();
    let answer = if tried.iter().all(|one| one.failure.is_none()) { Answer::Yes } else { Answer::No };
    if args.json {
        let one = |tried: &Tried| {
            let Tried { receiver, took_ms, failure } = tried;
            json!({"receiver": receiver.name, "kind": receiver.kind.as_str(), "delivered": failure.is_none(), "took_ms": took_ms, "failure": failure})
        };
        writeln!(out, "{:#}", json!({"receivers": tried.iter().map(one).collect::<Vec<_>>()}))?;
        return Ok(answer);
    }
    for Tried { receiver, took_ms, failure } in &tried {
        let said = match failure {
            None => format!("delivered in {took_ms:.0} ms"),
            Some(failure) => format!("not delivered: {failure}"),
        };
        writeln!(out, "{} ({}): {said}", receiver.name, receiver.kind.as_str())?;
    }
    Ok(answer)
}

async fn try_one(client: &Client, receiver: Receiver) -> Tried {
    let stopwatch = Stopwatch::start();
    let mut failure = None;
    for state in [State::Firing, State::Resolved] {
        let now = Clock::system().now();
        let outcome = match forms::posted(&receiver, &message(state, now), now) {
            Ok(posted) => client.post(&posted).await.map_err(|failure| in_words(&failure)),
            Err(reason) => Err(reason),
        };
        failure = failure.or(outcome.err());
    }
    Tried { receiver, took_ms: stopwatch.elapsed().as_secs_f64() * 1e3, failure }
}

/// With what to look at.
fn in_words(failure: &Failure) -> String {
    let remedy = match failure {
        Failure::Refused { status: 401 | 403, .. } => "check its secret",
        Failure::Refused { status: 404, .. } => "check the path of its url",
        Failure::Refused { .. } => "check its kind and url",
        Failure::Unavailable { .. } => "try again later; headroom would",
        Failure::Unreachable { .. } => "check its url, and that this machine may reach it",
        Failure::TimedOut { .. } => "check its url, or raise notify.timeout",
    };
    format!("{failure}; {remedy}")
}

fn message(state: State, now: Time) -> Message {
    let notice = Notice {
        decision: DecisionId::new(now.second(), 0),
        rule: "notify_test".into(),
        service: "headroom-test".into(),
        verdict: String::new(),
        message: "this is a test of headroom's notices; nothing is wrong".into(),
        because: "somebody ran headroom notify-test".into(),
        since: now,
    };
    let id = format!("notify_test.{}.{}", state.as_str(), now.0);
    let (firing, resolved, standing) = match state {
        State::Firing => (vec![notice], Vec::new(), 1),
        State::Resolved => (Vec::new(), vec![notice], 0),
    };
    Message { id, at: now, state, rule: "notify_test".into(), verdict: String::new(), firing, resolved, standing }
}
