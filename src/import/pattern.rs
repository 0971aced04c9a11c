//! A format of one's own: `{ip} - [{time}] "{method} {path} {_}" {status} {_}`. What stands between two fields ends the first of them.

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Time,
    Method,
    Path,
    /// `GET /path HTTP/1.1`
    Request,
    Status,
    /// Anything else.
    Ignored,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What the line begins with.
    begins: String,
    /// Each field with the text behind it; empty only behind the last.
    fields: Vec<(Field, String)>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongPattern {
    #[error("the brace that opens before `{0}` is not closed; write a field as {{time}}")]
    Open(String),
    #[error(
        "a field needs a text between it and the next; write a space or a quote between `{{{0}}}` and what follows"
    )]
    Touching(String),
    #[error("it has no {{time}}; a request is counted when it came")]
    NoTime,
    #[error("it has neither {{path}} nor {{request}}; write {{_}} for what is passed over")]
    NoPath,
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Pattern, WrongPattern> {
        let (begins, mut rest) = text.split_at(text.find('{').unwrap_or(text.len()));
        let mut fields = Vec::new();
        while let Some(open) = rest.strip_prefix('{') {
            let (name, after) = open.split_once('}').ok_or_else(|| WrongPattern::Open(open.to_owned()))?;
            let end = after.find('{').unwrap_or(after.len());
            let (between, next) = after.split_at(end);
            if between.is_empty() && !next.is_empty() {
                return Err(WrongPattern::Touching(name.to_owned()));
            }
            let field = match name {
                "time" => Field::Time,
                "method" => Field::Method,
                "path" => Field::Path,
                "request" => Field::Request,
                "status" => Field::Status,
                _ => Field::Ignored,
            };
            fields.push((field, between.to_owned()));
            rest = next;
        }
        let has = |field: Field| fields.iter().any(|(known, _)| *known == field);
        if !has(Field::Time) {
            return Err(WrongPattern::NoTime);
        }
        if !has(Field::Path) && !has(Field::Request) {
            return Err(WrongPattern::NoPath);
        }
        Ok(Pattern { begins: begins.to_owned(), fields })
    }

    /// Each field with what it holds; None where the line is of another form.
    pub(super) fn split<'l>(&self, line: &'l str, mut take: impl FnMut(Field, &'l str)) -> Option<()> {
        let mut rest = line.strip_prefix(self.begins.as_str())?;
        for (field, between) in &self.fields {
            let (value, after) = if between.is_empty() { (rest, "") } else { rest.split_once(between.as_str())? };
            take(*field, value);
            rest = after;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_cannot_work_says_why() {
        let wrong = |text: &str| Pattern::parse(text).unwrap_err();
        assert_eq!(wrong("{time} {path"), WrongPattern::Open("path".into()));
        assert_eq!(wrong("{time}{path}"), WrongPattern::Touching("time".into()));
        assert_eq!(wrong("{path} {_}"), WrongPattern::NoTime);
        assert_eq!(wrong("[{time}]"), WrongPattern::NoPath);
    }
}
