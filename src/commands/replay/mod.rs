//! `headroom replay`: kept spans through the engine again, as the journal says they came, and what it decides
//! beside what was decided then.

mod alone;
mod compare;
mod rerun;
mod supply;
#[cfg(test)]
mod tests;
mod verdicts;

pub(super) use alone::Stream;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::analyse::Findings;
use crate::commands::answer::Answer;
use crate::commands::error::Error;
use crate::commands::rule_files;
use crate::decide;
use crate::journal::{self, Entry};
use compare::{Comparison, Pair, Standing};
use verdicts::Told;

/// Make the decisions of kept spans again: those of the journal exactly, or those that other rules would have made.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom replay spans.jsonl.zst --journal journal.jsonl
  headroom replay spans.jsonl --journal journal.jsonl.1 --journal journal.jsonl
  headroom replay spans.jsonl --journal journal.jsonl --rules new-rules/
  headroom replay spans.jsonl --json | tail -n 1

The journal says in which batches the spans came, and all else that the engine was
told; from spans alone it is assumed, and what was assumed is said.
With --rules nothing is simulated: the spans and the cluster are those of then.

Exit codes: 0 reproduced, or nothing to compare with; 1 a decision differs, or a rule of --rules does
not load; 2 usage or input error.")]
pub struct Args {
    /// Spans in the order they came: OTLP JSON lines (plain, gzip, zstd), length-prefixed OTLP, Parquet, or -
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The journal of the same time; given more than once, the oldest first
    #[arg(long, value_name = "FILE")]
    journal: Vec<PathBuf>,
    /// Other rules: say what they would have decided
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Say the verdict too, each time it changes
    #[arg(long)]
    verdicts: bool,
    /// Print JSON lines: one a decision, then a summary
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    if let Some(problems) = args.rules.as_deref().map(wrong_rules).filter(|problems| !problems.is_empty()) {
        if args.json {
            writeln!(out, "{}", json!({"problems": problems}))?;
        } else {
            problems.iter().try_for_each(|problem| writeln!(out, "{problem}"))?;
        }
        return Ok(Answer::No);
    }
    let rules = args.rules.as_deref().map(rule_files::read).transpose()?;
    let replayed = if args.journal.is_empty() {
        alone::replay(&args.files, rules)?
    } else {
        let (entries, notes) = read(&args.journal)?;
        let mut replayed = rerun::replay(&entries, &args.files, rules, &args.journal[0])?;
        replayed.notes.splice(0..0, notes);
        replayed
    };
    if args.verdicts {
        for told in &replayed.verdicts {
            if args.json { writeln!(out, "{}", json!({"told": told}))? } else { writeln!(out, "{told}")? }
        }
    }
    say(&replayed, args.json, out)?;
    let no = replayed.exact && !replayed.comparison.is_reproduced() || replayed.spans_missing > 0;
    Ok(if no { Answer::No } else { Answer::Yes })
}

/// What is wrong with other rules: a replay without one of them would answer another question.
fn wrong_rules(directory: &Path) -> Vec<String> {
    rule_files::problems(directory, &decide::Limits::default())
}

/// Lets `each` look at the findings of every tick that spans without a journal make.
pub(super) fn watch(files: &[String], each: &mut dyn FnMut(&Findings, Stream)) -> Result<(), Error> {
    alone::watch(files, Some(Vec::new()), None, each).map(|_| ())
}

/// What a replay came to.
struct Replayed {
    comparison: Comparison,
    /// Under the rules of then, so that every decision must be the same.
    exact: bool,
    /// Spans that the journal counts and the files do not hold.
    spans_missing: u64,
    /// What was said, each time it changed.
    verdicts: Vec<Told>,
    /// What had to be assumed, and why a decision may differ: one sentence each.
    notes: Vec<String>,
}

/// The journal's files as one, and what is wrong with them.
fn read(paths: &[PathBuf]) -> Result<(Vec<Entry>, Vec<String>), Error> {
    let (mut entries, mut notes) = (Vec::new(), Vec::new());
    for path in paths {
        let file = File::open(path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let journal =
            journal::read(BufReader::new(file)).map_err(|source| Error::Journal { path: path.clone(), source })?;
        let torn = journal.torn.iter().map(|line| {
            format!(
                "{} line {line} is cut short: headroom was killed there, and what it did last is not known",
                path.display()
            )
        });
        notes.extend(torn);
        entries.extend(journal.entries);
    }
    Ok((entries, notes))
}

fn say(replayed: &Replayed, json: bool, out: &mut dyn Write) -> Result<(), Error> {
    let Replayed { comparison, exact, spans_missing, notes, .. } = replayed;
    let reproduced = comparison.count(Standing::Reproduced);
    let then = comparison.pairs.iter().filter(|pair| pair.then.is_some()).count();
    if json {
        for Pair { then, now, standing } in &comparison.pairs {
            writeln!(out, "{}", json!({"standing": standing, "then": then, "now": now}))?;
        }
        let (now, unwritten) = (comparison.made(), comparison.count(Standing::Unwritten));
        let summary = json!({
            "decisions_then": then, "decisions_now": now, "reproduced": reproduced, "unwritten": unwritten,
            "exact": exact, "spans_missing": spans_missing, "notes": notes,
        });
        writeln!(out, "{summary}")?;
        return Ok(());
    }
    for pair in comparison.pairs.iter().filter(|pair| !exact || pair.standing != Standing::Reproduced) {
        write!(out, "{pair}")?;
    }
    for note in notes {
        writeln!(out, "note: {note}")?;
    }
    match (exact, comparison.is_reproduced()) {
        (true, true) => writeln!(out, "{then} decisions, all reproduced")?,
        (true, false) => writeln!(out, "{reproduced} of {then} decisions reproduced")?,
        (false, _) if then == 0 => writeln!(out, "{} decisions would have been made", comparison.made())?,
        (false, _) => writeln!(
            out,
            "{then} decisions then; {} would have been made, {reproduced} of them as then",
            comparison.made()
        )?,
    }
    Ok(())
}
