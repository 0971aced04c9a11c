//! An outage: from the first missed objective to the one that is met again.

use std::time::Duration;

use serde::Serialize;

use super::changes::Change;
use super::judgement::{self, Fates, Judged, Means};
use super::{Looked, since};
use crate::analyse::{Findings, Verdict};
use crate::journal::entry::{Entry, What};
use crate::model::{ServiceId, Time};

/// How an outage ended, as far as the journal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// After a change that headroom made to a service at fault.
    Headroom,
    /// After somebody else, or something else, changed a service at fault.
    SomebodyElse,
    /// Nobody changed a service at fault.
    ByItself,
    /// It goes on where the journal ends.
    Unfinished,
}

impl Ending {
    pub const ALL: [Ending; 4] = [Ending::Headroom, Ending::SomebodyElse, Ending::ByItself, Ending::Unfinished];

    pub const fn in_words(self) -> &'static str {
        match self {
            Ending::Headroom => "after headroom acted",
            Ending::SomebodyElse => "after somebody else acted",
            Ending::ByItself => "by itself",
            Ending::Unfinished => "not over yet",
        }
    }
}

/// What was found at an instant of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    pub at: Time,
    /// Of the endpoint that is worst off, 0 to 1.
    pub missed_share: f64,
    /// Requests a second that miss, over all endpoints.
    pub missed_per_s: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Incident {
    pub from: Time,
    /// None: it goes on.
    pub to: Option<Time>,
    pub ending: Ending,
    /// Endpoints that missed their objectives.
    pub entries: Vec<String>,
    /// Services that were named, with their verdicts, in this order.
    pub named: Vec<(String, Verdict)>,
    /// The sentence of the worst that was found.
    pub summary: String,
    pub points: Vec<Point>,
    /// Requests that missed, estimated.
    pub missed_requests: f64,
    /// What others changed meanwhile at services that were named.
    pub changes: Vec<Change>,
    pub decisions: Vec<Judged>,
    /// Arrivals a second at the service named first, when it began and when it ended.
    pub load: Option<(f64, f64)>,
    #[serde(skip)]
    worst: f64,
    #[serde(skip)]
    quiet_since: Option<Time>,
}

/// Met for so long, it is over; missed again before, it is the same outage.
const QUIET: Duration = Duration::from_secs(60);

/// All outages of a journal.
pub(super) fn all(entries: &[Entry]) -> Vec<Incident> {
    let mut incidents = Vec::new();
    let mut open: Option<Incident> = None;
    for Entry { at, what } in entries {
        if let Some(ended) = open.take_if(|open| open.quiet_since.is_some_and(|since| *at >= since + QUIET)) {
            incidents.push(ended);
        }
        let What::Found { findings } = what else { continue };
        if findings.blind {
            continue; // nothing is known of then
        }
        if findings.bottlenecks.is_empty() {
            if let Some(open) = open.as_mut().filter(|open| open.quiet_since.is_none()) {
                open.quiet_since = Some(*at);
                open.see_load(findings);
                open.points.push(Point { at: *at, missed_share: 0.0, missed_per_s: 0.0 });
            }
            continue;
        }
        open.get_or_insert_with(|| Incident::begins(*at)).see(*at, findings);
    }
    incidents.extend(open);
    for incident in &mut incidents {
        incident.to = incident.quiet_since;
        // What misses as the journal ends has missed until then.
        let end = incident.to.or(entries.last().map(|entry| entry.at));
        let ends = incident.points.iter().skip(1).map(|point| point.at).chain(end);
        let missed = incident
            .points
            .iter()
            .zip(ends)
            .map(|(point, end)| point.missed_per_s * end.seconds_since(point.at).max(0.0));
        // Not `sum`: that of nothing is -0, and people read it.
        incident.missed_requests = missed.fold(0.0, |all, some| all + some);
    }
    incidents
}

impl Incident {
    fn begins(at: Time) -> Incident {
        Incident {
            from: at,
            to: None,
            ending: Ending::Unfinished,
            entries: Vec::new(),
            named: Vec::new(),
            summary: String::new(),
            points: Vec::new(),
            missed_requests: 0.0,
            changes: Vec::new(),
            decisions: Vec::new(),
            load: None,
            worst: -1.0,
            quiet_since: None,
        }
    }

    fn see(&mut self, at: Time, findings: &Findings) {
        self.quiet_since = None;
        let missed = findings.entries.iter().filter(|entry| entry.missed);
        let missed_per_s =
            missed.map(|entry| entry.missed_share * entry.requests_per_s).fold(0.0, |all, one| all + one);
        let mut missed_share = 0.0_f64;
        for b in &findings.bottlenecks {
            missed_share = missed_share.max(b.missed_share);
            if !self.entries.contains(&b.entry) {
                self.entries.push(b.entry.clone());
            }
            let named = (b.service.clone(), b.verdict);
            if !self.named.contains(&named) {
                self.named.push(named);
            }
            if b.missed_share > self.worst {
                self.worst = b.missed_share;
                self.summary = b.summary();
            }
        }
        self.points.push(Point { at, missed_share, missed_per_s });
        self.see_load(findings);
    }

    fn see_load(&mut self, findings: &Findings) {
        let first = self.named.first().map(|(service, _)| service.as_str()).unwrap_or_default();
        if let Some(service) = findings.service(first) {
            let now = service.arrivals_per_s;
            self.load = Some(self.load.map_or((now, now), |(began, _)| (began, now)));
        }
    }

    /// A decision of then belongs to it. What was decided in its last seconds, as it ended, does.
    pub(super) fn holds(&self, at: Time) -> bool {
        self.from <= at && self.to.is_none_or(|to| at <= to)
    }

    pub fn lasted(&self, now: Time) -> Duration {
        since(self.to.unwrap_or(now), self.from)
    }

    /// Whether a service was named in it, by whole identity or bare name.
    pub fn names(&self, service: &str) -> bool {
        let bare = |service: &str| ServiceId::from(service).name().to_owned();
        self.named.iter().any(|(named, _)| named == service || bare(named) == bare(service))
    }

    /// Draws the conclusions: what others did, how it ended, and how its decisions look.
    pub(super) fn close(&mut self, changes: &[Change], fates: &Fates, decided: Vec<Looked>, now: Time) {
        let of_it = changes.iter().filter(|change| self.holds(change.at) && self.names(&change.service));
        self.changes = of_it.cloned().collect();
        let acted = decided.iter().any(|looked| looked.means == Means::Done && fates.was_applied(looked.id));
        self.ending = match self.to {
            None => Ending::Unfinished,
            // Both may have: then what headroom did came first, or it would have found nothing to do.
            Some(_) if acted => Ending::Headroom,
            Some(_) if !self.changes.is_empty() => Ending::SomebodyElse,
            Some(_) => Ending::ByItself,
        };
        self.decisions = decided.into_iter().map(|looked| judgement::within(looked, self, fates, now)).collect();
    }
}
