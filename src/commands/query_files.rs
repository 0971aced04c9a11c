//! An operator's queries: loaded and checked at the start, and reloaded when they change. A directory with anything wrong in
//! it leaves the last good queries in force.

use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::rule_files::{POLL, Watched};
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
    let unreadable = |path: &Path, source| Error::Read { path: path.to_owned(), source };
    let mut overrides = Overrides::new();
    for file in std::fs::read_dir(directory).map_err(|source| unreadable(directory, source))? {
        let path = file.map_err(|source| unreadable(directory, source))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".sql"));
        let Some(name) = name else { continue };
        let wrong = |cause: String| Error::QueryFile { path: path.clone(), cause };
        let file = path.metadata().map_err(|source| unreadable(&path, source))?;
        if !file.is_file() {
            return Err(wrong("not a regular file; put the text of one query there".into()));
        }
        if file.len() > QUERY_BYTES_MAX {
            return Err(wrong(format!("{} bytes; keep a query below {QUERY_BYTES_MAX}", file.len())));
        }
        // A file of another name is no text of a query: its check names those that there are.
        let text = if query(name).is_some() { std::fs::read_to_string(&path) } else { Ok(String::new()) };
        overrides.insert(name.to_owned(), text.map_err(|source| unreadable(&path, source))?);
    }
    let errors: Vec<_> = Sql::check(&overrides).into_iter().map(|error| error.within(directory)).collect();
    if errors.is_empty() { Ok(overrides) } else { Err(Error::Queries { errors }) }
}

/// Sends the queries again whenever they changed, until the engine is gone.
pub async fn watch(directory: PathBuf, loaded: Overrides, events: mpsc::Sender<Event>) {
    let mut watched = Watched::new("queries", loaded);
    loop {
        tokio::time::sleep(POLL).await;
        let path = directory.clone();
        // Reading and planning block; a slow disk may not hold up the sockets.
        let Ok(queries) = tokio::task::spawn_blocking(move || read(&path)).await else { return };
        if let Some(queries) = watched.look(queries)
            && events.send(Event::Queries(queries)).await.is_err()
        {
            return;
        }
    }
}
