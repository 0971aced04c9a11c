//! A journal and the spans of its time through a fresh engine, input by input.

use std::collections::BTreeMap;
use std::path::Path;

use super::Replayed;
use super::compare::{Comparison, Standing};
use super::supply::Supply;
use super::verdicts::Verdicts;
use crate::commands::error::Error;
use crate::decide::RuleSource;
use crate::engine::{Effect, Engine, Event, Settings};
use crate::guard::{Decision, Mode};
use crate::journal::{Entry, What};
use crate::model::Time;

/// One life of headroom, from a `started` to the next.
struct Run {
    engine: Engine,
    then: Vec<Decision>,
    now: Vec<Decision>,
    last_tick: Time,
}

/// Replays every run of the journal. With `rules` they stand in for those of the journal, and observe only: what
/// the cluster did then cannot be undone.
pub fn replay(
    entries: &[Entry],
    files: &[String],
    rules: Option<Vec<RuleSource>>,
    path: &Path,
) -> Result<Replayed, Error> {
    let mut notes = Vec::new();
    let mut comparison = Comparison::default();
    let mut failed: BTreeMap<String, u64> = BTreeMap::new();
    let mut spans_missing = 0;
    let mut verdicts = Verdicts::default();
    let mut supply = Supply::new(files.to_vec(), first_weight(entries, path)?);
    let mut run: Option<Run> = None;
    let mut headless = 0_u64;
    for Entry { at, what } in entries {
        if let What::Started { version, config, rules: of_then } = what {
            if version != env!("CARGO_PKG_VERSION") {
                notes.push(format!(
                    "headroom {version} wrote what started at {at}; another version may decide otherwise"
                ));
            }
            let mut settings = settings(*at, version, config, path)?;
            if rules.is_some() {
                settings.mode = Mode::Observe;
            }
            let engine = Engine::new(*at, settings, rules.as_deref().unwrap_or(of_then))?;
            let begun = Run { engine, then: Vec::new(), now: Vec::new(), last_tick: *at };
            finish(run.replace(begun), rules.is_some(), &mut comparison);
            continue;
        }
        let batch = match what {
            What::Ingested { spans } => {
                let batch = supply.take(*spans)?;
                spans_missing += spans - batch.len() as u64;
                Some(batch)
            }
            What::Gap { dropped } => {
                notes.push(format!("{dropped} entries were lost before {at}, as the journal could not be written: from there on decisions may differ"));
                None
            }
            _ => None,
        };
        let Some(run) = &mut run else {
            headless += 1;
            continue;
        };
        match what {
            What::Ticked => {
                run.tick(*at, &mut failed);
                verdicts.see(run.engine.findings());
            }
            What::Decided { decision } => run.then.push(decision.clone()),
            What::Rules { .. } if rules.is_some() => {}
            what => {
                if let Some(batch) = batch {
                    run.engine.ingest(*at, batch);
                } else if let Some(event) = run.event(what) {
                    run.engine.observe(*at, event);
                }
            }
        }
    }
    finish(run, rules.is_some(), &mut comparison);
    if headless > 0 {
        notes.push(format!("the first {headless} entries belong to a run that started before this journal, and are not replayed; name the journal before it too"));
    }
    if spans_missing > 0 {
        notes.push(format!("the journal counts {spans_missing} spans that the files do not hold; name all files, in the order they were written"));
    }
    match supply.count_rest()? {
        0 => {}
        rest => notes.push(format!("{rest} spans are left that the journal does not count")),
    }
    notes.extend(supply.take_notes());
    match comparison.count(Standing::Unwritten) {
        0 => {}
        n => notes.push(format!("{n} decisions are made at a last tick that the journal does not tell to its end")),
    }
    if rules.is_some() {
        let failed = failed.into_iter().map(|(error, times)| format!("{error} ({times} times)"));
        notes.extend(failed);
        notes.push(
            "under other rules it only observes: the spans and the cluster are those that the decisions of then led to"
                .into(),
        );
    }
    Ok(Replayed { comparison, exact: rules.is_none(), spans_missing, notes, verdicts: verdicts.told })
}

impl Run {
    fn tick(&mut self, at: Time, failed: &mut BTreeMap<String, u64>) {
        self.last_tick = at;
        for effect in self.engine.tick(at) {
            match effect {
                Effect::Record(Entry { what: What::Decided { decision }, .. }) => self.now.push(decision),
                Effect::Record(Entry { what: What::RuleFailed { error, .. }, .. }) => {
                    *failed.entry(error).or_default() += 1
                }
                // What became of a permit stands in the journal.
                Effect::Record(_) | Effect::Apply(_) => {}
            }
        }
    }

    /// The event that an entry tells of; None for one that is no input, or one that is taken elsewhere.
    fn event(&self, what: &What) -> Option<Event> {
        Some(match what.clone() {
            What::Cluster { state } => Event::Cluster(state),
            What::ClusterUnchanged { state_at } => {
                let mut state = self.engine.cluster().clone();
                state.at = state_at;
                Event::Cluster(state)
            }
            What::Rules { rules } => Event::Rules(rules),
            What::Queries { queries } => Event::Queries(queries),
            What::RuleStopped { rule, during } => Event::RuleStopped { rule, during },
            What::Paused { by, service, until } => Event::Paused { by, service, until },
            What::Resumed { by, service } => Event::Resumed { by, service },
            What::Learnt { learnt } => Event::Learnt(learnt),
            What::ClockStepped { seconds } => Event::ClockStepped(seconds),
            What::Floors { floors } => Event::Floors(floors),
            What::Traffic { traffic } => Event::Traffic(traffic),
            What::Acted { decision, change, error } => Event::Acted { decision, change, error },
            _ => return None,
        })
    }
}

fn finish(run: Option<Run>, other_rules: bool, comparison: &mut Comparison) {
    match run {
        Some(Run { then, now, .. }) if other_rules => comparison.add_other(then, now),
        Some(Run { then, now, last_tick, .. }) => comparison.add_exact(then, now, last_tick),
        None => {}
    }
}

fn settings(at: Time, version: &str, config: &serde_json::Value, path: &Path) -> Result<Settings, Error> {
    serde_json::from_value(config.clone()).map_err(|cause| Error::Settings {
        path: path.to_owned(),
        at,
        version: version.to_owned(),
        cause,
    })
}

/// The receiver's assumption about weights; a restart seldom changes it, and files are decoded as they come.
fn first_weight(entries: &[Entry], path: &Path) -> Result<Option<f64>, Error> {
    for Entry { at, what } in entries {
        if let What::Started { version, config, .. } = what {
            return Ok(settings(*at, version, config, path)?.assume_weight);
        }
    }
    Err(Error::NoStart { path: path.to_owned() })
}
