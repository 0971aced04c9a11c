//! Rule files: loaded at the start, and reloaded when they change. A directory that cannot be read leaves the last good
//! rules in force; a rule that does not compile is reported by `decide`, which keeps its last good version too.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;

use crate::commands::error::Error;
use crate::config;
use crate::decide::{self, RuleSource};
use crate::engine::Event;

/// How often the directory is looked at: a save takes effect while its author still looks. Polling sees what
/// notification misses: ConfigMap volumes swap symbolic links, network file systems say nothing.
pub(super) const POLL: Duration = Duration::from_secs(1);

/// Rules are pages, not books.
const RULE_BYTES_MAX: u64 = 256 << 10;

/// More are not rules of one team, but a wrong directory.
const RULES_MAX: usize = 1_000;

/// The rules that are configured, or the shipped ones.
pub fn load(config: &config::Rules) -> Result<Vec<RuleSource>, Error> {
    match &config.directory {
        Some(directory) => read(directory),
        None => Ok(decide::shipped()),
    }
}

/// `*.rhai` of a directory, without the `*_test.rhai` beside them, sorted by name.
pub fn read(directory: &Path) -> Result<Vec<RuleSource>, Error> {
    let unreadable = |path: &Path, source| Error::Read { path: path.to_owned(), source };
    let wrong = |path: &Path, cause: String| Error::Rules { path: path.to_owned(), cause };
    let mut rules = Vec::new();
    for file in std::fs::read_dir(directory).map_err(|source| unreadable(directory, source))? {
        let path = file.map_err(|source| unreadable(directory, source))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".rhai"))
        else {
            continue;
        };
        if name.ends_with("_test") {
            continue;
        }
        let bytes = path.metadata().map_err(|source| unreadable(&path, source))?.len();
        if bytes > RULE_BYTES_MAX {
            return Err(wrong(&path, format!("a rule of {bytes} bytes; keep it below {RULE_BYTES_MAX}")));
        }
        let source = std::fs::read_to_string(&path).map_err(|source| unreadable(&path, source))?;
        rules.push(RuleSource { name: name.to_owned(), source });
        if rules.len() > RULES_MAX {
            return Err(wrong(
                directory,
                format!("more than {RULES_MAX} rules; name the directory of the rules alone"),
            ));
        }
    }
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rules)
}

/// Sends the rules again whenever they changed, until the engine is gone.
pub async fn watch(directory: PathBuf, loaded: Vec<RuleSource>, events: mpsc::Sender<Event>) {
    let mut watched = Watched::new("rules", loaded);
    loop {
        tokio::time::sleep(POLL).await;
        let path = directory.clone();
        // Reading files blocks; a slow disk may not hold up the sockets.
        let Ok(rules) = tokio::task::spawn_blocking(move || read(&path)).await else { return };
        if let Some(rules) = watched.look(rules)
            && events.send(Event::Rules(rules)).await.is_err()
        {
            return;
        }
    }
}

/// The last good content of a directory, and the last error.
pub(super) struct Watched<T> {
    kind: &'static str,
    last_good: T,
    /// Logged once, not every second.
    last_error: Option<String>,
}

impl<T: Clone + PartialEq> Watched<T> {
    pub(super) fn new(kind: &'static str, loaded: T) -> Watched<T> {
        Watched { kind, last_good: loaded, last_error: None }
    }

    /// The content, if it can be read and differs. Whole texts are compared rather than times: they are few and small, and
    /// an editor that keeps the time cannot hide a change.
    pub(super) fn look(&mut self, read: Result<T, Error>) -> Option<T> {
        let error = match read {
            Ok(content) => {
                self.last_error = None;
                return (content != self.last_good).then(|| {
                    self.last_good.clone_from(&content);
                    content
                });
            }
            Err(error) => error.to_string(),
        };
        if self.last_error.as_ref() != Some(&error) {
            warn!("{} not reloaded, the last good ones stay: {error}", self.kind);
            self.last_error = Some(error);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, text: &str) {
        std::fs::write(directory.join(name), text).unwrap();
    }

    fn rule(name: &str, source: &str) -> RuleSource {
        RuleSource { name: name.into(), source: source.into() }
    }

    #[test]
    fn rules_are_read_in_order_without_their_tests() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "b.rhai", "2");
        write(directory.path(), "a.rhai", "1");
        write(directory.path(), "a_test.rhai", "not a rule");
        write(directory.path(), "README.md", "not a rule either");
        assert_eq!(read(directory.path()).unwrap(), [rule("a", "1"), rule("b", "2")]);
    }

    #[test]
    fn a_rule_that_is_a_book_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "long.rhai", &" ".repeat(RULE_BYTES_MAX as usize + 1));
        let error = read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("long.rhai: a rule of 262145 bytes; keep it below 262144"), "{error}");
    }

    #[test]
    fn a_change_is_passed_on_once_and_what_cannot_be_read_is_not() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "a.rhai", "1");
        let mut watched = Watched::new("rules", vec![rule("a", "1")]);
        let mut look = || watched.look(read(directory.path()));
        assert_eq!(look(), None);
        std::fs::write(directory.path().join("a.rhai"), [0xff, 0xfe]).unwrap();
        assert_eq!(look(), None);
        write(directory.path(), "a.rhai", "2");
        assert_eq!(look(), Some(vec![rule("a", "2")]));
        assert_eq!(look(), None);
    }
}
