//! `headroom demo`: a scenario on the embedded cluster, with headroom in front of it, and what came of it.
//!
//! At a finite speed ([`live`]) it is the real thing in small: the cluster is a process of its own and `serve` runs
//! as it always does. At `--speed max` ([`course`]) both run in one thread on virtual time, which gives the same
//! output every time. Either way the journal tells the [`story`], and the [`summary`] compares.

pub mod announcer;
pub mod course;
mod live;
mod picture;
mod quit;
mod story;
mod summary;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use crate::analyse::Learnt;
use crate::analyse::learned::snapshot::BYTES_MAX;
use crate::commands::answer::Answer;
use crate::commands::error::Error;
use crate::commands::recording::Recording;
use crate::commands::rule_files;
pub use crate::commands::scenario::SEED;
use crate::commands::scenario::{SCENARIO, Variant, finite_speed, scenario};
use crate::config;
use crate::decide::RuleSource;
use crate::disk;
use crate::simulate::{References, Scenario, perfect_admission};
use story::Story;
use summary::Summary;

/// A scenario of five minutes passes in 76 s, its onset comes after 15 s.
const SPEED: &str = "4";

/// Watch the loop close: a burst on an embedded cluster is noticed, the right service scaled, objectives hold again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom demo                                  a picture of exam-start at four times real time
  headroom demo --scenario login-storm --speed 10
  headroom demo --scenario my-system.yaml --speed max --json
  headroom demo --speed max --spans s.jsonl      then: headroom replay s.jsonl
  headroom demo --pods shared --load-factor 20 --sampling 0.01 --speed max
  headroom demo --speed 1 --api 127.0.0.1:8080   for Prometheus and the dashboards

Scenarios: exam-start, login-storm, login-storm-shared, front-door,
front-door-shared, locked-database, bad-pod, bad-release, bad-canary,
hidden-fan-out, retry-storm, failing, early-return, beyond-capacity, metastable,
noisy-tenant, calm, school-day (8 h, for --speed max); or a file of your own.

With --json: one line an action, {t_s, action, service, pod, from, to, verdict,
rule}, where action is what the rule proposed (scale_out, notify, …)
and t_s counts from the scenario's start; then one summary line. Its onset_s counts
from the scenario's start too, first_correct_action_s and recovered_s from the
onset (null: never). restarts has an element for each pod that was restarted, and
whether a fault was in that pod; wrong_actions counts restarts of other pods, and
changes of services that are no expected target; to turn requests away is wrong for
other services than the scenario says. entries has what users got, priorities how
much of each priority was turned away (429) and how much missed its objective;
slo_violation_share has both, shed_share the first, recovered_let_in_s is recovered_s
of those alone who were let in. findings has
an element for each service and verdict that should be named: when, from the onset,
users first missed an objective of a request that crosses the service (so the
simulator; 5 s of it), when it was named, and how often another service or verdict
was named before and after. affected_arrived_s has the arrival of the first twenty
spans in which the fault shows, first_unanswered_s the end of the first call that it
let be refused or time out, both from the onset; needed the replicas of the expected
targets at the peak. At --speed max the same scenario and seed give the same output
to the byte.

Exit codes: 0 played to its end; 2 usage or input error.")]
pub struct Args {
    /// A shipped scenario's name, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = SCENARIO)]
    scenario: String,
    #[command(flatten)]
    variant: Variant,
    /// Every random draw follows from it
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Virtual seconds in a second, or max: as fast as it computes, without sockets
    #[arg(long, value_name = "X|max", default_value = SPEED, value_parser = Speed::parse)]
    speed: Speed,
    /// Keep the spans that were sent, as OTLP JSON lines
    #[arg(long, value_name = "FILE")]
    spans: Option<PathBuf>,
    /// Keep the journal; with --spans alone it is kept beside them as FILE.journal
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Directory of rules; without it the shipped ones run
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Serve headroom's API and metrics there while it plays; loopback only, and not at --speed max
    #[arg(long, value_name = "ADDRESS")]
    api: Option<SocketAddr>,
    /// Begin with what was learnt there, if the file exists, and keep there what was learnt; at --speed max
    #[arg(long, value_name = "FILE")]
    learnt: Option<PathBuf>,
    /// Print JSON lines: actions, then the summary
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// Virtual seconds in a second.
    Times(f64),
    Max,
}

impl Speed {
    fn parse(text: &str) -> Result<Speed, String> {
        if text == "max" { Ok(Speed::Max) } else { finite_speed(text).map(Speed::Times) }
    }
}

/// What is played, whatever the speed.
struct Play {
    scenario: Scenario,
    /// As it was given, for the cluster's process.
    scenario_argument: String,
    variant: Variant,
    seed: u64,
    rules: Option<PathBuf>,
    spans: Option<PathBuf>,
    journal: Option<PathBuf>,
    learnt: Option<PathBuf>,
    api: Option<SocketAddr>,
    json: bool,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    match args.api {
        Some(_) if args.speed == Speed::Max => return Err(Error::NoApiAtOnce),
        None if args.speed != Speed::Max && args.learnt.is_some() => return Err(Error::LearntAtOnce),
        Some(address) if !address.ip().is_loopback() => return Err(Error::NotLoopback { address }),
        _ => {}
    }
    let journal = args.journal.or_else(|| args.spans.as_deref().map(beside));
    let play = Play {
        scenario: args.variant.of(scenario(&args.scenario)?),
        scenario_argument: args.scenario,
        variant: args.variant,
        seed: args.seed,
        rules: args.rules,
        spans: args.spans,
        journal,
        learnt: args.learnt,
        api: args.api,
        json: args.json,
    };
    let summary = match args.speed {
        Speed::Max => at_once(&play, out)?,
        Speed::Times(speed) => match live::play(&play, speed, out)? {
            Some(summary) => summary,
            None => return Ok(Answer::Yes), // whoever left early does not wait for numbers
        },
    };
    if play.json {
        // Numbers and texts alone: it always serialises.
        writeln!(out, "{}", serde_json::json!(summary))?;
    } else {
        writeln!(out, "\n{summary}")?;
    }
    Ok(Answer::Yes)
}

/// Everything in this process on virtual time; the references run beside it.
fn at_once(play: &Play, out: &mut dyn Write) -> Result<Summary, Error> {
    let rules = play.load_rules()?;
    let learnt = play.learnt.as_deref().filter(|path| path.exists()).map(learnt_file).transpose()?;
    // Two, because the course lends each to a closure of its own.
    let mut spans = Recording::create(play.spans.as_deref(), None)?;
    let mut journal = Recording::create(None, play.journal.as_deref())?;
    let mut story = Story::new(&play.scenario, course::START);
    thread::scope(|scope| {
        let references = play.compares().then(|| scope.spawn(|| References::run(&play.scenario, play.seed)));
        story.open(play, out)?;
        let (simulation, learnt) = course::run(
            &play.scenario,
            play.seed,
            &rules,
            learnt.as_ref(),
            |request| spans.spans(request),
            |moment| {
                for entry in moment.entries {
                    journal.entry(entry)?;
                    story.tell(entry, play.json, out)?;
                }
                Ok(())
            },
        )?;
        story.close(play.json, out)?;
        if let Some(path) = &play.learnt {
            let (document, _) = learnt.encode(BYTES_MAX);
            disk::replace_private(path, &document).map_err(|source| Error::Write { path: path.clone(), source })?;
        }
        spans.finish()?;
        journal.finish()?;
        let references = references.map(|run| run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let references = references.map(|references| play.with_perfect_admission(references, &story));
        Ok(Summary::new(play, &story, &simulation.measures(), references.as_ref()))
    })
}

/// What an earlier run learnt, of whatever day.
fn learnt_file(path: &Path) -> Result<Learnt, Error> {
    let text =
        disk::read_text(path, 64 << 20).map_err(|unfit| Error::Read { path: path.to_owned(), source: unfit.into() })?;
    Learnt::decode_of_any_age(&text).map_err(|cause| Error::Learnt { path: path.to_owned(), cause })
}

impl Play {
    /// A run that ends early says nothing of the whole, and nobody need wait for what it would be compared with.
    fn compares(&self) -> bool {
        self.variant.until.is_none()
    }

    /// Where traffic is shaped, what could be had with the same pods.
    fn with_perfect_admission(&self, references: References, story: &Story) -> References {
        let shed_onset = self.scenario.shaping.then(|| perfect_admission(&self.scenario, self.seed, &story.orders()));
        References { shed_onset, ..references }
    }

    fn load_rules(&self) -> Result<Vec<RuleSource>, Error> {
        rule_files::load(&self.rules_config())
    }

    fn rules_config(&self) -> config::Rules {
        config::Rules { directory: self.rules.clone(), ..config::Rules::default() }
    }
}

/// The journal of `spans.jsonl` is `spans.jsonl.journal`, where `replay` looks for it.
fn beside(spans: &Path) -> PathBuf {
    let mut name = spans.as_os_str().to_owned();
    name.push(".journal");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_positive_number_or_max() {
        assert_eq!(Speed::parse("max"), Ok(Speed::Max));
        assert_eq!(Speed::parse("0.5"), Ok(Speed::Times(0.5)));
        for wrong in ["0", "-1", "NaN", "inf", "fast", "1001", ""] {
            assert!(Speed::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_default_speed_is_one() {
        assert!(finite_speed(SPEED).is_ok());
    }
}
