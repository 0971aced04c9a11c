//! Which entry operation a question is about: by its name, or by method and path.

use std::collections::{BTreeMap, BTreeSet};

use super::asked::Asked;

/// A longer name is none that was ever shown to anybody; it is not looked up, and never kept.
const NAME_BYTES_MAX: usize = 512;

/// Routes that are compared with a path, one after the other.
const ROUTES_MAX: usize = 4096;

/// The entry operations that traces know.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// With their priority.
    names: BTreeMap<String, u8>,
    /// By method: the segments of the route, and the entry operation.
    routes: BTreeMap<String, Vec<(Vec<Segment>, String)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    /// `{id}`, `:id` or `*`.
    Any,
}

impl Entries {
    /// Takes what is known now. What was known before stays: an entry operation of which all requests are shed has no trace.
    pub fn learn<'a>(&mut self, entries: impl Iterator<Item = &'a str>, priority: impl Fn(&str) -> u8) {
        let mut grown = BTreeSet::new();
        for entry in entries {
            if self.names.len() >= ROUTES_MAX || self.names.contains_key(entry) {
                continue;
            }
            self.names.insert(entry.to_owned(), priority(entry));
            let mut parts = entry.splitn(3, ' ');
            let (_, method, route) = (parts.next(), parts.next(), parts.next());
            if let (Some(method), Some(route)) = (method, route.filter(|route| route.starts_with('/'))) {
                let routes = self.routes.entry(method.to_owned()).or_default();
                routes.push((segments(route).map(Segment::of).collect(), entry.to_owned()));
                grown.insert(method);
            }
        }
        // The most particular first: a text before any. Once a method, as gateways wait meanwhile.
        for method in grown {
            if let Some(routes) = self.routes.get_mut(method) {
                routes.sort_by_cached_key(|(segments, entry)| {
                    (segments.iter().map(|s| *s == Segment::Any).collect::<Vec<_>>(), entry.clone())
                });
            }
        }
    }

    /// The entry operation that is asked about, and its priority.
    pub fn of<'s>(&'s self, asked: &Asked<'_>) -> Option<(&'s str, u8)> {
        let entry = self.name(asked)?;
        self.names.get_key_value(entry).map(|(name, priority)| (name.as_str(), *priority))
    }

    fn name<'s>(&'s self, asked: &'s Asked<'_>) -> Option<&'s str> {
        if asked.entry.len() > NAME_BYTES_MAX || asked.path.len() > NAME_BYTES_MAX * 8 {
            return None;
        }
        if !asked.entry.is_empty() {
            return Some(asked.entry);
        }
        let path = asked.path.split(['?', '#']).next().unwrap_or_default();
        let fits = |(route, _): &&(Vec<Segment>, String)| {
            let mut given = segments(path);
            route.iter().all(|segment| given.next().is_some_and(|text| segment.fits(text))) && given.next().is_none()
        };
        self.routes.get(asked.method)?.iter().find(fits).map(|(_, entry)| entry.as_str())
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

impl Segment {
    fn of(text: &str) -> Segment {
        let is_any = text.starts_with('{') || text.starts_with(':') || text == "*";
        if is_any { Segment::Any } else { Segment::Text(text.to_owned()) }
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Segment::Text(expected) => expected == text,
            Segment::Any => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Entries {
        let mut entries = Entries::default();
        entries.learn(
            [
                "ingress GET /exam/{id}",
                "ingress GET /exam/{id}/page",
                "ingress GET /exam/all",
                "ingress POST /submit",
                "jobs nightly",
            ]
            .into_iter(),
            |_| 4,
        );
        entries
    }

    #[test]
    fn a_path_finds_its_route_the_most_particular_first() {
        let entries = entries();
        let of = |method: &'static str, path: &'static str| {
            entries.of(&Asked { method, path, ..Asked::default() }).map(|(name, _)| name)
        };
        assert_eq!(of("GET", "/exam/17?x=1"), Some("ingress GET /exam/{id}"));
        assert_eq!(of("GET", "/exam/all"), Some("ingress GET /exam/all"));
        assert_eq!(of("GET", "/exam/17/page/"), Some("ingress GET /exam/{id}/page"));
        assert_eq!(of("POST", "/submit"), Some("ingress POST /submit"));
        assert_eq!([of("PUT", "/submit"), of("GET", "/exam"), of("", "")], [None; 3]);
    }

    #[test]
    fn a_name_is_taken_as_it_is_and_one_of_64_kib_is_not_looked_up() {
        let (entries, long) = (entries(), "x".repeat(64 << 10));
        assert_eq!(entries.of(&Asked { entry: "jobs nightly", ..Asked::default() }), Some(("jobs nightly", 4)));
        assert_eq!(entries.of(&Asked { entry: &long, ..Asked::default() }), None);
        assert_eq!(entries.of(&Asked { method: "GET", path: &long, ..Asked::default() }), None);
    }

    #[test]
    fn names_are_bounded() {
        let mut entries = Entries::default();
        let names: Vec<String> = (0..10_000).map(|n| format!("web GET /{n}")).collect();
        entries.learn(names.iter().map(String::as_str), |_| 4);
        assert_eq!(entries.names.len(), ROUTES_MAX);
    }
}
