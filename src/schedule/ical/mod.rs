//! iCalendar (RFC 5545): a feed's text to the occurrences that lie in a stretch of time.
//!
//! What is wrong with one event leaves that event out and is said; the others are taken. Nothing here grows with what a
//! feed asks for: its components, the instants of its recurrences and its occurrences are bounded.

mod recurrence;
mod when;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use calcard::icalendar::{
    ICalendar, ICalendarComponent, ICalendarComponentType, ICalendarMethod, ICalendarParameterName, ICalendarProperty,
    ICalendarStatus, ICalendarValue,
};
use calcard::{Entry, Parser};

use super::bounds::{COMPONENTS_MAX, LASTS_MAX, OCCURRENCES_MAX, STEPS_IN_ALL_MAX, is_whole_calendar, shown};
use super::event::{Planned, Problems, believable};
use crate::model::Time;
use recurrence::{Rule, Steps};
use when::{Moment, Zones};

/// What is asked of a calendar.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Its name.
    pub source: &'a str,
    /// The time zone of what names none.
    pub zone: chrono_tz::Tz,
    /// The property that says how many come, beside our own.
    pub participants: Option<&'a str>,
    /// More than anybody expects to come at once: an error of the calendar.
    pub participants_max: u32,
    pub from: Time,
    pub until: Time,
}

/// The property that says how many come, where no other is named.
const PARTICIPANTS: &str = "X-HEADROOM-PARTICIPANTS";

/// The occurrences that meet the stretch of time asked for.
pub fn read(text: &str, asked: &Asked<'_>, problems: &mut Problems) -> Vec<Planned> {
    let mut parser = Parser::new(text);
    let mut series: BTreeMap<String, Series> = BTreeMap::new();
    let (mut components, mut calendars, mut unreadable) = (0, 0, 0);
    loop {
        match parser.entry() {
            Entry::ICalendar(calendar) => {
                calendars += 1;
                components += calendar.components.len();
                if components > COMPONENTS_MAX {
                    problems.add(asked.source, "", too_many());
                    break;
                }
                gather(&calendar, asked, &mut series, problems);
            }
            Entry::Eof => break,
            Entry::TooManyComponents => {
                problems.add(asked.source, "", too_many());
                break;
            }
            // Of components that do not end, lines that are none, and whatever else may stand in a file.
            _ => unreadable += 1,
        }
    }
    if calendars == 0 {
        problems.add(
            asked.source,
            "",
            "is no iCalendar: it has no BEGIN:VCALENDAR; name a file or feed in that format",
        );
    } else if !is_whole_calendar(text) {
        problems.add(asked.source, "", "does not end with END:VCALENDAR: it was cut off; fetch it again");
    } else if unreadable > 0 {
        problems.add(asked.source, "", format!("{unreadable} of its lines cannot be read and are left out"));
    }
    occurrences(series, asked, problems)
}

fn too_many() -> String {
    format!("has more than {COMPONENTS_MAX} components; the rest is left out, split the calendar")
}

/// All words of a calendar on one UID: the event, and occurrences of it that were moved, changed or cancelled.
#[derive(Default)]
struct Series {
    /// The highest revision, and of equal ones the last that stands in the feed.
    event: Option<Told>,
    /// By the instant that they were planned for first.
    others: BTreeMap<Time, Told>,
    /// From this instant on all occurrences move by so much and are otherwise as told.
    from_then_on: Vec<(Time, Told)>,
}

/// One component.
#[derive(Clone)]
struct Told {
    planned: Planned,
    starts: Moment,
    lasts: Duration,
    rules: Vec<Rule>,
    more: Vec<Time>,
    except: BTreeSet<Time>,
}

fn gather(calendar: &ICalendar, asked: &Asked<'_>, series: &mut BTreeMap<String, Series>, problems: &mut Problems) {
    let zones = Zones::of(calendar, asked.zone);
    // A calendar that cancels what it lists (RFC 5546).
    let is_cancelling = calendar.components.first().is_some_and(|root| {
        let method = root.property(&ICalendarProperty::Method).and_then(|entry| entry.values.first());
        matches!(method, Some(ICalendarValue::Method(ICalendarMethod::Cancel)))
    });
    for component in calendar.components.iter().filter(|of| of.component_type == ICalendarComponentType::VEvent) {
        let title = text(component, &ICalendarProperty::Summary).unwrap_or_default();
        let uid = text(component, &ICalendarProperty::Uid);
        let named = shown(if title.is_empty() { uid.unwrap_or("an event without title") } else { title });
        match told(component, &named, &zones, asked, is_cancelling) {
            Ok((told, replaces)) => {
                // Without a UID two events are the same that begin alike.
                let uid = uid.map_or_else(|| format!("{named}@{}", told.starts.at), shown);
                let of = series.entry(uid).or_default();
                match replaces {
                    None => newer(&mut of.event, told),
                    Some((instant, true)) => of.from_then_on.push((instant, told)),
                    Some((instant, false)) => {
                        let mut held = of.others.remove(&instant);
                        newer(&mut held, told);
                        of.others.extend(held.map(|told| (instant, told)));
                    }
                }
            }
            Err(cause) => problems.add(asked.source, &named, cause),
        }
    }
}

fn newer(held: &mut Option<Told>, told: Told) {
    if held.as_ref().is_none_or(|held| held.planned.revision <= told.planned.revision) {
        *held = Some(told);
    }
}

/// A component, and the instant of the occurrence that it stands for, with all after it or alone.
type Read = (Told, Option<(Time, bool)>);

fn told(
    component: &ICalendarComponent,
    title: &str,
    zones: &Zones,
    asked: &Asked<'_>,
    is_cancelling: bool,
) -> Result<Read, String> {
    let replaces = component.property(&ICalendarProperty::RecurrenceId);
    let replaces = replaces.map(|entry| {
        let instant = zones.instant(entry)?.ok_or("its RECURRENCE-ID is no time; correct it")?;
        let all_after = entry.has_parameter(&ICalendarParameterName::Range);
        Ok::<_, String>((instant, all_after))
    });
    let replaces = replaces.transpose()?;
    let starts = component.property(&ICalendarProperty::Dtstart).map(|entry| zones.instant(entry)).transpose()?;
    let starts = starts.flatten().or(replaces.map(|(instant, _)| instant));
    let starts = starts.ok_or("its DTSTART is missing or no time; correct it")?;
    let lasts = lasts(component, starts, zones)?;
    let instants = |name: &ICalendarProperty| {
        let all: Result<Vec<Vec<Moment>>, String> =
            component.properties(name).map(|entry| zones.instants(entry)).collect();
        all.map(|all| all.into_iter().flatten().map(|instant| instant.at).collect::<Vec<Time>>())
    };
    let (more, except) = (instants(&ICalendarProperty::Rdate)?, instants(&ICalendarProperty::Exdate)?);
    let rules: Result<Vec<Rule>, String> = component
        .properties(&ICalendarProperty::Rrule)
        .flat_map(|entry| &entry.values)
        .map(|value| match value {
            ICalendarValue::RecurrenceRule(rule) => Rule::of(rule, starts),
            other => Err(format!("its RRULE is no recurrence ({}); correct it", shown(&format!("{other:?}")))),
        })
        .collect();
    let categories = component.properties(&ICalendarProperty::Categories).flat_map(|entry| &entry.values);
    let categories = categories.filter_map(ICalendarValue::as_text);
    let cancelled = is_cancelling || component.status() == Some(&ICalendarStatus::Cancelled);
    let number = |name: &ICalendarProperty| match component.property(name)?.values.first()? {
        ICalendarValue::Integer(number) => Some(*number),
        _ => None,
    };
    let planned = Planned {
        source: asked.source.into(),
        title: title.to_owned(),
        categories: categories.map(shown).collect(),
        participants: participants(component, asked)?,
        cancelled,
        revision: number(&ICalendarProperty::Sequence).unwrap_or(0),
        ..Planned::default()
    };
    let told = Told { planned, starts, lasts, rules: rules?, more, except: except.into_iter().collect() };
    Ok((told, replaces.map(|(instant, all_after)| (instant.at, all_after))))
}

fn text<'a>(component: &'a ICalendarComponent, name: &ICalendarProperty) -> Option<&'a str> {
    component.property(name)?.values.first()?.as_text()
}

/// From DTEND or DURATION; a day for a date alone, and no time at all where nothing is said.
fn lasts(component: &ICalendarComponent, starts: Moment, zones: &Zones) -> Result<Duration, String> {
    let ends = component.property(&ICalendarProperty::Dtend).map(|entry| zones.instant(entry)).transpose()?.flatten();
    let duration = component.property(&ICalendarProperty::Duration).and_then(|entry| entry.values.first());
    let seconds = match (ends, duration) {
        (Some(ends), _) => ends.at.second() - starts.at.second(),
        (None, Some(ICalendarValue::Duration(duration))) => duration.as_seconds(),
        (None, Some(_)) => return Err("its DURATION cannot be read; write one such as PT1H30M".into()),
        (None, None) if starts.is_date => 86_400,
        (None, None) => 0,
    };
    match u64::try_from(seconds) {
        Ok(seconds) => Ok(Duration::from_secs(seconds).min(LASTS_MAX)),
        Err(_) => Err("it ends before it begins; correct DTEND".into()),
    }
}

/// How many come: by the property of that name, else by the people that are asked to come.
fn participants(component: &ICalendarComponent, asked: &Asked<'_>) -> Result<Option<u32>, String> {
    let named = |name: &str| {
        component.entries.iter().find(|entry| match &entry.name {
            ICalendarProperty::Other(other) => other.eq_ignore_ascii_case(name),
            other => other.as_str().eq_ignore_ascii_case(name),
        })
    };
    let written = asked.participants.and_then(named).or_else(|| named(PARTICIPANTS));
    let Some(value) = written.and_then(|entry| entry.values.first()) else {
        let invited = component.properties(&ICalendarProperty::Attendee).count();
        // A lecturer alone says nothing of who listens.
        return Ok((invited > 1).then(|| u32::try_from(invited).unwrap_or(u32::MAX).min(asked.participants_max)));
    };
    let count = match value {
        ICalendarValue::Integer(number) => Some(*number),
        other => other.as_text().and_then(|text| text.trim().parse().ok()),
    };
    let count = count.ok_or_else(|| {
        let said = value.as_text().map_or_else(|| "no number".to_owned(), |text| format!("`{}`", shown(text)));
        format!("{said} participants cannot be counted; write a whole number")
    })?;
    believable(count, asked.participants_max).map(Some)
}

/// What the series come to in the stretch of time.
fn occurrences(series: BTreeMap<String, Series>, asked: &Asked<'_>, problems: &mut Problems) -> Vec<Planned> {
    let (mut events, mut steps_left) = (Vec::new(), STEPS_IN_ALL_MAX);
    for (uid, mut of) in series {
        let mut take = |told: &Told, planned_for: Time, starts: Time, is_one_of_many: bool| {
            let id = if is_one_of_many { format!("{uid}#{planned_for}") } else { uid.clone() };
            let event = Planned { id, starts, ends: starts + told.lasts, ..told.planned.clone() };
            // What is over before and what is to come after is nobody's business yet; a cancelled one is told as well.
            if event.meets(asked.from, asked.until) && events.len() < OCCURRENCES_MAX {
                events.push(event);
            }
        };
        let Some(event) = of.event.take() else {
            // Occurrences whose series stands in another feed.
            of.others.iter().for_each(|(planned_for, told)| take(told, *planned_for, told.starts.at, true));
            continue;
        };
        let recurs = !event.rules.is_empty() || !event.more.is_empty();
        if !recurs {
            let moved = of.others.values().next();
            take(moved.unwrap_or(&event), event.starts.at, moved.unwrap_or(&event).starts.at, false);
            continue;
        }
        of.from_then_on.sort_by_key(|(from, _)| *from);
        let mut steps = Steps::new(&event.rules, event.starts, &event.more, &mut steps_left);
        // An occurrence may have been moved into this stretch of time from elsewhere.
        let mut moved = of.others;
        for planned_for in steps.by_ref() {
            let after = of.from_then_on.iter().rev().find(|(from, _)| *from <= planned_for);
            let (told, starts) = match after {
                Some((from, told)) => (told, shifted(planned_for, *from, told.starts.at)),
                None => (&event, planned_for),
            };
            if let Some(told) = moved.remove(&planned_for) {
                take(&told, planned_for, told.starts.at, true);
            } else if starts >= asked.until {
                break;
            } else if !event.except.contains(&planned_for) {
                take(told, planned_for, starts, true);
            }
        }
        let exhausted = steps.exhausted();
        moved.iter().for_each(|(planned_for, told)| take(told, *planned_for, told.starts.at, true));
        if let Some(cause) = exhausted {
            problems.add(asked.source, &event.planned.title, cause);
        }
    }
    if events.len() >= OCCURRENCES_MAX {
        let cause = format!("more than {OCCURRENCES_MAX} occurrences; the rest is left out, split the calendar");
        problems.add(asked.source, "", cause);
    }
    events
}

/// Where an occurrence goes when that of `from` went to `to`, and all after it alike.
fn shifted(planned_for: Time, from: Time, to: Time) -> Time {
    Time(planned_for.0.saturating_add(to.nanos_since(from)))
}

#[cfg(test)]
mod tests;
