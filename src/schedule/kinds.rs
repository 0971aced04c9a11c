//! Kinds of events, as an operator maps them: which events are of a kind, and what one participant of it loads.

use std::time::Duration;

use serde::Serialize;

use super::event::Planned;
use crate::model::pattern::glob;
use crate::model::setting::{Kind as SettingKind, Setting};
use crate::settings;

/// One kind, such as `exam`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kind {
    pub name: String,
    /// Categories or titles, `*` stands for any text; without any the kind's own name.
    pub matches: Vec<String>,
    /// What its participants load; empty where that is learnt from past events.
    pub loads: Vec<Load>,
    /// Of an event that does not say how many come.
    pub participants: Option<u32>,
    /// They begin to come so long before its start.
    pub early: Duration,
    /// Its load lasts so long from its start; None: to its end, and for a while where it has no length.
    pub lasts: Option<Duration>,
}

impl Default for Kind {
    fn default() -> Kind {
        // People come to a bell within a minute or two before it.
        let early = Duration::from_secs(60);
        Kind { name: String::new(), matches: Vec::new(), loads: Vec::new(), participants: None, early, lasts: None }
    }
}

impl Kind {
    pub const SETTINGS: &'static [Setting<Kind>] = settings![Kind;
        participants: SettingKind::count(1, 10_000_000), "participants of an event that does not say how many come";
        early: SettingKind::seconds(0, 4 * 3_600), "participants begin to come so long before the start";
        lasts: SettingKind::seconds(1, 24 * 3_600), "its load lasts so long from the start; without it to the event's end, or 30m where that is its start";
    ];
}

/// What each participant of an event loads.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Requests a second of an entry operation, `service operation`, at the peak.
    Entry { entry: String, per_participant: f64 },
    /// One replica of a service carries so many participants.
    Service { service: String, per_replica: f64 },
}

/// The first kind that an event is of.
pub fn kind_of<'a>(kinds: &'a [Kind], event: &Planned) -> Option<&'a Kind> {
    let title = event.title.to_lowercase();
    let categories: Vec<String> = event.categories.iter().map(|category| category.to_lowercase()).collect();
    let is = |pattern: &str| {
        let pattern = pattern.to_lowercase();
        [&title].into_iter().chain(&categories).any(|text| glob(pattern.as_bytes(), text.as_bytes()))
    };
    kinds.iter().find(|kind| match kind.matches.as_slice() {
        [] => is(&kind.name),
        patterns => patterns.iter().any(|pattern| is(pattern)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, matches: &[&str]) -> Kind {
        let matches = matches.iter().map(|text| (*text).to_owned()).collect();
        Kind { name: name.into(), matches, ..Kind::default() }
    }

    #[test]
    fn an_event_is_of_the_first_kind_that_names_its_category_or_title() {
        let kinds = [kind("exam", &["exam", "*klausur*"]), kind("lecture", &[]), kind("rest", &["*"])];
        let of = |title: &str, categories: &[&str]| {
            let categories = categories.iter().map(|text| (*text).to_owned()).collect();
            let event = Planned { title: title.into(), categories, ..Planned::default() };
            kind_of(&kinds, &event).map(|kind| kind.name.clone()).unwrap_or_default()
        };
        assert_eq!(of("Algebra", &["EXAM"]), "exam");
        assert_eq!(of("Abschlussklausur Algebra", &["lecture"]), "exam", "kinds go in the order written");
        assert_eq!(of("Algebra", &["Lecture"]), "lecture");
        assert_eq!(of("Algebra", &[]), "rest");
        assert_eq!(kind_of(&kinds[..1], &Planned::default()), None);
    }

    #[test]
    fn every_setting_of_a_kind_can_be_set() {
        crate::model::setting::check(Kind::SETTINGS, &["name", "matches", "loads"]);
    }
}
