//! An explanation as an SRE reads it in a terminal.

use std::fmt::{self, Display, Formatter};

use super::explain::{Explanation, Found, Moment, Story};
use super::moment::{Happened, State};
use crate::action::{Action, Change};
use crate::analyse::sentences::{BLIND, percent, probability};
use crate::analyse::{Bottleneck, Evidence, Verdict};
use crate::guard::{Decision, Gate, Outcome, Refusal};
use crate::model::Time;
use crate::model::cluster::replicas;

/// `14:03:07` of `2026-11-24T14:03:07.123Z`: the day stands in the heading.
fn clock(at: Time) -> String {
    at.to_string().get(11..19).unwrap_or_default().to_string()
}

fn day(at: Time) -> String {
    at.to_string().get(..10).unwrap_or_default().to_string()
}

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(moment) = &self.moment {
            write!(f, "{moment}")?;
        }
        for (n, story) in self.stories.iter().enumerate() {
            if n > 0 || self.moment.is_some() {
                writeln!(f)?;
            }
            write!(f, "{story}")?;
        }
        Ok(())
    }
}

impl Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Moment { from, to, state, changes } = self;
        let is_span = from < to;
        let began = if is_span { "as it began, " } else { "" };
        writeln!(f, "State {began}on {} at {} UTC", day(*from), clock(*from))?;
        write!(f, "{state}")?;
        if !is_span {
            return Ok(());
        }
        writeln!(f, "\nChanges from {} to {}", clock(*from), clock(*to))?;
        if changes.is_empty() {
            writeln!(f, "  None: nothing was decided, and the state held.")?;
        }
        changes.iter().try_for_each(|Happened { at, text }| writeln!(f, "  {}  {text}", clock(*at)))
    }
}

impl Display for Story {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Decision { id, at, proposal, notes, .. } = &self.decision;
        writeln!(f, "On {} at {} UTC {}.", day(*at), clock(*at), headline(&self.decision))?;
        writeln!(f, "Decision {id}, by {}.", proposal.origin.in_words())?;

        writeln!(f, "\nFindings")?;
        match &self.found {
            Some(found) => write!(f, "{found}")?,
            None => writeln!(f, "  No bottleneck at {} then.", proposal.service())?,
        }

        writeln!(f, "\nProposal of the rule")?;
        writeln!(f, "  \"{}\"", proposal.because)?;
        match (&proposal.action, proposal.action.replicas_asked()) {
            (_, Some(to)) => writeln!(f, "  It proposed {}.", replicas(to))?,
            (Action::Notify(notify), None) => writeln!(f, "  \"{}\"", notify.message)?,
            (action, None) => writeln!(f, "  It proposed to {}.", action.describe())?,
        }

        if proposal.action.slot().is_some() {
            writeln!(f, "\nDecision of the guard")?;
            write!(f, "{}", Gates(&self.decision))?;
            notes.iter().try_for_each(|note| writeln!(f, "  Limited: {note}."))?;
        }

        if matches!(self.decision.outcome, Outcome::Permitted { .. }) {
            writeln!(f, "\nChange")?;
            self.done(f)?;
            writeln!(f, "\nEffect")?;
            self.life(f)?;
        }
        Ok(())
    }
}

/// What was decided, after 'On DAY at TIME': one clause.
pub(super) fn headline(decision: &Decision) -> String {
    let action = &decision.proposal.action;
    let service = action.service();
    let direction = if action.pace().is_out() { "out" } else { "in" };
    if action.slot().is_some() && action.replicas_asked().is_none() {
        let deed = action.describe();
        return match &decision.outcome {
            Outcome::Permitted { .. } => format!("it was decided to {deed}"),
            Outcome::Observed { refused_by, .. } => {
                format!("headroom would have decided to {deed}; it only observes{}", and_refused(refused_by))
            }
            Outcome::Notified => format!("notice raised: {deed}"),
            Outcome::Refused { gate, .. } => format!("the {} gate refused to {deed}", gate.as_str()),
        };
    }
    match &decision.outcome {
        Outcome::Permitted { from, to } => {
            format!("{service} was scaled {direction} from {from} to {}", replicas(*to))
        }
        Outcome::Observed { from, to, refused_by } => format!(
            "{service} would have been scaled {direction} from {from} to {}; headroom only observes{}",
            replicas(*to),
            and_refused(refused_by)
        ),
        Outcome::Notified => format!("a notice was raised for {service}; no action taken"),
        Outcome::Refused { gate, .. } => {
            format!("scaling {service} {direction} was refused by the {} gate", gate.as_str())
        }
    }
}

/// What stands beside a decision that would be refused.
fn and_refused(refused_by: &[Refusal]) -> String {
    let gates: Vec<&str> = refused_by.iter().map(|refusal| refusal.gate.as_str()).collect();
    match gates.as_slice() {
        [] => String::new(),
        [one] => format!(", and the {one} gate would refuse it"),
        many => format!(", and the gates {} would refuse it", many.join(", ")),
    }
}

/// The gates that the proposal passed, in their order, and those that refused it.
struct Gates<'a>(&'a Decision);

impl Display for Gates<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_in = self.0.proposal.action.pace().is_in();
        let met = |gate: &&Gate| is_in || **gate != Gate::Stabilisation;
        let passed = |is_passed: &dyn Fn(Gate) -> bool| {
            let passed = Gate::ALL.iter().filter(met).filter(|gate| is_passed(**gate));
            passed.map(|gate| gate.as_str()).collect::<Vec<_>>().join(", ")
        };
        match &self.0.outcome {
            Outcome::Refused { gate, reason } => {
                let before = passed(&|one| one < *gate);
                if !before.is_empty() {
                    writeln!(f, "  It passed {before}.")?;
                }
                writeln!(
                    f,
                    "  The {} gate refused: {reason}.\n  While the reason stays the same it is not written again.",
                    gate.as_str()
                )
            }
            Outcome::Observed { refused_by, .. } => {
                let others = passed(&|one| refused_by.iter().all(|refusal| refusal.gate != one));
                if !others.is_empty() {
                    writeln!(f, "  It passes {others}.")?;
                }
                refused_by.iter().try_for_each(|Refusal { gate, reason }| {
                    writeln!(f, "  In enforce mode the {} gate would refuse: {reason}.", gate.as_str())
                })
            }
            Outcome::Permitted { .. } | Outcome::Notified => writeln!(f, "  It passed {}.", passed(&|_| true)),
        }
    }
}

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "  At {} ", clock(self.at))?;
        bottleneck(f, &self.bottleneck)?;
        if let Some(second) = &self.bottleneck.runner_up {
            let first = self.bottleneck.peer.as_ref().unwrap_or(&self.bottleneck.service);
            let [for_it, why] = second.sentences(first);
            writeln!(f, "  {for_it}.\n  {why}.")?;
        }
        let labels = self.bottleneck.evidence.iter().map(|evidence| evidence.label().0.chars().count());
        let width = labels.max().unwrap_or(0);
        for evidence in &self.bottleneck.evidence {
            evidence_line(f, evidence, width)?;
        }
        if let Some(slowest) = self.bottleneck.exemplars.first() {
            let more = self.bottleneck.exemplars.len() - 1;
            let others = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(f, "  Example traces: {slowest}{others}.")?;
        }
        Ok(())
    }
}

fn bottleneck(f: &mut Formatter<'_>, b: &Bottleneck) -> fmt::Result {
    writeln!(f, "{}.", b.summary())?;
    let needed = b.replicas_needed.map_or("the need is not known".into(), |n| format!("the load needs {n}"));
    let sure = match b.verdict {
        Verdict::Unknown => format!("{} of the excess time is at {}", percent(b.score), b.service),
        _ => format!("Probability {}", probability(b.score)),
    };
    writeln!(f, "  {sure}. {} runs {}; {needed}.", b.service, replicas(b.replicas))
}

/// The sentence of [`Evidence`], in columns.
fn evidence_line(f: &mut Formatter<'_>, evidence: &Evidence, width: usize) -> fmt::Result {
    let healthy =
        evidence.baseline.map_or("no healthy value known".into(), |b| format!("healthy {}", evidence.value(b)));
    writeln!(f, "    {:width$}  {:>10}  {healthy}", evidence.label().0, evidence.value(evidence.now))
}

impl Story {
    fn done(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.acts.is_empty() {
            return writeln!(f, "  The journal has no answer from the cluster.");
        }
        for act in &self.acts {
            let what = match (&act.change, &act.error) {
                (change, None) => change.describe(),
                (Change::Close { .. }, Some(error)) => format!("record not removed from the object: {error}"),
                (Change::Scale(scaling), Some(error)) => {
                    format!("{} to {} failed: {error}", scaling.from, replicas(scaling.to))
                }
                (_, Some(error)) => format!("failed: {error}"),
            };
            writeln!(f, "  {}  {what}", clock(act.at))?;
        }
        Ok(())
    }

    fn life(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(last) = self.life.last() else {
            return writeln!(f, "  No report yet.");
        };
        for life in &self.life {
            let stage = life.report.stage.as_str().replace('_', " ");
            writeln!(f, "  {}  {stage}: {}", clock(life.at), life.report.reason)?;
        }
        if !last.report.idle_pods.is_empty() {
            writeln!(f, "  Pods without load: {}.", last.report.idle_pods.join(", "))?;
        }
        if !last.report.stage.is_end() {
            writeln!(f, "  Still open; it must be confirmed by {} UTC.", clock(last.report.deadline))?;
        }
        Ok(())
    }
}

impl Display for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (service, pause) in &self.paused {
            let what = if service.is_empty() { "everything" } else { service };
            writeln!(f, "  Paused: {what}, {pause}.")?;
        }
        match self.blind {
            None => writeln!(f, "  Nothing was found yet.")?,
            Some(true) => writeln!(f, "  {BLIND}.")?,
            Some(false) if self.bottlenecks.is_empty() => match &self.of {
                Some(service) => writeln!(f, "  No bottleneck at {service}.")?,
                None => writeln!(f, "  No bottleneck: all objectives met.")?,
            },
            Some(false) => {}
        }
        for b in &self.bottlenecks {
            write!(f, "  ")?;
            bottleneck(f, b)?;
        }
        for suspect in &self.silent_failures {
            writeln!(f, "  {}.", suspect.summary())?;
        }
        if let Some(since) = self.told_since.filter(|_| self.standing.is_empty()) {
            let of = self.of.as_ref().map_or_else(String::new, |service| format!(" on {service}"));
            writeln!(f, "  Nothing was decided{of} since {} {} UTC.", day(since), clock(since))?;
        }
        if !self.standing.is_empty() {
            writeln!(f, "\nDecisions before, last first")?;
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
            writeln!(f, "\nOpen interventions")?;
            for open in &self.open {
                writeln!(f, "  {}  {}: {}", open.report.id, open.report.stage.as_str(), open.report.reason)?;
            }
        }
        Ok(())
    }
}
