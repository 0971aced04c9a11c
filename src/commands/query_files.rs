//! An operator's queries: loaded and checked at the start, and reloaded when they change. A directory with anything wrong in
//! it leaves the last good queries in force.

use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::watched_files::{self, Kind, NoText, read_text};
use crate::analyse::Overrides;
use crate::analyse::rollup::sql::{Sql, query};
use crate::commands::error::Error;
use crate::config;
use crate::engine::Event;

/// The longest shipped query has 2 KiB.
const QUERY_BYTES_MAX: u64 = 64 << 10;

/// The queries of the configured directory, checked; none where none is configured.
pub fn load(config: &config::Analyse) -> Result<Overrides, Error> {
    config.queries.as_deref().map_or_else(|| Ok(Overrides::new()), read)
}

/// `*.sql` of a directory, checked.
pub fn read(directory: &Path) -> Result<Overrides, Error> {
    let overrides = read_texts(directory)?;
    check(directory, &overrides)?;
    Ok(overrides)
}

fn read_texts(directory: &Path) -> Result<Overrides, Error> {
    let unreadable = |path: &Path, source| Error::Read { path: path.to_owned(), source };
    let mut overrides = Overrides::new();
    for file in std::fs::read_dir(directory).map_err(|source| unreadable(directory, source))? {
        let path = file.map_err(|source| unreadable(directory, source))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".sql"));
        let Some(name) = name else { continue };
        // A file of another name is no text of a query: its check names those that there are.
        let text = if query(name).is_some() { read_text(&path, "query", QUERY_BYTES_MAX) } else { Ok(String::new()) };
        let text = text.map_err(|unfit| match unfit {
            NoText::Unreadable(source) => unreadable(&path, source),
            NoText::Wrong(cause) => Error::QueryFile { path: path.clone(), cause },
        })?;
        overrides.insert(name.to_owned(), text);
    }
    Ok(overrides)
}

fn check(directory: &Path, overrides: &Overrides) -> Result<(), Error> {
    let errors: Vec<_> = Sql::check(overrides).into_iter().map(|error| error.within(directory)).collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Queries { errors }) }
}

/// Sends the queries again whenever they changed, until the engine is gone.
pub async fn watch(directory: PathBuf, loaded: Overrides, events: mpsc::Sender<Event>) {
    let queries = Kind { name: "queries", read: read_texts, check, event: Event::Queries };
    watched_files::watch(queries, directory, loaded, events).await;
}
