//! The plan as people read it: day by day, in the time zone of the schedule.

use std::io::Write;

use chrono::{DateTime, NaiveTime, Utc};
use chrono_tz::Tz;

use crate::api::Planning;
use crate::commands::error::Error;
use crate::commands::table::aligned;
use crate::model::cluster::replicas;
use crate::model::{Origin, Time};
use crate::schedule::{Plan, Raise, Raised, Step};

/// `wide`: with what each event is known by, and all that is held.
pub(super) fn write(planning: &Planning, wide: bool, out: &mut dyn Write) -> Result<(), Error> {
    let Planning { plan, zone, replica_hours_a_day: most, problems, problems_left_out, .. } = planning;
    let mut day = String::new();
    if plan.events.is_empty() {
        writeln!(out, "nothing is planned")?;
    }
    for raised in &plan.events {
        let of = format!("{}, {}", at(raised.event.starts, *zone).format("%A %Y-%m-%d"), zone.name());
        if of != day {
            writeln!(out, "{}{of}", if day.is_empty() { "" } else { "\n" })?;
            day = of;
        }
        event(raised, *zone, wide, out)?;
    }
    held(plan, *zone, wide, out)?;
    for (day, hours) in plan.replica_hours.iter().filter(|(_, hours)| **hours > 0.0) {
        writeln!(out, "\n{day} (UTC): {hours:.1} of {most} replica-hours that the events of a day may cost")?;
    }
    if !problems.is_empty() {
        writeln!(out, "\nleft out:")?;
    }
    problems.iter().try_for_each(|problem| writeln!(out, "  {problem}"))?;
    if *problems_left_out > 0 {
        writeln!(out, "  and {problems_left_out} more")?;
    }
    Ok(())
}

fn event(raised: &Raised, zone: Tz, wide: bool, out: &mut dyn Write) -> Result<(), Error> {
    let Raised { event, kind, planned_for, raises, notes } = raised;
    let kind = kind.as_deref().unwrap_or("no kind");
    let many = match (event.participants, planned_for) {
        (Some(count), _) => format!(", {count} participants"),
        (None, Some(count)) => format!(", {count} participants by its kind"),
        (None, None) => String::new(),
    };
    let title = if event.title.is_empty() { "without title" } else { &event.title };
    let cancelled = if event.cancelled { " CANCELLED" } else { "" };
    writeln!(out, "  {}  {title}{cancelled} ({kind}{many}, from {})", when(raised, zone), event.source)?;
    if wide {
        writeln!(out, "    {}, revision {}", event.id, event.revision)?;
    }
    let clock = |time: Time, format: &str| clock(time, event.starts, zone, format);
    let rows: Vec<Vec<String>> = raises
        .iter()
        .map(|raise| {
            let Raise { service, replicas: to, usual, from, until, because } = raise;
            let (from, until) = (clock(*from, "%H:%M:%S"), clock(*until, "%H:%M"));
            let raised = match usual {
                Some(usual) => format!("{usual} to {} until {until}", replicas(*to)),
                None => format!("{} until {until}, usual not known", replicas(*to)),
            };
            vec![from, service.clone(), raised, because.clone()]
        })
        .collect();
    aligned(&rows).iter().try_for_each(|line| writeln!(out, "    {line}"))?;
    notes.iter().try_for_each(|note| writeln!(out, "    {note}"))?;
    Ok(())
}

/// From when to when it is.
fn when(raised: &Raised, zone: Tz) -> String {
    let (starts, ends) = (raised.event.starts, raised.event.ends);
    let is_midnight = |time: Time| at(time, zone).time() == NaiveTime::MIN;
    if ends <= starts {
        format!("at {}", clock(starts, starts, zone, "%H:%M"))
    } else if is_midnight(starts) && is_midnight(ends) {
        "all day".to_owned()
    } else {
        format!("{} to {}", clock(starts, starts, zone, "%H:%M"), clock(ends, starts, zone, "%H:%M"))
    }
}

/// What is held, of services where that is not what one event alone asks for: events overlap, or a day may not cost so much.
fn held(plan: &Plan, zone: Tz, wide: bool, out: &mut dyn Write) -> Result<(), Error> {
    let is_alone = |step: &Step| {
        let raises = plan.events.iter().filter(|raised| step.events == [raised.event.id.as_str()]);
        let mut raises = raises.flat_map(|raised| &raised.raises);
        raises.any(|raise| (raise.replicas, raise.from, raise.until) == (step.replicas, step.from, step.until))
    };
    let is_granted = |service: &str| {
        let mut raised = plan.events.iter().filter(|of| of.raises.iter().any(|raise| raise.service == service));
        raised.all(|of| {
            plan.floors.iter().any(|step| step.service.as_str() == service && step.events.contains(&of.event.id))
        })
    };
    let differs = |service: &str| {
        let mut of_it = plan.floors.iter().filter(|step| step.service.as_str() == service);
        of_it.any(|step| !is_alone(step)) || !is_granted(service)
    };
    let steps = plan.floors.iter().filter(|step| wide || differs(step.service.as_str()));
    let rows: Vec<Vec<String>> = steps
        .map(|step| {
            let Step { service, origin, replicas: held, from, until, .. } = step;
            let title = match origin {
                Origin::Schedule(title) => title.clone(),
                other => other.in_words(),
            };
            let day = at(*from, zone).format("%Y-%m-%d").to_string();
            let span =
                format!("{} to {}", clock(*from, *from, zone, "%H:%M:%S"), clock(*until, *from, zone, "%H:%M:%S"));
            vec![day, span, service.to_string(), replicas(*held), title]
        })
        .collect();
    if !rows.is_empty() {
        writeln!(out, "\nheld in all, where events overlap or are cut, {}", zone.name())?;
    }
    aligned(&rows).iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    Ok(())
}

/// As the clock on the wall there says, with the day of the week where it is another day than that of `beside`.
fn clock(time: Time, beside: Time, zone: Tz, format: &str) -> String {
    let (time, beside) = (at(time, zone), at(beside, zone));
    let day = if time.date_naive() == beside.date_naive() { String::new() } else { time.format("%a ").to_string() };
    format!("{day}{}", time.format(format))
}

fn at(time: Time, zone: Tz) -> DateTime<Tz> {
    DateTime::<Utc>::from_timestamp(time.second(), 0).unwrap_or_default().with_timezone(&zone)
}
