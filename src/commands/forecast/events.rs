//! Planned events from a file: kind, start, end and participants a line.

use crate::forecast::PlannedEvent;
use crate::model::Time;

/// Events of a file: of many years of a large school.
const EVENTS_MAX: usize = 100_000;

const COLUMNS: [&str; 4] = ["kind", "start", "end", "participants"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {cause}; expected is CSV with the columns kind, start, end and participants")]
    Table { path: String, cause: String },
    #[error("{path} line {line}: `{text}` is no {what}")]
    Cell { path: String, line: u64, text: String, what: &'static str },
    #[error("{path} has more than {EVENTS_MAX} events; leave out the oldest")]
    Many { path: String },
}

pub fn read(path: &str) -> Result<Vec<PlannedEvent>, Error> {
    let failed = |cause: csv::Error| Error::Table { path: path.to_owned(), cause: cause.to_string() };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(failed)?;
    let head = reader.headers().map_err(failed)?.clone();
    let place = |name: &str| {
        let missing = || Error::Table { path: path.to_owned(), cause: format!("there is no column {name}") };
        head.iter().position(|known| known == name).ok_or_else(missing)
    };
    let mut places = [0; 4];
    for (at, name) in COLUMNS.into_iter().enumerate() {
        places[at] = place(name)?;
    }
    let mut events = Vec::new();
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |at: usize| record.get(places[at]).unwrap_or_default();
        let wrong = |at: usize, what| Error::Cell {
            path: path.to_owned(),
            line,
            text: cell(at).chars().take(40).collect(),
            what,
        };
        let second = |at: usize| cell(at).parse().ok().or_else(|| Time::parse(cell(at)).map(Time::second));
        let start_s = second(1).ok_or_else(|| wrong(1, "time"))?;
        let end_s = second(2).filter(|end| *end >= start_s).ok_or_else(|| wrong(2, "time at or after the start"))?;
        let participants = cell(3).parse::<f64>().ok().filter(|number| (0.0..f64::INFINITY).contains(number));
        let participants = participants.ok_or_else(|| wrong(3, "number of participants"))?;
        if events.len() == EVENTS_MAX {
            return Err(Error::Many { path: path.to_owned() });
        }
        events.push(PlannedEvent { kind: cell(0).to_owned(), start_s, end_s, participants });
    }
    Ok(events)
}
