//! An explanation as an SRE reads it in a terminal.

use std::fmt::{self, Display, Formatter};

use super::explain::{Explanation, Found, Quiet, Story};
use crate::action::{Action, Change};
use crate::analyse::{Bottleneck, Evidence, Verdict};
use crate::guard::{Decision, Gate, Outcome};
use crate::model::Time;

/// `14:03:07` of `2026-11-24T14:03:07.123Z`: the day stands in the heading.
fn clock(at: Time) -> String {
    at.to_string().get(11..19).unwrap_or_default().to_string()
}

fn day(at: Time) -> String {
    at.to_string().get(..10).unwrap_or_default().to_string()
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (n, story) in self.stories.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{story}")?;
        }
        match &self.quiet {
            Some(quiet) => write!(f, "Nothing was decided at {}.\n{quiet}", self.asked),
            None => Ok(()),
        }
    }
}

impl Display for Story {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Decision { id, at, proposal, notes, .. } = &self.decision;
        writeln!(f, "On {} at {} UTC {}.", day(*at), clock(*at), headline(&self.decision))?;
        writeln!(f, "Decision {id}, by {}.", proposal.origin.in_words())?;

        writeln!(f, "\nWhat was found")?;
        match &self.found {
            Some(found) => write!(f, "{found}")?,
            None => writeln!(f, "  Nothing held requests back at {} then.", proposal.service())?,
        }

        writeln!(f, "\nWhat the rule said")?;
        writeln!(f, "  \"{}\"", proposal.because)?;
        match (&proposal.action, proposal.action.replicas_asked()) {
            (_, Some(to)) => writeln!(f, "  It asked for {}.", replicas(to))?,
            (Action::Notify(notify), None) => writeln!(f, "  \"{}\"", notify.message)?,
            (action, None) => writeln!(f, "  It asked to {}.", action.describe())?,
        }

        if proposal.action.slot().is_some() {
            writeln!(f, "\nWhat the guard said")?;
            write!(f, "{}", Gates(&self.decision))?;
            notes.iter().try_for_each(|note| writeln!(f, "  Cut down: {note}."))?;
        }

        if matches!(self.decision.outcome, Outcome::Permitted { .. }) {
            writeln!(f, "\nWhat was done")?;
            self.done(f)?;
            writeln!(f, "\nWhat came of it")?;
            self.life(f)?;
        }
        Ok(())
    }
}

fn replicas(n: u32) -> String {
    if n == 1 { "1 replica".into() } else { format!("{n} replicas") }
}

fn headline(decision: &Decision) -> String {
    let action = &decision.proposal.action;
    let service = action.service();
    let direction = if action.pace().is_out() { "out" } else { "in" };
    if action.slot().is_some() && action.replicas_asked().is_none() {
        let deed = action.describe();
        return match &decision.outcome {
            Outcome::Permitted { .. } => format!("it was decided to {deed}"),
            Outcome::Observed { .. } => format!("headroom would have decided to {deed}; it only observes"),
            Outcome::Notified => format!("people were told to {deed}"),
            Outcome::Refused { gate, .. } => format!("the {} gate refused to {deed}", gate.as_str()),
        };
    }
    match &decision.outcome {
        Outcome::Permitted { from, to } => {
            format!("{service} was scaled {direction} from {from} to {}", replicas(*to))
        }
        Outcome::Observed { from, to } => format!(
            "{service} would have been scaled {direction} from {from} to {}; headroom only observes",
            replicas(*to)
        ),
        Outcome::Notified => format!("people were told about {service}; nothing was touched"),
        Outcome::Refused { gate, .. } => {
            format!("scaling {service} {direction} was refused by the {} gate", gate.as_str())
        }
    }
}

/// What the gates said, in their order.
struct Gates<'a>(&'a Decision);

impl Display for Gates<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let refused = match &self.0.outcome {
            Outcome::Refused { gate, reason } => Some((*gate, reason)),
            _ => None,
        };
        let is_in = self.0.proposal.action.pace().is_in();
        let met = |gate: &&Gate| is_in || **gate != Gate::Stabilisation;
        let before = |gate: &&Gate| refused.is_none_or(|(at, _)| **gate < at);
        let passed: Vec<&str> = Gate::ALL.iter().filter(met).filter(before).map(|gate| gate.as_str()).collect();
        if !passed.is_empty() {
            writeln!(f, "  It passed {}.", passed.join(", "))?;
        }
        match refused {
            Some((gate, reason)) => writeln!(
                f,
                "  The {} gate refused: {reason}.\n  While the reason stays the same it is not written again.",
                gate.as_str()
            ),
            None => Ok(()),
        }
    }
}

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "  At {} ", clock(self.at))?;
        bottleneck(f, &self.bottleneck)?;
        let width = self.bottleneck.evidence.iter().map(|e| name_and_unit(&e.measure).0.len()).max().unwrap_or(0);
        for evidence in &self.bottleneck.evidence {
            evidence_line(f, evidence, width)?;
        }
        if let Some(slowest) = self.bottleneck.exemplars.first() {
            let more = self.bottleneck.exemplars.len() - 1;
            let others = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(f, "  Traces that show it: {slowest}{others}.")?;
        }
        Ok(())
    }
}

fn bottleneck(f: &mut Formatter<'_>, b: &Bottleneck) -> fmt::Result {
    writeln!(
        f,
        "{} missed its objective: p99 {:.0} ms where {:.0} ms is wanted, {} of requests too slow.",
        b.entry,
        b.p99_ms,
        b.objective_ms,
        percent(b.missed_share)
    )?;
    let why = match b.verdict {
        Verdict::Saturated => "it was saturated",
        Verdict::SlowDependency => "it waited for what it calls",
        Verdict::BadInstance => "one of its pods was far slower than the others",
        Verdict::Regression => "a new version of it was slow at the old load",
        Verdict::Amplification => "its callers asked more of it for each request",
        Verdict::Exhausted => "it was saturated at its maximum",
        Verdict::Failing => "errors started there",
        Verdict::Healthy => "nothing was wrong with it",
        Verdict::Unknown => "why could not be said",
    };
    let part = |what: &str, name: &Option<String>| name.as_ref().map(|n| format!(" ({what} {n})")).unwrap_or_default();
    writeln!(
        f,
        "  {} held them back with {} of the blame: {why}{}{}{}{}.",
        b.service,
        percent(b.score),
        part("pod", &b.pod),
        part("peer", &b.peer),
        part("caller", &b.caller),
        part("version", &b.version)
    )?;
    let needed =
        b.replicas_needed.map_or("how many the load needed was not known".into(), |n| format!("the load needed {n}"));
    writeln!(f, "  It ran {}; {needed}.", replicas(b.replicas))
}

/// `waiting_ms` is waiting, in ms: measures carry their unit at their end.
fn name_and_unit(measure: &str) -> (String, &'static str) {
    let (name, unit) = [("_ms", " ms"), ("_per_s", " /s"), ("_share", ""), ("_s", " s")]
        .iter()
        .find_map(|(ending, unit)| Some((measure.strip_suffix(ending)?, *unit)))
        .unwrap_or((measure, ""));
    (name.replace('_', " "), unit)
}

fn evidence_line(f: &mut Formatter<'_>, evidence: &Evidence, width: usize) -> fmt::Result {
    let (name, unit) = name_and_unit(&evidence.measure);
    let value = |v: f64| format!("{v:.1}{unit}");
    let usual = evidence.baseline.map_or("no baseline yet".into(), |b| format!("usually {}", value(b)));
    writeln!(f, "    {name:width$}  {:>12}  {usual}", value(evidence.now))
}

impl Story {
    fn done(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.acts.is_empty() {
            return writeln!(f, "  The journal holds no answer of the cluster to it.");
        }
        for act in &self.acts {
            let what = match (&act.change, &act.error) {
                (change, None) => change.describe(),
                (Change::Close { .. }, Some(error)) => format!("the record is still on the object: {error}"),
                (Change::Scale(scaling), Some(error)) => {
                    format!("{} to {} did not come about: {error}", scaling.from, replicas(scaling.to))
                }
                (_, Some(error)) => format!("not done: {error}"),
            };
            writeln!(f, "  {}  {what}", clock(act.at))?;
        }
        Ok(())
    }

    fn life(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(last) = self.life.last() else {
            return writeln!(f, "  Nothing was reported of it yet.");
        };
        for life in &self.life {
            let stage = life.report.stage.as_str().replace('_', " ");
            writeln!(f, "  {}  {stage}: {}", clock(life.at), life.report.reason)?;
        }
        if !last.report.idle_pods.is_empty() {
            writeln!(f, "  Pods without load: {}.", last.report.idle_pods.join(", "))?;
        }
        if !last.report.stage.is_end() {
            writeln!(f, "  It is still open; it has until {} UTC to prove itself.", clock(last.report.deadline))?;
        }
        Ok(())
    }
}

impl Display for Quiet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nWhat was found")?;
        if self.bottlenecks.is_empty() {
            writeln!(f, "  All objectives held.")?;
        }
        for b in &self.bottlenecks {
            write!(f, "  ")?;
            bottleneck(f, b)?;
        }
        for s in &self.silent_failures {
            let (service, what, at) = (&s.service, s.verdict.as_str().replace('_', " "), &s.operation);
            writeln!(f, "  {service} is {what} at {at} all the same (probability {:.2}).", s.score)?;
        }
        if !self.standing.is_empty() {
            writeln!(f, "\nWhat had been decided before, last first")?;
            let mut standing: Vec<&Decision> = self.standing.iter().collect();
            standing.sort_by_key(|decision| std::cmp::Reverse(decision.at));
            for decision in standing {
                write!(f, "  {}  {}  {}", clock(decision.at), decision.id, headline(decision))?;
                match &decision.outcome {
                    Outcome::Refused { reason, .. } => writeln!(f, ": {reason}")?,
                    _ => writeln!(f)?,
                }
            }
        }
        if !self.open.is_empty() {
            writeln!(f, "\nWhat was open")?;
            for open in &self.open {
                writeln!(f, "  {}  {}: {}", open.report.id, open.report.stage.as_str(), open.report.reason)?;
            }
        }
        Ok(())
    }
}
