//! `headroom score`: how well `diagnose` does on incidents whose cause is known.

mod cases;
mod measures;
mod report;

use std::io::Write;
use std::path::Path;

use self::cases::{CaseResult, Cases, Drawn, draw_all};
use self::measures::overall;
use super::answer::Answer;
use super::draw::DrawnArgs;
use super::error::Error;
use crate::analyse::change::Parameters;
use crate::clock::Stopwatch;
use crate::simulate::draw::Kind;

/// Measure `diagnose` on incidents whose cause is known: past ones, or drawn ones.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom score incidents/
  headroom score incidents/ --json | jq .ac1
  headroom score incidents/ --fit shop      the other systems, as shop would have it
  headroom score --drawn 10                 ten drawn systems for each of fifteen kinds of fault
  headroom score --drawn 10 --kinds refused black_hole --lose 0.5
  headroom score --drawn 40 --calibrate     what turns evidence into probability

incidents/labels.json names each case's files of spans and where the fault was:
  {\"shop-2026-11-02\": {
     \"incident\": \"shop-1.jsonl.zst\", \"normal\": \"shop-0.jsonl.zst\",
     \"service\": \"auth\", \"fault\": \"cpu_contention\"}}
What stands before the first - of a case's name is its system. A label may say more:
`places`, when several are right, the `verdict`, and whether it was `felt` by users.

Exit codes: 0 measured; 2 usage or input error.")]
pub struct Args {
    /// Directory with labels.json and the files it names
    #[arg(required_unless_present = "drawn", conflicts_with = "drawn")]
    directory: Option<String>,
    /// Choose the parameters on the cases of this system, and score the others with them
    #[arg(long, value_name = "SYSTEM", conflicts_with = "drawn")]
    fit: Option<String>,
    /// Draw and simulate so many systems for each kind of fault (`headroom draw --help`)
    #[arg(long, value_name = "N")]
    drawn: Option<u64>,
    /// The first seed of drawn systems
    #[arg(long, value_name = "SEED", default_value_t = 1, requires = "drawn")]
    seeds_from: u64,
    /// Draw these kinds of fault alone
    #[arg(long, value_name = "KIND", num_args = 1.., value_parser = super::draw::kind, requires = "drawn")]
    kinds: Vec<Kind>,
    /// Choose what turns evidence into probability (`sharpness`, `prior`, `knee`) on the drawn cases, and print it
    #[arg(long, requires = "drawn")]
    calibrate: bool,
    #[command(flatten)]
    terms: DrawnArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What was scored, and how long a case took.
struct Scored {
    results: Vec<CaseResult>,
    seconds_per_case: f64,
    fitted: Option<(String, Parameters)>,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let scored = match (args.drawn, &args.directory) {
        (Some(seeds), _) => drawn(&args, seeds)?,
        (None, Some(directory)) => recorded(Path::new(directory), args.fit)?,
        (None, None) => return Ok(Answer::No), // clap asks for one of the two
    };
    if args.json {
        writeln!(out, "{}", report::document(&scored))?;
    } else {
        report::write_tables(out, &scored)?;
    }
    Ok(Answer::Yes)
}

fn recorded(directory: &Path, fit: Option<String>) -> Result<Scored, Error> {
    let reading = Stopwatch::start();
    let all = Cases::read(directory)?;
    let reading_s = reading.elapsed().as_secs_f64() / all.len() as f64;
    let parameters = fit.as_deref().map_or_else(|| Ok(Parameters::default()), |system| all.fit(system))?;
    let diagnosing = Stopwatch::start();
    let results = all.diagnose_others(fit.as_deref(), &parameters);
    let seconds_per_case = reading_s + diagnosing.elapsed().as_secs_f64() / results.len() as f64;
    Ok(Scored { results, seconds_per_case, fitted: fit.map(|system| (system, parameters)) })
}

fn drawn(args: &Args, seeds: u64) -> Result<Scored, Error> {
    let kinds = if args.kinds.is_empty() { &Kind::FAULTS[..] } else { &args.kinds };
    let seeds = args.seeds_from..args.seeds_from.saturating_add(seeds);
    let wanted: Vec<(Kind, u64)> = seeds.flat_map(|seed| kinds.iter().map(move |kind| (*kind, seed))).collect();
    let took = Stopwatch::start();
    let cases = draw_all(&wanted, args.terms.terms(), |case| {
        let result = case.diagnose(&Parameters::default());
        (args.calibrate.then_some(case), result)
    })?;
    let seconds_per_case = took.elapsed().as_secs_f64() / cases.len().max(1) as f64;
    let (cases, results): (Vec<Option<Drawn>>, Vec<CaseResult>) = cases.into_iter().unzip();
    if !args.calibrate {
        return Ok(Scored { results, seconds_per_case, fitted: None });
    }
    let cases: Vec<Drawn> = cases.into_iter().flatten().collect();
    let with = |parameters: &Parameters| cases.iter().map(|case| case.diagnose(parameters)).collect::<Vec<_>>();
    let parameters = Parameters::default().calibrate(|parameters| overall(&with(parameters)).all.log_loss);
    let fitted = Some(("the drawn cases".to_owned(), parameters.clone()));
    Ok(Scored { results: with(&parameters), seconds_per_case, fitted })
}
