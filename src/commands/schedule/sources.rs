//! Calendars, read for a person who asks.

use std::path::Path;

use crate::commands::error::Error;
use crate::config::Schedule;
use crate::disk;
use crate::model::Time;
use crate::schedule::bounds::FEED_BYTES_MAX;
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
            At::Url(_) => Err("is a feed, which `headroom serve` follows; here name a file".to_owned()),
        };
        match text {
            Ok(text) => all.push(events(calendar, &text, &schedule.station, from, until, problems)?),
            Err(cause) => problems.add(&calendar.name, "", cause),
        }
    }
    Ok(all)
}

/// Of one file that a person names.
pub(super) fn read_file(
    path: &Path,
    settings: &Settings,
    from: Time,
    until: Time,
    problems: &mut Problems,
) -> Result<Vec<Planned>, Error> {
    let text = disk::read_text(path, FEED_BYTES_MAX)
        .map_err(|unfit| Error::Read { path: path.to_owned(), source: unfit.into() })?;
    let name = path.file_stem().map_or_else(|| "calendar".into(), |stem| stem.to_string_lossy().into_owned());
    let (at, zone) = (At::File(path.to_owned()), settings.zone);
    events(&Calendar { name, at, zone, participants: None }, &text, settings, from, until, problems)
}

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
