//! What one event asks of each service.

use std::collections::BTreeMap;

use super::Inputs;
use crate::analyse::{Demand, ServiceDemand};
use crate::model::pattern::matches_written_entry;
use crate::schedule::event::Planned;
use crate::schedule::kinds::{Kind, Load};

/// Requests a second of each entry operation for each participant, by kind: as past events were seen to load them.
pub type Learned = BTreeMap<String, BTreeMap<String, f64>>;

/// What an event adds at one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Need {
    /// Work, which pods are made of together with all other work.
    pub(super) erlangs: f64,
    /// Pods, where the operator says what one carries.
    pub(super) pods: f64,
    /// No less than this, as somebody asked for.
    pub(super) least: u32,
    pub(super) because: String,
}

/// What an event asks for, and why some of it is not known. One load of which nothing is known hides no other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asked {
    pub(super) needs: BTreeMap<String, Need>,
    pub(super) notes: Vec<String>,
}

/// # Errors
/// Why it raises nothing.
pub(super) fn of(event: &Planned, kind: Option<&Kind>, inputs: &Inputs<'_>) -> Result<Asked, String> {
    if event.cancelled {
        return Err("it is cancelled".into());
    }
    let mut asked = Asked::default();
    for (service, least) in &event.floors {
        let because = format!("{least} asked for by {}", event.source);
        let name = service_name(inputs.demand, service);
        asked.needs.insert(name, Need { least: *least, because, ..Need::default() });
    }
    let Some(kind) = kind else {
        return if asked.needs.is_empty() { Err(of_no_kind(event)) } else { Ok(asked) };
    };
    let learned;
    let loads = match kind.loads.as_slice() {
        [] => {
            learned = inputs.learned.get(&kind.name).into_iter().flatten();
            let loads = learned
                .map(|(entry, per)| Load::Entry { entry: entry.clone(), per_participant: *per })
                .collect::<Vec<_>>();
            if loads.is_empty() && asked.needs.is_empty() {
                let kind = &kind.name;
                return Err(format!(
                    "what a participant of kind {kind} loads is not known yet; add schedule.kinds.{kind}.loads, or wait for the first such event"
                ));
            }
            loads
        }
        loads => loads.to_vec(),
    };
    let Some(participants) = event.participants.or(kind.participants) else {
        return if asked.needs.is_empty() {
            let kind = &kind.name;
            Err(format!("nobody says how many come; add schedule.kinds.{kind}.participants, or tell it in the event"))
        } else {
            Ok(asked)
        };
    };
    for load in &loads {
        match load {
            Load::Service { service, per_replica } => {
                let need = asked.needs.entry(service_name(inputs.demand, service)).or_default();
                need.pods += f64::from(participants) / per_replica;
                join(&mut need.because, format!("{participants} participants, {per_replica} a replica"));
            }
            Load::Entry { entry, per_participant } => {
                let rate = f64::from(participants) * per_participant;
                add_entry(&mut asked, entry, rate, inputs.demand);
            }
        }
    }
    Ok(asked)
}

fn of_no_kind(event: &Planned) -> String {
    match event.categories.as_slice() {
        [] => "it is of no kind under schedule.kinds".to_owned(),
        categories => {
            format!(
                "it is of no kind under schedule.kinds, which name neither `{}` nor its title",
                categories.join("`, `")
            )
        }
    }
}

fn add_entry(asked: &mut Asked, pattern: &str, rate: f64, demand: &Demand) {
    let is = |known: &&String| matches_written_entry(pattern, known);
    let matching: Vec<&String> = demand.entries.keys().filter(is).collect();
    if matching.is_empty() {
        asked.notes.push(format!(
            "what a request of `{pattern}` asks of which service is not known, so it raises nothing; let some healthy traffic of it be seen, or map services in place of entries"
        ));
        return;
    }
    // Of several that one pattern means each gets its part.
    let rate_each = rate / matching.len() as f64;
    for entry in matching {
        for (service, erlangs) in &demand.entries[entry] {
            let need = asked.needs.entry(service.clone()).or_default();
            need.erlangs += rate_each * erlangs;
            join(&mut need.because, format!("{rate_each:.1}/s of {entry}"));
            let note = format!("what a pod of {service} carries is not known yet, so it is not raised by requests");
            if demand.pods(service, need.erlangs).is_none() && !asked.notes.contains(&note) {
                asked.notes.push(note);
            }
        }
    }
}

fn join(because: &mut String, one: String) {
    if !because.is_empty() {
        because.push_str(", ");
    }
    because.push_str(&one);
}

/// A service by its whole identity, or by its bare name where only one has it.
pub(super) fn service<'a>(demand: &'a Demand, name: &str) -> Option<(&'a str, &'a ServiceDemand)> {
    let whole = demand.services.get_key_value(name);
    let bare = || demand.services.iter().find(|(id, _)| id.rsplit('/').next() == Some(name));
    whole.or_else(bare).map(|(id, known)| (id.as_str(), known))
}

/// As telemetry names it, where it does.
fn service_name(demand: &Demand, name: &str) -> String {
    service(demand, name).map_or(name, |(id, _)| id).to_owned()
}
