//! Events of a service laid over one another: stretches of time in which the same events ask, each with what it is granted.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Timelike, Utc};
use chrono_tz::Tz;

use super::needs::Need;
use super::{DAY_S, Inputs, Step, id};
use crate::model::{Origin, Time};
use crate::schedule::bounds::shown;
use crate::schedule::event::Planned;

/// What one event asks of a service, and when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Want {
    /// Its index.
    pub(super) event: usize,
    pub(super) from: Time,
    pub(super) until: Time,
    pub(super) need: Need,
}

/// A stretch of time of one service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) service: String,
    pub(super) from: Time,
    pub(super) until: Time,
    /// Indices among the wants of the service.
    pub(super) wants: Vec<usize>,
    /// Indices of the events.
    events: Vec<usize>,
    pub(super) replicas: u32,
    pub(super) usual: u32,
    /// Why it is less than was asked for.
    pub(super) cut: Option<String>,
}

pub(super) struct Segments {
    pub(super) all: Vec<Segment>,
    /// Replica-hours by day.
    pub(super) spent: BTreeMap<i64, f64>,
}

const HOUR_S: f64 = 3_600.0;

/// Events of a service up to which each begins and ends by itself; of more, those of a quarter of an hour do together. Without it:
/// a thousand events that begin a second apart are two thousand stretches of a thousand events each.
const FINE_MAX: usize = 100;
const COARSE_S: i64 = 15 * 60;

/// Where many events ask, each asks from the quarter of an hour in which it begins to the end of that in which it ends.
pub(super) fn coarsen(wants: &mut [Want]) {
    if wants.len() <= FINE_MAX {
        return;
    }
    for want in wants {
        want.from = Time::from_secs(want.from.second().div_euclid(COARSE_S) * COARSE_S);
        want.until = Time::from_secs((want.until.second() + COARSE_S - 1).div_euclid(COARSE_S) * COARSE_S);
    }
}

/// What comes first is granted first, up to what a day may cost.
pub(super) fn granted(wanted: &BTreeMap<String, Vec<Want>>, inputs: &Inputs<'_>) -> Segments {
    let mut all: Vec<Segment> = wanted.iter().flat_map(|(service, wants)| of_service(service, wants, inputs)).collect();
    all.sort_by(|a, b| a.from.cmp(&b.from).then_with(|| a.service.cmp(&b.service)));
    let mut spent = inputs.spent.clone();
    let most = inputs.settings.replica_hours_a_day;
    for segment in &mut all {
        let hours = segment.until.seconds_since(segment.from.max(inputs.from)).max(0.0) / HOUR_S;
        let added = segment.replicas.saturating_sub(segment.usual);
        let day = segment.from.max(inputs.from).second().div_euclid(DAY_S);
        let of_day = spent.entry(day).or_default();
        let left = (most - *of_day).max(0.0);
        let affordable = if hours > 0.0 { (left / hours).floor().min(f64::from(u32::MAX)) as u32 } else { added };
        if affordable < added {
            let zone = inputs.settings.zone;
            let (from, until) = (wall_clock(segment.from, zone), wall_clock(segment.until, zone));
            let left = match segment.usual + affordable {
                _ if affordable == 0 => "what runs usually".to_owned(),
                left => left.to_string(),
            };
            segment.cut = Some(format!(
                "from {from} to {until} ({}) cut from {} replicas of {} to {left}: the events of a day may cost {most} replica-hours (schedule.replica_hours_a_day)",
                zone.name(),
                segment.replicas,
                segment.service
            ));
            segment.replicas = segment.usual + affordable;
        }
        *of_day += f64::from(added.min(affordable)) * hours;
    }
    Segments { all, spent }
}

/// The stretches between which something begins or ends, days among them.
fn of_service(service: &str, wants: &[Want], inputs: &Inputs<'_>) -> Vec<Segment> {
    let mut edges: BTreeSet<Time> = wants.iter().flat_map(|want| [want.from, want.until]).collect();
    let days = |time: &Time| time.second().div_euclid(DAY_S);
    let (first, last) = (edges.first().map_or(0, days), edges.last().map_or(0, days));
    // A want lasts a day and a few hours at most, and what is looked at some weeks.
    edges.extend((first + 1..=last).map(|day| Time::from_secs(day * DAY_S)));
    let edges: Vec<Time> = edges.into_iter().collect();
    let usual_load = Usual::of(service, inputs);
    let usual = usual_load.replicas();
    let segment = |edges: &[Time]| {
        let (from, until) = (edges[0], edges[1]);
        let asks: Vec<usize> =
            (0..wants.len()).filter(|&at| wants[at].from <= from && from < wants[at].until).collect();
        if asks.is_empty() || until <= inputs.from {
            return None;
        }
        let replicas = usual_load.with(asks.iter().map(|&at| &wants[at].need));
        let events = asks.iter().map(|&at| wants[at].event).collect();
        (replicas > usual).then(|| Segment {
            service: service.to_owned(),
            from,
            until,
            wants: asks,
            events,
            replicas,
            usual,
            cut: None,
        })
    };
    edges.windows(2).filter_map(segment).collect()
}

/// What a service carries without any event.
pub(super) struct Usual<'a> {
    service: &'a str,
    inputs: &'a Inputs<'a>,
    erlangs: f64,
    /// None where nothing tells what a pod carries.
    pods: Option<f64>,
}

impl<'a> Usual<'a> {
    pub(super) fn of(service: &'a str, inputs: &'a Inputs<'a>) -> Usual<'a> {
        let erlangs = inputs.demand.services.get(service).map_or(0.0, |known| known.usual);
        Usual { service, inputs, erlangs, pods: inputs.demand.pods(service, erlangs) }
    }

    fn replicas(&self) -> u32 {
        self.pods.map_or(0, |pods| pods.ceil() as u32)
    }

    /// The same, for people: None where no load was measured.
    pub(super) fn known(&self) -> Option<u32> {
        Some(self.replicas()).filter(|replicas| *replicas > 0)
    }

    /// Replicas of both that and all of these.
    pub(super) fn with<'n>(&self, needs: impl Iterator<Item = &'n Need> + Clone) -> u32 {
        let erlangs: f64 = needs.clone().map(|need| need.erlangs).sum();
        let pods = self.inputs.demand.pods(self.service, self.erlangs + erlangs).or(self.pods).unwrap_or(0.0);
        // Pods that the operator counts come beside those of usual work.
        let pods = pods + needs.clone().map(|need| need.pods).sum::<f64>();
        let replicas = (pods - 1e-9).ceil().max(0.0) as u32; // a whole number may come out a hair above itself
        needs.map(|need| need.least).max().unwrap_or(0).max(replicas)
    }
}

fn wall_clock(time: Time, zone: Tz) -> String {
    let there = DateTime::<Utc>::from_timestamp(time.second(), 0).unwrap_or_default().with_timezone(&zone);
    format!("{:02}:{:02}", there.hour(), there.minute())
}

impl Segments {
    /// What is held. What the usual load needs is no floor of ours.
    pub(super) fn steps<'a>(&self, event: impl Fn(usize) -> &'a Planned) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut by_service: Vec<&Segment> = self.all.iter().filter(|of| of.replicas > of.usual).collect();
        by_service.sort_by(|a, b| a.service.cmp(&b.service).then_with(|| a.from.cmp(&b.from)));
        for segment in by_service {
            let Segment { service, replicas, from, until, .. } = segment;
            let origin = Origin::Schedule(title(segment.events.iter().map(|&index| event(index).title.as_str())));
            let events = segment.events.iter().map(|&index| event(index).id.clone()).collect();
            let (from, until, replicas) = (*from, *until, *replicas);
            let step = Step { service: id(service), origin, replicas, from, until, events };
            match steps.last_mut() {
                Some(last) if continues(last, &step) => last.until = step.until,
                _ => steps.push(step),
            }
        }
        steps
    }
}

fn continues(last: &Step, next: &Step) -> bool {
    (&last.service, &last.events, last.replicas, last.until) == (&next.service, &next.events, next.replicas, next.from)
}

/// Of several events two are named.
fn title<'a>(titles: impl Iterator<Item = &'a str>) -> String {
    let titles: Vec<&str> = titles.collect();
    shown(&match titles.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, other] => format!("{one} and {other}"),
        [one, other, rest @ ..] => format!("{one}, {other} and {} more", rest.len()),
    })
}
