//! What events of a kind bring, for each participant, from half an hour before their start to half an hour after their end: so
//! 'an exam of 400' teaches 'an exam of 900'.

use std::collections::BTreeMap;

use super::calendar::{Calendar, PlannedEvent};
use super::series::Series;

/// People come before the bell and leave after it.
const AROUND_S: i64 = 1_800;

/// An event that lasts longer is a season of its own; what is learnt of it ends there.
const LASTS_S_MAX: i64 = 86_400;

/// Participants of one event: a calendar that says a million is taken for a mistake of typing, and costs no more than this.
pub const PARTICIPANTS_MAX: f64 = 100_000.0;

/// Requests for each participant, by buckets from `AROUND_S` before the start.
#[derive(Default)]
struct Profile {
    sums: Vec<f64>,
    /// Participants who were there, for each bucket.
    participants: Vec<f64>,
    /// Requests for each participant of each event, over all of it.
    events: Vec<f64>,
}

/// Of all kinds, and of all together for a kind that was never seen.
#[derive(Default)]
pub(super) struct EventProfiles {
    kinds: BTreeMap<String, Profile>,
    any: Profile,
}

impl Profile {
    fn add(&mut self, place: usize, requests: f64, participants: f64) {
        if self.sums.len() <= place {
            self.sums.resize(place + 1, 0.0);
            self.participants.resize(place + 1, 0.0);
        }
        self.sums[place] += requests;
        self.participants[place] += participants;
    }

    /// How far above the mean the next event may be: as far as any was, and further the fewer there were, as one in n + 1 exceeds all.
    fn excess(&self) -> f64 {
        let count = self.events.len() as f64;
        let mean = self.events.iter().sum::<f64>() / count.max(1.0);
        let most = self.events.iter().copied().fold(mean, f64::max);
        if mean > 0.0 { most / mean - 1.0 + 1.0 / (count + 1.0) } else { 0.0 }
    }

    fn at(&self, place: usize) -> f64 {
        match (self.sums.get(place), self.participants.get(place)) {
            (Some(sum), Some(participants)) if *participants > 0.0 => (sum / participants).max(0.0),
            _ => 0.0,
        }
    }
}

/// The buckets an event touches, each with its place from the first.
fn buckets(series: &Series, length: usize, event: &PlannedEvent) -> impl Iterator<Item = (usize, usize)> {
    let end_s = event.end_s.clamp(event.start_s, event.start_s.saturating_add(LASTS_S_MAX));
    let from = series.index_of(event.start_s.saturating_sub(AROUND_S));
    let until = series.index_of(end_s.saturating_add(AROUND_S));
    (from..=until).enumerate().filter_map(move |(place, index)| {
        usize::try_from(index).ok().filter(|index| *index < length).map(|index| (place, index))
    })
}

fn participants(event: &PlannedEvent) -> f64 {
    if event.participants.is_finite() { event.participants.clamp(0.0, PARTICIPANTS_MAX) } else { 0.0 }
}

impl EventProfiles {
    /// Which buckets some event touches.
    pub(super) fn touched(series: &Series, ahead: usize, calendar: &Calendar) -> Vec<bool> {
        let mut touched = vec![false; series.len() + ahead];
        for event in &calendar.events {
            for (_, index) in buckets(series, touched.len(), event) {
                touched[index] = true;
            }
        }
        touched
    }

    /// From what came beyond the usual while events lasted that were over before `until`.
    pub(super) fn learn(series: &Series, calendar: &Calendar, usual: &[f32], until: usize) -> EventProfiles {
        let mut profiles = EventProfiles::default();
        for event in calendar.events.iter().filter(|event| series.index_of(event.end_s) < until as i64) {
            let participants = participants(event);
            if participants == 0.0 {
                continue;
            }
            let kind = profiles.kinds.entry(event.kind.clone()).or_default();
            let mut sum = 0.0;
            for (place, index) in buckets(series, series.len().min(until), event) {
                let usual = f64::from(usual[index]);
                if let Some(came) = series.at(index) {
                    let more = came - if usual.is_finite() { usual } else { 0.0 };
                    sum += more;
                    kind.add(place, more, participants);
                    profiles.any.add(place, more, participants);
                }
            }
            kind.events.push(sum / participants);
            profiles.any.events.push(sum / participants);
        }
        profiles
    }

    /// Requests that all events together are to bring, by bucket, and what they may bring at most.
    pub(super) fn expected(&self, series: &Series, ahead: usize, calendar: &Calendar) -> Vec<[f32; 2]> {
        let mut expected = vec![[0.0; 2]; series.len() + ahead];
        for event in &calendar.events {
            let profile = self.kinds.get(&event.kind).unwrap_or(&self.any);
            let excess = profile.excess();
            for (place, index) in buckets(series, expected.len(), event) {
                let more = profile.at(place) * participants(event);
                expected[index][0] += more as f32;
                expected[index][1] += (more * (1.0 + excess)) as f32;
            }
        }
        expected
    }
}

/// For each bucket the event that is nearest: minutes to its start (negative once it runs) and its participants; NaN where none is.
pub(super) fn nearest(series: &Series, ahead: usize, calendar: &Calendar) -> Vec<[f32; 2]> {
    let mut near = vec![[f32::NAN; 2]; series.len() + ahead];
    for event in &calendar.events {
        for (_, index) in buckets(series, near.len(), event) {
            let minutes = event.start_s.saturating_sub(series.second_of(index)) as f32 / 60.0;
            let [before, people] = near[index];
            let is_nearer = before.is_nan() || (minutes.abs(), -participants(event) as f32) < (before.abs(), -people);
            if is_nearer {
                near[index] = [minutes, participants(event) as f32];
            }
        }
    }
    near
}
