//! Recordings of drawn systems: healthy time and an incident, with what is right to say of it.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::error::Error;
use super::scenario::START;
use super::traces::Traces;
use crate::model::Time;
use crate::receive::decode;
use crate::simulate::draw::{self, INCIDENT_S, Kind, ONSET_S, Terms};
use crate::simulate::{EntryMeasures, Scenario, Simulation};

/// The first seconds are left out: the system is empty at its start.
const FROM_S: f64 = 2.0;

/// Healthy time ends this long before the onset: root spans of hosts whose clocks are wrong look older or younger.
const MARGIN_S: f64 = 6.0;

/// Traces that began in the incident get this long to end and to arrive.
const DRAIN_S: f64 = 8.0;

/// Requests that miss their objective, at least, and their share: drawn objectives are those of a 99th percentile.
const FELT_MIN: u64 = 3;
const FELT_SHARE: f64 = 0.02;

/// A scenario that samples says so in every span; one that does not sends them all.
const ASSUME_WEIGHT: Option<f64> = Some(1.0);

/// What was recorded of one drawn system.
pub struct Recorded {
    pub scenario: Scenario,
    /// As they were sent, in order of arrival.
    pub requests: Vec<ExportTraceServiceRequest>,
    /// Some user missed an objective after the onset.
    pub is_felt: bool,
}

/// More miss their objective than may, and not by the chance of a request or two.
fn is_felt(entry: &EntryMeasures) -> bool {
    let missed = entry.slow + entry.refused + entry.failed + entry.timed_out;
    entry.first_missed_s.is_some() && missed >= FELT_MIN && missed as f64 > FELT_SHARE * entry.requests as f64
}

/// The part of a recording that a trace belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Normal,
    Incident,
}

impl Recorded {
    /// Draws and simulates.
    pub fn of(kind: Kind, seed: u64, terms: Terms) -> Result<Recorded, Error> {
        let (scenario, _) = draw::draw(kind, seed, terms)?;
        let mut simulation = Simulation::new(&scenario, seed, START);
        let until = at(ONSET_S + INCIDENT_S + DRAIN_S);
        let requests = simulation.run_until(until).into_iter().map(|delivery| delivery.request).collect();
        let is_felt = simulation.measures().entries.iter().any(is_felt);
        Ok(Recorded { scenario, requests, is_felt })
    }

    /// The spans the way they really come: encoded, decoded, put together.
    pub fn traces(&self) -> Result<Traces, Error> {
        let options = decode::Options { assume_weight: ASSUME_WEIGHT, ..decode::Options::default() };
        let mut traces = Traces::default();
        for request in &self.requests {
            let decoded = decode::decode(decode::Encoding::Protobuf, &request.encode_to_vec(), &options)?;
            traces.add(decoded.batch);
        }
        traces.group();
        Ok(traces)
    }
}

/// Where a trace belongs that began then; None between the two, and at either end.
pub fn part_of(start: Time) -> Option<Part> {
    let within = |from_s: f64, to_s: f64| (at(from_s)..at(to_s)).contains(&start);
    if within(FROM_S, ONSET_S - MARGIN_S) {
        Some(Part::Normal)
    } else if within(ONSET_S, ONSET_S + INCIDENT_S) {
        Some(Part::Incident)
    } else {
        None
    }
}

fn at(seconds: f64) -> Time {
    Time(START.0 + (seconds * 1e9) as i64)
}
