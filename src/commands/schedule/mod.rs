//! `headroom schedule`: what is planned, what it raises, why, and what that costs.

mod manifests;
mod page;
mod patch;
pub mod sources;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::answer::Answer;
use super::client::Server;
use super::error::Error;
use super::output::{Format, Output};
use crate::analyse::{Demand, Learnt};
use crate::api::Planning;
use crate::clock::Clock;
use crate::config::{Config, parse_duration};
use crate::disk;
use crate::model::Time;
use crate::schedule::plan::Learned;
use crate::schedule::{Inputs, Kept, Planned, Problem, Problems, agreed, plan};

/// Show what is planned: each event of the calendars, what it raises, why, and what that costs; or what a calendar would mean.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  headroom schedule                                 what a running headroom plans
  headroom schedule --config headroom.yaml          what the calendars of a file would mean
  headroom schedule --config headroom.yaml --from 2026-11-30T00:00 --ahead 14d --json
  headroom schedule plan lectures.ics --config headroom.yaml > capacity-events.yaml
  headroom schedule plan lectures --config headroom.yaml --into apps/capacity-events.yaml \\
    | git apply --allow-empty

A running headroom is asked where no --config is given; it knows feeds and what
registrars changed, too. With --config, what was learnt (pods' start-up times, what
requests ask of which service) is read from `learnt.path` there, or from --learnt.

Exit codes: 0 shown; 1 something of a calendar was left out; 2 usage or input error."
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    output: Output,
}

#[derive(clap::Subcommand)]
enum Command {
    Plan(PlanArgs),
}

/// Print the floors that a calendar would mean, as CapacityEvents to be kept in Git
#[derive(clap::Args)]
#[command(after_help = "A calendar that the configuration lists is read as it says there (zone, participants).

With --into, what stands in the file of other calendars, and what people wrote, stays.
Where nothing is to change nothing is printed, which `git apply` takes with --allow-empty.

Exit codes: 0 printed; 1 something of the calendar was left out; 2 usage or input error.")]
struct PlanArgs {
    /// An iCalendar file, or the name of one under schedule.calendars
    #[arg(value_name = "CALENDAR")]
    calendar: PathBuf,
    #[command(flatten)]
    asked: Asked,
    /// Print a patch that makes this file say so, for `git apply`
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
    /// The namespace of the CapacityEvents
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
}

/// What is looked at, and by what.
#[derive(clap::Args)]
struct Asked {
    /// The configuration that names calendars and kinds of events
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What was learnt, as headroom keeps it; without it that of the configuration
    #[arg(long, value_name = "FILE")]
    learnt: Option<PathBuf>,
    /// From when on: a day or a time, of UTC where it has no offset; without it from now on
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Time>,
    /// How far ahead
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = parse_ahead)]
    ahead: Duration,
}

fn parse_time(text: &str) -> Result<Time, String> {
    Time::parse(text).ok_or_else(|| "write a day or a time such as 2026-11-30 or 2026-11-30T08:00+01:00".to_owned())
}

/// Twice a term: what is further away is replanned before.
const AHEAD_MAX: Duration = Duration::from_secs(366 * 86_400);

fn parse_ahead(text: &str) -> Result<Duration, String> {
    let ahead = parse_duration(text).filter(|ahead| *ahead <= AHEAD_MAX);
    ahead.ok_or_else(|| "write a duration up to 366d, such as 7d".to_owned())
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    match args.command {
        Some(Command::Plan(of)) => patch::run(&of, out),
        None => show(&args.asked, &args.server, &args.output, out),
    }
}

fn show(asked: &Asked, server: &Server, output: &Output, out: &mut dyn Write) -> Result<Answer, Error> {
    let from = asked.from.unwrap_or_else(|| Clock::system().now());
    let until = from + asked.ahead;
    let planning = match (&asked.config, &asked.learnt) {
        (None, None) => of_server(server, from, until)?,
        _ => of_files(asked)?,
    };
    let mut document = json!(planning);
    if let Some(document) = document.as_object_mut() {
        document.insert("from".into(), from.to_string().into());
        document.insert("until".into(), until.to_string().into());
    }
    if !output.document(&document, out)? {
        page::write(&planning, output.format() == Format::Wide, out)?;
    }
    Ok(answer(&planning.problems))
}

/// What the calendars of a configuration would mean.
fn of_files(asked: &Asked) -> Result<Planning, Error> {
    let known = Known::of(asked)?;
    let mut problems = Problems::default();
    let sources = sources::read(&known.config.schedule, known.from, known.until, &mut problems)?;
    let plan = known.plan(&agreed(sources, &mut problems));
    Ok(Planning::of(None, plan, &known.config.schedule.station, &problems))
}

/// What a running headroom plans, within that time.
fn of_server(server: &Server, from: Time, until: Time) -> Result<Planning, Error> {
    let mut answer = server.get(&["schedule"]).map_err(|error| match error {
        Error::Unreachable { server, cause } => {
            Error::Unreachable { server, cause: format!("{cause}; without --config FILE a running headroom is asked") }
        }
        other => other,
    })?;
    let mut planning: Planning = serde_json::from_value(answer["schedule"].take()).map_err(|error| {
        let cause = format!("its answer is another version's ({error})");
        Error::Unreachable { server: server.server.to_string(), cause }
    })?;
    planning.plan.events.retain(|raised| raised.event.meets(from, until));
    planning.plan.floors.retain(|step| step.from < until && step.until > from);
    Ok(planning)
}

fn answer(problems: &[Problem]) -> Answer {
    if problems.is_empty() { Answer::Yes } else { Answer::No }
}

/// All that a plan needs beside the events.
struct Known {
    config: Config,
    demand: Demand,
    kept: Kept,
    from: Time,
    until: Time,
}

/// What was learnt is at most so much.
const LEARNT_BYTES_MAX: u64 = 64 << 20;

impl Known {
    fn of(asked: &Asked) -> Result<Known, Error> {
        let config = asked.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
        let from = asked.from.unwrap_or_else(|| Clock::system().now());
        // A file that was named must be there; that of the configuration may not have been written yet.
        let learnt = match (&asked.learnt, &config.learnt) {
            (Some(path), _) => Some(path.clone()),
            (None, Some(path)) if path.exists() => Some(path.clone()),
            (None, _) => None,
        };
        let learnt = learnt.map(|path| {
            let text = disk::read_text(&path, LEARNT_BYTES_MAX)
                .map_err(|unfit| Error::Read { path: path.clone(), source: unfit.into() })?;
            // How old it is matters to who acts by it; a plan is for people.
            Learnt::decode_of_any_age(&text).map_err(|cause| Error::Learnt { path: path.clone(), cause })
        });
        let learnt = learnt.transpose()?.unwrap_or_default();
        let kept = Kept::of(&learnt);
        let mut demand = Demand::of(&learnt, config.analyse.station.target_utilisation);
        kept.improve(&mut demand);
        Ok(Known { config, demand, kept, from, until: from + asked.ahead })
    }

    fn plan(&self, events: &[Planned]) -> crate::schedule::Plan {
        plan(&self.inputs(events, &self.kept.learned()))
    }

    fn inputs<'a>(&'a self, events: &'a [Planned], learned: &'a Learned) -> Inputs<'a> {
        Inputs {
            settings: &self.config.schedule.station,
            kinds: &self.config.schedule.kinds,
            events,
            demand: &self.demand,
            learned,
            from: self.from,
            until: self.until,
            spent: &self.kept.spent,
        }
    }
}
