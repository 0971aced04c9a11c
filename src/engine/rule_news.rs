//! What rules say beside proposals, once for as long as they go on saying it.

use crate::decide::Evaluated;
use crate::journal::What;

/// What they said in the tick before: what they go on saying is no news.
#[derive(Debug, Default)]
pub(super) struct RuleNews(Vec<What>);

impl RuleNews {
    /// What of this evaluation is news.
    pub(super) fn hear(&mut self, evaluated: &mut Evaluated) -> Vec<What> {
        let failed = std::mem::take(&mut evaluated.errors).into_iter().map(super::failure);
        let skipped = std::mem::take(&mut evaluated.skipped).into_iter().map(|s| What::RuleSkipped {
            rule: s.rule,
            service: s.service,
            reason: s.reason,
        });
        let printed = std::mem::take(&mut evaluated.printed)
            .into_iter()
            .map(|p| What::RulePrinted { rule: p.rule, text: p.text });
        let said: Vec<What> = failed.chain(skipped).chain(printed).collect();
        let before = std::mem::replace(&mut self.0, said.clone());
        let is_news = |what: &What| !before.iter().any(|known| says_the_same(known, what));
        said.into_iter().filter(is_news).collect()
    }

    /// Whoever wrote them anew looks for what they say now.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Whether a rule says again what it said in the tick before. A reason that carries a measured number is the same reason
/// with another number; what a rule prints, it prints to be read.
fn says_the_same(before: &What, now: &What) -> bool {
    match (before, now) {
        (What::RuleFailed { rule: a, error: before }, What::RuleFailed { rule: b, error: now }) => {
            // The place in its text stays part of it.
            let place = |text: &str| text.split_once(": ").map_or(String::new(), |(place, _)| place.to_owned());
            a == b && place(before) == place(now) && numberless(before) == numberless(now)
        }
        (
            What::RuleSkipped { rule: a, service: of_a, reason: before },
            What::RuleSkipped { rule: b, service: of_b, reason: now },
        ) => (a, of_a) == (b, of_b) && numberless(before) == numberless(now),
        (before, now) => before == now,
    }
}

/// A text without its numbers.
fn numberless(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{Printed, RuleError};

    /// FIELD 19: a rule error that carries a changing number was logged anew at each tick.
    #[test]
    fn an_error_with_another_number_is_no_news() {
        let mut news = RuleNews::default();
        let mut hear = |line: usize, message: &str, printed: &str| {
            let error = RuleError { rule: "r".into(), line: Some(line), column: Some(1), message: message.into() };
            let mut evaluated = Evaluated::default();
            evaluated.errors.push(error);
            evaluated.printed.push(Printed { rule: "r".into(), text: printed.into() });
            news.hear(&mut evaluated).len()
        };
        assert_eq!(hear(3, "812 ms is a duration and 300 a number", "a"), 2);
        assert_eq!(hear(3, "79.5 ms is a duration and 300 a number", "a"), 0);
        assert_eq!(hear(3, "79.5 ms is a duration and 300 a number", "b"), 1, "what is printed is read");
        assert_eq!(hear(4, "79.5 ms is a duration and 300 a number", "b"), 1, "another place");
        assert_eq!(hear(4, "no such function", "b"), 1, "another reason");
    }
}
