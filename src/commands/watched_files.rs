//! A directory of small texts that an operator edits while headroom runs: looked at every second, checked when it changed.
//! What is wrong there is logged once and leaves the last good texts in force.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;

use crate::commands::error::Error;
use crate::disk::{self, Unfit};
use crate::engine::Event;

/// How often the directory is looked at: a save takes effect while its author still looks. Polling sees what
/// notification misses: ConfigMap volumes swap symbolic links, network file systems say nothing.
const POLL: Duration = Duration::from_secs(1);

/// What kind of texts a directory holds, and how they are read.
pub(super) struct Kind<T> {
    /// The plural, for messages.
    pub name: &'static str,
    pub read: fn(&Path) -> Result<T, Error>,
    /// Whether the texts are right; asked only of texts that changed, as it may take long.
    pub check: fn(&Path, &T) -> Result<(), Error>,
    pub event: fn(T) -> Event,
}

/// Sends the texts again whenever they changed and are right, until the engine is gone.
pub(super) async fn watch<T>(kind: Kind<T>, directory: PathBuf, loaded: T, events: mpsc::Sender<Event>)
where
    T: Clone + PartialEq + Send + 'static,
{
    let event = kind.event;
    let mut watched = Watched::new(kind, directory, loaded);
    loop {
        tokio::time::sleep(POLL).await;
        // Reading and checking block; a slow disk may not hold up the sockets.
        let looked = tokio::task::spawn_blocking(move || {
            let changed = watched.look();
            (watched, changed)
        });
        let Ok((again, changed)) = looked.await else { return };
        watched = again;
        if let Some(texts) = changed
            && events.send(event(texts)).await.is_err()
        {
            return;
        }
    }
}

/// What a directory held when it was last looked at, and when it was last right.
pub(super) struct Watched<T> {
    kind: Kind<T>,
    directory: PathBuf,
    last_good: T,
    last_seen: T,
    /// Logged once, not every second.
    last_error: Option<String>,
}

impl<T: Clone + PartialEq> Watched<T> {
    pub(super) fn new(kind: Kind<T>, directory: PathBuf, loaded: T) -> Watched<T> {
        Watched { kind, directory, last_seen: loaded.clone(), last_good: loaded, last_error: None }
    }

    /// The texts, if they are right and differ from the last right ones. Whole texts are compared rather than times: they
    /// are few and small, and an editor that keeps the time cannot hide a change.
    pub(super) fn look(&mut self) -> Option<T> {
        let texts = match (self.kind.read)(&self.directory) {
            Ok(texts) if texts == self.last_seen => return None,
            Ok(texts) => texts,
            Err(error) => return self.warn(&error),
        };
        self.last_seen.clone_from(&texts);
        if let Err(error) = (self.kind.check)(&self.directory, &texts) {
            return self.warn(&error);
        }
        self.last_error = None;
        (texts != self.last_good).then(|| {
            self.last_good.clone_from(&texts);
            texts
        })
    }

    fn warn(&mut self, error: &Error) -> Option<T> {
        let error = error.to_string();
        if self.last_error.as_ref() != Some(&error) {
            warn!("{} not reloaded, the last good ones stay in force: {error}", self.kind.name);
            self.last_error = Some(error);
        }
        None
    }
}

/// Why a file is no text to load, with what to do.
pub(super) enum NoText {
    Unreadable(std::io::Error),
    Wrong(String),
}

/// The text of one `what`, of at most so many bytes.
pub(super) fn read_text(path: &Path, what: &str, bytes_max: u64) -> Result<String, NoText> {
    disk::read_text(path, bytes_max).map_err(|unfit| match unfit {
        Unfit::Unreadable(error) => NoText::Unreadable(error),
        Unfit::NotRegular => NoText::Wrong(format!("{unfit}; put the text of one {what} there")),
        Unfit::TooLarge { .. } => NoText::Wrong(format!("{unfit}; keep a {what} below that")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Kind<String> = Kind {
        name: "texts",
        read: |directory| match read_text(&directory.join("a"), "text", 10) {
            Ok(text) => Ok(text),
            Err(NoText::Unreadable(source)) => Err(Error::Read { path: directory.into(), source }),
            Err(NoText::Wrong(cause)) => Err(Error::Rules { path: directory.into(), cause }),
        },
        check: |directory, text| match text.as_str() {
            "wrong" => Err(Error::Rules { path: directory.into(), cause: "wrong".into() }),
            _ => Ok(()),
        },
        event: |_| Event::Queries(crate::analyse::Overrides::new()),
    };

    #[test]
    fn a_change_is_passed_on_once_and_what_is_wrong_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let write = |text: &[u8]| std::fs::write(directory.path().join("a"), text).unwrap();
        write(b"1");
        let mut watched = Watched::new(SHORT, directory.path().into(), "1".into());
        assert_eq!(watched.look(), None);
        write(&[0xff, 0xfe]);
        assert_eq!(watched.look(), None);
        write(b"wrong");
        assert_eq!(watched.look(), None);
        write(b"1");
        assert_eq!(watched.look(), None, "what is in force came back");
        write(b"2");
        assert_eq!(watched.look(), Some("2".into()));
        assert_eq!(watched.look(), None);
    }

    #[test]
    fn pipes_devices_and_long_files_are_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let read = || match read_text(&path, "rule", 10) {
            Ok(_) => "read".to_owned(),
            Err(NoText::Unreadable(error)) => error.to_string(),
            Err(NoText::Wrong(cause)) => cause,
        };
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(read(), "not a regular file; put the text of one rule there");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(read(), "not a regular file; put the text of one rule there");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, " ".repeat(11)).unwrap();
        assert_eq!(read(), "larger than 10 bytes; keep a rule below that");
        std::fs::write(&path, " ".repeat(10)).unwrap();
        assert_eq!(read(), "read");
    }
}
