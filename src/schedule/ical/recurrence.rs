//! Recurrences: the instants of a rule, in order, as many as may be looked at.

use std::collections::{BTreeSet, btree_set};
use std::iter::Peekable;

use calcard::icalendar::{ICalendarFrequency, ICalendarRecurrenceRule};
use chrono::{DateTime, Utc};
use rrule::{RRule, RRuleSet, RRuleSetIter, Unvalidated, Validated};

use super::when::{self, Moment};
use crate::model::Time;
use crate::schedule::bounds::{STEPS_MAX, shown};

/// A rule that was checked against the start of its event.
#[derive(Clone)]
pub(super) struct Rule(RRule<Validated>);

impl Rule {
    /// # Errors
    /// Where nobody could follow it.
    pub(super) fn of(written: &ICalendarRecurrenceRule, starts: Moment) -> Result<Rule, String> {
        let wrong = |cause: String| format!("its recurrence cannot be followed ({}); correct RRULE", shown(&cause));
        let often = match written.freq {
            ICalendarFrequency::Secondly | ICalendarFrequency::Minutely | ICalendarFrequency::Hourly => true,
            ICalendarFrequency::Daily
            | ICalendarFrequency::Weekly
            | ICalendarFrequency::Monthly
            | ICalendarFrequency::Yearly => times_a_day(written) >= HOURS_OF_A_DAY,
        };
        if often {
            return Err("recurs every hour or oftener, as no event of people does; plan its day as one event".into());
        }
        // The end is read here: feeds write it in UTC, in the zone of the event, and as a date that is included.
        let until = written.until.as_ref().map(|until| {
            let ends = when::instant(until, starts.zone).ok_or_else(|| wrong("UNTIL is no time".into()))?;
            let last_of_day = if ends.is_date { 86_399 } else { 0 };
            Ok::<_, String>(ends.at.second() + last_of_day)
        });
        let until = until.transpose()?.and_then(|second| DateTime::<Utc>::from_timestamp(second, 0));
        let endless = ICalendarRecurrenceRule { until: None, ..written.clone() };
        let rule: RRule<Unvalidated> = endless.to_string().parse().map_err(|error| wrong(format!("{error}")))?;
        let rule = match until {
            Some(until) => rule.until(until.with_timezone(&rrule::Tz::UTC)),
            None => rule,
        };
        let begins = first(starts).ok_or_else(|| wrong("DTSTART is no time that recurs".into()))?;
        rule.validate(begins).map(Rule).map_err(|error| wrong(error.to_string()))
    }
}

const HOURS_OF_A_DAY: usize = 24;

/// How often a rule comes on a day on which it comes at all.
fn times_a_day(written: &ICalendarRecurrenceRule) -> usize {
    [written.byhour.len(), written.byminute.len(), written.bysecond.len()]
        .into_iter()
        .map(|times| times.max(1))
        .fold(1, usize::saturating_mul)
}

fn first(starts: Moment) -> Option<DateTime<rrule::Tz>> {
    let utc = DateTime::<Utc>::from_timestamp(starts.at.second(), 0)?;
    Some(utc.with_timezone(&rrule::Tz::Tz(starts.zone)))
}

/// The instants of an event: its start, those of its rules, and those that are written one by one; each once, in order.
pub(super) struct Steps<'a> {
    by_rule: Peekable<OfRules>,
    /// Whether the rules gave any instant yet.
    rules_gave: bool,
    one_by_one: Peekable<btree_set::IntoIter<Time>>,
    last: Option<Time>,
    left: usize,
    left_in_all: &'a mut usize,
}

/// Of all rules of an event together.
type OfRules = std::iter::FilterMap<
    std::iter::Flatten<std::option::IntoIter<RRuleSetIter>>,
    fn(DateTime<rrule::Tz>) -> Option<Time>,
>;

impl<'a> Steps<'a> {
    pub(super) fn new(rules: &[Rule], starts: Moment, more: &[Time], left_in_all: &'a mut usize) -> Steps<'a> {
        let set = first(starts).filter(|_| !rules.is_empty() && *left_in_all > 0).map(|begins| {
            // With the library's own bound on looking for the next instant, as there may be none.
            rules.iter().fold(RRuleSet::new(begins).limit(), |set, Rule(rule)| set.rrule(rule.clone()))
        });
        let instants = set.as_ref().map(|set| set.into_iter()).into_iter().flatten();
        let in_nanos: fn(DateTime<rrule::Tz>) -> Option<Time> = |at| when::time(at.timestamp());
        // The start counts, whether or not the rule would have come to it.
        let one_by_one: BTreeSet<Time> = more.iter().copied().chain([starts.at]).collect();
        Steps {
            by_rule: instants.filter_map(in_nanos).peekable(),
            rules_gave: rules.is_empty(),
            one_by_one: one_by_one.into_iter().peekable(),
            last: None,
            left: STEPS_MAX,
            left_in_all,
        }
    }

    /// Why it ended before its time; None where it did not.
    pub(super) fn exhausted(&self) -> Option<String> {
        (self.left == 0 || *self.left_in_all == 0).then(|| {
            "recurs too often to be followed; what comes after is left out, give it an end (UNTIL) or a later start"
                .into()
        })
    }

    fn next_by_rule(&mut self) -> Option<Time> {
        let next = self.by_rule.peek().copied();
        match next {
            Some(_) => self.rules_gave = true,
            // It was looked for in vain, as far as the library goes: that is as much work as many instants.
            None if !std::mem::replace(&mut self.rules_gave, true) => {
                *self.left_in_all = self.left_in_all.saturating_sub(STEPS_MAX);
            }
            None => {}
        }
        next
    }
}

impl Iterator for Steps<'_> {
    type Item = Time;

    fn next(&mut self) -> Option<Time> {
        while self.left > 0 && *self.left_in_all > 0 {
            self.left -= 1;
            *self.left_in_all -= 1;
            let next = match (self.next_by_rule(), self.one_by_one.peek().copied()) {
                (Some(by_rule), Some(one)) if one < by_rule => self.one_by_one.next()?,
                (Some(_), _) => self.by_rule.next()?,
                (None, _) => self.one_by_one.next()?,
            };
            if self.last.is_none_or(|last| last < next) {
                self.last = Some(next);
                return Some(next);
            }
        }
        None
    }
}
