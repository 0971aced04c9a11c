//! Decisions of then beside decisions of now.

use std::fmt::{self, Display, Formatter};

use indexmap::IndexMap;
use serde::Serialize;

use crate::guard::{Decision, Outcome};
use crate::model::cluster::replicas;
use crate::model::{DecisionId, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The same in every word; with other rules: the same step of the same service at the same tick.
    Reproduced,
    Differs,
    /// It was made then, and is not made now.
    Missing,
    /// It is made now, and the journal does not have it.
    New,
    /// It is made at the last tick of a run, and the journal ends before it says so, as a kill leaves it.
    Unwritten,
}

#[derive(Debug)]
pub struct Pair {
    pub then: Option<Decision>,
    pub now: Option<Decision>,
    pub standing: Standing,
}

impl Pair {
    fn at(&self) -> Time {
        // A pair has at least one side.
        self.then.as_ref().or(self.now.as_ref()).map_or(Time::MIN, |decision| decision.at)
    }
}

/// In the order they were made.
#[derive(Debug, Default)]
pub struct Comparison {
    pub pairs: Vec<Pair>,
}

impl Comparison {
    pub fn count(&self, standing: Standing) -> usize {
        self.pairs.iter().filter(|pair| pair.standing == standing).count()
    }

    /// Decisions of now.
    pub fn made(&self) -> usize {
        self.pairs.iter().filter(|pair| pair.now.is_some()).count()
    }

    pub fn is_reproduced(&self) -> bool {
        self.pairs.iter().all(|pair| matches!(pair.standing, Standing::Reproduced | Standing::Unwritten))
    }

    /// Add one run under the rules of then: a decision is known by its id. What `now` has said at `last_tick`
    /// may be missing from the journal.
    pub fn add_exact(&mut self, then: Vec<Decision>, now: Vec<Decision>, last_tick: Time) {
        let mut now: IndexMap<DecisionId, Decision> = now.into_iter().map(|d| (d.id, as_written(d))).collect();
        let mut pairs: Vec<Pair> = Vec::new();
        for then in then {
            let now = now.shift_remove(&then.id);
            let standing = match &now {
                Some(now) if *now == then => Standing::Reproduced,
                Some(_) => Standing::Differs,
                None => Standing::Missing,
            };
            pairs.push(Pair { then: Some(then), now, standing });
        }
        pairs.extend(now.into_values().map(|now| {
            let standing = if now.at == last_tick { Standing::Unwritten } else { Standing::New };
            Pair { then: None, now: Some(now), standing }
        }));
        pairs.sort_by_key(Pair::at); // stable
        self.pairs.append(&mut pairs);
    }

    /// Add one run under other rules: decisions meet by tick and service, and are the same by what they would
    /// have done.
    pub fn add_other(&mut self, then: Vec<Decision>, now: Vec<Decision>) {
        let mut now: Vec<Option<Decision>> = now.into_iter().map(Some).collect();
        let mut pairs: Vec<Pair> = Vec::new();
        for then in then {
            let service = then.proposal.service();
            let meets = |d: &Decision| d.at == then.at && d.proposal.service() == service;
            let now = now.iter_mut().find(|now| now.as_ref().is_some_and(meets)).and_then(Option::take);
            let standing = match &now {
                Some(now) if step(now) == step(&then) => Standing::Reproduced,
                Some(_) => Standing::Differs,
                None => Standing::Missing,
            };
            pairs.push(Pair { then: Some(then), now, standing });
        }
        let new = now.into_iter().flatten().map(|now| Pair { then: None, now: Some(now), standing: Standing::New });
        pairs.extend(new);
        pairs.sort_by_key(Pair::at); // stable
        self.pairs.append(&mut pairs);
    }
}

/// As the journal would give it back: its numbers have been text.
fn as_written(decision: Decision) -> Decision {
    let again = serde_json::to_value(&decision).ok().map(|value| value.to_string());
    again.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(decision)
}

/// What a decision does, or would do, to replicas; `(0, 0)` when nothing.
fn step(decision: &Decision) -> (u32, u32) {
    match &decision.outcome {
        Outcome::Permitted { from, to } => (*from, *to),
        // What a gate would refuse would not be done.
        Outcome::Observed { from, to, refused_by } if refused_by.is_empty() => (*from, *to),
        Outcome::Observed { .. } | Outcome::Notified | Outcome::Refused { .. } => (0, 0),
    }
}

/// One line a side.
impl Display for Pair {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (&self.then, &self.now) {
            (Some(then), Some(now)) if self.standing != Standing::Reproduced => {
                writeln!(f, "then  {}\nnow   {}", Line(then), Line(now))
            }
            (Some(then), Some(_)) => writeln!(f, "same  {}", Line(then)),
            (Some(then), None) => writeln!(f, "then  {}\nnow   nothing", Line(then)),
            (None, Some(now)) if self.standing == Standing::Unwritten => {
                writeln!(f, "now   {} (the journal ends before it)", Line(now))
            }
            (None, Some(now)) => writeln!(f, "then  nothing\nnow   {}", Line(now)),
            (None, None) => Ok(()),
        }
    }
}

struct Line<'a>(&'a Decision);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Decision { id, at, proposal, outcome, .. } = self.0;
        let (service, action) = (proposal.service(), &proposal.action);
        let deed = (action.slot().is_some() && action.replicas_asked().is_none()).then(|| action.describe());
        write!(f, "{at} {id} {}: ", proposal.origin)?;
        match (deed, outcome) {
            (Some(deed), Outcome::Permitted { .. }) => write!(f, "{deed}")?,
            (Some(deed), Outcome::Refused { gate, reason }) => {
                write!(f, "to {deed} refused by {}: {reason}", gate.as_str())?
            }
            (_, Outcome::Permitted { from, to }) => write!(f, "{service} from {from} to {}", replicas(*to))?,
            (_, Outcome::Observed { .. }) => f.write_str(&self.0.would().unwrap_or_default())?,
            (_, Outcome::Notified) => write!(f, "sent a notification for {service}")?,
            (_, Outcome::Refused { gate, reason }) => {
                let to = action.replicas_asked().unwrap_or(0); // what scales asks for some
                write!(f, "{service} to {to} refused by {}: {reason}", gate.as_str())?;
            }
        }
        write!(f, "; {}", proposal.because)
    }
}
