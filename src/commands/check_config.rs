//! `headroom check-config`: would `serve` start with this file, and mean what it says?

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::answer::Answer;
use super::error::Error;
use super::schedule::sources;
use super::traces::Traces;
use super::{query_files, rule_files, stations};
use crate::analyse::rollup::sql::QueryError;
use crate::clock::Clock;
use crate::config::{self, Config, Problem};
use crate::model::nearest;
use crate::net::check_tls;
use crate::schedule;

/// Check a configuration and all that `serve` would load by it (rules, queries, certificates, calendars): every problem at once.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom check-config headroom.yaml
  headroom check-config headroom.yaml --spans last-week.jsonl.zst
  headroom check-config headroom.yaml --json | jq '.problems[].path'

With --spans each objective must be that of an endpoint in these spans. Calendars are
looked at half a year ahead; feeds are not asked.

Exit codes: 0 no problem; 1 problems were found; 2 a file cannot be read.")]
pub struct Args {
    /// The file, YAML
    file: PathBuf,
    /// Recorded spans that objectives are checked against: OTLP JSON lines, length-prefixed OTLP, Parquet
    #[arg(long, value_name = "FILE")]
    spans: Vec<String>,
    /// Print one JSON document, with the configuration that would be in force
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let checked = Config::load(&args.file);
    let mut notes: Vec<String> = Vec::new();
    let found = match &checked {
        Err(config::Error::Read { .. }) => return Err(checked.map(drop).expect_err("the line above").into()),
        Err(config::Error::Invalid { problems, .. }) => problems.iter().map(Found::of).collect(),
        Err(error) => {
            vec![Found { line: error.to_string(), document: json!({"path": "", "cause": error.to_string()}) }]
        }
        Ok(config) => beyond_the_file(config, &args.file, &args.spans, &mut notes)?,
    };
    let answer = if found.is_empty() { Answer::Yes } else { Answer::No };
    if args.json {
        let mut document = json!({"ok": found.is_empty(), "problems": []});
        if let (Ok(config), true) = (&checked, found.is_empty()) {
            document["config"] = json!(config);
        }
        document["problems"] = found.into_iter().map(|found| found.document).collect();
        document["notes"] = json!(notes);
        writeln!(out, "{document:#}")?;
        return Ok(answer);
    }
    match checked {
        Err(error) => writeln!(out, "{error}")?,
        Ok(_) if found.is_empty() => writeln!(out, "{}: no problem", args.file.display())?,
        Ok(_) => found.iter().try_for_each(|found| writeln!(out, "{}", found.line))?,
    }
    notes.iter().try_for_each(|note| writeln!(out, "note: {note}"))?;
    Ok(answer)
}

/// One thing that is wrong: for people, and for programs.
struct Found {
    line: String,
    document: Value,
}

impl Found {
    fn of(problem: &Problem) -> Found {
        Found { line: problem.to_string(), document: json!(problem) }
    }

    fn in_file(file: &Path, problem: &Problem) -> Found {
        Found { line: format!("{}: {problem}", file.display()), document: json!(problem) }
    }

    fn of_a_calendar(problem: &schedule::Problem) -> Found {
        let schedule::Problem { source, event, cause } = problem;
        let document = json!({"path": "schedule.calendars", "calendar": source, "event": event, "cause": cause});
        Found { line: format!("schedule.calendars: {problem}"), document }
    }

    fn query(error: &QueryError) -> Found {
        let QueryError { file, place, cause, remedy } = error;
        let (line, column) = place.as_ref().map(|place| (place.line, place.column)).unzip();
        let document = json!({
            "path": "analyse.queries", "file": file, "line": line, "column": column, "cause": cause, "remedy": remedy
        });
        Found { line: error.to_string(), document }
    }
}

/// What is wrong with what the configuration names; what is taken for granted of it goes to `notes`.
fn beyond_the_file(
    config: &Config,
    file: &Path,
    spans: &[String],
    notes: &mut Vec<String>,
) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    let (calendars, taken_for_granted) = sources::looked_at(&config.schedule, Clock::system().now())?;
    found.extend(calendars.told().iter().map(Found::of_a_calendar));
    notes.extend(taken_for_granted);
    if let Some(directory) = &config.rules.directory {
        let remedy = "correct the rule; docs/rules.md lists what rules can say";
        found.extend(rule_files::problems(directory, &config.rules.limits).into_iter().map(|cause| {
            let document = json!({"path": "rules.directory", "cause": cause, "remedy": remedy});
            Found { line: cause, document }
        }));
    }
    match query_files::load(&config.analyse) {
        Ok(_) => {}
        Err(Error::Queries { errors }) => found.extend(errors.iter().map(Found::query)),
        Err(error) => return Err(error),
    }
    for (path, tls) in [("receive.tls", &config.receive.tls), ("api.tls", &config.api.tls)] {
        if let Some(Err(error)) = tls.as_ref().map(|tls| check_tls(&stations::tls(tls))) {
            let (path, remedy) = (path.to_owned(), "name PEM files that belong together".to_owned());
            found.push(Found::in_file(file, &Problem { path, cause: error.to_string(), remedy }));
        }
    }
    if !spans.is_empty() {
        let moments = Traces::read(spans)?.moments();
        let endpoints: BTreeSet<&str> = moments.iter().map(|(_, moment)| moment.entry.as_str()).collect();
        found.extend(unmatched(config, &endpoints).iter().map(|problem| Found::in_file(file, problem)));
    }
    Ok(found)
}

/// Endpoints that a remedy names.
const NAMED: usize = 8;

/// Objectives that hold for no endpoint: of no such name, or all of them taken by objectives before.
fn unmatched(config: &Config, endpoints: &BTreeSet<&str>) -> Vec<Problem> {
    let objectives = stations::settings(config).analyse.objectives;
    let mut problems = Vec::new();
    for (index, objective) in objectives.iter().enumerate() {
        let path = || format!("objectives[{index}]");
        let matched: Vec<&str> = endpoints.iter().copied().filter(|entry| objective.matches(entry)).collect();
        if matched.is_empty() {
            let cause = format!("`{}` matches no endpoint of the spans", objective.entry);
            let all: Vec<&str> = endpoints.iter().copied().collect();
            let service = objective.entry.split(' ').next().unwrap_or_default();
            let services: Vec<&str> = all.iter().filter_map(|entry| entry.split(' ').next()).collect();
            let remedy = match nearest(&objective.entry, &all) {
                Some(entry) => format!("did you mean `{entry}`?"),
                None if !services.contains(&service) && nearest(service, &services).is_some() => {
                    format!("did you mean the service `{}`?", nearest(service, &services).unwrap_or_default())
                }
                None => {
                    let more =
                        if all.len() > NAMED { format!(" and {} more", all.len() - NAMED) } else { String::new() };
                    format!("the endpoints are {}{more}", all[..all.len().min(NAMED)].join(", "))
                }
            };
            problems.push(Problem { path: path(), cause, remedy });
        } else if matched.iter().all(|entry| objectives[..index].iter().any(|before| before.matches(entry))) {
            let cause =
                format!("`{}` holds for no endpoint: objectives before it match all of its own", objective.entry);
            problems.push(Problem { path: path(), cause, remedy: "write the narrower objective first".into() });
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIELD 23: objectives that match nothing were never reported.
    #[test]
    fn objectives_that_hold_for_no_endpoint_are_told() {
        let text = "objectives:\n  - {entry: \"ingress POST /login\", latency: 1s}\n  - {service: ingres}\n  \
                    - {entry: \"* GET /exam*\"}\n  - {entry: \"ingress GET /exam\"}\n";
        let config = Config::parse(text, Path::new("headroom.yaml")).unwrap();
        let endpoints = BTreeSet::from(["shop/ingress POST /login", "ingress GET /exam"]);
        let told: Vec<String> = unmatched(&config, &endpoints).iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
