//! `headroom top`: endpoints and services of a running server, live in the terminal.

mod board;
mod screen;

use std::io::Write;
use std::time::Duration;

use serde_json::json;

use super::answer::Answer;
use super::client::Server;
use super::error::Error;
use super::output::{Table, TableOutput};
use super::terminal::Terminal;
use crate::config::parse_duration;
use board::{Board, Sort};

/// Show endpoints against their objectives and services with verdict, load, capacity and replicas, live.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom top
  headroom top --sort load --every 5s --server http://headroom:8080
  headroom top --json | jq '.services[] | select(.verdict != \"healthy\")'

Keys: v n l h w sort by verdict, name, load, headroom, waiting; up and down choose
a service, Enter or e explains it; q ends. Where standard output is no terminal, or
with --output or --json, it is printed once.

Exit codes: 0 done; 2 usage or input error, or no server.")]
pub struct Args {
    /// What services are sorted by
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// How often it is asked anew
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = every)]
    every: Duration,
    #[command(flatten)]
    output: TableOutput,
    #[command(flatten)]
    server: Server,
}

fn every(text: &str) -> Result<Duration, String> {
    let least = Duration::from_millis(200);
    parse_duration(text)
        .filter(|every| *every >= least)
        .ok_or_else(|| "write a duration from 200ms on, such as 2s".into())
}

/// Decisions that are looked through for the last action of each service.
const DECISIONS: &str = "1000";

/// What the server knows now.
fn ask(server: &Server) -> Result<Board, Error> {
    let status = server.get(&["status"])?;
    let findings = server.get(&["findings"])?;
    let decisions = server.get_with(&["decisions"], &[("limit", DECISIONS)])?;
    Ok(Board::of(&status, &findings, &decisions))
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let mut board = ask(&args.server)?;
    board.sort(args.sort);
    if !args.output.is_asked_for()
        && let Some(terminal) = Terminal::enter(out)?
    {
        screen::show(&args, terminal, board, out)?;
        return Ok(Answer::Yes);
    }
    let wide = args.output.is_wide();
    args.output.print(&json!(board), &[Table(board.entry_rows()), Table(board.service_rows(wide))], out)?;
    Ok(Answer::Yes)
}
