//! `headroom status`: what holds requests back now, what is paused, and what is under way.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use super::answer::Answer;
use super::client::Server;
use super::error::Error;
use super::output::{Table, TableFormat, TableOutput};
use crate::config::parse_duration;
use crate::model::printable;

/// Show what a running `headroom serve` finds and does: mode, pauses, bottleneck, open interventions.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom status
  headroom status -o wide
  headroom status --watch 5s
  headroom status --json | jq -r .bottleneck.service

Exit codes: 0 answered; 2 usage or input error, or no server.")]
pub struct Args {
    #[command(flatten)]
    output: TableOutput,
    /// Ask again every so often until it is ended, each answer below the one before
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "2s", value_parser = every)]
    watch: Option<Duration>,
    #[command(flatten)]
    server: Server,
}

fn every(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|every| !every.is_zero()).ok_or_else(|| "write a duration, such as 2s".into())
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    loop {
        let status = args.server.get(&["status"])?;
        let told = lines(&status, args.output.is_wide());
        match args.output.format() {
            TableFormat::Text | TableFormat::Wide => {
                told.iter().try_for_each(|(what, text)| writeln!(out, "{what:<14}{}", printable(text)))?;
            }
            TableFormat::Csv => {
                let head = ["what", "text"].map(str::to_owned).to_vec();
                // A line without a heading goes on with the one above.
                let mut heading = "";
                let rows = told.into_iter().map(|(what, text)| {
                    heading = if what.is_empty() { heading } else { what };
                    vec![heading.to_owned(), text]
                });
                args.output.print(&status, &[Table([head].into_iter().chain(rows).collect())], out)?;
            }
            TableFormat::Json | TableFormat::Yaml => args.output.print(&status, &[], out)?,
        }
        let Some(every) = args.watch else { return Ok(Answer::Yes) };
        if matches!(args.output.format(), TableFormat::Text | TableFormat::Wide) {
            writeln!(out)?;
        }
        out.flush()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        runtime.block_on(async { tokio::time::sleep(every).await });
    }
}

/// What each line is about (empty: goes on), and its text.
fn lines(status: &Value, wide: bool) -> Vec<(&'static str, String)> {
    let text = |of: &Value, key: &str| of[key].as_str().unwrap_or("unknown").to_owned();
    let mut lines = vec![("mode", text(status, "mode"))];
    lines.extend(headed(
        "paused",
        "nothing",
        list(&status["pauses"], |pause| {
            let what = pause["service"].as_str().unwrap_or("everything");
            let until = pause["until"].as_str().map(|until| format!(", until {until}")).unwrap_or_default();
            format!("{what}, by {}{until}", text(pause, "by"))
        }),
    ));
    lines.push(("bottleneck", text(status, "summary")));
    lines.extend(headed(
        "interventions",
        "none open",
        list(&status["interventions"], |open| {
            let stage = text(open, "stage").replace('_', " ");
            format!(
                "{} {} {} -> {} ({stage}): {}",
                text(open, "id"),
                text(open, "service"),
                open["from"],
                open["to"],
                text(open, "reason")
            )
        }),
    ));
    if wide {
        lines.push(("at", text(status, "at")));
        lines.push(("complete to", text(status, "complete_to")));
        let spans = &status["spans"];
        let of = |key: &str| spans[key].as_u64().unwrap_or_default();
        lines.push((
            "spans",
            format!(
                "{} received, {} admitted, {} held, {} traces open",
                of("received"),
                of("admitted"),
                of("held"),
                of("open_traces")
            ),
        ));
        lines.push(("memory", format!("{} MiB", of("resident_bytes") >> 20)));
        lines.push(("version", text(status, "version")));
    }
    lines
}

fn list(of: &Value, line: impl Fn(&Value) -> String) -> Vec<String> {
    of.as_array().map(|all| all.iter().map(line).collect()).unwrap_or_default()
}

/// The heading stands before the first line; `none` where there is none.
fn headed(heading: &'static str, none: &str, lines: Vec<String>) -> Vec<(&'static str, String)> {
    let lines = if lines.is_empty() { vec![none.to_owned()] } else { lines };
    lines.into_iter().enumerate().map(|(n, line)| (if n == 0 { heading } else { "" }, line)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_reads_from_the_top() {
        let status = json!({
            "version": "0.1.0", "at": "2026-11-24T14:03:07.000Z", "complete_to": "2026-11-24T14:03:05.000Z",
            "mode": "enforce", "summary": "no bottleneck",
            "pauses": [
                {"service": null, "by": "ada: load test", "since": "x", "until": "2026-11-24T14:33:07.000Z"},
                {"service": "auth", "by": "bob (claimed): migration", "since": "x", "until": null},
            ],
            "interventions": [{"id": "i-1-1", "service": "cart", "from": 2, "to": 6, "stage": "judging", "reason": "all 6 pods ready"}],
            "spans": {"received": 10, "admitted": 9, "held": 8, "open_traces": 1, "resident_bytes": 5_u64 << 20},
        });
        let shown =
            |wide| lines(&status, wide).iter().map(|(what, text)| format!("{what}: {text}")).collect::<Vec<_>>();
        assert_eq!(
            shown(false),
            [
                "mode: enforce",
                "paused: everything, by ada: load test, until 2026-11-24T14:33:07.000Z",
                ": auth, by bob (claimed): migration",
                "bottleneck: no bottleneck",
                "interventions: i-1-1 cart 2 -> 6 (judging): all 6 pods ready",
            ]
        );
        assert!(shown(true).contains(&"memory: 5 MiB".to_owned()));
        let calm = json!({"mode": "observe", "summary": "no bottleneck", "pauses": [], "interventions": []});
        assert!(lines(&calm, false).contains(&("paused", "nothing".into())));
    }
}
