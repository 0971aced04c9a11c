//! Calendars, read for a person who asks.

use std::path::Path;
use std::time::Duration;

use crate::commands::error::Error;
use crate::config::Schedule;
use crate::disk;
use crate::model::Time;
use crate::schedule::bounds::{FEED_BYTES_MAX, is_whole_calendar};
use crate::schedule::kinds::kind_of;
use crate::schedule::plan::of_its_length;
use crate::schedule::{At, Calendar, Planned, Problems, Settings};

/// Of each calendar its events. One that cannot be read is told, and the others are read all the same.
pub(super) fn read(
    schedule: &Schedule,
    from: Time,
    until: Time,
    problems: &mut Problems,
) -> Result<Vec<Vec<Planned>>, Error> {
    let mut all = Vec::new();
    for calendar in &schedule.calendars {
        let text = match &calendar.at {
            At::File(path) => disk::read_text(path, FEED_BYTES_MAX)
                .map_err(|unfit| format!("cannot be read: {unfit}; name a file that exists and is readable")),
            At::Url(_) => Err(
                "is a feed, which `headroom serve` follows; ask that one (`headroom schedule --server URL`, without --config)"
                    .to_owned(),
            ),
        };
        match text {
            Ok(text) => all.push(events(calendar, &text, &schedule.station, from, until, problems)?),
            Err(cause) => problems.add(&calendar.name, "", cause),
        }
    }
    Ok(all)
}

/// The calendar that a person names: by its name in the configuration, or by its file, which the configuration may list too.
/// True: it is read as the configuration says.
pub(super) fn named(named: &Path, schedule: &Schedule) -> Result<(Calendar, bool), Error> {
    let stem = || named.file_stem().map_or_else(|| "calendar".into(), |stem| stem.to_string_lossy().into_owned());
    let is_called = |of: &&Calendar, name: &str| of.name == name;
    let listed = if named.exists() {
        let whole = named.canonicalize().ok();
        let is_it = |of: &&Calendar| matches!(&of.at, At::File(path) if path.canonicalize().ok() == whole);
        // A feed that was fetched to a file of its name.
        let is_fetched = |of: &&Calendar| matches!(of.at, At::Url(_)) && is_called(of, &stem());
        schedule.calendars.iter().find(is_it).or_else(|| schedule.calendars.iter().find(is_fetched))
    } else {
        let name = named.to_string_lossy();
        schedule.calendars.iter().find(|of| is_called(of, &name))
    };
    let Some(listed) = listed else {
        let (at, zone) = (At::File(named.to_owned()), schedule.station.zone);
        return Ok((Calendar { name: stem(), at, zone, participants: None }, false));
    };
    match &listed.at {
        At::File(_) => Ok((listed.clone(), true)),
        At::Url(_) if named.exists() => Ok((Calendar { at: At::File(named.to_owned()), ..listed.clone() }, true)),
        At::Url(_) => {
            let cause = format!("is a feed, which `headroom serve` follows; fetch it to {}.ics", listed.name);
            Err(Error::Read { path: named.to_owned(), source: std::io::Error::other(cause) })
        }
    }
}

/// Of one calendar that a person names.
pub(super) fn read_one(
    calendar: &Calendar,
    settings: &Settings,
    from: Time,
    until: Time,
    problems: &mut Problems,
) -> Result<Vec<Planned>, Error> {
    let path = match &calendar.at {
        At::File(path) => path.clone(),
        At::Url(url) => url.into(),
    };
    let text = disk::read_text(&path, FEED_BYTES_MAX)
        .map_err(|unfit| Error::Read { path: path.clone(), source: unfit.into() })?;
    if !is_whole_calendar(&text) {
        return Err(Error::NoCalendar { path });
    }
    events(calendar, &text, settings, from, until, problems)
}

/// What is wrong with the files of a configuration, and what is taken for granted of their events: each word once.
pub fn looked_at(schedule: &Schedule, now: Time) -> Result<(Problems, Vec<String>), Error> {
    let mut problems = Problems::default();
    let mut notes: Vec<String> = Vec::new();
    let files = Schedule {
        calendars: schedule.calendars.iter().filter(|of| matches!(of.at, At::File(_))).cloned().collect(),
        ..schedule.clone()
    };
    for event in read(&files, now, now + AHEAD_LOOKED_AT, &mut problems)?.into_iter().flatten() {
        let of_its_length = of_its_length(&event, kind_of(&schedule.kinds, &event)).filter(|_| !event.cancelled);
        let note = of_its_length.map(|note| format!("{}: {}: {note}", event.source, event.title));
        notes.extend(note.filter(|note| !notes.contains(note) && notes.len() < NOTES_MAX));
    }
    Ok((problems, notes))
}

/// A term: what is wrong later is found before it matters.
const AHEAD_LOOKED_AT: Duration = Duration::from_secs(183 * 86_400);

/// Words on events that are told when a configuration is checked; a kind of events that has no length has many.
const NOTES_MAX: usize = 5;

/// What a calendar's text says.
#[cfg(feature = "calendar")]
pub fn events(
    calendar: &Calendar,
    text: &str,
    settings: &Settings,
    from: Time,
    until: Time,
    problems: &mut Problems,
) -> Result<Vec<Planned>, Error> {
    let asked = crate::schedule::ical::Asked {
        source: &calendar.name,
        zone: calendar.zone,
        participants: calendar.participants.as_deref(),
        participants_max: settings.participants_max,
        from,
        until,
    };
    Ok(crate::schedule::ical::read(text, &asked, problems))
}

/// What a calendar's text says.
#[cfg(not(feature = "calendar"))]
pub fn events(_: &Calendar, _: &str, _: &Settings, _: Time, _: Time, _: &mut Problems) -> Result<Vec<Planned>, Error> {
    Err(Error::NoCalendars)
}
