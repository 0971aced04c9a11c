//! The sentences of a report, the same in each of its forms.

use std::time::Duration;

use crate::analyse::sentences::percent;
use crate::journal::hindsight::{Ending, Hindsight, Incident, Judged, Judgement, Means, seconds};
use crate::model::Time;

/// `2026-11-24 14:03:07`.
pub fn clock(at: Time) -> String {
    at.to_string().get(..19).unwrap_or_default().replace('T', " ")
}

pub fn title(report: &Hindsight) -> String {
    format!("headroom from {} to {} UTC", clock(report.from), clock(report.to))
}

/// What a reader in a hurry takes away.
pub fn summary(report: &Hindsight) -> Vec<String> {
    let mut lines = Vec::new();
    match report.incidents.len() {
        0 => lines.push("No objective was missed.".to_owned()),
        n => {
            let outages = if n == 1 { "1 outage".to_owned() } else { format!("{n} outages") };
            let requests: f64 = report.incidents.iter().map(|incident| incident.missed_requests).sum();
            lines.push(format!(
                "{outages}, {} in all, in which about {requests:.0} requests missed their objective.",
                seconds(report.missed())
            ));
            let ends: Vec<String> = (Ending::ALL.into_iter())
                .map(|ending| (report.ended(ending), ending))
                .filter(|(n, _)| *n > 0)
                .map(|(n, ending)| match ending {
                    Ending::Unfinished => format!("{n} is not over yet"),
                    ending => format!("{n} ended {}", ending.in_words()),
                })
                .collect();
            lines.push(format!("Of them {}.", ends.join(", ")));
        }
    }
    lines.extend(steps(report));
    lines.extend(judgements(report));
    if report.blind > 0 {
        lines.push(format!("{} times no spans arrived for a while; nothing is known of then.", report.blind));
    }
    lines
}

fn steps(report: &Hindsight) -> Option<String> {
    let mut first = report.first_steps();
    first.sort();
    let middle = first.get(first.len() / 2)?;
    let is_done = report.judged().any(|judged| judged.of.means == Means::Done);
    let acted = if is_done { "headroom acted" } else { "headroom would have acted" };
    let n = report.incidents.len();
    Some(format!(
        "In {} of {n} {acted}, the first time {} after the first miss (median).",
        first.len(),
        seconds(*middle)
    ))
}

fn judgements(report: &Hindsight) -> Option<String> {
    let acts: Vec<&Judged> = report.judged().filter(|judged| judged.of.means.acts()).collect();
    if acts.is_empty() {
        return None;
    }
    let counts: Vec<String> = (Judgement::ALL.into_iter())
        .map(|judgement| (acts.iter().filter(|judged| judged.judgement == judgement).count(), judgement))
        .filter(|(n, _)| *n > 0)
        .map(|(n, judgement)| format!("{n} {}", judgement.in_words()))
        .collect();
    let added: f64 = acts.iter().map(|judged| judged.replica_minutes.max(0.0)).sum();
    let saved: f64 = acts.iter().map(|judged| judged.replica_minutes.min(0.0)).sum();
    let back = if saved < 0.0 { format!(", {:.0} given back", -saved) } else { String::new() };
    Some(format!(
        "Of {} steps in hindsight: {}. They cost {added:.0} replica-minutes{back}.",
        acts.len(),
        counts.join(", ")
    ))
}

/// One line above the details of an outage.
pub fn heading(incident: &Incident, now: Time) -> String {
    let services: Vec<String> = incident
        .named
        .iter()
        .map(|(service, verdict)| format!("{service} {}", verdict.as_str().replace('_', " ")))
        .collect();
    let lasted = seconds(incident.lasted(now));
    format!("{}, {lasted}: {}", clock(incident.from), services.join(", "))
}

/// What is known of an outage beside its decisions.
pub fn facts(incident: &Incident) -> Vec<String> {
    let worst = incident.points.iter().map(|point| point.missed_share).fold(0.0, f64::max);
    let mut facts = vec![
        format!("{}.", incident.summary),
        format!(
            "At worst {} of the requests missed, about {:.0} in all. {}.",
            percent(worst),
            incident.missed_requests,
            match incident.ending {
                Ending::Unfinished => "It is not over yet".to_owned(),
                ending => format!("It ended {}", ending.in_words()),
            }
        ),
    ];
    if let Some((began, ended)) = incident.load {
        facts.push(format!(
            "Load at the service named first: {began:.0} requests/s as it began, {ended:.0} as it ended."
        ));
    }
    facts.extend(
        incident.changes.iter().map(|change| format!("{}: {}, not by headroom.", clock(change.at), change.in_words())),
    );
    if incident.decisions.is_empty() {
        facts.push("headroom proposed nothing.".into());
    }
    facts
}

/// `would scale auth 2 -> 6`, with the gates that would refuse it.
pub fn step(judged: &Judged) -> String {
    let effect = &judged.of.effect;
    let gates = judged.of.refused_by.join(", ");
    match judged.of.means {
        Means::Done => effect.clone(),
        Means::Would if gates.is_empty() => format!("would {effect}"),
        Means::Would => format!("would {effect} (refused by {gates})"),
        Means::Told => "notification".into(),
        Means::Refused => format!("{effect}: refused by {gates}"),
    }
}

/// After the outage began.
pub fn after(judged: &Judged, incident: &Incident) -> String {
    let after = judged.of.at.nanos_since(incident.from).max(0) as u64; // not negative
    format!("+{}", seconds(Duration::from_nanos(after)))
}
