//! The plan as people read it: day by day, in the time zone of the schedule.

use std::io::Write;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::commands::error::Error;
use crate::commands::table::aligned;
use crate::model::Time;
use crate::schedule::{Plan, Problems, Raised, Settings};

pub(super) fn write(plan: &Plan, settings: &Settings, problems: &Problems, out: &mut dyn Write) -> Result<(), Error> {
    let zone = settings.zone;
    let mut day = String::new();
    if plan.events.is_empty() {
        writeln!(out, "nothing is planned")?;
    }
    for raised in &plan.events {
        let of = format!("{}, {}", at(raised.event.starts, zone).format("%A %Y-%m-%d"), zone.name());
        if of != day {
            writeln!(out, "{}{of}", if day.is_empty() { "" } else { "\n" })?;
            day = of;
        }
        event(raised, zone, out)?;
    }
    for (day, hours) in plan.replica_hours.iter().filter(|(_, hours)| **hours > 0.0) {
        let most = settings.replica_hours_a_day;
        writeln!(out, "\n{day} (UTC): {hours:.1} of {most} replica-hours that the events of a day may cost")?;
    }
    if !problems.told().is_empty() {
        writeln!(out, "\nleft out:")?;
    }
    problems.told().iter().try_for_each(|problem| writeln!(out, "  {problem}"))?;
    if problems.more() > 0 {
        writeln!(out, "  and {} more", problems.more())?;
    }
    Ok(())
}

fn event(raised: &Raised, zone: Tz, out: &mut dyn Write) -> Result<(), Error> {
    let Raised { event, kind, raises, notes } = raised;
    let time = |time: Time| at(time, zone).format("%H:%M").to_string();
    let kind = kind.as_deref().unwrap_or("no kind");
    let many = event.participants.map_or_else(String::new, |count| format!(", {count} participants"));
    let title = if event.title.is_empty() { "without title" } else { &event.title };
    let cancelled = if event.cancelled { " CANCELLED" } else { "" };
    let (starts, ends) = (time(event.starts), time(event.ends));
    writeln!(out, "  {starts} to {ends}  {title}{cancelled} ({kind}{many}, from {})", event.source)?;
    let rows: Vec<Vec<String>> = raises
        .iter()
        .map(|raise| {
            let from = at(raise.from, zone).format("%H:%M:%S").to_string();
            let replicas = format!("{} to {} replicas until {}", raise.usual, raise.replicas, time(raise.until));
            vec![from, raise.service.clone(), replicas, raise.because.clone()]
        })
        .collect();
    aligned(&rows).iter().try_for_each(|line| writeln!(out, "    {line}"))?;
    notes.iter().try_for_each(|note| writeln!(out, "    {note}"))?;
    Ok(())
}

/// As the clock on the wall there.
fn at(time: Time, zone: Tz) -> DateTime<Tz> {
    DateTime::<Utc>::from_timestamp(time.second(), 0).unwrap_or_default().with_timezone(&zone)
}
