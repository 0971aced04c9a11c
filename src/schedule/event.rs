//! The one thing that calendars, registrars and people come to: what is planned, when, for how many.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bounds::PROBLEMS_MAX;
use super::iso;
use crate::model::Time;

/// One planned event: an occurrence, where it recurs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// What it is, wherever it is moved to: the UID and, where it recurs, the instant that it was planned for first.
    pub id: String,
    /// The calendar, webhook or resource that it comes from, by name.
    pub source: String,
    pub title: String,
    /// What its source says that it is: categories, or the kind itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    #[serde(with = "iso")]
    pub starts: Time,
    /// When it starts, where its source says no length.
    #[serde(with = "iso")]
    pub ends: Time,
    /// None where its source does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participants: Option<u32>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub cancelled: bool,
    /// Which word of its source on it this is: of two, the higher holds.
    #[serde(default)]
    pub revision: i64,
    /// Replicas that somebody asks for by name of the service, in place of what its kind means.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub floors: BTreeMap<String, u32>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Planned {
    /// Whether any of it lies in `[from, until)`.
    pub fn meets(&self, from: Time, until: Time) -> bool {
        self.starts < until && self.ends.max(self.starts) >= from
    }

    /// Takes from an earlier word on it what this one leaves open.
    fn complete(&mut self, earlier: &Planned) {
        if self.title.is_empty() || self.title == self.id {
            self.title.clone_from(&earlier.title);
        }
        if self.categories.is_empty() {
            self.categories.clone_from(&earlier.categories);
        }
        self.participants = self.participants.or(earlier.participants);
    }
}

/// So many participants, if anybody would believe that.
pub fn believable(count: i64, most: u32) -> Result<u32, String> {
    match u32::try_from(count) {
        Ok(count) if count <= most => Ok(count),
        Ok(_) => Err(format!(
            "{count} participants are more than schedule.participants_max, {most}; correct the event, or raise that"
        )),
        Err(_) if count > 0 => {
            Err(format!("{count} participants are more than there are people to come; correct the event"))
        }
        Err(_) => Err(format!("{count} participants cannot come; write none or more")),
    }
}

/// What could not be taken of a source, for whoever keeps it: cause and remedy in one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    pub source: String,
    /// The event by its title or id; empty where it is the source as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub event: String,
    pub cause: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Problem { source, event, cause } = self;
        if event.is_empty() { write!(f, "{source}: {cause}") } else { write!(f, "{source}: {event}: {cause}") }
    }
}

/// Problems, so many of them at most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problems {
    told: Vec<Problem>,
    more: usize,
}

impl Problems {
    pub fn add(&mut self, source: &str, event: &str, cause: impl Into<String>) {
        if self.told.len() < PROBLEMS_MAX {
            self.told.push(Problem { source: source.into(), event: event.into(), cause: cause.into() });
        } else {
            self.more += 1;
        }
    }

    pub fn append(&mut self, other: Problems) {
        self.more += other.more;
        for problem in other.told {
            if self.told.len() < PROBLEMS_MAX { self.told.push(problem) } else { self.more += 1 }
        }
    }

    pub fn told(&self) -> &[Problem] {
        &self.told
    }

    /// Those that found no place among the told.
    pub fn more(&self) -> usize {
        self.more
    }
}

/// The events of all sources, each once: the highest revision holds, of equal ones that of the source named first. What it
/// leaves open (a title, of what kind, how many come) another may tell; where sources disagree, that is said.
pub fn agreed(sources: Vec<Vec<Planned>>, problems: &mut Problems) -> Vec<Planned> {
    let mut known: BTreeMap<String, Planned> = BTreeMap::new();
    let mut all: Vec<Planned> = sources.into_iter().flatten().collect();
    all.sort_by_key(|event| Reverse(event.revision)); // stable: then as the sources are named
    for event in all {
        match known.get_mut(&event.id) {
            None => _ = known.insert(event.id.clone(), event),
            Some(held) if held.source != event.source && differ(held, &event) => {
                held.complete(&event);
                let cause = format!(
                    "{} and {} say otherwise of it; {}'s word holds ({}), correct the other",
                    held.source,
                    event.source,
                    held.source,
                    if held.revision > event.revision { "it is the later revision" } else { "it is named first" },
                );
                problems.add(&event.source, &event.title, cause);
            }
            Some(held) => held.complete(&event),
        }
    }
    let mut events: Vec<Planned> = known.into_values().collect();
    events.sort_by(|a, b| a.starts.cmp(&b.starts).then_with(|| a.id.cmp(&b.id)));
    events
}

fn differ(a: &Planned, b: &Planned) -> bool {
    let other_number = a.participants.zip(b.participants).is_some_and(|(a, b)| a != b);
    (a.starts, a.ends, a.cancelled) != (b.starts, b.ends, b.cancelled) || other_number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(source: &str, hour: i64, revision: i64) -> Planned {
        let starts = Time::from_secs(hour * 3_600);
        Planned {
            id: "algebra".into(),
            source: source.into(),
            title: "Algebra".into(),
            starts,
            ends: starts + std::time::Duration::from_secs(5_400),
            revision,
            ..Planned::default()
        }
    }

    #[test]
    fn of_two_words_on_one_event_the_later_holds() {
        let mut problems = Problems::default();
        let events = agreed(vec![vec![event("lectures", 9, 1)], vec![event("registrar", 10, 2)]], &mut problems);
        assert_eq!(events, [event("registrar", 10, 2)]);
        let told: Vec<String> = problems.told().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "lectures: Algebra: registrar and lectures say otherwise of it; registrar's word holds (it is the later revision), correct the other"
            ]
        );
    }

    #[test]
    fn of_equal_words_the_first_source_holds_and_the_same_word_twice_is_one() {
        let mut problems = Problems::default();
        let events = agreed(vec![vec![event("a", 9, 0), event("a", 9, 0)], vec![event("b", 11, 0)]], &mut problems);
        assert_eq!(events, [event("a", 9, 0)]);
        assert_eq!(problems.told().len(), 1);
        let mut none = Problems::default();
        agreed(vec![vec![event("a", 9, 0)], vec![event("b", 9, 0)]], &mut none);
        assert_eq!(none, Problems::default());
    }

    #[test]
    fn a_later_word_that_leaves_something_open_is_completed_by_the_earlier() {
        let lecture = Planned { categories: vec!["exam".into()], participants: Some(400), ..event("lectures", 9, 1) };
        let moved = Planned { title: "algebra".into(), ..event("registrar", 10, 2) };
        let events = agreed(vec![vec![lecture.clone()], vec![moved]], &mut Problems::default());
        let held = &events[0];
        assert_eq!((held.source.as_str(), held.starts), ("registrar", event("registrar", 10, 2).starts));
        assert_eq!(
            (&held.title, &held.categories, held.participants),
            (&lecture.title, &lecture.categories, Some(400))
        );
    }

    #[test]
    fn problems_are_told_up_to_a_bound_and_counted_beyond() {
        let mut problems = Problems::default();
        (0..PROBLEMS_MAX + 7).for_each(|n| problems.add("feed", "", n.to_string()));
        assert_eq!((problems.told().len(), problems.more()), (PROBLEMS_MAX, 7));
    }
}
