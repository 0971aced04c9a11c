//! `headroom pause` and `headroom resume`: the switch that stops every action, with who and why.

use std::io::Write;

use serde_json::json;

use super::answer::Answer;
use super::client::Server;
use super::error::Error;

/// Stop acting: bottlenecks are still found, every proposal is refused.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom pause --reason 'load test until 15:00'
  headroom pause --by ada --reason 'migration' --server http://headroom:8080")]
pub struct PauseArgs {
    #[command(flatten)]
    switch: Switch,
}

/// Act again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom resume --reason 'load test is over'")]
pub struct ResumeArgs {
    #[command(flatten)]
    switch: Switch,
}

#[derive(clap::Args)]
struct Switch {
    /// Why; it goes into the journal
    #[arg(long)]
    reason: String,
    /// Who asks for it
    #[arg(long, env = "USER")]
    by: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

pub fn pause(args: PauseArgs, out: &mut dyn Write) -> Result<Answer, Error> {
    turn(&args.switch, "pause", "paused", out)
}

pub fn resume(args: ResumeArgs, out: &mut dyn Write) -> Result<Answer, Error> {
    turn(&args.switch, "resume", "resumed", out)
}

fn turn(switch: &Switch, path: &str, done: &str, out: &mut dyn Write) -> Result<Answer, Error> {
    let answer = switch.server.post(&[path], &json!({"by": switch.by, "reason": switch.reason}))?;
    if switch.json {
        writeln!(out, "{answer}")?;
    } else {
        writeln!(out, "{done} by {}: {}", switch.by, switch.reason)?;
    }
    Ok(Answer::Yes)
}
