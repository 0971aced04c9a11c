//! Why a rule was skipped, with the place in its text.

use rhai::{EvalAltResult, ParseError, ParseErrorType, Position};

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
            ParseErrorType::VariableUndefined(name) if name.chars().all(|c| c.is_uppercase() || c == '_') => {
                format!("{name} is not visible here; inside a function write global::{name}")
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
            EvalAltResult::ErrorDotExpr(text, _) => format!("{text}; docs/rules.md lists what can be read"),
            EvalAltResult::ErrorFunctionNotFound(signature, _) => {
                format!("no such function: {signature}; docs/rules.md lists them")
            }
            other => without_place(&other.to_string()).to_string(),
        };
        RuleError::at(rule, position, message)
    }
}

/// rhai ends a message with ` (line 1, position 2)`, which we say in front.
fn without_place(message: &str) -> &str {
    message.rfind(" (line ").map_or(message, |at| &message[..at])
}
