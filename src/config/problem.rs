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
