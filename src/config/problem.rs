//! What is wrong with a configuration: all of it at once, each with its path, its cause and a remedy.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Keys from the top of the file, such as `objectives[2].latency`.
    pub path: String,
    pub cause: String,
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.cause, self.remedy)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the configuration {}: {source}; name a file that exists and is readable", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {cause}; correct the YAML there", path.display())]
    Syntax { path: PathBuf, cause: String },
    #[error("{}", invalid(path, problems))]
    Invalid { path: PathBuf, problems: Vec<Problem> },
}

/// One line for one problem; a heading and a line each for several.
fn invalid(path: &std::path::Path, problems: &[Problem]) -> String {
    match problems {
        [one] => format!("{}: {one}", path.display()),
        many => {
            let lines: Vec<String> = many.iter().map(|problem| format!("\n  {problem}")).collect();
            format!("{}: {} problems{}", path.display(), many.len(), lines.concat())
        }
    }
}

/// The known key that was probably meant: nearest by edit distance, if near at all.
pub fn did_you_mean<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let limit = (written.chars().count() / 3).max(1);
    known
        .iter()
        .map(|key| (edit_distance(written, key), *key))
        .filter(|(distance, key)| *distance <= limit || key.starts_with(written) || written.starts_with(key))
        .min()
        .map(|(_, key)| key)
}

/// Levenshtein's distance (insertions, deletions, substitutions), one row at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a_char) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b_char) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(a_char != *b_char);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_key() {
        let known = ["objectives", "default_objective", "window", "tick"];
        assert_eq!(did_you_mean("objctives", &known), Some("objectives"));
        assert_eq!(did_you_mean("windows", &known), Some("window"));
        assert_eq!(did_you_mean("objective", &known), Some("objectives"));
        assert_eq!(did_you_mean("kafka", &known), None);
    }

    #[test]
    fn distance_of_words() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }
}
