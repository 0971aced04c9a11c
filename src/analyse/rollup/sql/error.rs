//! What is wrong with a query, and where.

use std::fmt;
use std::path::Path;

/// A query that cannot be asked: file, place, cause and remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// `blame.sql`, or the path that it was read from.
    pub file: String,
    /// Line and column from 1, and the line itself; None where the parser gives no place.
    pub place: Option<Place>,
    pub cause: String,
    pub remedy: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
    pub text: String,
}

impl Place {
    /// None where the text has no such line.
    pub fn of(query: &str, line: u64, column: u64) -> Option<Place> {
        let (line, column) = (usize::try_from(line).ok()?, usize::try_from(column).ok()?);
        let text = query.lines().nth(line.checked_sub(1)?)?.to_owned();
        (column > 0).then_some(Place { line, column, text })
    }
}

impl QueryError {
    /// The same, of a file in this directory.
    pub fn within(mut self, directory: &Path) -> QueryError {
        self.file = directory.join(&self.file).display().to_string();
        self
    }
}

impl fmt::Display for QueryError {
    /// One line, and where the place is known the line of SQL with a caret under it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QueryError { file, place, cause, remedy } = self;
        let Some(Place { line, column, text }) = place else { return write!(f, "{file}: {cause}; {remedy}") };
        // Tabs keep their width, so that the caret stands where it belongs.
        let margin: String = text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let (number, blank) = (line.to_string(), " ".repeat(line.to_string().len()));
        write!(f, "{file}:{line}:{column}: {cause}; {remedy}\n  {number} | {text}\n  {blank} | {margin}^")
    }
}

impl std::error::Error for QueryError {}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Query(#[from] Box<QueryError>),
    #[error("query {name} failed: {cause}; `headroom queries {name}` prints the shipped text")]
    Run { name: String, cause: String },
    #[error("query {name} answered NULL in column `{column}`; wrap it in COALESCE(…)")]
    Null { name: String, column: String },
    #[error(
        "query blame answered the kind `{kind}`, which does not exist; the kinds are own, queue, peer, error, refused and gave_up"
    )]
    Kind { kind: String },
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Error {
        Error::Query(Box::new(error))
    }
}
