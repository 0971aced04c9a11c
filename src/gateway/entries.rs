//! Which entry operation a question is about: by its name, or by method and path.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::asked::Asked;

/// A longer name is none that was ever shown to anybody; it is not looked up, and never kept.
const NAME_BYTES_MAX: usize = 512;

/// Entry operations that are told apart.
const ROUTES_MAX: usize = 4096;

/// A route of more segments is none that anybody wrote; looking for one goes as deep as the longest.
const SEGMENTS_MAX: usize = 64;

/// The entry operations that traces know.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// With their priority.
    names: BTreeMap<String, u8>,
    /// By method.
    routes: BTreeMap<String, Node>,
}

/// What routes share up to a segment, and how they go on: a path is compared with its own segments, not with all routes.
#[derive(Debug, Default)]
struct Node {
    texts: HashMap<String, Node, FixedState>,
    /// `{id}`, `:id` or `*`.
    any: Option<Box<Node>>,
    /// The entry operation whose route ends here; of several the first by name.
    entry: Option<String>,
}

impl Entries {
    /// Takes what is known now. What was known before stays: an entry operation of which all requests are shed has no trace.
    pub fn learn<'a>(&mut self, entries: impl Iterator<Item = &'a str>, priority: impl Fn(&str) -> u8) {
        for entry in entries {
            if self.names.len() >= ROUTES_MAX || self.names.contains_key(entry) {
                continue;
            }
            self.names.insert(entry.to_owned(), priority(entry));
            let mut parts = entry.splitn(3, ' ');
            let (_, method, route) = (parts.next(), parts.next(), parts.next());
            let route = route.filter(|route| route.starts_with('/') && segments(route).count() <= SEGMENTS_MAX);
            if let (Some(method), Some(route)) = (method, route) {
                self.routes.entry(method.to_owned()).or_default().put(segments(route), entry);
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
        self.routes.get(asked.method)?.find(segments(path))
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> + Clone {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn is_any(segment: &str) -> bool {
    segment.starts_with('{') || segment.starts_with(':') || segment == "*"
}

impl Node {
    fn put<'a>(&mut self, route: impl Iterator<Item = &'a str>, entry: &str) {
        let mut node = self;
        for segment in route {
            node = if is_any(segment) {
                node.any.get_or_insert_default().as_mut()
            } else {
                node.texts.entry_ref(segment).or_default()
            };
        }
        if node.entry.as_deref().is_none_or(|known| entry < known) {
            node.entry = Some(entry.to_owned());
        }
    }

    /// The most particular first: a text before any.
    fn find<'a>(&self, mut path: impl Iterator<Item = &'a str> + Clone) -> Option<&str> {
        let Some(segment) = path.next() else { return self.entry.as_deref() };
        let by_text = self.texts.get(segment).and_then(|node| node.find(path.clone()));
        by_text.or_else(|| self.any.as_ref()?.find(path))
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
    fn of_routes_that_both_fit_the_one_with_the_earlier_text_is_taken_and_a_dead_end_is_left() {
        let mut entries = Entries::default();
        let names = ["b GET /{x}/list", "a GET /{y}/list", "a GET /shop/{id}", "a GET /shop/all/open"];
        entries.learn(names.into_iter(), |_| 4);
        let of =
            |path: &'static str| entries.of(&Asked { method: "GET", path, ..Asked::default() }).map(|(name, _)| name);
        assert_eq!(of("/shop/list"), Some("a GET /shop/{id}"));
        assert_eq!(of("/shop/all"), Some("a GET /shop/{id}"), "no route ends at /shop/all");
        assert_eq!(of("/books/list"), Some("a GET /{y}/list"), "the first by name");
        assert_eq!([of("/shop"), of("/shop/all/open/1"), of("/")], [None; 3]);
    }

    #[test]
    fn a_route_of_very_many_segments_is_known_by_its_name_alone() {
        let mut entries = Entries::default();
        let deep = "/a".repeat(200);
        let name = format!("web GET {deep}");
        entries.learn([name.as_str()].into_iter(), |_| 4);
        assert_eq!(entries.of(&Asked { method: "GET", path: &deep, ..Asked::default() }), None);
        assert_eq!(entries.of(&Asked { entry: &name, ..Asked::default() }), Some((name.as_str(), 4)));
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
