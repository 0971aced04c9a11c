//! What a rule remembers from one tick to the next: since when a condition holds, and values that it puts down.
//!
//! It is made of ticks alone, so a replay comes to the same; and it is taken over only when the rule ended well, so that a
//! rule that fails half-way, or is given up because of time, leaves it as it was.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString};

use super::draft::RuleDuration;
use crate::model::Time;

/// Names of one rule: above the number of services of a large system, one condition each.
const NAMES_MAX: usize = 2_000;

/// A value that was not put down again for so long is forgotten: of services that are gone, names would add up.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The memory of one rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Memory {
    held: BTreeMap<String, Held>,
    values: BTreeMap<String, Kept>,
}

/// A condition that holds.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    since: Time,
    /// When the rule last asked; one that is no longer asked for is forgotten.
    asked: Time,
}

#[derive(Clone, Debug, PartialEq)]
struct Kept {
    value: Value,
    at: Time,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Whole(i64),
    Number(f64),
    Truth(bool),
    Text(String),
}

/// That of the rule that runs, and the time of its tick.
#[derive(Debug, Default)]
pub(super) struct Open {
    memory: Memory,
    now: Time,
}

impl Open {
    pub(super) fn begin(open: &Mutex<Open>, memory: Memory, now: Time) {
        *open.lock().unwrap_or_else(PoisonError::into_inner) = Open { memory, now };
    }

    /// What the rule remembers after it ran.
    pub(super) fn end(open: &Mutex<Open>) -> Memory {
        let Open { mut memory, now } = std::mem::take(&mut *open.lock().unwrap_or_else(PoisonError::into_inner));
        memory.held.retain(|_, held| held.asked == now);
        memory.values.retain(|_, kept| now.nanos_since(kept.at) <= i64::try_from(KEPT.as_nanos()).unwrap_or(i64::MAX));
        memory
    }

    fn holds_for(&mut self, name: &str, condition: bool, lasting: RuleDuration) -> Result<bool, Box<EvalAltResult>> {
        if !condition {
            self.memory.held.remove(name);
            return Ok(false);
        }
        let (now, known) = (self.now, self.memory.held.len());
        if let Some(held) = self.memory.held.get_mut(name) {
            held.asked = now;
            return Ok(now.seconds_since(held.since) >= lasting.seconds());
        }
        room(known)?;
        self.memory.held.insert(name.to_owned(), Held { since: now, asked: now });
        Ok(lasting.seconds() <= 0.0)
    }

    fn remember(&mut self, name: &str, value: Value) -> Result<(), Box<EvalAltResult>> {
        if !self.memory.values.contains_key(name) {
            room(self.memory.values.len())?;
        }
        self.memory.values.insert(name.to_owned(), Kept { value, at: self.now });
        Ok(())
    }

    fn recall(&self, name: &str) -> Dynamic {
        match self.memory.values.get(name).map(|kept| &kept.value) {
            None => Dynamic::UNIT,
            Some(Value::Whole(value)) => (*value).into(),
            Some(Value::Number(value)) => (*value).into(),
            Some(Value::Truth(value)) => (*value).into(),
            Some(Value::Text(value)) => value.clone().into(),
        }
    }
}

fn room(names: usize) -> Result<(), Box<EvalAltResult>> {
    if names < NAMES_MAX {
        return Ok(());
    }
    Err(format!("remembers {NAMES_MAX} names, which is the limit; name services, not requests or times").into())
}

pub(super) fn register(engine: &mut Engine, open: &Arc<Mutex<Open>>) {
    let with = |open: &Arc<Mutex<Open>>| open.clone();
    let of = with(open);
    engine.register_fn("holds_for", move |name: ImmutableString, condition: bool, lasting: RuleDuration| {
        lock(&of).holds_for(&name, condition, lasting)
    });
    let of = with(open);
    engine.register_fn("remember", move |name: ImmutableString, value: i64| {
        lock(&of).remember(&name, Value::Whole(value))
    });
    let of = with(open);
    engine.register_fn("remember", move |name: ImmutableString, value: f64| {
        lock(&of).remember(&name, Value::Number(value))
    });
    let of = with(open);
    engine.register_fn("remember", move |name: ImmutableString, value: bool| {
        lock(&of).remember(&name, Value::Truth(value))
    });
    let of = with(open);
    engine.register_fn("remember", move |name: ImmutableString, value: ImmutableString| {
        lock(&of).remember(&name, Value::Text(value.to_string()))
    });
    let of = with(open);
    engine.register_fn("recall", move |name: ImmutableString| lock(&of).recall(&name));
}

fn lock(open: &Mutex<Open>) -> std::sync::MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::Findings;
    use crate::decide::{Limits, RuleSource, Rules};
    use crate::model::ClusterState;

    /// Runs a rule at these seconds, and gives what it printed at each.
    fn printed(text: &str, seconds: &[i64]) -> Vec<String> {
        let (mut rules, errors) = Rules::compile(&[RuleSource::new("rule", text)], Limits::default());
        assert_eq!(errors, []);
        let mut said = Vec::new();
        for second in seconds {
            let findings = Findings { at: Time::from_secs(*second), ..Findings::default() };
            let evaluated = rules.evaluate(&findings, &ClusterState::default());
            rules.learn(&evaluated);
            let lines = evaluated.printed.iter().map(|line| line.text.clone());
            let errors = evaluated.errors.iter().map(ToString::to_string);
            said.push(lines.chain(errors).collect::<Vec<_>>().join(" "));
        }
        said
    }

    #[test]
    fn for_two_minutes_is_two_minutes_without_a_break() {
        let rule = r#"
            fn evaluate(now) {
                let is_slow = now.at != "1970-01-01T00:04:00.000Z";
                print(holds_for("slow", is_slow, minutes(2)));
                ()
            }"#;
        let ticks = [0, 60, 119, 120, 180, 240, 300, 359, 420];
        let expected = ["false", "false", "false", "true", "true", "false", "false", "false", "true"];
        assert_eq!(printed(rule, &ticks), expected, "the break at 240 s begins it anew");
    }

    #[test]
    fn what_is_no_longer_asked_for_is_forgotten() {
        let rule = r#"
            fn evaluate(now) {
                if now.at != "1970-01-01T00:01:00.000Z" { print(holds_for("x", true, minutes(2))); }
                ()
            }"#;
        assert_eq!(printed(rule, &[0, 60, 120, 240]), ["false", "", "false", "true"]);
    }

    #[test]
    fn a_value_comes_back_at_the_next_tick_and_is_forgotten_after_a_day() {
        let rule = r#"
            fn evaluate(now) {
                let ticks = recall("ticks") ?? 0;
                print(`${ticks} ${recall("text")}`);
                remember("ticks", ticks + 1);
                if ticks == 0 { remember("text", "first"); remember("share", 0.5); remember("is", true); }
                ()
            }"#;
        let day = 24 * 3600;
        let expected = ["0 ", "1 first", "2 first", "3 first", "4 "];
        assert_eq!(printed(rule, &[0, 1, day, day + 2, day + 3]), expected, "the text was put down once");
    }

    #[test]
    fn a_rule_that_fails_leaves_its_memory_as_it_was() {
        let rule = r#"
            fn evaluate(now) {
                let ticks = recall("ticks") ?? 0;
                print(ticks);
                remember("ticks", ticks + 1);
                if now.at == "1970-01-01T00:00:01.000Z" { throw "broken" }
                ()
            }"#;
        let said = printed(rule, &[0, 1, 2]);
        assert_eq!((said[0].as_str(), said[2].as_str()), ("0", "1"), "{said:?}");
    }

    #[test]
    fn names_are_bounded_and_the_error_says_what_to_do() {
        let rule = r#"
            fn evaluate(now) {
                let n = 0;
                while n <= 2000 { remember(`n${n}`, n); n += 1; }
                ()
            }"#;
        let said = printed(rule, &[0]);
        assert!(
            said[0].ends_with("remembers 2000 names, which is the limit; name services, not requests or times"),
            "{said:?}"
        );
    }

    #[test]
    fn a_new_text_begins_with_nothing() {
        let text = |word: &str| {
            format!("fn evaluate(now) {{ print(`{word} ${{recall(\"n\") ?? 0}}`); remember(\"n\", 1); () }}")
        };
        let (mut rules, _) = Rules::compile(&[RuleSource::new("rule", text("a"))], Limits::default());
        let tick = |rules: &mut Rules| {
            let evaluated = rules.evaluate(&Findings::default(), &ClusterState::default());
            rules.learn(&evaluated);
            evaluated.printed[0].text.clone()
        };
        assert_eq!([tick(&mut rules), tick(&mut rules)], ["a 0", "a 1"]);
        rules.replace(&[RuleSource::new("rule", text("b"))], &mut crate::decide::Here, None);
        assert_eq!(tick(&mut rules), "b 0");
    }
}
