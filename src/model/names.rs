//! Names of operations as they are grouped: what is an identifier by its form becomes `{id}`, and a place in a name where
//! the texts go on being new becomes `{*}`, so that `GET /item/4711` and `GET /item/4712` are one operation.
//!
//! The way of Drain (P. He, J. Zhu, Z. Zheng, M. R. Lyu: "Drain: An Online Log Parsing Approach with Fixed Depth Tree",
//! ICWS 2017): tokens that are plainly variable are masked, the others lead down a prefix tree. Where Drain counts the
//! children of a node alone, this one asks how likely it is that the next is new, which is the share of those that
//! were seen once (I. J. Good: "The Population Frequencies of Species", 1953): routes are many and repeat, identifiers
//! do not. What a node makes of its children depends on how often each was seen, not on their order.

mod thresholds;
mod tree;

use std::fmt::Write as _;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::Work;
use super::pattern::{glob, matches_entry};
use thresholds::{DIGITS_MIN, SERVICES_MAX};
use tree::Tree;

/// Stands for an identifier that is known by its form.
pub const MASKED: &str = "{id}";
/// Stands for a text of a place where they go on being new.
pub const LEARNT: &str = "{*}";

/// What an operator says of operations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    /// `service operation`, `*` stands for any text; of the operation as it is sent or as it is grouped.
    pub entry: String,
    /// The name that all of them have.
    pub name: Option<String>,
    /// The kind of work that they are.
    pub work: Option<Work>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Names {
    declared: Vec<Declared>,
    /// Patterns of services that are proxies.
    sidecars: Vec<String>,
    services: HashMap<Box<str>, Tree, RandomState>,
    /// The name at hand; kept for its memory.
    masked: String,
    grouped: String,
}

/// What is made of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    pub name: &'a str,
    /// What the operator or the name itself says of the work.
    pub work: Option<Work>,
    /// The operator says it.
    pub is_declared: bool,
}

impl Names {
    pub fn new(declared: Vec<Declared>, sidecars: Vec<String>) -> Names {
        Names { declared, sidecars, ..Names::default() }
    }

    /// Whether the operator says that a service, by its name alone, is a proxy of the workload beside it.
    pub fn is_sidecar(&self, service_name: &str) -> bool {
        self.sidecars.iter().any(|pattern| glob(pattern.as_bytes(), service_name.as_bytes()))
    }

    /// The name by which an operation of a service is grouped, and what kind of work it is.
    pub fn of<'a>(&'a mut self, service: &str, operation: &'a str) -> Named<'a> {
        let declared = |known: &[Declared], name: &str| {
            known.iter().position(|declared| matches_entry(&declared.entry, service, name))
        };
        let by_itself = declared(&self.declared, operation);
        if let Some(at) = by_itself.filter(|at| self.declared[*at].name.is_some()) {
            let Declared { name, work, .. } = &self.declared[at];
            let name = name.as_deref().unwrap_or_default();
            return Named { name, work: work.or_else(|| Work::of_operation(operation)), is_declared: work.is_some() };
        }
        self.group(service, operation);
        let at = by_itself.or_else(|| declared(&self.declared, &self.grouped));
        let declared = at.map(|at| &self.declared[at]);
        let name = declared.and_then(|declared| declared.name.as_deref()).unwrap_or(&self.grouped);
        let said = declared.and_then(|declared| declared.work);
        Named { name, work: said.or_else(|| Work::of_operation(operation)), is_declared: said.is_some() }
    }

    /// Writes the grouped name into `grouped`.
    fn group(&mut self, service: &str, operation: &str) {
        self.grouped.clear();
        let is_full = self.services.len() >= SERVICES_MAX;
        let mut tree = match self.services.get_mut(service) {
            Some(tree) => Some(tree),
            None if is_full => None,
            None => Some(self.services.entry(service.into()).or_default()),
        };
        if let Some(tree) = &mut tree
            && tree.recall(operation)
        {
            return self.grouped.push_str(operation);
        }
        self.masked.clear();
        mask(without_query(operation), &mut self.masked);
        match tree {
            Some(tree) => tree.group(&self.masked, operation, &mut self.grouped),
            None => self.grouped.push_str(&self.masked),
        }
    }

    /// Whether a name stands for several.
    pub fn is_grouped(name: &str) -> bool {
        name.contains(MASKED) || name.contains(LEARNT)
    }

    /// Whether nothing is left of a name: no part of it repeats.
    pub fn is_lost(name: &str) -> bool {
        name.split([' ', '/']).filter(|token| !token.is_empty()).all(|token| token == LEARNT) && name.contains(LEARNT)
    }
}

/// What follows a `?` in a path are parameters.
fn without_query(operation: &str) -> &str {
    match operation.split_once('?') {
        Some((path, _)) if path.contains('/') => path,
        _ => operation,
    }
}

/// Writes a name with its identifiers masked.
fn mask(operation: &str, out: &mut String) {
    for part in operation.split_inclusive([' ', '/']) {
        let token = part.trim_end_matches([' ', '/']);
        mask_token(token, out);
        out.push_str(&part[token.len()..]);
    }
}

fn mask_token(token: &str, out: &mut String) {
    if !token.bytes().any(|byte| byte.is_ascii_digit() || byte == b'@') || token.contains(['{', '<', '*']) {
        return out.push_str(token);
    }
    if is_mail(token) || is_random(token) {
        return out.push_str(MASKED);
    }
    if let Some(at) = find_uuid(token) {
        mask_token(&token[..at], out);
        out.push_str(MASKED);
        return mask_token(&token[at + UUID_CHARS..], out);
    }
    // Beside a word a short number is a name, such as `step-2` or `plain-10`: few of them come, and they differ.
    let has_word = token.split(|c: char| !c.is_alphanumeric()).any(|run| !run.is_empty() && !is_identifier(run));
    let is_name = |run: &str, joined: bool| has_word && !joined && run.len() < DIGITS_MIN;
    let mut rest = token;
    let mut after_id = None;
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != is_word).unwrap_or(rest.len());
        let (run, next) = rest.split_at(end);
        rest = next;
        if !is_word {
            out.push_str(run);
            after_id = after_id.filter(|_| run.len() == 1).map(|at: (usize, bool)| (at.0, true));
        } else if is_identifier(run) && !is_name(run, matches!(after_id, Some((_, true)))) {
            // Identifiers joined by one sign are one: `2024-05-01`, `1.2.3.4`, a UUID.
            match after_id {
                Some((at, true)) => out.truncate(at),
                _ => out.push_str(MASKED),
            }
            after_id = Some((out.len(), false));
        } else {
            mask_digits(run, out);
            after_id = None;
        }
    }
}

fn is_mail(token: &str) -> bool {
    token.split_once('@').is_some_and(|(who, host)| !who.is_empty() && host.contains('.'))
}

/// Letters of both cases and digits mixed, as base64 and its like have them.
fn is_random(token: &str) -> bool {
    const RANDOM_CHARS_MIN: usize = 20;
    let has = |is: fn(&u8) -> bool| token.as_bytes().iter().any(is);
    token.len() >= RANDOM_CHARS_MIN
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=' | b'+'))
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

const UUID_CHARS: usize = 36;

/// Where a UUID begins in its usual form, 8-4-4-4-12 hexadecimal digits.
fn find_uuid(token: &str) -> Option<usize> {
    let is_uuid = |chars: &[u8]| {
        chars.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    token.as_bytes().windows(UUID_CHARS).position(is_uuid)
}

/// A number; hexadecimal with a digit in it; letters and digits mixed and long.
fn is_identifier(run: &str) -> bool {
    const HEX_CHARS_MIN: usize = 8;
    const MIXED_CHARS_MIN: usize = 16;
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    digits == run.len()
        || digits > 0 && run.len() >= HEX_CHARS_MIN && run.bytes().all(|byte| byte.is_ascii_hexdigit())
        || digits > 1 && run.len() >= MIXED_CHARS_MIN && run.is_ascii()
}

/// A number of some length inside a word: `order4711`.
fn mask_digits(run: &str, out: &mut String) {
    let mut rest = run;
    while let Some(from) = rest.find(|c: char| c.is_ascii_digit()) {
        let digits = rest[from..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - from);
        let (number, next) = rest[from..].split_at(digits);
        out.push_str(&rest[..from]);
        // Writing to a String cannot fail.
        let _ = out.write_str(if digits >= DIGITS_MIN { MASKED } else { number });
        rest = next;
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(name: &str) -> String {
        let mut out = String::new();
        mask(without_query(name), &mut out);
        out
    }

    #[test]
    fn identifiers_are_known_by_their_form() {
        let cases = [
            ("GET /shop/item/4711", "GET /shop/item/{id}"),
            ("GET /v1/users/8f14e45f-ceea-467f-a9d2-0b1c2d3e4f50/orders", "GET /v1/users/{id}/orders"),
            ("DELETE /blob/9f86d081884c7d65", "DELETE /blob/{id}"),
            ("GET /2024-05-01/report.pdf", "GET /{id}/report.pdf"),
            ("GET /order-4711", "GET /order-{id}"),
            ("GET /step-2", "GET /step-2"),
            ("GET /report-2024-05-01.pdf", "GET /report-{id}.pdf"),
            ("process order4711", "process order{id}"),
            ("GET /files/01ARZ3NDEKTSV4RRFFQ69G5FAV", "GET /files/{id}"),
            ("GET /invite/aGVsbG8gV29ybGQhIDEyMw", "GET /invite/{id}"),
            ("GET /users/jane@example.org", "GET /users/{id}"),
            ("GET /search?q=17&page=2", "GET /search"),
            ("GET /host/10.0.0.7:8080", "GET /host/{id}"),
            // No identifiers.
            ("GET /oauth2/authorize", "GET /oauth2/authorize"),
            ("GET /item/{id}", "GET /item/{id}"),
            ("GET /item/:id", "GET /item/:id"),
            ("GET /O3", "GET /O3"),
            ("shop.Cart/AddItem", "shop.Cart/AddItem"),
            ("SELECT orders", "SELECT orders"),
            ("POST /deadbeef", "POST /deadbeef"),
            ("GET /größe/übersicht", "GET /größe/übersicht"),
            ("", ""),
            ("/", "/"),
        ];
        for (name, expected) in cases {
            assert_eq!(masked(name), expected, "{name}");
        }
    }

    fn names(of: impl IntoIterator<Item = String>) -> Names {
        let mut names = Names::default();
        of.into_iter().for_each(|name| drop(names.of("shop", &name).name.to_owned()));
        names
    }

    /// A word of letters alone for each number.
    fn word(n: u32) -> String {
        let letter = |shift: u32| char::from(b'a' + ((n >> shift) % 16) as u8);
        [8, 4, 0].map(letter).into_iter().collect()
    }

    #[test]
    fn a_place_where_texts_go_on_being_new_becomes_a_template() {
        let mut names = names((0..600).map(|n| format!("GET /{}/reviews", word(n))));
        assert_eq!(names.of("shop", "GET /new/reviews").name, "GET /{*}/reviews");
        assert_eq!(names.of("shop", "GET /new/prices").name, "GET /{*}/prices");
        assert_eq!(names.of("auth", "GET /new/reviews").name, "GET /new/reviews", "each service has its own");
    }

    #[test]
    fn many_routes_that_repeat_stay_what_they_are() {
        let routes = |n: u32| format!("GET /api/{}", word(n % 300));
        let mut names = names((0..10_000).map(routes));
        assert!((0..300).all(|n| names.of("shop", &routes(n)).name == routes(n)));
    }

    #[test]
    fn a_frequent_name_among_identifiers_stays_its_own() {
        let of =
            |n: u32| if n.is_multiple_of(3) { "GET /users/me".to_owned() } else { format!("GET /users/{}", word(n)) };
        let mut names = names((0..1_500).map(of));
        assert_eq!(names.of("shop", "GET /users/me").name, "GET /users/me");
        assert_eq!(names.of("shop", "GET /users/jane").name, "GET /users/{*}");
    }

    #[test]
    fn the_order_of_names_does_not_matter() {
        let of = |n: u32| match n % 4 {
            0 => "GET /users/me/cart".to_owned(),
            1 => format!("GET /users/{}/cart", word(n)),
            2 => format!("GET /{}", ["a", "b", "c"][n as usize / 4 % 3]),
            _ => format!("GET /items/{n}/{}", word(n * 7)),
        };
        let mut forward = names((0..4_000).map(of));
        let mut backward = names((0..4_000).rev().map(of));
        for name in (0..400).map(of).chain(["GET /users/x/cart".into(), "GET /d".into(), "GET /items/1/x".into()]) {
            assert_eq!(forward.of("shop", &name).name, backward.of("shop", &name).name, "{name}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_name_that_never_repeats_is_lost() {
        let mut names = names((0..100_000_u32).map(|n| format!("{}{}", word(n), word(n / 4096))));
        assert!(names.services["shop"].nodes() <= thresholds::NODES_MAX);
        let name = names.of("shop", "zzz").name.to_owned();
        assert_eq!((&*name, Names::is_lost(&name), Names::is_lost("GET /{*}")), ("{*}", true, false));
        let deep = "a/".repeat(100);
        assert_eq!(names.of("other", &deep).name.matches('a').count(), thresholds::TOKENS_MAX);
    }

    #[test]
    fn what_an_operator_says_goes_first() {
        let declared = |entry: &str, name: Option<&str>, work| Declared {
            entry: entry.into(),
            name: name.map(str::to_owned),
            work,
        };
        let mut names = Names::new(
            vec![
                declared("shop GET /item/*/reviews", Some("GET /item/{sku}/reviews"), None),
                declared("shop GET /item/{id}", None, Some(Work::Stream)),
                declared("* GET /healthz", None, Some(Work::Request)),
            ],
            vec!["*.istio".into()],
        );
        assert_eq!(["shop.istio", "shop"].map(|service| names.is_sidecar(service)), [true, false]);
        let mut of = |service: &str, name: &str| {
            let Named { name, work, .. } = names.of(service, name);
            (name.to_owned(), work)
        };
        assert_eq!(of("eu/shop", "GET /item/red-shoes/reviews"), ("GET /item/{sku}/reviews".into(), None));
        assert_eq!(of("shop", "GET /item/17"), ("GET /item/{id}".into(), Some(Work::Stream)));
        assert_eq!(of("auth", "GET /healthz"), ("GET /healthz".into(), Some(Work::Request)));
        assert_eq!(of("auth", "GET /readyz"), ("GET /readyz".into(), Some(Work::Probe)));
    }
}
