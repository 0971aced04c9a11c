//! `headroom pause` and `headroom resume`: the switch that stops actions, with who and why.

use std::io::Write;

use serde_json::{Value, json};

use super::answer::Answer;
use super::client::Server;
use super::error::Error;
use super::output::Output;
use crate::model::printable;

/// Stop acting, on everything or on one service: bottlenecks are still found, every proposal is refused.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom pause --reason 'load test until 15:00' --for 1h
  headroom pause auth --reason 'migration' --by ada --server http://headroom:8080

It holds at once, and `headroom status` shows it; a restart of headroom ends it.
Without a token of one's own the journal marks the name as claimed.

Exit codes: 0 paused; 2 usage or input error, or no server.")]
pub struct PauseArgs {
    /// This service alone, by its identity or bare name
    service: Option<String>,
    /// Resume by itself after this, such as 30m or 2h
    #[arg(long = "for", value_name = "DURATION")]
    lasting: Option<String>,
    #[command(flatten)]
    switch: Switch,
}

/// Act again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom resume --reason 'load test is over'
  headroom resume auth --reason 'migrated'

Without a service it resumes everything, what was paused by service included.

Exit codes: 0 resumed; 2 usage or input error, or no server.")]
pub struct ResumeArgs {
    /// This service alone, as it was paused
    service: Option<String>,
    #[command(flatten)]
    switch: Switch,
}

#[derive(clap::Args)]
struct Switch {
    /// Why; it goes into the journal
    #[arg(long)]
    reason: String,
    /// Who asks for it, where no token of one's own says so
    #[arg(long, env = "USER")]
    by: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

/// Whoever runs this, where no environment says a name, as in a container.
fn this_user() -> String {
    let uid = std::fs::metadata("/proc/self").map(|process| std::os::unix::fs::MetadataExt::uid(&process));
    uid.map_or_else(|_| "nobody known".into(), |uid| format!("uid {uid}"))
}

pub fn pause(args: PauseArgs, out: &mut dyn Write) -> Result<Answer, Error> {
    let asked = json!({"service": args.service, "for": args.lasting});
    turn(&args.switch, "pause", asked, out)
}

pub fn resume(args: ResumeArgs, out: &mut dyn Write) -> Result<Answer, Error> {
    turn(&args.switch, "resume", json!({"service": args.service}), out)
}

fn turn(switch: &Switch, path: &str, mut asked: Value, out: &mut dyn Write) -> Result<Answer, Error> {
    asked["by"] = json!(switch.by.clone().unwrap_or_else(this_user));
    asked["reason"] = json!(switch.reason);
    let answer = switch.server.post(&[path], &asked)?;
    if !switch.output.document(&answer, out)? {
        sentences(&answer).iter().try_for_each(|line| writeln!(out, "{}", printable(line)))?;
    }
    Ok(Answer::Yes)
}

/// What was done, and what stays paused.
fn sentences(answer: &Value) -> Vec<String> {
    let text = |of: &Value, key: &str| of[key].as_str().map(str::to_owned);
    let done = if answer["paused"] == true { "paused" } else { "resumed" };
    let what = text(answer, "service").unwrap_or_else(|| "everything".into());
    let until = text(answer, "until").map(|until| format!(", until {until}")).unwrap_or_default();
    let mut lines = vec![format!("{done} {what} by {}{until}", text(answer, "by").unwrap_or_default())];
    lines.extend(text(answer, "note").map(|note| format!("note: {note}")));
    let pauses = answer["pauses"].as_array().map(Vec::as_slice).unwrap_or_default();
    for pause in pauses.iter().filter(|pause| done == "resumed" || pause["service"] != answer["service"]) {
        let what = text(pause, "service").unwrap_or_else(|| "everything".into());
        lines.push(format!("still paused: {what}, by {}", text(pause, "by").unwrap_or_default()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_paused_is_said() {
        let all = json!({"service": null, "by": "ada: load test"});
        let answer = json!({"paused": false, "service": "auth", "by": "bob: done", "pauses": [all]});
        assert_eq!(sentences(&answer), ["resumed auth by bob: done", "still paused: everything, by ada: load test"]);
        let answer =
            json!({"paused": true, "service": null, "by": "ada: load test", "until": "15:00", "pauses": [all]});
        assert_eq!(sentences(&answer), ["paused everything by ada: load test, until 15:00"]);
    }
}
