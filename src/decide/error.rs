//! Why a rule was skipped, with the place in its text.

use rhai::{EvalAltResult, ParseError, ParseErrorType, Position};

use super::view;
use crate::model::nearest;

/// One rule, one line: `scale_out.rhai:7:12: …`. The other rules go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("{rule}.rhai{}: {message}", place(*.line, *.column))]
pub struct RuleError {
    pub rule: String,
    /// From 1; None when the error belongs to the rule as a whole.
    pub line: Option<usize>,
    pub column: Option<usize>,
    pub message: String,
}

fn place(line: Option<usize>, column: Option<usize>) -> String {
    [line, column].iter().flatten().map(|n| format!(":{n}")).collect()
}

impl RuleError {
    pub(super) fn whole(rule: &str, message: impl Into<String>) -> RuleError {
        RuleError { rule: rule.into(), line: None, column: None, message: message.into() }
    }

    /// At a byte of its text.
    pub(super) fn in_text(rule: &str, text: &str, at: usize, message: String) -> RuleError {
        let before = &text[..text.floor_char_boundary(at)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        RuleError { rule: rule.into(), line: Some(line), column: Some(column), message }
    }

    fn at(rule: &str, position: Position, message: String) -> RuleError {
        let mut message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        // rhai starts its messages with a capital, ours start small; a NAME stays as it is.
        if !message.chars().nth(1).is_some_and(char::is_uppercase)
            && let Some(first) = message.get_mut(0..1)
        {
            first.make_ascii_lowercase();
        }
        RuleError { rule: rule.into(), line: position.line(), column: position.position(), message }
    }

    pub(super) fn from_parse(rule: &str, error: &ParseError) -> RuleError {
        let message = match error.err_type() {
            // A name stays as it is written.
            ParseErrorType::VariableUndefined(name) if name.chars().all(|c| c.is_uppercase() || c == '_') => {
                format!("`{name}` is not visible here; inside a function write global::{name}")
            }
            ParseErrorType::ExprTooDeep => {
                "expressions are nested too deeply; split them into named steps with let".into()
            }
            other => other.to_string(),
        };
        RuleError::at(rule, error.position(), message)
    }

    /// What is said of a rule that is run no more, tick by tick.
    pub(super) fn switched_off(&self) -> RuleError {
        let message = format!("switched off until its text changes: {}", self.message);
        RuleError { message, ..self.clone() }
    }

    /// The innermost cause, at the innermost place known.
    pub(super) fn from_run(rule: &str, error: &EvalAltResult, operations: u64) -> RuleError {
        let (mut cause, mut position) = (error, error.position());
        while let EvalAltResult::ErrorInFunctionCall(_, _, inner, _) = cause {
            cause = inner;
            if !inner.position().is_none() {
                position = inner.position();
            }
        }
        let message = match cause {
            EvalAltResult::ErrorTooManyOperations(_) | EvalAltResult::ErrorTerminated(..) => format!(
                "stopped after {operations} operations; end its loop sooner, or raise the limit if it must look at so much"
            ),
            EvalAltResult::ErrorStackOverflow(_) => "functions call each other too deeply; end the recursion".into(),
            EvalAltResult::ErrorDataTooLarge(what, _) => {
                format!("{} past its limit; keep only what the proposals need", what.to_lowercase())
            }
            EvalAltResult::ErrorTooManyVariables(_) => "too many variables; split the rule".into(),
            EvalAltResult::ErrorRuntime(value, _) => value.to_string(),
            EvalAltResult::ErrorDotExpr(text, _) => unreadable(text),
            EvalAltResult::ErrorFunctionNotFound(signature, _) => {
                format!("no such function: {signature}; docs/rules.md lists them")
            }
            other => without_place(&other.to_string()).to_string(),
        };
        RuleError::at(rule, position, message)
    }
}

/// A property that is not there, with the one that was probably meant. rhai says `Unknown property 'p9' - a getter is not
/// registered for type 'bottleneck'`.
fn unreadable(text: &str) -> String {
    let mut quoted = text.split('\'').skip(1).step_by(2);
    let (Some(property), Some(of)) = (quoted.next(), quoted.next()) else {
        return format!("{text}; docs/rules.md lists what can be read");
    };
    let hint = match nearest(property, view::properties(of)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "docs/rules.md lists what can be read".into(),
    };
    format!("`{property}` is no property of a {of}; {hint}")
}

/// rhai ends a message with ` (line 1, position 2)`, which we say in front.
fn without_place(message: &str) -> &str {
    message.rfind(" (line ").map_or(message, |at| &message[..at])
}
