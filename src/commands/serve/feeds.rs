//! Calendars followed: files that change, feeds that are polled with what they said their version is. A feed that fails,
//! or that no longer is a calendar, takes nothing back: what it said last holds, and that it fails is said.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::api::Said;
use crate::clock::Clock;
use crate::commands::schedule::sources;
use crate::disk;
use crate::model::Time;
use crate::net::https;
use crate::schedule::bounds::{FEED_BYTES_MAX, is_whole_calendar};
use crate::schedule::{At, Calendar, Problem, Problems, Settings};

/// What is read of a calendar: yesterday, as an event may go on, and what the planner looks at.
const BEHIND: Duration = Duration::from_secs(86_400);
const AHEAD: Duration = Duration::from_secs(15 * 86_400);

/// One request to a feed.
const ASK_MAX: Duration = Duration::from_secs(30);

/// A file is looked at so often: it lies here.
const FILE_EVERY: Duration = Duration::from_secs(2);

/// What is read anew although nothing changed, as time goes on.
const ANEW: Duration = Duration::from_secs(3_600);

/// The first pause after a failure; it doubles up to `schedule.poll`.
const AGAIN: Duration = Duration::from_secs(5);

/// What a calendar is known by, so that it is not sent again.
#[derive(Clone, Debug, Default, PartialEq)]
struct Version {
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
    /// Of a file: its length and when it was written.
    file: Option<(u64, std::time::SystemTime)>,
}

enum Looked {
    Unchanged,
    Changed(String, Version),
}

/// What was left out of a calendar, so that each word on it is logged once.
#[derive(Default)]
struct LeftOut(Vec<Problem>);

/// Words on one calendar that are logged at once; all of them are in `GET /api/v1/schedule`.
const LOGGED_MAX: usize = 5;

impl LeftOut {
    fn log(&mut self, calendar: &str, problems: &[Problem]) {
        let new: Vec<&Problem> = problems.iter().filter(|problem| !self.0.contains(problem)).collect();
        for Problem { event, cause, .. } in new.iter().take(LOGGED_MAX) {
            warn!(calendar, event, "left out of the calendar: {cause}");
        }
        if new.len() > LOGGED_MAX {
            let more = new.len() - LOGGED_MAX;
            warn!(calendar, more, "more is left out of the calendar; `headroom schedule` lists it");
        }
        self.0 = problems.to_vec();
    }
}

/// Follows one calendar to the end of the process.
pub async fn follow(calendar: Calendar, settings: Settings, clock: Clock, heard: mpsc::Sender<Said>) {
    let calendar = Arc::new(calendar);
    let mut version = Version::default();
    let mut text: Option<Arc<str>> = None;
    let mut failing: Option<(Time, String)> = None;
    let mut read_at: Option<Time> = None;
    let mut pause = AGAIN;
    let mut left_out = LeftOut::default();
    loop {
        let looked = match look(&calendar.at, &version).await {
            Ok(Looked::Changed(new, _)) if !is_whole_calendar(&new) => {
                Err("what it answers is no whole iCalendar (BEGIN:VCALENDAR to END:VCALENDAR)".to_owned())
            }
            looked => looked,
        };
        let now = clock.now();
        let mut is_news = read_at.is_none_or(|at| now >= at + ANEW);
        match looked {
            Ok(looked) => {
                if let Some((since, _)) = failing.take() {
                    info!(calendar = calendar.name, %since, "the calendar can be read again");
                    is_news = true;
                }
                if let Looked::Changed(new, its_version) = looked {
                    (text, version, is_news) = (Some(new.into()), its_version, true);
                }
                pause = AGAIN;
            }
            Err(cause) => {
                if failing.as_ref().is_none_or(|(_, known)| *known != cause) {
                    warn!(calendar = calendar.name, "the calendar cannot be read: {cause}; what it said last holds");
                    let since = failing.as_ref().map_or(now, |(since, _)| *since);
                    failing = Some((since, cause));
                    is_news = true;
                }
                pause = (pause * 2).min(settings.poll.max(AGAIN));
            }
        }
        if is_news {
            let told = said(&calendar, &settings, text.clone(), failing.as_ref(), now).await;
            if let Some(told) = told {
                read_at = Some(now);
                if let Said::All { problems, .. } = &told
                    && failing.is_none()
                {
                    left_out.log(&calendar.name, problems);
                }
                if heard.send(told).await.is_err() {
                    return;
                }
            }
        }
        let every = match calendar.at {
            At::File(_) => FILE_EVERY,
            At::Url(_) if failing.is_some() => pause,
            At::Url(_) => settings.poll,
        };
        tokio::time::sleep(every).await;
    }
}

/// What the calendar says, as far as it was ever read: of one that was not it is said why, not that there is nothing. Its text is somebody else's, so that it is read where a failure of
/// the reader is no failure of ours.
async fn said(
    calendar: &Arc<Calendar>,
    settings: &Settings,
    text: Option<Arc<str>>,
    failing: Option<&(Time, String)>,
    now: Time,
) -> Option<Said> {
    let mut problems = Problems::default();
    if let Some((since, cause)) = failing {
        problems.add(&calendar.name, "", format!("cannot be read since {since}: {cause}; what it said last holds"));
    }
    let source = calendar.name.clone();
    let Some(text) = text else { return Some(Said::Hindered { source, problems: problems.told().to_vec() }) };
    let (of, with) = (calendar.clone(), settings.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let mut problems = Problems::default();
        let events = sources::events(&of, &text, &with, now - BEHIND, now + AHEAD, &mut problems);
        (events, problems)
    });
    match reading.await {
        Ok((Ok(events), found)) => {
            problems.append(found);
            Some(Said::All { source, events, problems: problems.told().to_vec() })
        }
        Ok((Err(error), _)) => {
            warn!(calendar = calendar.name, "{error}");
            None
        }
        Err(_) => {
            warn!(calendar = calendar.name, "the calendar's reader failed on it; what it said last holds");
            None
        }
    }
}

async fn look(at: &At, known: &Version) -> Result<Looked, String> {
    match at {
        At::File(path) => file(path.clone(), known.clone()).await,
        At::Url(url) => feed(url, known).await,
    }
}

async fn file(path: PathBuf, known: Version) -> Result<Looked, String> {
    let looking = tokio::task::spawn_blocking(move || {
        let metadata = std::fs::metadata(&path).map_err(|error| error.to_string())?;
        let modified = metadata.modified().map_err(|error| error.to_string())?;
        let version = Version { file: Some((metadata.len(), modified)), ..Version::default() };
        if version == known {
            return Ok(Looked::Unchanged);
        }
        let text = disk::read_text(&path, FEED_BYTES_MAX).map_err(|unfit| unfit.to_string())?;
        Ok(Looked::Changed(text, version))
    });
    looking.await.map_err(|error| error.to_string())?
}

async fn feed(url: &str, known: &Version) -> Result<Looked, String> {
    let mut request = Request::get(url)
        .header(ACCEPT, "text/calendar")
        .header(USER_AGENT, concat!("headroom/", env!("CARGO_PKG_VERSION")));
    for (name, value) in [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.modified)] {
        if let Some(value) = value {
            request = request.header(name, value.clone());
        }
    }
    let request = request.body(Vec::new()).map_err(|error| error.to_string())?;
    let answer = https::ask(request, None, ASK_MAX, FEED_BYTES_MAX as usize).await?;
    let header = |name| answer.headers().get(name).cloned();
    match answer.status() {
        StatusCode::NOT_MODIFIED => Ok(Looked::Unchanged),
        StatusCode::OK => {
            let version = Version { etag: header(ETAG), modified: header(LAST_MODIFIED), file: None };
            let text = String::from_utf8(answer.into_body().to_vec()).map_err(|_| "it is no UTF-8 text".to_owned())?;
            Ok(Looked::Changed(text, version))
        }
        status => Err(format!("it answers {status}")),
    }
}
