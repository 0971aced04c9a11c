//! Rule files: loaded at the start, and reloaded when they change. A directory that cannot be read leaves the last good
//! rules in force; a rule that does not compile is reported by `decide`, which keeps its last good version too.

use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::watched_files::{self, Kind, NoText, read_text};
use crate::commands::error::Error;
use crate::config;
use crate::decide::{self, RuleSource, Rules};
use crate::engine::Event;

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
    read_each(directory)?.into_iter().collect()
}

/// The same, each with what is wrong with it.
fn read_each(directory: &Path) -> Result<Vec<Result<RuleSource, Error>>, Error> {
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
        let text = read_text(&path, "rule", RULE_BYTES_MAX).map_err(|unfit| match unfit {
            NoText::Unreadable(source) => unreadable(&path, source),
            NoText::Wrong(cause) => wrong(&path, cause),
        });
        rules.push((name.to_owned(), text));
        if rules.len() > RULES_MAX {
            return Err(wrong(
                directory,
                format!("more than {RULES_MAX} rules; name the directory of the rules alone"),
            ));
        }
    }
    rules.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(rules.into_iter().map(|(name, text)| text.map(|source| RuleSource { name, source })).collect())
}

/// Everything that is wrong with the rules of a directory, as they would be loaded: each file that cannot be read, each
/// rule that does not load, each verdict that does not exist, and a directory without any.
pub fn problems(directory: &Path, limits: &decide::Limits) -> Vec<String> {
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    match read_each(directory) {
        Ok(rules) => rules.into_iter().for_each(|rule| match rule {
            Ok(source) => sources.push(source),
            Err(error) => problems.push(error.to_string()),
        }),
        Err(error) => return vec![error.to_string()],
    }
    if sources.is_empty() && problems.is_empty() {
        let directory = directory.display();
        return vec![format!(
            "{directory} holds no rule; put *.rhai files there, or leave it out to run the shipped rules"
        )];
    }
    let (rules, errors) = Rules::compile(&sources, limits.clone());
    let slips = rules.slips();
    problems.extend(errors.iter().chain(&slips).map(|error| format!("{}/{error}", directory.display())));
    problems
}

/// Sends the rules again whenever they changed, until the engine is gone.
pub async fn watch(directory: PathBuf, loaded: Vec<RuleSource>, events: mpsc::Sender<Event>) {
    // A rule that does not compile is the engine's matter: it keeps that rule's last good version.
    let rules = Kind { name: "rules", read, check: |_, _| Ok(()), event: Event::Rules };
    watched_files::watch(rules, directory, loaded, events).await;
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

    /// FIELD 16: 'no problem' of a directory of broken rules, and of one without any.
    #[test]
    fn every_problem_of_a_directory_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let problems = || {
            let prefix = format!("{}/", directory.path().display());
            let problems = problems(directory.path(), &decide::Limits::default()).into_iter();
            problems.map(|problem| problem.replace(&prefix, "")).collect::<Vec<_>>()
        };
        assert!(problems()[0].contains("holds no rule; put *.rhai files there"), "{:?}", problems());
        write(directory.path(), "a.rhai", "fn evaluate(now) { scale_out(\"a\" }");
        write(directory.path(), "b.rhai", "fn other(now) { }");
        write(directory.path(), "c.rhai", "fn evaluate(now) { now.bottlenecks.filter(|b| b.verdict == \"slow\") }");
        write(directory.path(), "d.rhai", "fn evaluate(now) { [] }");
        std::fs::create_dir(directory.path().join("e.rhai")).unwrap();
        insta::assert_snapshot!(problems().join("\n"));
    }

    #[test]
    fn a_rule_that_is_a_book_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "long.rhai", &" ".repeat(RULE_BYTES_MAX as usize + 1));
        let error = read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("long.rhai: larger than 262144 bytes; keep a rule below that"), "{error}");
    }
}
