//! Systems that nobody drew by hand: a service graph, its load, its telemetry and one fault, all from a seed. Whoever
//! mends an analysis on the scenarios that are shipped fits it to them; these are thousands of others.
//!
//! `graph` draws the services, `plan` what goes wrong, `surroundings` what a diagnosis has to live with (lost spans,
//! wrong clocks, missing columns), `write` makes a scenario of them.

mod chance;
mod graph;
mod plan;
mod surroundings;
mod write;

use self::chance::Chance;
use self::graph::System;
use super::random::{Key, Purpose};
use super::scenario::{Scenario, ScenarioError};

/// When the fault begins; healthy time before it is as long as what is recorded of the incident, or longer.
pub const ONSET_S: f64 = 60.0;

/// When it ends, in scenarios that are played to their end.
const ENDS_S: f64 = ONSET_S + 300.0;

/// How long recordings go on after the onset.
pub const INCIDENT_S: f64 = 40.0;

/// Graphs that are drawn until one has room for the fault: a caller with calls, a service that is asked enough.
const GRAPHS_MAX: u64 = 1_000;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// More load than the pods of a service can serve.
    Saturated,
    /// Own work takes longer, at the same load and version.
    Degraded,
    /// One pod is slow.
    BadInstance,
    /// A new version is slow.
    Regression,
    /// A new version calls more often.
    Amplification,
    /// A database or a third party is slow.
    SlowDependency,
    /// Calls arrive late, from all callers.
    SlowEdge,
    /// Calls arrive late, from one of several callers.
    SlowEdgeOne,
    /// A share of the calls is lost on the way.
    LossyLink,
    /// Calls wait for a connection at their caller.
    ExhaustedPool,
    /// Calls are refused at once.
    Refused,
    /// Calls are not answered at all.
    BlackHole,
    /// A share of the requests ends in an error that begins here.
    Failing,
    /// A share of the requests is answered early, as if all was well.
    EarlyReturn,
    /// Two of the others, at different places.
    Two,
    /// Nothing, or what hurts nobody: a release, more load where there is room.
    None,
}

impl Kind {
    /// Those in which something is at fault.
    pub const FAULTS: [Kind; 15] = [
        Kind::Saturated,
        Kind::Degraded,
        Kind::BadInstance,
        Kind::Regression,
        Kind::Amplification,
        Kind::SlowDependency,
        Kind::SlowEdge,
        Kind::SlowEdgeOne,
        Kind::LossyLink,
        Kind::ExhaustedPool,
        Kind::Refused,
        Kind::BlackHole,
        Kind::Failing,
        Kind::EarlyReturn,
        Kind::Two,
    ];

    /// The kind of this name.
    pub fn by_name(name: &str) -> Option<Kind> {
        Kind::FAULTS.into_iter().chain([Kind::None]).find(|kind| kind.as_str() == name)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Saturated => "saturated",
            Kind::Degraded => "degraded",
            Kind::BadInstance => "bad_instance",
            Kind::Regression => "regression",
            Kind::Amplification => "amplification",
            Kind::SlowDependency => "slow_dependency",
            Kind::SlowEdge => "slow_edge",
            Kind::SlowEdgeOne => "slow_edge_one",
            Kind::LossyLink => "lossy_link",
            Kind::ExhaustedPool => "exhausted_pool",
            Kind::Refused => "refused",
            Kind::BlackHole => "black_hole",
            Kind::Failing => "failing",
            Kind::EarlyReturn => "early_return",
            Kind::Two => "two",
            Kind::None => "none",
        }
    }
}

/// What is drawn beside kind and seed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// This share of all spans is lost at random, whatever else is drawn.
    pub lost: Option<f64>,
}

/// The scenario of this kind and seed, and the text of its file.
///
/// # Errors
/// When the drawn file does not pass its own check; that is a mistake here.
pub fn draw(kind: Kind, seed: u64, terms: Terms) -> Result<(Scenario, String), ScenarioError> {
    let key = Key::of(seed, Purpose::Draw).child(kind as u64);
    let name = format!("{}-{seed}", kind.as_str());
    let drawn = (0..GRAPHS_MAX).find_map(|graph| {
        let mut chance = Chance::new(key.child(graph));
        let mut system = System::draw(&mut chance);
        let plan = plan::draw(kind, &mut system, &mut chance)?;
        Some((chance, system, plan))
    });
    let Some((mut chance, system, plan)) = drawn else {
        let problem = format!("no graph of {GRAPHS_MAX} has room for the fault; report it as a bug");
        return Err(ScenarioError::Invalid { name, problems: vec![problem] });
    };
    let surroundings = surroundings::draw(&system, terms, &mut chance);
    let plan = plan.seen_with(kind, &surroundings.telemetry);
    let text = write::text(kind, &system, plan, surroundings, &mut chance);
    Ok((Scenario::from_yaml(&name, &text)?, text))
}

#[cfg(test)]
mod tests;
