//! How right a decision looks, once it is known what came after.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::incident::{Ending, Incident};
use super::{Looked, since};
use crate::journal::entry::{Entry, What};
use crate::model::{DecisionId, Time};
use crate::verify::{InterventionReport, Stage};

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// It went to the cluster.
    Done,
    /// It would have been done.
    Would,
    /// People were told.
    Told,
    /// A gate refused it.
    Refused,
}

impl Means {
    /// It changes something, or would.
    pub const fn acts(self) -> bool {
        matches!(self, Means::Done | Means::Would)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// What came after bears it out.
    Right,
    /// It did harm, or would have.
    Wrong,
    /// The objective was met again without it, about as soon.
    Needless,
    /// What came after does not tell.
    Open,
}

impl Judgement {
    pub const ALL: [Judgement; 4] = [Judgement::Right, Judgement::Needless, Judgement::Wrong, Judgement::Open];

    pub const fn in_words(self) -> &'static str {
        match self {
            Judgement::Right => "right",
            Judgement::Wrong => "wrong",
            Judgement::Needless => "needless",
            Judgement::Open => "open",
        }
    }
}

/// A decision with its judgement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    #[serde(flatten)]
    pub of: Looked,
    pub judgement: Judgement,
    /// Why it looks so: one sentence without a full stop.
    pub why: String,
    /// What it added, or would have: replicas times minutes. Negative where it gives back.
    pub replica_minutes: f64,
}

/// What became of permits and interventions.
pub(super) struct Fates {
    applied: BTreeSet<DecisionId>,
    failed: BTreeMap<DecisionId, String>,
    reports: BTreeMap<DecisionId, InterventionReport>,
}

impl Fates {
    pub(super) fn of(entries: &[Entry]) -> Fates {
        let mut fates = Fates { applied: BTreeSet::new(), failed: BTreeMap::new(), reports: BTreeMap::new() };
        for entry in entries {
            match &entry.what {
                What::Acted { decision, change, error } if change.record().is_some() => match error {
                    None => _ = fates.applied.insert(*decision),
                    Some(error) => _ = fates.failed.insert(*decision, error.to_string()),
                },
                What::Intervention { report } => _ = fates.reports.insert(report.decision, report.clone()),
                _ => {}
            }
        }
        fates
    }

    pub(super) fn was_applied(&self, id: DecisionId) -> bool {
        self.applied.contains(&id)
    }
}

/// New pods of a service start and warm up within this; what ends sooner would have ended without them.
const PODS_TAKE: Duration = Duration::from_secs(60);

/// The load fell when it ended at less than this share of what it was.
const FELL_BELOW: f64 = 0.8;

/// Replicas that were added stay for at least so long: the window over which a scale-in looks back.
const KEPT_MIN: Duration = Duration::from_secs(300);

/// A missed objective so soon after something was given back speaks against it.
const SOON_AFTER: Duration = Duration::from_secs(600);

/// A decision in an outage.
pub(super) fn within(of: Looked, incident: &Incident, fates: &Fates, now: Time) -> Judged {
    let until = incident.to.unwrap_or(now);
    let replica_minutes = cost(&of, since(until, of.at));
    let (judgement, why) = match of.means {
        Means::Done => done(&of, fates),
        Means::Would => would(&of, incident),
        Means::Told => told(&of, incident),
        Means::Refused => (Judgement::Open, format!("it was refused by the gate {}", of.refused_by.join(", "))),
    };
    Judged { of, judgement, why, replica_minutes }
}

/// A decision outside of any outage, or one that gives back.
pub(super) fn outside(of: Looked, incidents: &[Incident], fates: &Fates, now: Time) -> Judged {
    let next = incidents.iter().find(|incident| incident.from > of.at && incident.names(&of.service));
    let calm = since(next.map_or(now, |next| next.from), of.at);
    let replica_minutes = cost(&of, calm.min(KEPT_MIN));
    let gives_back = of.replicas.is_some_and(|(from, to)| to < from);
    let (judgement, why) = match of.means {
        Means::Refused => (Judgement::Open, format!("it was refused by the gate {}", of.refused_by.join(", "))),
        Means::Told => (Judgement::Open, "no objective was missed then".into()),
        Means::Done | Means::Would if gives_back => match next {
            Some(_) if calm < SOON_AFTER => {
                (Judgement::Wrong, format!("an objective was missed at {} {} later", of.service, seconds(calm)))
            }
            _ if calm < SOON_AFTER => (Judgement::Open, "the journal ends soon after".into()),
            _ => (Judgement::Right, format!("objectives were met for {} after it", seconds(calm))),
        },
        Means::Done => done(&of, fates),
        Means::Would => (Judgement::Open, "no objective was missed then".into()),
    };
    Judged { of, judgement, why, replica_minutes }
}

/// Replicas times minutes, from the change to when it would be given back.
fn cost(of: &Looked, lasted: Duration) -> f64 {
    let (from, to) = of.replicas.filter(|_| of.means.acts()).unwrap_or((0, 0));
    let kept = if to > from { lasted.max(KEPT_MIN) } else { lasted };
    (f64::from(to) - f64::from(from)) * kept.as_secs_f64() / 60.0
}

/// What was done was measured.
fn done(of: &Looked, fates: &Fates) -> (Judgement, String) {
    if let Some(error) = fates.failed.get(&of.id).filter(|_| !fates.was_applied(of.id)) {
        return (Judgement::Open, format!("the cluster did not do it: {error}"));
    }
    match fates.reports.get(&of.id) {
        Some(report) => match report.stage {
            Stage::Verified => (Judgement::Right, report.reason.clone()),
            Stage::NoEffect => (Judgement::Needless, report.reason.clone()),
            Stage::Superseded => (Judgement::Right, "a further step of the same need took its place".into()),
            Stage::Applied | Stage::Judging | Stage::GivenBack => (Judgement::Open, report.reason.clone()),
        },
        None => (Judgement::Open, "nothing is told of its effect".into()),
    }
}

/// What would have been done is measured by how it ended without.
fn would(of: &Looked, incident: &Incident) -> (Judgement, String) {
    let Some(ended) = incident.to else { return (Judgement::Open, "the outage is not over yet".into()) };
    let waited = since(ended, of.at);
    let grows = of.replicas.is_some_and(|(from, to)| to > from);
    let after: Vec<_> = incident.changes.iter().filter(|change| change.at >= of.at).collect();
    let same = after.iter().find(|change| {
        change.service == of.service
            && match (of.replicas, change.replicas) {
                (Some((from, to)), Some((before, after))) => (to > from) == (after > before),
                (None, None) => true, // a pod was replaced, as it would have been
                (Some(_), None) | (None, Some(_)) => false,
            }
    });
    if let Some(change) = same {
        let later = seconds(since(change.at, of.at));
        let then = seconds(since(ended, change.at));
        let why = format!("{} {later} later by somebody else, and {then} after that it was over", change.in_words());
        return (Judgement::Right, why);
    }
    if waited < PODS_TAKE {
        let why = format!("it was over {} later, before new pods would have been ready", seconds(waited));
        return (Judgement::Needless, why);
    }
    if let Some(change) = after.first() {
        let why =
            format!("it ended after something else: {} {} later", change.in_words(), seconds(since(change.at, of.at)));
        return (Judgement::Open, why);
    }
    match incident.load {
        Some((began, ended)) if grows && ended < began * FELL_BELOW => {
            let why = format!(
                "it lasted {} more, until the load fell from {began:.0} to {ended:.0} requests/s",
                seconds(waited)
            );
            (Judgement::Right, why)
        }
        _ if incident.ending == Ending::Headroom => {
            (Judgement::Open, format!("it was over {} later, after headroom did something else", seconds(waited)))
        }
        _ => {
            let why = format!("it was over {} later by itself, at the same load", seconds(waited));
            (Judgement::Open, why)
        }
    }
}

fn told(of: &Looked, incident: &Incident) -> (Judgement, String) {
    match incident.changes.iter().find(|change| change.at >= of.at) {
        Some(change) => {
            let later = seconds(since(change.at, of.at));
            (Judgement::Right, format!("{} {later} later by somebody else", change.in_words()))
        }
        None => (Judgement::Open, "nobody changed it while the outage lasted".into()),
    }
}

/// `42 s`, `7 min`, `3 h`.
pub fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        s if s < 120 => format!("{s} s"),
        s if s < 7_200 => format!("{} min", (s + 30) / 60),
        s => format!("{:.1} h", s as f64 / 3_600.0),
    }
}
