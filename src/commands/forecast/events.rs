//! Planned events from a file: kind, start, end and participants a line.

use super::rows::{self, Rows};
use crate::forecast::PlannedEvent;
use crate::model::{Time, printable};

/// Events of a file: of many years of a large school.
const EVENTS_MAX: usize = 100_000;

/// How a time is written.
const TIME: &str = "write Unix seconds, or a time such as 2026-11-24T14:03 (UTC) or 2026-11-24T15:03+01:00";

const COLUMNS: [&str; 4] = ["kind", "start", "end", "participants"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {0}", path = .1)]
    Unfit(rows::Unfit, String),
    #[error("{path}: {cause}; expected is CSV with the columns kind, start, end and participants")]
    Table { path: String, cause: String },
    #[error("{path} line {line}: `{text}` is no {what}; {remedy}")]
    Cell { path: String, line: u64, text: String, what: &'static str, remedy: &'static str },
    #[error("{path} has more than {EVENTS_MAX} events; leave out the oldest")]
    Many { path: String },
}

pub fn read(path: &str) -> Result<Vec<PlannedEvent>, Error> {
    let failed = |cause: csv::Error| Error::Table { path: path.to_owned(), cause: cause.to_string() };
    let file = rows::open(path).map_err(|unfit| Error::Unfit(unfit, path.to_owned()))?;
    let mut rows = Rows::of(Box::new(file));
    let head = rows.head().map_err(failed)?;
    let place = |name: &str| {
        let missing = || Error::Table { path: path.to_owned(), cause: format!("there is no column {name}") };
        head.iter().position(|known| known == name).ok_or_else(missing)
    };
    let mut places = [0; 4];
    for (at, name) in COLUMNS.into_iter().enumerate() {
        places[at] = place(name)?;
    }
    let mut events = Vec::new();
    while let Some((line, record)) = rows.read().map_err(failed)? {
        let cell = |at: usize| record.get(places[at]).unwrap_or_default();
        let wrong = |at: usize, what, remedy| Error::Cell {
            path: path.to_owned(),
            line,
            text: printable(&cell(at).chars().take(40).collect::<String>()).to_string(),
            what,
            remedy,
        };
        let second = |at: usize| cell(at).parse().ok().or_else(|| Time::parse(cell(at)).map(Time::second));
        let start_s = second(1).ok_or_else(|| wrong(1, "time", TIME))?;
        let end_s =
            second(2).filter(|end| *end >= start_s).ok_or_else(|| wrong(2, "time at or after the start", TIME))?;
        let participants = cell(3).parse::<f64>().ok().filter(|number| (0.0..f64::INFINITY).contains(number));
        let participants = participants.ok_or_else(|| wrong(3, "number of participants", "write one from 0 on"))?;
        if events.len() == EVENTS_MAX {
            return Err(Error::Many { path: path.to_owned() });
        }
        events.push(PlannedEvent { kind: cell(0).to_owned(), start_s, end_s, participants });
    }
    Ok(events)
}
